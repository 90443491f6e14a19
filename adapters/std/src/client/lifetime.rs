//! The session beyond its operations: its ticket, its bounds, and requests with deadlines.

use std::time::{Duration, Instant};

use zk_session::client::TicketContents;
use zk_session::owned;
use zk_session::wire::Request;

use super::{Client, Error, ErrorKind, Pending};

impl Client {
    /// The session as a few bytes, with its watches, for
    /// [`ClientBuilder::resume`](super::ClientBuilder::resume) after a restart. Keep them as secret
    /// as a password. Follow with [`detach`](Self::detach): requests that are sent later would use
    /// numbers that the resumed session uses again.
    ///
    /// # Errors
    /// [`ErrorKind::NoSession`] before a server has given a session, and after its end.
    pub fn ticket(&self) -> Result<Vec<u8>, Error> {
        let shared = &self.handle.shared;
        let inner = shared.deliver(shared.lock());
        owned::ticket(&inner.session, TicketContents::SessionAndWatches)
            .map_err(|_| Error::new(ErrorKind::NoSession))
    }

    /// Leaves the session without closing it: the ensemble keeps it, and its ephemeral znodes, until
    /// its timeout. Calls that wait end with `SessionClosed`.
    pub fn detach(self) {
        let shared = &self.handle.shared;
        let mut inner = shared.lock();
        let now = shared.clock.now();
        inner.session.detach(now);
        drop(shared.deliver(inner));
    }

    /// Until when the ensemble cannot have expired this session: whoever holds a lock through it
    /// stops using it then. See `zk_session::client::ClientSession::safe_until`.
    pub fn safe_until(&self) -> Option<Instant> {
        let shared = &self.handle.shared;
        shared.lock().session.safe_until().map(|at| shared.clock.instant(at))
    }

    /// The last state change, its cause and the clocks of that moment, in words for a log.
    pub fn why(&self) -> Option<String> {
        self.handle.shared.lock().session.why().map(ToString::to_string)
    }

    /// As [`submit`](Self::submit), with a deadline: without an answer within this time the request
    /// fails with `Timeout`, the connection is given up, and the session goes on elsewhere. The time
    /// runs from when the session takes the request, which waits for a connection.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_within(&self, request: &Request<'_>, time: Duration) -> Result<Pending, Error> {
        let shared = &self.handle.shared;
        let (pending, mut inner) = self.queue(request, Some(time))?;
        shared.keep_time(&mut inner);
        drop(shared.write_first(inner));
        Ok(pending)
    }
}
