//! What can go wrong with an ensemble.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use zk_session::server::{RecordError, RestoreError};
use zk_session::wire::SessionId;

/// Why an ensemble does not do what it was asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EnsembleError {
    /// There is no such server; the first is 0.
    NoServer {
        /// The server asked for.
        server: usize,
        /// How many there are.
        servers: usize,
    },
    /// There is no such session, or it is over.
    NoSession(SessionId),
    /// The settings make no sense together.
    Settings(String),
    /// What the system says: a port in use, for example.
    Io(Arc<io::Error>),
    /// What was to be started from is no snapshot.
    Snapshot(SnapshotError),
    /// What was to be kept cannot be.
    Store(StoreError),
    /// The ensemble has stopped serving, for this reason.
    Failed(Arc<EnsembleError>),
    /// The ensemble's thread, or task, has ended without giving a reason.
    Gone,
}

/// Why bytes are no snapshot of an ensemble.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They cannot be read.
    Io(Arc<io::Error>),
    /// They do not begin like one.
    NotASnapshot,
    /// They are of a version that this library does not read.
    Version(u8),
    /// They end too early.
    Truncated,
    /// One of the records is none.
    Record {
        /// Which; the first is 0.
        index: u64,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The records are sound, but not the state of an ensemble.
    Restore(RestoreError),
}

/// Why an ensemble cannot be kept on disk.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Another ensemble, in this process or another, keeps its state there.
    InUse(PathBuf),
    /// It cannot be read or written, or the disk is full.
    Io(Arc<io::Error>),
    /// What is there is no store, is damaged, or of another version.
    Damaged(String),
    /// A record in it is none.
    Record(RecordError),
    /// The records in it are sound, but not the state of an ensemble.
    Restore(RestoreError),
    /// It holds an ensemble already, while another was to be started from a snapshot.
    NotEmpty(PathBuf),
}

impl EnsembleError {
    /// The nearest of the system's kinds of error.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NoServer { .. } | Self::Settings(_) => io::ErrorKind::InvalidInput,
            Self::NoSession(_) => io::ErrorKind::NotFound,
            Self::Io(error)
            | Self::Snapshot(SnapshotError::Io(error))
            | Self::Store(StoreError::Io(error)) => error.kind(),
            Self::Snapshot(SnapshotError::Truncated) => io::ErrorKind::UnexpectedEof,
            Self::Snapshot(_) => io::ErrorKind::InvalidData,
            Self::Store(StoreError::InUse(_)) => io::ErrorKind::ResourceBusy,
            Self::Store(StoreError::NotEmpty(_)) => io::ErrorKind::AlreadyExists,
            Self::Store(_) => io::ErrorKind::InvalidData,
            Self::Failed(_) | Self::Gone => io::ErrorKind::BrokenPipe,
        }
    }
}

impl fmt::Display for EnsembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer { server, servers } => {
                write!(f, "there is no server {server}, only 0 to {}", servers.saturating_sub(1))
            }
            Self::NoSession(id) => write!(f, "there is no session {id}"),
            Self::Settings(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
            Self::Snapshot(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Failed(error) => write!(f, "the ensemble has stopped serving: {error}"),
            Self::Gone => f.write_str("the ensemble has died"),
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read the snapshot: {error}"),
            Self::NotASnapshot => f.write_str("not a snapshot of an ensemble"),
            Self::Version(version) => write!(f, "snapshot of unknown version {version}"),
            Self::Truncated => f.write_str("snapshot ends too early"),
            Self::Record { index, error } => write!(f, "record {index} of the snapshot: {error}"),
            Self::Restore(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "another ensemble keeps its state in {}", path.display())
            }
            Self::Io(error) => write!(f, "cannot keep the state: {error}"),
            Self::Damaged(what) => write!(f, "what is kept is damaged: {what}"),
            Self::Record(error) => error.fmt(f),
            Self::Restore(error) => error.fmt(f),
            Self::NotEmpty(path) => write!(f, "{} holds an ensemble already", path.display()),
        }
    }
}

impl std::error::Error for SnapshotError {}
impl std::error::Error for StoreError {}
impl std::error::Error for EnsembleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Snapshot(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for EnsembleError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<SnapshotError> for EnsembleError {
    fn from(error: SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

impl From<StoreError> for EnsembleError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<EnsembleError> for io::Error {
    fn from(error: EnsembleError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}
