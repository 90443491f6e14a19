//! Memory for the bodies of large answers.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// Bodies from this length on lie in memory that is used again. Allocators give so much back to the
/// system each time, and getting it anew costs more than receiving what is put there.
const REUSED: usize = 16 << 10;

/// The most bytes of memory that wait to be used again.
const KEPT: usize = 2 << 20;

/// Copies large bodies out of the receive buffer, into memory that comes back when the application
/// has dropped what lay there.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// There while large answers come. Without it memory is not awaited back, but freed.
    pool: Option<Arc<Pool>>,
}

impl Memory {
    /// A copy of a body.
    #[cold]
    pub(crate) fn copy(&mut self, body: &[u8]) -> Bytes {
        if body.len() < REUSED {
            return Bytes::copy_from_slice(body);
        }
        let pool = self.pool.get_or_insert_default();
        let mut bytes = pool.take(body.len());
        bytes.extend_from_slice(body);
        Bytes::from_owner(Lent { bytes, pool: Arc::downgrade(pool) })
    }

    /// Gives back what waits to be used again.
    pub(crate) fn shrink(&mut self) {
        self.pool = None;
    }
}

#[derive(Debug, Default)]
struct Pool(Mutex<Spare>);

#[derive(Debug, Default)]
struct Spare {
    pieces: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// Empty memory for so many bytes, and not for many more.
    fn take(&self, len: usize) -> Vec<u8> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |piece: &Vec<u8>| (len..=len.saturating_mul(2)).contains(&piece.capacity());
        // What came back last is still in the processor's caches.
        let Some(at) = spare.pieces.iter().rposition(fits) else { return Vec::with_capacity(len) };
        let piece = spare.pieces.remove(at);
        spare.bytes -= piece.capacity();
        piece
    }

    fn put(&self, mut piece: Vec<u8>) {
        piece.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.bytes + piece.capacity() <= KEPT {
            spare.bytes += piece.capacity();
            spare.pieces.push(piece);
        }
    }
}

/// A body in memory that goes back to where it came from.
struct Lent {
    bytes: Vec<u8>,
    pool: Weak<Pool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.put(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(memory: &Memory) -> usize {
        memory.pool.as_ref().map_or(0, |pool| pool.0.lock().unwrap().bytes)
    }

    #[test]
    fn large_memory_is_used_again_once_all_copies_of_a_body_are_gone() {
        let mut memory = Memory::default();
        let first = memory.copy(&[1; REUSED]);
        let (at, part) = (first.as_ptr(), first.slice(4..));
        drop(first);
        let second = memory.copy(&[2; REUSED]);
        assert_ne!(second.as_ptr(), at, "a part of the first is still there");
        assert!(part.iter().all(|byte| *byte == 1));
        drop(part);
        let third = memory.copy(&[3; REUSED]);
        assert_eq!(third.as_ptr(), at);
        assert!(third.iter().all(|byte| *byte == 3) && second.iter().all(|byte| *byte == 2));
    }

    #[test]
    fn what_waits_to_be_used_again_is_bounded_and_given_back() {
        let mut memory = Memory::default();
        let many: Vec<Bytes> = (0..200).map(|_| memory.copy(&[1; REUSED])).collect();
        drop(many);
        assert_eq!(waiting(&memory), KEPT);
        let late = memory.copy(&[1; REUSED]);
        memory.shrink();
        assert_eq!(waiting(&memory), 0);
        drop(late);
        assert_eq!(waiting(&memory), 0);
    }

    #[test]
    fn a_small_body_takes_no_memory_of_a_much_larger_one() {
        let mut memory = Memory::default();
        drop(memory.copy(&[1; 10 * REUSED]));
        drop(memory.copy(&[1; REUSED]));
        assert_eq!(waiting(&memory), 11 * REUSED);
        drop(memory.copy(&[1; 100]));
        assert_eq!(waiting(&memory), 11 * REUSED);
    }
}
