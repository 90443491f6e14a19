//! A session as a few bytes: exported before a restart, resumed after it.
//!
//! ```text
//! "ZKS" version:u8 timeout:u32 session_id:u64 passwd:[16] last_zxid:u64 next_xid:u32
//! watches:u32 { kind:u8 len:u32 path }*  crc32:u32        all big-endian; 52 bytes without watches
//! ```
//!
//! Whoever holds a ticket can speak for the session: keep it as secret as a password. The checksum
//! finds torn writes and worn flash, not forgery.

use core::fmt;

use super::config::ClientConfig;
use super::event::{Cause, KeeperState};
use super::registry::Registry;
use super::session::ClientSession;
use crate::error::ConfigError;
use crate::storage::Storage;
use crate::time::{Duration, Instant, Maybe};
use crate::wire::EncodeError;
use crate::wire::{PASSWD_BYTES, Passwd, Reader, SessionId, Writer, Xid, Zxid};

/// Bytes of a ticket without watches.
pub const TICKET_BYTES: usize = 52;

const MAGIC: &[u8; 3] = b"ZKS";
const VERSION: u8 = 1;

/// What a ticket holds beside the session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketContents {
    /// Nothing: [`TICKET_BYTES`] bytes. Watches are set anew after the restart.
    Session,
    /// The watches too, 5 bytes and its path each: they are registered again on resumption, and
    /// what changed meanwhile is told.
    SessionAndWatches,
}

/// Why bytes are not a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TicketError {
    /// They end too early, or do not end where the ticket does.
    Length {
        /// How many there are.
        len: usize,
    },
    /// They do not begin like one.
    Magic,
    /// They are of a version that this library does not read.
    Version(u8),
    /// They have changed since they were written.
    Checksum,
    /// There is no session in them.
    NoSession,
    /// The watches do not fit the registry.
    RegistryFull {
        /// Bytes needed.
        needed: usize,
        /// Bytes there are.
        limit: usize,
    },
}

impl fmt::Display for TicketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { len } => write!(f, "ticket of {len} bytes is cut off or too long"),
            Self::Magic => f.write_str("not a session ticket"),
            Self::Version(version) => write!(f, "ticket of unknown version {version}"),
            Self::Checksum => f.write_str("ticket is damaged: its checksum does not match"),
            Self::NoSession => f.write_str("ticket holds no session"),
            Self::RegistryFull { needed, limit } => {
                write!(f, "ticket's watches need {needed} bytes, the registry has {limit}")
            }
        }
    }
}

impl core::error::Error for TicketError {}

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExportError {
    /// There is no session that could be resumed.
    NoSession,
    /// The memory is too small.
    Memory(EncodeError),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => f.write_str("there is no session that could be resumed"),
            Self::Memory(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ExportError {}

/// The session part of a ticket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) timeout: u32,
    pub(super) session_id: SessionId,
    pub(super) passwd: Passwd,
    pub(super) last_zxid: Zxid,
    pub(super) next_xid: Xid,
}

impl Ticket {
    pub(super) fn write(&self, watches: Option<&Registry<'_>>, w: &mut Writer<'_>) {
        w.raw(MAGIC);
        w.byte(VERSION);
        w.raw(&self.timeout.to_be_bytes());
        w.long(self.session_id.0);
        w.raw(&self.passwd.0);
        w.long(self.last_zxid.0);
        w.int(self.next_xid.0);
        let watches = watches.into_iter().flat_map(Registry::armed);
        w.count(watches.clone().count());
        for (tag, path) in watches {
            w.byte(tag);
            w.buffer(Some(path));
        }
        w.seal(|bytes| crc32(0, bytes));
    }

    /// Reads a ticket and fills the registry with its watches.
    pub(super) fn read(bytes: &[u8], registry: &mut Registry<'_>) -> Result<Self, TicketError> {
        let cut_off = TicketError::Length { len: bytes.len() };
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(cut_off)?;
        let r = &mut Reader::new(body);
        let [magic @ .., version] = *r.array::<4>().map_err(|_| cut_off)?;
        if magic != *MAGIC {
            return Err(TicketError::Magic);
        }
        if version != VERSION {
            return Err(TicketError::Version(version));
        }
        if bytes.len() < TICKET_BYTES {
            return Err(cut_off);
        }
        if crc32(0, body) != u32::from_be_bytes(*sum) {
            return Err(TicketError::Checksum);
        }
        Self::read_body(r, registry, cut_off)
    }

    fn read_body(
        r: &mut Reader<'_>,
        registry: &mut Registry<'_>,
        cut_off: TicketError,
    ) -> Result<Self, TicketError> {
        let short = |_| cut_off;
        let ticket = Self {
            timeout: u32::from_be_bytes(*r.array().map_err(short)?),
            session_id: SessionId(r.long().map_err(short)?),
            passwd: Passwd(*r.array::<PASSWD_BYTES>().map_err(short)?),
            last_zxid: Zxid(r.long().map_err(short)?),
            next_xid: Xid(r.int().map_err(short)?),
        };
        if !ticket.session_id.is_some() || ticket.timeout == 0 || ticket.next_xid.0 < 1 {
            return Err(TicketError::NoSession);
        }
        for _ in 0..r.int().map_err(short)? {
            let tag = r.byte().map_err(short)?;
            let path = r.buffer().map_err(short)?.ok_or(cut_off)?;
            let needed = Registry::cost(path.len());
            if needed > registry.free() {
                return Err(TicketError::RegistryFull { needed, limit: registry.limit() });
            }
            if !registry.restore(tag, path) {
                return Err(cut_off);
            }
        }
        if r.rest().is_empty() { Ok(ticket) } else { Err(cut_off) }
    }
}

impl<'b> ClientSession<'b> {
    /// Writes the session's ticket into the caller's memory: id, passwd, timeout, newest zxid and, if
    /// asked for, the watches. Take it while connected or disconnected, and as late as can be: the
    /// numbers of requests that are sent after it was taken will be used again.
    ///
    /// # Errors
    /// [`ExportError::NoSession`] before a server has given a session and after its end;
    /// [`ExportError::Memory`] with the bytes needed.
    pub fn ticket<'m>(
        &self,
        contents: TicketContents,
        memory: &'m mut [u8],
    ) -> Result<&'m [u8], ExportError> {
        if !self.claim().is_some() || self.told.is_final() {
            return Err(ExportError::NoSession);
        }
        let ticket = Ticket {
            timeout: u32::try_from(self.live.timeout.as_millis()).unwrap_or(u32::MAX),
            session_id: self.session_id,
            passwd: self.passwd,
            last_zxid: self.last_zxid,
            next_xid: self.next_xid,
        };
        let watches = match contents {
            TicketContents::Session => None,
            TicketContents::SessionAndWatches => Some(&self.registry),
        };
        let mut writer = Writer::new(memory);
        ticket.write(watches, &mut writer);
        writer.finish().map_err(ExportError::Memory)
    }

    /// Sets up a session that goes on where the ticket's left off: its first connection resumes the
    /// session, or tells that it has expired.
    ///
    /// # Errors
    /// [`ConfigError`] as in [`new`](Self::new); [`ConfigError::Ticket`] if the bytes are not a
    /// sound ticket.
    pub fn resume(
        config: ClientConfig<'b>,
        storage: Storage<'b>,
        ticket: &[u8],
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let mut session = Self::new(config, storage, now)?;
        let ticket = Ticket::read(ticket, &mut session.registry).map_err(ConfigError::Ticket)?;
        session.session_id = ticket.session_id;
        session.passwd = ticket.passwd;
        session.last_zxid = ticket.last_zxid;
        session.next_xid = ticket.next_xid;
        session.live.timeout = Duration::from_millis(ticket.timeout.into());
        session.resumable = true;
        session.give_up_at = Maybe::NONE;
        Ok(session)
    }

    /// Leaves the session without closing it: the transport goes down, requests in flight end, and
    /// the ensemble keeps the session until its timeout, for whoever [resumes](Self::resume) it.
    /// Take the [ticket](Self::ticket) first.
    pub fn detach(&mut self, now: Instant) {
        self.tick(now);
        self.end(KeeperState::Closed, Cause::Detached);
    }
}

/// CRC-32 as in Ethernet and zip, of what `before` is the sum of (0 of nothing) and these bytes. It
/// needs no table: a ticket is short and written seldom. For whoever stores tickets, with something of
/// their own beside them.
pub fn crc32(before: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!before, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
    }
}
