//! Requests that wait for their answers.

use super::watch_kind::Wish;
use crate::storage::Queue;
use crate::time::Instant;
use crate::wire::{OpCode, Xid};

/// A request that has been accepted and not yet answered: what a slot of `REQUESTS` in
/// [`Fixed`](crate::storage::Fixed) holds.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    pub(super) xid: Xid,
    pub(super) op: OpCode,
    /// What the answer does to the session's watches.
    pub(super) wish: Option<Wish>,
    /// When it was handed over, by the clock that was last told: no later than it was sent.
    pub(super) sent: Instant,
    /// When it is given up; see `deadline`.
    pub(super) deadline: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Its deadline has passed.
    TimedOut,
    /// The application does not want the answer, but the server sends it.
    Cancelled,
    /// Answered out of turn; only auth is.
    Answered,
}

impl InFlight {
    pub(super) const fn new(
        xid: Xid,
        op: OpCode,
        wish: Option<Wish>,
        sent: Instant,
        deadline: Instant,
    ) -> Self {
        Self { xid, op, wish, sent, deadline, state: State::Waiting }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    pub(super) const fn is_cancelled(&self) -> bool {
        matches!(self.state, State::Cancelled)
    }

    pub(super) const fn is_timed_out(&self) -> bool {
        matches!(self.state, State::TimedOut)
    }

    pub(super) const fn cancel(&mut self) {
        self.state = State::Cancelled;
    }

    pub(super) const fn time_out(&mut self) {
        self.state = State::TimedOut;
    }
}

/// The oldest request that is still to be answered.
#[cfg_attr(target_pointer_width = "64", inline)]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
pub(super) fn oldest(queue: &mut Queue<'_, InFlight>) -> Option<InFlight> {
    loop {
        let request = *queue.front()?;
        if request.state != State::Answered {
            return Some(request);
        }
        queue.pop();
    }
}

/// Takes the oldest auth request out of turn: servers answer auth packets before the requests that
/// went ahead of them.
pub(super) fn take_auth(queue: &mut Queue<'_, InFlight>) -> Option<InFlight> {
    let open = |request: &InFlight| request.op == OpCode::Auth && request.state != State::Answered;
    let request = queue.find_mut(open)?;
    let taken = *request;
    request.state = State::Answered;
    // Nothing else may come to free the slot.
    oldest(queue);
    Some(taken)
}
