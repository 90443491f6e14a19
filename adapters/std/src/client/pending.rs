//! Answers that are on their way.

use std::sync::{Arc, MutexGuard};
use std::thread;

use zk_session::OpError;
use zk_session::wire::Request;

use super::Client;
use super::error::Error;
use super::shared::{Inner, Shared};
use super::slots::decoded;
use zk_session::client::Event;
use zk_session::owned::Answer;

/// The answer to a submitted request, on its way. Dropping it forgets the answer, not the request.
#[must_use = "the answer tells whether the request succeeded"]
pub struct Pending {
    shared: Arc<Shared>,
    /// The answer's place; `None` once taken.
    place: Option<u64>,
}

impl Pending {
    pub(super) const fn new(shared: Arc<Shared>, place: u64) -> Self {
        Self { shared, place: Some(place) }
    }

    /// Waits for the answer. It always comes: from the server, or with the loss of the connection
    /// or the end of the session.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn wait(mut self) -> Result<Answer, OpError> {
        let Some(place) = self.place.take() else { return Err(OpError::SessionClosed) };
        let mut guard = self.shared.lock();
        let inner = &mut *guard;
        inner.lead.asks();
        // The usual on its own, lest the answer is moved on its way.
        if inner.slots.is_next(place) && !inner.is_watched() {
            let host = inner.session.current_host();
            match inner.session.poll_raw() {
                Some(Event::Reply { xid, result, .. }) if inner.slots.answered_to(xid, place) => {
                    return decoded(result);
                }
                Some(Event::State { state, cause }) => inner.changed(state, cause, host),
                Some(event) => inner.audience.hear(event, &mut inner.slots),
                None => {}
            }
        }
        self.shared.wait_for(guard, place)
    }

    /// Whether the answer is there, so that [`wait`](Self::wait) would not wait.
    pub fn is_ready(&self) -> bool {
        self.place.is_none_or(|place| {
            let mut inner = self.shared.deliver(self.shared.lock());
            inner.slots.is_answered(place)
        })
    }
}

impl Shared {
    /// Waits for the answer in a place.
    #[inline(never)]
    fn wait_for<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        place: u64,
    ) -> Result<Answer, OpError> {
        let mut written = false;
        loop {
            if let Some(answer) = inner.take(place) {
                if inner.has_news() {
                    drop(self.deliver(inner));
                }
                return answer;
            }
            if !std::mem::replace(&mut written, true) {
                inner = self.write_out(inner);
            }
            match self.lead(inner, |inner| inner.take(place)) {
                Ok(answer) => return answer,
                Err(guard) => inner = guard,
            }
            if inner.slots.is_answered(place) {
                continue;
            }
            // Whoever reads knows of this thread from here on.
            inner.slots.park(place, thread::current());
            drop(inner);
            thread::park();
            inner = self.lock();
        }
    }

    /// Nobody will ask for the answer in a place.
    #[cold]
    fn abandon(&self, place: u64) {
        let mut inner = self.lock();
        inner.slots.abandon(place);
        // Others that were asked for with it may not have left yet. Nobody waits in a drop.
        self.write_or_leave(&mut inner);
    }
}

impl Drop for Pending {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.abandon(place);
        }
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Requests that are sent together: when this is flushed or dropped, and whenever 256 KiB
/// have gathered.
#[derive(Debug)]
pub struct Pipeline<'c> {
    client: &'c Client,
}

impl<'c> Pipeline<'c> {
    pub(super) const fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// Adds a request.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn submit(&mut self, request: &Request<'_>) -> Result<Pending, Error> {
        let (pending, mut inner) = self.client.queue(request, None)?;
        self.client.handle.shared.write_gathered(&mut inner);
        Ok(pending)
    }

    /// Sends what has been added.
    pub fn flush(&mut self) {
        self.client.handle.shared.flush();
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
