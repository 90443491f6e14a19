//! When to ping, when to give a connection up, and how long to wait before the next attempt.

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The longest a connected session stays silent, whatever its timeout.
const PING_AT_MOST: Duration = Duration::from_secs(10);

/// The least time an attempt gets: a server that granted next to nothing must not make every later
/// attempt too short to learn what became of the session.
const ATTEMPT_AT_LEAST: Duration = Duration::from_millis(100);

/// The two clocks of a connection, and the timeout that rules them.
///
/// # Source
/// `ClientCnxn.SendThread.run` and `onConnected`, 3.8.0, with the simpler ping schedule that only a
/// timer drives.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    /// The requested timeout before the first handshake, the negotiated one after it.
    pub(super) timeout: Duration,
    last_heard: Instant,
    last_sent: Instant,
}

impl Liveness {
    pub(super) const fn new(timeout: Duration, now: Instant) -> Self {
        Self { timeout, last_heard: now, last_sent: now }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = self.last_sent.max(now);
    }

    pub(super) const fn last_heard(&self) -> Instant {
        self.last_heard
    }

    pub(super) const fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// When a connected session has heard nothing for too long: two thirds of the timeout.
    pub(super) fn read_deadline(&self) -> Instant {
        self.last_heard.after(self.timeout.scaled(2, 3))
    }

    /// When a connected session must say something: a third of the timeout after it last did.
    pub(super) fn ping_deadline(&self) -> Instant {
        // A server that grants a timeout of 1 ms must not make the session spin.
        let third = self.timeout.scaled(1, 3).max(Duration::from_millis(1));
        self.last_sent.after(third.min(PING_AT_MOST))
    }

    /// How long an attempt, from dialling to the server's answer, may take with so many hosts.
    pub(super) fn attempt_time(&self, hosts: u64) -> Duration {
        self.timeout.scaled(1, hosts).max(ATTEMPT_AT_LEAST)
    }
}

/// Delays between attempts: decorrelated jitter, so that no two clients move in step, and none ever
/// hammers.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    last: Duration,
}

impl Backoff {
    /// The shortest delay.
    const FIRST: Duration = Duration::from_millis(50);

    pub(super) const fn new() -> Self {
        Self { last: Self::FIRST }
    }

    /// A connection has proved good: the next failure starts from the shortest delay.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Draws the next delay: between the shortest and three times the last one, never above a
    /// quarter of the session timeout (0.25 to 5 s), so that every host gets its turn in time.
    pub(super) fn draw(&mut self, timeout: Duration, rng: &mut Rng) -> Duration {
        let cap = timeout.scaled(1, 4).as_millis().clamp(250, 5000);
        let high = self.last.as_millis().saturating_mul(3).min(cap);
        self.last = Duration::from_millis(rng.between(Self::FIRST.as_millis(), high));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_thirds_of_the_timeout() {
        let mut live = Liveness::new(Duration::from_millis(6000), Instant::ORIGIN);
        assert_eq!(live.ping_deadline(), Instant::from_millis(2000));
        assert_eq!(live.read_deadline(), Instant::from_millis(4000));
        assert_eq!(live.attempt_time(3), Duration::from_millis(2000));
        live.timeout = Duration::from_secs(60);
        assert_eq!(live.ping_deadline(), Instant::from_millis(10_000));
    }

    #[test]
    fn delays_grow_to_their_cap_and_never_fall_below_the_shortest() {
        let (mut backoff, mut rng) = (Backoff::new(), Rng::new(3));
        let mut longest = 0;
        for _ in 0..500 {
            let delay = backoff.draw(Duration::from_millis(4000), &mut rng).as_millis();
            assert!((50..=1000).contains(&delay));
            longest = longest.max(delay);
        }
        assert!(longest > 900, "{longest}");
        backoff.reset();
        assert!(backoff.draw(Duration::from_millis(4000), &mut rng).as_millis() <= 150);
    }
}
