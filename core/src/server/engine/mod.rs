//! A whole ensemble's state: its sessions, its znodes, and the front-end servers that connect
//! clients to them.
//!
//! ```text
//! bytes ──handle_received──▶ connection ──requests──▶ tree, tracker, watches
//!                                ▲                        │ replies, notifications
//! poll_ready ◀── outbox ◀────────┴────────────────────────┘
//! ```
//!
//! A request is executed as soon as its bytes are there, in the order of the wire; events that it
//! causes are in every outbox before its reply is.

mod access;
mod config;
mod connections;
mod execute;
mod faults;
mod fronts;
mod look;
mod multi;
mod read;
mod reap;
mod records;
mod restore;
mod sasl;
mod session;
mod stats;
mod throttle;
mod watching;
mod words;
mod write;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

pub use config::{ConnectionInfo, EngineConfig, Release, SessionInfo};
pub use connections::ConnectionId;
use connections::Connections;
use records::Changes;
pub use restore::{Restore, RestoreError};
pub use words::FourLetterWords;

use super::answers::Answers;
use super::event::{CloseReason, ServerLink, TransmitFull};
use super::sasl::SaslMechanism;
use super::tracker::{ServerId, SessionTracker};
use super::tree::{Tree, Txn};
use super::watches::Watches;
use crate::machine::{Io, Machine};
use crate::time::Instant;
use crate::trace::debug_event;
use crate::wire::{SessionId, Zxid};

/// A ZooKeeper ensemble as a pure machine: n front-end servers over one state.
///
/// The first server added is the leader, unless it is [read-only](Self::set_access). Connections are
/// used as a [`Machine`] each, by id; a driver closes the transport of a connection whose link is `Down` and then says
/// [`handle_disconnected`](Self::handle_disconnected), which forgets it.
pub struct Engine {
    config: EngineConfig,
    servers: Vec<ServerId>,
    connections: Connections,
    tracker: SessionTracker<'static>,
    /// The connections that speak for each session, at most one on each server.
    attached: BTreeMap<SessionId, Vec<ConnectionId>>,
    /// Those of them that only their server knows.
    local: BTreeSet<SessionId>,
    /// Servers that have lost the quorum.
    read_only: BTreeSet<ServerId>,
    /// Sessions live on, for there is nobody to expire them.
    held: bool,
    tree: Tree,
    watches: Watches,
    zxid: Zxid,
    now: Instant,
    /// How clients prove who they are, beside auth packets.
    mechanism: Option<Box<dyn SaslMechanism>>,
    /// When containers and times to live are looked after next.
    reap_at: Instant,
    /// Set and shown by four-letter words.
    trace_mask: u64,
    /// Shown by four-letter words.
    data: words::DataDir,
    /// `None`: nobody asks.
    changes: Option<Changes>,
}

impl Engine {
    /// An ensemble without servers, with the znodes of one that has just been set up.
    pub fn new(config: EngineConfig, now: Instant) -> Self {
        Self {
            tracker: SessionTracker::owned(config.tracker(), config.session_limit),
            reap_at: now.after(config.container_check_interval),
            config,
            servers: Vec::new(),
            connections: Connections::default(),
            attached: BTreeMap::new(),
            local: BTreeSet::new(),
            read_only: BTreeSet::new(),
            held: false,
            tree: Tree::new(),
            watches: Watches::default(),
            zxid: Zxid(0),
            now,
            mechanism: None,
            trace_mask: words::TRACE_MASK,
            data: words::DataDir::default(),
            changes: None,
        }
    }

    /// Adds a front-end server; its number is one more than that of the last.
    pub fn add_server(&mut self) -> ServerId {
        let next = self.servers.last().map_or(1, |last| last.0.wrapping_add(1));
        self.servers.push(ServerId(next));
        self.connections.fronts.get_mut(ServerId(next)).started = Some(self.now);
        ServerId(next)
    }

    /// Tells where clients reach a server: the four-letter word `conf` shows it.
    pub fn set_address(&mut self, server: ServerId, address: SocketAddr) {
        self.connections.fronts.get_mut(server).address = Some(address);
    }

    /// A client has connected to a server from `peer`. If there are too many, the connection's link
    /// is `Down` at once.
    pub fn accept(&mut self, now: Instant, server: ServerId, peer: SocketAddr) -> ConnectionId {
        let now = self.advance(now);
        let (conn, admitted) = self.connections.insert(now, server, peer, &self.config);
        if let Err(reason) = admitted {
            self.cut(conn, reason);
        }
        conn
    }

    /// `n` bytes now lie at the start of the connection's [`Io::recv`].
    pub fn handle_received(&mut self, now: Instant, conn: ConnectionId, n: usize) {
        let now = self.advance(now);
        let Some(state) = self.connections.get_mut(conn) else { return };
        state.take_in(now, n);
        let server = state.server;
        let counters = &mut self.connections.fronts.get_mut(server).counters;
        counters.bytes_received = counters.bytes_received.wrapping_add(bytes(n));
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
        let paused = self.connections.is_paused(conn, &self.config);
        let Some(state) = self.connections.get_mut(conn) else { return };
        state.connection.handle_transmitted(now, n);
        state.moved = now;
        let (server, open) = (state.server, state.is_open());
        let counters = &mut self.connections.fronts.get_mut(server).counters;
        counters.bytes_sent = counters.bytes_sent.wrapping_add(bytes(n));
        self.connections.settle(conn);
        if !open {
            self.connections.mark_ready(conn);
        } else if paused && !self.connections.is_paused(conn, &self.config) {
            self.connections.mark_ready(conn);
            self.run(conn);
        }
    }

    /// The transport is gone: the connection is forgotten, and its watches with it. Its session
    /// lives on.
    pub fn handle_disconnected(&mut self, now: Instant, conn: ConnectionId) {
        self.advance(now);
        self.detach(conn);
        self.connections.remove(conn);
    }

    /// Bytes to send; empty if there is nothing to send or no such connection.
    pub fn poll_transmit(&self, conn: ConnectionId) -> &[u8] {
        self.connections.get(conn).map_or(&[], |state| state.connection.poll_transmit())
    }

    /// Room for received bytes and bytes to send. There is no room for a client that does not take
    /// its replies; it becomes [ready](Self::poll_ready) when there is room again.
    pub fn poll_io(&mut self, conn: ConnectionId) -> Io<'_> {
        let paused = self.connections.is_paused(conn, &self.config);
        let Some(state) = self.connections.get_mut(conn) else {
            return Io { recv: &mut [], transmit: &[] };
        };
        if !paused {
            return state.connection.poll_io();
        }
        Io { recv: &mut [], transmit: state.connection.poll_transmit() }
    }

    /// What is to be done with a transport; unknown ones are `Down`.
    pub fn poll_link(&self, conn: ConnectionId) -> ServerLink {
        self.connections.get(conn).map_or(ServerLink::Down, |state| state.connection.poll_link())
    }

    /// Why a connection is being closed; `None` while it is up, and for unknown ones.
    pub fn poll_reason(&self, conn: ConnectionId) -> Option<CloseReason> {
        self.connections.get(conn)?.connection.poll_reason()
    }

    /// It is `now`: sessions expire, silent connections are closed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.hold_sessions(now);
        while let Some(session) = self.tracker.poll_expired(now) {
            debug_event!("session {} expired", session);
            let leader = self.leader().unwrap_or(ServerId(0));
            let counters = &mut self.connections.fronts.get_mut(leader).counters;
            counters.sessions_expired = counters.sessions_expired.wrapping_add(1);
            self.end_session(session, CloseReason::SessionExpired);
        }
        while let Some(conn) = self.connections.next_idle(now, &self.config) {
            if let Some(state) = self.connections.get(conn).filter(|state| state.session.is_none())
            {
                let server = state.server;
                let counters = &mut self.connections.fronts.get_mut(server).counters;
                counters.sessionless_expired = counters.sessionless_expired.wrapping_add(1);
            }
            self.cut(conn, CloseReason::Idle);
        }
        self.reap();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let reap = self.tree.reapable().next().and(self.leader()).map(|_| self.reap_at);
        let elected = self.leader().filter(|_| self.held).map(|_| self.now);
        [self.tracker.poll_timeout(), self.connections.idle_timeout(), reap, elected]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next connection that has had bytes to send, or room to read again, or was to be closed
    /// since it was last returned.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        self.connections.next_ready()
    }

    /// The connections of a server.
    pub fn connections(&self, server: ServerId) -> impl Iterator<Item = ConnectionId> + '_ {
        self.connections.ids().filter(move |(_, state)| state.server == server).map(|(id, _)| id)
    }

    /// How many connections a server has, those apart that it refused for being too many.
    pub fn connection_count(&self, server: ServerId) -> usize {
        self.connections.fronts.get(server).connections
    }

    /// Who is at the other end; `None` if there is no such connection.
    pub fn connection(&self, conn: ConnectionId) -> Option<ConnectionInfo> {
        let state = self.connections.get(conn)?;
        let session_id = state.session.map(|attached| attached.session.id());
        Some(ConnectionInfo { server: state.server, peer: state.peer, session_id })
    }

    /// Bytes of memory that all connections together have for what they receive and send. Looks at
    /// each.
    pub fn buffer_bytes(&self) -> usize {
        self.connections.buffer_bytes()
    }

    /// How many requests to a server have answers that have not left.
    pub fn outstanding(&self, server: ServerId) -> usize {
        self.connections.fronts.get(server).outstanding
    }

    /// The connections of a server end at once; their sessions live on, local ones excepted.
    pub fn stop_server(&mut self, now: Instant, server: ServerId) {
        self.advance(now);
        self.end_connections(server, CloseReason::ServerStopped);
        self.forget_local_sessions(server);
    }

    /// The last transaction.
    pub fn last_zxid(&self) -> Zxid {
        self.zxid
    }

    /// How many znodes there are, the root and ZooKeeper's own among them.
    pub fn node_count(&self) -> usize {
        self.tree.len()
    }

    fn end_connections(&mut self, server: ServerId, reason: CloseReason) {
        let conns: Vec<_> = self.connections(server).collect();
        for conn in conns {
            self.cut(conn, reason);
        }
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Starts a transaction.
    fn begin(&mut self) -> Txn {
        self.zxid = Zxid(self.zxid.0.wrapping_add(1));
        Txn { zxid: self.zxid, time: self.unix_millis(self.now) }
    }

    /// Milliseconds since 1970 at some instant.
    fn unix_millis(&self, at: Instant) -> i64 {
        self.config.unix_time_at_origin.saturating_add_unsigned(at.as_millis())
    }

    /// Writes to a connection; one that does not take it loses its connection.
    fn send(
        &mut self,
        conn: ConnectionId,
        write: impl FnOnce(&mut Answers<'static>) -> Result<(), TransmitFull>,
    ) {
        let Some(state) = self.connections.get_mut(conn) else { return };
        let sent = write(state.answers());
        self.sent(conn, sent);
    }

    fn sent(&mut self, conn: ConnectionId, sent: Result<(), TransmitFull>) {
        match sent {
            Ok(()) => self.connections.sent(conn),
            Err(TransmitFull { needed, free }) => {
                self.cut(conn, CloseReason::SlowConsumer { needed, free });
            }
        }
    }

    /// Closes a connection when what is pending has left.
    fn shut(&mut self, conn: ConnectionId, reason: CloseReason) {
        let Some(state) = self.connections.get_mut(conn) else { return };
        state.answers().shut(reason);
        self.detach(conn);
        self.connections.mark_ready(conn);
    }

    /// Closes a connection at once.
    fn cut(&mut self, conn: ConnectionId, reason: CloseReason) {
        let Some(state) = self.connections.get_mut(conn) else { return };
        state.answers().cut(reason);
        self.connections.settle(conn);
        self.detach(conn);
        self.connections.mark_ready(conn);
    }

    /// A connection speaks for its session no more, and watches nothing.
    fn detach(&mut self, conn: ConnectionId) {
        let Some(state) = self.connections.get_mut(conn) else { return };
        let Some(attached) = state.session.take() else { return };
        self.watches.forget(conn);
        if let Some(conns) = self.attached.get_mut(&attached.session.id()) {
            conns.retain(|other| *other != conn);
        }
    }
}

fn bytes(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine")
            .field("servers", &self.servers)
            .field("zxid", &self.zxid)
            .field("nodes", &self.tree.len())
            .finish_non_exhaustive()
    }
}
