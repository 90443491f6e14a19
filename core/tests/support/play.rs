//! The simulator's world, for tests that fail by panicking.
#![allow(dead_code, reason = "every test file uses another part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use zk_session::client::{ClientConfig, ClientSession, KeeperState};
use zk_session::server::Engine;
use zk_session::sim::{Step, Weather, World, WorldConfig};
use zk_session::wire::{Request, Xid};
use zk_session::{Duration, Instant};

use crate::support::{Seen, ms};

/// A [`World`] in which every invariant holds, or the test fails.
pub(crate) struct Play {
    pub(crate) world: World,
}

impl Play {
    pub(crate) fn new(servers: usize, latency: u64) -> Self {
        Self::of(WorldConfig::new(1).servers(servers).weather(fair(latency)))
    }

    /// Bytes come in pieces of random lengths and after random times.
    pub(crate) fn shaky(servers: usize, latency: u64, seed: u64) -> Self {
        let weather = Weather { jitter: ms(latency), longest_piece: 100, ..fair(latency) };
        Self::of(WorldConfig::new(seed).servers(servers).weather(weather))
    }

    pub(crate) fn of(config: WorldConfig) -> Self {
        Self { world: World::new(config) }
    }

    fn check(&self) {
        assert_eq!(self.world.violation(), None);
    }

    pub(crate) fn session(&self, client: usize) -> &ClientSession<'static> {
        self.world.session(client).unwrap()
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.world.engine()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &ClientSession<'static>> {
        (0..self.world.clients()).map(|client| self.session(client))
    }

    pub(crate) fn close(&mut self, client: usize) {
        self.world.close(client);
    }

    pub(crate) fn reopen(&mut self, client: usize) {
        self.world.reopen(client);
    }

    pub(crate) fn join(&mut self, config: ClientConfig<'static>) -> usize {
        self.world.join(config).unwrap()
    }

    /// Joins, and waits until it is connected.
    pub(crate) fn connect(&mut self, config: ClientConfig<'static>) -> usize {
        let client = self.join(config);
        self.until(client, KeeperState::SyncConnected);
        self.seen(client);
        client
    }

    pub(crate) fn submit(&mut self, client: usize, request: &Request<'_>) -> Xid {
        self.world.submit(client, request).unwrap()
    }

    /// Submits, and waits for the answer.
    pub(crate) fn call(&mut self, client: usize, request: &Request<'_>) -> Seen {
        let answer = self.world.call(client, request);
        self.check();
        Seen::of(&answer.expect("an answer").event())
    }

    /// Waits until a session is in a state.
    pub(crate) fn until(&mut self, client: usize, state: KeeperState) {
        let is_so = self.world.run_until(client, state, Duration::from_secs(600));
        self.check();
        assert!(is_so, "{:?}", self.session(client));
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, millis: u64) {
        self.world.run(ms(millis));
        self.check();
    }

    /// What a session was told since the last call.
    pub(crate) fn seen(&mut self, client: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        while let Some(seen) = self.world.poll_seen(client) {
            all.push(Seen::of(&seen.event()));
        }
        all
    }

    /// Waits until a session is told something, a millisecond at a time.
    pub(crate) fn until_told(&mut self, client: usize, at_most: u64) -> Vec<Seen> {
        for _ in 0..at_most {
            let seen = self.seen(client);
            if !seen.is_empty() {
                return seen;
            }
            self.wait(1);
        }
        panic!("nothing within {at_most} ms: {:?}", self.session(client));
    }

    pub(crate) fn server_of(&self, client: usize) -> usize {
        self.world.server_of(client).unwrap()
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        self.world.apply(step);
        self.check();
    }

    pub(crate) fn stop(&mut self, server: usize) {
        self.apply(&Step::Stop { server });
    }

    pub(crate) fn start(&mut self, server: usize) {
        self.apply(&Step::Start { server });
    }

    /// Cuts a session off from everything; nobody is told.
    pub(crate) fn blackhole(&mut self, client: usize) {
        for server in 0..64 {
            self.apply(&Step::Cut { client, server });
        }
    }

    pub(crate) fn heal(&mut self, client: usize) {
        for server in 0..64 {
            self.apply(&Step::Heal { client, server });
        }
    }
}

const fn fair(latency: u64) -> Weather {
    Weather { latency: ms(latency), jitter: Duration::ZERO, longest_piece: 0 }
}
