//! Scripts: what happens when, from a seed; and what is left of one that fails.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::drive::host_name;
use super::invariants::Violation;
use super::pipe::Weather;
use super::step::{Asleep, Step, Way, Wish};
use super::timeline::Timeline;
use super::world::{World, WorldConfig};
use crate::client::ClientConfig;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::{CreateMode, Request, Xid};

/// A whole run as plain data: the same script does the same every time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Decides what the script leaves to chance: jitter, pieces, shuffles and back-off.
    pub seed: u64,
    /// Front-end servers.
    pub servers: usize,
    /// The timeout that each client asks for.
    pub timeouts: Vec<Duration>,
    /// The network at the beginning and the end.
    pub weather: Weather,
    /// How long it takes; then everything is healed.
    pub span: Duration,
    /// When, from the beginning, what happens; in order.
    pub steps: Vec<(Duration, Step)>,
}

/// What a run was worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Sessions that expired.
    pub expired: u64,
    /// How often a client was connected.
    pub connected: u64,
    /// Requests that were answered, and how many of them failed.
    pub answered: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Watches that fired.
    pub notified: u64,
    /// Milliseconds that sessions have lived through, all together.
    pub session_millis: u64,
}

/// A script that breaks an invariant, as short as it could be made.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What did not hold.
    pub violation: Violation,
    /// When, by the world's clock.
    pub at: Instant,
    /// The shortest script that was found to break the same invariant.
    pub script: Script,
    /// How many steps there were at first.
    pub steps: usize,
    /// What everybody saw in the short script's run.
    pub timeline: Timeline,
}

/// The most that is kept of a failing run.
const KEPT: usize = 10_000;

/// How often a failing script is run again at most, to make it shorter.
const TRIES: u32 = 2_000;

impl Script {
    /// An hour, or whatever span, of everything that can happen.
    pub fn random(seed: u64, span: Duration) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed_0f5c_2197);
        let mut pick = |of: &[u64]| {
            let last = u64::try_from(of.len().saturating_sub(1)).unwrap_or(0);
            let at = usize::try_from(rng.between(0, last)).unwrap_or(0);
            of.get(at).copied().unwrap_or(0)
        };
        let servers = usize::try_from(pick(&[1, 2, 3, 3, 3])).unwrap_or(3);
        let clients = pick(&[1, 2, 2, 3]);
        let timeouts = (0..clients).map(|_| pick(&[4000, 6000, 10_000, 20_000, 40_000]));
        let timeouts: Vec<_> = timeouts.map(Duration::from_millis).collect();
        let weather = Weather {
            latency: Duration::from_millis(pick(&[0, 1, 5, 30])),
            jitter: Duration::from_millis(pick(&[0, 0, 5, 100])),
            longest_piece: usize::try_from(pick(&[0, 0, 1, 7, 100])).unwrap_or(0),
        };
        let mut script = Self { seed, servers, timeouts, weather, span, steps: Vec::new() };
        let mut chance = Chance { rng, servers, clients: script.timeouts.len() };
        let mut at = 0_u64;
        loop {
            // Minutes of peace between bursts.
            at = at.saturating_add(match chance.below(8) {
                0 => chance.between(0, 120_000),
                1 | 2 => chance.between(0, 8000),
                _ => chance.between(0, 900),
            });
            if at >= span.as_millis() {
                return script;
            }
            script.steps.push((Duration::from_millis(at), chance.step()));
        }
    }

    /// The world at the script's beginning: its clients have just joined, and the parent of the
    /// ephemeral znodes is there once the first of them is connected.
    pub fn world(&self, timeline: usize) -> World {
        let config = WorldConfig::new(self.seed).servers(self.servers).weather(self.weather);
        let mut world = World::new(config.timeline(timeline));
        let hosts: Vec<String> = (0..self.servers).map(host_name).collect();
        let hosts = hosts.join(",");
        for (client, timeout) in (0_u64..).zip(&self.timeouts) {
            let seed = self.seed.wrapping_mul(31).wrapping_add(client);
            let mut config = ClientConfig::new(hosts.clone(), seed).timeout(*timeout);
            if client == 2 {
                config = config.expire_locally();
            }
            // A connection string of hosts alone is valid, and so is every timeout but zero.
            let _ = world.join(config);
        }
        world
    }

    /// Runs the script.
    ///
    /// # Errors
    /// The world as it is when an invariant does not hold.
    pub fn run(&self) -> Result<Report, Violation> {
        let (report, world) = self.play(0);
        world.violation().map_or(Ok(report), |violation| Err(violation.clone()))
    }

    /// Runs the script; if an invariant does not hold, makes it as short as it can.
    ///
    /// # Errors
    /// [`Failure`], whose `Display` is a report.
    pub fn check(&self) -> Result<Report, Box<Failure>> {
        let violation = match self.run() {
            Ok(report) => return Ok(report),
            Err(violation) => violation,
        };
        let script = self.shrink(|shorter| {
            shorter.run().is_err_and(|other| other.invariant == violation.invariant)
        });
        let (_, world) = script.play(KEPT);
        Err(Box::new(Failure {
            violation: world.violation().cloned().unwrap_or(violation),
            at: world.now(),
            steps: self.steps.len(),
            timeline: world.timeline().clone(),
            script,
        }))
    }

    /// The shortest script that still `fails`, as far as leaving steps out leads there: first half
    /// of them at a time, then fewer and fewer, then one by one.
    #[must_use]
    pub fn shrink(&self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let mut best = self.clone();
        let mut tries = TRIES;
        let mut part = best.steps.len();
        while part > 0 {
            let mut from = 0_usize;
            let before = best.steps.len();
            while from < best.steps.len() && tries > 0 {
                let to = from.saturating_add(part);
                let mut shorter = best.clone();
                let rest = (0..).zip(&best.steps).filter(|(n, _)| !(from..to).contains(n));
                shorter.steps = rest.map(|(_, step)| step.clone()).collect();
                tries = tries.saturating_sub(1);
                if fails(&shorter) {
                    best = shorter;
                } else {
                    from = to;
                }
            }
            let is_done = part == 1 && best.steps.len() == before;
            part = if part == 1 && !is_done { 1 } else { part / 2 };
        }
        best
    }

    /// The run, and the world at its end.
    fn play(&self, timeline: usize) -> (Report, World) {
        let mut world = self.world(timeline);
        let mut report = Report::default();
        let start = world.now();
        // The first to be connected makes the parent of the ephemeral znodes.
        let mut parent: BTreeSet<Xid> = BTreeSet::new();
        let steps = self.steps.iter().map(|(at, step)| (start.after(*at), Some(step)));
        for (at, step) in steps.chain([(start.after(self.span), None)]) {
            while let Some(client) = world.advance(at) {
                report.take(&mut world, client);
                if parent.is_empty() {
                    let make = Request::create("/e", b"", CreateMode::Persistent);
                    parent.extend(world.submit(client, &make));
                }
            }
            match step {
                Some(step) if world.violation().is_none() => world.apply(step),
                _ => {}
            }
            if step == Some(&Step::Wipe) {
                parent.clear();
            }
        }
        if world.violation().is_none() {
            world.heal_and_rest();
        }
        (0..world.clients()).for_each(|client| report.take(&mut world, client));
        let lived = world.now().since(start).as_millis();
        let sessions = u64::try_from(world.clients()).unwrap_or(0);
        report.session_millis = lived.saturating_mul(sessions);
        (report, world)
    }
}

impl Report {
    /// Counts what a client was told.
    fn take(&mut self, world: &mut World, client: usize) {
        use super::seen::Seen;
        use crate::client::KeeperState;
        while let Some(seen) = world.poll_seen(client) {
            let count = match seen {
                Seen::State { state: KeeperState::Expired, .. } => &mut self.expired,
                Seen::State { state: KeeperState::SyncConnected, .. } => &mut self.connected,
                Seen::Notification { .. } => &mut self.notified,
                Seen::Reply { result, .. } => {
                    self.answered = self.answered.saturating_add(1);
                    if result.is_ok() {
                        continue;
                    }
                    &mut self.failed
                }
                _ => continue,
            };
            *count = count.saturating_add(1);
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            expired: self.expired.saturating_add(other.expired),
            connected: self.connected.saturating_add(other.connected),
            answered: self.answered.saturating_add(other.answered),
            failed: self.failed.saturating_add(other.failed),
            notified: self.notified.saturating_add(other.notified),
            session_millis: self.session_millis.saturating_add(other.session_millis),
        }
    }
}

/// Draws steps.
struct Chance {
    rng: Rng,
    servers: usize,
    clients: usize,
}

impl Chance {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.rng.between(low, high)
    }

    fn below(&mut self, end: usize) -> usize {
        let last = u64::try_from(end.saturating_sub(1)).unwrap_or(0);
        usize::try_from(self.rng.between(0, last)).unwrap_or(0)
    }

    fn span(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    fn step(&mut self) -> Step {
        let (client, server) = (self.below(self.clients), self.below(self.servers));
        match self.below(100) {
            0..=52 => Step::Ask { client, wish: self.wish() },
            53 => Step::Close { client },
            54..=59 => Step::Reopen { client },
            60 => Step::Copy { from: client, to: self.below(self.clients) },
            61..=63 => Step::Stop { server },
            64..=68 => Step::Start { server },
            69 if self.below(8) == 0 => Step::Wipe,
            69 => Step::Expire { client },
            70..=72 => Step::Cut { client, server },
            73 => Step::HalfOpen { client, server, way: Way::Up },
            74 => Step::HalfOpen { client, server, way: Way::Down },
            75 => Step::Isolate { server },
            76..=82 => Step::Heal { client, server },
            83 | 84 => Step::HealAll,
            85..=88 => Step::Reset { client },
            89 | 90 => Step::Weather(self.weather()),
            91 => Step::Slow { client, pause: self.span(1, 200) },
            92 => Step::Slow { client, pause: Duration::ZERO },
            93 if self.below(4) == 0 => Step::Garble { client },
            93 | 94 => {
                let rates = [1000, 1000, 950, 1050, 900, 1100, 0];
                let per_mille = rates.get(self.below(rates.len())).copied().unwrap_or(1000);
                Step::ClockRate { client, per_mille }
            }
            95 | 96 => {
                let clock = if self.below(2) == 0 { Asleep::ClockRuns } else { Asleep::ClockStops };
                Step::Suspend { client, span: self.span(1, 30_000), clock }
            }
            97 => {
                let mut servers: Vec<usize> = (0..self.servers).collect();
                servers.remove(server);
                Step::Hosts { client, servers }
            }
            98 => Step::Hosts { client, servers: (0..self.servers).collect() },
            _ => {
                // Now and then it leads nowhere.
                let to = self.below(self.servers.saturating_add(1));
                Step::Dns { name: host_name(server), server: to }
            }
        }
    }

    fn wish(&mut self) -> Wish {
        let n = u8::try_from(self.below(3)).unwrap_or(0);
        match self.below(24) {
            0..=2 => Wish::Create(n),
            3 | 4 => Wish::CreateChild(n),
            5 => Wish::DeleteChild(n),
            6..=8 => Wish::SetData(n),
            9 | 10 => Wish::Delete(n),
            11 | 12 => Wish::Ephemeral,
            13 | 14 => Wish::WatchData(n),
            15 | 16 => Wish::WatchExists(n),
            17 | 18 => Wish::WatchChildren(n),
            19 => Wish::WatchPersistently(n),
            20 => Wish::WatchRecursively(n),
            21 => Wish::Unwatch(n),
            22 => Wish::Read(n),
            _ if n == 0 => Wish::Authenticate,
            _ => Wish::Sync,
        }
    }

    fn weather(&mut self) -> Weather {
        Weather {
            latency: self.span(0, 300),
            jitter: self.span(0, 600),
            longest_piece: self.below(100),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeouts: Vec<u64> = self.timeouts.iter().map(|timeout| timeout.as_millis()).collect();
        let (seed, servers, span) = (self.seed, self.servers, self.span);
        writeln!(f, "seed {seed}, {servers} servers, timeouts {timeouts:?} ms, {span}")?;
        writeln!(f, "{:?}", self.weather)?;
        self.steps.iter().try_for_each(|(at, step)| writeln!(f, "{:>10} {step:?}", format!("{at}")))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { violation, at, script, steps, timeline } = self;
        writeln!(f, "{violation}\nat {} ms, seed {}", at.as_millis(), script.seed)?;
        writeln!(f, "\n{} of {steps} steps are enough:\n{script}", script.steps.len())?;
        writeln!(f, "what was seen, at the end:\n{}", timeline.tail(60))
    }
}

impl core::error::Error for Failure {}
