//! Bounds of memory and time.

use alloc::format;
use alloc::string::String;

use super::{Invariant, PerClient};
use crate::client::Event;
use crate::sim::fact::Fact;
use crate::time::{Duration, Instant};

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

/// A connected client is never silent for longer than a third of its timeout, and never for longer
/// than ten seconds, unless its host slept.
#[derive(Clone, Debug, Default)]
pub struct NobodyFallsSilent(PerClient<Option<Instant>>);

impl Invariant for NobodyFallsSilent {
    fn name(&self) -> &'static str {
        "nobody falls silent"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let (client, spoke) = match *fact {
            Fact::Spoke { client, now, timeout } => {
                let third = timeout.scaled(1, 3).min(Duration::from_secs(10));
                let last = self.0.of(client).and_then(|last| *last);
                let silence = last.map_or(Duration::ZERO, |last| now.since(last));
                // A fast clock shows every other millisecond only, and a garbled timeout may be less.
                if silence > third.max(Duration::from_millis(10)).scaled(101, 100) {
                    return Err(format!("client {client} was silent for {silence} of {timeout}"));
                }
                (client, last.map(|_| now))
            }
            Fact::Told { client, event: Event::State { state, .. }, view, .. } => {
                (client, state.is_connected().then_some(view.now))
            }
            Fact::Slept { client } | Fact::Renewed { client, .. } | Fact::Failed { client, .. } => {
                (client, None)
            }
            _ => return Ok(()),
        };
        if let Some(last) = self.0.of(client) {
            *last = spoke;
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
