//! Replies that stay in the receive buffer until whom they are for has come to look.
//!
//! Where the one who pulls events and the one who waits for a reply are two tasks with no memory
//! between them, the reply itself is the memory: it waits where it arrived.

use super::event::Event;
use super::raw::RawReply;
use super::receive::{Answer, Step};
use super::session::ClientSession;
use crate::error::OpError;
use crate::wire::{OpCode, Reader, Reply, ReplyHeader, WireError, Xid};

/// What was pulled.
#[derive(Debug)]
pub enum Held<'a> {
    /// The answer to a request, successful or not; see [`ClientSession::reply`].
    Reply(HeldReply),
    /// Anything else, and requests that have no answer.
    Event(Event<'a>),
}

/// An answer that lies in the receive buffer.
#[derive(Debug)]
pub struct HeldReply(Answer);

impl HeldReply {
    /// The number of the request that it answers.
    pub const fn xid(&self) -> Xid {
        self.0.xid
    }
}

impl ClientSession<'_> {
    /// As [`poll_event`](Self::poll_event), but answers stay where they are and can be looked at as
    /// often as is needed, until the next call of this method, of `poll_event`,
    /// [`poll_io`](crate::Machine::poll_io) or a `handle_` method that receives. Meanwhile nothing is
    /// read: the time until the next call is the peer's to wait, and no longer than
    /// [`poll_timeout`](crate::Machine::poll_timeout) it should be.
    pub fn poll_held(&mut self) -> Option<Held<'_>> {
        loop {
            match self.next_step() {
                Step::Answer(answer) => return Some(Held::Reply(HeldReply(answer))),
                Step::Event(found) => return Some(Held::Event(self.lend(found))),
                Step::Again => {}
                Step::Idle => return None,
            }
        }
    }

    /// An answer that is [held](Self::poll_held).
    ///
    /// # Errors
    /// [`OpError::Server`] with the server's answer; [`OpError::Malformed`] if it could not be
    /// decoded, or does not lie in the receive buffer any more.
    pub fn reply(&self, held: &HeldReply) -> Result<Reply<'_>, OpError> {
        self.answer_of(self.held(held)?)
    }

    /// As [`reply`](Self::reply), undecoded.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn raw_reply(&self, held: &HeldReply) -> Result<RawReply<'_>, OpError> {
        self.raw(self.held(held)?)
    }

    fn held<'h>(&self, HeldReply(answer): &'h HeldReply) -> Result<&'h Answer, OpError> {
        if answer.op != OpCode::Auth && !self.still_holds(answer) {
            return Err(OpError::Malformed(WireError::Truncated { at: 0 }));
        }
        Ok(answer)
    }

    /// Whether the answer's header is where it was.
    fn still_holds(&self, answer: &Answer) -> bool {
        let start = answer.body.start.saturating_sub(ReplyHeader::BYTES);
        let mut reader = Reader::new(self.inbox.frame(start..answer.body.end));
        ReplyHeader::read(&mut reader).is_ok_and(|header| header.xid == answer.xid)
    }
}
