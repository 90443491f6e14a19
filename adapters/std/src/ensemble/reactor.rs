//! One thread that moves bytes and time between sockets and the engine. It decides nothing.
//!
//! A turn: wait until a socket, the clock or a command has something; accept; give each socket that
//! has something to read a bounded turn; write what the engine has ready; tell the engine the time;
//! obey commands. The poll is edge-triggered, so what it says is noted on the socket and stays noted
//! until the system says that it would block.
//!
//! ```text
//! accepted ─→ served ─┬─ end of stream, reset, cut ──────────────────────────────→ gone
//!                     └─ link Closing and all sent, or link Down ─→ lingering ──→ gone
//! ```
//! A lingering socket has sent its end of stream and swallows what still comes in until the peer
//! ends its stream too. Closing it at once while received bytes lie unread would make the system
//! send a reset, and a reset can destroy the last reply on its way to the peer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use zk_session::server::{CloseReason, ConnectionId, Engine, ServerId, ServerLink};
use zk_session::wire::SessionId;

use super::SessionInfo;
use super::port::Port;
use super::sockets::Sockets;
use crate::clock::Clock;

/// The waker's token; the servers' listeners follow, then the connections.
pub(super) const WAKER: Token = Token(0);
/// Bytes read from one connection before it is another's turn.
const READ_BUDGET: usize = 32 * 1024;
/// Bytes written to one connection before it is another's turn.
const WRITE_BUDGET: usize = 256 * 1024;
/// Connections accepted by one server before it is another's turn.
const ACCEPT_BUDGET: usize = 256;
/// How often a cut accepts, to have all that the system keeps for us.
const CUT_ROUNDS: usize = 16;
/// How long to leave a listener alone after the system had no descriptor or memory for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait; only bounds what is handed to the system.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Whether a read that does not fill the buffer means that the poll will tell of what comes next.
/// So it is for epoll and kqueue; elsewhere one has to read until it would block.
const SHORT_READ_ENDS: bool = cfg!(unix);

/// What a handle wants done; it answers by itself.
pub(super) type Command = Box<dyn FnOnce(&mut Reactor) + Send>;

/// One front-end server: the engine's name for it and its port.
#[derive(Debug)]
pub(super) struct Front {
    id: ServerId,
    addr: SocketAddr,
    port: Port,
    /// There may be connections to accept.
    pending: bool,
    /// Not before then.
    pause: Option<Instant>,
}

impl Front {
    pub(super) fn new(id: ServerId, addr: SocketAddr, port: Port) -> Self {
        Self { id, addr, port, pending: false, pause: None }
    }
}

/// The loop's state; owned by its thread.
pub(super) struct Reactor {
    engine: Engine,
    clock: Clock,
    poll: Poll,
    fronts: Vec<Front>,
    sockets: Sockets,
    commands: Receiver<Command>,
    scratch: Vec<u8>,
}

impl Reactor {
    pub(super) fn new(
        engine: Engine,
        clock: Clock,
        poll: Poll,
        fronts: Vec<Front>,
        commands: Receiver<Command>,
    ) -> Self {
        let sockets = Sockets::default();
        Self { engine, clock, poll, fronts, sockets, commands, scratch: vec![0; 16 * 1024] }
    }

    /// Runs until all handles are gone.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.turn(&mut events) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return log::error!("embedded ensemble cannot go on: {error}"),
            }
        }
    }

    /// Starts to listen on the server's port.
    pub(super) fn start(&mut self, server: usize) -> io::Result<()> {
        let front = front(&mut self.fronts, server)?;
        if let Some(listener) = front.port.listen(front.addr)? {
            let token = Token(1 + server);
            if let Err(error) = self.poll.registry().register(listener, token, Interest::READABLE) {
                front.port.hold(front.addr);
                return Err(error);
            }
            front.pending = true;
            log::debug!("server {server} listens on {}", front.addr);
        }
        Ok(())
    }

    /// Closes the server's listener and connections.
    pub(super) fn stop(&mut self, server: usize) -> io::Result<()> {
        let front = front(&mut self.fronts, server)?;
        if let Some(listener) = front.port.listener() {
            let _ = self.poll.registry().deregister(listener); // closing it does the same
        }
        front.port.hold(front.addr);
        (front.pending, front.pause) = (false, None);
        let (id, addr) = (front.id, front.addr);
        let conns: Vec<_> = self.engine.connections(id).collect();
        self.engine.stop_server(self.clock.now(), id);
        self.drop_all(&conns);
        log::debug!("server {server} on {addr} stopped, {} connections dropped", conns.len());
        self.flush_ready();
        Ok(())
    }

    /// Closes the server's connections, also those that are not accepted yet.
    pub(super) fn cut(&mut self, server: usize) -> io::Result<()> {
        let front = front(&mut self.fronts, server)?;
        (front.pending, front.pause) = (front.port.listener().is_some(), None);
        let id = front.id;
        for _ in 0..CUT_ROUNDS {
            self.accept(server);
        }
        let conns: Vec<_> = self.engine.connections(id).collect();
        self.drop_all(&conns);
        log::debug!("server {server}: {} connections cut", conns.len());
        self.flush_ready();
        Ok(())
    }

    /// Expires a session and closes its connection.
    pub(super) fn expire(&mut self, session_id: SessionId) -> bool {
        let known = self.engine.expire_session(self.clock.now(), session_id);
        self.flush_ready();
        known
    }

    /// All sessions.
    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        let server_of = |owner| self.fronts.iter().position(|front| front.id == owner);
        let sessions = self.engine.sessions().map(|session| SessionInfo {
            session_id: session.session_id,
            timeout: Duration::from_millis(session.timeout.as_millis()),
            server: session.connection.and_then(|_| server_of(session.owner)),
            ephemerals: session.ephemerals,
        });
        sessions.collect()
    }

    /// One turn of the loop; `false`: all handles are gone.
    fn turn(&mut self, events: &mut Events) -> io::Result<bool> {
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
        self.flush_ready(); // those that were one too many
        for _ in 0..self.sockets.busy() {
            if let Some(slot) = self.sockets.next_busy() {
                self.serve(slot);
            }
        }
        // After the sockets: a session whose ping has lain here while we were kept from running
        // has not been silent.
        let now = self.clock.now();
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
            self.flush_ready();
        }
        // Last, so that a command sees the effect of what was sent before it was given.
        if woken && !self.obey() {
            return Ok(false);
        }
        while let Some(slot) = self.sockets.next_overdue() {
            self.explain(slot);
            self.drop_socket(slot);
        }
        Ok(true)
    }

    fn wait(&self) -> Duration {
        if self.sockets.busy() > 0 {
            return Duration::ZERO;
        }
        let due = self.clock.until(self.engine.poll_timeout());
        let mut wait = due.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        for front in self.fronts.iter().filter(|front| front.pending) {
            let pause = front.pause.map(|pause| pause.saturating_duration_since(Instant::now()));
            wait = wait.min(pause.unwrap_or_default());
        }
        wait.min(self.sockets.until_overdue().unwrap_or(wait))
    }

    /// Notes what the poll says about a socket, and queues it.
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

    /// Does what the handles want; `false` if all are gone.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => command(self),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn accept(&mut self, server: usize) {
        let first_slot = 1 + self.fronts.len();
        let Some(front) = self.fronts.get_mut(server) else { return };
        if !front.pending || front.pause.is_some_and(|pause| pause > Instant::now()) {
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
                            let conn = self.engine.accept(self.clock.now(), id, peer);
                            self.sockets.insert(stream, conn);
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

    /// Gives one socket its turn.
    fn serve(&mut self, slot: usize) {
        let Some(socket) = self.sockets.get(slot) else { return };
        match socket.conn {
            Some(conn) => {
                self.flush(conn);
                self.read(slot, conn);
                self.flush_ready();
            }
            None => self.swallow(slot),
        }
    }

    fn read(&mut self, slot: usize, conn: ConnectionId) {
        let mut budget = READ_BUDGET;
        while self.sockets.slot_of(conn) == Some(slot) {
            let Some(socket) = self.sockets.get(slot).filter(|socket| socket.readable) else {
                return;
            };
            if budget == 0 {
                return self.sockets.mark(slot); // to be continued
            }
            let room = self.engine.poll_io(conn).recv;
            if room.is_empty() {
                // Not now. What makes room sends bytes or makes the connection ready, see `flush`.
                if socket.failed {
                    self.drop_conn(conn);
                }
                return;
            }
            let (offered, ending) = (room.len().min(budget), socket.ending);
            match socket.stream.read(room.get_mut(..offered).unwrap_or_default()) {
                Ok(0) => {
                    self.flush(conn); // its peer may have ended its stream only one way
                    return self.drop_conn(conn);
                }
                Ok(taken) => {
                    socket.readable = ending || !SHORT_READ_ENDS || taken == offered;
                    budget = budget.saturating_sub(taken);
                    self.engine.handle_received(self.clock.now(), conn, taken);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => socket.readable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return self.drop_conn(conn),
                },
            }
        }
    }

    /// Takes what a lingering socket's peer still sends.
    fn swallow(&mut self, slot: usize) {
        let Some(socket) = self.sockets.get(slot) else { return };
        match socket.stream.read(&mut self.scratch) {
            Ok(0) => self.drop_socket(slot),
            Ok(_) => self.sockets.mark(slot),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {}
                io::ErrorKind::Interrupted => self.sockets.mark(slot),
                _ => self.drop_socket(slot),
            },
        }
    }

    /// Writes and closes what the engine has ready.
    fn flush_ready(&mut self) {
        while let Some(conn) = self.engine.poll_ready() {
            self.flush(conn);
            self.mark_readable(conn);
        }
    }

    /// Writes what there is for one connection, and closes it if it is to be closed.
    fn flush(&mut self, conn: ConnectionId) {
        let Some(slot) = self.sockets.slot_of(conn) else { return };
        let Some(socket) = self.sockets.get(slot) else { return };
        let (mut moved, mut budget) = (false, WRITE_BUDGET);
        loop {
            let bytes = self.engine.poll_transmit(conn);
            if bytes.is_empty() || socket.blocked {
                break;
            }
            if budget == 0 {
                return self.sockets.mark(slot); // to be continued
            }
            match socket.stream.write(bytes) {
                Ok(0) => return self.drop_conn(conn),
                Ok(sent) => {
                    moved = true;
                    budget = budget.saturating_sub(sent);
                    self.engine.handle_transmitted(self.clock.now(), conn, sent);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => socket.blocked = true,
                    io::ErrorKind::Interrupted => {}
                    _ => return self.drop_conn(conn),
                },
            }
        }
        match self.engine.poll_link(conn) {
            ServerLink::Up if moved => self.mark_readable(conn), // there may be room again
            ServerLink::Up => {}
            ServerLink::Closing if !self.engine.poll_transmit(conn).is_empty() => {
                self.sockets.leave_soon(slot);
            }
            ServerLink::Closing | ServerLink::Down => self.linger(slot, conn),
        }
    }

    /// Queues a connection that has something to read.
    fn mark_readable(&mut self, conn: ConnectionId) {
        let Some(slot) = self.sockets.slot_of(conn) else { return };
        if self.sockets.get(slot).is_some_and(|socket| socket.readable) {
            self.sockets.mark(slot);
        }
    }

    /// The engine is done with the connection: ends our stream and waits for the peer's end.
    fn linger(&mut self, slot: usize, conn: ConnectionId) {
        self.explain(slot);
        self.engine.handle_disconnected(self.clock.now(), conn);
        self.sockets.forget(slot);
        let Some(socket) = self.sockets.get(slot) else { return };
        match socket.stream.shutdown(Shutdown::Write) {
            Ok(()) => {
                self.sockets.leave_soon(slot);
                self.sockets.mark(slot);
            }
            Err(_) => self.drop_socket(slot), // the peer was faster
        }
    }

    fn drop_all(&mut self, conns: &[ConnectionId]) {
        for &conn in conns {
            self.release(conn);
        }
    }

    /// Drops a connection here and now.
    fn drop_conn(&mut self, conn: ConnectionId) {
        if let Some(slot) = self.sockets.slot_of(conn) {
            self.explain(slot);
        }
        self.release(conn);
    }

    /// Logs why a connection ends.
    fn explain(&mut self, slot: usize) {
        let Some(conn) = self.sockets.get(slot).and_then(|socket| socket.conn) else { return };
        let Some(info) = self.engine.connection(conn) else { return };
        let reason = self.engine.poll_reason(conn).unwrap_or(CloseReason::PeerClosed);
        let server = self.fronts.iter().position(|front| front.id == info.server);
        let (server, peer) = (server.unwrap_or_default(), info.peer);
        log::log!(level(reason), "server {server}: connection of {peer} closed: {reason}");
    }

    fn release(&mut self, conn: ConnectionId) {
        match self.sockets.slot_of(conn) {
            Some(slot) => self.drop_socket(slot),
            None => self.engine.handle_disconnected(self.clock.now(), conn),
        }
    }

    fn drop_socket(&mut self, slot: usize) {
        let Some(mut socket) = self.sockets.remove(slot) else { return };
        if let Some(conn) = socket.conn {
            self.engine.handle_disconnected(self.clock.now(), conn);
        }
        let _ = self.poll.registry().deregister(&mut socket.stream); // closing it does the same
    }
}

/// What happens every day is for those who debug, what a client or an administrator may wonder about
/// for information; what no proper client does is a warning.
fn level(reason: CloseReason) -> log::Level {
    match reason {
        CloseReason::PeerClosed
        | CloseReason::SessionClosed
        | CloseReason::FourLetterWord
        | CloseReason::Resumed
        | CloseReason::SessionMoved
        | CloseReason::ServerStopped => log::Level::Debug,
        CloseReason::SessionExpired
        | CloseReason::SessionRefused
        | CloseReason::Idle
        | CloseReason::ZxidAhead => log::Level::Info,
        _ => log::Level::Warn,
    }
}

fn front(fronts: &mut [Front], server: usize) -> io::Result<&mut Front> {
    let count = fronts.len();
    fronts.get_mut(server).ok_or_else(|| {
        let text = format!("there is no server {server}, only 0 to {}", count.saturating_sub(1));
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}
