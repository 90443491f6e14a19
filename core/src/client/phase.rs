//! Where a session stands with its transport.

use super::event::{Cause, KeeperState};
use super::hosts::HostIndex;
use super::sasl::Exchange;
use crate::error::DisconnectReason;
use crate::time::Instant;
use crate::wire::Xid;

/// Where the session stands with its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting before the next attempt.
    Backoff { until: Instant },
    /// Asking for a transport.
    Dialling { deadline: Instant },
    /// The handshake is on its way.
    Priming { deadline: Instant },
    /// The server has accepted the session; SASL comes before anything else.
    Authenticating(Exchange),
    /// The session can be used.
    Connected,
    /// The connection is gone and what it left behind is being told; then `after`.
    Draining { until: Instant, readable: Readable, after: After },
    /// Over.
    Ended,
}

/// What received bytes are still good for after a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readable {
    /// Nothing.
    Nothing,
    /// They begin with the answer to the handshake.
    Handshake,
    /// They are answers to SASL tokens.
    Sasl,
    /// They are replies and notifications.
    Frames,
}

/// What follows a drained connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another attempt.
    Retry(DisconnectReason),
    /// The end, in this state.
    End(KeeperState, Cause),
}

/// The application has asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    /// When the session ends without the ensemble's answer.
    pub(super) deadline: Instant,
    /// The number of the closeSession, once it is in the transmit buffer.
    pub(super) xid: Option<Xid>,
}

/// The wished-for state of the transport. A level, not an edge: look at it whenever you like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Link {
    /// There is to be no transport; close it if there is one.
    Down,
    /// A transport to this host is to be opened, and the outcome told by
    /// [`ClientSession::handle_connected`](super::ClientSession::handle_connected) or `handle_disconnected`. The index is one of the
    /// current list of hosts; resolve its name afresh every time.
    Dial(HostIndex),
    /// The transport is open and is to stay so.
    Up,
}
