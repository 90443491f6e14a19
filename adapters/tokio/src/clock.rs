//! tokio's clock as the core's ticks.

use std::sync::OnceLock;
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

    /// Microseconds, as many as 32 bits count: their differences tell spans of up to an hour.
    pub(crate) fn micros(&self) -> u32 {
        let micros = self.origin.elapsed().as_micros();
        u32::try_from(micros & u128::from(u32::MAX)).unwrap_or(0)
    }

    /// A point of tokio's clock in milliseconds, rounded up.
    pub(crate) fn millis_up(&self, at: Instant) -> u64 {
        let span = at.saturating_duration_since(self.origin);
        u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// A point of the core's clock as one of tokio's.
    pub(crate) fn instant(&self, at: zk_session::Instant) -> Instant {
        // Beyond what the platform's clock can tell there is no difference.
        const FAR: u64 = 1000 * 60 * 60 * 24 * 365;
        let span = Duration::from_millis(at.as_millis());
        self.origin.checked_add(span).unwrap_or_else(|| self.origin + Duration::from_millis(FAR))
    }
}

/// The least and the most that a deadline is put off to fall together with others.
const SLACK: (u64, u64) = (1, 500);

/// Puts a deadline of an idle session off by at most a hundredth of its timeout and 500 ms, to one of
/// the points in time at which others have theirs as well: for all of them the process wakes up
/// once, and their answers come together.
pub(crate) fn together(due: Instant, timeout: zk_session::Duration) -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let grid = (timeout.as_millis() / 100).clamp(SLACK.0, SLACK.1);
    let origin = *ORIGIN.get_or_init(Instant::now);
    let span = due.saturating_duration_since(origin).as_millis();
    let over = u64::try_from(span % u128::from(grid)).unwrap_or(0);
    if over == 0 { due } else { due + Duration::from_millis(grid - over) }
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
