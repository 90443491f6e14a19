//! What is counted and measured, by `metrics`. Handles are kept, so that a request costs no look-up
//! at the recorder.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, IntoF64, SharedString, Unit};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;
use zk_session::wire::OpCode;

use super::{DROPPED, OK, Places, outcome};
use crate::slots::Failure;
use crate::states::Transition;

/// How often gauges are set at most.
const PAUSE: Duration = Duration::from_secs(1);

const REQUESTS: &str = "zk_session_requests_total";
const REQUEST_SECONDS: &str = "zk_session_request_seconds";
const TRANSITIONS: &str = "zk_session_transitions_total";
const RECONNECTS: &str = "zk_session_reconnects_total";
const PING_SECONDS: &str = "zk_session_ping_seconds";
const SILENCE_SECONDS: &str = "zk_session_silence_seconds";
const WATCHES: &str = "zk_session_watches";

pub(super) struct Part {
    client: SharedString,
    requests: Places<Asked>,
    ops: Vec<(OpCode, Op)>,
    /// The time, for all answers of one batch.
    now: Option<Instant>,
    connected_before: bool,
    /// When gauges were set last.
    told: Option<Instant>,
    watches_told: usize,
    reconnects: Counter,
    ping_seconds: Histogram,
    silence_seconds: Gauge,
    watches: Gauge,
}

/// A request under way.
struct Asked {
    /// Its operation among those that are counted.
    op: usize,
    /// When it was made, if anybody wants to know how long it takes.
    at: Option<Instant>,
}

/// What is counted of an operation.
struct Op {
    client: SharedString,
    name: SharedString,
    /// None if the recorder does not want it: then there is no need to look at a clock.
    seconds: Option<Histogram>,
    /// Of most requests.
    ok: Option<Counter>,
    others: Vec<(&'static str, Counter)>,
}

/// Notes whether a histogram wants a value.
struct Wanted<'a>(&'a Cell<bool>);

impl IntoF64 for Wanted<'_> {
    fn into_f64(self) -> f64 {
        self.0.set(true);
        0.0
    }
}

impl Part {
    pub(super) fn new(name: &str) -> Self {
        describe_counter!(REQUESTS, Unit::Count, "requests by operation and outcome");
        describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "from a request to its answer");
        describe_counter!(TRANSITIONS, Unit::Count, "changes of sessions' states");
        describe_counter!(RECONNECTS, Unit::Count, "connections after a session's first");
        describe_histogram!(PING_SECONDS, Unit::Seconds, "from a ping to its answer");
        describe_gauge!(SILENCE_SECONDS, Unit::Seconds, "since bytes last came");
        describe_gauge!(WATCHES, Unit::Count, "armed watches");
        let client: SharedString = SharedString::from_shared(Arc::from(name));
        let label = || client.clone();
        Self {
            requests: Places::new(),
            ops: Vec::new(),
            now: None,
            connected_before: false,
            told: None,
            watches_told: 0,
            reconnects: counter!(RECONNECTS, "client" => label()),
            ping_seconds: histogram!(PING_SECONDS, "client" => label()),
            silence_seconds: gauge!(SILENCE_SECONDS, "client" => label()),
            watches: gauge!(WATCHES, "client" => label()),
            client,
        }
    }

    #[inline]
    pub(super) fn asked(&mut self, place: u32, op: OpCode, _: &impl Fn() -> String) {
        let op = self.op(op);
        let timed = self.ops.get(op).is_some_and(|(_, op)| op.seconds.is_some());
        self.requests.put(place, Asked { op, at: timed.then(Instant::now) });
    }

    /// Answers that come together are told at one time.
    #[inline]
    pub(super) fn batch(&mut self) {
        self.now = None;
    }

    #[inline]
    pub(super) fn answered(&mut self, place: u32, failure: Option<Failure>) {
        let Some(Asked { op, at }) = self.requests.take(place) else { return };
        let Some((_, op)) = self.ops.get_mut(op) else { return };
        if let (Some(at), Some(seconds)) = (at, &op.seconds) {
            let now = *self.now.get_or_insert_with(Instant::now);
            seconds.record(now.saturating_duration_since(at));
        }
        match (failure, &op.ok) {
            (None, Some(ok)) => ok.increment(1),
            _ => op.count(outcome(failure)),
        }
    }

    pub(super) fn dropped(&mut self, place: u32) {
        if let Some(Asked { op, .. }) = self.requests.take(place) {
            self.count(op, DROPPED);
        }
    }

    pub(super) fn refused(&mut self, op: OpCode, failure: Failure) {
        let op = self.op(op);
        self.count(op, outcome(Some(failure)));
    }

    pub(super) fn all_failed(&mut self, failure: Failure) {
        for Asked { op, .. } in self.requests.drain() {
            self.count(op, outcome(Some(failure)));
        }
    }

    pub(super) fn changed(&mut self, transition: &Transition) {
        let state = format!("{:?}", transition.state);
        counter!(TRANSITIONS, "client" => self.client.clone(), "state" => state).increment(1);
        if transition.state.is_connected() && std::mem::replace(&mut self.connected_before, true) {
            self.reconnects.increment(1);
        }
    }

    pub(super) fn ponged(&mut self, took: Duration) {
        self.ping_seconds.record(took);
    }

    pub(super) fn woken(&mut self, gauges: impl FnOnce() -> (usize, zk_session::Duration)) {
        if self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(Instant::now());
        let (watches, silence) = gauges();
        self.silence_seconds.set(Duration::from_millis(silence.as_millis()));
        self.tell_watches(watches);
    }

    pub(super) fn ended(&mut self) {
        self.tell_watches(0);
    }

    pub(super) fn shrink(&mut self) {
        self.requests.shrink();
    }

    /// Sessions of one name add up.
    fn tell_watches(&mut self, watches: usize) {
        let before = std::mem::replace(&mut self.watches_told, watches);
        let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        if watches > before {
            self.watches.increment(count(watches - before));
        } else if watches < before {
            self.watches.decrement(count(before - watches));
        }
    }

    /// The operation's place among those that are counted.
    #[inline]
    fn op(&mut self, op: OpCode) -> usize {
        match self.ops.iter().position(|(known, _)| *known == op) {
            Some(at) => at,
            None => self.new_op(op),
        }
    }

    #[cold]
    fn new_op(&mut self, op: OpCode) -> usize {
        self.ops.push((op, Op::new(self.client.clone(), op)));
        self.ops.len() - 1
    }

    fn count(&mut self, op: usize, outcome: &'static str) {
        if let Some((_, op)) = self.ops.get_mut(op) {
            op.count(outcome);
        }
    }
}

impl Op {
    fn new(client: SharedString, op: OpCode) -> Self {
        let name: SharedString = format!("{op:?}").into();
        let seconds = histogram!(REQUEST_SECONDS, "client" => client.clone(), "op" => name.clone());
        // A handle does not say whether it leads anywhere; of no values, none is recorded.
        let wanted = Cell::new(false);
        seconds.record_many(Wanted(&wanted), 0);
        let seconds = wanted.get().then_some(seconds);
        Self { client, name, seconds, ok: None, others: Vec::new() }
    }

    #[cold]
    fn count(&mut self, outcome: &'static str) {
        let all = self.others.iter().map(|(known, counter)| (*known, counter));
        let ok = self.ok.as_ref().map(|ok| (OK, ok));
        if let Some((_, counter)) = ok.into_iter().chain(all).find(|(known, _)| *known == outcome) {
            return counter.increment(1);
        }
        let (client, name) = (self.client.clone(), self.name.clone());
        let counter = counter!(REQUESTS, "client" => client, "op" => name, "outcome" => outcome);
        counter.increment(1);
        match outcome {
            OK => self.ok = Some(counter),
            _ => self.others.push((outcome, counter)),
        }
    }
}
