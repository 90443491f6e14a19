//! What a server connection tells its owner.

use core::fmt;

use crate::wire::{ConnectRequest, OpCode, Request, WireError, Xid};

/// What a client sent, in the order it was sent, lent from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent<'a> {
    /// The handshake: answer with `accept` or `refuse`. Nothing more is pulled until then.
    Connect(ConnectRequest<'a>),
    /// A request: answer with `reply`.
    Request {
        /// Its number, to be echoed.
        xid: Xid,
        /// Its opcode.
        op: OpCode,
        /// Its body.
        request: Request<'a>,
    },
    /// A request with a body that is none: answer `MarshallingError`; the connection goes on.
    Undecodable {
        /// Its number, to be echoed.
        xid: Xid,
        /// Its opcode.
        op: OpCode,
        /// What is wrong.
        error: WireError,
    },
    /// An opcode that clients do not send: answer `Unimplemented` with zxid -1, then `shut`.
    UnknownOp {
        /// Its number, to be echoed.
        xid: Xid,
        /// The opcode as it stands on the wire.
        op: i32,
    },
    /// A ping: answer with [`Xid::PING`], whatever its number is.
    Ping {
        /// Its number.
        xid: Xid,
    },
    /// The client ends its session: end it, answer, then `shut`.
    Close {
        /// Its number, to be echoed.
        xid: Xid,
    },
    /// Four letters instead of a handshake: answer with `text`, or `shut`.
    FourLetterWord([u8; 4]),
    /// The word `stmk`, which brings a number with it: answer with `text`, or `shut`.
    SetTraceMask(u64),
}

/// What is to be done with a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ServerLink {
    /// Read and write.
    Up,
    /// Write what is pending, then close.
    Closing,
    /// Close now.
    Down,
}

/// What a server lets its clients do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Access {
    /// It is part of the quorum.
    #[default]
    ReadWrite,
    /// It has lost the quorum and goes on as `readonlymode.enabled` lets it: only for clients that
    /// accept such a server, and only for reads.
    ReadOnly,
}

/// Why the server's side ended a connection. Only the first two end the session as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CloseReason {
    /// The session was closed.
    SessionClosed,
    /// The session has expired, or an administrator ended it.
    SessionExpired,
    /// The client's end of the transport closed or was lost.
    PeerClosed,
    /// A frame's length is not positive, too short for its header, or beyond the limit.
    BadFrameLength {
        /// The length as it was read.
        len: i32,
    },
    /// A handshake or an auth packet could not be decoded.
    Malformed(WireError),
    /// The client has seen transactions that this server has not.
    ZxidAhead,
    /// The handshake named a session that is over, or gave a wrong password.
    SessionRefused,
    /// The session was resumed on another connection to this server.
    Resumed,
    /// The session was resumed on another server.
    SessionMoved,
    /// The client asked for what no client may ask.
    UnknownOp,
    /// Authentication failed.
    AuthFailed,
    /// A four-letter word was answered.
    FourLetterWord,
    /// Nothing was received for too long.
    Idle,
    /// The client does not read what it asked for.
    SlowConsumer {
        /// Bytes the next frame needs.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// There is no memory for one more session.
    TrackerFull,
    /// There is no memory for all the watches that the client wants re-armed.
    WatchesFull,
    /// As many clients as may are connected to the server from the same address.
    TooManyFromAddress {
        /// How many may.
        limit: usize,
    },
    /// As many clients as may are connected to the server.
    TooManyConnections {
        /// How many may.
        limit: usize,
    },
    /// More handshakes came in a short time than the server answers.
    Throttled,
    /// Too many bytes of large requests are on their way.
    LargeRequests {
        /// Bytes of the request that was one too many.
        len: usize,
    },
    /// The server was stopped.
    ServerStopped,
    /// The server is read-only, and the client does not accept that or has a session that the rest
    /// of the ensemble knows.
    ReadOnlyServer,
    /// The server has lost its quorum, or is part of it again.
    QuorumChanged,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionClosed => f.write_str("session closed"),
            Self::SessionExpired => f.write_str("session expired"),
            Self::PeerClosed => f.write_str("closed by the client"),
            Self::BadFrameLength { len } => write!(f, "bad frame length {len}"),
            Self::Malformed(error) => write!(f, "malformed frame: {error}"),
            Self::ZxidAhead => f.write_str("client has seen a newer zxid"),
            Self::SessionRefused => f.write_str("session unknown or password wrong"),
            Self::Resumed => f.write_str("session resumed on another connection"),
            Self::SessionMoved => f.write_str("session moved to another server"),
            Self::UnknownOp => f.write_str("unknown opcode"),
            Self::AuthFailed => f.write_str("authentication failed"),
            Self::FourLetterWord => f.write_str("four-letter word answered"),
            Self::Idle => f.write_str("nothing received for too long"),
            Self::SlowConsumer { needed, free } => {
                write!(f, "client does not read: {needed} bytes to send, room for {free}")
            }
            Self::TrackerFull => f.write_str("no memory for one more session"),
            Self::WatchesFull => f.write_str("no memory for the watches to be re-armed"),
            Self::TooManyFromAddress { limit } => {
                write!(f, "more than {limit} connections from its address")
            }
            Self::TooManyConnections { limit } => write!(f, "more than {limit} connections"),
            Self::Throttled => f.write_str("too many handshakes at once"),
            Self::LargeRequests { len } => {
                write!(f, "no room for a large request of {len} bytes beside others")
            }
            Self::ServerStopped => f.write_str("server stopped"),
            Self::ReadOnlyServer => f.write_str("server is read-only"),
            Self::QuorumChanged => f.write_str("server lost or found its quorum"),
        }
    }
}

impl core::error::Error for CloseReason {}

/// A frame does not fit the transmit buffer now; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TransmitFull {
    /// Bytes the frame needs.
    pub needed: usize,
    /// Bytes that are free.
    pub free: usize,
}

impl fmt::Display for TransmitFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transmit buffer full: {} bytes needed, {} free", self.needed, self.free)
    }
}

impl core::error::Error for TransmitFull {}
