//! Answers that are on their way.

use std::sync::{Arc, MutexGuard};
use std::thread;

use zk_session::OpError;
use zk_session::wire::Request;

use super::Client;
use super::error::Error;
use super::shared::{Inner, Shared};
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
        let mut answer = Err(OpError::SessionClosed);
        let Some(place) = self.place.take() else { return answer };
        let mut inner = self.shared.lock();
        inner.lead.asks();
        if !inner.take(place, &mut answer) {
            self.shared.wait_for(inner, place, &mut answer);
        } else if inner.has_news() {
            drop(self.shared.deliver(inner));
        }
        answer
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
    fn wait_for(
        &self,
        inner: MutexGuard<'_, Inner>,
        place: u64,
        answer: &mut Result<Answer, OpError>,
    ) {
        let mut inner = self.write_out(inner);
        loop {
            match self.lead(inner, |inner| inner.take(place, answer).then_some(())) {
                Ok(()) => return,
                Err(guard) => inner = guard,
            }
            if inner.take(place, answer) {
                drop(self.deliver(inner));
                return;
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
