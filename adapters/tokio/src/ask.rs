//! How requests come in: to the session, to the line before it, or to nobody.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use zk_session::storage::Limits;
use zk_session::wire::{Request, Xid};
use zk_session::{Machine, SubmitError};

use crate::clock::Clock;
use crate::line::Parcel;
use crate::pending::Place;
use crate::shared::{Inner, Shared};
use crate::slots::Failure;
use crate::watch::Queue;

impl Inner {
    /// Hands a request in: to the session, or to the line before it.
    pub(crate) fn place(
        &mut self,
        shared: &Shared,
        request: &Request<'_>,
        deadline: Option<zk_session::Instant>,
        wish: Option<Arc<Queue>>,
    ) -> Place {
        self.asked = true;
        if self.nobody_in_line() && !self.is_over() {
            match self.submit(request, deadline) {
                Ok(xid) => {
                    let slots = &mut *self.slots;
                    let place = slots.open(wish, None);
                    slots.sent(xid, place);
                    self.observer.asked(place, request.op(), || shown_path(request));
                    return Place::At(place);
                }
                Err(error) if error.is_temporary() => {}
                Err(error) => {
                    self.observer.refused(request.op(), Failure::Submit(error));
                    return Place::Failed(Failure::Submit(error));
                }
            }
        }
        let parcel = Box::new(Parcel::new(request, deadline, wish));
        self.place_parcel(&shared.setup().limits, parcel, None)
    }

    /// Hands a request in that the session cannot take at once. `number`: its number outside the line,
    /// if it has been there.
    #[cold]
    pub(crate) fn place_parcel(
        &mut self,
        limits: &Limits,
        mut parcel: Box<Parcel>,
        number: Option<u64>,
    ) -> Place {
        let (needed, limit) = (parcel.len(), limits.transmit);
        let too_large = Failure::Submit(SubmitError::TooLarge { needed, limit });
        if let Some(failure) = self.failure().or((needed > limit).then_some(too_large)) {
            self.observer.refused(parcel.op(), failure);
            return Place::Failed(failure);
        }
        if !self.line.has_room(limits, parcel.len()) {
            let number = number.unwrap_or_else(|| self.line.number());
            return Place::Outside { number, parcel: Some(parcel) };
        }
        let number = self.line.number();
        let place = self.slots.open(parcel.wish.take(), NonZeroU64::new(number));
        self.observer.asked(place, parcel.op(), || {
            parcel.request().map(|request| shown_path(&request)).unwrap_or_default()
        });
        self.line.join(number, place, *parcel);
        self.signal();
        Place::At(place)
    }

    /// A future waits no longer for room in the line. Its turn may have come just now: it is the next
    /// one's then.
    pub(crate) fn give_up_outside(&mut self, limits: &Limits, number: u64) {
        self.line.gone_outside(number);
        self.line.call_in(limits, &mut self.wakes);
        if !self.wakes.is_empty() {
            self.signal();
        }
    }

    fn submit(
        &mut self,
        request: &Request<'_>,
        deadline: Option<zk_session::Instant>,
    ) -> Result<Xid, SubmitError> {
        match deadline {
            None => self.session.submit(request),
            Some(deadline) => self.session.submit_before(request, deadline),
        }
    }

    /// Hands the session what it can take of the line, and of the removals of watches.
    pub(crate) fn advance_line(&mut self, limits: &Limits, now: zk_session::Instant) {
        let wakes = &mut self.wakes;
        let late = self.line.there_mut().map(|line| line.expired(now, wakes));
        for place in late.unwrap_or_default() {
            self.observer.answered(place, Some(Failure::NotSent));
            let wake = self.slots.fail(place, Failure::NotSent);
            self.wakes.extend(wake);
        }
        while let Some((path, kind)) = self.watches.removal() {
            if self
                .session
                .submit(&Request::remove_watches(path, *kind))
                .is_err_and(|e| e.is_temporary())
            {
                break;
            }
            self.watches.removal_asked();
        }
        let waited = !self.nobody_in_line();
        while let Some((number, place, parcel)) = self.line.first() {
            let submitted = parcel.request().and_then(|request| match parcel.deadline {
                None => self.session.submit(&request),
                Some(deadline) => self.session.submit_before(&request, deadline),
            });
            match submitted {
                Ok(xid) => self.slots.sent_from_line(xid, place),
                Err(error) if error.is_temporary() => break,
                Err(error) => {
                    self.observer.answered(place, Some(Failure::Submit(error)));
                    let wake = self.slots.fail(place, Failure::Submit(error));
                    self.wakes.extend(wake);
                }
            }
            self.line.leave(number);
        }
        if waited {
            self.line.call_in(limits, &mut self.wakes);
        }
    }

    /// A watch is dropped: it is removed, on the server too.
    pub(crate) fn unwatch(&mut self, queue: &Arc<Queue>) {
        if let Some(kind) = self.watches.forget(queue) {
            let coming = self.slots.wishes_at(queue.path());
            self.watches.remove(queue.path(), kind, &coming);
            self.signal();
        }
    }

    /// Sees to it that what was submitted leaves. A request that is alone leaves at once, from here;
    /// where more are under way or about to come, the driver sends them together.
    pub(crate) fn flush(&mut self, clock: &Clock) {
        if self.slots.in_flight() == 1 && !self.slots.has_untaken() && self.nobody_in_line() {
            // If the transport is busy the driver waits for it.
            let mut cx = Context::from_waker(Waker::noop());
            if let Some(transport) = &mut self.transport {
                let bytes = self.session.poll_transmit();
                if let Poll::Ready(Ok(n @ 1..)) = transport.poll_write(&mut cx, bytes) {
                    self.session.handle_transmitted(clock.now(), n);
                    // What fails, fails again for the driver, who can tell the session.
                    let flushed = matches!(transport.poll_flush(&mut cx), Poll::Ready(Ok(())));
                    if flushed && self.session.poll_transmit().is_empty() {
                        return;
                    }
                }
            }
        }
        self.signal();
    }
}

/// The path of a request, for whom it is shown to.
fn shown_path(request: &Request<'_>) -> String {
    request.path().and_then(|path| path.as_str()).unwrap_or_default().to_owned()
}
