//! What can go wrong, by whose fault it is.
//!
//! *Ours*: [`ConfigError`], [`SubmitError`], returned at once with nothing changed. *The server's
//! answer*: [`ErrorCode`] inside a reply. *Bad bytes or a dead peer*: [`DisconnectReason`], which
//! ends the connection but not the session.

use core::fmt;

use crate::client::{ConnectStringError, TicketError};
use crate::path::PathError;
use crate::wire::WireError;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// A server's error code, as carried in a reply header.
        ///
        /// # Source
        /// `KeeperException.Code`, 3.8.0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
            /// A code this library does not know, kept as it came.
            Unknown(i32),
        }

        impl ErrorCode {
            /// Names a code from the wire; 0 is no error.
            #[inline]
            pub const fn from_wire(code: i32) -> Option<Self> {
                if code == 0 { None } else { Some(Self::named(code)) }
            }

            const fn named(code: i32) -> Self {
                match code {
                    $($code => Self::$name,)+
                    other => Self::Unknown(other),
                }
            }

            /// The code as the wire carries it.
            pub const fn to_wire(self) -> i32 {
                match self {
                    $(Self::$name => $code,)+
                    Self::Unknown(other) => other,
                }
            }
        }
    };
}

error_codes! {
    /// The server failed in a way it does not explain.
    SystemError = -1,
    /// An item of a failed multi that was not the one to fail.
    RuntimeInconsistency = -2,
    /// The server found its data inconsistent.
    DataInconsistency = -3,
    /// The connection was lost; the outcome of a write is unknown.
    ConnectionLoss = -4,
    /// The request could not be decoded.
    MarshallingError = -5,
    /// The server does not know the operation.
    Unimplemented = -6,
    /// The operation took too long.
    OperationTimeout = -7,
    /// An argument is not valid.
    BadArguments = -8,
    /// The server does not know the session.
    UnknownSession = -12,
    /// No quorum of the new configuration is connected.
    NewConfigNoQuorum = -13,
    /// Another reconfiguration is in progress.
    ReconfigInProgress = -14,
    /// An error of the API itself.
    ApiError = -100,
    /// The znode does not exist.
    NoNode = -101,
    /// The ACL forbids it.
    NoAuth = -102,
    /// The expected version is not the znode's.
    BadVersion = -103,
    /// Ephemeral znodes have no children.
    NoChildrenForEphemerals = -108,
    /// The znode exists already.
    NodeExists = -110,
    /// The znode has children.
    NotEmpty = -111,
    /// The session has expired.
    SessionExpired = -112,
    /// A callback is not valid.
    InvalidCallback = -113,
    /// The ACL is not valid.
    InvalidAcl = -114,
    /// Authentication failed.
    AuthFailed = -115,
    /// The session has moved to another server.
    SessionMoved = -118,
    /// The server is read-only.
    NotReadOnly = -119,
    /// A local session cannot own ephemeral znodes.
    EphemeralOnLocalSession = -120,
    /// There is no such watch.
    NoWatcher = -121,
    /// The request took too long.
    RequestTimeout = -122,
    /// Reconfiguration is disabled.
    ReconfigDisabled = -123,
    /// The server demands SASL authentication and closes the connection.
    SessionClosedRequireSaslAuth = -124,
    /// A hard quota is exceeded.
    QuotaExceeded = -125,
    /// The server throttled the request.
    ThrottledOp = -127,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(code) => write!(f, "server error {code}"),
            known => write!(f, "{known:?} ({})", known.to_wire()),
        }
    }
}

/// Why an accepted request has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OpError {
    /// The server's answer is an error.
    Server(ErrorCode),
    /// The connection was lost before the answer came: a write may or may not have happened.
    ConnectionLoss,
    /// The request's own deadline passed before the answer came: a write may or may not have
    /// happened.
    Timeout,
    /// The session had expired before the answer came.
    SessionExpired,
    /// The session was closed before the answer came.
    SessionClosed,
    /// Authentication failed while the request was waiting.
    AuthFailed,
    /// The answer did not fit into the receive buffer and was stepped over; the operation itself
    /// succeeded unless the server reported an error.
    ReplyTooLarge {
        /// Length of the answer's frame in bytes.
        len: usize,
    },
    /// The answer's header was sound but its body was not; the operation itself succeeded.
    Malformed(WireError),
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(code) => write!(f, "{code}"),
            Self::ConnectionLoss => f.write_str("connection lost before the answer"),
            Self::Timeout => f.write_str("no answer before the request's deadline"),
            Self::SessionExpired => f.write_str("session expired before the answer"),
            Self::SessionClosed => f.write_str("session closed before the answer"),
            Self::AuthFailed => f.write_str("authentication failed before the answer"),
            Self::ReplyTooLarge { len } => {
                write!(f, "answer of {len} bytes does not fit the receive buffer")
            }
            Self::Malformed(error) => write!(f, "answer is malformed: {error}"),
        }
    }
}

impl core::error::Error for OpError {}

impl From<WireError> for OpError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error)
    }
}

/// Why a request was not accepted. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SubmitError {
    /// No connection is established, or it is still being prepared; try again later.
    NotConnected,
    /// The session is being closed, or is over.
    Ended,
    /// The transmit buffer is full for now; try again when bytes have left.
    TransmitFull {
        /// Bytes the request needs.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// As many requests as there is memory for are in flight; try again when one is answered.
    InFlightFull,
    /// The request could never fit the buffers.
    TooLarge {
        /// Bytes needed.
        needed: usize,
        /// The most there can be.
        limit: usize,
    },
    /// There is no memory left to remember the watch or the credential.
    RegistryFull {
        /// Bytes needed.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// The path is not valid.
    Path(PathError),
    /// The operation cannot be submitted: the session itself sends it or (check, which belongs in a
    /// multi) no server answers it.
    Reserved,
    /// No SASL challenge waits for an answer.
    NoChallenge,
}

impl SubmitError {
    /// Whether the same request may be accepted later.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::NotConnected | Self::TransmitFull { .. } | Self::InFlightFull)
    }
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("no connection is established"),
            Self::Ended => f.write_str("the session is over or being closed"),
            Self::TransmitFull { needed, free } => {
                write!(f, "transmit buffer full: {needed} bytes needed, {free} free")
            }
            Self::InFlightFull => f.write_str("too many requests in flight"),
            Self::TooLarge { needed, limit } => {
                write!(f, "request too large: {needed} bytes needed, {limit} at most")
            }
            Self::RegistryFull { needed, free } => {
                write!(f, "watch registry full: {needed} bytes needed, {free} free")
            }
            Self::Path(error) => write!(f, "{error}"),
            Self::Reserved => f.write_str("operation cannot be submitted by itself"),
            Self::NoChallenge => f.write_str("no SASL challenge waits for an answer"),
        }
    }
}

impl core::error::Error for SubmitError {}

/// Why a session cannot be set up as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// The connection string is not valid.
    ConnectString(ConnectStringError),
    /// The session timeout is zero, or beyond the wire's signed 32-bit milliseconds.
    Timeout,
    /// A buffer is too small to hold even a handshake.
    BufferTooSmall {
        /// Which buffer.
        buffer: &'static str,
        /// Bytes it has.
        size: usize,
        /// Bytes it needs.
        needed: usize,
    },
    /// There is no room for a single request in flight.
    NoRequestSlots,
    /// The session to be resumed cannot be read.
    Ticket(TicketError),
    /// A new list of hosts came with another chroot than the session's.
    ChrootChanged,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectString(error) => write!(f, "{error}"),
            Self::Timeout => f.write_str("session timeout must be 1..=2147483647 ms"),
            Self::BufferTooSmall { buffer, size, needed } => {
                write!(f, "{buffer} buffer has {size} bytes, at least {needed} are needed")
            }
            Self::Ticket(error) => write!(f, "{error}"),
            Self::NoRequestSlots => f.write_str("no room for a single request in flight"),
            Self::ChrootChanged => f.write_str("the chroot of a session cannot change"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Why a connection, or an attempt at one, ended. The session goes on unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The transport could not be opened.
    DialFailed,
    /// No answer to the handshake within the connect deadline.
    ConnectTimeout,
    /// The server closed before it answered the handshake: it is not serving, is read-only, or is
    /// behind the zxid this session has seen.
    ClosedInHandshake,
    /// The server, or something on the way, closed an established connection.
    TransportClosed,
    /// Nothing was heard within the read deadline.
    ReadTimeout,
    /// A frame's length is negative, zero, too short for its header, or beyond the frame limit.
    BadFrameLength {
        /// The length as it was read.
        len: i32,
    },
    /// A frame could not be decoded.
    Malformed(WireError),
    /// A reply does not belong to the oldest request in flight.
    UnexpectedXid {
        /// The oldest request in flight.
        expected: i32,
        /// What the server sent.
        got: i32,
    },
    /// A reply came while no request was in flight.
    UnsolicitedReply {
        /// What the server sent.
        xid: i32,
    },
    /// The server refused to give a new session (a timeout of zero to a session id of zero).
    NewSessionRefused,
    /// A request was not answered before its deadline; what comes after its answer, if one ever
    /// comes, could not be told apart.
    RequestTimeout {
        /// The request's number.
        xid: i32,
    },
    /// Every host had turned the session's zxid away; this one took the session when asked without
    /// it, so it is behind what the session has seen.
    ServerBehind,
    /// The server answered a request with "session moved": another connection speaks for it now.
    SessionMoved,
    /// A read-only server does not know the session. That proves nothing: it may have missed its
    /// beginning.
    RefusedByReadOnly,
    /// The list of hosts has changed, and the session moves to another one.
    HostsChanged,
    /// A server that can write was found, and the session leaves the read-only one for it.
    FoundReadWrite,
    /// The SASL exchange was not done in time.
    SaslTimeout,
    /// The server answered a SASL token with an error that is no refusal of the identity.
    SaslError {
        /// The error.
        code: ErrorCode,
    },
    /// A watch event is too large for the receive buffer.
    NotificationTooLarge {
        /// Length of the event's frame in bytes.
        len: usize,
    },
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DialFailed => f.write_str("connection refused or unreachable"),
            Self::ConnectTimeout => f.write_str("no answer to the handshake in time"),
            Self::ClosedInHandshake => f.write_str("closed by the server during the handshake"),
            Self::TransportClosed => f.write_str("connection closed by the peer"),
            Self::ReadTimeout => f.write_str("nothing heard within the read deadline"),
            Self::BadFrameLength { len } => write!(f, "bad frame length {len}"),
            Self::Malformed(error) => write!(f, "malformed frame: {error}"),
            Self::UnexpectedXid { expected, got } => {
                write!(f, "reply with xid {got} where {expected} was due")
            }
            Self::UnsolicitedReply { xid } => write!(f, "unsolicited reply with xid {xid}"),
            Self::NewSessionRefused => f.write_str("the server refused a new session"),
            Self::RequestTimeout { xid } => write!(f, "request {xid} was not answered in time"),
            Self::ServerBehind => f.write_str("the server is behind what the session has seen"),
            Self::SessionMoved => f.write_str("the session has moved to another connection"),
            Self::RefusedByReadOnly => {
                f.write_str("the session is unknown to a server without a quorum")
            }
            Self::HostsChanged => f.write_str("moved, as the list of hosts has changed"),
            Self::FoundReadWrite => f.write_str("left for a server that can write"),
            Self::SaslTimeout => f.write_str("SASL was not done in time"),
            Self::SaslError { code } => write!(f, "SASL token answered with {code}"),
            Self::NotificationTooLarge { len } => {
                write!(f, "watch event of {len} bytes does not fit the receive buffer")
            }
        }
    }
}
