//! The handshake: the first frame each way, without a header.

use core::fmt;

use super::codec::{Reader, WireError, Writer};
use super::frame::Zxid;

/// Bytes of a session password.
pub const PASSWD_BYTES: usize = 16;

/// A session's id: 64 bits, never ordered; 0 means none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session.
    pub const NONE: Self = Self(0);

    /// Whether it names a session.
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SessionId {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=i64:#018x}", self.0);
    }
}

/// A session's password. Whoever holds it and the id can speak for the session, so `Debug` and
/// `defmt` output never show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Passwd(pub [u8; PASSWD_BYTES]);

impl Passwd {
    /// What stands for a password when a new session is asked for.
    pub const ZERO: Self = Self([0; PASSWD_BYTES]);
}

impl fmt::Debug for Passwd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwd(..)")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Passwd {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Passwd(..)");
    }
}

/// A client's first frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// 0; servers ignore it.
    pub protocol_version: i32,
    /// The highest zxid that the client has seen in a reply; 0 at first.
    pub last_zxid_seen: Zxid,
    /// The session timeout asked for, in milliseconds.
    pub timeout: i32,
    /// The session to resume; none for a new one.
    pub session_id: SessionId,
    /// Its password; 16 zero bytes for a new session. Null and other lengths are legal bytes.
    pub passwd: Option<&'a [u8]>,
    /// Whether a read-only server will do; `None` if the byte is absent (clients before 3.4).
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Reads the body of the frame; bytes beyond are ignored.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not such a record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self {
            protocol_version: r.int()?,
            last_zxid_seen: Zxid(r.long()?),
            timeout: r.int()?,
            session_id: SessionId(r.long()?),
            passwd: r.buffer()?,
            read_only: r.boolean().ok(),
        })
    }

    /// Writes the body of the frame.
    pub fn write(&self, w: &mut Writer<'_>) {
        w.int(self.protocol_version);
        w.long(self.last_zxid_seen.0);
        w.int(self.timeout);
        w.long(self.session_id.0);
        w.buffer(self.passwd);
        if let Some(read_only) = self.read_only {
            w.boolean(read_only);
        }
    }
}

impl fmt::Debug for ConnectRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("last_zxid_seen", &self.last_zxid_seen)
            .field("timeout", &self.timeout)
            .field("session_id", &self.session_id)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// A server's first frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnectResponse<'a> {
    /// 0.
    pub protocol_version: i32,
    /// The negotiated timeout in milliseconds; 0 or less: the session is refused.
    pub timeout: i32,
    /// The session; none if refused.
    pub session_id: SessionId,
    /// Its password; zero bytes if refused.
    pub passwd: Option<&'a [u8]>,
    /// Whether the server is read-only; `None` if the byte is absent, as it is for clients that
    /// sent none and from some servers that are not ZooKeeper.
    pub read_only: Option<bool>,
}

impl<'a> ConnectResponse<'a> {
    /// Reads the body of the frame; bytes beyond are ignored.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not such a record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self {
            protocol_version: r.int()?,
            timeout: r.int()?,
            session_id: SessionId(r.long()?),
            passwd: r.buffer()?,
            read_only: r.boolean().ok(),
        })
    }

    /// Writes the body of the frame.
    pub fn write(&self, w: &mut Writer<'_>) {
        w.int(self.protocol_version);
        w.int(self.timeout);
        w.long(self.session_id.0);
        w.buffer(self.passwd);
        if let Some(read_only) = self.read_only {
            w.boolean(read_only);
        }
    }
}

impl fmt::Debug for ConnectResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectResponse")
            .field("timeout", &self.timeout)
            .field("session_id", &self.session_id)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}
