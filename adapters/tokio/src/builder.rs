//! How a session is to be.

use std::sync::Arc;
use std::time::Duration;

use zk_session::client::{ClientConfig, ClientSession};
use zk_session::storage::{Limits, Storage};

use crate::client::Client;
use crate::clock::{Clock, millis, random_seed};
use crate::driver::Driver;
use crate::error::{Error, ErrorKind};
use crate::lot::Lot;
use crate::observe::Observer;
use crate::shared::{Setup, Shared};
use crate::states::Transitions;
use crate::transport::Layer;

/// Decides how a session is to be.
#[derive(Clone)]
pub struct ClientBuilder {
    connect_string: String,
    timeout: Duration,
    connect_timeout: Duration,
    close_timeout: Duration,
    new_session_deadline: Option<Duration>,
    read_only: bool,
    expire_locally: bool,
    expiry_allowance: Option<Duration>,
    stolen_after: Option<u32>,
    frame_limit: Option<usize>,
    seed: Option<u64>,
    limits: Limits,
    ticket: Option<Vec<u8>>,
    auth: Vec<(String, Vec<u8>)>,
    layer: Option<Arc<dyn Layer>>,
    #[cfg(feature = "sasl")]
    sasl: Option<Arc<dyn crate::sasl::SaslMechanism>>,
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    name: String,
}

/// Tickets and credentials are secrets and stay out.
impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("connect_string", &self.connect_string)
            .field("timeout", &self.timeout)
            .field("resumes", &self.ticket.is_some())
            .field("credentials", &self.auth.len())
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(crate) fn new(connect_string: String) -> Self {
        Self {
            connect_string,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(2),
            new_session_deadline: None,
            read_only: false,
            expire_locally: false,
            expiry_allowance: None,
            stolen_after: None,
            frame_limit: None,
            seed: None,
            limits: Limits::default(),
            ticket: None,
            auth: Vec::new(),
            layer: None,
            #[cfg(feature = "sasl")]
            sasl: None,
            #[cfg(any(feature = "metrics", feature = "tracing"))]
            name: String::new(),
        }
    }

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

    /// Ends the session by itself, as `Expired`, when it is surely expired. Default: not; only the
    /// ensemble's word ends it. See
    /// [`ClientConfig::expire_locally`](zk_session::client::ClientConfig::expire_locally).
    #[must_use]
    pub const fn expire_locally(mut self) -> Self {
        self.expire_locally = true;
        self
    }

    /// What is added to the timeout until a silent session is surely expired. See
    /// [`ClientConfig::expiry_allowance`](zk_session::client::ClientConfig::expiry_allowance).
    #[must_use]
    pub const fn expiry_allowance(mut self, allowance: Duration) -> Self {
        self.expiry_allowance = Some(allowance);
        self
    }

    /// Ends the session, as `Expired`, after so many evictions in a row by another holder of its
    /// ticket. See [`ClientConfig::stolen_after`](zk_session::client::ClientConfig::stolen_after).
    #[must_use]
    pub const fn stolen_after(mut self, evictions: u32) -> Self {
        self.stolen_after = Some(evictions);
        self
    }

    /// The longest frame in bytes that is still taken for a frame; longer ones end the connection.
    /// Default 16 MiB.
    #[must_use]
    pub const fn frame_limit(mut self, bytes: usize) -> Self {
        self.frame_limit = Some(bytes);
        self
    }

    /// The seed of host shuffling and back-off jitter. Default: the operating system's randomness.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The limits of the session's memory. `requests` and `transmit` also bound the line of requests
    /// that wait for a server.
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

    /// Adds an identity, such as scheme `digest` with `user:password`: shown on every connection
    /// before any request. A refused one ends the session as `AuthFailed`.
    #[must_use]
    pub fn auth(mut self, scheme: impl Into<String>, auth: impl Into<Vec<u8>>) -> Self {
        self.auth.push((scheme.into(), auth.into()));
        self
    }

    /// Puts a layer, such as TLS, between TCP and ZooKeeper. Default: none.
    #[must_use]
    pub fn layer(mut self, layer: Arc<dyn Layer>) -> Self {
        self.layer = Some(layer);
        self
    }

    /// Encrypts every connection. Default: not.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, tls: crate::Tls) -> Self {
        self.layer(Arc::new(tls))
    }

    /// Authenticates every connection by SASL before anything else. Default: not; a server that
    /// demands it ends the session as `AuthFailed` then.
    #[cfg(feature = "sasl")]
    #[must_use]
    pub fn sasl(mut self, mechanism: impl crate::sasl::SaslMechanism + 'static) -> Self {
        self.sasl = Some(Arc::new(mechanism));
        self
    }

    /// What the session is called where it is observed: the label `client` of its metrics and the
    /// field `client` of its span. Metrics of sessions with the same name add up. Default: empty.
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Starts the session and waits for its first connection.
    ///
    /// # Errors
    /// As [`start`](Self::start); [`ErrorKind::ConnectTimeout`] with the last host tried and what
    /// happened there, or [`ErrorKind::Submit`] if the session has ended instead.
    pub async fn connect(self) -> Result<Client, Error> {
        let patience = self.connect_timeout;
        let client = self.start()?;
        client.wait_connected(patience).await?;
        Ok(client)
    }

    /// Starts the session and returns at once; it connects in the background, on a task of the
    /// runtime that this is called in.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], or [`ErrorKind::NoRuntime`] outside a tokio runtime.
    pub fn start(self) -> Result<Client, Error> {
        let (client, begin) = self.prepare()?;
        begin();
        Ok(client)
    }

    /// As [`start`](Self::start), with the session's transitions from its first on:
    /// [`Client::transitions`] misses those that come before it is called.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_told(self) -> Result<(Client, Transitions), Error> {
        let (client, begin) = self.prepare()?;
        let transitions = client.transitions();
        begin();
        Ok((client, transitions))
    }

    /// The session, and what has it begin.
    fn prepare(self) -> Result<(Client, impl FnOnce()), Error> {
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_| Error::new(ErrorKind::NoRuntime))?;
        let mut config =
            ClientConfig::new(self.connect_string, self.seed.unwrap_or_else(random_seed))
                .timeout(millis(self.timeout))
                .close_timeout(millis(self.close_timeout));
        if self.read_only {
            config = config.allow_read_only();
        }
        if self.expire_locally {
            config = config.expire_locally();
        }
        if let Some(deadline) = self.new_session_deadline {
            config = config.new_session_deadline(millis(deadline));
        }
        if let Some(allowance) = self.expiry_allowance {
            config = config.expiry_allowance(millis(allowance));
        }
        if let Some(evictions) = self.stolen_after {
            config = config.stolen_after(evictions);
        }
        if let Some(limit) = self.frame_limit {
            config = config.frame_limit(limit);
        }
        #[cfg(feature = "sasl")]
        if self.sasl.is_some() {
            config = config.sasl();
        }
        let clock = Clock::new();
        let (storage, now) = (Storage::owned(self.limits), clock.now());
        let session = match self.ticket {
            Some(ticket) => ClientSession::resume(config, storage, &ticket, now),
            None => ClientSession::new(config, storage, now),
        };
        let session = session.map_err(|error| Error::new(ErrorKind::Config(error)))?;
        #[cfg(any(feature = "metrics", feature = "tracing"))]
        let observer = Observer::new(&self.name);
        #[cfg(not(any(feature = "metrics", feature = "tracing")))]
        let observer = Observer::new("");
        let setup = Setup { limits: self.limits, layer: self.layer };
        let shared = Arc::new(Shared::new(session, clock, setup, Lot::of(runtime.id()), observer));
        #[cfg(feature = "sasl")]
        if let Some(mechanism) = self.sasl {
            let mut inner = shared.lock();
            inner.sasl = Some(crate::sasl::Authenticator::new(mechanism));
            inner.demanding = true;
        }
        let client = Client::new(shared.clone());
        for (scheme, auth) in &self.auth {
            // At the head of the line; if it is refused, the session ends and says why.
            drop_answer(client.add_auth(scheme, auth).send());
        }
        let begin = move || {
            let lot = shared.lot().clone();
            lot.take_in(Driver::new(shared), &runtime);
        };
        Ok((client, begin))
    }
}

/// Lets the request leave, whoever waits for it.
fn drop_answer<T>(pending: crate::Pending<T>) {
    pending.detach();
}
