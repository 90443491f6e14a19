//! What an ensemble is made of: the caller's memory.

use core::fmt;

use super::store::Piece;
use super::tree::NodeId;
use crate::machine::Machine;
use crate::server::connection::{FRAME_LIMIT, ServerConnection};
use crate::server::event::ServerLink;
use crate::server::modes::Modes;
use crate::server::tracker::{SessionRef, TrackerConfig};
use crate::server::{SessionSlot, answers::Phase};
use crate::storage::Buf;
use crate::time::{Duration, Instant};
use crate::wire::{SessionId, Zxid};

/// How an [`Ensemble`](super::Ensemble) behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How sessions are timed and named. Give it a good seed: session passwords are keyed by it.
    pub tracker: TrackerConfig,
    /// The upper half of every zxid, of which 31 bits count; 0. Nothing outlives the ensemble, but
    /// its clients do: they turn away from a server whose zxids are behind what they have seen, so
    /// each start needs a greater epoch than the one before. A counter in flash will do, and so
    /// will the seconds of a clock.
    pub epoch: u32,
    /// How long a client may take for its handshake, and for the last answer of a connection that
    /// is closing. 10 s.
    pub handshake_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tracker: TrackerConfig::default(),
            epoch: 0,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// The memory of an [`Ensemble`](super::Ensemble), lent for as long as it lives; what it holds is
/// forgotten.
pub struct Memory<'b> {
    /// One for each znode, of which ZooKeeper's own are four.
    pub nodes: &'b mut [NodeSlot],
    /// One for each path that a connection watches, in however many ways.
    pub watches: &'b mut [WatchSlot],
    /// One for each session.
    pub sessions: &'b mut [SessionSlot],
    /// One for each connection at a time.
    pub connections: &'b mut [ConnectionSlot<'b>],
    /// The names and data of znodes and the paths of watches, byte by byte; at most 65,535 bytes
    /// are used.
    pub bytes: &'b mut [u8],
}

impl fmt::Debug for Memory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("nodes", &self.nodes.len())
            .field("watches", &self.watches.len())
            .field("sessions", &self.sessions.len())
            .field("connections", &self.connections.len())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// Whether a slot holds a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// A znode that anyone may do anything with.
    Open,
    /// A znode that anyone may read.
    ReadOnly,
}

/// The memory of one znode, its name and data apart.
#[derive(Clone, Copy, Debug)]
pub struct NodeSlot {
    pub(super) czxid: Zxid,
    pub(super) mzxid: Zxid,
    pub(super) pzxid: Zxid,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    /// The session it goes with, if any.
    pub(super) owner: SessionId,
    pub(super) version: i32,
    pub(super) aversion: i32,
    /// Children ever created: names sequential ones, and is half of cversion.
    pub(super) creations: i32,
    pub(super) children: u16,
    /// Of a free slot, the free slot that comes after it.
    pub(super) parent: NodeId,
    /// The name, and the data behind it.
    pub(super) bytes: Piece,
    pub(super) name_len: u16,
    /// Data can be null, which is not empty.
    pub(super) has_data: bool,
    pub(super) state: State,
}

impl NodeSlot {
    /// No znode.
    pub const EMPTY: Self = Self {
        czxid: Zxid(0),
        mzxid: Zxid(0),
        pzxid: Zxid(0),
        ctime: 0,
        mtime: 0,
        owner: SessionId::NONE,
        version: 0,
        aversion: 0,
        creations: 0,
        children: 0,
        parent: NodeId::ROOT,
        bytes: Piece::EMPTY,
        name_len: 0,
        has_data: false,
        state: State::Free,
    };
}

/// The memory of what one connection watches of one path, the path apart.
#[derive(Clone, Copy, Debug)]
pub struct WatchSlot {
    pub(super) path: Piece,
    pub(super) conn: ConnectionId,
    pub(super) data: Modes,
    pub(super) child: Modes,
}

impl WatchSlot {
    /// No watch.
    pub const EMPTY: Self =
        Self { path: Piece::EMPTY, conn: ConnectionId(0), data: Modes::NONE, child: Modes::NONE };

    pub(super) fn is_used(&self) -> bool {
        !self.data.is_empty() || !self.child.is_empty()
    }
}

/// One transport connection of an ensemble: the place of its slot. It is somebody else's once its
/// driver has said that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConnectionId(pub(super) u16);

impl ConnectionId {
    /// The place of its slot, counted from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The session that a connection speaks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    pub(super) session: SessionRef,
    pub(super) timeout: Duration,
}

/// The memory of one connection.
pub struct ConnectionSlot<'b> {
    pub(super) connection: ServerConnection<'b>,
    pub(super) session: Option<Attached>,
    /// When it is cut unless something has happened; `None`: its session's end ends it.
    pub(super) deadline: Option<Instant>,
    pub(super) used: bool,
    pub(super) ready: bool,
}

/// What an answer may have beyond the bytes of its request: the header, ten digits of a sequential
/// name and a `Stat`, less what a request has that its answer has not.
const ANSWER_EXTRA: usize = 64;

impl<'b> ConnectionSlot<'b> {
    /// A slot with the buffers of its connection. A request may be as long as `recv` less four
    /// bytes and `transmit` less 64; a longer one ends its connection, as one beyond
    /// `jute.maxbuffer` does. An answer that does not fit `transmit` is answered by `SystemError`.
    /// A client that re-arms its watches loses its connection if it has missed more events than fit
    /// `transmit`: their paths and 36 bytes each.
    pub fn lent(recv: &'b mut [u8], transmit: &'b mut [u8]) -> Self {
        let longest = transmit.len().saturating_sub(ANSWER_EXTRA).min(FRAME_LIMIT);
        let connection = ServerConnection::new(Buf::Lent(recv), Buf::Lent(transmit), longest);
        Self { connection, session: None, deadline: None, used: false, ready: false }
    }

    /// For the next client.
    pub(super) fn reset(&mut self) {
        self.connection.inbox.clear();
        self.connection.answers.outbox.clear();
        self.connection.answers.phase = Phase::Fresh;
        (self.session, self.deadline) = (None, None);
        (self.used, self.ready) = (false, false);
    }

    /// Whether a request can be executed: what was answered before has been taken.
    pub(super) fn may_run(&self) -> bool {
        self.used
            && self.connection.poll_link() == ServerLink::Up
            && self.connection.answers.pending().is_empty()
    }
}

impl fmt::Debug for ConnectionSlot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSlot")
            .field("connection", &self.connection)
            .field("session", &self.session.map(|attached| attached.session.id()))
            .field("pending", &self.connection.poll_transmit().len())
            .finish_non_exhaustive()
    }
}
