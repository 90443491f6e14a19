//! Requests that wait for their answers.

use super::registry::Wish;
use crate::storage::Queue;
use crate::time::Instant;
use crate::wire::{OpCode, Xid};

/// A request that has been accepted and not yet answered: what a slot of `REQUESTS` in
/// [`Fixed`](crate::storage::Fixed) holds.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    pub(super) xid: Xid,
    pub(super) op: OpCode,
    /// The watch that a successful answer arms.
    pub(super) wish: Option<Wish>,
    /// When it was handed over, by the clock that was last told: no later than it was sent.
    pub(super) sent: Instant,
    /// Answered out of turn; only auth is.
    answered: bool,
}

impl InFlight {
    pub(super) const fn new(xid: Xid, op: OpCode, wish: Option<Wish>, sent: Instant) -> Self {
        Self { xid, op, wish, sent, answered: false }
    }
}

/// The oldest request that is still to be answered.
pub(super) fn oldest(queue: &mut Queue<'_, InFlight>) -> Option<InFlight> {
    while queue.front().is_some_and(|request| request.answered) {
        queue.pop();
    }
    queue.front().copied()
}

/// Takes the oldest auth request out of turn: servers answer auth packets before the requests that
/// went ahead of them.
pub(super) fn take_auth(queue: &mut Queue<'_, InFlight>) -> Option<Xid> {
    let request = queue.find_mut(|request| request.op == OpCode::Auth && !request.answered)?;
    request.answered = true;
    let xid = request.xid;
    // Nothing else may come to free the slot.
    oldest(queue);
    Some(xid)
}
