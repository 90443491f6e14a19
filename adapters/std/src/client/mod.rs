//! A client on plain threads: any number of application threads share one session.

mod driver;
mod error;
mod events;
mod keeper;
mod lead;
mod lifetime;
mod operations;
mod pending;
mod probe;
mod shared;
mod slots;
mod socket;
mod write;

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use zk_session::Machine;
use zk_session::SubmitError;
use zk_session::client::{Cause, ClientConfig, ClientSession, HostsUpdate, KeeperState};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{Request, SessionId};

pub use error::{Error, ErrorKind};
pub use events::{Events, SessionEvent, Transition};
pub use pending::{Pending, Pipeline};
pub use zk_session::owned::{AclEntry, Answer, Identity, ItemAnswer};

use crate::clock::{Clock, deadline, millis, random_seed};
use shared::{Inner, Shared};

/// One ZooKeeper session, shared by all clones of this handle.
///
/// Threads that wait for answers read and write themselves; when none does, a thread of the session's
/// own reads, keeps time and reconnects. A session that lives for less than a millisecond does without.
/// Calls from any thread are sent in the order in which they are
/// made, and pipelined. While no server is connected a call
/// waits until one is, or until the session is over; it is never sent twice.
///
/// When the last clone is dropped the session is closed in the background;
/// [`close`](Client::close) waits for the ensemble's word.
///
/// ```
/// use std::time::Duration;
/// use zk_session::wire::CreateMode;
/// use zk_session_std::{Client, EmbeddedEnsemble};
///
/// let ensemble = EmbeddedEnsemble::builder().servers(1).start()?;
/// let client = Client::builder(ensemble.connect_string())
///     .timeout(Duration::from_secs(4))
///     .connect()?;
/// client.create("/config", b"v1", CreateMode::Persistent)?;
/// let (data, stat) = client.get_data("/config")?;
/// assert_eq!((data.as_slice(), stat.version), (&b"v1"[..], 0));
/// client.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// What all clones share; its end is the session's end.
struct Handle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.lock().session.fmt(f)
    }
}

/// Decides how a session is to be.
#[derive(Clone)]
pub struct ClientBuilder {
    connect_string: String,
    timeout: Duration,
    connect_timeout: Duration,
    close_timeout: Duration,
    new_session_deadline: Option<Duration>,
    read_only: bool,
    seed: Option<u64>,
    limits: Limits,
    ticket: Option<Vec<u8>>,
}

/// A ticket is a secret and stays out.
impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("connect_string", &self.connect_string)
            .field("timeout", &self.timeout)
            .field("resumes", &self.ticket.is_some())
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// The session timeout to ask for. Default 10 s.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long [`connect`](Self::connect) tries to get a first connection. Default 15 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a close waits for the ensemble's word. Default 2 s.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long to look for a server that gives a session at all, before the session ends as
    /// [`Cause::NeverEstablished`](zk_session::client::Cause::NeverEstablished). Default: for ever.
    #[must_use]
    pub const fn new_session_deadline(mut self, deadline: Duration) -> Self {
        self.new_session_deadline = Some(deadline);
        self
    }

    /// Accepts servers that have lost their quorum and serve reads only; while one is connected,
    /// the others are asked ever less often whether they can write. Default: not.
    #[must_use]
    pub const fn allow_read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The seed of host shuffling and back-off jitter. Default: the operating system's randomness.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The limits of the session's memory.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Goes on with the session of a [ticket](Client::ticket) instead of a new one. If the ensemble
    /// has expired it meanwhile, the session ends as `Expired`.
    #[must_use]
    pub fn resume(mut self, ticket: impl Into<Vec<u8>>) -> Self {
        self.ticket = Some(ticket.into());
        self
    }

    /// Starts the session and waits for its first connection.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], [`ErrorKind::Thread`], or [`ErrorKind::ConnectTimeout`] with the last
    /// host tried and what happened there.
    pub fn connect(self) -> Result<Client, Error> {
        let deadline = deadline(self.connect_timeout);
        let client = self.open()?;
        let shared = client.handle.shared.clone();
        driver::connect(&shared, deadline);
        let cared_for = match shared.lock() {
            // It gets a thread of its own if it lives for longer than a moment.
            mut inner if inner.session.state().is_connected() => {
                shared.look_in_at(&mut inner, Instant::now() + keeper::TURN)
            }
            inner => {
                drop(inner);
                shared.adopt()
            }
        };
        cared_for.map_err(|error| Error::new(ErrorKind::Thread(error.kind())))?;
        client.wait_connected(deadline.saturating_duration_since(Instant::now()))?;
        Ok(client)
    }

    /// Starts the session and returns at once; it connects in the background.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] or [`ErrorKind::Thread`].
    pub fn start(self) -> Result<Client, Error> {
        let client = self.open()?;
        let adopted = client.handle.shared.adopt();
        adopted.map_err(|error| Error::new(ErrorKind::Thread(error.kind())))?;
        Ok(client)
    }

    fn open(self) -> Result<Client, Error> {
        let seed = self.seed.unwrap_or_else(random_seed);
        let mut config = ClientConfig::new(self.connect_string, seed)
            .timeout(millis(self.timeout))
            .close_timeout(millis(self.close_timeout));
        if self.read_only {
            config = config.allow_read_only();
        }
        if let Some(deadline) = self.new_session_deadline {
            config = config.new_session_deadline(millis(deadline));
        }
        let clock = Clock::new();
        let (storage, now) = (Storage::owned(self.limits), clock.now());
        let session = match self.ticket {
            Some(ticket) => ClientSession::resume(config, storage, &ticket, now),
            None => ClientSession::new(config, storage, now),
        };
        let session = session.map_err(|error| Error::new(ErrorKind::Config(error)))?;
        let shared = Shared::new(session, clock);
        Ok(Client { handle: Arc::new(Handle { shared }) })
    }
}

impl Client {
    /// A session on the servers of a connection string, such as `h1:2181,h2:2181/chroot`.
    pub fn builder(connect_string: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            connect_string: connect_string.into(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(2),
            new_session_deadline: None,
            read_only: false,
            seed: None,
            limits: Limits::default(),
            ticket: None,
        }
    }

    /// A session with the defaults of the [builder](Self::builder), connected.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect(connect_string: impl Into<String>) -> Result<Self, Error> {
        Self::builder(connect_string).connect()
    }

    /// Waits until a server is connected.
    ///
    /// # Errors
    /// [`ErrorKind::ConnectTimeout`] after `patience`, or [`ErrorKind::Submit`] if the session is
    /// over.
    pub fn wait_connected(&self, patience: Duration) -> Result<(), Error> {
        let shared = &self.handle.shared;
        let deadline = deadline(patience);
        let mut inner = shared.lock();
        while !inner.session.state().is_connected() {
            if inner.is_over() {
                return Err(Error::new(ErrorKind::Submit(SubmitError::Ended)));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let session = &inner.session;
                let last = session.last_disconnect().map(|(host, reason)| {
                    (session.host(host).map(|h| h.to_string()).unwrap_or_default(), reason)
                });
                return Err(Error::new(ErrorKind::ConnectTimeout { last }));
            }
            inner = shared.wait(inner, left);
        }
        Ok(())
    }

    /// Subscribes to what happens to the session and its watched znodes from now on.
    pub fn events(&self) -> Events {
        Events::new(&self.handle.shared)
    }

    /// The session's id; none before a server has given one.
    pub fn session_id(&self) -> SessionId {
        self.handle.shared.lock().session.session_id()
    }

    /// The session timeout: negotiated once connected, requested before.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.handle.shared.lock().session.timeout().as_millis())
    }

    /// The session's state.
    pub fn state(&self) -> KeeperState {
        self.handle.shared.lock().session.state()
    }

    /// The server that is connected or was last tried: its place in the connection string, and its
    /// name and port.
    pub fn current_host(&self) -> (usize, String) {
        let inner = self.handle.shared.lock();
        let host = inner.session.current_host();
        (host.index(), inner.session.host(host).map(|h| h.to_string()).unwrap_or_default())
    }

    /// Replaces the list of hosts. The session stays with its server or moves, at random with such
    /// odds that the clients of an ensemble that grows or shrinks stay evenly spread.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the string is not valid or its chroot is neither absent nor the
    /// session's.
    pub fn update_hosts(&self, connect_string: impl Into<String>) -> Result<HostsUpdate, Error> {
        let shared = &self.handle.shared;
        let mut inner = shared.lock();
        let now = shared.clock.now();
        let update = inner.session.update_hosts(connect_string.into(), now);
        drop(shared.deliver(inner));
        update.map_err(|error| Error::new(ErrorKind::Config(error)))
    }

    /// Sends a request and returns the handle of its answer. Requests that are submitted while
    /// others are in flight are sent together with the next wait or the next answer; a
    /// [`pipeline`](Self::pipeline) sends a whole window in one piece.
    ///
    /// # Errors
    /// [`ErrorKind::Submit`] if the request is not accepted.
    pub fn submit(&self, request: &Request<'_>) -> Result<Pending, Error> {
        let (pending, inner) = self.queue(request, None)?;
        drop(self.handle.shared.write_first(inner));
        Ok(pending)
    }

    /// Collects requests to send them together.
    pub const fn pipeline(&self) -> Pipeline<'_> {
        Pipeline::new(self)
    }

    /// Waits until the session takes the request.
    #[inline(always)]
    fn queue(
        &self,
        request: &Request<'_>,
        time: Option<Duration>,
    ) -> Result<(Pending, MutexGuard<'_, Inner>), Error> {
        let shared = &self.handle.shared;
        let mut inner = shared.lock();
        loop {
            let submitted = match time {
                None => inner.session.submit(request),
                Some(time) => {
                    let deadline = shared.clock.now().after(millis(time));
                    inner.session.submit_before(request, deadline)
                }
            };
            match submitted {
                Ok(xid) => {
                    inner.lead.asks();
                    let place = inner.slots.open(xid);
                    return Ok((Pending::new(shared.clone(), place), inner));
                }
                Err(error) => inner = shared.refused(inner, request, error)?,
            }
        }
    }

    fn call<T>(
        &self,
        request: &Request<'_>,
        take: impl FnOnce(Answer) -> Option<T>,
    ) -> Result<T, Error> {
        let fail = |kind| {
            let path = request.path().and_then(|path| path.as_str()).unwrap_or_default();
            Error::of(request.op(), path, kind)
        };
        let answer = self.submit(request)?.wait().map_err(|error| fail(ErrorKind::Op(error)))?;
        take(answer).ok_or_else(|| fail(ErrorKind::UnexpectedAnswer))
    }

    /// Ends the session and waits for the ensemble's word: its ephemeral znodes are gone then.
    ///
    /// # Errors
    /// [`ErrorKind::CloseUnconfirmed`] if that did not come within the close timeout. Closing a
    /// session that is over is none.
    pub fn close(&self) -> Result<(), Error> {
        let shared = &self.handle.shared;
        let inner = shared.lock();
        if inner.is_over() {
            return Ok(());
        }
        let inner = shared.begin_close(inner);
        let over = |inner: &mut Inner| inner.is_over().then_some(());
        if let Err(mut inner) = shared.lead(inner, over) {
            // The session's thread may be dialling; the deadline is kept from here.
            while let Some(wait) = shared.clock.until(inner.session.poll_timeout()) {
                inner = shared.wait(inner, wait);
                inner = shared.tell_time(inner);
            }
        }
        match shared.lock().session.why() {
            Some(why) if why.cause == Cause::ClosedUnconfirmed => {
                Err(Error::new(ErrorKind::CloseUnconfirmed))
            }
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// Makes room for a request that was not accepted, or waits until there is some.
    #[cold]
    fn refused<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        request: &Request<'_>,
        error: SubmitError,
    ) -> Result<MutexGuard<'a, Inner>, Error> {
        if !error.is_temporary() {
            let path = request.path().and_then(|path| path.as_str()).unwrap_or_default();
            return Err(Error::of(request.op(), path, ErrorKind::Submit(error)));
        }
        if matches!(error, SubmitError::TransmitFull { .. } | SubmitError::InFlightFull) {
            inner = self.deliver(inner);
            inner = self.write_out(inner);
            // While another thread is at it there may be room, but not for this request.
            let crowded = matches!(error, SubmitError::TransmitFull { .. })
                && !inner.session.poll_transmit().is_empty();
            if !crowded && inner.session.can_submit() {
                return Ok(inner);
            }
        }
        inner.waiting_for_room += 1;
        inner = self.wait(inner, Duration::MAX);
        inner.waiting_for_room -= 1;
        Ok(inner)
    }

    /// Asks for the end of the session. Does not wait for the socket: the close has its deadline.
    fn begin_close<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        inner.closing = true;
        inner.session.close(self.clock.now());
        let inner = self.deliver(inner);
        if inner.watching > 0 {
            self.changed.notify_all();
        }
        inner
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let shared = &self.shared;
        let inner = shared.lock();
        if inner.is_over() {
            return;
        }
        let mut inner = shared.begin_close(inner);
        if inner.has_thread {
            shared.keep_time(&mut inner);
        } else if let Err(error) = shared.look_in_at(&mut inner, Instant::now() + keeper::TURN) {
            log::warn!("no thread to close a session with: {error}");
        }
    }
}
