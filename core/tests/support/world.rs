//! Client sessions and an ensemble in one virtual time: pipes with latency and splits, and faults.
#![allow(dead_code, reason = "every test file uses another part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use zk_session::client::{ClientConfig, ClientSession, HostIndex, KeeperState, Link};
use zk_session::server::{ConnectionId, Engine, EngineConfig, ServerId, ServerLink};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{Request, Xid};
use zk_session::{Instant, Machine};

use crate::support::{Rng, Seen, ms};

/// A session and its transport.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) session: ClientSession<'static>,
    pub(crate) seen: Vec<(Instant, Seen)>,
    /// Nothing comes through in either direction, and nobody is told.
    blackholed: bool,
    transport: Transport,
    due: Option<Instant>,
}

#[derive(Debug)]
enum Transport {
    None,
    Dialling { host: HostIndex, until: Instant },
    Open { conn: ConnectionId, up: Lane, down: Lane },
}

/// One direction of a pipe; an empty piece is the end of the stream.
#[derive(Debug, Default)]
struct Lane(VecDeque<(Instant, Vec<u8>)>);

impl Lane {
    fn due(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) peers: Vec<Peer>,
    pub(crate) now: Instant,
    servers: Vec<(ServerId, bool)>,
    latency: u64,
    split: Option<Rng>,
    owners: BTreeMap<ConnectionId, usize>,
    /// Connections whose end the ensemble has not heard of.
    zombies: Vec<(usize, ConnectionId)>,
    agenda: BTreeSet<(Instant, usize)>,
}

impl World {
    pub(crate) fn new(servers: usize, latency: u64) -> Self {
        let now = Instant::from_millis(1000);
        let mut engine = Engine::new(EngineConfig::default(), now);
        let servers = (0..servers).map(|_| (engine.add_server(), true)).collect();
        Self {
            engine,
            peers: Vec::new(),
            now,
            servers,
            latency,
            split: None,
            owners: BTreeMap::new(),
            zombies: Vec::new(),
            agenda: BTreeSet::new(),
        }
    }

    /// Lets bytes come in pieces of random lengths and after random times.
    pub(crate) fn shaky(mut self, seed: u64) -> Self {
        self.split = Some(Rng::new(seed));
        self
    }

    /// Another session; host `n` of its connection string is server `n`.
    pub(crate) fn join(&mut self, config: ClientConfig<'static>) -> usize {
        let storage = Storage::owned(Limits::default());
        self.join_session(ClientSession::new(config, storage, self.now).unwrap())
    }

    /// As [`join`](Self::join), with a session that was set up elsewhere.
    pub(crate) fn join_session(&mut self, session: ClientSession<'static>) -> usize {
        let peer = self.peers.len();
        self.peers.push(Peer {
            session,
            seen: Vec::new(),
            blackholed: false,
            transport: Transport::None,
            due: None,
        });
        self.plan(peer);
        peer
    }

    /// As [`join`](Self::join), and waits until it is connected.
    pub(crate) fn connect(&mut self, config: ClientConfig<'static>) -> usize {
        let peer = self.join(config);
        self.until(peer, KeeperState::SyncConnected);
        self.peers[peer].seen.clear();
        peer
    }

    pub(crate) fn submit(&mut self, peer: usize, request: &Request<'_>) -> Xid {
        let xid = self.peers[peer].session.submit(request).unwrap();
        self.turn(peer);
        xid
    }

    pub(crate) fn close(&mut self, peer: usize) {
        let now = self.now;
        self.peers[peer].session.close(now);
        self.turn(peer);
    }

    pub(crate) fn reopen(&mut self, peer: usize) {
        let now = self.now;
        self.peers[peer].session.reopen(now);
        self.turn(peer);
    }

    /// Submits, and waits for the answer.
    pub(crate) fn call(&mut self, peer: usize, request: &Request<'_>) -> Seen {
        let xid = self.submit(peer, request);
        for _ in 0..10_000 {
            let answer = self.peers[peer]
                .seen
                .iter()
                .position(|(_, seen)| matches!(seen, Seen::Reply(of, ..) if *of == xid));
            if let Some(answer) = answer {
                return self.peers[peer].seen.remove(answer).1;
            }
            assert!(self.advance(None), "nothing more happens");
        }
        panic!("no answer to {request:?}");
    }

    /// Waits until a session is in a state.
    pub(crate) fn until(&mut self, peer: usize, state: KeeperState) {
        let start = self.now;
        while self.peers[peer].session.state() != state {
            assert!(self.now.since(start) < ms(600_000), "{:?}", self.peers[peer].session);
            assert!(self.advance(None), "nothing more happens");
        }
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, millis: u64) {
        let until = self.now.after(ms(millis));
        while self.advance(Some(until)) {}
        self.now = until;
    }

    /// What a session was told since the last call.
    pub(crate) fn seen(&mut self, peer: usize) -> Vec<Seen> {
        std::mem::take(&mut self.peers[peer].seen).into_iter().map(|(_, seen)| seen).collect()
    }

    /// The server that a session is connected to.
    pub(crate) fn server_of(&self, peer: usize) -> usize {
        self.peers[peer].session.current_host().index()
    }

    pub(crate) fn stop(&mut self, server: usize) {
        self.servers[server].1 = false;
        self.engine.stop_server(self.now, self.servers[server].0);
        self.serve();
    }

    pub(crate) fn start(&mut self, server: usize) {
        self.servers[server].1 = true;
    }

    /// Cuts a session off from everything; nobody is told.
    pub(crate) fn blackhole(&mut self, peer: usize) {
        self.peers[peer].blackholed = true;
    }

    pub(crate) fn heal(&mut self, peer: usize) {
        self.peers[peer].blackholed = false;
        for (_, conn) in self.zombies.extract_if(.., |(of, _)| *of == peer) {
            self.engine.handle_disconnected(self.now, conn);
        }
        self.turn(peer);
    }

    /// Goes to the next time at which something happens, unless that is after `until`.
    fn advance(&mut self, until: Option<Instant>) -> bool {
        let planned = self.agenda.first().map(|(at, _)| *at);
        let Some(next) = planned.into_iter().chain(self.engine.poll_timeout()).min() else {
            return false;
        };
        if until.is_some_and(|until| next > until) {
            return false;
        }
        self.now = self.now.max(next);
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.now);
            self.serve();
        }
        while let Some((at, peer)) = self.agenda.first().copied().filter(|(at, _)| *at <= self.now)
        {
            self.agenda.remove(&(at, peer));
            self.turn(peer);
        }
        true
    }

    /// Everything that a session's driver does at this time.
    fn turn(&mut self, peer: usize) {
        self.deliver(peer);
        let state = &mut self.peers[peer];
        state.session.handle_timeout(self.now);
        state.pull(self.now);
        match (state.session.poll_link(), &state.transport) {
            (Link::Dial(host), Transport::None) => {
                let until = self.now.after(ms(1 + self.latency));
                state.transport = Transport::Dialling { host, until };
            }
            (Link::Dial(_), Transport::Dialling { host, until }) if *until <= self.now => {
                let (server, is_up) = self.servers[host.index()];
                if state.blackholed {
                    // The dial hangs until the session gives it up.
                } else if is_up {
                    let address = (Ipv4Addr::LOCALHOST, 40_000).into();
                    let conn = self.engine.accept(self.now, server, address);
                    self.owners.insert(conn, peer);
                    let (up, down) = Default::default();
                    state.transport = Transport::Open { conn, up, down };
                    state.session.handle_connected(self.now);
                } else {
                    state.transport = Transport::None;
                    state.session.handle_disconnected(self.now);
                }
            }
            (Link::Down, _) => self.hang_up(peer),
            _ => {}
        }
        self.send(peer);
        self.plan(peer);
    }

    /// Brings what is due to either end of a session's pipe.
    fn deliver(&mut self, peer: usize) {
        let now = self.now;
        let state = &mut self.peers[peer];
        let Transport::Open { conn, up, down } = &mut state.transport else { return };
        let conn = *conn;
        let mut heard = Vec::new();
        while down.due().is_some_and(|at| at <= now) {
            heard.extend(down.0.pop_front().map(|(_, bytes)| bytes));
        }
        let mut said = Vec::new();
        while up.due().is_some_and(|at| at <= now) {
            said.extend(up.0.pop_front().map(|(_, bytes)| bytes));
        }
        if state.blackholed {
            return;
        }
        for bytes in heard {
            if bytes.is_empty() {
                state.session.handle_disconnected(now);
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() && state.session.poll_link() == Link::Up {
                let n = state.session.handle_bytes(now, rest);
                rest = &rest[n..];
                state.pull(now);
            }
        }
        for bytes in said {
            let n = self.engine.handle_bytes(now, conn, &bytes);
            let rest = bytes[n..].to_vec();
            if !rest.is_empty() {
                // The server does not read now.
                if let Transport::Open { up, .. } = &mut self.peers[peer].transport {
                    up.0.push_front((now.after(ms(1)), rest));
                }
            }
        }
        self.serve();
    }

    /// Puts what a session has to say on its way.
    fn send(&mut self, peer: usize) {
        let state = &mut self.peers[peer];
        let Transport::Open { up, .. } = &mut state.transport else { return };
        while !state.session.poll_transmit().is_empty() {
            let bytes = state.session.poll_transmit();
            let n = self.split.as_mut().map_or(bytes.len(), |rng| 1 + rng.below(bytes.len()));
            let at = arrival(up, self.now, self.latency, &mut self.split);
            up.0.push_back((at, bytes[..n].to_vec()));
            state.session.handle_transmitted(self.now, n);
        }
    }

    /// Puts what the ensemble has to say on its way.
    fn serve(&mut self) {
        let mut touched = BTreeSet::new();
        while let Some(conn) = self.engine.poll_ready() {
            let peer = self.owners.get(&conn).copied();
            let bytes = self.engine.poll_transmit(conn).to_vec();
            self.engine.handle_transmitted(self.now, conn, bytes.len());
            let ended = self.engine.poll_link(conn) == ServerLink::Down;
            let lane = peer.and_then(|peer| match &mut self.peers[peer].transport {
                Transport::Open { conn: of, down, .. } if *of == conn => Some(down),
                _ => None,
            });
            if let Some(down) = lane {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let n = self.split.as_mut().map_or(rest.len(), |rng| 1 + rng.below(rest.len()));
                    let at = arrival(down, self.now, self.latency, &mut self.split);
                    down.0.push_back((at, rest[..n].to_vec()));
                    rest = &rest[n..];
                }
                if ended {
                    let at = arrival(down, self.now, self.latency, &mut self.split);
                    down.0.push_back((at, Vec::new()));
                }
                touched.extend(peer);
            }
            if ended {
                self.engine.handle_disconnected(self.now, conn);
                self.owners.remove(&conn);
            }
        }
        for peer in touched {
            self.plan(peer);
        }
    }

    fn hang_up(&mut self, peer: usize) {
        let state = &mut self.peers[peer];
        if let Transport::Open { conn, .. } =
            std::mem::replace(&mut state.transport, Transport::None)
        {
            if state.blackholed {
                self.zombies.push((peer, conn));
            } else {
                self.engine.handle_disconnected(self.now, conn);
                self.owners.remove(&conn);
            }
        }
    }

    /// Notes when a session's driver is to be called next.
    fn plan(&mut self, peer: usize) {
        let state = &mut self.peers[peer];
        if let Some(at) = state.due.take() {
            self.agenda.remove(&(at, peer));
        }
        let transport = match &state.transport {
            Transport::None => None,
            Transport::Dialling { until, .. } => Some(*until).filter(|at| *at > self.now),
            Transport::Open { up, down, .. } => up.due().into_iter().chain(down.due()).min(),
        };
        let wishes = match (state.session.poll_link(), &state.transport) {
            (Link::Dial(_), Transport::None) => Some(self.now),
            _ => None,
        };
        let timeout = state.session.poll_timeout();
        state.due = timeout.into_iter().chain(transport).chain(wishes).min();
        self.agenda.extend(state.due.map(|at| (at, peer)));
    }
}

impl Peer {
    fn pull(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            self.seen.push((now, Seen::of(&event)));
        }
    }
}

/// When what is sent now arrives: after what was sent before.
fn arrival(lane: &Lane, now: Instant, latency: u64, shaky: &mut Option<Rng>) -> Instant {
    let extra = shaky.as_mut().map_or(0, |rng| rng.next() % (1 + latency));
    let at = now.after(ms(latency + extra));
    lane.0.back().map_or(at, |(last, _)| at.max(*last))
}
