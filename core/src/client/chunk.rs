//! setWatches frames: what is watched, in pieces that servers and the transmit buffer take.

use super::registry::Registry;
use super::watch_kind::WatchKind;
use crate::wire::{OpCode, Ustring, Writer, Xid, Zxid};

/// Paths in one setWatches frame stop here; a single longer path still goes.
///
/// # Source
/// `ClientCnxn.SET_WATCHES_MAX_LENGTH`, 3.8.0.
const CHUNK_BYTES: usize = 128 * 1024;

/// Watches that go into one setWatches frame: the records from `from` to `to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    from: usize,
    pub(super) to: usize,
    pub(super) watches: usize,
    persistent: bool,
}

impl Chunk {
    /// Length, header, zxid and five counts.
    pub(super) const OVERHEAD: usize = 4 + 8 + 8 + 5 * 4;
}

impl Registry<'_> {
    /// The next setWatches frame of at most `room` bytes from `from` on; `None` when no watch is
    /// left there. A chunk of no watches means that the room is too small for the first one.
    pub(super) fn next_chunk(&self, from: usize, room: usize, chroot: &str) -> Option<Chunk> {
        let mut chunk = Chunk { from, to: from, watches: 0, persistent: false };
        let mut bytes = Chunk::OVERHEAD;
        let mut left = false;
        for record in self.records(from) {
            if let Some(kind) = record.kind() {
                left = true;
                let chroot = if record.is_below() { chroot.len() } else { 0 };
                let path = record.body_len.saturating_add(chroot).saturating_add(4);
                let sum = bytes.saturating_add(path);
                if sum > room || (chunk.watches > 0 && sum > CHUNK_BYTES) {
                    break;
                }
                bytes = sum;
                chunk.watches = chunk.watches.saturating_add(1);
                chunk.persistent |= matches!(kind, WatchKind::Persistent | WatchKind::Recursive);
            }
            chunk.to = record.end();
        }
        left.then_some(chunk)
    }

    /// Writes a chunk as a whole request: setWatches, or setWatches2 if a watch demands it, so that
    /// old servers are asked only what they know.
    pub(super) fn write_chunk(&self, chunk: &Chunk, zxid: Zxid, w: &mut Writer<'_>) {
        let op = if chunk.persistent { OpCode::SetWatches2 } else { OpCode::SetWatches };
        w.int(Xid::SET_WATCHES.0);
        w.int(op.to_wire());
        w.long(zxid.0);
        let lists = if chunk.persistent { 5 } else { 3 };
        for kind in WatchKind::ALL.iter().take(lists) {
            // Counted first, then written.
            let mut count = 0_usize;
            for writing in [false, true] {
                let mut records = self.records(chunk.from);
                while let Some(record) = records.next().filter(|r| r.start < chunk.to) {
                    if record.kind() != Some(*kind) {
                        continue;
                    }
                    if !writing {
                        count = count.saturating_add(1);
                        continue;
                    }
                    let path = Ustring::from_bytes(self.body(record));
                    if record.is_below() { w.path(path) } else { w.ustring(path) }
                }
                if !writing {
                    w.count(count);
                }
            }
        }
    }
}
