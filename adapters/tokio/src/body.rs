//! What answers say, when it has left the receive buffer.

use bytes::{Bytes, BytesMut};
use zk_session::owned::Answer;
use zk_session::wire::{Reply, Stat};

/// A reply's body, owned.
#[derive(Debug)]
pub(crate) enum Body {
    /// Data, null read as empty, and metadata.
    Data(Bytes, Stat),
    /// Anything else.
    Other(Answer),
}

/// The memory that small data is cut from: who keeps a value keeps no more than that many bytes.
const SHEET: usize = 4096;

/// The most bytes that are cut from a sheet; larger data has memory of its own.
const SMALL: usize = 512;

/// Copies what answers say out of the receive buffer. The small data of many answers lies in one
/// piece of memory, which is free once all of them are gone.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    sheet: BytesMut,
}

impl Cutter {
    /// The body of a reply; `among_many`: more answers are on their way.
    #[inline]
    pub(crate) fn body(&mut self, reply: &Reply<'_>, among_many: bool) -> Body {
        match reply {
            Reply::Data(data) => {
                Body::Data(self.cut(data.data.unwrap_or_default(), among_many), data.stat)
            }
            other => Body::Other(Answer::from_reply(other)),
        }
    }

    fn cut(&mut self, data: &[u8], among_many: bool) -> Bytes {
        let left = self.sheet.capacity();
        if data.len() > SMALL || (left < data.len() && !among_many) {
            return Bytes::copy_from_slice(data);
        }
        if left < data.len() {
            self.sheet = BytesMut::with_capacity(SHEET);
        }
        self.sheet.extend_from_slice(data);
        self.sheet.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_data_of_many_answers_shares_memory_and_stays_what_it_is() {
        let mut cutter = Cutter::default();
        let values: Vec<Vec<u8>> = (0..=255).map(|n: u8| vec![n; usize::from(n)]).collect();
        let cut: Vec<Bytes> = values.iter().map(|value| cutter.cut(value, true)).collect();
        assert!(cut.iter().zip(&values).all(|(cut, value)| cut == value));
        let next_to = |pair: &[Bytes]| pair[0].as_ptr_range().end == pair[1].as_ptr();
        let neighbours = cut.windows(2).filter(|pair| next_to(pair)).count();
        assert!(neighbours > 240, "{neighbours}");
    }

    #[test]
    fn data_that_comes_alone_or_is_large_has_memory_of_its_own() {
        let mut cutter = Cutter::default();
        let alone = cutter.cut(b"alone", false);
        assert!(alone.is_unique() && alone == "alone");
        let large = cutter.cut(&[7; SMALL + 1], true);
        assert!(large.is_unique() && *large == [7; SMALL + 1]);
        assert_eq!(cutter.sheet.capacity(), 0);
    }
}
