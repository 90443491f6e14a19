//! What can be observed of a session. Without the features `metrics` and `tracing` all of this is
//! empty: no memory, no instructions.

#[cfg(feature = "metrics")]
mod meters;
#[cfg(not(all(feature = "metrics", feature = "tracing")))]
mod nothing;
#[cfg(feature = "tracing")]
mod spans;

#[cfg(not(feature = "metrics"))]
use nothing as meters;
#[cfg(not(feature = "tracing"))]
use nothing as spans;

use std::time::Duration;

use zk_session::wire::OpCode;

use crate::slots::Failure;
use crate::states::Transition;

/// Told of what happens to a session, as it happens.
pub(crate) struct Observer {
    meters: meters::Part,
    spans: spans::Part,
}

#[cfg(not(any(feature = "metrics", feature = "tracing")))]
const _: () = assert!(size_of::<Observer>() == 0, "what is not observed takes no memory");

impl Observer {
    /// Whether there is anything that is told.
    pub(crate) const LISTENS: bool = cfg!(any(feature = "metrics", feature = "tracing"));

    /// `name`: the client's, among those of the program.
    #[inline]
    pub(crate) fn new(name: &str) -> Self {
        Self { meters: meters::Part::new(name), spans: spans::Part::new(name) }
    }

    /// A request has got its place, in flight or in the line.
    #[inline]
    pub(crate) fn asked(&mut self, place: u32, op: OpCode, path: impl Fn() -> String) {
        self.meters.asked(place, op, &path);
        self.spans.asked(place, op, &path);
    }

    /// Answers follow that have come together.
    #[inline]
    pub(crate) fn batch(&mut self) {
        self.meters.batch();
    }

    /// The request at this place has an answer, or a failure in place of one.
    #[inline]
    pub(crate) fn answered(&mut self, place: u32, failure: Option<Failure>) {
        self.meters.answered(place, failure);
        self.spans.answered(place, failure);
    }

    /// Nobody waits any more for the request at this place, and it has not left.
    #[inline]
    pub(crate) fn dropped(&mut self, place: u32) {
        self.meters.dropped(place);
        self.spans.dropped(place);
    }

    /// A request was not even given a place.
    #[inline]
    pub(crate) fn refused(&mut self, op: OpCode, failure: Failure) {
        self.meters.refused(op, failure);
        self.spans.refused(op, failure);
    }

    /// All requests that have a place have failed.
    #[inline]
    pub(crate) fn all_failed(&mut self, failure: Failure) {
        self.meters.all_failed(failure);
        self.spans.all_failed(failure);
    }

    /// The session's state has changed.
    #[inline]
    pub(crate) fn changed(&mut self, transition: &Transition) {
        self.meters.changed(transition);
        self.spans.changed(transition);
    }

    /// A ping was answered after this time.
    #[inline]
    pub(crate) fn ponged(&mut self, took: Duration) {
        self.meters.ponged(took);
    }

    /// The session's task runs, with so many watches and after so long a silence of the server.
    #[inline]
    pub(crate) fn woken(&mut self, gauges: impl FnOnce() -> (usize, zk_session::Duration)) {
        self.meters.woken(gauges);
    }

    /// The session's task has ended.
    #[inline]
    pub(crate) fn ended(&mut self) {
        self.meters.ended();
    }

    /// Gives memory back while nothing is under way.
    #[inline]
    pub(crate) fn shrink(&mut self) {
        self.meters.shrink();
        self.spans.shrink();
    }
}

/// What became of a request, in a word of a small vocabulary.
#[cfg(any(feature = "metrics", feature = "tracing"))]
fn outcome(failure: Option<Failure>) -> &'static str {
    use zk_session::{OpError, SubmitError};
    match failure {
        None => OK,
        Some(Failure::Op(OpError::Server(_))) => "server_error",
        Some(Failure::Op(OpError::ConnectionLoss)) => "connection_loss",
        Some(Failure::Op(OpError::Timeout)) => "timeout",
        Some(
            Failure::Op(OpError::SessionExpired | OpError::SessionClosed | OpError::AuthFailed)
            | Failure::Submit(SubmitError::Ended)
            | Failure::NoRuntime,
        ) => "session_over",
        Some(Failure::Op(_)) => "unusable_answer",
        Some(Failure::Submit(_)) => "not_accepted",
        Some(Failure::NotSent) => "not_sent",
    }
}

/// What became of a request that was answered.
#[cfg(any(feature = "metrics", feature = "tracing"))]
const OK: &str = "ok";

/// What became of a request that its caller gave up before it left.
#[cfg(any(feature = "metrics", feature = "tracing"))]
const DROPPED: &str = "dropped";

/// What is kept of requests, by their places.
#[cfg(any(feature = "metrics", feature = "tracing"))]
struct Places<T>(Vec<Option<T>>);

#[cfg(any(feature = "metrics", feature = "tracing"))]
impl<T> Places<T> {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn put(&mut self, place: u32, what: T) {
        let at = usize::try_from(place).unwrap_or(usize::MAX);
        if self.0.len() <= at {
            self.0.resize_with(at.saturating_add(1), || None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(what);
        }
    }

    fn take(&mut self, place: u32) -> Option<T> {
        self.0.get_mut(usize::try_from(place).ok()?)?.take()
    }

    fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.0).into_iter().flatten()
    }

    fn shrink(&mut self) {
        if self.0.iter().all(Option::is_none) {
            self.0 = Vec::new();
        }
    }
}
