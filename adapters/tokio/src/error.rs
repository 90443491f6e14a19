//! What an operation can fail with.

use std::fmt;
use std::sync::Arc;

use zk_session::wire::OpCode;
use zk_session::{ConfigError, DisconnectReason, ErrorCode, OpError, SubmitError};

/// Why an operation has no result, with the operation and the path it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was asked; `None` while connecting or closing.
    pub op: Option<OpCode>,
    /// The znode it was about, as the caller named it; empty if it was about none or several.
    pub path: String,
    /// What went wrong.
    pub kind: ErrorKind,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The session cannot be set up as asked.
    Config(ConfigError),
    /// No server accepted the session in time.
    ConnectTimeout {
        /// The host that was tried last, and what happened there.
        last: Option<(String, DisconnectReason)>,
        /// What the operating system, or a layer such as TLS, said to it.
        detail: Option<Arc<str>>,
    },
    /// The request was not accepted, and has not left.
    Submit(SubmitError),
    /// The request has failed.
    Op(OpError),
    /// The request's deadline passed before a server was there to take it: it has not left.
    NotSent,
    /// An item of a transaction failed, and with it all of them.
    Item {
        /// Its place, from 0.
        at: usize,
        /// The server's word.
        code: ErrorCode,
    },
    /// The ensemble did not confirm the close in time; the session ends with its timeout.
    CloseUnconfirmed,
    /// The answer is not one to this request.
    UnexpectedAnswer,
    /// There is no session: no server has given one yet, or it is over.
    NoSession,
    /// There is no tokio runtime here to run the session, or it was shut down.
    NoRuntime,
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind) -> Self {
        Self { op: None, path: String::new(), kind }
    }

    /// The server's error code, if it was the server that refused.
    pub const fn code(&self) -> Option<ErrorCode> {
        match self.kind {
            ErrorKind::Op(OpError::Server(code)) | ErrorKind::Item { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the server said that the znode does not exist.
    pub fn is_no_node(&self) -> bool {
        self.code() == Some(ErrorCode::NoNode)
    }

    /// Whether the server said that the znode exists already.
    pub fn is_node_exists(&self) -> bool {
        self.code() == Some(ErrorCode::NodeExists)
    }

    /// Whether the server said that the version is another.
    pub fn is_bad_version(&self) -> bool {
        self.code() == Some(ErrorCode::BadVersion)
    }

    /// Whether the server said that the znode has children.
    pub fn is_not_empty(&self) -> bool {
        self.code() == Some(ErrorCode::NotEmpty)
    }

    /// Whether the server said that the ACL forbids it.
    pub fn is_no_auth(&self) -> bool {
        self.code() == Some(ErrorCode::NoAuth)
    }

    /// Whether a deadline has passed: the request's own, or that of connecting.
    pub const fn is_timeout(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Op(OpError::Timeout) | ErrorKind::NotSent | ErrorKind::ConnectTimeout { .. }
        )
    }

    /// Whether the connection was lost before the answer came. The session may live on; see
    /// [`is_outcome_unknown`](Self::is_outcome_unknown).
    pub const fn is_connection_loss(&self) -> bool {
        matches!(self.kind, ErrorKind::Op(OpError::ConnectionLoss))
    }

    /// Whether the session is over, so that no later request will do better.
    pub const fn is_session_over(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Submit(SubmitError::Ended)
                | ErrorKind::Op(
                    OpError::SessionExpired | OpError::SessionClosed | OpError::AuthFailed
                )
                | ErrorKind::NoRuntime
        )
    }

    /// Whether the operation may or may not have happened: its answer was lost.
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Op(
                OpError::ConnectionLoss
                    | OpError::Timeout
                    | OpError::SessionExpired
                    | OpError::SessionClosed
                    | OpError::AuthFailed
            )
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(op) = self.op {
            write!(f, "{op:?} {}: ", self.path)?;
        }
        write!(f, "{}", self.kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::ConnectTimeout { last: Some((host, reason)), detail } => {
                write!(f, "no server accepted the session in time; last {host}: {reason}")?;
                detail.as_ref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
            }
            Self::ConnectTimeout { last: None, .. } => {
                f.write_str("no server accepted the session in time")
            }
            Self::Submit(error) => write!(f, "{error}"),
            Self::Op(error) => write!(f, "{error}"),
            Self::NotSent => f.write_str("no server was there before the request's deadline"),
            Self::Item { at, code } => write!(f, "item {at}: {code}"),
            Self::CloseUnconfirmed => f.write_str("the ensemble did not confirm the close in time"),
            Self::NoSession => f.write_str("there is no session"),
            Self::UnexpectedAnswer => f.write_str("the answer is not one to this request"),
            Self::NoRuntime => f.write_str("there is no tokio runtime to run the session"),
        }
    }
}

impl std::error::Error for Error {}
