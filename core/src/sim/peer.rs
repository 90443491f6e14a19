//! One client: its host, its session and its transport.

use alloc::collections::VecDeque;
use alloc::string::String;

use super::clock::Clock;
use super::fact::View;
use super::seen::Seen;
use crate::client::ClientSession;
use crate::time::{Duration, Instant};
use crate::wire::{OpCode, Xid};

/// A client as the world has it.
pub(super) struct Peer {
    pub(super) session: ClientSession<'static>,
    pub(super) clock: Clock,
    pub(super) transport: Transport,
    /// The one entry in the agenda that counts.
    pub(super) due: Option<Instant>,
    /// What its application was told and has not yet taken.
    pub(super) seen: VecDeque<Seen>,
    /// What was asked for and not yet answered.
    pub(super) asked: VecDeque<Asked>,
    /// The host sleeps until then.
    pub(super) asleep: Option<Instant>,
    /// Pauses between reads.
    pub(super) pause: Duration,
    /// When it reads again.
    pub(super) reads_at: Instant,
    /// A bit of what comes next is changed.
    pub(super) to_garble: bool,
    pub(super) is_honest: bool,
    /// When an established connection last brought bytes, by the world's clock.
    pub(super) heard: Instant,
    /// When the ensemble last took in something of this client's.
    pub(super) taken: Instant,
    /// The slowest that its clock has gone, and when it last could not be relied on (its own time).
    pub(super) slowest: u32,
    pub(super) disturbed: Option<Instant>,
}

/// A request that waits for its answer.
pub(super) struct Asked {
    pub(super) xid: Xid,
    pub(super) op: OpCode,
    /// The ephemeral znode that it would create is the session's.
    pub(super) is_ephemeral: bool,
}

/// Where a client stands with its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    None,
    /// `server` is `None` if the host's name leads nowhere.
    Dialling {
        server: Option<usize>,
        until: Instant,
    },
    /// The number of the pipe.
    Open(usize),
}

/// A clock slower than this counts as one that stands still.
pub(super) const SLOWEST_RELIABLE: u32 = 800;

impl Peer {
    pub(super) fn new(session: ClientSession<'static>, now: Instant) -> Self {
        Self {
            session,
            clock: Clock::new(),
            transport: Transport::None,
            due: None,
            seen: VecDeque::new(),
            asked: VecDeque::new(),
            asleep: None,
            pause: Duration::ZERO,
            reads_at: now,
            to_garble: false,
            is_honest: true,
            heard: now,
            taken: Instant::ORIGIN,
            slowest: 1000,
            disturbed: None,
        }
    }

    pub(super) fn view(&self, now: Instant) -> View {
        View::of(&self.session, self.clock.read(now), self.is_honest)
    }

    /// How far the holder's `safe_until` may be off because of its clock; `None`: it says nothing.
    pub(super) fn behind(&self) -> Option<Duration> {
        let timeout = self.session.timeout();
        let safe = self.session.safe_until()?;
        let sent = safe.as_millis().saturating_sub(timeout.as_millis());
        let was_disturbed = self.disturbed.is_some_and(|at| at.as_millis() >= sent);
        if was_disturbed || self.clock.rate() < SLOWEST_RELIABLE {
            return None;
        }
        Some(timeout.scaled(1000_u64.saturating_sub(self.slowest.into()), 1000))
    }

    /// The clock goes at another rate from now on.
    pub(super) fn set_rate(&mut self, now: Instant, per_mille: u32) {
        let was_reliable = self.clock.rate() >= SLOWEST_RELIABLE;
        self.clock.set_rate(now, per_mille);
        if per_mille < SLOWEST_RELIABLE || !was_reliable {
            self.disturbed = Some(self.clock.read(now));
        }
        if per_mille >= SLOWEST_RELIABLE {
            self.slowest = self.slowest.min(per_mille);
        }
    }

    /// Takes the note of a request that is answered.
    pub(super) fn answered(&mut self, xid: Xid) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| asked.xid == xid)?;
        self.asked.remove(at)
    }

    /// The name of the host that the session wants to dial.
    pub(super) fn dialled_host(&self) -> Option<String> {
        let crate::client::Link::Dial(host) = self.session.poll_link() else { return None };
        self.session.host(host).map(|host| String::from(host.name))
    }
}
