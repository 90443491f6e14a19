//! Ten thousand clients of one ensemble that goes away and comes back, under one virtual clock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::{BTreeSet, VecDeque};

use support::{accepted, ms, pong};
use zk_session::client::{ClientConfig, ClientSession, KeeperState, Link};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::SessionId;
use zk_session::{Instant, Machine};

const CLIENTS: usize = 10_000;
/// T: the timeout that is asked for and granted.
const TIMEOUT: u64 = 10_000;
/// What is promised for T in `Backoff`: no delay is longer than a quarter of it, and no steady one
/// shorter than a sixteenth.
const CAP: u64 = TIMEOUT / 4;
const FLOOR: u64 = CAP / 4;
/// One way over the network.
const LATENCY: u64 = 1;

/// What is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The client wants to be told the time.
    Wake,
    /// The dial has succeeded or failed.
    Dialled {
        open: bool,
    },
    /// The server accepts, or answers a ping.
    Accepted,
    Pong,
    /// The connection breaks.
    Cut,
}

struct Client {
    session: ClientSession<'static>,
    /// The last deadline that is in the world's queue.
    wake: Option<Instant>,
    dialling: bool,
    /// When a server last took something in.
    touched: Instant,
    attempts: VecDeque<Instant>,
    back: Option<Instant>,
}

/// Three servers that come and go together.
struct World {
    now: Instant,
    clients: Vec<Client>,
    queue: BTreeSet<(Instant, usize, Due)>,
    down: Option<Instant>,
    up: Option<Instant>,
}

impl World {
    /// Everybody connects, spread over the first seconds; then all run until the ensemble goes down.
    fn new() -> Self {
        let now = Instant::from_millis(0);
        let clients = (0..CLIENTS).map(|n| {
            let seed = u64::try_from(n).unwrap();
            let config = ClientConfig::new("h1,h2,h3", seed).timeout(ms(TIMEOUT));
            let storage = Storage::owned(Limits::default());
            let session = ClientSession::new(config, storage, now).unwrap();
            let attempts = VecDeque::new();
            Client { session, wake: None, dialling: false, touched: now, attempts, back: None }
        });
        let clients = clients.collect();
        let mut world = Self { now, clients, queue: BTreeSet::new(), down: None, up: None };
        for client in 0..CLIENTS {
            let start = Instant::from_millis(u64::try_from(client).unwrap() % 3000);
            world.queue.insert((start, client, Due::Wake));
        }
        world
    }

    /// The ensemble goes down and comes back after `outage`; runs until T after that.
    fn outage(outage: u64, at_its_start: impl FnOnce(&Self)) -> Self {
        let mut world = Self::new();
        let down = Instant::from_millis(20_000);
        let up = down.after(ms(outage));
        world.run(down);
        assert!(world.clients.iter().all(|c| c.session.state() == KeeperState::SyncConnected));
        at_its_start(&world);
        (world.down, world.up) = (Some(down), Some(up));
        for (n, client) in world.clients.iter_mut().enumerate() {
            client.attempts.clear();
            world.queue.insert((down, n, Due::Cut));
        }
        world.run(up.after(ms(TIMEOUT)));
        world
    }

    fn is_up(&self) -> bool {
        let after = |at: Option<Instant>| at.is_some_and(|at| self.now >= at);
        !after(self.down) || after(self.up)
    }

    fn run(&mut self, until: Instant) {
        while let Some(&(at, n, due)) = self.queue.first().filter(|(at, ..)| *at < until) {
            self.queue.pop_first();
            self.now = at;
            self.turn(n, due);
        }
        self.now = until;
    }

    fn turn(&mut self, n: usize, due: Due) {
        let (now, up) = (self.now, self.is_up());
        let client = &mut self.clients[n];
        let session = &mut client.session;
        match due {
            Due::Wake => session.handle_timeout(now),
            Due::Cut => session.handle_disconnected(now),
            Due::Dialled { open } => {
                client.dialling = false;
                if open && up {
                    session.handle_connected(now);
                } else {
                    session.handle_disconnected(now);
                }
            }
            // The ensemble is down before the answer could leave.
            Due::Accepted | Due::Pong if !up => {}
            Due::Accepted => {
                client.touched = now;
                if self.up.is_some_and(|up| now >= up) {
                    client.back.get_or_insert(now);
                }
                let id = i64::try_from(n).unwrap() + 1;
                session.handle_bytes(now, &accepted(id, i32::try_from(TIMEOUT).unwrap()));
            }
            Due::Pong => {
                client.touched = now;
                session.handle_bytes(now, &pong(0));
            }
        }
        while session.poll_event().is_some() {}
        // Frames of 49 bytes are handshakes, others pings.
        let (sent, link) = (session.poll_transmit().len(), session.poll_link());
        if sent > 0 && link == Link::Up {
            session.handle_transmitted(now, sent);
            let answer = if sent == 49 { Due::Accepted } else { Due::Pong };
            self.queue.insert((now.after(ms(2 * LATENCY)), n, answer));
        }
        if matches!(link, Link::Dial(_)) && !client.dialling {
            client.dialling = true;
            client.attempts.push_back(now);
            let dialled = Due::Dialled { open: up };
            self.queue.insert((now.after(ms(2 * LATENCY)), n, dialled));
        }
        let wake = session.poll_timeout().unwrap();
        if client.wake.is_none_or(|last| last <= now || wake < last) {
            client.wake = Some(wake);
            self.queue.insert((wake.max(now.after(ms(1))), n, Due::Wake));
        }
    }

    /// How many attempts arrived in each of the 100 ms since.
    fn attempts_per_100_ms(&self, since: Instant) -> Vec<usize> {
        let mut counts = vec![0; 1000];
        for at in self.clients.iter().flat_map(|client| &client.attempts) {
            if *at >= since {
                counts[usize::try_from(at.since(since).as_millis() / 100).unwrap()] += 1;
            }
        }
        counts
    }

    fn assert_all_are_back_with_their_sessions(&self) {
        for (n, client) in self.clients.iter().enumerate() {
            assert_eq!(client.session.state(), KeeperState::SyncConnected);
            assert_eq!(client.session.session_id(), SessionId(i64::try_from(n).unwrap() + 1));
        }
    }
}

/// The most attempts that a client can make within `span` of a loss, however it draws.
fn most_attempts(span: u64) -> usize {
    let (mut at, mut n) = (0, 0_u32);
    loop {
        at += (50 << n.min(10)).min(FLOOR);
        if at > span {
            return usize::try_from(n).unwrap();
        }
        n += 1;
    }
}

#[test]
fn c2_ten_thousand_clients_of_an_ensemble_that_was_down_for_a_minute() {
    const OUTAGE: u64 = 60_000;
    let world = World::outage(OUTAGE, |_| ());
    let (down, up) = (world.down.unwrap(), world.up.unwrap());
    world.assert_all_are_back_with_their_sessions();

    // All are back within a quarter of T, and so within the T that the ensemble grants on return.
    let slowest = world.clients.iter().map(|c| c.back.unwrap().since(up).as_millis()).max();
    assert!(slowest.unwrap() <= CAP + 6 * LATENCY, "{slowest:?} ms");

    // On return, at most a tenth of the clients come within the same 100 ms: their delays are at
    // least FLOOR and at most CAP long and well mixed, so about 100 ms / mean delay of them do.
    let accepts = world.attempts_per_100_ms(up);
    let most = *accepts.iter().max().unwrap();
    assert!(most <= CLIENTS / 10, "{most} of {CLIENTS} within 100 ms: {:?}", &accepts[..30]);
    // During the outage, once the first delays are over, no more do either.
    let during = world.attempts_per_100_ms(down);
    let most = during[100..600].iter().max().unwrap();
    assert!(*most <= CLIENTS / 10, "{most} of {CLIENTS} within 100 ms");

    // No client exceeds what is promised, whatever it draws.
    assert_eq!(most_attempts(OUTAGE), 98);
    for client in &world.clients {
        let attempts: Vec<u64> =
            client.attempts.iter().map(|at| at.since(down).as_millis()).collect();
        assert!(attempts.len() <= most_attempts(OUTAGE + CAP));
        for (n, at) in attempts.iter().enumerate() {
            assert!(n < most_attempts(*at), "attempt {n} at {at} ms");
        }
        let steady = attempts.windows(2).skip(5).map(|pair| pair[1] - pair[0]);
        assert!(steady.clone().all(|gap| (FLOOR..=CAP + 2 * LATENCY).contains(&gap)));
        assert!(steady.count() > 20, "and none gives up");
    }

    // No two are in lockstep: whoever shares one instant with another does not share five in a row.
    for from in [0, 10, 25] {
        let five = |client: &Client| -> Vec<Instant> {
            client.attempts.iter().skip(from).take(5).copied().collect()
        };
        let distinct: BTreeSet<_> = world.clients.iter().map(five).collect();
        assert_eq!(distinct.len(), CLIENTS, "attempts {from} and the next four");
    }
}

#[test]
fn c2_nobody_sleeps_through_the_end_of_a_session_that_could_have_been_saved() {
    // The ensemble does not restart, it is only unreachable: sessions expire T after they were last
    // touched. An outage that leaves 3/8 of CAP, and an attempt's time, loses none of them.
    // The longest silence before the cut is a third of T and the way there and back.
    let silence = TIMEOUT / 3 + 4 * LATENCY;
    let left = 3 * CAP / 8 + 8 * LATENCY;
    let mut down = Instant::from_millis(0);
    let mut touched = Vec::new();
    let world = World::outage(TIMEOUT - silence - left, |world| {
        down = world.now;
        touched = world.clients.iter().map(|client| client.touched).collect();
    });
    world.assert_all_are_back_with_their_sessions();
    let mut closest = u64::MAX;
    for (client, touched) in world.clients.iter().zip(touched) {
        let (back, end) = (client.back.unwrap(), touched.after(ms(TIMEOUT)));
        assert!(down.since(touched).as_millis() <= silence);
        assert!(back < end, "{} ms too late", back.since(end).as_millis());
        closest = closest.min(end.since(back).as_millis());
    }
    assert!(closest < 1000, "the closest had {closest} ms left: the outage is too short to tell");
}
