//! How a session goes from one phase to the next: by loss, by its end, and by time.

use super::deadline::NEVER;
use super::event::{Cause, ExpiryReason, KeeperState};
use super::phase::{After, Closing, Phase, Readable};
use super::session::ClientSession;
use crate::error::DisconnectReason;
use crate::time::{Duration, Instant};
use crate::trace::debug_event;

/// How long an undrained session waits before it looks again.
const UNDRAINED: Duration = Duration::from_millis(100);

impl ClientSession<'_> {
    /// The connection, or the attempt at one, is over; the session goes on.
    pub(super) fn lose(&mut self, reason: DisconnectReason) {
        let readable = match (self.phase, reason) {
            (
                Phase::Priming { .. },
                DisconnectReason::ClosedInHandshake
                | DisconnectReason::ConnectTimeout
                | DisconnectReason::HostsChanged,
            ) => Readable::Handshake,
            (
                Phase::Connected,
                DisconnectReason::TransportClosed
                | DisconnectReason::ReadTimeout
                | DisconnectReason::HostsChanged
                | DisconnectReason::FoundReadWrite,
            ) => Readable::Frames,
            (
                Phase::Authenticating(_),
                DisconnectReason::TransportClosed
                | DisconnectReason::SaslTimeout
                | DisconnectReason::HostsChanged,
            ) => Readable::Sasl,
            _ => Readable::Nothing,
        };
        let proving = self.live.timeout.share(1, 3).max(Duration::from_secs(1));
        let proved = self.is_connected() && self.clock.since(self.established_at) >= proving;
        if proved {
            self.backoff.reset();
        }
        self.last_disconnect = Some((self.hosts.current(), reason));
        self.changed_at = self.clock;
        debug_event!("connection to host {} lost: {:?}", self.hosts.current().index(), reason);
        self.outbox.clear();
        self.earliest_deadline = NEVER;
        let delay = match reason {
            // The session itself wants to be elsewhere; nothing has failed.
            DisconnectReason::HostsChanged | DisconnectReason::FoundReadWrite => Duration::ZERO,
            _ => self.backoff.draw(self.live.timeout, self.safe_time_left(), &mut self.rng),
        };
        let after = match self.closing {
            // A new session would be one more to close.
            Some(Closing { xid, .. }) if xid.is_some() || !self.claim().is_some() => {
                After::End(KeeperState::Closed, Cause::ClosedUnconfirmed)
            }
            Some(_) => After::Retry(reason),
            None => match self.evidence(reason, proved) {
                Some(cause) => After::End(KeeperState::Expired, cause),
                None => After::Retry(reason),
            },
        };
        self.phase = Phase::Draining { until: self.clock.after(delay), readable, after };
    }

    /// The session is over.
    pub(super) fn end(&mut self, state: KeeperState, cause: Cause) {
        if !self.is_ending() {
            self.end_reading(Readable::Nothing, After::End(state, cause));
        }
    }

    /// The ensemble has confirmed the close, be it in what a lost connection left behind.
    pub(super) fn confirm_close(&mut self) {
        let after = After::End(KeeperState::Closed, Cause::Closed);
        self.end_reading(Readable::Nothing, after);
    }

    /// The close has taken too long. What has arrived is still read: the answer may be there.
    fn give_up_closing(&mut self) {
        let readable = match self.phase {
            Phase::Connected => Readable::Frames,
            Phase::Draining { readable, .. } => readable,
            _ => Readable::Nothing,
        };
        let after = After::End(KeeperState::Closed, Cause::ClosedUnconfirmed);
        self.end_reading(readable, after);
    }

    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn end_reading(&mut self, readable: Readable, after: After) {
        self.outbox.clear();
        let until = self.clock.after(UNDRAINED);
        self.changed_at = self.clock;
        self.phase = Phase::Draining { until, readable, after };
    }

    /// For how long the ensemble surely keeps the session that is to be resumed.
    fn safe_time_left(&self) -> Duration {
        self.safe_until().unwrap_or(self.clock).since(self.clock)
    }

    fn dial(&mut self) {
        self.hosts.advance(&mut self.rng);
        self.attempts = self.attempts.saturating_add(1);
        let time = self.live.attempt_time(self.hosts.count());
        self.phase = Phase::Dialling { deadline: self.clock.after(time) };
    }

    /// What the passing of time does.
    pub(super) fn on_time(&mut self) {
        let now = self.clock;
        if self.closing.is_some_and(|closing| now >= closing.deadline) && !self.is_ending() {
            return self.give_up_closing();
        }
        if self.local_end().is_some_and(|at| now >= at) {
            let cause = Cause::Expired(ExpiryReason::LocallyCertain);
            return self.end(KeeperState::Expired, cause);
        }
        if self.give_up_at.get().is_some_and(|at| now >= at) && !self.is_ending() {
            return self.end(KeeperState::Closed, Cause::NeverEstablished);
        }
        if self.request_deadline().is_some_and(|at| now >= at) {
            if let Some(on_deadline) = self.on_deadline {
                on_deadline(self);
            }
        }
        self.probe_on_time();
        match self.phase {
            Phase::Backoff { until } if now >= until => self.dial(),
            Phase::Dialling { deadline } | Phase::Priming { deadline } if now >= deadline => {
                self.lose(DisconnectReason::ConnectTimeout);
            }
            Phase::Authenticating(exchange) if now >= exchange.deadline => {
                self.lose(DisconnectReason::SaslTimeout);
            }
            Phase::Connected if self.read_deadline().is_some_and(|at| now >= at) => {
                self.lose(DisconnectReason::ReadTimeout);
            }
            Phase::Connected if now >= self.live.ping_deadline() => self.send_ping(),
            Phase::Draining { until, readable, after } if now >= until => {
                // The application has not pulled what is left; nothing may overtake it.
                let until = now.after(UNDRAINED);
                self.phase = Phase::Draining { until, readable, after };
            }
            _ => {}
        }
    }

    /// A full receive buffer that the application does not empty is not the server's silence.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn read_deadline(&self) -> Option<Instant> {
        (!self.inbox.is_full()).then(|| self.live.read_deadline())
    }
}
