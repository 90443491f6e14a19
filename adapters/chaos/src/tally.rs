//! What happened, and what should not have.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What no member and no observer may ever see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A session ends as expired by the ensemble's word only.
    ExpiryIsTold,
    /// A session that goes on has the id it had.
    SameSession,
    /// While a session lives, its ephemeral znode is there and its own.
    EphemeralIsThere,
    /// When a session has ended, its ephemeral znode goes.
    EphemeralGoes,
    /// The ensemble does not end a session before its client's `safe_until`.
    SafeUntil,
    /// What was acknowledged stays; what was not is done once or not at all.
    NothingLost,
    /// A client's reads never go back in time.
    NeverBack,
    /// A watch that fired was armed, and something had changed.
    WatchFiresOnce,
    /// A change comes to a watcher before any reply that shows it.
    WatchBeforeReply,
    /// No change stays unseen.
    NoWatchLost,
    /// Every call returns.
    NothingHangs,
    /// Threads, sockets and memory are given back.
    NothingGrows,
}

/// A rule that was broken, when, and how.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Since the start of the run.
    pub at: Duration,
    /// Which rule.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} s  {:?}: {}", self.at.as_secs_f64(), self.rule, self.what)
    }
}

/// Counts and violations of a run, shared by all threads.
#[derive(Debug)]
pub struct Tally {
    start: Instant,
    /// The observer is to come to an end, then the members.
    calm: AtomicBool,
    stop: AtomicBool,
    /// When a server was last hurt, in milliseconds since the start; `u64::MAX` while one is.
    hurt: AtomicU64,
    counts: Mutex<Counts>,
}

/// What a run is told by.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rules broken.
    pub violations: Vec<Violation>,
    /// Requests by outcome.
    pub requests: BTreeMap<String, u64>,
    /// Sessions by what became of them.
    pub sessions: BTreeMap<String, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Reconnects to the same server, and to another.
    pub resumed: (u64, u64),
    /// Notifications that came.
    pub notifications: u64,
    /// The longest time a living session was without a server, and whose.
    pub longest_gap: (Duration, String),
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            calm: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            hurt: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    }
}

impl Tally {
    /// The counts, to be changed or read.
    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a rule was broken.
    pub fn violate(&self, rule: Rule, what: impl Into<String>) {
        let violation = Violation { at: self.start.elapsed(), rule, what: what.into() };
        eprintln!("VIOLATION {violation}");
        self.counts().violations.push(violation);
    }

    /// Notes that a rule was broken unless it was not.
    pub fn hold(&self, rule: Rule, held: bool, what: impl FnOnce() -> String) {
        if !held {
            self.violate(rule, what());
        }
    }

    /// Notes what became of a request.
    pub fn request(&self, outcome: &str) {
        *self.counts().requests.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Notes what became of a session.
    pub fn session(&self, outcome: impl Into<String>) {
        *self.counts().sessions.entry(outcome.into()).or_default() += 1;
    }

    /// Notes a fault.
    pub fn fault(&self, kind: &str) {
        *self.counts().faults.entry(kind.to_owned()).or_default() += 1;
    }

    /// How long the run lasts by now.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// How long the run lasts by now, in milliseconds.
    pub fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the members are to come to an end.
    pub fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Lets the members come to an end.
    pub fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether the observer is to come to an end.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Lets the observer come to an end.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    /// A server is being hurt, or is well again.
    pub fn hurting(&self, on: bool) {
        self.hurt.store(if on { u64::MAX } else { self.elapsed_millis() }, Ordering::SeqCst);
    }

    /// Whether no server has been hurt for this long.
    pub fn unhurt_for(&self, time: Duration) -> bool {
        let hurt = Duration::from_millis(self.hurt.load(Ordering::SeqCst));
        self.start.elapsed().checked_sub(hurt).is_some_and(|since| since > time)
    }
}
