//! What an event of a session said.

use zk_session::OpError;
use zk_session::client::{Cause, Event, KeeperState, SaslChallenge};
use zk_session::wire::{EventType, Reply, Writer, Xid, Zxid};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    State(KeeperState, Cause),
    /// A reply's body as it encodes.
    Reply(Xid, Zxid, Result<Vec<u8>, OpError>),
    Notification(EventType, String),
    WatchesLost(OpError),
    Sasl(Option<Vec<u8>>),
}

impl Seen {
    pub(crate) fn of(event: &Event<'_>) -> Self {
        match event {
            Event::State { state, cause } => Self::State(*state, *cause),
            Event::Reply { xid, zxid, result } => {
                Self::Reply(*xid, *zxid, result.as_ref().map(encoded).map_err(|error| *error))
            }
            Event::Notification { kind, path } => Self::Notification(*kind, (*path).to_owned()),
            Event::WatchesLost { error } => Self::WatchesLost(*error),
            Event::SaslChallenge(SaslChallenge::Token(token)) => Self::Sasl(Some(token.to_vec())),
            Event::SaslChallenge(_) => Self::Sasl(None),
            other => panic!("an event that is not known here: {other:?}"),
        }
    }
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut memory = vec![0; 4096];
    let mut writer = Writer::new(&mut memory);
    reply.encode(&mut writer);
    writer.finish().expect("replies here are short").to_vec()
}
