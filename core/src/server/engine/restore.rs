//! Records to an engine.

use alloc::string::{String, ToString};
use core::fmt;

use super::{Engine, EngineConfig};
use crate::path;
use crate::server::record::{HeaderRecord, Record, RecordKey, SessionRecord, ZnodeRecord};
use crate::server::tracker::SessionTracker;
use crate::server::tree::{Kind, NodeId, Tree};
use crate::time::Instant;
use crate::wire::SessionId;

/// Znodes without which there is no ensemble.
const NEEDED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// An engine that is given its state record by record.
///
/// ```
/// use zk_session::server::{Engine, EngineConfig, Restore};
/// use zk_session::time::Instant;
///
/// let mut before = Engine::new(EngineConfig::default(), Instant::ORIGIN);
/// let mut restore = Restore::new(EngineConfig::default(), Instant::ORIGIN);
/// for record in before.records() {
///     restore.add(&record)?;
/// }
/// let after = restore.finish()?;
/// assert!(after.records().eq(before.records()));
/// # Ok::<(), zk_session::server::RestoreError>(())
/// ```
#[derive(Debug)]
pub struct Restore {
    engine: Engine,
    started: bool,
}

/// Why records are not the state of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The first record is not a header, or there is none.
    NoHeader,
    /// Two records have this key.
    Duplicate(RecordKey<'static>),
    /// There is no such session id.
    BadSession(SessionId),
    /// There is no memory for this session, by [`EngineConfig::session_limit`].
    TrackerFull(SessionId),
    /// No znode can have this path.
    BadPath(String),
    /// The znode of this path comes before its parent, or has none.
    NoParent(String),
    /// The parent of this znode is ephemeral.
    EphemeralParent(String),
    /// A znode belongs to a session that there is not, or that comes behind it.
    NoOwner {
        /// The znode.
        path: String,
        /// The session.
        owner: SessionId,
    },
    /// The znode of this path is newer than the last transaction.
    ZxidAhead(String),
    /// A znode that every ensemble has is missing.
    Missing(&'static str),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("state does not begin with its header"),
            Self::Duplicate(RecordKey::Header) => f.write_str("state has two headers"),
            Self::Duplicate(RecordKey::Session(id)) => write!(f, "state has session {id} twice"),
            Self::Duplicate(RecordKey::Znode(path)) => write!(f, "state has znode {path} twice"),
            Self::BadSession(id) => write!(f, "state has a session of impossible id {id}"),
            Self::TrackerFull(id) => write!(f, "no memory for session {id} of the state"),
            Self::BadPath(path) => write!(f, "state has a znode of impossible path {path:?}"),
            Self::NoParent(path) => write!(f, "state has znode {path} without its parent"),
            Self::EphemeralParent(path) => {
                write!(f, "state has znode {path} below an ephemeral one")
            }
            Self::NoOwner { path, owner } => {
                write!(f, "state has znode {path} of session {owner}, which there is not")
            }
            Self::ZxidAhead(path) => {
                write!(f, "state has znode {path}, which is newer than its last transaction")
            }
            Self::Missing(path) => write!(f, "state has no znode {path}"),
        }
    }
}

impl core::error::Error for RestoreError {}

impl Engine {
    /// An ensemble that goes on where the one of the records stopped; without servers yet.
    ///
    /// All sessions are alive and have all of their timeout from `now`, for clients could not ping
    /// while there was no server. Their passwords are valid: the seed is that of the records, not
    /// that of `config`. Zxids go on, and no session id is used twice.
    ///
    /// # Errors
    /// [`RestoreError`], by variant.
    ///
    /// # Source
    /// `ZooKeeperServer.loadData`, `SessionTrackerImpl.SessionTrackerImpl`, 3.8.0.
    pub fn restore<'a>(
        config: EngineConfig,
        records: impl IntoIterator<Item = Record<'a>>,
        now: Instant,
    ) -> Result<Self, RestoreError> {
        let mut restore = Restore::new(config, now);
        for record in records {
            restore.add(&record)?;
        }
        restore.finish()
    }
}

impl Restore {
    /// Begins; see [`Engine::restore`].
    pub fn new(config: EngineConfig, now: Instant) -> Self {
        let mut engine = Engine::new(config, now);
        engine.tree = Tree::unrestored();
        Self { engine, started: false }
    }

    /// Adds a record: the header first, sessions before their znodes, parents before their
    /// children. [`Engine::records`] has this order, and so have [keys](RecordKey).
    ///
    /// # Errors
    /// [`RestoreError`], by variant; nothing was added.
    pub fn add(&mut self, record: &Record<'_>) -> Result<(), RestoreError> {
        match record {
            Record::Header(_) if self.started => Err(RestoreError::Duplicate(RecordKey::Header)),
            Record::Header(header) => {
                self.header(header);
                Ok(())
            }
            _ if !self.started => Err(RestoreError::NoHeader),
            Record::Session(session) => self.session(session),
            Record::Znode(znode) => self.znode(znode),
        }
    }

    /// The engine, if its state is whole.
    ///
    /// # Errors
    /// [`RestoreError::NoHeader`], [`RestoreError::Missing`].
    pub fn finish(self) -> Result<Engine, RestoreError> {
        if !self.started {
            return Err(RestoreError::NoHeader);
        }
        let missing = NEEDED.iter().find(|path| self.engine.tree.look(path.as_bytes()).is_none());
        match missing {
            Some(path) => Err(RestoreError::Missing(path)),
            None => Ok(self.engine),
        }
    }

    fn header(&mut self, header: &HeaderRecord) {
        let engine = &mut self.engine;
        engine.config.seed = header.seed;
        engine.zxid = header.zxid;
        engine.tracker =
            SessionTracker::owned(engine.config.tracker(), engine.config.session_limit);
        engine.tracker.restore_next_id(engine.now, header.next_session);
        self.started = true;
    }

    fn session(&mut self, session: &SessionRecord) -> Result<(), RestoreError> {
        let SessionRecord { session_id: id, timeout } = *session;
        let tracker = &mut self.engine.tracker;
        if !id.is_some() || id.0 == i64::MIN {
            return Err(RestoreError::BadSession(id));
        }
        if tracker.find(id).is_some() {
            return Err(RestoreError::Duplicate(RecordKey::Session(id)));
        }
        tracker.restore(self.engine.now, id, timeout).map_err(|_| RestoreError::TrackerFull(id))
    }

    fn znode(&mut self, znode: &ZnodeRecord<'_>) -> Result<(), RestoreError> {
        let path = || znode.path.to_string();
        let tree = &mut self.engine.tree;
        if path::validate(&znode.path).is_err() {
            return Err(RestoreError::BadPath(path()));
        }
        if let Kind::Ephemeral(owner) = znode.kind {
            if self.engine.tracker.find(owner).is_none() {
                return Err(RestoreError::NoOwner { path: path(), owner });
            }
        }
        if [znode.czxid, znode.mzxid, znode.pzxid].iter().any(|zxid| *zxid > self.engine.zxid) {
            return Err(RestoreError::ZxidAhead(path()));
        }
        let above = match znode.path.rsplit_once('/') {
            _ if *znode.path == *"/" && tree.len() == 0 => NodeId::ROOT,
            Some((above, name)) if !name.is_empty() => {
                let above = tree.find(above.as_bytes()).filter(|_| tree.len() > 0);
                above.ok_or_else(|| RestoreError::NoParent(path()))?
            }
            _ => return Err(RestoreError::Duplicate(RecordKey::Znode(path().into()))),
        };
        if tree.node(above).is_some_and(|above| matches!(above.kind, Kind::Ephemeral(_))) {
            return Err(RestoreError::EphemeralParent(path()));
        }
        if tree.restore(above, znode) {
            return Ok(());
        }
        Err(RestoreError::Duplicate(RecordKey::Znode(path().into())))
    }
}
