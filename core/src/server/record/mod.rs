//! The whole state of an engine as records: to be stored, and started from again.
//!
//! ```text
//! Engine ──records──▶ Header, Session*, Znode* ──encode──▶ bytes ──decode──▶ Restore ──finish──▶ Engine
//!        ──poll_changes──▶ Put(Record) | Remove(RecordKey)
//! ```
//!
//! Watches, connections and authentication are no state: they end with the process, as in
//! ZooKeeper.

mod bytes;

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use super::tree::Kind;
use crate::time::Duration;
use crate::wire::{Acl, SessionId, Zxid};

/// One part of an engine's state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// What there is once. It comes first.
    Header(HeaderRecord),
    /// A session. All of them come before the znodes.
    Session(SessionRecord),
    /// A znode. Parents come before their children.
    Znode(ZnodeRecord<'a>),
}

/// What an ensemble has once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderRecord {
    /// The last transaction.
    pub zxid: Zxid,
    /// The key of all session passwords: whoever knows it can speak for any session.
    pub seed: u64,
    /// The lower 56 bits of the next session id; `None` before there was a session.
    pub next_session: Option<u64>,
}

/// The seed is a secret and stays out.
impl fmt::Debug for HeaderRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderRecord")
            .field("zxid", &self.zxid)
            .field("next_session", &self.next_session)
            .finish_non_exhaustive()
    }
}

/// A session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its id.
    pub session_id: SessionId,
    /// Its timeout; all of it is left after a restart.
    pub timeout: Duration,
}

/// A znode. What `Stat` tells beside is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZnodeRecord<'a> {
    /// Where it is.
    pub path: Cow<'a, str>,
    /// What it holds; null and empty differ.
    pub data: Option<&'a [u8]>,
    /// Who may do what.
    pub acl: Vec<Acl<'a>>,
    /// How long it stays.
    pub kind: Kind,
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The transaction that last set its data.
    pub mzxid: Zxid,
    /// The transaction in which a child last came or went.
    pub pzxid: Zxid,
    /// When it was created, in milliseconds since 1970.
    pub ctime: i64,
    /// When its data was last set, in milliseconds since 1970.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often its ACL was set.
    pub aversion: i32,
    /// How many children were ever created: what the next sequential one is named by.
    pub creations: i32,
}

/// Names a record. No two records of a state have the same.
///
/// Keys, and their [bytes](Self::encode) even more simply, are in an order in which records can be
/// restored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey<'a> {
    /// The header.
    Header,
    /// A session.
    Session(SessionId),
    /// A znode, by its path.
    Znode(Cow<'a, str>),
}

/// What is to be done to stored records, so that they become the state as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Store the record; the one of the same key goes.
    Put(Record<'a>),
    /// Remove the record of this key.
    Remove(RecordKey<'a>),
}

impl Record<'_> {
    /// What the record is stored under.
    pub fn key(&self) -> RecordKey<'_> {
        match self {
            Self::Header(_) => RecordKey::Header,
            Self::Session(session) => RecordKey::Session(session.session_id),
            Self::Znode(znode) => RecordKey::Znode(Cow::Borrowed(&znode.path)),
        }
    }
}

impl RecordKey<'_> {
    /// Appends the key as bytes; their lexicographic order is one that records can be restored in.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Header => bytes.push(bytes::HEADER),
            Self::Session(id) => {
                bytes.push(bytes::SESSION);
                bytes.extend_from_slice(&id.0.to_be_bytes());
            }
            Self::Znode(path) => {
                bytes.push(bytes::ZNODE);
                bytes.extend_from_slice(path.as_bytes());
            }
        }
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RecordError {
    /// There are fewer than in any record.
    Truncated {
        /// How many there are.
        len: usize,
    },
    /// They have changed since they were written, or end too early.
    Checksum,
    /// They are of a kind or version that this library does not read.
    Unknown(u8),
    /// They are intact, but say nothing that makes sense.
    Malformed {
        /// How many bytes do.
        at: usize,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { len } => write!(f, "{len} bytes are no record"),
            Self::Checksum => f.write_str("record is damaged: its checksum does not match"),
            Self::Unknown(tag) => write!(f, "record of unknown kind or version {tag}"),
            Self::Malformed { at } => write!(f, "record makes no sense from byte {at} on"),
        }
    }
}

impl core::error::Error for RecordError {}
