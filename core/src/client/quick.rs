//! What a session does most: a usual request handed over, and its answer found.
//!
//! Both go in one piece here, and only where the machine has room for that. Whatever is not quite as
//! usual is left as it lies for the general way, which does the same with the usual, too: a
//! microcontroller has that one only.

use core::ops::Range;

use byteorder::{BigEndian, ByteOrder};

use super::event::Event;
use super::inflight::InFlight;
use super::raw::RawReply;
use super::registry::Place;
use super::session::{ClientSession, chroot};
use super::submit::TAIL_RESERVE;
use super::watch_kind::{WatchKind, Wish};
use crate::error::OpError;
use crate::path;
use crate::time::Instant;
use crate::wire::{
    Data, LENGTH_BYTES, OpCode, Reader, Reply, ReplyHeader, Request, RequestHeader, Stat, Xid, Zxid,
};

/// Whether the machine has more room for code than time.
pub(super) const HAS_ROOM: bool = cfg!(target_pointer_width = "64");

/// Bytes up to the path: the frame's length, the header, the path's length.
const HEAD: usize = LENGTH_BYTES + RequestHeader::BYTES + LENGTH_BYTES;

/// An answer that is as usual: to the oldest request, and successful.
pub(super) struct UsualAnswer {
    xid: Xid,
    zxid: Zxid,
    op: OpCode,
    body: Range<usize>,
}

impl ClientSession<'_> {
    /// Hands a usual request over; `None` if it is another, or cannot be taken now, and nothing has
    /// changed then.
    #[inline(always)]
    pub(super) fn hand_over_usual(
        &mut self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Option<Xid> {
        if !HAS_ROOM {
            return None;
        }
        let (op, path, watch) = match *request {
            Request::GetData { path, watch } => (OpCode::GetData, path, watch),
            Request::Exists { path, watch } => (OpCode::Exists, path, watch),
            Request::GetChildren { path, watch } => (OpCode::GetChildren, path, watch),
            Request::GetChildren2 { path, watch } => (OpCode::GetChildren2, path, watch),
            Request::SetData { path, data: Some(data), version } => {
                return self.hand_over_data(path.as_bytes()?, data, version, deadline);
            }
            _ => return None,
        };
        self.hand_over_read(op, path.as_bytes()?, watch, deadline)
    }

    /// Hands over a request that names a znode and says whether to watch it.
    #[inline(always)]
    fn hand_over_read(
        &mut self,
        op: OpCode,
        path: &[u8],
        watch: bool,
        deadline: Instant,
    ) -> Option<Xid> {
        if watch {
            self.check_watch(path, Place::Below).ok()?;
        }
        let wish = || match op {
            _ if !watch => None,
            OpCode::GetData => Some(Wish::Success(WatchKind::Data)),
            OpCode::Exists => Some(Wish::Exists),
            _ => Some(Wish::Success(WatchKind::Child)),
        };
        let xid = self.hand_over_frame(op, path, wish, 1, deadline, |rest| {
            *rest.first_chunk_mut()? = [u8::from(watch)];
            Some(())
        })?;
        if watch {
            self.registry.add_pending(path, Place::Below);
        }
        Some(xid)
    }

    #[inline(never)]
    fn hand_over_data(
        &mut self,
        path: &[u8],
        data: &[u8],
        version: i32,
        deadline: Instant,
    ) -> Option<Xid> {
        let len = data.len().checked_add(LENGTH_BYTES + 4)?;
        self.hand_over_frame(
            OpCode::SetData,
            path,
            || None,
            len,
            deadline,
            |rest| {
                let (length, rest) = rest.split_first_chunk_mut()?;
                *length = i32::try_from(data.len()).ok()?.to_be_bytes();
                let (to, rest) = rest.split_at_mut_checked(data.len())?;
                to.copy_from_slice(data);
                *rest.first_chunk_mut()? = version.to_be_bytes();
                Some(())
            },
        )
    }

    /// Hands over a request of which `behind` bytes follow the path, that `write` writes if there is
    /// room for them.
    #[inline(always)]
    fn hand_over_frame(
        &mut self,
        op: OpCode,
        path: &[u8],
        wish: impl FnOnce() -> Option<Wish>,
        behind: usize,
        deadline: Instant,
        write: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Option<Xid> {
        if !self.is_open() || !path::is_usual(path) {
            return None;
        }
        let chroot = chroot(&self.connect_string, self.chroot_at);
        let xid = self.next_xid;
        // A usual path is not `/`, which below a chroot is the chroot itself. Sums that wrap are of
        // what does not fit either.
        let named = chroot.len().wrapping_add(path.len());
        let len = named.wrapping_add(behind).wrapping_add(HEAD);
        let content = i32::try_from(len.wrapping_sub(LENGTH_BYTES)).ok()?;
        let ahead = [content, xid.0, op.to_wire(), i32::try_from(named).ok()?];
        let (head, rest) = self.outbox.spare(TAIL_RESERVE)?.split_first_chunk_mut::<HEAD>()?;
        BigEndian::write_i32_into(&ahead, head);
        let (to, rest) = rest.split_at_mut_checked(chroot.len())?;
        if !chroot.is_empty() {
            to.copy_from_slice(chroot.as_bytes());
        }
        let (to, rest) = rest.split_at_mut_checked(path.len())?;
        to.copy_from_slice(path);
        write(rest)?;
        // Nothing has changed before there is nothing left to fail.
        self.in_flight.push(InFlight::new(xid, op, wish(), self.clock, deadline)).ok()?;
        self.outbox.appended(len);
        self.next_xid = xid.next();
        self.earliest_deadline = self.earliest_deadline.min(deadline);
        Some(xid)
    }

    /// The next event if it is the usual answer of a connected session; if not, nothing has changed.
    #[inline(always)]
    pub(super) fn next_usual(&mut self) -> Option<UsualAnswer> {
        if !HAS_ROOM || !self.is_connected() {
            return None;
        }
        let (head, frame) = self.inbox.whole::<{ ReplyHeader::BYTES }>(self.frame_limit)?;
        let header = ReplyHeader::read(&mut Reader::new(&head)).ok()?;
        let request = self.in_flight.pop_if(|request| {
            header.xid == request.xid
                && header.err == 0
                && request.is_waiting()
                && request.op != OpCode::Auth
        })?;
        self.inbox.lend(frame.end);
        self.take_in(&request, &header);
        // The header was there: the sum lies within the frame.
        let body = frame.start.wrapping_add(ReplyHeader::BYTES)..frame.end;
        Some(UsualAnswer { xid: header.xid, zxid: header.zxid, op: request.op, body })
    }

    /// Whether there is no event, as is usual after some.
    #[inline]
    pub(super) fn has_nothing(&self) -> bool {
        HAS_ROOM && self.is_connected() && self.inbox.is_empty() && !self.inbox.is_full()
    }

    /// The event, decoded into the caller's memory.
    #[inline(always)]
    pub(super) fn lend_usual(&self, answer: UsualAnswer) -> Event<'_> {
        let UsualAnswer { xid, zxid, op, body } = answer;
        Event::Reply { xid, zxid, result: self.decode(op, self.inbox.frame(body)) }
    }

    /// As [`lend_usual`](Self::lend_usual), undecoded.
    #[inline(always)]
    pub(super) fn lend_usual_raw(&self, answer: UsualAnswer) -> Event<'_, RawReply<'_>> {
        let UsualAnswer { xid, zxid, op, body } = answer;
        let reply = RawReply::new(op, self.inbox.frame(body), self.chroot());
        Event::Reply { xid, zxid, result: Ok(reply) }
    }

    /// A successful reply, with znodes named as the application does. On its own, for within the
    /// caller the compiler would move the reply once more.
    #[inline(never)]
    fn decode<'s>(&'s self, op: OpCode, body: &'s [u8]) -> Result<Reply<'s>, OpError> {
        match op {
            OpCode::GetData => Ok(Reply::Data(Data::read(&mut Reader::new(body))?)),
            OpCode::Exists | OpCode::SetData => {
                Ok(Reply::Stat(Stat::read(&mut Reader::new(body))?))
            }
            _ => self.decode_rare(op, body),
        }
    }

    #[inline(never)]
    fn decode_rare<'s>(&'s self, op: OpCode, body: &'s [u8]) -> Result<Reply<'s>, OpError> {
        if self.chroot().is_empty() {
            return Reply::decode_as(op, body);
        }
        Ok(Reply::decode(op, body)?.below(self.chroot()))
    }
}
