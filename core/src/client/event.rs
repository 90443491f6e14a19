//! What a session tells the application.

use core::fmt;

use super::sasl::SaslChallenge;
use crate::error::{DisconnectReason, OpError};
use crate::wire::{EventType, Reply, SessionId, Xid, Zxid};

/// Something the application should know, lent from the session until the next `&mut` call; with
/// replies decoded, or as [`RawReply`](super::RawReply).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a, R = Reply<'a>> {
    /// The session's state has changed.
    State {
        /// What it is now.
        state: KeeperState,
        /// Why.
        cause: Cause,
    },
    /// A request is answered; each accepted request gets exactly one of these.
    Reply {
        /// The number that `submit` returned.
        xid: Xid,
        /// The last transaction applied on the server when it answered; 0 without an answer.
        zxid: Zxid,
        /// The answer.
        result: Result<R, OpError>,
    },
    /// A watch has fired: the server's word, once for each type and path, however many watches it is
    /// for; [`WatchKind`](super::WatchKind) tells which. Types that this library does not know come
    /// as `Unknown`.
    Notification {
        /// What happened.
        kind: EventType,
        /// To which znode, as this session names it (below its chroot); a watch of
        /// [`get_config`](crate::wire::Request::get_config) is told of
        /// [`CONFIG_NODE`](crate::wire::CONFIG_NODE).
        path: &'a str,
    },
    /// The session authenticates with SASL and waits for the application's answer; only with
    /// [`ClientConfig::sasl`](super::ClientConfig::sasl).
    SaslChallenge(SaslChallenge<'a>),
    /// The server refused to re-register this session's watches after a reconnect: all of them are
    /// gone and must be set again.
    WatchesLost {
        /// What the server said.
        error: OpError,
    },
}

/// A session's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum KeeperState {
    /// No server is connected. The session may live on, or may have expired: only the ensemble
    /// knows.
    Disconnected,
    /// A server is connected and the session lives.
    SyncConnected,
    /// A server without a quorum is connected: reads only.
    ConnectedReadOnly,
    /// A credential was refused, or SASL has failed or is missing. Final.
    AuthFailed,
    /// The session has expired: its ephemeral znodes and watches are gone. Final.
    Expired,
    /// The application closed the session, or gave up waiting for one. Final.
    Closed,
}

impl KeeperState {
    /// Whether a server is connected.
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::SyncConnected | Self::ConnectedReadOnly)
    }

    /// Whether the session is over.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::AuthFailed | Self::Expired | Self::Closed)
    }
}

/// Why a session's state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// A server gave a new session.
    Established,
    /// A server resumed the session.
    Resumed,
    /// The connection was lost.
    Lost(DisconnectReason),
    /// The session expired.
    Expired(ExpiryReason),
    /// A server refused a credential.
    AuthRefused,
    /// The application left the session to its timeout, or to whoever resumes it.
    Detached,
    /// The application said that SASL has failed.
    SaslFailed,
    /// The server demands SASL, and the connection has not authenticated.
    SaslRequired,
    /// The application closed the session, and the ensemble confirmed it.
    Closed,
    /// The application closed the session, but the ensemble's answer did not come in time: its
    /// ephemeral znodes may stay until the session times out.
    ClosedUnconfirmed,
    /// No server has given a session within the configured
    /// [deadline](super::ClientConfig::new_session_deadline).
    NeverEstablished,
}

/// How it is known that a session has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExpiryReason {
    /// The ensemble said so: it does not know the session any more.
    ToldByServer,
    /// A server answered the attempt to resume with another session's id.
    ResumedAsAnother {
        /// The id it answered with.
        got: SessionId,
    },
    /// Every host turned the session away without a word for longer than the timeout, and when asked
    /// without its zxid the ensemble said that it does not know the session. So does an ensemble
    /// whose data was wiped or rolled back; one that had no quorum for so long, or lay behind proxies
    /// that found no server, and has expired the session meanwhile, looks the same. Either way the
    /// session is over by the ensemble's own word.
    EnsembleWiped,
    /// Servers kept closing the connection soon after they had resumed the session: somebody else
    /// resumes it too. By policy only
    /// ([`ClientConfig::stolen_after`](super::ClientConfig::stolen_after)).
    Stolen,
    /// Nothing was heard for so long that an ensemble that has stayed up has expired it. By policy
    /// only ([`ClientConfig::expire_locally`](super::ClientConfig::expire_locally)).
    LocallyCertain,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Established => f.write_str("a new session was established"),
            Self::Resumed => f.write_str("the session was resumed"),
            Self::Lost(reason) => write!(f, "{reason}"),
            Self::Expired(ExpiryReason::ToldByServer) => {
                f.write_str("the ensemble says that the session has expired")
            }
            Self::Expired(ExpiryReason::ResumedAsAnother { got }) => {
                write!(f, "the server resumed another session, {got}")
            }
            Self::Expired(ExpiryReason::EnsembleWiped) => f.write_str(
                "the ensemble turned the session away for longer than its timeout and does not \
                     know it: wiped, or expired meanwhile",
            ),
            Self::Expired(ExpiryReason::Stolen) => {
                f.write_str("somebody else keeps resuming the session")
            }
            Self::Expired(ExpiryReason::LocallyCertain) => {
                f.write_str("nothing was heard for so long that the session is surely expired")
            }
            Self::Detached => f.write_str("left without closing"),
            Self::AuthRefused => f.write_str("the server refused a credential"),
            Self::SaslFailed => f.write_str("SASL has failed on this side"),
            Self::SaslRequired => f.write_str("the server demands SASL authentication"),
            Self::Closed => f.write_str("closed, confirmed by the ensemble"),
            Self::ClosedUnconfirmed => f.write_str("closed without the ensemble's answer"),
            Self::NeverEstablished => f.write_str("no server gave a session in time"),
        }
    }
}
