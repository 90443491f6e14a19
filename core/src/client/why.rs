//! Why the session is in the state it is in.

use core::fmt;

use super::event::{Cause, KeeperState};
use super::hosts::HostIndex;
use super::session::ClientSession;
use crate::time::{Duration, Instant};
use crate::wire::SessionId;

/// A state change with what led to it: plain values of that moment, by the caller's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Why {
    /// The state that was told.
    pub state: KeeperState,
    /// Its cause.
    pub cause: Cause,
    /// The host that was connected, or had been tried last.
    pub host: HostIndex,
    /// The session; none before a server gave one.
    pub session_id: SessionId,
    /// When it happened, as the session was told the time.
    pub at: Instant,
    /// When the transport was last opened or brought bytes.
    pub last_heard: Instant,
    /// When bytes last left, or a ping was due.
    pub last_sent: Instant,
    /// The timeout that was in force. A connection is given up two thirds of it after `last_heard`,
    /// and pinged a third of it after `last_sent`.
    pub timeout: Duration,
    /// How many attempts were made since a server last accepted the session.
    pub attempts: u32,
}

impl ClientSession<'_> {
    /// The last state change with its cause and the clocks of that moment; `None` before the first.
    pub const fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }

    /// When the transport was last opened or brought bytes: what [`Why::last_heard`] is of a moment,
    /// now.
    pub const fn last_heard(&self) -> Instant {
        self.live.last_heard()
    }

    pub(super) fn explain(&mut self, state: KeeperState, cause: Cause) {
        self.why = Some(Why {
            state,
            cause,
            host: self.hosts.current(),
            session_id: self.session_id,
            at: self.changed_at,
            last_heard: self.live.last_heard(),
            last_sent: self.live.last_sent(),
            timeout: self.live.timeout,
            attempts: self.attempts,
        });
        if state.is_connected() {
            self.attempts = 0;
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, cause, host, session_id, timeout, attempts, .. } = self;
        let heard = self.at.since(self.last_heard);
        let sent = self.at.since(self.last_sent);
        write!(f, "{state:?}: {cause}; session {session_id}, host {}", host.index())?;
        write!(f, ", timeout {timeout}, heard {heard} and sent {sent} before")?;
        write!(f, ", {attempts} attempts since it was last accepted")
    }
}
