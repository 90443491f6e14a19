//! A server of canned replies: it keeps no state but its connections, so that the client is what is
//! measured. One thread, one loop; it holds ten thousand idle connections as well as a busy one.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::frames::{Frames, int, is_close};

const LISTENER: Token = Token(usize::MAX);
/// What one read takes at the most.
const READ_BYTES: usize = 1 << 20;
/// A connection that takes its answers this slowly is not read from meanwhile.
const OUTPUT_LIMIT: usize = 8 << 20;

/// Serves until the process is killed.
pub(super) fn serve() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let mut server = Server {
        frames: Frames::new(),
        connections: Vec::new(),
        free: Vec::new(),
        scratch: vec![0; READ_BYTES],
    };
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener, &poll)?;
            } else {
                server.serve(event.token().0);
            }
        }
    }
}

struct Server {
    frames: Frames,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    session_id: i64,
    greeted: bool,
    closing: bool,
    /// The beginning of a frame.
    rest: Vec<u8>,
    /// Answers that the socket did not take.
    output: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(at), both)?;
            let session_id = i64::try_from(at).unwrap_or_default() + 1;
            self.connections[at] = Some(Connection {
                stream,
                session_id,
                greeted: false,
                closing: false,
                rest: Vec::new(),
                output: Vec::new(),
            });
        }
    }

    fn serve(&mut self, at: usize) {
        let Some(connection) = self.connections.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        if connection.turn(&self.frames, &mut self.scratch).is_none() {
            self.connections[at] = None;
            self.free.push(at);
        }
    }
}

impl Connection {
    /// Reads and answers until the socket has no more or takes no more; `None` at the end.
    fn turn(&mut self, frames: &Frames, scratch: &mut [u8]) -> Option<()> {
        let (mut out, mut events) = (std::mem::take(&mut self.output), Vec::new());
        loop {
            out = self.write(out)?;
            if out.len() > OUTPUT_LIMIT || (self.closing && !out.is_empty()) {
                break;
            }
            if self.closing {
                return None;
            }
            let held = self.rest.len();
            let (before, room) = scratch.split_at_mut(held);
            before.copy_from_slice(&self.rest);
            let n = match self.stream.read(room) {
                Ok(0) => return None,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return None,
            };
            let taken = self.answer(frames, &scratch[..held + n], &mut out, &mut events)?;
            self.rest.clear();
            self.rest.extend_from_slice(&scratch[taken..held + n]);
            out.append(&mut events);
        }
        self.output = out;
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        Some(())
    }

    fn answer(
        &mut self,
        frames: &Frames,
        input: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut head = 0;
        while let Some(len) = int(input, head) {
            let start = head + 4;
            let Some(frame) = input.get(start..start + usize::try_from(len).ok()?) else { break };
            if self.greeted {
                frames.answer(frame, out, events)?;
                self.closing |= is_close(frame);
            } else {
                frames.handshake(frame, self.session_id, out)?;
                self.greeted = true;
            }
            head = start + frame.len();
        }
        Some(head)
    }

    /// Writes; returns what is left.
    fn write(&mut self, mut out: Vec<u8>) -> Option<Vec<u8>> {
        let mut sent = 0;
        while sent < out.len() {
            match self.stream.write(&out[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        if sent == out.len() {
            out.clear();
            // A burst's memory is not kept by ten thousand connections.
            out.shrink_to(4096);
        } else {
            out.drain(..sent);
        }
        Some(out)
    }
}
