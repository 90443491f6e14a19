//! Requests that must not wait for ever: deadlines and cancellation.
//!
//! A lost answer cannot be told from a late one, and every answer behind it would be taken for the
//! wrong request's: so a deadline that passes ends the connection. The request fails with
//! `Timeout`, the others in flight with `ConnectionLoss`, and the session goes on elsewhere.

use super::inflight::InFlight;
use super::session::ClientSession;
use crate::error::DisconnectReason;
use crate::time::Instant;
use crate::wire::Xid;

/// No deadline.
pub(super) const NEVER: Instant = Instant::from_millis(u64::MAX);

impl ClientSession<'_> {
    /// Gives a request up: it will not be answered by an event, whatever becomes of it. Says whether
    /// it was still waiting; if not, its answer has been told already, or never will be.
    pub fn cancel(&mut self, xid: Xid) -> bool {
        let waiting = |request: &InFlight| request.xid == xid && request.is_waiting();
        let Some(request) = self.in_flight.find_mut(waiting) else { return false };
        request.cancel();
        true
    }

    /// The earliest deadline there may be; answered requests may have left it too early.
    pub(super) fn request_deadline(&self) -> Option<Instant> {
        (self.earliest_deadline < NEVER && self.is_connected()).then_some(self.earliest_deadline)
    }

    /// A deadline has passed: finds whose it is, or that it was nobody's any more.
    pub(super) fn on_request_deadline(&mut self) {
        let now = self.clock;
        let (mut late, mut next) = (None, NEVER);
        self.in_flight.for_each_mut(|request| {
            if !request.is_waiting() {
                return;
            }
            if request.deadline <= now {
                request.time_out();
                late.get_or_insert(request.xid);
            } else {
                next = next.min(request.deadline);
            }
        });
        self.earliest_deadline = next;
        if let Some(xid) = late {
            self.lose(DisconnectReason::RequestTimeout { xid: xid.0 });
        }
    }
}
