//! The handle of a session.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use zk_session::client::{Cause, HostsUpdate, KeeperState, TicketContents, Why};
use zk_session::owned;
use zk_session::path;
use zk_session::wire::{SessionId, Zxid};
use zk_session::{ConfigError, SubmitError};

use crate::builder::ClientBuilder;
use crate::error::{Error, ErrorKind};
use crate::pings::Pings;
use crate::shared::Shared;
use crate::slots::Failure;
use crate::states::Transitions;

/// One ZooKeeper session, shared by all clones of this handle.
///
/// A task in the background reads, writes, keeps time and reconnects: one for all sessions of the
/// runtime that have little to do, and one of its own for a session that requests are made of.
/// Requests of any task are sent in the order in which they are [made](crate::Call), and pipelined.
/// While no server is connected they wait until one is, or until the session is over; none is ever
/// sent twice.
///
/// When the last clone is dropped the session is closed in the background; [`close`](Self::close)
/// waits for the ensemble's word.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Handle,
    /// What this handle calls `/`, as the session names it; `None` for the session's own root.
    view: Option<Arc<str>>,
}

/// One of all clones of a client; the end of the last one is the session's end.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    fn new(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared }
    }

    fn begin_close(&self) {
        let mut inner = self.shared.lock();
        inner.session.close(self.shared.clock.now());
        inner.asked = true;
        inner.signal();
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // What others did with theirs comes before the end.
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.begin_close();
        }
    }
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { handle: Handle::new(shared), view: None }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    pub(crate) fn view(&self) -> &str {
        self.view.as_deref().unwrap_or_default()
    }

    pub(crate) fn view_shared(&self) -> Option<Arc<str>> {
        self.view.clone()
    }

    /// A session on the servers of a connection string, such as `h1:2181,h2:2181/chroot`.
    pub fn builder(connect_string: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(connect_string.into())
    }

    /// A session with the defaults of the [builder](Self::builder), connected.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect(connect_string: impl Into<String>) -> Result<Self, Error> {
        Self::builder(connect_string).connect().await
    }

    /// The same session with another root: `path`, below this handle's own, is what the new handle
    /// calls `/`. Cheap; nothing is sent, and the znode need not exist.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(1).start()?;
    /// # let client = zk_session_tokio::Client::connect(ensemble.connect_string()).await?;
    /// let app = client.chroot("/app")?;
    /// app.create("/", b"").await?;
    /// assert_eq!(app.create("/config", b"v1").await?, "/config");
    /// assert_eq!(client.get("/app/config").await?.data, "v1");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Submit`] with [`SubmitError::Path`] if the path is not valid.
    pub fn chroot(&self, path: &str) -> Result<Self, Error> {
        path::validate(path).map_err(|error| Error {
            op: None,
            path: path.to_owned(),
            kind: ErrorKind::Submit(SubmitError::Path(error)),
        })?;
        let whole = match path {
            "/" => self.view.clone(),
            path => Some(path::join(self.view(), path).into()),
        };
        Ok(Self { handle: self.handle.clone(), view: whole })
    }

    /// Where this handle's `/` lies on the servers: the chroot of the connection string and of
    /// [`chroot`](Self::chroot); empty for the servers' own root.
    pub fn root(&self) -> String {
        let mut root = self.shared().lock().session.chroot().to_owned();
        root.push_str(self.view());
        root
    }

    /// Waits until a server is connected.
    ///
    /// # Errors
    /// [`ErrorKind::ConnectTimeout`] after `patience`, or [`ErrorKind::Submit`] if the session is
    /// over.
    pub async fn wait_connected(&self, patience: Duration) -> Result<(), Error> {
        let shared = self.shared();
        let connected = |state: KeeperState| state.is_connected() || state.is_final();
        // Whether it was in time shows in the state.
        let _ = tokio::time::timeout(patience, Look::until(shared, connected)).await;
        let inner = shared.lock();
        if let Some(failure) = inner.failure() {
            return Err(Error::new(failure.into()));
        }
        if inner.session.state().is_connected() {
            return Ok(());
        }
        if inner.session.state().is_final() {
            return Err(Error::new(ErrorKind::Submit(SubmitError::Ended)));
        }
        let last = inner.session.last_disconnect().map(|(host, reason)| {
            (inner.session.host(host).map(|h| h.to_string()).unwrap_or_default(), reason)
        });
        let detail = inner.trouble.as_deref().cloned();
        Err(Error::new(ErrorKind::ConnectTimeout { last, detail }))
    }

    /// The session's state.
    pub fn state(&self) -> KeeperState {
        self.shared().lock().session.state()
    }

    /// The session's latest state as a channel: its receivers may miss states between, never the
    /// last. It closes when the session is over.
    pub fn states(&self) -> tokio::sync::watch::Receiver<KeeperState> {
        self.shared().lock().watch_state()
    }

    /// Every change of the session's state from now on, with its cause.
    pub fn transitions(&self) -> Transitions {
        Transitions(self.shared().lock().subscribe())
    }

    /// The last state change with its cause and the clocks of that moment; its `Display` is one line
    /// for a log. `None` before the first.
    pub fn why(&self) -> Option<Why> {
        self.shared().lock().session.why().copied()
    }

    /// The session's id; none before a server has given one.
    pub fn session_id(&self) -> SessionId {
        self.shared().lock().session.session_id()
    }

    /// The session timeout: negotiated once connected, requested before.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.shared().lock().session.timeout().as_millis())
    }

    /// The newest transaction that an answer told of.
    pub fn last_zxid(&self) -> Zxid {
        self.shared().lock().session.last_zxid()
    }

    /// The server that is connected or was last tried: its place in the connection string, and its
    /// name and port.
    pub fn current_host(&self) -> (usize, String) {
        let inner = self.shared().lock();
        let host = inner.session.current_host();
        (host.index(), inner.session.host(host).map(|h| h.to_string()).unwrap_or_default())
    }

    /// How many pings the session has sent, and how fast the last was answered.
    pub fn pings(&self) -> Pings {
        self.shared().lock().pings.told()
    }

    /// When bytes last came from a server, or a connection to one was opened; when the session was
    /// started before that. To the millisecond.
    pub fn last_heard(&self) -> Instant {
        let shared = self.shared();
        shared.clock.instant(shared.lock().session.last_heard())
    }

    /// Until when the ensemble cannot have expired this session: whoever holds a lock through it
    /// stops using it then. See `zk_session::client::ClientSession::safe_until`.
    pub fn safe_until(&self) -> Option<Instant> {
        let shared = self.shared();
        shared.lock().session.safe_until().map(|at| shared.clock.instant(at))
    }

    /// How many watches are armed.
    pub fn watch_count(&self) -> usize {
        self.shared().lock().watches.len()
    }

    /// How many requests are on their way: taken by the session and not yet answered.
    pub fn in_flight(&self) -> usize {
        self.shared().lock().slots.in_flight()
    }

    /// Replaces the list of hosts. The session stays with its server or moves, at random with such
    /// odds that the clients of an ensemble that grows or shrinks stay evenly spread.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the string is not valid or its chroot is neither absent nor the
    /// session's.
    pub fn update_hosts(&self, connect_string: impl Into<String>) -> Result<HostsUpdate, Error> {
        let shared = self.shared();
        let mut inner = shared.lock();
        let update = inner.session.update_hosts(connect_string.into(), shared.clock.now());
        inner.signal();
        update.map_err(|error: ConfigError| Error::new(ErrorKind::Config(error)))
    }

    /// The session as a few bytes, with its watches, for [`ClientBuilder::resume`] after a restart.
    /// Keep them as secret as a password. Follow with [`detach`](Self::detach): requests that are
    /// sent later would use numbers that the resumed session uses again.
    ///
    /// # Errors
    /// [`ErrorKind::NoSession`] before a server has given a session, and after its end.
    pub fn ticket(&self) -> Result<Vec<u8>, Error> {
        let inner = self.shared().lock();
        owned::ticket(&inner.session, TicketContents::SessionAndWatches)
            .map_err(|_| Error::new(ErrorKind::NoSession))
    }

    /// Leaves the session without closing it: the ensemble keeps it, and its ephemeral znodes, until
    /// its timeout. Requests that wait end with `SessionClosed`.
    pub fn detach(self) {
        let shared = self.shared();
        let mut inner = shared.lock();
        inner.session.detach(shared.clock.now());
        inner.signal();
    }

    /// Ends the session and waits for the ensemble's word: its ephemeral znodes are gone then.
    /// Requests in flight are still answered; dropping the future does not stop the close.
    ///
    /// # Errors
    /// [`ErrorKind::CloseUnconfirmed`] if the word did not come within the close timeout;
    /// [`ErrorKind::NoRuntime`] if the session's runtime was shut down. Closing a session that is
    /// over is none.
    pub async fn close(&self) -> Result<(), Error> {
        match self.shared().lock().failure() {
            Some(Failure::NoRuntime) => return Err(Error::new(ErrorKind::NoRuntime)),
            Some(_) => return Ok(()),
            None => {}
        }
        self.handle.begin_close();
        Look::until(self.shared(), |_| false).await;
        let inner = self.shared().lock();
        match inner.failure() {
            Some(Failure::NoRuntime) => Err(Error::new(ErrorKind::NoRuntime)),
            _ if inner.session.why().is_some_and(|why| why.cause == Cause::ClosedUnconfirmed) => {
                Err(Error::new(ErrorKind::CloseUnconfirmed))
            }
            _ => Ok(()),
        }
    }
}

/// A future that ends with the session, or when its state is as is waited for.
struct Look<'a, F> {
    shared: &'a Shared,
    is_so: F,
    number: Option<u64>,
}

impl<'a, F: Fn(KeeperState) -> bool + Unpin> Look<'a, F> {
    const fn until(shared: &'a Shared, is_so: F) -> Self {
        Self { shared, is_so, number: None }
    }
}

impl<F: Fn(KeeperState) -> bool + Unpin> Future for Look<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.shared.lock();
        if inner.is_over() || (self.is_so)(inner.session.state()) {
            return Poll::Ready(());
        }
        let number = inner.listeners.look(self.number, cx.waker());
        drop(inner);
        self.number = Some(number);
        Poll::Pending
    }
}

impl<F> Drop for Look<'_, F> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            if let Some(listeners) = self.shared.lock().listeners.there_mut() {
                listeners.look_away(number);
            }
        }
    }
}
