//! A whole ensemble of one server in lent memory: no heap, for a device that is the ensemble of a
//! handful of others on its network.
//!
//! ```text
//! bytes ──handle_received──▶ connection ──requests──▶ znodes, tracker, watches
//!                                ▲                        │ replies, notifications
//! poll_ready ◀── transmit ◀──────┴────────────────────────┘
//! ```
//!
//! It answers as `Engine` does, of which it is the small sister: the same order of checks, the same
//! error codes, zxids and `Stat`s, events before the reply of the request that caused them. It has
//!
//! * sessions with timeouts, passwords and expiry, resumed over any number of connections,
//! * persistent, ephemeral and sequential znodes,
//! * one-shot, persistent and recursive watches, re-armed after a reconnect,
//! * ping, sync, and the four-letter words `ruok`, `isro` and `srvr`.
//!
//! Containers, times to live, multi, multiRead and whoAmI are answered by `Unimplemented`, ACLs
//! other than the open one by `InvalidAcl`. Nothing is kept over a restart.
//!
//! # When memory is full
//! Nothing is lost, and nothing is half done:
//!
//! | what is full | what a client sees |
//! | --- | --- |
//! | znode slots, or bytes | `SystemError` to its create or setData |
//! | watch slots, or bytes | `SystemError` to a request with a watch; to setWatches the same, and the connection closes, so that it tries again |
//! | session slots | its connection closes in the handshake |
//! | the transmit buffer, by one answer | `SystemError` to its read |
//! | the transmit buffer, by events it does not take | its connection closes; on the next one it catches up |
//!
//! ```
//! use zk_session::server::tiny::{Config, ConnectionSlot, Ensemble, Memory, NodeSlot, WatchSlot};
//! use zk_session::server::{ServerLink, SessionSlot};
//! use zk_session::time::Instant;
//!
//! let now = Instant::ORIGIN;
//! let mut buffers = [[[0; 512]; 2]; 4];
//! let mut connections =
//!     buffers.each_mut().map(|[recv, transmit]| ConnectionSlot::lent(recv, transmit));
//! let (mut nodes, mut watches) = ([NodeSlot::EMPTY; 32], [WatchSlot::EMPTY; 16]);
//! let (mut sessions, mut bytes) = ([SessionSlot::EMPTY; 8], [0; 4096]);
//! let memory = Memory {
//!     nodes: &mut nodes,
//!     watches: &mut watches,
//!     sessions: &mut sessions,
//!     connections: &mut connections,
//!     bytes: &mut bytes,
//! };
//! let mut ensemble = Ensemble::new(Config::default(), memory, now).unwrap();
//! let conn = ensemble.accept(now).unwrap();
//! ensemble.handle_bytes(now, conn, b"ruok");
//! assert_eq!(ensemble.poll_ready(), Some(conn));
//! assert_eq!(ensemble.poll_transmit(conn), b"imok");
//! ensemble.handle_transmitted(now, conn, 4);
//! assert_eq!(ensemble.poll_link(conn), ServerLink::Down);
//! ensemble.handle_disconnected(now, conn);
//! ```

mod execute;
mod memory;
mod read;
mod session;
mod store;
mod tree;
mod watches;
mod write;

use core::fmt;

pub use memory::{Config, ConnectionId, ConnectionSlot, Memory, NodeSlot, WatchSlot};
use store::Store;
use tree::Txn;

use super::answers::Answers;
use super::event::{CloseReason, ServerLink, TransmitFull};
use super::tracker::SessionTracker;
use crate::error::ConfigError;
use crate::machine::{Io, Machine};
use crate::time::Instant;
use crate::wire::Zxid;

/// An ensemble of one server as a pure machine in lent memory.
///
/// Connections are used as a [`Machine`] each, by id. A driver closes the transport of a connection
/// whose link is `Down` and then says [`handle_disconnected`](Self::handle_disconnected), which
/// gives its slot to the next client. A request is executed when all that was to be sent before has
/// left: who does not take answers asks for no more.
pub struct Ensemble<'b> {
    config: Config,
    store: Store<'b>,
    tracker: SessionTracker<'b>,
    connections: &'b mut [ConnectionSlot<'b>],
    zxid: Zxid,
    now: Instant,
}

impl<'b> Ensemble<'b> {
    /// An ensemble with the znodes of one that has just been set up.
    ///
    /// # Errors
    /// [`ConfigError::BufferTooSmall`] if these, four of them with 20 bytes of names, do not fit.
    pub fn new(config: Config, memory: Memory<'b>, now: Instant) -> Result<Self, ConfigError> {
        const NODES: usize = 4;
        const NAMES: usize = 20;
        let Memory { nodes, watches, sessions, connections, bytes } = memory;
        let too_small = |buffer, size, needed| {
            if size < needed {
                return Err(ConfigError::BufferTooSmall { buffer, size, needed });
            }
            Ok(())
        };
        too_small("znode", nodes.len(), NODES)?;
        too_small("names and data", bytes.len(), NAMES)?;
        let mut store = Store::new(nodes, watches, bytes);
        store.plant();
        connections.iter_mut().for_each(ConnectionSlot::reset);
        let tracker = SessionTracker::lent(config.tracker, sessions);
        let epoch = u64::from(config.epoch & (u32::MAX >> 1)) << u32::BITS;
        let zxid = Zxid(epoch.cast_signed());
        Ok(Self { config, store, tracker, connections, zxid, now })
    }

    /// A client has connected; `None` if there is no slot for it.
    pub fn accept(&mut self, now: Instant) -> Option<ConnectionId> {
        let now = self.advance(now);
        let place = self.connections.iter().position(|slot| !slot.used)?;
        let slot = self.connections.get_mut(place)?;
        slot.reset();
        slot.used = true;
        slot.deadline = Some(now.after(self.config.handshake_timeout));
        u16::try_from(place).ok().map(ConnectionId)
    }

    /// `n` bytes now lie at the start of the connection's [`Io::recv`].
    pub fn handle_received(&mut self, now: Instant, conn: ConnectionId, n: usize) {
        let now = self.advance(now);
        let Some(slot) = self.slot_mut(conn) else { return };
        slot.connection.handle_received(now, n);
        self.run(conn);
    }

    /// Takes received bytes by copy; returns how many were taken. Fewer than given: this
    /// connection is not to be read now.
    pub fn handle_bytes(&mut self, now: Instant, conn: ConnectionId, bytes: &[u8]) -> usize {
        let mut taken = 0_usize;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let room = self.poll_io(conn).recv;
            let n = room.len().min(rest.len());
            let (Some(to), Some(from)) = (room.get_mut(..n), rest.get(..n)) else { break };
            if n == 0 {
                break;
            }
            to.copy_from_slice(from);
            self.handle_received(now, conn, n);
            taken = taken.saturating_add(n);
        }
        taken
    }

    /// The first `n` bytes of the connection's [`poll_transmit`](Self::poll_transmit) have left.
    pub fn handle_transmitted(&mut self, now: Instant, conn: ConnectionId, n: usize) {
        let now = self.advance(now);
        let Some(slot) = self.slot_mut(conn) else { return };
        slot.connection.handle_transmitted(now, n);
        // There is room again, or nothing is left to be sent before the end.
        slot.ready |= slot.connection.poll_transmit().is_empty();
        self.run(conn);
    }

    /// The transport is gone: the connection is forgotten, and its watches with it. Its session
    /// lives on.
    pub fn handle_disconnected(&mut self, now: Instant, conn: ConnectionId) {
        self.advance(now);
        self.detach(conn);
        if let Some(slot) = self.slot_mut(conn) {
            slot.reset();
        }
    }

    /// It is `now`: sessions expire, handshakes that take too long end.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        while let Some(session) = self.tracker.poll_expired(now) {
            self.end_session(session, CloseReason::SessionExpired);
        }
        for conn in self.ids() {
            let is_late = |slot: &ConnectionSlot<'_>| slot.deadline.is_some_and(|at| at <= now);
            if self.slot(conn).is_some_and(is_late) {
                self.cut(conn, CloseReason::Idle);
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None`: nothing is awaited.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.connections.iter().filter_map(|slot| slot.deadline);
        deadlines.chain(self.tracker.poll_timeout()).min()
    }

    /// Bytes to send; empty if there is nothing to send or no such connection.
    pub fn poll_transmit(&self, conn: ConnectionId) -> &[u8] {
        self.slot(conn).map_or(&[], |slot| slot.connection.poll_transmit())
    }

    /// Room for received bytes and bytes to send. There is no room for a client that does not take
    /// its replies; it becomes [ready](Self::poll_ready) when there is room again.
    pub fn poll_io(&mut self, conn: ConnectionId) -> Io<'_> {
        match self.slot_mut(conn) {
            Some(slot) => slot.connection.poll_io(),
            None => Io { recv: &mut [], transmit: &[] },
        }
    }

    /// What is to be done with a transport; unknown ones are `Down`.
    pub fn poll_link(&self, conn: ConnectionId) -> ServerLink {
        self.slot(conn).map_or(ServerLink::Down, |slot| slot.connection.poll_link())
    }

    /// Why a connection is being closed; `None` while it is up, and for unknown ones.
    pub fn poll_reason(&self, conn: ConnectionId) -> Option<CloseReason> {
        self.slot(conn)?.connection.poll_reason()
    }

    /// The next connection that has had bytes to send, or room to read again, or was to be closed
    /// since it was last returned.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        let place = self.connections.iter().position(|slot| slot.used && slot.ready)?;
        self.connections.get_mut(place)?.ready = false;
        u16::try_from(place).ok().map(ConnectionId)
    }

    /// The last transaction.
    pub fn last_zxid(&self) -> Zxid {
        self.zxid
    }

    /// How many znodes there are, the root and ZooKeeper's own among them.
    pub fn node_count(&self) -> usize {
        self.store.nodes().count()
    }

    /// How many sessions are alive.
    pub fn session_count(&self) -> usize {
        self.tracker.sessions().count()
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.connections.iter().filter(|slot| slot.used).count()
    }

    /// How many paths are watched by connections; a path that two of them watch counts twice.
    pub fn watch_count(&self) -> usize {
        self.store.watch_count()
    }

    /// Bytes that names, data and the paths of watches take.
    pub fn bytes_used(&self) -> usize {
        self.store.used()
    }

    fn ids(&self) -> impl Iterator<Item = ConnectionId> + use<> {
        (0..).map(ConnectionId).take(self.connections.len())
    }

    fn slot(&self, conn: ConnectionId) -> Option<&ConnectionSlot<'b>> {
        self.connections.get(conn.index()).filter(|slot| slot.used)
    }

    fn slot_mut(&mut self, conn: ConnectionId) -> Option<&mut ConnectionSlot<'b>> {
        self.connections.get_mut(conn.index()).filter(|slot| slot.used)
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Starts a transaction.
    fn begin(&mut self) -> Txn {
        self.zxid = Zxid(self.zxid.0.wrapping_add(1));
        let origin = self.config.tracker.unix_time_at_origin;
        Txn { zxid: self.zxid, time: origin.saturating_add_unsigned(self.now.as_millis()) }
    }

    /// Writes to a connection; one that does not take it loses its connection.
    fn send(
        &mut self,
        conn: ConnectionId,
        write: impl FnOnce(&mut Answers<'b>) -> Result<(), TransmitFull>,
    ) {
        let Some(slot) = self.slot_mut(conn) else { return };
        let sent = write(&mut slot.connection.answers);
        self.sent(conn, sent);
    }

    fn sent(&mut self, conn: ConnectionId, sent: Result<(), TransmitFull>) {
        match sent {
            Ok(()) => {
                if let Some(slot) = self.slot_mut(conn) {
                    slot.ready = true;
                }
            }
            Err(TransmitFull { needed, free }) => {
                self.cut(conn, CloseReason::SlowConsumer { needed, free });
            }
        }
    }

    /// Closes a connection when what is pending has left, or at the latest after a while.
    fn shut(&mut self, conn: ConnectionId, reason: CloseReason) {
        let Some(slot) = self.slot_mut(conn) else { return };
        slot.connection.shut(reason);
        self.detach(conn);
    }

    /// Closes a connection at once.
    fn cut(&mut self, conn: ConnectionId, reason: CloseReason) {
        let Some(slot) = self.slot_mut(conn) else { return };
        slot.connection.cut(reason);
        self.detach(conn);
    }

    /// A connection speaks for its session no more, watches nothing, and ends.
    fn detach(&mut self, conn: ConnectionId) {
        let deadline = self.now.after(self.config.handshake_timeout);
        let Some(slot) = self.slot_mut(conn) else { return };
        let closing = slot.connection.poll_link() == ServerLink::Closing;
        (slot.session, slot.ready) = (None, true);
        slot.deadline = closing.then(|| slot.deadline.unwrap_or(deadline));
        self.store.forget(conn);
    }
}

impl fmt::Debug for Ensemble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ensemble")
            .field("zxid", &self.zxid)
            .field("nodes", &self.node_count())
            .field("bytes", &self.bytes_used())
            .finish_non_exhaustive()
    }
}
