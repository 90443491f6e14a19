//! An adapter's client, as the scenarios see it.

use std::time::Duration;

use zk_session::client::KeeperState;
use zk_session::wire::SessionId;
use zk_session::{ErrorCode, OpError, SubmitError};

/// The largest reply and the largest request that fit, in bytes, for drivers that can be told.
pub(crate) const FRAME: usize = 4096;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op<'a> {
    /// Creates a persistent znode.
    Create(&'a str),
    /// Creates an ephemeral one.
    Ephemeral(&'a str),
    Get(&'a str),
    Set(&'a str, &'a [u8]),
    Delete(&'a str),
    /// Has the server catch up with what others have been told.
    Sync(&'a str),
}

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection was lost: nobody knows.
    Lost,
    /// The session is over.
    Over,
    ReplyTooLarge,
    RequestTooLarge,
    /// The application was too slow to take the answer.
    NotTaken,
    Server(ErrorCode),
    Other(String),
}

/// The data of a `Get`, or nothing.
pub(crate) type Outcome = Result<Vec<u8>, Failure>;

pub(crate) trait Driver: Send + Sync + Sized + 'static {
    /// What is begun with [`begin`](Self::begin).
    type Begun<'d>;

    /// Starts a session; it connects in the background.
    fn start(hosts: &str, timeout: Duration) -> Self;

    /// Makes a request and waits for its answer.
    fn request(&self, op: Op<'_>) -> Outcome;

    /// Makes a request.
    fn begin<'d>(&'d self, op: Op<'d>) -> Self::Begun<'d>;

    /// Waits for its answer.
    fn finish(&self, begun: Self::Begun<'_>) -> Outcome;

    /// Makes a request, lets it get so far, and gives up waiting; whether it was answered.
    fn cancel(&self, op: Op<'_>, polls: usize) -> bool;

    /// The next state that the session is told to be in.
    fn next_state(&self, patience: Duration) -> Option<KeeperState>;

    fn session_id(&self) -> SessionId;

    /// Closes the session; whether the ensemble has confirmed it.
    fn close(&self) -> bool;

    /// Ends what runs the session, without a word to it.
    fn shut_down(&self);
}

pub(crate) fn of_op(error: OpError) -> Failure {
    match error {
        OpError::ConnectionLoss => Failure::Lost,
        OpError::SessionExpired | OpError::SessionClosed => Failure::Over,
        OpError::ReplyTooLarge { .. } => Failure::ReplyTooLarge,
        OpError::Server(code) => Failure::Server(code),
        other => Failure::Other(other.to_string()),
    }
}

pub(crate) fn of_submit(error: SubmitError) -> Failure {
    match error {
        SubmitError::Ended => Failure::Over,
        SubmitError::TooLarge { .. } => Failure::RequestTooLarge,
        other => Failure::Other(other.to_string()),
    }
}
