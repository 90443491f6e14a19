//! How an ensemble is to be.

use std::net::SocketAddr;
#[cfg(feature = "durable")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::{spawn_blocking, unconstrained};
use zk_session::server::{EngineConfig, Release};
use zk_session_std::EnsembleError;
#[cfg(feature = "durable")]
use zk_session_std::Fsync;
use zk_session_std::parts::{Failure, Reactor};

use super::EmbeddedEnsemble;
use super::net::{Sockets, Wakes};
use super::task::Task;

/// Commands that wait for the task; a handle that gives more waits itself.
const COMMANDS: usize = 64;

/// Describes an [`EmbeddedEnsemble`]; made by [`EmbeddedEnsemble::builder`]. Its settings are those
/// of [`zk_session_std::EnsembleBuilder`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct EnsembleBuilder(zk_session_std::EnsembleBuilder);

impl EnsembleBuilder {
    pub(super) fn new() -> Self {
        Self(zk_session_std::EmbeddedEnsemble::builder())
    }

    /// Sets the number of servers, 1 to 255; 1 unless told otherwise.
    pub fn servers(self, count: usize) -> Self {
        Self(self.0.servers(count))
    }

    /// Sets where server `i` listens, the first being 0; any free port of 127.0.0.1 unless told
    /// otherwise. Makes room for that server if [`servers`](Self::servers) does not.
    pub fn bind(self, i: usize, addr: SocketAddr) -> Self {
        Self(self.0.bind(i, addr))
    }

    /// Sets the tick (ZooKeeper's `tickTime`), in whole milliseconds, at least 1; 2 s unless told
    /// otherwise. Sessions expire on ticks.
    pub fn tick(self, tick: Duration) -> Self {
        Self(self.0.tick(tick))
    }

    /// Sets the shortest session timeout that is granted; 2 ticks unless told otherwise.
    pub fn min_session_timeout(self, timeout: Duration) -> Self {
        Self(self.0.min_session_timeout(timeout))
    }

    /// Sets the longest session timeout that is granted; 20 ticks unless told otherwise.
    pub fn max_session_timeout(self, timeout: Duration) -> Self {
        Self(self.0.max_session_timeout(timeout))
    }

    /// Sets the seed of session ids and passwords, which makes them known: for tests only. Drawn
    /// from the operating system unless told otherwise.
    pub fn seed(self, seed: u64) -> Self {
        Self(self.0.seed(seed))
    }

    /// Sets whose behaviour to show where ZooKeeper's releases differ; 3.9 unless told otherwise.
    pub fn release(self, release: Release) -> Self {
        Self(self.0.release(release))
    }

    /// Lets znodes have a time to live (ZooKeeper's `extendedTypesEnabled`).
    pub fn extended_types(self) -> Self {
        Self(self.0.extended_types())
    }

    /// Sets the four-letter words that are answered besides `srvr` (ZooKeeper's
    /// `4lw.commands.whitelist`); all of them unless told otherwise.
    pub fn four_letter_words<'w>(self, words: impl IntoIterator<Item = &'w str>) -> Self {
        Self(self.0.four_letter_words(words))
    }

    /// Sets how many connections each server takes from one address (ZooKeeper's
    /// `maxClientCnxns`), 0 being any number; any number unless told otherwise.
    pub fn max_client_cnxns(self, most: usize) -> Self {
        Self(self.0.max_client_cnxns(most))
    }

    /// Changes any of the engine's settings; `seed` and `unix_time_at_origin` are not taken from
    /// here.
    pub fn engine(self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self(self.0.engine(change))
    }

    /// Refuses what goes beyond the hard limit of a quota (ZooKeeper's `enforceQuota`).
    pub fn enforce_quota(self) -> Self {
        Self(self.0.enforce_quota())
    }

    /// Lets sessions be served by servers that are [read-only](EmbeddedEnsemble::read_only)
    /// (ZooKeeper's `localSessionsEnabled` and `localSessionsUpgradingEnabled`).
    pub fn local_sessions(self) -> Self {
        Self(self.0.local_sessions())
    }

    /// Adds a user who can authenticate by SASL with DIGEST-MD5; nobody can unless one is added.
    pub fn sasl_user(self, name: &str, password: &str) -> Self {
        Self(self.0.sasl_user(name, password))
    }

    /// Keeps the state in a directory: whoever is started with the same one goes on where the last
    /// stopped or was killed. See [`zk_session_std::EnsembleBuilder::durable`].
    ///
    /// The disk is waited for on the runtime's threads for blocking work; meanwhile nothing is
    /// served, and all that comes is kept together the next time.
    #[cfg(feature = "durable")]
    pub fn durable(self, dir: impl Into<PathBuf>) -> Self {
        Self(self.0.durable(dir))
    }

    /// Sets when what [`durable`](Self::durable) keeps is forced to the disk: say it after that.
    /// [`Fsync::Always`] unless told otherwise.
    #[cfg(feature = "durable")]
    pub fn fsync(self, fsync: Fsync) -> Self {
        Self(self.0.fsync(fsync))
    }

    /// Binds all ports and serves on the runtime that this is called on, until the handle is
    /// dropped or the runtime ends. Clients can connect when it returns.
    ///
    /// # Errors
    /// As [`zk_session_std::EnsembleBuilder::start`].
    ///
    /// # Panics
    /// The runtime's I/O or time is not enabled.
    pub async fn start(self) -> Result<EmbeddedEnsemble, EnsembleError> {
        run(|sockets| self.0.assemble(sockets)).await
    }

    /// As [`start`](Self::start), from a [snapshot](EmbeddedEnsemble::snapshot), which is read to
    /// the end of its stream.
    ///
    /// # Errors
    /// As [`zk_session_std::EnsembleBuilder::start_from`].
    ///
    /// # Panics
    /// The runtime's I/O or time is not enabled.
    pub async fn start_from(
        self,
        mut reader: impl AsyncRead + Unpin,
    ) -> Result<EmbeddedEnsemble, EnsembleError> {
        let mut snapshot = Vec::new();
        reader.read_to_end(&mut snapshot).await?;
        run(move |sockets| self.0.assemble_from(&snapshot[..], sockets)).await
    }
}

/// Runs what `assemble` makes, which may have to read all that a directory keeps.
async fn run(
    assemble: impl FnOnce(Sockets) -> Result<(Reactor<Sockets>, Vec<SocketAddr>), EnsembleError>
    + Send
    + 'static,
) -> Result<EmbeddedEnsemble, EnsembleError> {
    let wakes = Arc::new(Wakes::default());
    let sockets = Sockets(Arc::clone(&wakes));
    let assembled = spawn_blocking(move || assemble(sockets)).await;
    let (reactor, addrs) = assembled.map_err(|_| EnsembleError::Gone)??;
    let (commands, receiver) = mpsc::channel(COMMANDS);
    let failure = Failure::default();
    let task = Task { wakes, commands: receiver, failure: Failure::clone(&failure) };
    // It bounds its turns itself, and a socket that tokio holds back looks as if nothing were there.
    let task = tokio::spawn(unconstrained(task.run(reactor)));
    Ok(EmbeddedEnsemble { addrs, commands, task, failure })
}
