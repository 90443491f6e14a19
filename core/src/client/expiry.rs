//! What can be known about a session's expiry without asking: two bounds in time, and the evidence
//! of hosts that turn it away.
//!
//! # The two bounds
//! Let T be the timeout in force. The ensemble expires a session no earlier than T after the last
//! request it took in for it (`SessionTrackerImpl.touchSession` rounds up to a tick, never down).
//!
//! *Safe until*: a request was taken in no earlier than it was sent. So once a request sent at s is
//! answered, the session lives at least until s + T; the newest answered request gives the best such
//! bound, and a lock holder stops there, before the ensemble can give its lock away. Pings and the
//! handshake count; auth packets do not, for they touch nothing. The bound is in the client's clock:
//! a holder whose clock may run slow by a share of T stops that much earlier. One thing lies outside
//! of it: a follower passes on what it took in only with the leader's next ping (half a tick), and a
//! follower that dies before takes that knowledge along.
//!
//! *Surely expired*: what is heard from a server was caused by something taken in before. Nothing
//! taken in can be newer than the last byte heard if nothing could be sent since, so the session is
//! gone T after it, a tick's rounding, a follower's delay and the clocks' skew later: the allowance.
//! A restart of the ensemble, or a new leader, grants every session a fresh T, so this is certain
//! only for an ensemble that has stayed up.

use super::config::ClientConfig;
use super::event::{Cause, ExpiryReason, KeeperState};
use super::phase::Phase;
use super::session::ClientSession;
use crate::error::DisconnectReason;
use crate::time::{Duration, Instant, Maybe, MaybeSpan};
use crate::wire::Zxid;

/// What the session knows of the ensemble's view of it.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    /// No earlier than this can the session have expired; the origin before the first answer.
    safe_until: Instant,
    /// When an established connection last brought a byte.
    heard: Instant,
    /// When the handshake was sent that is under way.
    handshake_sent: Instant,
    /// Pings not yet answered on this connection, and when the oldest of them was sent if that is
    /// known.
    pings: u32,
    oldest_ping: Maybe,
    /// Hosts that closed without an answer since the session was last accepted, as bits, and since
    /// when they have done so.
    silent: u64,
    silent_since: Maybe,
    /// The handshake under way conceals the zxid, to get an answer out of a wiped ensemble.
    bare: bool,
    /// How often in a row a server closed a connection soon after it had resumed the session.
    evictions: u32,
    /// The connected server has no quorum: what it takes in touches the session of no ensemble.
    read_only: bool,
    /// After how many of them the ticket counts as stolen; never if 0.
    stolen_after: u32,
    /// What is added to the timeout before a session is surely expired; a share of the timeout if
    /// none is set.
    allowance: MaybeSpan,
    /// Whether the session ends itself when it is surely expired.
    ends_locally: bool,
}

impl Expiry {
    pub(super) const fn new(config: &ClientConfig<'_>, now: Instant) -> Self {
        let (after, allowance) = (config.stolen_after, config.expiry_allowance);
        Self::with_policy(after, allowance, config.expires_locally, now)
    }

    /// A new session begins with nothing known; the policy stays.
    pub(super) const fn reset(&mut self, now: Instant) {
        *self = Self::with_policy(self.stolen_after, self.allowance.get(), self.ends_locally, now);
    }

    const fn with_policy(
        stolen_after: u32,
        allowance: Option<Duration>,
        ends_locally: bool,
        now: Instant,
    ) -> Self {
        Self {
            safe_until: Instant::ORIGIN,
            heard: now,
            handshake_sent: now,
            pings: 0,
            oldest_ping: Maybe::NONE,
            silent: 0,
            silent_since: Maybe::NONE,
            bare: false,
            evictions: 0,
            read_only: false,
            stolen_after,
            allowance: MaybeSpan::of(allowance),
            ends_locally,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    pub(super) const fn sent_handshake(&mut self, now: Instant) {
        self.handshake_sent = now;
        (self.pings, self.oldest_ping) = (0, Maybe::NONE);
    }

    /// The ensemble has accepted the session. The grant may be shorter than the last one, and then
    /// so is the life it was granted before.
    pub(super) fn accepted(&mut self, now: Instant, timeout: Duration, read_only: bool) {
        self.read_only = read_only;
        if !read_only {
            self.safe_until = self.handshake_sent.after(timeout);
        }
        self.heard(now);
        (self.silent, self.silent_since, self.bare) = (0, Maybe::NONE, false);
    }

    /// A request that was sent then has been answered.
    #[inline]
    pub(super) fn answered(&mut self, sent: Instant, timeout: Duration) {
        if !self.read_only {
            self.safe_until = self.safe_until.max(sent.after(timeout));
        }
    }

    /// The hosts are others: what is known of the old ones says nothing of them.
    pub(super) const fn hosts_changed(&mut self) {
        (self.silent, self.silent_since) = (0, Maybe::NONE);
    }

    pub(super) fn sent_ping(&mut self, now: Instant) {
        if self.pings == 0 {
            self.oldest_ping = Maybe::at(now);
        }
        self.pings = self.pings.saturating_add(1);
    }

    /// Pings are answered in order, so an answer is the oldest one's.
    pub(super) fn answered_ping(&mut self, timeout: Duration) {
        let oldest = core::mem::replace(&mut self.oldest_ping, Maybe::NONE);
        if let Some(sent) = oldest.get().filter(|_| self.pings > 0) {
            self.answered(sent, timeout);
        }
        self.pings = self.pings.saturating_sub(1);
    }
}

impl ClientSession<'_> {
    /// How many pings on this connection are not answered yet; none without a connection. A driver
    /// that looks whenever it has moved bytes and pulled events can tell, by a better clock than the
    /// session's, how long an answer takes.
    pub const fn unanswered_pings(&self) -> u32 {
        if self.is_connected() { self.expiry.pings } else { 0 }
    }

    /// Until when the ensemble cannot have expired this session: the send time of the newest
    /// answered request plus the timeout. Whoever holds a lock through this session stops using it
    /// then. `None` without a session.
    pub fn safe_until(&self) -> Option<Instant> {
        let known = self.expiry.safe_until > Instant::ORIGIN && !self.is_ending();
        known.then_some(self.expiry.safe_until)
    }

    /// From when on an ensemble that has stayed up has surely expired this session: the last byte
    /// heard plus the timeout plus the allowance
    /// ([`ClientConfig::expiry_allowance`](super::ClientConfig::expiry_allowance)). `None` without a
    /// session.
    pub fn surely_expired_at(&self) -> Option<Instant> {
        let timeout = self.live.timeout;
        let allowance = self.expiry.allowance.get().unwrap_or(timeout.share(4, 5));
        let at = self.expiry.heard.after(timeout).after(allowance);
        (self.claim().is_some() && !self.is_ending()).then_some(at)
    }

    /// When the session ends itself, if that is its policy and nothing else happens.
    pub(super) fn local_end(&self) -> Option<Instant> {
        // A connected session has its read deadline, and what a lost connection left behind is told
        // first.
        let busy = matches!(self.phase, Phase::Connected | Phase::Draining { .. });
        let waits = self.expiry.ends_locally && !busy;
        self.surely_expired_at().filter(|_| waits)
    }

    /// The zxid to show: none if every host has been turning this session away for longer than its
    /// timeout. Then its zxid may be ahead of a wiped ensemble, which only an attempt without it can
    /// tell from one that is not serving.
    pub(super) fn shown_zxid(&mut self) -> Zxid {
        let expiry = &mut self.expiry;
        let all = self.hosts.all();
        let long = expiry
            .silent_since
            .get()
            .is_some_and(|since| self.clock.since(since) >= self.live.timeout);
        let turned_away = expiry.silent & all == all && long && self.last_zxid.0 > 0;
        // Every other attempt, so that an ensemble that comes back is met with the true zxid too.
        expiry.bare = turned_away && !expiry.bare;
        if expiry.bare { Zxid(0) } else { self.last_zxid }
    }

    /// Keeps the evidence that a lost connection or attempt is, and says whether it ends the
    /// session.
    pub(super) fn evidence(&mut self, reason: DisconnectReason, proved: bool) -> Option<Cause> {
        match reason {
            DisconnectReason::ClosedInHandshake if self.claim().is_some() => {
                self.expiry.silent |= self.hosts.bit();
                if self.expiry.silent_since.get().is_none() {
                    self.expiry.silent_since = Maybe::at(self.clock);
                }
            }
            // SASL is cut off for other reasons.
            DisconnectReason::TransportClosed
                if !proved && !matches!(self.phase, Phase::Authenticating(_)) =>
            {
                let evictions = self.expiry.evictions.saturating_add(1);
                self.expiry.evictions = evictions;
                if evictions == self.expiry.stolen_after {
                    return Some(Cause::Expired(ExpiryReason::Stolen));
                }
            }
            _ if proved => self.expiry.evictions = 0,
            _ => {}
        }
        None
    }

    /// Whether the zxid was concealed from the server that has just answered.
    pub(super) const fn asked_bare(&self) -> bool {
        self.expiry.bare
    }

    /// The ensemble has refused the session.
    pub(super) fn refused(&mut self) {
        let reason =
            if self.expiry.bare { ExpiryReason::EnsembleWiped } else { ExpiryReason::ToldByServer };
        self.end(KeeperState::Expired, Cause::Expired(reason));
    }
}
