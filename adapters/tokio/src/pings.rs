//! Pings: what a session has said and heard while nothing else was asked.

use std::time::Duration;

use crate::clock::Clock;

/// Pings of a session since its start in this process, over all its connections.
///
/// A session pings when nothing has left for a third of its timeout, 10 s at the latest; one that is
/// in use needs none. A ping that was sent and not answered is on its way, or was lost with its
/// connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pings {
    /// How many were sent.
    pub sent: u64,
    /// How many of them were answered.
    pub answered: u64,
    /// From a ping to its answer, the last time; none before the first answer.
    pub last_round_trip: Option<Duration>,
}

/// Gathers them from the number that is unanswered, which is all that the core keeps.
#[derive(Debug, Default)]
pub(crate) struct PingLog {
    sent: u32,
    answered: u32,
    /// As last seen.
    unanswered: u32,
    /// The last round trip in microseconds; 0 before the first.
    micros: u32,
    /// When the oldest that is unanswered was sent, by the clock's [`micros`](Clock::micros); 0 if
    /// that is not known.
    since: u32,
}

impl PingLog {
    /// So many are unanswered after the session was told the time, when it sends them.
    #[inline]
    pub(crate) fn after_timeout(&mut self, unanswered: u32, clock: &Clock) {
        if unanswered > self.unanswered {
            self.sent(unanswered, clock);
        }
    }

    /// So many are unanswered after all events were pulled: the answers among them, and the end of
    /// the connection, which no answer outlives. The round trip, if one was measured.
    #[inline]
    pub(crate) fn after_events(&mut self, unanswered: u32, clock: &Clock) -> Option<Duration> {
        if unanswered < self.unanswered { self.heard(unanswered, clock) } else { None }
    }

    #[cold]
    fn sent(&mut self, unanswered: u32, clock: &Clock) {
        let more = unanswered.saturating_sub(self.unanswered);
        if self.unanswered == 0 {
            self.since = clock.micros().max(1);
        }
        self.sent = self.sent.saturating_add(more);
        self.unanswered = unanswered;
    }

    #[cold]
    fn heard(&mut self, unanswered: u32, clock: &Clock) -> Option<Duration> {
        let fewer = self.unanswered.saturating_sub(unanswered);
        self.answered = self.answered.saturating_add(fewer);
        self.unanswered = unanswered;
        // They are answered in order: the first answer is the oldest one's.
        let since = std::mem::take(&mut self.since);
        if since == 0 {
            return None;
        }
        self.micros = clock.micros().wrapping_sub(since).max(1);
        Some(Duration::from_micros(self.micros.into()))
    }

    /// The connection is gone: what was not answered never will be.
    pub(crate) fn disconnected(&mut self) {
        (self.unanswered, self.since) = (0, 0);
    }

    /// What is told of them.
    pub(crate) fn told(&self) -> Pings {
        let last = (self.micros > 0).then(|| Duration::from_micros(self.micros.into()));
        Pings { sent: self.sent.into(), answered: self.answered.into(), last_round_trip: last }
    }
}
