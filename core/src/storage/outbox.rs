//! Bytes to send.

use super::buf::Buf;
use crate::wire::{LENGTH_BYTES, Writer};

/// The transmit buffer: frames that wait to leave, in order.
pub(crate) struct Outbox<'b> {
    buf: Buf<'b>,
    head: usize,
    tail: usize,
}

/// A frame that does not fit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// Bytes of the frame with its length.
    pub(crate) needed: usize,
    /// Bytes that are free.
    pub(crate) free: usize,
}

/// The longest frame that the wire has a length for.
const LONGEST: usize = LENGTH_BYTES + 0x7fff_ffff;

impl<'b> Outbox<'b> {
    pub(crate) const fn new(buf: Buf<'b>) -> Self {
        Self { buf, head: 0, tail: 0 }
    }

    /// How much memory there is.
    #[cfg(all(feature = "server", feature = "alloc"))]
    pub(crate) fn capacity(&self) -> usize {
        self.buf.bytes().len()
    }

    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.buf.limit()
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.head, self.tail) = (0, 0);
    }

    #[inline]
    pub(crate) fn pending(&self) -> &[u8] {
        self.buf.bytes().get(self.head..self.tail).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Bytes that can still be appended.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.buf.limit().saturating_sub(self.tail.saturating_sub(self.head))
    }

    /// `n` bytes of [`pending`](Self::pending) have left.
    #[inline]
    pub(crate) fn transmitted(&mut self, n: usize) {
        if n < self.tail.saturating_sub(self.head) {
            // Not beyond the tail.
            self.head = self.head.wrapping_add(n);
        } else {
            self.clear();
        }
    }

    /// Appends one frame and leaves `reserve` bytes free behind it; on refusal nothing changes.
    #[inline]
    pub(crate) fn frame(
        &mut self,
        reserve: usize,
        write: impl Fn(&mut Writer<'_>),
    ) -> Result<(), NoRoom> {
        self.frame_under("", reserve, write)
    }

    /// As [`frame`](Self::frame), with a chroot before every znode path.
    #[inline]
    pub(crate) fn frame_under(
        &mut self,
        chroot: &str,
        reserve: usize,
        write: impl Fn(&mut Writer<'_>),
    ) -> Result<(), NoRoom> {
        if cfg!(target_pointer_width = "64") {
            self.write_frame(chroot, reserve, write)
        } else {
            // One loop for all kinds of frames: a microcontroller has less room than time.
            self.write_any_frame(chroot, reserve, &write)
        }
    }

    /// What lies ready for the next frame, but for the last `reserve` bytes: as it lies, so there may
    /// be room for more. What is written there counts once it is [`appended`](Self::appended).
    #[inline]
    pub(crate) fn spare(&mut self, reserve: usize) -> Option<&mut [u8]> {
        let tail = self.tail;
        let spare = self.buf.bytes_mut().get_mut(tail..)?;
        let len = spare.len().checked_sub(reserve)?;
        spare.get_mut(..len)
    }

    /// The first `len` bytes of [`spare`](Self::spare) are frames.
    #[inline]
    pub(crate) fn appended(&mut self, len: usize) {
        // Not beyond the end of the buffer.
        self.tail = self.tail.wrapping_add(len);
    }

    #[inline(never)]
    fn write_any_frame(
        &mut self,
        chroot: &str,
        reserve: usize,
        write: &dyn Fn(&mut Writer<'_>),
    ) -> Result<(), NoRoom> {
        self.write_frame(chroot, reserve, write)
    }

    #[inline]
    fn write_frame(
        &mut self,
        chroot: &str,
        reserve: usize,
        write: impl Fn(&mut Writer<'_>),
    ) -> Result<(), NoRoom> {
        loop {
            let tail = self.tail;
            let spare = self.buf.bytes_mut().get_mut(tail..).unwrap_or_default();
            let room = spare.len().saturating_sub(reserve).min(LONGEST);
            let spare = spare.get_mut(..room).unwrap_or_default();
            let (length, body) = match spare.split_first_chunk_mut::<LENGTH_BYTES>() {
                Some((length, body)) => (Some(length), body),
                None => (None, Default::default()),
            };
            let mut writer = Writer::new(body);
            writer.set_chroot(chroot);
            write(&mut writer);
            let written = writer.len();
            let needed = written.saturating_add(LENGTH_BYTES);
            if let Some(length) = length.filter(|_| needed <= room) {
                // No longer than `LONGEST`.
                *length = u32::try_from(written).unwrap_or_default().to_be_bytes();
                // Not beyond the end of the buffer.
                self.tail = tail.wrapping_add(needed);
                return Ok(());
            }
            self.make_room_for(needed, reserve)?;
        }
    }

    /// Makes room for a frame that needs so many bytes and does not fit as things lie.
    #[cold]
    #[inline(never)]
    fn make_room_for(&mut self, needed: usize, reserve: usize) -> Result<(), NoRoom> {
        let free = self.free().saturating_sub(reserve);
        if needed <= free {
            self.make_room(needed.saturating_add(reserve));
        }
        let room = self.buf.bytes().len().saturating_sub(self.tail).saturating_sub(reserve);
        if needed <= room.min(LONGEST) { Ok(()) } else { Err(NoRoom { needed, free }) }
    }

    /// Appends bytes that are no frame; on refusal nothing changes.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let (needed, free) = (bytes.len(), self.free());
        if needed > free {
            return Err(NoRoom { needed, free });
        }
        self.make_room(needed);
        let end = self.tail.saturating_add(needed);
        if let Some(to) = self.buf.bytes_mut().get_mut(self.tail..end) {
            to.copy_from_slice(bytes);
            self.tail = end;
        }
        Ok(())
    }

    /// Gives back what an owned buffer has grown by beyond `kept` bytes, as far as nothing is pending
    /// there.
    #[cfg(feature = "alloc")]
    pub(crate) fn shrink(&mut self, kept: usize) {
        if self.buf.bytes().len() > kept {
            self.make_room(0);
            self.buf.give_back(self.tail.max(kept));
        }
    }

    /// Moves what is pending to the front and grows, so that `more` bytes follow the tail.
    fn make_room(&mut self, more: usize) {
        self.buf.close_up(self.head..self.tail, 0);
        self.tail = self.tail.saturating_sub(self.head);
        self.head = 0;
        self.buf.reach(self.tail.saturating_add(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(feature = "alloc", feature = "server"))]
    const KEPT: usize = 512;

    #[test]
    #[cfg(all(feature = "alloc", feature = "server"))]
    fn an_owned_outbox_shrinks_to_what_is_pending() {
        let mut outbox = Outbox::new(Buf::owned(1 << 20));
        outbox.raw(&[1; 50_000]).unwrap();
        outbox.raw(&[2; 1000]).unwrap();
        outbox.transmitted(50_000);
        outbox.shrink(KEPT);
        assert_eq!(outbox.pending(), [2; 1000]);
        assert_eq!(outbox.buf.bytes().len(), 1000);
        outbox.raw(&[3; 5]).unwrap();
        assert_eq!(outbox.pending().len(), 1005);
        outbox.transmitted(1005);
        outbox.shrink(KEPT);
        assert_eq!(outbox.buf.bytes().len(), KEPT);
        outbox.raw(&[4; 600]).unwrap();
        assert_eq!(outbox.pending(), [4; 600]);
    }

    #[test]
    fn a_frame_is_whole_or_refused() {
        let mut memory = [0; 20];
        let mut outbox = Outbox::new(Buf::Lent(&mut memory));
        outbox.frame(0, |w| w.long(7)).unwrap();
        assert_eq!(outbox.pending(), [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(outbox.frame(0, |w| w.long(8)), Err(NoRoom { needed: 12, free: 8 }));
        assert_eq!(outbox.frame(1, |w| w.int(8)), Err(NoRoom { needed: 8, free: 7 }));
        outbox.transmitted(5);
        outbox.frame(0, |w| w.long(9)).unwrap();
        assert_eq!(outbox.pending().len(), 7 + 12);
        outbox.transmitted(99);
        assert!(outbox.is_empty());
    }
}
