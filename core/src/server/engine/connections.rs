//! All transport connections of an ensemble.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::EngineConfig;
use super::fronts::Fronts;
use super::stats::{ConnectionStats, Executed};
use crate::machine::Machine;
use crate::server::acl::Identity;
use crate::server::answers::Answers;
use crate::server::connection::ServerConnection;
use crate::server::event::{CloseReason, ServerLink};
use crate::server::sasl::SaslExchange;
use crate::server::tracker::{ServerId, SessionRef, bucket};
use crate::storage::{Buf, Inbox, READ_STEP};
use crate::time::{Duration, Instant};
use crate::wire::{EventType, LENGTH_BYTES, Zxid};

/// One transport connection of an engine; no other has it as long as the engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    generation: u32,
    index: u32,
}

impl ConnectionId {
    /// A small number that no other connection has at the same time.
    pub fn index(self) -> usize {
        usize::try_from(self.index).unwrap_or(usize::MAX)
    }

    /// All of the id as one number. Where `usize` has 32 bits it is the index only.
    pub fn to_bits(self) -> usize {
        let bits = (u64::from(self.generation) << 32) | u64::from(self.index);
        usize::try_from(bits).unwrap_or(self.index())
    }
}

/// One connection and what the engine knows of it.
pub(super) struct Conn {
    pub(super) server: ServerId,
    pub(super) peer: SocketAddr,
    pub(super) connection: ServerConnection<'static>,
    pub(super) session: Option<Attached>,
    pub(super) identities: Vec<Identity>,
    /// A SASL exchange under way.
    pub(super) sasl: Option<Box<dyn SaslExchange>>,
    /// When bytes last went either way.
    pub(super) moved: Instant,
    /// When bytes last came in.
    pub(super) received: Instant,
    pub(super) opened: Instant,
    pub(super) stats: ConnectionStats,
    /// Requests executed since all answers had left.
    pub(super) owed: usize,
    /// Bytes of the large request that is on its way in.
    large: usize,
    /// Whether its server counts it.
    admitted: bool,
    /// When it will be looked at for idleness.
    look_at: Instant,
    /// When more was received or pending than small buffers hold.
    large_at: Instant,
    ready: bool,
}

/// More than this at once, received or pending, is what a connection has large buffers for.
const SMALL: usize = 2048;

/// How long large buffers stay when they are not needed: a client that has them filled in turn with
/// small requests is not to pay for moving each time.
const LARGE_STAYS: Duration = Duration::from_millis(1000);

/// The session a connection speaks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    pub(super) session: SessionRef,
    pub(super) timeout: Duration,
}

impl Conn {
    pub(super) fn answers(&mut self) -> &mut Answers<'static> {
        &mut self.connection.answers
    }

    /// `n` bytes have been received.
    pub(super) fn take_in(&mut self, now: Instant, n: usize) {
        self.connection.handle_received(now, n);
        (self.moved, self.received) = (now, now);
        if n >= SMALL {
            self.large_at = now;
        }
    }

    /// Gives back what the buffers have grown by if it has not been needed for a while. An idle
    /// client's next ping does it.
    pub(super) fn trim(&mut self, now: Instant) {
        let ServerConnection { inbox, answers } = &mut self.connection;
        if !inbox.is_empty() || answers.pending().len() > SMALL {
            self.large_at = now;
        } else if now.since(self.large_at) >= LARGE_STAYS {
            inbox.shrink(READ_STEP);
            answers.shrink();
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.answers.is_open()
    }

    /// When it will have been idle for too long.
    ///
    /// ZooKeeper lets a connection without a session live for as long as it sends a byte now and
    /// then; here the handshake has a limited time in all.
    pub(super) fn idle_at(&self, config: &EngineConfig) -> Instant {
        match self.session {
            Some(Attached { timeout, .. }) => idle_at(self.moved, timeout, config),
            None => {
                let since = if self.is_open() { self.opened } else { self.moved };
                idle_at(since, config.sessionless_timeout, config)
            }
        }
    }

    /// The memory of its buffers.
    fn buffer_bytes(&self) -> usize {
        let transmit = self.connection.answers.capacity();
        self.connection.inbox.capacity().saturating_add(transmit)
    }

    /// Whether it may read and execute: the peer takes what it asked for.
    pub(super) fn may_run(&self, config: &EngineConfig) -> bool {
        self.is_open() && self.connection.answers.pending().len() <= config.pause_above()
    }
}

#[derive(Default)]
struct Slot {
    generation: u32,
    conn: Option<Box<Conn>>,
}

/// Connections by id, and which of them need their driver.
#[derive(Default)]
pub(super) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    pub(super) fronts: Fronts,
    ready: VecDeque<ConnectionId>,
    idle: BTreeSet<(Instant, ConnectionId)>,
}

impl Connections {
    /// Adds a connection; one too many is to be closed for the reason given.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        server: ServerId,
        peer: SocketAddr,
        config: &EngineConfig,
    ) -> (ConnectionId, Result<(), CloseReason>) {
        let admitted = self.fronts.admit(server, peer.ip(), config);
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let recv = Buf::owned(config.frame_limit.saturating_add(LENGTH_BYTES));
        let transmit = Buf::owned(config.outbox_limit);
        let conn = Conn {
            server,
            peer,
            connection: ServerConnection::new(recv, transmit, config.frame_limit),
            session: None,
            identities: Vec::from([Identity::of_peer(peer.ip())]),
            sasl: None,
            moved: now,
            received: now,
            opened: now,
            stats: ConnectionStats::default(),
            owed: 0,
            large: 0,
            admitted: admitted.is_ok(),
            look_at: Instant::ORIGIN,
            large_at: now,
            ready: false,
        };
        let mut id = ConnectionId { generation: 0, index };
        if let Some(slot) = self.slots.get_mut(id.index()) {
            id.generation = slot.generation;
            slot.conn = Some(Box::new(conn));
        }
        self.watch_idle(id, idle_at(now, config.sessionless_timeout, config));
        (id, admitted)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Box<Conn>> {
        let slot = self.slots.get_mut(id.index())?;
        let conn = slot.conn.take_if(|_| slot.generation == id.generation)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.idle.remove(&(conn.look_at, id));
        let front = self.fronts.get_mut(conn.server);
        front.outstanding = front.outstanding.saturating_sub(conn.owed);
        front.large_bytes = front.large_bytes.saturating_sub(conn.large);
        if conn.admitted {
            self.fronts.dismiss(conn.server, conn.peer.ip());
        }
        Some(conn)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Conn> {
        let slot = self.slots.get(id.index()).filter(|slot| slot.generation == id.generation)?;
        slot.conn.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.index())?;
        slot.conn.as_deref_mut().filter(|_| slot.generation == id.generation)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = (ConnectionId, &Conn)> + '_ {
        (0_u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let conn = slot.conn.as_deref()?;
            Some((ConnectionId { generation: slot.generation, index }, conn))
        })
    }

    /// The memory of all buffers.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.ids().map(|(_, conn)| conn.buffer_bytes()).fold(0, usize::saturating_add)
    }

    /// The connections of a server.
    pub(super) fn of(&self, server: ServerId) -> impl Iterator<Item = (ConnectionId, &Conn)> + '_ {
        self.ids().filter(move |(_, conn)| conn.server == server)
    }

    /// Whether a connection is not to be read now: its client does not take its answers.
    pub(super) fn is_paused(&self, id: ConnectionId, config: &EngineConfig) -> bool {
        self.get(id).is_none_or(|conn| {
            let waiting = || self.fronts.get(conn.server).outstanding;
            !conn.may_run(config) || (conn.owed > 0 && waiting() > config.global_outstanding_limit)
        })
    }

    /// A four-letter word has come in.
    pub(super) fn word_received(&mut self, id: ConnectionId) {
        let Some(conn) = self.get_mut(id) else { return };
        conn.stats.received = conn.stats.received.wrapping_add(1);
        let server = conn.server;
        let stats = &mut self.fronts.get_mut(server).stats;
        stats.received = stats.received.wrapping_add(1);
    }

    /// Requests were executed.
    pub(super) fn executed(&mut self, id: ConnectionId, now: Instant, zxid: Zxid, done: Executed) {
        if done.requests == 0 {
            return;
        }
        let Some(conn) = self.get_mut(id) else { return };
        let (latency, waits) =
            (now.since(conn.received), !conn.connection.answers.pending().is_empty());
        let stats = &mut conn.stats;
        stats.received = stats.received.wrapping_add(done.requests);
        stats.latency.record(latency, done.requests);
        if let Some((op, xid)) = done.last {
            (stats.last_op, stats.last_zxid, stats.last_response) = (op.letters(), zxid, now);
            if xid.0 >= 0 {
                stats.last_cxid = Some(xid);
            }
        }
        let owed = if waits { usize::try_from(done.requests).unwrap_or(usize::MAX) } else { 0 };
        conn.owed = conn.owed.saturating_add(owed);
        let server = conn.server;
        let front = self.fronts.get_mut(server);
        front.outstanding = front.outstanding.saturating_add(owed);
        front.stats.received = front.stats.received.wrapping_add(done.requests);
        front.stats.latency.record(latency, done.requests);
    }

    /// A frame was written to a connection.
    #[inline]
    pub(super) fn sent(&mut self, id: ConnectionId) {
        let Some(conn) = self.get_mut(id) else { return };
        conn.stats.sent = conn.stats.sent.wrapping_add(1);
        let server = conn.server;
        let stats = &mut self.fronts.get_mut(server).stats;
        stats.sent = stats.sent.wrapping_add(1);
    }

    /// Once all answers have left or are lost, none is owed.
    pub(super) fn settle(&mut self, id: ConnectionId) {
        let Some(conn) = self.get_mut(id) else { return };
        if conn.owed > 0 && conn.connection.answers.pending().is_empty() {
            let (owed, server) = (core::mem::take(&mut conn.owed), conn.server);
            let front = self.fronts.get_mut(server);
            front.outstanding = front.outstanding.saturating_sub(owed);
        }
    }

    /// Notes how long the large request is that a connection is receiving, 0 if none is.
    ///
    /// # Errors
    /// There are too many bytes of them.
    pub(super) fn receiving(
        &mut self,
        id: ConnectionId,
        len: usize,
        config: &EngineConfig,
    ) -> Result<(), CloseReason> {
        let len =
            if config.large_request_threshold.is_some_and(|least| len > least) { len } else { 0 };
        let Some(conn) = self.get_mut(id).filter(|conn| conn.large != len) else { return Ok(()) };
        let (before, server) = (core::mem::take(&mut conn.large), conn.server);
        let front = self.fronts.get_mut(server);
        front.large_bytes = front.large_bytes.saturating_sub(before);
        let together = front.large_bytes.saturating_add(len);
        if len > 0 && together > config.large_request_max_bytes {
            front.counters.large_rejected = front.counters.large_rejected.wrapping_add(1);
            return Err(CloseReason::LargeRequests { len });
        }
        front.large_bytes = together;
        if let Some(conn) = self.get_mut(id) {
            conn.large = len;
        }
        Ok(())
    }

    /// Forgets what a server's connections have done.
    pub(super) fn reset_stats(&mut self, server: ServerId) {
        let conns = self.slots.iter_mut().filter_map(|slot| slot.conn.as_deref_mut());
        for conn in conns.filter(|conn| conn.server == server) {
            conn.stats = ConnectionStats::default();
        }
    }

    /// Takes the receive buffer out, so that events can be lent from it while the rest of the
    /// engine changes; see [`put_inbox`](Self::put_inbox).
    pub(super) fn take_inbox(&mut self, id: ConnectionId) -> Option<Inbox<'static>> {
        let conn = self.get_mut(id)?;
        Some(core::mem::replace(&mut conn.connection.inbox, Inbox::new(Buf::owned(0))))
    }

    pub(super) fn put_inbox(&mut self, now: Instant, id: ConnectionId, inbox: Inbox<'static>) {
        if let Some(conn) = self.get_mut(id) {
            conn.connection.inbox = inbox;
            conn.trim(now);
        }
    }

    /// Tells a client of a change; false if it cannot be told.
    pub(super) fn notify(
        &mut self,
        id: ConnectionId,
        zxid: Zxid,
        kind: EventType,
        path: &[u8],
    ) -> Result<(), crate::server::TransmitFull> {
        let Some(conn) = self.get_mut(id) else { return Ok(()) };
        conn.answers().notify(zxid, kind, path)?;
        self.mark_ready(id);
        Ok(())
    }

    /// The connection's driver has something to do.
    pub(super) fn mark_ready(&mut self, id: ConnectionId) {
        let Some(conn) = self.get_mut(id) else { return };
        if !core::mem::replace(&mut conn.ready, true) {
            self.ready.push_back(id);
        }
    }

    pub(super) fn next_ready(&mut self) -> Option<ConnectionId> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(conn) = self.get_mut(id) {
                conn.ready = false;
                return Some(id);
            }
        }
    }

    /// When a connection will next be looked at for idleness.
    pub(super) fn idle_timeout(&self) -> Option<Instant> {
        self.idle.first().map(|(at, _)| *at)
    }

    /// The next connection through which nothing has gone for too long.
    pub(super) fn next_idle(
        &mut self,
        now: Instant,
        config: &EngineConfig,
    ) -> Option<ConnectionId> {
        while let Some((_, id)) = self.idle.first().copied().filter(|(at, _)| *at <= now) {
            self.idle.pop_first();
            // One that is closing is looked at, too: its client may not take the last answer.
            let up = |conn: &&Conn| conn.connection.poll_link() != ServerLink::Down;
            let Some(conn) = self.get(id).filter(up) else { continue };
            let at = conn.idle_at(config);
            if at <= now {
                return Some(id);
            }
            self.watch_idle(id, at);
        }
        None
    }

    fn watch_idle(&mut self, id: ConnectionId, at: Instant) {
        if let Some(conn) = self.get_mut(id) {
            conn.look_at = at;
            self.idle.insert((at, id));
        }
    }
}

/// # Source
/// `NIOServerCnxnFactory.touchCnxn`, 3.8.0.
fn idle_at(moved: Instant, timeout: Duration, config: &EngineConfig) -> Instant {
    bucket(moved.after(timeout), config.sessionless_timeout)
}
