//! What is counted and measured, by `metrics`. Handles are kept, so that a request costs no look-up
//! at the recorder.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, SharedString, Unit};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::time::Instant;
use zk_session::wire::OpCode;

use super::{DROPPED, Places, outcome};
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
    requests: Places<(OpCode, Instant)>,
    ops: Vec<(OpCode, Op)>,
    connected_before: bool,
    /// When gauges were set last.
    told: Option<Instant>,
    watches_told: usize,
    reconnects: Counter,
    ping_seconds: Histogram,
    silence_seconds: Gauge,
    watches: Gauge,
}

/// What is counted of an operation.
struct Op {
    client: SharedString,
    name: SharedString,
    seconds: Histogram,
    outcomes: Vec<(&'static str, Counter)>,
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
        self.requests.put(place, (op, Instant::now()));
    }

    #[inline]
    pub(super) fn answered(&mut self, place: u32, failure: Option<Failure>) {
        if let Some((op, at)) = self.requests.take(place) {
            let op = self.op(op);
            op.seconds.record(at.elapsed());
            op.count(outcome(failure));
        }
    }

    pub(super) fn dropped(&mut self, place: u32) {
        if let Some((op, _)) = self.requests.take(place) {
            self.op(op).count(DROPPED);
        }
    }

    pub(super) fn refused(&mut self, op: OpCode, failure: Failure) {
        self.op(op).count(outcome(Some(failure)));
    }

    pub(super) fn all_failed(&mut self, failure: Failure) {
        for (op, _) in self.requests.drain() {
            self.op(op).count(outcome(Some(failure)));
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

    fn op(&mut self, op: OpCode) -> &mut Op {
        let at = match self.ops.iter().position(|(known, _)| *known == op) {
            Some(at) => at,
            None => {
                self.ops.push((op, Op::new(self.client.clone(), op)));
                self.ops.len() - 1
            }
        };
        &mut self.ops[at].1
    }
}

impl Op {
    fn new(client: SharedString, op: OpCode) -> Self {
        let name: SharedString = format!("{op:?}").into();
        let seconds = histogram!(REQUEST_SECONDS, "client" => client.clone(), "op" => name.clone());
        Self { client, name, seconds, outcomes: Vec::new() }
    }

    fn count(&mut self, outcome: &'static str) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(known, _)| *known == outcome) {
            return counter.increment(1);
        }
        let (client, name) = (self.client.clone(), self.name.clone());
        let counter = counter!(REQUESTS, "client" => client, "op" => name, "outcome" => outcome);
        counter.increment(1);
        self.outcomes.push((outcome, counter));
    }
}
