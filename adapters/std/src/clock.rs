//! The process's monotonic clock as the core's ticks.

use std::time::{Duration, Instant};

/// Milliseconds since the clock was made. `now` rounds down and waits round up, so that a deadline
/// that has been waited for has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(&self) -> zk_session::Instant {
        let millis = self.origin.elapsed().as_millis();
        zk_session::Instant::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// A point of the core's clock as one of the process's.
    pub(crate) fn instant(&self, at: zk_session::Instant) -> Instant {
        self.origin + Duration::from_millis(at.as_millis())
    }

    /// How long to wait for a deadline: zero if it has come, `None` for none.
    pub(crate) fn until(&self, deadline: Option<zk_session::Instant>) -> Option<Duration> {
        let at = Duration::from_millis(deadline?.as_millis());
        let wait = at.saturating_sub(self.origin.elapsed());
        // A wait that ends within the deadline's millisecond would end too early by the core's
        // clock only if it were cut short; rounding up to whole milliseconds rules that out.
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Some(Duration::from_millis(millis))
    }
}

/// When the patience is over; a century away at the most, which is as good as never.
pub(crate) fn deadline(patience: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    Instant::now() + patience.min(FAR)
}

/// A seed from the operating system's randomness, through the standard library's hasher keys.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// A span of time for the core, rounded down.
pub(crate) fn millis(time: Duration) -> zk_session::Duration {
    zk_session::Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
