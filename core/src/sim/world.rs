//! Client sessions, networks and an ensemble under one clock.

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::fact::{Fact, absolute};
use super::invariants::{Invariants, Violation};
use super::peer::Peer;
use super::pipe::{Pipe, Weather};
use super::seen::Seen;
use super::step::Way;
use super::timeline::{Timeline, What, Who};
use crate::client::{ClientConfig, ClientSession, HostsUpdate, KeeperState};
use crate::error::{ConfigError, SubmitError};
use crate::rng::Rng;
use crate::server::{Engine, EngineConfig, ServerId};
use crate::storage::{Limits, Storage};
use crate::time::{Duration, Instant};
use crate::wire::{Create, CreateMode, Request, SessionId, Stat, Ustring, Xid};

/// How a [`World`] is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorldConfig {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Front-end servers of the ensemble.
    pub servers: usize,
    /// The ensemble's settings.
    pub engine: EngineConfig,
    /// The network at the beginning.
    pub weather: Weather,
    /// The memory of every client.
    pub limits: Limits,
    /// The world's time at the beginning.
    pub start: Instant,
    /// Whether the [invariants](super::invariants) are checked.
    pub checks: bool,
    /// The most entries of the [`Timeline`]; 0: none is kept.
    pub timeline: usize,
}

impl WorldConfig {
    /// An ensemble of three on a fair network.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            servers: 3,
            engine: EngineConfig::default(),
            weather: Weather::FAIR,
            limits: Limits::default(),
            start: Instant::from_millis(1000),
            checks: true,
            timeline: 0,
        }
    }

    /// How many front-end servers there are. Default: 3.
    #[must_use]
    pub const fn servers(mut self, servers: usize) -> Self {
        self.servers = servers;
        self
    }

    /// The ensemble's settings.
    #[must_use]
    pub fn engine(mut self, engine: EngineConfig) -> Self {
        self.engine = engine;
        self
    }

    /// The network at the beginning. Default: [`Weather::FAIR`].
    #[must_use]
    pub const fn weather(mut self, weather: Weather) -> Self {
        self.weather = weather;
        self
    }

    /// Does not check the invariants.
    #[must_use]
    pub const fn unchecked(mut self) -> Self {
        self.checks = false;
        self
    }

    /// Keeps so many entries of the timeline. Default: none.
    #[must_use]
    pub const fn timeline(mut self, entries: usize) -> Self {
        self.timeline = entries;
        self
    }
}

/// Clients × networks × front-end servers × one ensemble, in virtual time.
///
/// The world is the driver of every session in it. It goes from one thing that happens to the next
/// ([`advance`](Self::advance)), and what applications are told waits for them
/// ([`poll_seen`](Self::poll_seen)). Hosts are called `s0`, `s1` and so on, and lead to the servers
/// of these numbers unless a [`Step::Dns`](super::Step::Dns) says otherwise; ports have no meaning.
pub struct World {
    pub(super) config: WorldConfig,
    pub(super) engine: Engine,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) servers: Vec<Server>,
    pub(super) peers: Vec<Peer>,
    pub(super) pipes: Vec<Option<Pipe>>,
    pub(super) free: Vec<usize>,
    /// The pipe of each of the ensemble's connections, by its index.
    pub(super) owners: Vec<Option<usize>>,
    pub(super) agenda: BinaryHeap<Reverse<(Instant, Actor)>>,
    pub(super) weather: Weather,
    /// What does not come through between which client and server.
    pub(super) broken: BTreeMap<(usize, usize), [bool; 2]>,
    pub(super) names: BTreeMap<String, usize>,
    /// The sessions that the ensemble has, and what is known of their connections.
    pub(super) sessions: BTreeSet<SessionId>,
    /// The znodes that the invariants are about, as they were last seen.
    pub(super) znodes: BTreeMap<String, Option<Stat>>,
    pub(super) audited: i64,
    pub(super) wipes: u32,
    /// How many transports there ever were.
    pub(super) serials: u64,
    pub(super) told: VecDeque<usize>,
    pub(super) invariants: Option<Invariants>,
    pub(super) violation: Option<Violation>,
    pub(super) timeline: Timeline,
}

/// A front-end server.
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) is_up: bool,
}

/// Who is to do something at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actor {
    Pipe(usize),
    Client(usize),
}

impl World {
    /// An ensemble, and nobody who uses it.
    pub fn new(config: WorldConfig) -> Self {
        let mut engine = Engine::new(config.engine.clone(), config.start);
        let servers: Vec<_> =
            (0..config.servers).map(|_| Server { id: engine.add_server(), is_up: true }).collect();
        let timeline = Timeline::new(0, servers.len(), config.timeline);
        Self {
            engine,
            now: config.start,
            rng: Rng::new(config.seed),
            servers,
            peers: Vec::new(),
            pipes: Vec::new(),
            free: Vec::new(),
            owners: Vec::new(),
            agenda: BinaryHeap::new(),
            weather: config.weather,
            broken: BTreeMap::new(),
            names: BTreeMap::new(),
            sessions: BTreeSet::new(),
            znodes: BTreeMap::new(),
            audited: 0,
            wipes: 0,
            serials: 0,
            told: VecDeque::new(),
            invariants: config.checks.then(|| Invariants::new(config.limits)),
            violation: None,
            timeline,
            config,
        }
    }

    /// Another client; its number is one more than the last one's.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn join(&mut self, config: ClientConfig<'static>) -> Result<usize, ConfigError> {
        let storage = Storage::owned(self.config.limits);
        ClientSession::new(config, storage, self.now).map(|session| self.join_session(session))
    }

    /// Another client, with a session that was set up elsewhere, perhaps from a ticket.
    pub fn join_session(&mut self, session: ClientSession<'static>) -> usize {
        let client = self.peers.len();
        let watches = session.watches();
        self.peers.push(Peer::new(session, self.now));
        self.timeline.clients = self.peers.len();
        self.observe(&Fact::Renewed { client, watches });
        self.settle(client);
        client
    }

    /// The world's time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What the clock of a client's host shows.
    pub fn clock(&self, client: usize) -> Option<Instant> {
        Some(self.peers.get(client)?.clock.read(self.now))
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.peers.len()
    }

    /// A client's session.
    pub fn session(&self, client: usize) -> Option<&ClientSession<'static>> {
        self.peers.get(client).map(|peer| &peer.session)
    }

    /// The ensemble.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The server that a client's transport is open to.
    pub fn server_of(&self, client: usize) -> Option<usize> {
        let super::peer::Transport::Open(pipe) = self.peers.get(client)?.transport else {
            return None;
        };
        Some(self.pipe(pipe)?.server)
    }

    /// The first invariant that did not hold. The run is not worth going on with.
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// What was kept of what happened.
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What a client's application was told next and has not yet taken.
    pub fn poll_seen(&mut self, client: usize) -> Option<Seen> {
        self.peers.get_mut(client)?.seen.pop_front()
    }

    /// Asks for something in a client's name; the answer is told later.
    ///
    /// # Errors
    /// As [`ClientSession::submit`]; [`SubmitError::Ended`] if there is no such client.
    pub fn submit(&mut self, client: usize, request: &Request<'_>) -> Result<Xid, SubmitError> {
        self.submit_before(client, request, Instant::from_millis(u64::MAX))
    }

    /// As [`submit`](Self::submit), with a deadline by the host's clock.
    ///
    /// # Errors
    /// As [`ClientSession::submit_before`]; [`SubmitError::Ended`] if there is no such client.
    pub fn submit_before(
        &mut self,
        client: usize,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Xid, SubmitError> {
        let peer = self.peers.get_mut(client).ok_or(SubmitError::Ended)?;
        let xid = peer.session.submit_before(request, deadline)?;
        let is_ephemeral = match request {
            Request::Create(Create { flags, .. }) | Request::Create2(Create { flags, .. }) => {
                CreateMode::from_flags(*flags).is_some_and(CreateMode::is_ephemeral)
            }
            _ => false,
        };
        peer.asked.push_back(super::peer::Asked { xid, op: request.op(), is_ephemeral });
        if self.timeline.is_kept() {
            let what = What::Asked { xid, op: request.op() };
            self.timeline.push(self.now, Who::Client(client), what);
        }
        self.note_request(client, xid, request);
        self.settle(client);
        Ok(xid)
    }

    /// Gives a request up; says whether it was still waiting.
    pub fn cancel(&mut self, client: usize, xid: Xid) -> bool {
        let Some(peer) = self.peers.get_mut(client) else { return false };
        let waited = peer.session.cancel(xid);
        if waited {
            peer.answered(xid);
            self.observe(&Fact::Cancelled { client, xid });
        }
        self.settle(client);
        waited
    }

    /// Closes a client's session.
    pub fn close(&mut self, client: usize) {
        self.act(client, |session, now| session.close(now));
    }

    /// A client leaves its session to whoever resumes it; see [`ClientSession::detach`].
    pub fn detach(&mut self, client: usize) {
        self.act(client, |session, now| session.detach(now));
    }

    /// Starts a new session for a client whose last one is over.
    pub fn reopen(&mut self, client: usize) {
        let is_over = self.session(client).is_some_and(|session| session.state().is_final());
        if is_over {
            self.observe(&Fact::Renewed { client, watches: 0 });
            if let Some(peer) = self.peers.get_mut(client) {
                peer.is_honest = true;
            }
        }
        self.act(client, |session, now| session.reopen(now));
    }

    /// Gives a client another list of hosts; `None`: there is no such client.
    ///
    /// # Errors
    /// As [`ClientSession::update_hosts`].
    pub fn update_hosts(
        &mut self,
        client: usize,
        hosts: &str,
    ) -> Result<Option<HostsUpdate>, ConfigError> {
        let mut result = Ok(None);
        self.act(client, |session, now| {
            result = session.update_hosts(String::from(hosts), now).map(Some);
        });
        result
    }

    /// Does anything else to a client's session, at the time of its host, and goes on from there.
    /// Requests go through [`submit`](Self::submit), or their answers are a violation.
    pub fn act(&mut self, client: usize, act: impl FnOnce(&mut ClientSession<'static>, Instant)) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        act(&mut peer.session, peer.clock.read(self.now));
        self.settle(client);
    }

    /// Goes on until an application is told something, and says whose: take it with
    /// [`poll_seen`](Self::poll_seen). `None`: the time is `until`, or an invariant did not hold.
    pub fn advance(&mut self, until: Instant) -> Option<usize> {
        loop {
            if self.violation.is_some() {
                return None;
            }
            while let Some(client) = self.told.pop_front() {
                if self.peers.get(client).is_some_and(|peer| !peer.seen.is_empty()) {
                    return Some(client);
                }
            }
            if !self.step(until) {
                self.now = self.now.max(until);
                return None;
            }
        }
    }

    /// Lets time pass; what applications are told waits for them.
    pub fn run(&mut self, span: Duration) {
        let until = self.now.after(span);
        while self.violation.is_none() && self.step(until) {}
        self.now = self.now.max(until);
    }

    /// Lets time pass until a client is in a state, for at most so long; says whether it is.
    pub fn run_until(&mut self, client: usize, state: KeeperState, at_most: Duration) -> bool {
        let until = self.now.after(at_most);
        while self.session(client).is_some_and(|session| session.state() != state) {
            if self.violation.is_some() || !self.step(until) {
                return false;
            }
        }
        self.session(client).is_some()
    }

    /// Asks for something and waits for the answer; everything else that the client is told stays
    /// where it is. `None`: the session took no request, or an invariant did not hold.
    pub fn call(&mut self, client: usize, request: &Request<'_>) -> Option<Seen> {
        let xid = self.submit(client, request).ok()?;
        loop {
            let seen = &mut self.peers.get_mut(client)?.seen;
            let of = |seen: &Seen| matches!(seen, Seen::Reply { xid: of, .. } if *of == xid);
            if let Some(at) = seen.iter().position(of) {
                return seen.remove(at);
            }
            if self.violation.is_some() || !self.step(Instant::from_millis(u64::MAX)) {
                return None;
            }
        }
    }

    /// Whether bytes come through in a direction.
    pub(super) fn is_broken(&self, client: usize, server: usize, way: Way) -> bool {
        let [up, down] = self.broken.get(&(client, server)).copied().unwrap_or_default();
        match way {
            Way::Up => up,
            Way::Down => down,
        }
    }

    pub(super) fn pipe(&self, pipe: usize) -> Option<&Pipe> {
        self.pipes.get(pipe)?.as_ref()
    }

    /// Tells the invariants, if they are checked and all is well so far.
    pub(super) fn observe(&mut self, fact: &Fact<'_>) {
        if let (Some(invariants), None) = (&mut self.invariants, &self.violation) {
            self.violation = invariants.observe(fact).err();
        }
    }

    /// Tells the invariants of a request.
    fn note_request(&mut self, client: usize, xid: Xid, request: &Request<'_>) {
        if self.invariants.is_none() {
            return;
        }
        let Some(peer) = self.peers.get(client) else { return };
        let (now, chroot) = (peer.clock.read(self.now), String::from(peer.session.chroot()));
        let path = request.path().and_then(Ustring::as_str).unwrap_or_default();
        let path = absolute(&chroot, path);
        match request {
            Request::Delete { .. } => self.observe(&Fact::Doomed { path: &path }),
            Request::Exists { watch: true, .. }
            | Request::GetData { watch: true, .. }
            | Request::GetChildren { watch: true, .. }
            | Request::GetChildren2 { watch: true, .. }
            | Request::AddWatch { .. } => {
                let stat = self.engine.stat(&path);
                self.znodes.entry(path).or_insert(stat);
            }
            _ => {}
        }
        self.observe(&Fact::Asked { client, xid, request, chroot: &chroot, now });
    }
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("seed", &self.config.seed)
            .field("clients", &self.peers.len())
            .field("engine", &self.engine)
            .field("violation", &self.violation)
            .finish_non_exhaustive()
    }
}
