//! How often a client tries.

use alloc::format;
use alloc::string::String;

use super::{Invariant, PerClient};
use crate::client::{Event, KeeperState};
use crate::sim::fact::Fact;
use crate::time::{Duration, Instant};

/// Attempts keep the distances that are promised: the n-th one since the client was last connected
/// for a third of its timeout (a second at least) begins no sooner than min(50 ms × 2ⁿ⁻¹, *cap* / 4)
/// after the loss before it and, unless its host slept, no later than *cap*: a quarter of the
/// timeout, at least 250 ms and at most 5 s.
#[derive(Clone, Debug, Default)]
pub struct AttemptsAreBounded(PerClient<Tries>);

#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    /// When it was connected.
    connected: Option<Instant>,
    /// How often it was lost since it was last connected for long.
    losses: u32,
    /// The last loss, and between what the next attempt may begin.
    lost: Option<Instant>,
    soonest: Duration,
    latest: Duration,
    /// Its own clock says nothing about when it could have tried.
    slept: bool,
}

impl Tries {
    fn lose(&mut self, now: Instant, timeout: Duration, on_purpose: bool) {
        let proving = timeout.scaled(1, 3).max(Duration::from_secs(1));
        if self.connected.take().is_some_and(|since| now.since(since) >= proving) {
            self.losses = 0;
        }
        (self.lost, self.slept) = (Some(now), false);
        if on_purpose {
            (self.soonest, self.latest) = (Duration::ZERO, Duration::ZERO);
            return;
        }
        let cap = timeout.as_millis().checked_div(4).unwrap_or(0).clamp(250, 5000);
        let low = 50_u64.checked_shl(self.losses.min(20)).unwrap_or(u64::MAX);
        self.soonest = Duration::from_millis(low.min(cap.checked_div(4).unwrap_or(0)));
        self.latest = Duration::from_millis(cap);
        self.losses = self.losses.saturating_add(1);
    }
}

impl Invariant for AttemptsAreBounded {
    fn name(&self) -> &'static str {
        "attempts are bounded"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Told { client, event: Event::State { state, .. }, view, .. } => {
                let Some(tries) = self.0.of(client) else { return Ok(()) };
                if matches!(state, KeeperState::SyncConnected | KeeperState::ConnectedReadOnly) {
                    tries.connected = Some(view.now);
                }
            }
            Fact::Failed { client, view, on_purpose } => {
                if let Some(tries) = self.0.of(client) {
                    tries.lose(view.now, view.timeout, on_purpose);
                }
            }
            Fact::Attempted { client, view } => {
                let Some(tries) = self.0.of(client) else { return Ok(()) };
                let Some(lost) = tries.lost.take() else { return Ok(()) };
                let (Tries { soonest, latest, slept, losses, .. }, gap) =
                    (*tries, view.now.since(lost));
                if gap < soonest {
                    return Err(format!(
                        "client {client} tries {gap} after loss {losses}, {soonest} at the soonest"
                    ));
                }
                // A fast clock shows every other millisecond only.
                if gap > latest.max(Duration::from_millis(250)).scaled(21, 20) && !slept {
                    return Err(format!(
                        "client {client} tries {gap} after loss {losses}, {latest} at the latest"
                    ));
                }
            }
            Fact::Slept { client } => {
                if let Some(tries) = self.0.of(client) {
                    tries.slept = true;
                }
            }
            Fact::Renewed { client, .. } => {
                if let Some(tries) = self.0.of(client) {
                    *tries = Tries::default();
                }
            }
            _ => {}
        }
        Ok(())
    }
}
