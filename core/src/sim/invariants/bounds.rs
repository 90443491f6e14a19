//! Bounds of memory and time.

use alloc::format;
use alloc::string::String;

use super::{Invariant, PerClient};
use crate::sim::fact::Fact;
use crate::time::Instant;

/// No client has more bytes to send than its memory has room for.
#[derive(Clone, Copy, Debug)]
pub struct BuffersAreBounded {
    transmit: usize,
}

impl BuffersAreBounded {
    pub(super) const fn new(transmit: usize) -> Self {
        Self { transmit }
    }
}

impl Invariant for BuffersAreBounded {
    fn name(&self) -> &'static str {
        "buffers are bounded"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Rested { client, view } if view.transmit > self.transmit => Err(format!(
                "client {client} has {} bytes to send and room for {}",
                view.transmit, self.transmit
            )),
            _ => Ok(()),
        }
    }
}

/// Whoever was told the time at its deadline has a later one, or none: nobody wants to be told the
/// same time twice without doing anything about it.
#[derive(Clone, Debug, Default)]
pub struct TimeGoesOn {
    clients: PerClient<Stuck>,
    engine: Stuck,
}

/// Since when, and how often in a row, a deadline was not in the future.
#[derive(Clone, Copy, Debug, Default)]
struct Stuck {
    at: Instant,
    times: u32,
}

impl Stuck {
    fn goes_on(&mut self, now: Instant, deadline: Option<Instant>) -> bool {
        if deadline.is_none_or(|at| at > now) {
            self.times = 0;
            return true;
        }
        self.times = if self.at == now { self.times.saturating_add(1) } else { 1 };
        self.at = now;
        self.times < 2
    }
}

impl Invariant for TimeGoesOn {
    fn name(&self) -> &'static str {
        "time goes on"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Woken { client, view } => {
                let stuck = self.clients.of(client);
                if stuck.is_some_and(|stuck| !stuck.goes_on(view.now, view.deadline)) {
                    return Err(format!("client {client} is stuck at {:?}", view.now));
                }
            }
            Fact::EngineWoken { now, deadline } if !self.engine.goes_on(now, deadline) => {
                return Err(format!("the ensemble is stuck at {now:?}"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// When nothing has been wrong for long, every session is connected or over.
#[derive(Clone, Copy, Debug)]
pub struct AllComeBack;

impl Invariant for AllComeBack {
    fn name(&self) -> &'static str {
        "all come back"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Healed { client, view } = *fact else { return Ok(()) };
        if view.state.is_connected() || view.state.is_final() {
            return Ok(());
        }
        Err(format!("client {client} is still {:?}, its link is {:?}", view.state, view.link))
    }
}
