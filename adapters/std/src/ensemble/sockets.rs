//! The open connections and what the poll has said about them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use zk_session::server::ConnectionId;

use super::lines::Lines;

/// How long a connection that we close may take to acknowledge our last bytes.
const LINGER: Duration = Duration::from_secs(1);
/// Connections that may linger at once; beyond it the oldest go.
const MAX_LINGERING: usize = 1024;

/// One connection's socket.
#[derive(Debug)]
pub(super) struct Socket<S> {
    pub(super) stream: S,
    /// The engine's name for it; `None` once the engine has forgotten it and it only lingers until
    /// the peer has seen our last bytes.
    pub(super) conn: Option<ConnectionId>,
    /// The server that accepted it.
    pub(super) server: usize,
    /// What is on its way, if it takes time.
    pub(super) lines: Option<Box<Lines>>,
    /// The peer's stream has ended, and everything before its end was taken.
    pub(super) ended: bool,
    /// There may be something to read.
    pub(super) readable: bool,
    /// The peer will send no more, so a read goes on to the end of the stream.
    pub(super) ending: bool,
    /// Neither side can send any more.
    pub(super) failed: bool,
    /// The last write did not fit; wait until the poll says it is writable.
    pub(super) blocked: bool,
    queued: bool,
    deadline: bool,
    serial: u64,
}

/// All sockets by slot, those with work to do, and those that will be closed soon.
#[derive(Debug)]
pub(super) struct Sockets<S> {
    slots: Vec<Option<Socket<S>>>,
    free: Vec<usize>,
    /// Slot of each of the engine's connections, by its index.
    by_conn: Vec<Option<(ConnectionId, usize)>>,
    busy: VecDeque<usize>,
    leaving: VecDeque<(Instant, usize, u64)>,
    next_serial: u64,
}

impl<S> Default for Sockets<S> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_conn: Vec::new(),
            busy: VecDeque::new(),
            leaving: VecDeque::new(),
            next_serial: 0,
        }
    }
}

impl<S> Sockets<S> {
    /// The slot that the next [`insert`](Self::insert) will use.
    pub(super) fn next_slot(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    pub(super) fn insert(&mut self, stream: S, server: usize, conn: ConnectionId) {
        self.next_serial = self.next_serial.wrapping_add(1);
        let socket = Socket {
            stream,
            conn: Some(conn),
            server,
            lines: None,
            ended: false,
            readable: false,
            ending: false,
            failed: false,
            blocked: false,
            queued: false,
            deadline: false,
            serial: self.next_serial,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(socket);
        }
        if self.by_conn.len() <= conn.index() {
            self.by_conn.resize(conn.index() + 1, None);
        }
        if let Some(place) = self.by_conn.get_mut(conn.index()) {
            *place = Some((conn, slot));
        }
    }

    pub(super) fn get(&mut self, slot: usize) -> Option<&mut Socket<S>> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(super) fn slot_of(&self, conn: ConnectionId) -> Option<usize> {
        match self.by_conn.get(conn.index()) {
            Some(Some((known, slot))) if *known == conn => Some(*slot),
            _ => None,
        }
    }

    /// Takes the socket out.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Socket<S>> {
        let socket = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        if let Some(conn) = socket.conn {
            self.unname(conn);
        }
        Some(socket)
    }

    /// From here on the socket lingers: the engine has forgotten the connection.
    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(conn) = self.get(slot).and_then(|socket| socket.conn.take()) {
            self.unname(conn);
        }
    }

    fn unname(&mut self, conn: ConnectionId) {
        if let Some(place) = self.by_conn.get_mut(conn.index()) {
            place.take_if(|(known, _)| *known == conn);
        }
    }

    /// Queues the socket for its turn.
    pub(super) fn mark(&mut self, slot: usize) {
        if let Some(socket) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            if !socket.queued {
                socket.queued = true;
                self.busy.push_back(slot);
            }
        }
    }

    /// Sockets waiting for their turn.
    pub(super) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// The next socket whose turn it is.
    pub(super) fn next_busy(&mut self) -> Option<usize> {
        let slot = self.busy.pop_front()?;
        if let Some(socket) = self.get(slot) {
            socket.queued = false;
        }
        Some(slot)
    }

    /// Gives the socket a last deadline, once.
    pub(super) fn leave_soon(&mut self, slot: usize) {
        if let Some(socket) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            if !socket.deadline {
                socket.deadline = true;
                self.leaving.push_back((Instant::now() + LINGER, slot, socket.serial));
            }
        }
    }

    /// How long until [`next_overdue`](Self::next_overdue) has one to tell.
    pub(super) fn until_overdue(&self) -> Option<Duration> {
        let (when, ..) = self.leaving.front()?;
        Some(when.saturating_duration_since(Instant::now()))
    }

    /// A socket whose last deadline is over, or that has to make room for others.
    pub(super) fn next_overdue(&mut self) -> Option<usize> {
        loop {
            let &(when, slot, serial) = self.leaving.front()?;
            let gone = self.get(slot).is_none_or(|socket| socket.serial != serial);
            if !gone && self.leaving.len() <= MAX_LINGERING && when > Instant::now() {
                return None;
            }
            self.leaving.pop_front();
            if !gone {
                return Some(slot);
            }
        }
    }
}
