//! What an operation can fail with.

use std::fmt;

use zk_session::wire::OpCode;
use zk_session::{ConfigError, DisconnectReason, ErrorCode, OpError, SubmitError};

/// Why an operation has no result, with the operation and the path it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was asked; `None` while connecting or closing.
    pub op: Option<OpCode>,
    /// The znode it was about, as the caller named it; empty if it was about none.
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
    },
    /// The request was not accepted.
    Submit(SubmitError),
    /// The request was accepted and failed.
    Op(OpError),
    /// An item of a multi failed, and with it all of them.
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
    /// A thread could not be started.
    Thread(std::io::ErrorKind),
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { op: None, path: String::new(), kind }
    }

    pub(crate) fn of(op: OpCode, path: &str, kind: ErrorKind) -> Self {
        Self { op: Some(op), path: path.to_owned(), kind }
    }

    /// The server's error code, if it was the server that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self.kind {
            ErrorKind::Op(OpError::Server(code)) | ErrorKind::Item { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the operation may or may not have happened: its answer was lost.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Op(
                OpError::ConnectionLoss | OpError::SessionExpired | OpError::SessionClosed
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
            Self::ConnectTimeout { last: Some((host, reason)) } => {
                write!(f, "no server accepted the session in time; last {host}: {reason}")
            }
            Self::ConnectTimeout { last: None } => {
                f.write_str("no server accepted the session in time")
            }
            Self::Submit(error) => write!(f, "{error}"),
            Self::Op(error) => write!(f, "{error}"),
            Self::Item { at, code } => write!(f, "item {at}: {code}"),
            Self::CloseUnconfirmed => f.write_str("the ensemble did not confirm the close in time"),
            Self::NoSession => f.write_str("there is no session"),
            Self::UnexpectedAnswer => f.write_str("the answer is not one to this request"),
            Self::Thread(kind) => write!(f, "a thread could not be started: {kind}"),
        }
    }
}

impl std::error::Error for Error {}
