//! A session and an ensemble, with the fuzzer between them.

use std::net::{Ipv4Addr, SocketAddr};

use zk_session::client::{ClientConfig, ClientSession, Event, KeeperState, Link};
use zk_session::server::{ConnectionId, Engine, EngineConfig, ServerId, ServerLink};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{AddWatchMode, CreateMode, Request, SessionId, Xid};
use zk_session::{Duration, Instant, Machine};

use crate::input::Input;

/// Plays a script of what happens to the bytes between a session and an ensemble of two servers:
/// they arrive in pieces, late, changed, twice or never; connections end; deadlines come. Whatever
/// happens, each request is answered once and deadlines move on; and as long as no byte was changed,
/// the session is told of its end only when the ensemble has ended it.
pub fn pair(bytes: &[u8]) {
    let now = Instant::from_millis(1000);
    let mut engine = Engine::new(EngineConfig::default(), now);
    let servers = [engine.add_server(), engine.add_server()];
    let mut limits = Limits::default();
    (limits.recv, limits.transmit, limits.registry, limits.requests) = (1024, 512, 256, 4);
    let config = ClientConfig::new("a,b", 1).timeout(Duration::from_millis(4000));
    let session = ClientSession::new(config, Storage::owned(limits), now);
    let mut pair = Pair {
        engine,
        servers,
        session: session.expect("a sound session"),
        now,
        wire: None,
        waiting: Vec::new(),
        is_true: true,
        told: KeeperState::Disconnected,
        id: SessionId::NONE,
    };
    let mut input = Input(bytes);
    while let Some(step) = input.next() {
        pair.step(step, &mut input);
        pair.turn();
    }
    pair.finish();
}

/// The most bytes that come a second time: longer than any frame that either side sends here.
const LONGEST_TWICE: usize = 4096;

/// A transport and what is on its way.
struct Wire {
    conn: ConnectionId,
    up: Vec<u8>,
    down: Vec<u8>,
}

struct Pair {
    engine: Engine,
    servers: [ServerId; 2],
    session: ClientSession<'static>,
    now: Instant,
    wire: Option<Wire>,
    waiting: Vec<Xid>,
    /// Whether no byte was changed.
    is_true: bool,
    told: KeeperState,
    id: SessionId,
}

impl Pair {
    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        match step % 16 {
            0..=2 => self.carry_up(usize::from(input.byte())),
            3..=5 => self.carry_down(usize::from(input.byte())),
            6 => self.client_time(),
            7 => self.engine_time(),
            8 => self.now = self.now.after(Duration::from_millis(u64::from(input.byte()) * 10)),
            9..=11 => self.request(input.byte()),
            12 => self.mutate(input),
            13 => self.cut(),
            14 => {
                let server = self.servers[usize::from(input.byte()) % 2];
                self.engine.stop_server(self.now, server);
            }
            _ if input.byte() > 200 => self.session.close(self.now),
            _ => {
                let id = self.session.session_id();
                self.engine.expire_session(self.now, id);
            }
        }
    }

    fn request(&mut self, which: u8) {
        let request = match which % 8 {
            0 => Request::create("/a", b"data", CreateMode::Ephemeral),
            1 => Request::exists("/a", true),
            2 => Request::get_data("/a", true),
            3 => Request::delete("/a", -1),
            4 => Request::get_children("/", true),
            5 => Request::add_watch("/", AddWatchMode::PersistentRecursive),
            6 => Request::set_data("/a", b"other", -1),
            _ => Request::create("/s", b"", CreateMode::EphemeralSequential),
        };
        self.waiting.extend(self.session.submit(&request));
    }

    fn carry_up(&mut self, most: usize) {
        let Some(wire) = &mut self.wire else { return };
        let n = wire.up.len().min(most);
        let bytes: Vec<u8> = wire.up.drain(..n).collect();
        let conn = wire.conn;
        self.engine.handle_bytes(self.now, conn, &bytes);
    }

    fn carry_down(&mut self, most: usize) {
        let Some(wire) = &mut self.wire else { return };
        let n = wire.down.len().min(most);
        let taken = self.session.handle_bytes(self.now, &wire.down[..n]);
        wire.down.drain(..taken);
    }

    /// Changes what is on its way.
    fn mutate(&mut self, input: &mut Input<'_>) {
        let Some(wire) = &mut self.wire else { return };
        let (how, at, byte) = (input.byte(), usize::from(input.byte()), input.byte());
        let lane = if how & 1 == 0 { &mut wire.up } else { &mut wire.down };
        let at = at.min(lane.len());
        match how / 2 % 5 {
            0 => {
                let Some(place) = lane.get_mut(at) else { return };
                *place ^= byte | 1;
            }
            1 => lane.insert(at, byte),
            2 => lane.truncate(at),
            // A script of doublings alone would fill all memory there is.
            3 if lane.len() <= LONGEST_TWICE => lane.extend_from_within(..),
            3 => lane.clear(),
            _ => {
                lane.splice(at..at, input.bytes().iter().copied());
            }
        }
        self.is_true = false;
    }

    fn cut(&mut self) {
        let Some(Wire { conn, .. }) = self.wire.take() else { return };
        self.engine.handle_disconnected(self.now, conn);
        self.session.handle_disconnected(self.now);
    }

    fn client_time(&mut self) {
        let Some(at) = self.session.poll_timeout() else { return };
        self.now = self.now.max(at);
        self.session.handle_timeout(self.now);
        self.pull();
        let later = self.session.poll_timeout().is_none_or(|next| next > self.now);
        assert!(later, "the session's deadline moves on");
    }

    fn engine_time(&mut self) {
        let Some(at) = self.engine.poll_timeout() else { return };
        self.now = self.now.max(at);
        self.engine.handle_timeout(self.now);
        let later = self.engine.poll_timeout().is_none_or(|next| next > self.now);
        assert!(later, "the ensemble's deadline moves on");
    }

    /// What both drivers do after each step.
    fn turn(&mut self) {
        self.serve();
        self.pull();
        match self.session.poll_link() {
            Link::Dial(host) if self.wire.is_none() => {
                let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
                let conn = self.engine.accept(self.now, self.servers[host.index()], peer);
                self.wire = Some(Wire { conn, up: Vec::new(), down: Vec::new() });
                self.session.handle_connected(self.now);
            }
            Link::Up => {}
            _ => {
                if let Some(Wire { conn, .. }) = self.wire.take() {
                    self.engine.handle_disconnected(self.now, conn);
                }
            }
        }
        if let Some(wire) = &mut self.wire {
            wire.up.extend_from_slice(self.session.poll_transmit());
            let n = self.session.poll_transmit().len();
            self.session.handle_transmitted(self.now, n);
        }
        self.serve();
    }

    fn serve(&mut self) {
        while let Some(conn) = self.engine.poll_ready() {
            let bytes = self.engine.poll_transmit(conn).to_vec();
            self.engine.handle_transmitted(self.now, conn, bytes.len());
            let mut own = self.wire.as_mut().filter(|wire| wire.conn == conn);
            if let Some(wire) = &mut own {
                wire.down.extend(bytes);
            }
            if self.engine.poll_link(conn) == ServerLink::Down {
                self.engine.handle_disconnected(self.now, conn);
                if own.is_some() {
                    // What was said before is heard first.
                    self.carry_down(usize::MAX);
                    self.pull();
                    self.wire = None;
                    self.session.handle_disconnected(self.now);
                }
            }
        }
    }

    fn pull(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Reply { xid, .. } => {
                    let at = self.waiting.iter().position(|open| *open == xid);
                    self.waiting.remove(at.expect("an answer to a request that is open"));
                }
                Event::State { state, .. } => {
                    assert!(!self.told.is_final(), "{state:?} after {:?}", self.told);
                    self.told = state;
                    let open = &self.waiting;
                    assert!(state.is_connected() || open.is_empty(), "{state:?} and {open:?}");
                    let id = self.session.session_id();
                    if state == KeeperState::SyncConnected {
                        let same = !self.id.is_some() || self.id == id;
                        assert!(same || !self.is_true, "{id} was {}", self.id);
                        self.id = id;
                    }
                    let lives = self.engine.is_alive(id);
                    let wrong = state == KeeperState::Expired && lives;
                    assert!(!wrong || !self.is_true, "{id} lives and is told expired");
                }
                _ => {}
            }
        }
    }

    /// Left to itself and closed, the session ends, and all is answered.
    fn finish(&mut self) {
        self.session.close(self.now);
        for _ in 0..200 {
            self.turn();
            self.carry_up(usize::MAX);
            self.serve();
            self.carry_down(usize::MAX);
            self.pull();
            if self.session.poll_timeout().is_none() {
                break;
            }
            self.client_time();
        }
        assert!(self.told.is_final(), "{:?}", self.session);
        assert!(self.waiting.is_empty(), "never answered: {:?}", self.waiting);
    }
}
