//! What is said of the end of a session.

use alloc::format;
use alloc::string::String;

use super::{Invariant, PerClient};
use crate::client::{Cause, Event, ExpiryReason, KeeperState};
use crate::sim::fact::{Fact, Truth};
use crate::wire::SessionId;

/// The end of a session is final: nothing is told, awaited or tried after it, and until then the
/// session keeps its id.
#[derive(Clone, Debug, Default)]
pub struct ExpiryIsFinal(PerClient<Course>);

#[derive(Clone, Copy, Debug, Default)]
struct Course {
    session: Option<SessionId>,
    is_over: bool,
}

impl Invariant for ExpiryIsFinal {
    fn name(&self) -> &'static str {
        "expiry is final"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Told { client, event, view, .. } => {
                let Some(course) = self.0.of(client) else { return Ok(()) };
                if course.is_over {
                    return Err(format!("client {client} is told {event:?} after its end"));
                }
                let Event::State { state, cause } = event else { return Ok(()) };
                course.is_over = state.is_final();
                if *state != KeeperState::SyncConnected {
                    return Ok(());
                }
                let before = course.session.replace(view.session);
                match (before, cause) {
                    (None, Cause::Established | Cause::Resumed) => Ok(()),
                    (Some(before), Cause::Resumed) if before == view.session => Ok(()),
                    (before, cause) => Err(format!(
                        "client {client} had session {before:?}, and now {} for: {cause}",
                        view.session
                    )),
                }
            }
            Fact::Attempted { client, .. } if self.0.of(client).is_some_and(|c| c.is_over) => {
                Err(format!("client {client} tries to connect after its end"))
            }
            Fact::Woken { client, view } if self.0.of(client).is_some_and(|c| c.is_over) => {
                match view.deadline {
                    Some(at) => Err(format!("client {client} waits for {at:?} after its end")),
                    None => Ok(()),
                }
            }
            Fact::Renewed { client, .. } => {
                if let Some(course) = self.0.of(client) {
                    *course = Course::default();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whoever is told that its session has expired has none left in the ensemble: it was told by the
/// ensemble, or had waited until it was certain.
///
/// Not so for a session that was stolen: that is the application's policy, not knowledge.
#[derive(Clone, Copy, Debug)]
pub struct ExpiryIsTrue;

impl Invariant for ExpiryIsTrue {
    fn name(&self) -> &'static str {
        "expiry is true"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Told { client, event, view, truth } = *fact else { return Ok(()) };
        let Event::State { state: KeeperState::Expired, cause } = event else { return Ok(()) };
        let Cause::Expired(reason) = cause else {
            return Err(format!("client {client} is told of an expiry for: {cause}"));
        };
        let excused = match (reason, truth) {
            (ExpiryReason::Stolen, _) => true,
            // A changed bit in the handshake's answer is another timeout.
            (ExpiryReason::LocallyCertain, Truth { may_outlast_silence, .. }) => {
                may_outlast_silence || !view.is_honest
            }
            _ => !view.is_honest,
        };
        if truth.is_alive && !excused {
            let session = view.session;
            return Err(format!("client {client}: session {session} is alive, but: {cause}"));
        }
        Ok(())
    }
}

/// No session expires before its holder's `safe_until`, as far as the holder's clock can be relied
/// on.
#[derive(Clone, Copy, Debug)]
pub struct SafeIsSafe;

impl Invariant for SafeIsSafe {
    fn name(&self) -> &'static str {
        "safe_until is safe"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Outlived { client, view, behind: Some(behind) } = *fact else { return Ok(()) };
        let Some(safe) = view.safe_until.filter(|_| view.is_honest) else { return Ok(()) };
        if safe > view.now.after(behind) {
            let (session, early) = (view.session, safe.since(view.now));
            return Err(format!(
                "session {session} has expired {early} before client {client} gives it up"
            ));
        }
        Ok(())
    }
}
