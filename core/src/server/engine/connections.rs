//! All transport connections of an ensemble.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::EngineConfig;
use crate::server::acl::Identity;
use crate::server::connection::{Answers, ServerConnection};
use crate::server::tracker::{ServerId, SessionRef, bucket};
use crate::storage::{Buf, Inbox};
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
    pub(super) connection: ServerConnection<'static>,
    pub(super) session: Option<Attached>,
    pub(super) identities: Vec<Identity>,
    /// When bytes last went either way.
    pub(super) moved: Instant,
    /// When it will be looked at for idleness.
    look_at: Instant,
    ready: bool,
}

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

    pub(super) fn is_open(&self) -> bool {
        self.connection.answers.is_open()
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
    ready: VecDeque<ConnectionId>,
    idle: BTreeSet<(Instant, ConnectionId)>,
}

impl Connections {
    pub(super) fn insert(
        &mut self,
        now: Instant,
        server: ServerId,
        peer: SocketAddr,
        config: &EngineConfig,
    ) -> ConnectionId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let recv = Buf::owned(config.frame_limit.saturating_add(LENGTH_BYTES));
        let transmit = Buf::owned(config.outbox_limit);
        let conn = Conn {
            server,
            connection: ServerConnection::new(recv, transmit, config.frame_limit),
            session: None,
            identities: Vec::from([Identity::of_peer(peer.ip())]),
            moved: now,
            look_at: Instant::ORIGIN,
            ready: false,
        };
        let mut id = ConnectionId { generation: 0, index };
        if let Some(slot) = self.slots.get_mut(id.index()) {
            id.generation = slot.generation;
            slot.conn = Some(Box::new(conn));
        }
        self.watch_idle(id, idle_at(now, config.sessionless_timeout, config));
        id
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Box<Conn>> {
        let slot = self.slots.get_mut(id.index())?;
        let conn = slot.conn.take_if(|_| slot.generation == id.generation)?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.idle.remove(&(conn.look_at, id));
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

    /// Takes the receive buffer out, so that events can be lent from it while the rest of the
    /// engine changes; see [`put_inbox`](Self::put_inbox).
    pub(super) fn take_inbox(&mut self, id: ConnectionId) -> Option<Inbox<'static>> {
        let conn = self.get_mut(id)?;
        Some(core::mem::replace(&mut conn.connection.inbox, Inbox::new(Buf::owned(0))))
    }

    pub(super) fn put_inbox(&mut self, id: ConnectionId, inbox: Inbox<'static>) {
        if let Some(conn) = self.get_mut(id) {
            conn.connection.inbox = inbox;
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
            let Some(conn) = self.get(id).filter(|conn| conn.is_open()) else { continue };
            let session = conn.session.map(|attached| attached.timeout);
            let at = idle_at(conn.moved, session.unwrap_or(config.sessionless_timeout), config);
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
