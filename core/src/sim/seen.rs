//! What an application was told, to keep.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::client::{Cause, Event, KeeperState, SaslChallenge};
use crate::error::OpError;
use crate::wire::{EncodeError, EventType, OpCode, Reply, Writer, Xid, Zxid};

/// An [`Event`] that owns what it tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Seen {
    /// The session's state has changed.
    State {
        /// What it is now.
        state: KeeperState,
        /// Why.
        cause: Cause,
    },
    /// A request is answered.
    Reply {
        /// The number that `submit` returned.
        xid: Xid,
        /// The last transaction that the server had applied; 0 without an answer.
        zxid: Zxid,
        /// What was asked for.
        op: OpCode,
        /// The reply's body as it encodes.
        result: Result<Vec<u8>, OpError>,
    },
    /// A watch has fired.
    Notification {
        /// What happened.
        kind: EventType,
        /// To which znode, as the session names it.
        path: String,
    },
    /// The application is to begin with SASL.
    SaslBegin,
    /// The server sent a SASL token; `None`: the null token.
    SaslToken(Option<Vec<u8>>),
    /// The server refused to register the session's watches again.
    WatchesLost {
        /// What the server said.
        error: OpError,
    },
}

impl Seen {
    /// `op` is what a reply answers.
    pub(super) fn of(event: &Event<'_>, op: OpCode) -> Self {
        match *event {
            Event::State { state, cause } => Self::State { state, cause },
            Event::Reply { xid, zxid, ref result } => {
                let result = result.as_ref().map(encoded).map_err(|error| *error);
                Self::Reply { xid, zxid, op, result }
            }
            Event::Notification { kind, path } => {
                Self::Notification { kind, path: path.to_owned() }
            }
            Event::SaslChallenge(SaslChallenge::Begin) => Self::SaslBegin,
            Event::SaslChallenge(SaslChallenge::Null) => Self::SaslToken(None),
            Event::SaslChallenge(SaslChallenge::Token(token)) => {
                Self::SaslToken(Some(token.to_vec()))
            }
            Event::WatchesLost { error } => Self::WatchesLost { error },
        }
    }

    /// The event as the session lent it, for code that takes events.
    pub fn event(&self) -> Event<'_> {
        match *self {
            Self::State { state, cause } => Event::State { state, cause },
            Self::Reply { xid, zxid, op, ref result } => {
                let result = match result {
                    Ok(body) => Reply::decode(op, body).map_err(OpError::from),
                    Err(error) => Err(*error),
                };
                Event::Reply { xid, zxid, result }
            }
            Self::Notification { kind, ref path } => Event::Notification { kind, path },
            Self::SaslBegin => Event::SaslChallenge(SaslChallenge::Begin),
            Self::SaslToken(None) => Event::SaslChallenge(SaslChallenge::Null),
            Self::SaslToken(Some(ref token)) => Event::SaslChallenge(SaslChallenge::Token(token)),
            Self::WatchesLost { error } => Event::WatchesLost { error },
        }
    }
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut measure = Writer::new(&mut []);
    reply.encode(&mut measure);
    let Err(EncodeError { needed, .. }) = measure.finish() else { return Vec::new() };
    let mut memory = vec![0; needed];
    let mut writer = Writer::new(&mut memory);
    reply.encode(&mut writer);
    memory
}
