//! How an ensemble is to be.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
#[cfg(feature = "durable")]
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zk_session::server::{DigestMd5, Engine, EngineConfig, Release};

use super::EmbeddedEnsemble;
use super::error::EnsembleError;
#[cfg(feature = "durable")]
use super::error::StoreError;
use super::front::Front;
use super::net::Net;
use super::port::Port;
use super::reactor::Reactor;
use super::snapshot;
use super::state::State;
#[cfg(feature = "durable")]
use super::store::{Fsync, Store};
use crate::clock::{Clock, millis, random_seed};

/// The most servers there can be: their numbers are one byte of each session id.
pub(super) const MAX_SERVERS: usize = 255;

/// Describes an [`EmbeddedEnsemble`]; made by [`EmbeddedEnsemble::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct EnsembleBuilder {
    servers: usize,
    binds: BTreeMap<usize, SocketAddr>,
    seed: Option<u64>,
    engine: EngineConfig,
    /// Who can authenticate by SASL, and with which passwords; without any nobody can.
    users: Option<DigestMd5>,
    #[cfg(feature = "durable")]
    durable: Option<(PathBuf, Fsync)>,
}

impl EnsembleBuilder {
    pub(super) fn new() -> Self {
        Self {
            servers: 1,
            binds: BTreeMap::new(),
            seed: None,
            engine: EngineConfig::default(),
            users: None,
            #[cfg(feature = "durable")]
            durable: None,
        }
    }

    /// Sets the number of servers, 1 to 255; 1 unless told otherwise.
    pub fn servers(mut self, count: usize) -> Self {
        self.servers = count;
        self
    }

    /// Sets where server `i` listens, the first being 0; any free port of 127.0.0.1 unless told
    /// otherwise. Makes room for that server if [`servers`](Self::servers) does not.
    pub fn bind(mut self, i: usize, addr: SocketAddr) -> Self {
        self.binds.insert(i, addr);
        self
    }

    /// Sets the tick (ZooKeeper's `tickTime`), in whole milliseconds, at least 1; 2 s unless told
    /// otherwise. Sessions expire on ticks, and their timeout is 2 to 20 ticks unless told
    /// otherwise.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.engine.tick = millis(tick);
        self
    }

    /// Sets the shortest session timeout that is granted; 2 ticks unless told otherwise.
    pub fn min_session_timeout(mut self, timeout: Duration) -> Self {
        self.engine.min_session_timeout = Some(millis(timeout));
        self
    }

    /// Sets the longest session timeout that is granted; 20 ticks unless told otherwise.
    pub fn max_session_timeout(mut self, timeout: Duration) -> Self {
        self.engine.max_session_timeout = Some(millis(timeout));
        self
    }

    /// Sets the seed of session ids and passwords.
    ///
    /// Unless told otherwise it is drawn from the operating system's randomness (through std's
    /// [`RandomState`](std::hash::RandomState), whose keys come from there), so that nobody can guess a password. A known
    /// seed makes runs repeatable and passwords known: for tests only.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets whose behaviour to show where ZooKeeper's releases differ; 3.9 unless told otherwise.
    pub fn release(mut self, release: Release) -> Self {
        self.engine.release = release;
        self
    }

    /// Lets znodes have a time to live (ZooKeeper's `extendedTypesEnabled`); they cannot unless
    /// told so.
    pub fn extended_types(mut self) -> Self {
        self.engine.extended_types = true;
        self
    }

    /// Sets the four-letter words that are answered (ZooKeeper's `4lw.commands.whitelist`); `srvr`
    /// always is. All of them unless told otherwise.
    pub fn four_letter_words<'w>(mut self, words: impl IntoIterator<Item = &'w str>) -> Self {
        self.engine.four_letter_words = words.into_iter().collect();
        self
    }

    /// Sets how many connections each server takes from one address (ZooKeeper's
    /// `maxClientCnxns`), 0 being any number; any number unless told otherwise.
    pub fn max_client_cnxns(mut self, most: usize) -> Self {
        self.engine.max_client_connections = most;
        self
    }

    /// Changes any of the engine's settings, those without a method here among them, such as
    /// `frame_limit`. `seed` and `unix_time_at_origin` are not taken from here.
    ///
    /// ```
    /// # use zk_session_std::EmbeddedEnsemble;
    /// # fn main() -> std::io::Result<()> {
    /// let builder = EmbeddedEnsemble::builder().engine(|engine| engine.frame_limit = 4 << 20);
    /// let ensemble = builder.start()?; // takes znodes of almost 4 MiB
    /// # drop(ensemble);
    /// # Ok(())
    /// # }
    /// ```
    pub fn engine(mut self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        change(&mut self.engine);
        self
    }

    /// Refuses what goes beyond the hard limit of a quota (ZooKeeper's `enforceQuota`); unless told
    /// so, quotas count and warn only.
    pub fn enforce_quota(mut self) -> Self {
        self.engine.enforce_quota = true;
        self
    }

    /// Lets sessions be served by servers that are [read-only](EmbeddedEnsemble::read_only)
    /// (ZooKeeper's `localSessionsEnabled` and `localSessionsUpgradingEnabled`): new sessions are
    /// known to one server only, until they create an ephemeral znode.
    pub fn local_sessions(mut self) -> Self {
        (self.engine.local_sessions, self.engine.local_sessions_upgrading) = (true, true);
        self
    }

    /// Adds a user who can authenticate by SASL with DIGEST-MD5, as `user_<name>="<password>"` in
    /// ZooKeeper's JAAS configuration does; nobody can unless one is added. With
    /// [`require_sasl`](EngineConfig::require_sasl) everybody has to.
    pub fn sasl_user(mut self, name: &str, password: &str) -> Self {
        let users = self.users.take().unwrap_or_else(|| DigestMd5::new(random_seed()));
        self.users = Some(users.user(name, password));
        self
    }

    /// Keeps the state in a directory, which is made if it is not there: whoever is started with the
    /// same one goes on where the last stopped or was killed, with all znodes and sessions. Sessions
    /// have all of their timeout from then on, so that clients can come back.
    ///
    /// Nothing is acknowledged before it is kept. All that has come from all clients at a time is
    /// kept at once, with one call to fsync, and only then answered; [`fsync`](Self::fsync) can
    /// waive that call. When it cannot be kept, because the disk is full for example, the ensemble
    /// stops serving, all connections end unanswered, and
    /// [`failure`](EmbeddedEnsemble::failure) says why.
    ///
    /// Only one ensemble can use a directory at a time. What is kept includes the key of all session
    /// passwords: keep it as secret as the data.
    #[cfg(feature = "durable")]
    pub fn durable(mut self, dir: impl Into<PathBuf>) -> Self {
        let fsync = self.durable.take().map(|(_, fsync)| fsync);
        self.durable = Some((dir.into(), fsync.unwrap_or_default()));
        self
    }

    /// Sets when what [`durable`](Self::durable) keeps is forced to the disk: say it after that.
    /// [`Fsync::Always`] unless told otherwise.
    #[cfg(feature = "durable")]
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        if let Some((_, chosen)) = &mut self.durable {
            *chosen = fsync;
        }
        self
    }

    /// Binds all ports and serves. It takes about a millisecond, and clients can connect when it
    /// returns.
    ///
    /// # Errors
    /// [`Settings`](EnsembleError::Settings) if the number of servers, the tick or the session
    /// timeouts make no sense; [`Store`](EnsembleError::Store) if what is kept cannot be used;
    /// otherwise [`Io`](EnsembleError::Io) with what the system says, such as
    /// [`AddrInUse`](std::io::ErrorKind::AddrInUse).
    pub fn start(self) -> Result<EmbeddedEnsemble, EnsembleError> {
        EmbeddedEnsemble::run(|polled| self.assemble(polled))
    }

    /// As [`start`](Self::start), from a [snapshot](EmbeddedEnsemble::snapshot): with its znodes and
    /// sessions, which have all of their timeout, and the passwords that it was taken with, whatever
    /// [`seed`](Self::seed) says. With [`durable`](Self::durable) the directory has to be empty.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`Snapshot`](EnsembleError::Snapshot).
    pub fn start_from(self, reader: impl Read) -> Result<EmbeddedEnsemble, EnsembleError> {
        EmbeddedEnsemble::run(|polled| self.assemble_from(reader, polled))
    }

    /// All of [`start`](Self::start) but the loop, with the addresses that it listens on.
    #[doc(hidden)]
    pub fn assemble<N: Net>(self, net: N) -> Result<(Reactor<N>, Vec<SocketAddr>), EnsembleError> {
        self.assemble_as(net, |config, now| Ok(Engine::new(config, now)), Fresh::Unless)
    }

    /// All of [`start_from`](Self::start_from) but the loop.
    #[doc(hidden)]
    pub fn assemble_from<N: Net>(
        self,
        reader: impl Read,
        net: N,
    ) -> Result<(Reactor<N>, Vec<SocketAddr>), EnsembleError> {
        let read = |config, now| Ok(snapshot::read(reader, config, now)?);
        self.assemble_as(net, read, Fresh::Only)
    }

    /// Begins with the engine that is kept, or else one that is made.
    fn assemble_as<N: Net>(
        self,
        net: N,
        make: impl FnOnce(EngineConfig, zk_session::Instant) -> Result<Engine, EnsembleError>,
        fresh: Fresh,
    ) -> Result<(Reactor<N>, Vec<SocketAddr>), EnsembleError> {
        let servers = self.binds.keys().last().map_or(0, |last| last.saturating_add(1));
        let servers = servers.max(self.servers);
        if !(1..=MAX_SERVERS).contains(&servers) {
            return invalid(format!("an ensemble has 1 to {MAX_SERVERS} servers, not {servers}"));
        }
        let clock = Clock::new();
        let mut state = self.state(clock, make, fresh)?;
        if let Some(users) = &self.users {
            state.engine.set_sasl(Box::new(users.clone()));
        }
        let (mut fronts, mut addrs) = (Vec::new(), Vec::new());
        for server in 0..servers {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let wanted = self.binds.get(&server).copied().unwrap_or(any);
            let (port, addr) = Port::bind(wanted).map_err(|error| {
                std::io::Error::new(error.kind(), format!("cannot bind {wanted}: {error}"))
            })?;
            let id = state.engine.add_server();
            state.engine.set_address(id, addr);
            fronts.push(Front::new(id, addr, port));
            addrs.push(addr);
        }
        let mut reactor = Reactor::new(state, net, fronts);
        for server in 0..servers {
            reactor.start(server)?;
        }
        log::info!("embedded ensemble serves on {addrs:?}");
        Ok((reactor, addrs))
    }

    /// The engine with its store, if it has one.
    fn state(
        &self,
        clock: Clock,
        make: impl FnOnce(EngineConfig, zk_session::Instant) -> Result<Engine, EnsembleError>,
        fresh: Fresh,
    ) -> Result<State, EnsembleError> {
        let (config, now) = (self.config()?, clock.now());
        #[cfg(feature = "durable")]
        if let Some((dir, fsync)) = &self.durable {
            let mut store = Store::open(dir, *fsync)?;
            let engine = match (store.load(config.clone(), now)?, fresh) {
                (Some(_), Fresh::Only) => return Err(StoreError::NotEmpty(dir.clone()).into()),
                (Some(engine), Fresh::Unless) => engine,
                (None, _) => {
                    let engine = make(config, now)?;
                    store.fill(&engine)?;
                    engine
                }
            };
            let mut state = State::new(engine, clock);
            state.keep(store);
            return Ok(state);
        }
        let _ = fresh; // it only matters where something is kept
        Ok(State::new(make(config, now)?, clock))
    }

    fn config(&self) -> Result<EngineConfig, EnsembleError> {
        let mut config = self.engine.clone();
        config.environment.extend(environment());
        config.seed = self.seed.unwrap_or_else(random_seed);
        let unix_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        config.unix_time_at_origin = i64::try_from(unix_time.as_millis()).unwrap_or(i64::MAX);
        if config.tick == zk_session::Duration::ZERO {
            return invalid("a tick is at least one millisecond".into());
        }
        let shortest = config.min_session_timeout.unwrap_or(config.tick.scaled(2, 1));
        let longest = config.max_session_timeout.unwrap_or(config.tick.scaled(20, 1));
        if longest == zk_session::Duration::ZERO {
            return invalid("the longest session timeout is at least one millisecond".into());
        }
        if shortest > longest {
            return invalid(format!(
                "the shortest session timeout, {shortest}, is longer than the longest, {longest}"
            ));
        }
        Ok(config)
    }
}

/// What the four-letter word `envi` tells, by ZooKeeper's names.
fn environment() -> impl Iterator<Item = (String, String)> {
    let variable = |name| std::env::var(name).ok();
    let dir = std::env::current_dir().ok().map(|dir| dir.display().to_string());
    let known = [
        ("os.name", Some(std::env::consts::OS.to_owned())),
        ("os.arch", Some(std::env::consts::ARCH.to_owned())),
        ("user.name", variable("USER")),
        ("user.home", variable("HOME")),
        ("user.dir", dir),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

fn invalid<T>(text: String) -> Result<T, EnsembleError> {
    Err(EnsembleError::Settings(text))
}

/// Whether an ensemble that is kept already will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fresh {
    /// It will, and is used.
    Unless,
    /// It will not.
    Only,
}
