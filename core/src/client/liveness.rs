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
        self.last_heard.after(self.timeout.share(2, 3))
    }

    /// When a connected session must say something: a third of the timeout after it last did.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn ping_deadline(&self) -> Instant {
        // A server that grants a timeout of 1 ms must not make the session spin.
        let third = self.timeout.share(1, 3).max(Duration::from_millis(1));
        self.last_sent.after(third.min(PING_AT_MOST))
    }

    /// How long an attempt, from dialling to the server's answer, may take with so many hosts.
    pub(super) fn attempt_time(&self, hosts: u8) -> Duration {
        self.timeout.share(1, hosts).max(ATTEMPT_AT_LEAST)
    }
}

/// Delays between attempts: decorrelated jitter over a rising floor, bounded by the session time
/// left.
///
/// Let *cap* be a quarter of the timeout T, at least 250 ms and at most 5 s. The n-th delay since the
/// last [`reset`](Self::reset) is drawn evenly from *low*(n) to *high*(n):
///
/// - *low*(n) = min(50 ms × 2ⁿ⁻¹, *cap* / 4);
/// - *high*(n) = min(3 × the delay before, *cap*, half the session time left), but at least
///   1.5 × *low*(n), so that two clients that failed together drift apart with every attempt.
///
/// Whatever is drawn, and however attempts fail:
///
/// 1. No delay is shorter than *low*(n): the n-th attempt begins *low*(1) + … + *low*(n) after the
///    loss at the soonest. For T = 10 s that makes at most 4 + (t - 750 ms) / 625 ms attempts within
///    any time t from 750 ms on.
/// 2. No delay is longer than *cap*. An ensemble that returns is asked within T/4 (within 250 ms if T
///    is less than a second), plus what an attempt under way still takes.
/// 3. A client does not sleep through the end of its session: after a failure with at least
///    3/8 × *cap* of it left, another attempt begins before it is over.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    last: Duration,
    floor: Duration,
}

impl Backoff {
    /// The shortest delay.
    const FIRST: Duration = Duration::from_millis(50);

    pub(super) const fn new() -> Self {
        Self { last: Self::FIRST, floor: Self::FIRST }
    }

    /// A connection has proved good: the next failure starts from the shortest delay.
    pub(super) fn reset(&mut self) {
        (self.last, self.floor) = (Self::FIRST, Self::FIRST);
    }

    /// Draws the next delay. `left` is for how long the ensemble surely keeps the session; zero if
    /// that is not known or over, and then only the timeout bounds the delay.
    pub(super) fn draw(&mut self, timeout: Duration, left: Duration, rng: &mut Rng) -> Duration {
        let cap = (timeout.number() / 4).clamp(250, 5000);
        let low = self.floor.number().min(cap / 4);
        let left = left.number();
        let bound = if left > 0 { cap.min(left / 2) } else { cap };
        let high = self.last.number().saturating_mul(3).min(bound).max(low.saturating_mul(3) / 2);
        self.last = Duration::from_number(rng.draw(low, high));
        self.floor = Duration::from_number(self.floor.number().saturating_mul(2));
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

    /// What the n-th delay is at least, for a timeout whose cap is `cap`.
    fn low(n: u32, cap: u64) -> u64 {
        (50 << n.min(20)).min(cap / 4)
    }

    #[test]
    fn c2_delays_keep_the_bounds_that_are_promised() {
        for (timeout, cap) in [(0, 250), (900, 250), (4000, 1000), (10_000, 2500), (1 << 31, 5000)]
        {
            let (mut backoff, mut rng) = (Backoff::new(), Rng::new(timeout));
            let mut longest = 0;
            for _ in 0..100 {
                let mut last = 50;
                for n in 0..40 {
                    let delay =
                        backoff.draw(Duration::from_millis(timeout), Duration::ZERO, &mut rng);
                    let delay = delay.as_millis();
                    assert!(delay >= low(n, cap), "{delay} ms is the {n}-th of {timeout}");
                    assert!(
                        delay <= cap.min(3 * last).max(low(n, cap) * 3 / 2),
                        "{delay} ms after {last} of {timeout}"
                    );
                    longest = longest.max(delay);
                    last = delay;
                }
                backoff.reset();
                let first =
                    backoff.clone().draw(Duration::from_millis(timeout), Duration::ZERO, &mut rng);
                assert!((50..=150).contains(&first.as_millis()));
            }
            assert!(longest > cap * 95 / 100, "{longest} of {cap}");
        }
    }

    #[test]
    fn c2_delays_are_spread_over_all_that_is_promised() {
        let timeout = Duration::from_millis(10_000);
        // What is left of the session, and the longest first delay then.
        for (left, high) in [(0, 150), (10_000, 150), (100, 75)] {
            let left = Duration::from_millis(left);
            let draw = |seed| Backoff::new().draw(timeout, left, &mut Rng::new(seed)).as_millis();
            let (least, most) = ((0..2000).map(draw).min(), (0..2000).map(draw).max());
            assert_eq!((least, most), (Some(50), Some(high)), "{left} left");
        }
    }

    #[test]
    fn c2_no_delay_sleeps_through_the_end_of_the_session() {
        let timeout = Duration::from_millis(10_000);
        for seed in 0..2000 {
            let (mut backoff, mut rng) = (Backoff::new(), Rng::new(seed));
            let end = Instant::from_millis(10_000);
            let (mut now, mut attempts) = (Instant::ORIGIN, 0);
            while now < end {
                let delay = backoff.draw(timeout, end.since(now), &mut rng);
                let left = end.since(now).as_millis();
                assert!(
                    left < 937 || delay.as_millis() <= (left / 2).max(937),
                    "{delay} of {left}"
                );
                now = now.after(delay);
                attempts += 1;
                assert!(left < 937 || now <= end);
            }
            assert!((7..=5 + 16).contains(&attempts), "{attempts} attempts within the timeout");
            // And after it delays grow again to what the timeout allows.
            let longest =
                (0..50).map(|_| backoff.draw(timeout, end.since(now), &mut rng)).max().unwrap();
            assert!(longest.as_millis() > 2000);
        }
    }

    #[test]
    fn r3_no_number_of_attempts_overflows() {
        let (mut backoff, mut rng) = (Backoff::new(), Rng::new(3));
        let end = Instant::from_millis(u64::MAX);
        for n in 0..100_000_u64 {
            let delay = backoff.draw(Duration::from_millis(u64::MAX), Duration::ZERO, &mut rng);
            assert!(n < 5 || (1250..=5000).contains(&delay.as_millis()));
            assert_eq!(end.after(delay), end);
        }
    }
}
