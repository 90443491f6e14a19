//! Replies that are decoded when they are looked at, and then as what they are looked at for.

use super::event::Event;
use super::receive::{Answer, Step};
use super::session::ClientSession;
use crate::error::{ErrorCode, OpError};
use crate::wire::{
    Children, Data, Multi, MultiResult, OpCode, Reader, Reply, Stat, Ustring, WireError, stripped,
};

/// The body of a successful reply, not yet decoded; lent by
/// [`poll_raw`](ClientSession::poll_raw).
///
/// Each method decodes one kind of reply, and only those that a program calls are in it.
///
/// # Errors
/// All of them return [`WireError::BadOpCode`] for a reply to another kind of request, and the other
/// [`WireError`]s if the bytes are not such a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawReply<'a> {
    op: OpCode,
    body: &'a [u8],
    chroot: &'a str,
}

impl<'a> RawReply<'a> {
    /// The body of a reply to `op`, from memory of the caller: for whoever keeps a reply as it came,
    /// and looks at it when the session is not at hand. `chroot` is that of the
    /// [session](ClientSession::chroot), below which paths are named; empty for none.
    #[inline]
    pub const fn new(op: OpCode, body: &'a [u8], chroot: &'a str) -> Self {
        Self { op, body, chroot }
    }

    /// What was asked.
    #[inline]
    pub const fn op(&self) -> OpCode {
        self.op
    }

    /// The bytes behind the reply's header, with paths as the server names them.
    #[inline]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The path that create and sync answer with, as the session names it.
    ///
    /// # Errors
    /// See [`RawReply`].
    pub fn path(&self) -> Result<Ustring<'a>, WireError> {
        let path = self.reader(matches!(self.op, OpCode::Create | OpCode::Sync))?.ustring()?;
        Ok(stripped(path, self.chroot))
    }

    /// The metadata that exists, setData and setACL answer with.
    ///
    /// # Errors
    /// See [`RawReply`].
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub fn stat(&self) -> Result<Stat, WireError> {
        let stat = matches!(self.op, OpCode::Exists | OpCode::SetData | OpCode::SetAcl);
        Stat::read(&mut self.reader(stat)?)
    }

    /// The data and metadata that getData answers with.
    ///
    /// # Errors
    /// See [`RawReply`].
    // Handed on it would be moved: it is large.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn data(&self) -> Result<Data<'a>, WireError> {
        Data::read(&mut self.reader(matches!(self.op, OpCode::GetData | OpCode::Reconfig))?)
    }

    /// The names that getChildren answers with.
    ///
    /// # Errors
    /// See [`RawReply`].
    pub fn children(&self) -> Result<Children<'a>, WireError> {
        Children::read(&mut self.reader(self.op == OpCode::GetChildren)?)
    }

    /// The results of a multi.
    ///
    /// # Errors
    /// See [`RawReply`].
    pub fn multi(&self) -> Result<Multi<'a, MultiResult<'a>>, WireError> {
        let such = matches!(self.op, OpCode::Multi | OpCode::MultiRead);
        Ok(Multi::read(&mut self.reader(such)?)?.below(self.chroot))
    }

    /// Whatever it is.
    ///
    /// # Errors
    /// See [`RawReply`].
    pub fn decode(&self) -> Result<Reply<'a>, WireError> {
        Ok(Reply::decode(self.op, self.body)?.below(self.chroot))
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    fn reader(&self, is_such: bool) -> Result<Reader<'a>, WireError> {
        match is_such {
            true => Ok(Reader::new(self.body)),
            false => Err(WireError::BadOpCode { op: self.op.to_wire() }),
        }
    }
}

/// How long it is; not what, as it is not decoded.
impl core::fmt::Debug for RawReply<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RawReply({:?}, {} bytes)", self.op, self.body.len())
    }
}

impl ClientSession<'_> {
    /// As [`poll_event`](Self::poll_event), but leaves replies undecoded: a program that pulls
    /// events this way holds no more code than the replies need that it looks at. What is copied out
    /// of a reply, its [`op`](RawReply::op) and [`body`](RawReply::body), is all that
    /// [`RawReply::new`] needs to decode it later, where nobody waits for the session.
    pub fn poll_raw(&mut self) -> Option<Event<'_, RawReply<'_>>> {
        if let Some(answer) = self.next_usual() {
            return Some(self.lend_usual_raw(answer));
        }
        self.next_unusual_raw()
    }

    #[cfg_attr(target_pointer_width = "64", inline(never))]
    fn next_unusual_raw(&mut self) -> Option<Event<'_, RawReply<'_>>> {
        while !self.has_nothing() {
            match self.next_step() {
                Step::Answer(answer) => {
                    let (xid, zxid) = (answer.xid, answer.zxid);
                    return Some(Event::Reply { xid, zxid, result: self.raw(&answer) });
                }
                Step::Event(found) => return Some(self.lend(found)),
                Step::Again => {}
                Step::Idle => return None,
            }
        }
        None
    }

    /// What an answer says, undecoded.
    pub(super) fn raw(&self, answer: &Answer) -> Result<RawReply<'_>, OpError> {
        match ErrorCode::from_wire(answer.err) {
            Some(code) => Err(OpError::Server(code)),
            None => {
                let body = self.inbox.frame(answer.body.clone());
                Ok(RawReply::new(answer.op, body, self.chroot()))
            }
        }
    }
}
