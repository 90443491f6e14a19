//! Bytes between sockets and the engine.
//!
//! ```text
//! accepted ─→ served ─┬─ end of stream, reset, cut ──────────────────────────────→ gone
//!                     └─ link Closing and all sent, or link Down ─→ lingering ──→ gone
//! ```
//! A lingering socket has sent its end of stream and swallows what still comes in until the peer
//! ends its stream too. Closing it at once while received bytes lie unread would make the system
//! send a reset, and a reset can destroy the last reply on its way to the peer.

use std::cmp::Reverse;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use zk_session::server::{CloseReason, ConnectionId, ServerLink};

use super::net::Net;
use super::reactor::Reactor;

/// Bytes read from one connection before it is another's turn.
const READ_BUDGET: usize = 32 * 1024;
/// Bytes written to one connection before it is another's turn.
const WRITE_BUDGET: usize = 256 * 1024;

impl<N: Net> Reactor<N> {
    /// Gives one socket its turn. What there is to write waits until all have had theirs.
    pub(super) fn serve_socket(&mut self, slot: usize) {
        let Some(socket) = self.sockets.get(slot) else { return };
        let Some(conn) = socket.conn else { return self.swallow(slot) };
        let (is_delayed, server) = (socket.lines.is_some(), socket.server);
        let Some(front) = self.fronts.get(server).filter(|front| !front.frozen) else { return };
        self.outgoing.push((conn, 0));
        if is_delayed || !front.delay.is_zero() {
            self.read_from_afar(slot, conn, front.delay);
        } else {
            self.read(slot, conn);
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
            let room = self.state.engine.poll_io(conn).recv;
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
                    (socket.ended, socket.readable) = (true, false);
                    return;
                }
                Ok(taken) => {
                    socket.readable = ending || !N::SHORT_READ_ENDS || taken == offered;
                    budget = budget.saturating_sub(taken);
                    self.state.engine.handle_received(self.state.clock.now(), conn, taken);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => socket.readable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return self.drop_conn(conn),
                },
            }
        }
    }

    /// As [`read`](Self::read), over a line that takes its time.
    fn read_from_afar(&mut self, slot: usize, conn: ConnectionId, delay: Duration) {
        let Some(socket) = self.sockets.get(slot) else { return };
        let lines = socket.lines.get_or_insert_default();
        let (now, mut budget) = (Instant::now(), READ_BUDGET);
        while let Some(bytes) = lines.to_server.arrived(now).filter(|_| budget > 0) {
            let offered = bytes.get(..bytes.len().min(budget)).unwrap_or_default();
            let taken = self.state.engine.handle_bytes(self.state.clock.now(), conn, offered);
            if taken == 0 {
                break; // what makes room makes the connection ready
            }
            lines.to_server.take(taken);
            budget = budget.saturating_sub(taken);
        }
        socket.ended |= lines.to_server.has_ended(now);
        let mut again = budget == 0;
        while socket.readable && !again {
            let room = lines.to_server.room().min(self.scratch.len());
            if room == 0 {
                break;
            }
            let due = match socket.stream.read(self.scratch.get_mut(..room).unwrap_or_default()) {
                Ok(0) => {
                    socket.readable = false;
                    lines.to_server.send_end(delay)
                }
                Ok(taken) => {
                    let bytes = self.scratch.get(..taken).unwrap_or_default();
                    budget = budget.saturating_sub(taken);
                    again = budget == 0;
                    lines.to_server.send(bytes, delay)
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        socket.readable = false;
                        break;
                    }
                    io::ErrorKind::Interrupted => continue,
                    _ => return self.drop_conn(conn),
                },
            };
            self.arrivals.push(Reverse((due, slot)));
        }
        if delay.is_zero() && lines.is_empty() && !socket.ended {
            socket.lines = None; // the way is short again
        }
        if again || (socket.readable && socket.lines.is_none()) {
            self.sockets.mark(slot);
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

    /// Writes the first `kept` bytes of what there is for one connection, and closes it if it is to
    /// be closed.
    pub(super) fn flush(&mut self, conn: ConnectionId, kept: usize) {
        let Some(slot) = self.sockets.slot_of(conn) else { return };
        let Some(socket) = self.sockets.get(slot) else { return };
        let Some(front) = self.fronts.get(socket.server).filter(|front| !front.frozen) else {
            return;
        };
        let delay = front.delay;
        if socket.lines.is_some() || !delay.is_zero() {
            return self.flush_afar(slot, conn, kept, delay);
        }
        let mut left = kept;
        let mut budget = WRITE_BUDGET;
        loop {
            let bytes = self.state.engine.poll_transmit(conn);
            let bytes = bytes.get(..left.min(bytes.len())).unwrap_or_default();
            if bytes.is_empty() || socket.blocked {
                break;
            }
            if budget == 0 {
                self.sockets.mark(slot); // to be continued
                return;
            }
            match socket.stream.write(bytes) {
                Ok(0) => return self.drop_conn(conn),
                Ok(sent) => {
                    left = left.saturating_sub(sent);
                    budget = budget.saturating_sub(sent);
                    self.state.engine.handle_transmitted(self.state.clock.now(), conn, sent);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => socket.blocked = true,
                    io::ErrorKind::Interrupted => {}
                    _ => return self.drop_conn(conn),
                },
            }
        }
        if socket.ended {
            return self.drop_conn(conn); // its peer may have ended its stream only one way
        }
        match self.state.engine.poll_link(conn) {
            ServerLink::Up => {}
            ServerLink::Closing if !self.state.engine.poll_transmit(conn).is_empty() => {
                self.sockets.leave_soon(slot);
            }
            ServerLink::Closing | ServerLink::Down => self.linger(slot, conn),
        }
    }

    /// As [`flush`](Self::flush), over a line that takes its time.
    fn flush_afar(&mut self, slot: usize, conn: ConnectionId, kept: usize, delay: Duration) {
        let Some(socket) = self.sockets.get(slot) else { return };
        let line = &mut socket.lines.get_or_insert_default().to_client;
        let bytes = self.state.engine.poll_transmit(conn);
        let bytes = bytes.get(..kept.min(bytes.len()).min(line.room())).unwrap_or_default();
        if !bytes.is_empty() {
            self.arrivals.push(Reverse((line.send(bytes, delay), slot)));
            let sent = bytes.len();
            self.state.engine.handle_transmitted(self.state.clock.now(), conn, sent);
        }
        let now = Instant::now();
        while let Some(bytes) = line.arrived(now).filter(|_| !socket.blocked) {
            match socket.stream.write(bytes) {
                Ok(0) => return self.drop_conn(conn),
                Ok(sent) => line.take(sent),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => socket.blocked = true,
                    io::ErrorKind::Interrupted => {}
                    _ => return self.drop_conn(conn),
                },
            }
        }
        let sent = line.is_empty();
        if !sent && line.arrived(now).is_none() {
            return; // on its way
        }
        if self.state.engine.poll_link(conn) != ServerLink::Up || socket.ended {
            // The end of the stream takes as long as what is before it.
            if sent && self.state.engine.poll_transmit(conn).is_empty() {
                let ended = socket.ended;
                return if ended { self.drop_conn(conn) } else { self.linger(slot, conn) };
            }
            self.sockets.leave_soon(slot);
        }
    }

    /// Queues a connection that has something to read.
    pub(super) fn mark_readable(&mut self, conn: ConnectionId) {
        let Some(slot) = self.sockets.slot_of(conn) else { return };
        let Some(socket) = self.sockets.get(slot) else { return };
        let now = Instant::now();
        let arrived = socket.lines.as_ref().is_some_and(|lines| {
            lines.to_server.arrived(now).is_some() && !lines.to_server.is_empty()
        });
        if (socket.readable || arrived) && self.has_room(conn) {
            self.sockets.mark(slot);
        }
    }

    /// Whether the engine takes bytes of a connection now.
    fn has_room(&mut self, conn: ConnectionId) -> bool {
        !self.state.engine.poll_io(conn).recv.is_empty()
    }

    /// The engine is done with the connection: ends our stream and waits for the peer's end.
    fn linger(&mut self, slot: usize, conn: ConnectionId) {
        self.explain(slot);
        self.state.engine.handle_disconnected(self.state.clock.now(), conn);
        self.sockets.forget(slot);
        let Some(socket) = self.sockets.get(slot) else { return };
        match self.net.shut_down(&mut socket.stream) {
            Ok(()) => {
                self.sockets.leave_soon(slot);
                self.sockets.mark(slot);
            }
            Err(_) => self.drop_socket(slot), // the peer was faster
        }
    }

    pub(super) fn drop_all(&mut self, conns: &[ConnectionId]) {
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
    pub(super) fn explain(&mut self, slot: usize) {
        let Some(conn) = self.sockets.get(slot).and_then(|socket| socket.conn) else { return };
        let Some(info) = self.state.engine.connection(conn) else { return };
        let reason = self.state.engine.poll_reason(conn).unwrap_or(CloseReason::PeerClosed);
        let server = self.fronts.iter().position(|front| front.id == info.server);
        let (server, peer) = (server.unwrap_or_default(), info.peer);
        log::log!(level(reason), "server {server}: connection of {peer} closed: {reason}");
    }

    fn release(&mut self, conn: ConnectionId) {
        match self.sockets.slot_of(conn) {
            Some(slot) => self.drop_socket(slot),
            None => self.state.engine.handle_disconnected(self.state.clock.now(), conn),
        }
    }

    pub(super) fn drop_socket(&mut self, slot: usize) {
        let Some(mut socket) = self.sockets.remove(slot) else { return };
        if let Some(conn) = socket.conn {
            self.state.engine.handle_disconnected(self.state.clock.now(), conn);
        }
        self.net.forget(&mut socket.stream);
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
