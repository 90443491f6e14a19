//! The session tracker at 1,000,000 sessions: memory per session, a touch, and what a tick costs in
//! which so many of them expire.
//!
//! `cargo bench -p zk-session --features std,server --bench tracker`. The aims are 64 bytes a
//! session, 100 ns a touch, and a tick whose cost is that of the sessions that expire in it. Time is
//! this thread's on a processor: on a busy machine waiting for one is no cost of the tracker's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a bench measures time, and fails by panicking"
)]

use allocation_counter::measure;
use cpu_time::ThreadTime;
use zk_session::Instant;
use zk_session::server::{Granted, ServerId, SessionTracker, TrackerConfig};

const SESSIONS: usize = 1_000_000;
const ROUNDS: usize = 5;
const TICK: u64 = 2000;

fn main() {
    let (mut tracker, mut granted) = (None, Vec::with_capacity(SESSIONS));
    let memory = measure(|| {
        let mut new = SessionTracker::owned(TrackerConfig::default(), usize::MAX);
        for i in 0..SESSIONS {
            let now = Instant::from_millis(i as u64 / 1000);
            granted.push(new.create(now, ServerId(1), 40_000).unwrap());
        }
        tracker = Some(new);
    });
    let mut tracker = tracker.unwrap();
    let per_session = |bytes: f64| bytes / SESSIONS as f64;
    println!(
        "{SESSIONS} sessions: {:.1} bytes each, {:.1} at the worst while they came",
        per_session(memory.bytes_current as f64),
        per_session(memory.bytes_max as f64)
    );

    shuffle(&mut granted);
    let mut now = 10_000;
    for (what, step) in [("into another tick", 3 * TICK), ("within its tick", 0)] {
        let mut best = f64::MAX;
        let mut worst = 0.0_f64;
        for _ in 0..ROUNDS {
            now += step;
            let each = touch_all(&mut tracker, &granted, now);
            (best, worst) = (best.min(each), worst.max(each));
        }
        println!("a touch in random order, {what}: {best:.0} .. {worst:.0} ns");
    }

    for expiring in [1, 100, 10_000, 100_000] {
        now += TICK;
        let (doomed, rest) = granted.split_at(expiring);
        touch_all(&mut tracker, doomed, now);
        touch_all(&mut tracker, rest, now + 2 * TICK);
        // They are due when the others are not.
        let due = tracker.poll_timeout().unwrap();
        let start = ThreadTime::now();
        let mut expired = 0;
        while let Some(id) = tracker.poll_expired(due) {
            assert!(tracker.close(id));
            expired += 1;
        }
        let took = start.elapsed();
        assert_eq!(expired, expiring);
        let each = took.as_nanos() as f64 / expiring as f64;
        println!("a tick in which {expiring} expire: {took:?}, {each:.0} ns each");
        now = due.as_millis();
        for place in &mut granted[..expiring] {
            *place = tracker.create(Instant::from_millis(now), ServerId(1), 40_000).unwrap();
        }
    }
}

/// Nanoseconds a touch.
fn touch_all(tracker: &mut SessionTracker<'_>, granted: &[Granted], now: u64) -> f64 {
    let now = Instant::from_millis(now);
    let start = ThreadTime::now();
    for known in granted {
        assert!(tracker.touch(now, known.session, known.timeout));
    }
    start.elapsed().as_nanos() as f64 / granted.len() as f64
}

/// Clients come in no order.
fn shuffle(granted: &mut [Granted]) {
    let mut state = 1_u64;
    for i in (1..granted.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        granted.swap(i, (state >> 33) as usize % (i + 1));
    }
}
