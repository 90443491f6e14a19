//! The two servers, with the same face: connections that bytes go to and frames come from.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use zk_session::Instant;
use zk_session::server::{ConnectionId, Engine, EngineConfig, Release, ServerId, ServerLink};

/// How long a real server may take before it counts as silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shorter than any script is long; what a client may ask for is clamped to it, so that no session
/// expires under a slow test.
pub(crate) const TIMEOUTS: (u64, u64) = (60_000, 600_000);
/// `user:password` of the identity to which no ACL applies, and what a server is told of it.
pub(crate) const SUPER: &str = "super:tops";
pub(crate) const SUPER_DIGEST: &str = "super:Y/FgZThbr5fhHcXtp77oWGdbjQs=";

/// What comes from a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    Frame(Vec<u8>),
    Closed,
    /// Nothing, for as long as one may wait.
    Silence,
}

pub(crate) trait Peer {
    /// Forgets what the last script left behind.
    fn begin(&mut self);
    fn connect(&mut self) -> usize;
    fn send(&mut self, conn: usize, bytes: &[u8]);
    fn receive(&mut self, conn: usize) -> Received;
    fn hang_up(&mut self, conn: usize);
}

/// A server behind sockets.
pub(crate) struct Remote {
    addr: SocketAddr,
    connections: Vec<Option<(TcpStream, Vec<u8>)>>,
}

impl Remote {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, connections: Vec::new() }
    }

    /// Waits until the server has noticed what was hung up: its watches are gone then.
    fn settle(&self) {
        let open = self.connections.iter().flatten().count() + 1; // the one that asks
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            let mut text = String::new();
            let mut stream = TcpStream::connect(self.addr).expect("the server accepts connections");
            let asked = stream.write_all(b"srvr").and_then(|()| stream.read_to_string(&mut text));
            let count = text.lines().find_map(|line| line.strip_prefix("Connections: "));
            match (asked, count.and_then(|count| count.parse::<usize>().ok())) {
                (Ok(_), Some(count)) if count <= open => return,
                _ => std::thread::yield_now(),
            }
        }
        panic!("the server does not notice that a connection has ended");
    }
}

impl Peer for Remote {
    fn begin(&mut self) {
        self.connections.clear();
        self.settle();
    }

    fn connect(&mut self) -> usize {
        let stream = TcpStream::connect(self.addr).expect("the server accepts connections");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.connections.push(Some((stream, Vec::new())));
        self.connections.len() - 1
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) {
        if let Some((stream, _)) = &mut self.connections[conn] {
            let _ = stream.write_all(bytes); // a closed connection shows when it is read
        }
    }

    fn receive(&mut self, conn: usize) -> Received {
        let Some((stream, buffer)) = &mut self.connections[conn] else { return Received::Closed };
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some(frame) = cut(buffer) {
                return Received::Frame(frame);
            }
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => buffer.extend(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Received::Silence;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.connections[conn] = None;
        Received::Closed
    }

    fn hang_up(&mut self, conn: usize) {
        self.connections[conn] = None;
        self.settle();
    }
}

/// The first frame in a buffer, without its length.
fn cut(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let len = u32::from_be_bytes(*buffer.first_chunk()?) as usize;
    (buffer.len() >= 4 + len).then(|| {
        let rest = buffer.split_off(4 + len);
        std::mem::replace(buffer, rest).split_off(4)
    })
}

/// The engine in this process, under a clock that ticks with every frame sent.
pub(crate) struct Local {
    engine: Engine,
    server: ServerId,
    now: u64,
    connections: Vec<Line>,
}

struct Line {
    id: ConnectionId,
    received: Vec<u8>,
    closed: bool,
}

impl Local {
    pub(crate) fn new() -> Self {
        let (engine, server) = fresh();
        Self { engine, server, now: 0, connections: Vec::new() }
    }

    fn at(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Moves what the engine has to say to the clients' side.
    fn carry(&mut self) {
        let now = self.at();
        while let Some(id) = self.engine.poll_ready() {
            loop {
                let bytes = self.engine.poll_transmit(id);
                let sent = bytes.len();
                if let Some(line) = self.connections.iter_mut().find(|line| line.id == id) {
                    line.received.extend(bytes);
                }
                if sent == 0 {
                    break;
                }
                self.engine.handle_transmitted(now, id, sent);
            }
            if self.engine.poll_link(id) == ServerLink::Down {
                if let Some(line) = self.connections.iter_mut().find(|line| line.id == id) {
                    line.closed = true;
                }
                self.engine.handle_disconnected(now, id);
            }
        }
    }
}

fn fresh() -> (Engine, ServerId) {
    let mut config = EngineConfig::default();
    config.release = Release::V3_8;
    config.extended_types = true;
    config.super_digest = Some(SUPER_DIGEST.to_owned());
    config.min_session_timeout = Some(zk_session::Duration::from_millis(TIMEOUTS.0));
    config.max_session_timeout = Some(zk_session::Duration::from_millis(TIMEOUTS.1));
    config.unix_time_at_origin = 1_700_000_000_000;
    let mut engine = Engine::new(config, Instant::ORIGIN);
    let server = engine.add_server();
    (engine, server)
}

impl Peer for Local {
    fn begin(&mut self) {
        *self = Self::new();
    }

    fn connect(&mut self) -> usize {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let id = self.engine.accept(self.at(), self.server, peer);
        self.connections.push(Line { id, received: Vec::new(), closed: false });
        self.connections.len() - 1
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) {
        self.now += 1;
        let id = self.connections[conn].id;
        let mut rest = bytes;
        loop {
            let taken = self.engine.handle_bytes(self.at(), id, rest);
            rest = &rest[taken..];
            self.carry();
            if taken == 0 || rest.is_empty() {
                return;
            }
        }
    }

    fn receive(&mut self, conn: usize) -> Received {
        self.carry();
        let line = &mut self.connections[conn];
        match cut(&mut line.received) {
            Some(frame) => Received::Frame(frame),
            None if line.closed => Received::Closed,
            None => Received::Silence,
        }
    }

    fn hang_up(&mut self, conn: usize) {
        let (now, id) = (self.at(), self.connections[conn].id);
        self.engine.handle_disconnected(now, id);
    }
}
