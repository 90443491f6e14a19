//! Moves bytes and time between sockets and the engine. It decides nothing.
//!
//! A turn of the loop that drives it: wait until a socket, the clock or a command has something;
//! accept, and give each socket that has something to read a bounded turn ([`Reactor::serve`]); tell
//! the engine the time; settle; obey commands, last, so that they see the effect of what was sent
//! before they were given; settle. To settle is to keep what has changed, once for all that the turn
//! has brought, and only then to write what the engine has ready: nobody is told what a restart
//! would lose.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use zk_session::server::ConnectionId;

use super::error::EnsembleError;
use super::front::Front;
use super::net::{Net, Readiness};
use super::snapshot;
use super::sockets::Sockets;
use super::state::State;

/// Connections accepted by one server before it is another's turn.
const ACCEPT_BUDGET: usize = 256;
/// How long to leave a listener alone after the system had no descriptor or memory for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait; only bounds what is handed to the system.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often to settle before the sockets are looked at again.
pub const SETTLE_ROUNDS: usize = 8;

/// Tells whoever gave a command that it is done.
pub type Answer = Box<dyn FnOnce() + Send>;
/// What a handle wants done, and how it is told so: after what was done has been kept.
pub type Command<N> = Box<dyn FnOnce(&mut Reactor<N>) -> Answer + Send>;
/// Why the loop has ended, if it was not told to.
pub type Failure = Arc<OnceLock<Arc<EnsembleError>>>;

/// A whole ensemble but the loop.
#[derive(Debug)]
pub struct Reactor<N: Net> {
    pub(super) state: State,
    pub(super) net: N,
    pub(super) fronts: Vec<Front<N>>,
    pub(super) sockets: Sockets<N::Stream>,
    /// When bytes arrive that are on their way, and at which slot; the earliest first.
    pub(super) arrivals: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Connections that may have something to write, with how much of it is kept.
    pub(super) outgoing: Vec<(ConnectionId, usize)>,
    pub(super) scratch: Vec<u8>,
    /// There is more to settle.
    unsettled: bool,
}

impl<N: Net> Reactor<N> {
    pub(super) fn new(state: State, net: N, fronts: Vec<Front<N>>) -> Self {
        Self {
            state,
            net,
            fronts,
            sockets: Sockets::default(),
            arrivals: BinaryHeap::new(),
            outgoing: Vec::new(),
            scratch: vec![0; 16 * 1024],
            unsettled: false,
        }
    }

    /// Whether there is something to do without any news of the sockets.
    pub fn is_busy(&self) -> bool {
        self.sockets.busy() > 0 || self.unsettled || !self.outgoing.is_empty()
    }

    /// How long the loop may wait for news of its sockets, unless it [is busy](Self::is_busy).
    pub fn wait(&self) -> Duration {
        let due = self.state.clock.until(self.state.engine.poll_timeout());
        let mut wait = due.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let now = Instant::now();
        for front in self.fronts.iter().filter(|front| front.pending && !front.frozen) {
            let pause = front.pause.map(|pause| pause.saturating_duration_since(now));
            wait = wait.min(pause.unwrap_or_default());
        }
        if let Some(Reverse((due, _))) = self.arrivals.peek() {
            wait = wait.min(due.saturating_duration_since(now));
        }
        wait.min(self.sockets.until_overdue().unwrap_or(wait))
    }

    /// There may be connections to a server.
    pub fn note_listener(&mut self, server: usize) {
        if let Some(front) = self.fronts.get_mut(server) {
            front.pending = true;
        }
    }

    /// Notes what the loop knows of a socket, and queues it.
    pub fn note_socket(&mut self, slot: usize, readiness: Readiness) {
        let Some(socket) = self.sockets.get(slot) else { return };
        socket.blocked &= !readiness.writable;
        socket.readable |= readiness.readable;
        socket.ending |= readiness.ending;
        socket.failed |= readiness.failed;
        self.sockets.mark(slot);
    }

    /// Accepts, and gives each socket that has something to read its turn.
    pub fn serve(&mut self) {
        for server in 0..self.fronts.len() {
            self.accept(server);
        }
        self.note_arrivals();
        for _ in 0..self.sockets.busy() {
            if let Some(slot) = self.sockets.next_busy() {
                self.serve_socket(slot);
            }
        }
    }

    /// Tells the engine the time. After the sockets: a session whose ping has lain here while we
    /// were kept from running has not been silent.
    pub fn tell_time(&mut self) {
        let now = self.state.clock.now();
        if self.state.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.state.engine.handle_timeout(now);
        }
    }

    /// Closes the sockets that have lingered long enough.
    pub fn close_overdue(&mut self) {
        while let Some(slot) = self.sockets.next_overdue() {
            self.explain(slot);
            self.drop_socket(slot);
        }
    }

    /// Whether [`settle`](Self::settle) has something to keep, which takes as long as the disk does.
    pub fn has_to_keep(&self) -> bool {
        self.state.has_to_keep()
    }

    /// Keeps what has changed, then writes what was to be written at that time. What a write makes
    /// room for may change something again, and is settled in its turn: it is called until all is
    /// settled, but at most [`SETTLE_ROUNDS`] times a turn.
    ///
    /// # Errors
    /// What has changed cannot be kept. Nothing may go on then.
    pub fn settle(&mut self) -> Result<bool, EnsembleError> {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        while let Some(conn) = self.state.engine.poll_ready() {
            outgoing.push((conn, 0));
        }
        self.unsettled = !outgoing.is_empty();
        outgoing.sort_unstable();
        outgoing.dedup(); // what a second flush would find was not kept
        for (conn, kept) in &mut outgoing {
            *kept = self.state.engine.poll_transmit(*conn).len();
        }
        self.state.commit()?;
        for (conn, kept) in outgoing.drain(..) {
            self.flush(conn, kept);
            self.mark_readable(conn);
        }
        if self.outgoing.is_empty() {
            self.outgoing = outgoing; // its memory
        }
        Ok(!self.unsettled)
    }

    /// The whole state as the bytes of a snapshot.
    pub fn snapshot(&self) -> Vec<u8> {
        snapshot::write(&self.state.engine)
    }

    /// Queues the sockets at which bytes have arrived that were on their way.
    fn note_arrivals(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, slot))) = self.arrivals.peek().copied() {
            if due > now {
                return;
            }
            self.arrivals.pop();
            self.sockets.mark(slot);
        }
    }

    pub(super) fn accept(&mut self, server: usize) {
        let Some(front) = self.fronts.get_mut(server) else { return };
        let paused = front.pause.is_some_and(|pause| pause > Instant::now());
        if !front.pending || front.frozen || paused {
            return;
        }
        front.pause = None;
        let id = front.id;
        for _ in 0..ACCEPT_BUDGET {
            let Some(listener) = front.port.listener() else {
                front.pending = false;
                return;
            };
            match self.net.accept(listener, self.sockets.next_slot()) {
                Ok((stream, peer)) => {
                    let conn = self.state.engine.accept(self.state.clock.now(), id, peer);
                    self.sockets.insert(stream, server, conn);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        front.pending = false;
                        return;
                    }
                    io::ErrorKind::Interrupted
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset => {}
                    _ => {
                        log::warn!("server {server} cannot accept for now: {error}");
                        front.pause = Some(Instant::now() + ACCEPT_PAUSE);
                        return;
                    }
                },
            }
        }
    }
}
