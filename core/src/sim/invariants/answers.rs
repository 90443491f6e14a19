//! Requests and their answers.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;

use super::{Invariant, PerClient};
use crate::client::{Cause, Event};
use crate::error::DisconnectReason;
use crate::sim::fact::Fact;
use crate::time::Instant;
use crate::wire::{OpCode, Xid, Zxid};

/// Each accepted request is answered exactly once, in the order of the requests (auth alone may
/// overtake), before the session's end is told, and within ten timeouts.
#[derive(Clone, Debug)]
pub struct OneAnswerEach {
    waiting: PerClient<VecDeque<Waiting>>,
    /// The most requests that a session may have in flight.
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    xid: Xid,
    op: OpCode,
    since: Instant,
}

/// How many timeouts a request may take: the time that it takes to find out that nobody hears, with
/// much to spare for a peer that reads slowly.
const PATIENCE: u64 = 10;

impl OneAnswerEach {
    pub(super) fn new(limit: usize) -> Self {
        Self { waiting: PerClient::default(), limit }
    }
}

impl Invariant for OneAnswerEach {
    fn name(&self) -> &'static str {
        "each request is answered once and in order"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Asked { client, xid, request, now, .. } => {
                let Some(waiting) = self.waiting.of(client) else { return Ok(()) };
                waiting.push_back(Waiting { xid, op: request.op(), since: now });
                if waiting.len() > self.limit {
                    return Err(format!("client {client} has {} in flight", waiting.len()));
                }
            }
            Fact::Cancelled { client, xid } => {
                if let Some(waiting) = self.waiting.of(client) {
                    waiting.retain(|request| request.xid != xid);
                }
            }
            Fact::Told { client, event: Event::Reply { xid, .. }, .. } => {
                let Some(waiting) = self.waiting.of(client) else { return Ok(()) };
                let Some(at) = waiting.iter().position(|request| request.xid == *xid) else {
                    return Err(format!("client {client} is answered {xid}, which does not wait"));
                };
                let request = waiting.remove(at);
                if at > 0 && request.is_some_and(|request| request.op != OpCode::Auth) {
                    let first = waiting.front().map(|request| request.xid.0);
                    return Err(format!("client {client} is answered {xid} before {first:?}"));
                }
            }
            Fact::Told { client, event: Event::State { state, .. }, .. } if state.is_final() => {
                let Some(waiting) = self.waiting.of(client) else { return Ok(()) };
                if let Some(first) = waiting.front() {
                    let xid = first.xid;
                    return Err(format!("client {client} is {state:?} before {xid} is answered"));
                }
            }
            Fact::Rested { client, view } if view.is_honest => {
                let first = self.waiting.of(client).and_then(|waiting| waiting.front());
                if let Some(Waiting { xid, since, .. }) = first {
                    if view.now.since(*since) > view.timeout.scaled(PATIENCE, 1) {
                        return Err(format!("client {client} waits for {xid} since {since:?}"));
                    }
                }
            }
            Fact::Renewed { client, .. } => {
                let waiting = self.waiting.of(client).filter(|waiting| !waiting.is_empty());
                if let Some(waiting) = waiting {
                    let n = waiting.len();
                    waiting.clear();
                    return Err(format!("client {client} begins anew with {n} not answered"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// As long as no bit is changed on the way, no connection ends for what was said on it: every frame
/// is whole and sound, and every reply is the next one that is due.
#[derive(Clone, Copy, Debug)]
pub struct NobodyTalksNonsense;

impl Invariant for NobodyTalksNonsense {
    fn name(&self) -> &'static str {
        "nobody talks nonsense"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Told { client, event, view, .. } = *fact else { return Ok(()) };
        let Event::State { cause: Cause::Lost(reason), .. } = event else { return Ok(()) };
        let is_nonsense = matches!(
            reason,
            DisconnectReason::BadFrameLength { .. }
                | DisconnectReason::Malformed(_)
                | DisconnectReason::UnexpectedXid { .. }
                | DisconnectReason::UnsolicitedReply { .. }
                | DisconnectReason::NotificationTooLarge { .. }
        );
        if is_nonsense && view.is_honest {
            return Err(format!("client {client} left its server for: {reason}"));
        }
        Ok(())
    }
}

/// A client's transactions never go back, neither in what is answered nor in what it would show the
/// next server.
#[derive(Clone, Debug, Default)]
pub struct ZxidsGoUp(PerClient<Zxid>);

impl Invariant for ZxidsGoUp {
    fn name(&self) -> &'static str {
        "zxids go up"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Told { client, event, view, .. } if view.is_honest => {
                let answered = match event {
                    Event::Reply { zxid, .. } if zxid.0 > 0 => *zxid,
                    _ => view.last_zxid,
                };
                let Some(newest) = self.0.of(client) else { return Ok(()) };
                if answered < *newest || view.last_zxid < *newest {
                    let (newest, shown) = (newest.0, view.last_zxid.0);
                    return Err(format!(
                        "client {client} has seen transaction {newest}, but is told of {} and \
                         would show {shown}",
                        answered.0
                    ));
                }
                *newest = answered;
            }
            Fact::Renewed { client, .. } => {
                if let Some(newest) = self.0.of(client) {
                    *newest = Zxid(0);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
