//! The laws of the client's session under seeded scripts: whatever the peer, the clock and the
//! driver do, the laws hold after every step.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeSet;

use support::{Rng, Seen, Server, ms, request};
use zk_session::client::{ClientConfig, ClientSession, KeeperState, Link};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{Request, SessionId, Xid, Zxid};
use zk_session::{Instant, Machine};

/// How received bytes are handed in.
#[derive(Clone, Debug)]
enum Split {
    Whole,
    Bytes,
    Random(Rng),
}

impl Split {
    fn len(&mut self, of: usize) -> usize {
        match self {
            Self::Whole => of,
            Self::Bytes => 1,
            Self::Random(rng) => 1 + rng.below(of.min(40)),
        }
    }
}

/// What a run said and wished, step by step.
#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Event(Seen),
    Views {
        link: Link,
        timeout: Option<Instant>,
        transmit: Vec<u8>,
        id: SessionId,
        zxid: Zxid,
        watches: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    recv: usize,
    transmit: usize,
    requests: usize,
}

struct Run<'b> {
    session: ClientSession<'b>,
    bounds: Bounds,
    rng: Rng,
    split: Split,
    server: Server,
    /// What the driver's clock says, and the latest it ever said.
    now: Instant,
    clock: Instant,
    /// Whether events are pulled after every input.
    eager: bool,
    sasl: bool,
    /// One byte in so many steps goes wrong; 0 for none.
    noise: usize,
    waiting: BTreeSet<Xid>,
    told: KeeperState,
    accepted: usize,
    events: usize,
    received: usize,
    steps: usize,
    trace: Vec<Entry>,
}

impl Run<'_> {
    fn script(&mut self, steps: usize) {
        for _ in 0..steps {
            self.steps += 1;
            self.step();
            if self.eager || self.rng.one_in(3) {
                self.pull();
            }
            self.check_views();
        }
        self.finish();
    }

    fn step(&mut self) {
        match self.rng.below(40) {
            0..=2 => self.tick(),
            3..=6 => self.deadline(),
            7..=12 => self.connected(),
            13 if self.rng.one_in(4) => self.session.handle_disconnected(self.now),
            13..=21 => self.deliver(),
            22..=28 => self.transmit(),
            36 if self.rng.one_in(8) => self.cancel(),
            29..=31 if self.sasl => self.authenticate(),
            29..=36 => self.submit(),
            37 if self.noise > 0 && self.rng.one_in(self.noise) => {
                self.server.garble(&mut self.rng);
                self.deliver();
            }
            37 => {
                if self.session.poll_link() == Link::Up && self.told.is_connected() {
                    let event = self.server.event(self.session.chroot(), &mut self.rng);
                    self.server.said.extend(event);
                }
            }
            38 if self.rng.one_in(12) => {
                self.session.close(self.now);
            }
            _ => {
                let ended = self.session.poll_timeout().is_none();
                self.session.reopen(self.now);
                if ended {
                    self.told = KeeperState::Disconnected;
                }
            }
        }
    }

    fn tick(&mut self) {
        let millis = self.now.as_millis();
        let millis = match self.rng.below(12) {
            0 => millis.saturating_sub(self.rng.next() % 5000),
            1 => millis + self.rng.next() % (1 << 40),
            2 | 3 => millis,
            _ => millis + self.rng.next() % 1500,
        };
        self.set_clock(Instant::from_millis(millis));
        self.time();
    }

    fn deadline(&mut self) {
        if let Some(at) = self.session.poll_timeout() {
            // Also when the clock has been behind: a deadline is a time that can be told.
            self.set_clock(at);
            self.time();
        }
    }

    fn set_clock(&mut self, now: Instant) {
        self.now = now;
        self.clock = self.clock.max(now);
    }

    /// Law 3: the deadline is later, or gone.
    fn time(&mut self) {
        self.session.handle_timeout(self.now);
        if let Some(at) = self.session.poll_timeout() {
            assert!(at > self.clock, "no progress at {:?}: {:?}", self.clock, self.session);
        }
    }

    fn connected(&mut self) {
        if self.session.poll_link() == Link::Down {
            self.deadline();
        }
        let dialled = matches!(self.session.poll_link(), Link::Dial(_));
        // Without a dial it is a driver that is out of step.
        self.session.handle_connected(self.now);
        if dialled && self.session.poll_link() == Link::Up {
            self.server.reset();
            self.transmit_all();
        }
    }

    fn deliver(&mut self) {
        let many = if self.rng.one_in(3) { 7 } else { usize::MAX };
        let part = self.server.said.len().min(many);
        let mut rest = part;
        while rest > 0 {
            let offered = self.split.len(rest).min(rest);
            let taken = self.session.handle_bytes(self.now, &self.server.said[..offered]);
            assert!(taken <= offered);
            self.server.said.drain(..taken);
            self.received += taken;
            rest -= taken;
            if self.eager && (taken < offered || !matches!(self.split, Split::Whole)) {
                self.pull();
            } else if taken == 0 {
                return; // full, until the application pulls
            }
            if self.session.poll_link() != Link::Up {
                return;
            }
        }
    }

    fn transmit(&mut self) {
        let pending = self.session.poll_transmit().len();
        if self.rng.one_in(2) || pending == 0 {
            return self.transmit_all();
        }
        let n = self.rng.below(pending + 1);
        self.transmit_some(n, n);
    }

    fn transmit_all(&mut self) {
        let pending = self.session.poll_transmit().len();
        // A driver that claims too much has only itself to blame, but is survived.
        let claimed = if self.rng.one_in(20) { pending + 9 } else { pending };
        self.transmit_some(pending, claimed);
    }

    fn transmit_some(&mut self, n: usize, claimed: usize) {
        let bytes = self.session.poll_transmit()[..n].to_vec();
        let chroot = self.session.chroot().to_owned();
        self.server.hear(&bytes, &chroot, &mut self.rng);
        self.session.handle_transmitted(self.now, claimed);
    }

    /// Law 5: what is accepted is answered once.
    fn submit(&mut self) {
        let before = (self.session.poll_transmit().to_vec(), self.session.poll_timeout());
        let (watches, could) = (self.session.watches(), self.session.can_submit());
        let session = &mut self.session;
        let deadline = ms(self.rng.next() % 5000);
        let deadline = self.rng.one_in(8).then_some(self.now.after(deadline));
        let submit = |request: &Request<'_>| match deadline {
            Some(deadline) => session.submit_before(request, deadline),
            None => session.submit(request),
        };
        match request(&mut self.rng, submit) {
            Ok(xid) => {
                self.accepted += 1;
                assert!(self.waiting.insert(xid), "{xid} is in use");
                assert!(self.waiting.len() <= self.bounds.requests);
            }
            Err(error) => {
                assert_eq!(before.0, self.session.poll_transmit(), "{error}");
                assert_eq!(before.1, self.session.poll_timeout(), "{error}");
                assert_eq!((watches, could), (self.session.watches(), self.session.can_submit()));
            }
        }
    }

    /// An answer to a SASL challenge, asked for or not.
    fn authenticate(&mut self) {
        let before = (self.session.poll_transmit().to_vec(), self.session.poll_timeout());
        let len = self.rng.below(20);
        let token = self.rng.bytes(len);
        let answered = match self.rng.below(16) {
            0 => self.session.sasl_failed(),
            1..=7 => self.session.submit_sasl(&token),
            _ => self.session.sasl_done(),
        };
        if answered.is_err() {
            assert_eq!(before.0, self.session.poll_transmit());
            assert_eq!(before.1, self.session.poll_timeout());
        }
    }

    /// Law 5 again: what is given up is not answered.
    fn cancel(&mut self) {
        let Some(xid) = self.waiting.first().copied() else { return };
        if self.session.cancel(xid) {
            self.waiting.remove(&xid);
        }
        assert!(!self.session.cancel(xid), "{xid} is given up once");
    }

    fn pull(&mut self) {
        while let Some(event) = self.session.poll_event() {
            let seen = Seen::of(&event);
            self.events += 1;
            match &seen {
                Seen::Reply(xid, ..) => {
                    assert!(self.waiting.remove(xid), "{xid} is answered twice or was never asked");
                }
                Seen::State(state, _) => self.told(*state),
                Seen::Notification(_, path) => assert!(path.starts_with('/')),
                Seen::Sasl(_) => assert!(self.sasl && !self.told.is_connected()),
                Seen::WatchesLost(_) => assert_eq!(self.session.watches(), 0),
            }
            // Law 1: each event has its cause.
            let causes = self.received / 20 + self.accepted + 2 * self.steps + 2;
            assert!(self.events <= causes, "it spins: {seen:?}");
            self.trace.push(Entry::Event(seen));
        }
        // Law 7: an empty read means the end of the stream.
        if self.session.poll_link() == Link::Up {
            assert!(!self.session.poll_io().recv.is_empty(), "no room: {:?}", self.session);
        } else {
            self.server.said.clear();
        }
    }

    fn told(&mut self, state: KeeperState) {
        assert!(!self.told.is_final(), "{state:?} after {:?}", self.told);
        let turned = self.told.is_connected() != state.is_connected();
        assert!(turned || state.is_final(), "{state:?} after {:?}", self.told);
        assert_eq!(self.session.state(), state);
        if !state.is_connected() {
            assert!(self.waiting.is_empty(), "{state:?} overtakes {:?}", self.waiting);
        }
        self.told = state;
    }

    /// Laws 2 and 6: views answer the same twice, and stay within the memory.
    fn check_views(&mut self) {
        let link = self.session.poll_link();
        let timeout = self.session.poll_timeout();
        let transmit = self.session.poll_transmit().to_vec();
        let io = self.session.poll_io();
        assert_eq!(io.transmit, transmit);
        let room = io.recv.len();
        assert!(room <= self.bounds.recv && transmit.len() <= self.bounds.transmit);
        assert_eq!(self.session.poll_io().recv.len(), room);
        assert_eq!(self.session.poll_link(), link);
        assert_eq!(self.session.poll_timeout(), timeout);
        assert_eq!(self.session.poll_transmit(), transmit);
        if link != Link::Up {
            assert!(room == 0 && transmit.is_empty());
        }
        self.trace.push(Entry::Views {
            link,
            timeout,
            transmit,
            id: self.session.session_id(),
            zxid: self.session.last_zxid(),
            watches: self.session.watches(),
        });
    }

    /// Law 5, the other half: nothing is lost at the end.
    fn finish(&mut self) {
        self.pull();
        self.session.close(self.now);
        while let Some(at) = self.session.poll_timeout() {
            self.steps += 1;
            self.set_clock(at);
            self.time();
            self.pull();
            assert!(self.steps < 10_000, "the end does not come: {:?}", self.session);
        }
        assert!(self.waiting.is_empty(), "never answered: {:?}", self.waiting);
        assert!(self.told.is_final());
        assert_eq!(self.session.poll_link(), Link::Down);
    }
}

fn run(seed: u64, storage: Storage<'_>, bounds: Bounds, split: Split) -> Vec<Entry> {
    let mut rng = Rng::new(seed);
    let connect = *rng.pick(&["h1", "h1,h2,h3", "h1,h2/app"]);
    let mut config = ClientConfig::new(connect, rng.next()).timeout(ms(6000));
    if rng.one_in(4) {
        config = config.allow_read_only();
    }
    if rng.one_in(4) {
        config = config.frame_limit(500);
    }
    if rng.one_in(4) {
        config = config.expire_locally().expiry_allowance(ms(rng.next() % 3000));
    }
    if rng.one_in(4) {
        config = config.stolen_after(3);
    }
    let sasl = rng.one_in(4);
    if sasl {
        config = config.sasl();
    }
    let now = Instant::from_millis(rng.next() % 100_000);
    let mut run = Run {
        session: ClientSession::new(config, storage, now).unwrap(),
        bounds,
        eager: rng.one_in(2),
        sasl,
        noise: *rng.pick(&[0, 0, 1, 8]),
        rng,
        split,
        server: Server::default(),
        now,
        clock: now,
        waiting: BTreeSet::new(),
        told: KeeperState::Disconnected,
        accepted: 0,
        events: 0,
        received: 0,
        steps: 0,
        trace: Vec::new(),
    };
    run.script(150);
    run.trace
}

fn compare(seed: u64, what: &str, one: &[Entry], other: &[Entry]) {
    for (n, (one, other)) in one.iter().zip(other).enumerate() {
        assert_eq!(one, other, "seed {seed}, {what}: entry {n}");
    }
    assert_eq!(one.len(), other.len(), "seed {seed}, {what}");
}

/// One script over lent and owned memory and with the received bytes split in several ways: laws 4
/// and 8 say that it is the same run.
fn all<const RECV: usize, const TRANSMIT: usize, const REGISTRY: usize, const REQUESTS: usize>(
    seed: u64,
) -> Vec<Entry> {
    let mut memory = Fixed::<RECV, TRANSMIT, REGISTRY, REQUESTS>::new();
    let mut limits = Limits::default();
    (limits.recv, limits.transmit) = (RECV, TRANSMIT);
    (limits.registry, limits.requests) = (REGISTRY, REQUESTS);
    let bounds = Bounds { recv: RECV, transmit: TRANSMIT, requests: REQUESTS };
    let lent = run(seed, memory.lend(), bounds, Split::Whole);
    let owned = run(seed, Storage::owned(limits), bounds, Split::Whole);
    compare(seed, "lent and owned", &lent, &owned);
    let random = Split::Random(Rng::new(seed));
    let split = run(seed, memory.lend(), bounds, random.clone());
    compare(seed, "whole and split", &lent, &split);
    let split = run(seed, Storage::owned(limits), bounds, random);
    compare(seed, "lent and owned, split", &lent, &split);
    if seed.is_multiple_of(4) {
        let bytes = run(seed, memory.lend(), bounds, Split::Bytes);
        compare(seed, "whole and byte by byte", &lent, &bytes);
    }
    lent
}

/// How often a trace went through what the scripts are meant to reach.
fn count(traces: &[Vec<Entry>], wanted: impl Fn(&Entry) -> bool) -> usize {
    traces.iter().flatten().filter(|entry| wanted(entry)).count()
}

#[test]
fn the_laws_hold_in_ample_memory() {
    let traces: Vec<_> = (0..2500).map(all::<1024, 512, 512, 8>).collect();
    let state = |wanted| {
        count(&traces, |e| matches!(e, Entry::Event(Seen::State(state, _)) if *state == wanted))
    };
    use KeeperState::*;
    for (wanted, least) in [
        (SyncConnected, 1000),
        (Disconnected, 500),
        (ConnectedReadOnly, 20),
        (Expired, 20),
        (Closed, 500),
        (AuthFailed, 3),
    ] {
        assert!(state(wanted) >= least, "{wanted:?} only {} times", state(wanted));
    }
    let replies = count(&traces, |e| matches!(e, Entry::Event(Seen::Reply(_, _, Ok(_)))));
    let failures = count(&traces, |e| matches!(e, Entry::Event(Seen::Reply(_, _, Err(_)))));
    let events = count(&traces, |e| matches!(e, Entry::Event(Seen::Notification(..))));
    let challenges = count(&traces, |e| matches!(e, Entry::Event(Seen::Sasl(_))));
    assert!(challenges >= 500, "{challenges}");
    assert!(replies >= 3000 && failures >= 2000 && events >= 500, "{replies} {failures} {events}");
}

#[test]
fn the_laws_hold_in_tight_memory() {
    (10_000..11_800).for_each(|seed| {
        all::<160, 128, 100, 4>(seed);
    });
}

#[test]
fn the_laws_hold_in_the_least_memory_there_can_be() {
    (20_000..21_200).for_each(|seed| {
        all::<41, 49, 0, 1>(seed);
        all::<48, 100, 40, 2>(seed);
    });
}
