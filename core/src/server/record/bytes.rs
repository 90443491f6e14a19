//! Records as bytes.
//!
//! ```text
//! record  = tag:u8 body sum:u32                   sum: lower half of SipHash-1-3 over tag and body
//! header  = zxid seed:u64 next                    next: 0 for none, else one more
//! session = id:u64 timeout                        tag 2
//! znode   = path data kind acl czxid mzxid-czxid pzxid-czxid ctime mtime-ctime version aversion creations
//! path    = len bytes        data = 0 for null, or len+1 bytes
//! kind    = 0 | 1 owner:u64 | 2 | 3 ttl           acl = 0 for world:anyone ALL, or n+1 {perms len scheme len id}*
//! ```
//! `:u64` and `:u32` are big-endian; all other numbers take 7 bits a byte, low first, signed ones
//! zigzag. The tag is also the version: a changed body gets a new one.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::{HeaderRecord, Record, RecordError, SessionRecord, ZnodeRecord};
use crate::server::tree::Kind;
use crate::time::Duration;
use crate::wire::{Acl, Perms, SessionId, Ustring, Zxid};

pub(super) const HEADER: u8 = 1;
pub(super) const SESSION: u8 = 2;
pub(super) const ZNODE: u8 = 3;

const SUM_BYTES: usize = 4;

impl<'a> Record<'a> {
    /// Appends the record as bytes, checksum included. They do not tell where they end.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        match self {
            Self::Header(header) => {
                bytes.push(HEADER);
                signed(bytes, header.zxid.0);
                bytes.extend_from_slice(&header.seed.to_be_bytes());
                number(bytes, header.next_session.map_or(0, |next| next.saturating_add(1)));
            }
            Self::Session(session) => {
                bytes.push(SESSION);
                bytes.extend_from_slice(&session.session_id.0.to_be_bytes());
                number(bytes, session.timeout.as_millis());
            }
            Self::Znode(znode) => {
                bytes.push(ZNODE);
                znode.encode(bytes);
            }
        }
        let sum = sum(bytes.get(start..).unwrap_or_default());
        bytes.extend_from_slice(&sum);
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing behind it.
    ///
    /// # Errors
    /// [`RecordError`], by variant.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let truncated = RecordError::Truncated { len: bytes.len() };
        let (body, found) = bytes.split_last_chunk::<SUM_BYTES>().ok_or(truncated)?;
        let (tag, _) = body.split_first().ok_or(truncated)?;
        if sum(body) != *found {
            return Err(RecordError::Checksum);
        }
        let mut source = Source { bytes: body, at: 1 };
        let record = match *tag {
            HEADER => source.header().map(Self::Header),
            SESSION => source.session().map(Self::Session),
            ZNODE => source.znode().map(Self::Znode),
            other => return Err(RecordError::Unknown(other)),
        };
        let whole = record.filter(|_| source.at == body.len());
        whole.ok_or(RecordError::Malformed { at: source.at })
    }
}

fn sum(bytes: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    let [.., a, b, c, d] = hasher.finish().to_be_bytes();
    [a, b, c, d]
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
}

fn signed(bytes: &mut Vec<u8>, value: i64) {
    number(bytes, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn length(bytes: &mut Vec<u8>, len: usize) {
    number(bytes, u64::try_from(len).unwrap_or(u64::MAX));
}

fn block(bytes: &mut Vec<u8>, block: &[u8]) {
    length(bytes, block.len());
    bytes.extend_from_slice(block);
}

impl ZnodeRecord<'_> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        block(bytes, self.path.as_bytes());
        match self.data {
            None => number(bytes, 0),
            Some(data) => {
                length(bytes, data.len().saturating_add(1));
                bytes.extend_from_slice(data);
            }
        }
        match self.kind {
            Kind::Persistent => bytes.push(0),
            Kind::Ephemeral(owner) => {
                bytes.push(1);
                bytes.extend_from_slice(&owner.0.to_be_bytes());
            }
            Kind::Container => bytes.push(2),
            Kind::Ttl(ttl) => {
                bytes.push(3);
                signed(bytes, ttl);
            }
        }
        if *self.acl == *Acl::OPEN {
            number(bytes, 0);
        } else {
            length(bytes, self.acl.len().saturating_add(1));
            for Acl { perms, scheme, id } in self.acl.iter() {
                signed(bytes, perms.0.into());
                block(bytes, scheme.as_bytes().unwrap_or_default());
                block(bytes, id.as_bytes().unwrap_or_default());
            }
        }
        signed(bytes, self.czxid.0);
        signed(bytes, self.mzxid.0.wrapping_sub(self.czxid.0));
        signed(bytes, self.pzxid.0.wrapping_sub(self.czxid.0));
        signed(bytes, self.ctime);
        signed(bytes, self.mtime.wrapping_sub(self.ctime));
        for value in [self.version, self.aversion, self.creations] {
            signed(bytes, value.into());
        }
    }
}

/// A body that is being read; `None`: it makes no sense from here on.
struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let [byte] = self.take(1)? else { return None };
        Some(*byte)
    }

    fn fixed(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg())
    }

    fn int(&mut self) -> Option<i32> {
        self.signed()?.try_into().ok()
    }

    fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let len = self.length()?;
        self.take(len)
    }

    fn header(&mut self) -> Option<HeaderRecord> {
        let (zxid, seed) = (Zxid(self.signed()?), self.fixed()?);
        Some(HeaderRecord { zxid, seed, next_session: self.number()?.checked_sub(1) })
    }

    fn session(&mut self) -> Option<SessionRecord> {
        let session_id = SessionId(self.fixed()?.cast_signed());
        Some(SessionRecord { session_id, timeout: Duration::from_millis(self.number()?) })
    }

    fn znode(&mut self) -> Option<ZnodeRecord<'a>> {
        let path = Cow::Borrowed(core::str::from_utf8(self.block()?).ok()?);
        let data = match self.length()?.checked_sub(1) {
            None => None,
            Some(len) => Some(self.take(len)?),
        };
        let kind = match self.byte()? {
            0 => Kind::Persistent,
            1 => Kind::Ephemeral(SessionId(self.fixed()?.cast_signed())),
            2 => Kind::Container,
            3 => Kind::Ttl(self.signed()?),
            _ => return None,
        };
        let acl = self.acl()?;
        let czxid = self.signed()?;
        let (mzxid, pzxid) = (self.signed()?, self.signed()?);
        let (ctime, mtime) = (self.signed()?, self.signed()?);
        Some(ZnodeRecord {
            path,
            data,
            acl,
            kind,
            czxid: Zxid(czxid),
            mzxid: Zxid(czxid.wrapping_add(mzxid)),
            pzxid: Zxid(czxid.wrapping_add(pzxid)),
            ctime,
            mtime: ctime.wrapping_add(mtime),
            version: self.int()?,
            aversion: self.int()?,
            creations: self.int()?,
        })
    }

    fn acl(&mut self) -> Option<Vec<Acl<'a>>> {
        let Some(count) = self.length()?.checked_sub(1) else {
            return Some(Acl::OPEN.to_vec());
        };
        // No more room than the bytes could fill, whatever they say.
        let mut entries = Vec::with_capacity(count.min(self.bytes.len()).min(16));
        for _ in 0..count {
            entries.push(Acl {
                perms: Perms(self.int()?),
                scheme: Ustring::from_bytes(self.block()?),
                id: Ustring::from_bytes(self.block()?),
            });
        }
        Some(entries)
    }
}
