//! Answers that are on their way.

use std::sync::Arc;
use std::thread;

use zk_session::OpError;
use zk_session::wire::Request;

use super::Client;
use super::error::Error;
use super::shared::Shared;
use zk_session::owned::Answer;

/// The answer to a submitted request, on its way. Dropping it forgets the answer, not the request.
#[must_use = "the answer tells whether the request succeeded"]
pub struct Pending {
    shared: Arc<Shared>,
    /// The answer's place; `None` once taken.
    place: Option<usize>,
}

impl Pending {
    pub(super) const fn new(shared: Arc<Shared>, place: usize) -> Self {
        Self { shared, place: Some(place) }
    }

    /// Waits for the answer. It always comes: from the server, or with the loss of the connection
    /// or the end of the session.
    ///
    /// # Errors
    /// [`OpError`].
    pub fn wait(mut self) -> Result<Answer, OpError> {
        let Some(place) = self.place.take() else { return Err(OpError::SessionClosed) };
        let shared = &*self.shared;
        if let Some(answer) = shared.lock().take(place) {
            return answer;
        }
        shared.flush();
        loop {
            if let Some(answer) = shared.lead(|inner| inner.take(place)) {
                return answer;
            }
            let mut inner = shared.lock();
            if let Some(answer) = inner.take(place) {
                return answer;
            }
            inner.slots.park(place, thread::current());
            drop(inner);
            // Whoever read a moment ago may have stopped before it could know of this thread.
            if let Some(answer) = shared.lead(|inner| inner.take(place)) {
                return answer;
            }
            thread::park();
        }
    }

    /// Whether the answer is there, so that [`wait`](Self::wait) would not wait.
    pub fn is_ready(&self) -> bool {
        self.place.is_none_or(|place| self.shared.lock().slots.is_answered(place))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.shared.lock().slots.abandon(place);
            self.shared.flush();
        }
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Requests that are sent in one piece, when this is flushed, dropped, or full.
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
        self.client.queue(request, None).map(|(pending, _)| pending)
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
