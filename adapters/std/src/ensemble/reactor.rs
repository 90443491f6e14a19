//! One thread that moves bytes and time between sockets and the engine. It decides nothing.
//!
//! A turn: wait until a socket, the clock or a command has something; accept; give each socket that
//! has something to read a bounded turn; tell the engine the time; settle; obey commands; settle.
//! To settle is to keep what has changed, once for all that the turn has brought, and only then to
//! write what the engine has ready: nobody is told what a restart would lose.

use std::collections::BinaryHeap;
use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use zk_session::server::ConnectionId;

use super::error::EnsembleError;
use super::front::Front;
use super::sockets::Sockets;
use super::state::State;

/// The waker's token; the servers' listeners follow, then the connections.
pub(super) const WAKER: Token = Token(0);
/// Connections accepted by one server before it is another's turn.
const ACCEPT_BUDGET: usize = 256;
/// How long to leave a listener alone after the system had no descriptor or memory for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait; only bounds what is handed to the system.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often to settle before the sockets are looked at again.
const SETTLE_ROUNDS: usize = 8;

/// Tells whoever gave a command that it is done.
pub(super) type Answer = Box<dyn FnOnce() + Send>;
/// What a handle wants done, and how it is told so: after what was done has been kept.
pub(super) type Command = Box<dyn FnOnce(&mut Reactor) -> Answer + Send>;
/// Why the thread has ended, if it was not told to.
pub(super) type Failure = Arc<OnceLock<Arc<EnsembleError>>>;

/// The loop's state; owned by its thread.
pub(super) struct Reactor {
    pub(super) state: State,
    pub(super) poll: Poll,
    pub(super) fronts: Vec<Front>,
    pub(super) sockets: Sockets,
    /// When bytes arrive that are on their way, and at which slot; the earliest first.
    pub(super) arrivals: BinaryHeap<std::cmp::Reverse<(Instant, usize)>>,
    /// Connections that may have something to write, with how much of it is kept.
    pub(super) outgoing: Vec<(ConnectionId, usize)>,
    pub(super) scratch: Vec<u8>,
    commands: Receiver<Command>,
    failure: Failure,
    /// There is more to settle.
    unsettled: bool,
}

impl Reactor {
    pub(super) fn new(
        state: State,
        poll: Poll,
        fronts: Vec<Front>,
        commands: Receiver<Command>,
        failure: Failure,
    ) -> Self {
        Self {
            state,
            poll,
            fronts,
            sockets: Sockets::default(),
            arrivals: BinaryHeap::new(),
            outgoing: Vec::new(),
            scratch: vec![0; 16 * 1024],
            commands,
            failure,
            unsettled: false,
        }
    }

    /// Runs until all handles are gone, or it cannot go on: then all connections end, with nothing
    /// sent on them that was not kept.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.turn(&mut events) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    log::error!("embedded ensemble stops serving: {error}");
                    let _ = self.failure.set(Arc::new(error)); // there is no other
                    return;
                }
            }
        }
    }

    /// One turn of the loop; `false`: all handles are gone.
    fn turn(&mut self, events: &mut Events) -> Result<bool, EnsembleError> {
        match self.poll.poll(events, Some(self.wait())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            polled => polled?,
        }
        let mut woken = false;
        let first_slot = 1 + self.fronts.len();
        for event in events.iter() {
            let token = event.token();
            if token == WAKER {
                woken = true;
            } else if let Some(slot) = token.0.checked_sub(first_slot) {
                self.note(slot, event);
            } else if let Some(front) = self.fronts.get_mut(token.0 - 1) {
                front.pending = true;
            }
        }
        for server in 0..self.fronts.len() {
            self.accept(server);
        }
        self.note_arrivals();
        for _ in 0..self.sockets.busy() {
            if let Some(slot) = self.sockets.next_busy() {
                self.serve(slot);
            }
        }
        // After the sockets: a session whose ping has lain here while we were kept from running
        // has not been silent.
        let now = self.state.clock.now();
        if self.state.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.state.engine.handle_timeout(now);
        }
        self.settle()?;
        // Last, so that a command sees the effect of what was sent before it was given.
        if woken && !self.obey()? {
            return Ok(false);
        }
        while let Some(slot) = self.sockets.next_overdue() {
            self.explain(slot);
            self.drop_socket(slot);
        }
        Ok(true)
    }

    fn wait(&self) -> Duration {
        if self.sockets.busy() > 0 || self.unsettled || !self.outgoing.is_empty() {
            return Duration::ZERO;
        }
        let due = self.state.clock.until(self.state.engine.poll_timeout());
        let mut wait = due.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let now = Instant::now();
        for front in self.fronts.iter().filter(|front| front.pending && !front.frozen) {
            let pause = front.pause.map(|pause| pause.saturating_duration_since(now));
            wait = wait.min(pause.unwrap_or_default());
        }
        if let Some(std::cmp::Reverse((due, _))) = self.arrivals.peek() {
            wait = wait.min(due.saturating_duration_since(now));
        }
        wait.min(self.sockets.until_overdue().unwrap_or(wait))
    }

    /// Notes what the poll says about a socket, and queues it.
    ///
    /// The poll is edge-triggered, so what it says stays noted until the system says that it would
    /// block.
    fn note(&mut self, slot: usize, event: &mio::event::Event) {
        let Some(socket) = self.sockets.get(slot) else { return };
        if event.is_writable() || event.is_error() {
            socket.blocked = false;
        }
        socket.readable |= event.is_readable() || event.is_error();
        socket.ending |= event.is_read_closed() || event.is_error();
        socket.failed |= event.is_error() || (event.is_read_closed() && event.is_write_closed());
        self.sockets.mark(slot);
    }

    /// Queues the sockets at which bytes have arrived that were on their way.
    fn note_arrivals(&mut self) {
        let now = Instant::now();
        while let Some(std::cmp::Reverse((due, slot))) = self.arrivals.peek().copied() {
            if due > now {
                return;
            }
            self.arrivals.pop();
            self.sockets.mark(slot);
        }
    }

    /// Keeps what has changed, then writes what was to be written at that time. What a write makes
    /// room for may change something again, and is settled in its turn.
    fn settle(&mut self) -> Result<(), EnsembleError> {
        self.unsettled = false;
        for _ in 0..SETTLE_ROUNDS {
            let mut outgoing = std::mem::take(&mut self.outgoing);
            while let Some(conn) = self.state.engine.poll_ready() {
                outgoing.push((conn, 0));
            }
            if outgoing.is_empty() {
                return self.state.commit().map_err(EnsembleError::from);
            }
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
        }
        self.unsettled = true;
        Ok(())
    }

    /// Does what the handles want; `false` if all are gone.
    fn obey(&mut self) -> Result<bool, EnsembleError> {
        let mut answers = Vec::new();
        let open = loop {
            match self.commands.try_recv() {
                Ok(command) => answers.push(command(self)),
                Err(TryRecvError::Empty) => break true,
                Err(TryRecvError::Disconnected) => break false,
            }
        };
        self.settle()?;
        for answer in answers {
            answer();
        }
        Ok(open)
    }

    pub(super) fn accept(&mut self, server: usize) {
        let first_slot = 1 + self.fronts.len();
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
            match listener.accept() {
                Ok((mut stream, peer)) => {
                    let _ = stream.set_nodelay(true); // slower without, no less right
                    let token = Token(first_slot + self.sockets.next_slot());
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    match self.poll.registry().register(&mut stream, token, interest) {
                        Ok(()) => {
                            let conn = self.state.engine.accept(self.state.clock.now(), id, peer);
                            self.sockets.insert(stream, server, conn);
                        }
                        Err(error) => log::warn!("cannot poll the connection of {peer}: {error}"),
                    }
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
