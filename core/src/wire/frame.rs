//! The headers of requests and replies.

use core::fmt;

use super::codec::{Reader, WireError, Writer};

/// A request's number on its session, or one of the reserved ones.
///
/// Ordinary requests are numbered 1 to 2^31 - 2 across all connections of a session; a server
/// echoes the number and never looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Xid(pub i32);

impl Xid {
    /// Watch notifications, server to client.
    pub const NOTIFICATION: Self = Self(-1);
    /// Pings and their replies.
    pub const PING: Self = Self(-2);
    /// Auth packets and their replies.
    pub const AUTH: Self = Self(-4);
    /// setWatches as the C client and this library number it.
    pub const SET_WATCHES: Self = Self(-8);

    /// The number after this one, 1 after 2^31 - 2.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < 1 || self.0 >= i32::MAX - 1 {
            return Self(1);
        }
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transaction's number: epoch in the high, counter in the low 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Zxid(pub i64);

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What stands before every request: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The request's number.
    pub xid: Xid,
    /// The opcode as it stands on the wire; see [`OpCode`](super::OpCode).
    pub op: i32,
}

impl RequestHeader {
    /// Bytes of the encoded header.
    pub const BYTES: usize = 8;

    /// Reads the header.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { xid: Xid(r.int()?), op: r.int()? })
    }

    /// Writes the header.
    #[inline]
    pub fn write(&self, w: &mut Writer<'_>) {
        w.int(self.xid.0);
        w.int(self.op);
    }
}

/// What stands before every reply and notification: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The number of the request answered, or a reserved one.
    pub xid: Xid,
    /// The last transaction applied on the server when it answered; special values for some
    /// replies (protocol: 0 for auth and sasl, -1 for unknown opcodes and notifications).
    pub zxid: Zxid,
    /// 0, or the server's error code.
    pub err: i32,
}

impl ReplyHeader {
    /// Bytes of the encoded header.
    pub const BYTES: usize = 16;

    /// Reads the header.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { xid: Xid(r.int()?), zxid: Zxid(r.long()?), err: r.int()? })
    }

    /// Writes the header.
    #[inline]
    pub fn write(&self, w: &mut Writer<'_>) {
        w.int(self.xid.0);
        w.long(self.zxid.0);
        w.int(self.err);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers_wrap_to_one_and_stay_positive() {
        assert_eq!(Xid(1).next(), Xid(2));
        assert_eq!(Xid(i32::MAX - 2).next(), Xid(i32::MAX - 1));
        assert_eq!(Xid(i32::MAX - 1).next(), Xid(1));
        assert_eq!(Xid(-8).next(), Xid(1));
    }
}
