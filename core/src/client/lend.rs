//! From the ranges of the receive buffer in which an event was found, to the event.

use super::event::Event;
use super::receive::{Answer, Found};
use super::session::ClientSession;
use crate::error::{ErrorCode, OpError};
use crate::wire::Reply;

impl ClientSession<'_> {
    #[cold]
    pub(super) fn lend<R>(&self, found: Found) -> Event<'_, R> {
        match found {
            Found::State { state, cause } => Event::State { state, cause },
            Found::WatchesLost { error } => Event::WatchesLost { error },
            Found::Sasl(token) => Event::SaslChallenge(self.challenge(token)),
            Found::Notification { kind, path } => {
                let path = core::str::from_utf8(self.inbox.frame(path)).unwrap_or_default();
                Event::Notification { kind, path: if path.is_empty() { "/" } else { path } }
            }
            Found::Failure { xid, zxid, error } => Event::Reply { xid, zxid, result: Err(error) },
        }
    }

    pub(super) fn lend_answer(&self, answer: Answer) -> Event<'_> {
        Event::Reply { xid: answer.xid, zxid: answer.zxid, result: self.answer_of(&answer) }
    }

    /// What an answer says.
    pub(super) fn answer_of(&self, answer: &Answer) -> Result<Reply<'_>, OpError> {
        match ErrorCode::from_wire(answer.err) {
            Some(code) => Err(OpError::Server(code)),
            // Znodes are named as the application does.
            None => Reply::decode_as(answer.op, self.inbox.frame(answer.body.clone()))
                .map(|reply| reply.below(self.chroot())),
        }
    }
}
