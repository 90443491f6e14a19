//! tokio's clock as the core's ticks.

use std::time::Duration;

use tokio::time::Instant;

/// Milliseconds since the clock was made. `now` rounds down and deadlines are rounded up, so that
/// one that has been waited for has come.
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

    /// A point of the core's clock as one of tokio's.
    pub(crate) fn instant(&self, at: zk_session::Instant) -> Instant {
        // Beyond what the platform's clock can tell there is no difference.
        const FAR: u64 = 1000 * 60 * 60 * 24 * 365;
        let span = Duration::from_millis(at.as_millis());
        self.origin.checked_add(span).unwrap_or_else(|| self.origin + Duration::from_millis(FAR))
    }
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
