//! What can go wrong, as values.

use core::fmt;

use embedded_io::ErrorKind;
use zk_session::{OpError, SubmitError};

/// Why a request has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The session has not been opened.
    NotOpen,
    /// As many requests, or subscribers, wait as there are places for; see
    /// [`Memory`](crate::Memory). Nothing was sent.
    NoPlace,
    /// The session does not take the request. Nothing was sent.
    Submit(SubmitError),
    /// The server's refusal, or a loss before the answer.
    Op(OpError),
    /// The answer came and was not fetched in time: the request's future was not polled for as long
    /// as the session could wait. The operation itself succeeded.
    NotTaken,
    /// The answer is larger than the memory that was handed over. The operation itself succeeded.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// The answer is not one to this request. The operation itself succeeded, if the server knows
    /// what it does.
    UnexpectedReply,
}

impl From<SubmitError> for Error {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

impl From<OpError> for Error {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("the session has not been opened"),
            Self::NoPlace => f.write_str("no place for one more to wait"),
            Self::Submit(error) => write!(f, "{error}"),
            Self::Op(error) => write!(f, "{error}"),
            Self::NotTaken => f.write_str("the answer was not fetched in time"),
            Self::BufferTooSmall { needed } => write!(f, "the answer needs {needed} bytes"),
            Self::UnexpectedReply => f.write_str("the answer is not one to this request"),
        }
    }
}

impl core::error::Error for Error {}

/// Why a transport could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DialError {
    /// The host is a name, and there is nothing to resolve it with.
    NoResolver,
    /// The name could not be resolved.
    NotResolved,
    /// The name is longer than [`CHUNK`](crate::CHUNK).
    NameTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It was resolved, and no connection came about.
    Refused(ErrorKind),
    /// It took too long.
    TimedOut,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResolver => f.write_str("the host is a name and there is no resolver"),
            Self::NotResolved => f.write_str("the host's name could not be resolved"),
            Self::NameTooLong { len } => write!(f, "the host's name has {len} bytes"),
            Self::Refused(kind) => write!(f, "no connection: {kind:?}"),
            Self::TimedOut => f.write_str("no connection in time"),
        }
    }
}

impl core::error::Error for DialError {}
