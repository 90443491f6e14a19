//! Received bytes, cut into frames.

use core::ops::Range;

use super::buf::Buf;
use crate::wire::LENGTH_BYTES;

/// The receive buffer: a window of bytes that have arrived and are not yet consumed.
pub(crate) struct Inbox<'b> {
    buf: Buf<'b>,
    head: usize,
    tail: usize,
    /// Bytes at the head that are lent to the application until the next call.
    lent: usize,
    /// Bytes of an oversize frame that are still to be stepped over as they arrive.
    skip: usize,
    /// The last read took all the room there was: more is worth having.
    filled: bool,
}

/// What lies at the head of the receive buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextFrame {
    /// Not enough bytes yet.
    Partial,
    /// A whole frame, without its length; released at the next call.
    Whole(Range<usize>),
    /// The first bytes of a frame that will never fit; the rest is stepped over.
    Oversize { len: usize, start: Range<usize> },
    /// A length that no peer means.
    BadLength(i32),
}

/// The least an owned buffer offers to a read.
pub(crate) const READ_STEP: usize = 2048;

/// How much of a frame's length is believed before its bytes follow.
const BELIEVED: usize = 16 << 10;

/// How large an owned buffer grows merely to read more at once.
const READ_MOST: usize = 256 << 10;

/// What a range is that is not there. Out of the way of the ranges that are.
#[cfg_attr(target_pointer_width = "64", cold, inline(never))]
#[cfg_attr(not(target_pointer_width = "64"), inline)]
const fn nothing<'b>() -> &'b [u8] {
    &[]
}

impl<'b> Inbox<'b> {
    pub(crate) const fn new(buf: Buf<'b>) -> Self {
        Self { buf, head: 0, tail: 0, lent: 0, skip: 0, filled: false }
    }

    /// The longest frame that fits whole.
    #[inline]
    pub(crate) fn longest_frame(&self) -> usize {
        self.buf.limit().saturating_sub(LENGTH_BYTES)
    }

    /// How much memory there is.
    #[cfg(all(feature = "server", feature = "alloc"))]
    pub(crate) fn capacity(&self) -> usize {
        self.buf.bytes().len()
    }

    /// Forgets everything, for a new connection.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.head, self.tail, self.lent, self.skip) = (0, 0, 0, 0);
    }

    /// Whether the buffer is full of bytes that wait to be pulled.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        // The tail is within the limit: only what begins at the front can fill all of it.
        self.head == 0 && self.tail >= self.buf.limit()
    }

    /// Free room behind the received bytes.
    #[inline]
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        self.release();
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
            if !self.filled && !self.buf.bytes().is_empty() {
                return self.buf.bytes_mut();
            }
        }
        self.make_room()
    }

    /// Moves what is left to the front, or grows, so that the frame under way fits.
    #[inline(never)]
    fn make_room(&mut self) -> &mut [u8] {
        let used = self.tail.saturating_sub(self.head);
        // The frame under way decides how much room is needed; before its length is known, and if
        // it will never fit and be stepped over, any.
        let length = self.head().map(|(length, _)| i32::from_be_bytes(*length));
        let frame = match length.and_then(|len| usize::try_from(len).ok()) {
            Some(len) if len <= self.longest_frame() => LENGTH_BYTES.saturating_add(len),
            _ => LENGTH_BYTES,
        };
        let wanted = frame.max(used.saturating_add(1)).min(self.buf.limit());
        // Who announces much and sends little holds little: owned memory grows with the bytes.
        let soon = wanted.min(used.saturating_mul(4).max(BELIEVED));
        let have = self.buf.bytes().len();
        if self.head > 0 && self.head.saturating_add(wanted) > have {
            self.buf.close_up(self.head..self.tail, 0);
            (self.head, self.tail) = (0, used);
        }
        if self.head.saturating_add(soon) > have || (self.tail == have && self.head == 0) {
            let step = used.saturating_add(READ_STEP).min(self.buf.limit());
            self.buf.reach(soon.max(step));
        }
        if core::mem::take(&mut self.filled) && have < READ_MOST {
            self.buf.reach(have.saturating_mul(2).min(self.buf.limit()));
        }
        let tail = self.tail;
        self.buf.bytes_mut().get_mut(tail..).unwrap_or_default()
    }

    /// `n` bytes have been written to the start of [`spare`](Self::spare).
    #[inline]
    pub(crate) fn received(&mut self, n: usize) {
        let n = n.min(self.buf.bytes().len().saturating_sub(self.tail));
        // Not beyond the end of the buffer.
        self.tail = self.tail.wrapping_add(n);
        self.filled = self.tail == self.buf.bytes().len();
        self.step_over();
    }

    /// The next frame, at most `limit` bytes long; `peek` bytes of an oversize one are awaited.
    #[inline]
    pub(crate) fn next(&mut self, limit: usize, peek: usize) -> NextFrame {
        self.release();
        self.step_over();
        let Some((length, arrived)) = self.head() else { return NextFrame::Partial };
        let raw = i32::from_be_bytes(*length);
        let len = match usize::try_from(raw) {
            Ok(len) if len > 0 && len <= limit => len,
            _ => return NextFrame::BadLength(raw),
        };
        if len > arrived.len() {
            return self.next_in_part(len, peek);
        }
        // All of this lies within the buffer: nothing can wrap.
        self.lent = LENGTH_BYTES.wrapping_add(len);
        NextFrame::Whole(self.head.wrapping_add(LENGTH_BYTES)..self.head.wrapping_add(self.lent))
    }

    /// The frame at the head, at most `limit` bytes long, and its first `N` bytes, if that is all
    /// there is to say: [`next`](Self::next) finds the same one, and everything else. It is lent once
    /// [`lend`](Self::lend) has been called.
    #[inline(always)]
    pub(crate) fn whole<const N: usize>(
        &mut self,
        limit: usize,
    ) -> Option<([u8; N], Range<usize>)> {
        if self.skip > 0 || self.is_full() {
            return None;
        }
        self.release();
        let (length, arrived) = self.head()?;
        let len = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        if len < N || len > limit || len > arrived.len() {
            return None;
        }
        // All of this lies within the buffer: nothing can wrap.
        let start = self.head.wrapping_add(LENGTH_BYTES);
        Some((*arrived.first_chunk()?, start..start.wrapping_add(len)))
    }

    /// Lends what [`whole`](Self::whole) has found, up to its end.
    #[inline(always)]
    pub(crate) fn lend(&mut self, end: usize) {
        self.lent = end.wrapping_sub(self.head);
    }

    /// As [`next`](Self::next), for a frame whose end has not arrived.
    #[cold]
    fn next_in_part(&mut self, len: usize, peek: usize) -> NextFrame {
        let start = self.head.saturating_add(LENGTH_BYTES);
        let end = start.saturating_add(len);
        if len <= self.longest_frame() {
            return NextFrame::Partial;
        }
        let peeked = start.saturating_add(peek.min(self.longest_frame()));
        if self.tail < peeked {
            return NextFrame::Partial;
        }
        self.lent = self.tail.saturating_sub(self.head);
        self.skip = end.saturating_sub(self.tail);
        NextFrame::Oversize { len, start: start..peeked }
    }

    /// The bytes of a range that [`next`](Self::next) gave.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(crate) fn frame(&self, range: Range<usize>) -> &[u8] {
        self.buf.bytes().get(range).unwrap_or_else(nothing)
    }

    /// What has arrived behind the length field at the head.
    #[cfg(feature = "server")]
    pub(crate) fn behind_length(&self) -> &[u8] {
        self.head().map_or(&[], |(_, arrived)| arrived)
    }

    #[cfg(all(feature = "server", feature = "alloc"))] // who counts large requests: the engine
    /// The length of the frame under way, if that has arrived and the rest has not; 0 if not.
    #[cfg(all(feature = "server", feature = "alloc"))]
    pub(crate) fn awaited(&self) -> usize {
        let Some((length, arrived)) = self.head() else { return 0 };
        let len = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
        if len > arrived.len() { len } else { 0 }
    }

    /// The length field at the head and what has arrived behind it, if the length has.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn head(&self) -> Option<(&[u8; LENGTH_BYTES], &[u8])> {
        self.buf.bytes().get(self.head..self.tail)?.split_first_chunk()
    }

    /// Whether nothing waits to be pulled.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        // What is lent has arrived: the sum is not beyond the tail.
        self.head.wrapping_add(self.lent) == self.tail
    }

    /// Gives back what an owned buffer has grown by beyond `kept` bytes, while nothing lies in it.
    #[cfg(feature = "alloc")]
    pub(crate) fn shrink(&mut self, kept: usize) {
        if self.is_empty() {
            (self.head, self.tail, self.lent, self.filled) = (0, 0, 0, false);
            self.buf.give_back(kept);
        }
    }

    #[inline]
    fn release(&mut self) {
        // What is lent has arrived: the sum is not beyond the tail.
        self.head = self.head.wrapping_add(self.lent);
        self.lent = 0;
    }

    fn step_over(&mut self) {
        if self.skip > 0 && self.lent == 0 {
            let n = self.skip.min(self.tail.saturating_sub(self.head));
            self.head = self.head.saturating_add(n);
            self.skip = self.skip.saturating_sub(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "alloc")]
    fn an_owned_inbox_shrinks_only_while_it_is_empty() {
        let mut inbox = Inbox::new(Buf::owned(1 << 20));
        let mut large = alloc::vec![0; 4 + 50_000];
        large[..4].copy_from_slice(&50_000_u32.to_be_bytes());
        feed(&mut inbox, &large[..40_000]);
        inbox.shrink(READ_STEP);
        feed(&mut inbox, &large[40_000..]);
        let NextFrame::Whole(range) = inbox.next(1 << 20, 0) else { panic!() };
        assert_eq!(range.len(), 50_000);
        feed(&mut inbox, &[0, 0, 0, 1]);
        inbox.shrink(READ_STEP);
        assert!(inbox.buf.bytes().len() >= 50_000, "there is half a frame in it");
        feed(&mut inbox, &[7]);
        let NextFrame::Whole(range) = inbox.next(99, 0) else { panic!() };
        assert_eq!(inbox.frame(range), [7]);
        inbox.shrink(READ_STEP);
        assert_eq!(inbox.buf.bytes().len(), READ_STEP);
        feed(&mut inbox, &large);
        assert!(matches!(inbox.next(1 << 20, 0), NextFrame::Whole(range) if range.len() == 50_000));
    }

    fn feed(inbox: &mut Inbox<'_>, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = inbox.spare();
            let n = spare.len().min(bytes.len());
            assert!(n > 0, "no room");
            spare[..n].copy_from_slice(&bytes[..n]);
            inbox.received(n);
            bytes = &bytes[n..];
        }
    }

    #[test]
    fn frames_come_out_however_they_are_split() {
        let mut memory = [0; 16];
        let mut inbox = Inbox::new(Buf::Lent(&mut memory));
        for byte in [0, 0, 0, 2, 7] {
            assert_eq!(inbox.next(99, 4), NextFrame::Partial);
            feed(&mut inbox, &[byte]);
        }
        feed(&mut inbox, &[8, 0, 0, 0, 1, 9]);
        let NextFrame::Whole(range) = inbox.next(99, 4) else { panic!() };
        assert_eq!(inbox.frame(range), [7, 8]);
        let NextFrame::Whole(range) = inbox.next(99, 4) else { panic!() };
        assert_eq!(inbox.frame(range), [9]);
        assert_eq!(inbox.next(99, 4), NextFrame::Partial);
    }

    #[test]
    fn an_oversize_frame_is_stepped_over_and_the_next_one_is_found() {
        let mut memory = [0; 12];
        let mut inbox = Inbox::new(Buf::Lent(&mut memory));
        feed(&mut inbox, &[0, 0, 0, 20, 1, 2, 3]);
        assert_eq!(inbox.next(99, 4), NextFrame::Partial);
        feed(&mut inbox, &[4]);
        let NextFrame::Oversize { len: 20, start } = inbox.next(99, 4) else { panic!() };
        assert_eq!(inbox.frame(start), [1, 2, 3, 4]);
        for _ in 0..16 {
            assert_eq!(inbox.next(99, 4), NextFrame::Partial);
            feed(&mut inbox, &[0xff]);
        }
        feed(&mut inbox, &[0, 0, 0, 1, 5]);
        let NextFrame::Whole(range) = inbox.next(99, 4) else { panic!() };
        assert_eq!(inbox.frame(range), [5]);
    }

    #[test]
    fn impossible_lengths_are_named() {
        for bytes in [[0, 0, 0, 0], [0xff; 4], [0x7f, 0xff, 0xff, 0xff]] {
            let mut memory = [0; 12];
            let mut inbox = Inbox::new(Buf::Lent(&mut memory));
            feed(&mut inbox, &bytes);
            assert_eq!(inbox.next(99, 4), NextFrame::BadLength(i32::from_be_bytes(bytes)));
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn an_owned_buffer_grows_to_its_limit_and_no_further() {
        let mut inbox = Inbox::new(Buf::owned(5000));
        let mut frame = std::vec![0; 4004];
        frame[..4].copy_from_slice(&4000_i32.to_be_bytes());
        feed(&mut inbox, &frame);
        assert_eq!(inbox.next(9999, 4), NextFrame::Whole(4..4004));
        assert!(inbox.spare().len() <= 5000);
    }
}
