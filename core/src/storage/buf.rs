//! A byte buffer that is either lent or owned.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::cell::Cell;
use core::ops::Range;

/// One by one, where there is no room for a copy that is quick, or for the panic that slices bring.
#[inline(never)]
fn close_up_slowly(bytes: &mut [u8], from: Range<usize>, to: usize) {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    let (from, to) = (cells.get(from).unwrap_or_default(), cells.get(to..).unwrap_or_default());
    for (from, to) in from.iter().zip(to) {
        to.set(from.get());
    }
}

/// Bytes of the caller, or a vector that grows up to a limit.
pub(crate) enum Buf<'b> {
    Lent(&'b mut [u8]),
    #[cfg(feature = "alloc")]
    Owned {
        bytes: Vec<u8>,
        limit: usize,
    },
}

impl<'b> Buf<'b> {
    #[cfg(feature = "alloc")]
    pub(crate) const fn owned(limit: usize) -> Self {
        Self::Owned { bytes: Vec::new(), limit }
    }

    /// Whether it grows on the heap.
    pub(crate) const fn is_owned(&self) -> bool {
        !matches!(self, Self::Lent(_))
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            #[cfg(feature = "alloc")]
            Self::Owned { bytes, .. } => bytes,
        }
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Lent(bytes) => bytes,
            #[cfg(feature = "alloc")]
            Self::Owned { bytes, .. } => bytes,
        }
    }

    /// The most bytes there can ever be.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        match self {
            Self::Lent(bytes) => bytes.len(),
            #[cfg(feature = "alloc")]
            Self::Owned { limit, .. } => *limit,
        }
    }

    /// Moves bytes to where they are not behind themselves, over what lies there. Bytes that are not
    /// there are not moved.
    #[inline]
    pub(crate) fn close_up(&mut self, from: Range<usize>, to: usize) {
        let bytes = self.bytes_mut();
        if cfg!(target_pointer_width = "64") {
            if from.start <= from.end && from.end <= bytes.len() && to <= from.start {
                bytes.copy_within(from, to);
            }
        } else {
            close_up_slowly(bytes, from, to);
        }
    }

    /// Makes at least `len` bytes available if the limit allows; says whether it did.
    pub(crate) fn reach(&mut self, len: usize) -> bool {
        match self {
            Self::Lent(bytes) => len <= bytes.len(),
            #[cfg(feature = "alloc")]
            Self::Owned { bytes, limit } => {
                if len > *limit {
                    return false;
                }
                if len > bytes.len() {
                    // Doubling keeps the number of moves small; the limit caps it.
                    let grown = bytes.len().saturating_mul(2).clamp(len, *limit);
                    // To the byte: a vector left to itself would grow past the limit.
                    bytes.reserve_exact(grown.saturating_sub(bytes.len()));
                    bytes.resize(grown, 0);
                }
                true
            }
        }
    }

    /// Gives memory beyond the first `len` bytes back to the heap, if it came from there.
    #[cfg(feature = "alloc")]
    pub(crate) fn give_back(&mut self, len: usize) {
        if let Self::Owned { bytes, .. } = self {
            if bytes.len() > len {
                bytes.truncate(len);
                bytes.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_close_up_alike_quickly_and_slowly() {
        for (from, to) in
            [(2..7, 0), (3..7, 2), (0..7, 0), (7..7, 3), (5..9, 0), (9..9, 1), (1..1, 0)]
        {
            let (mut quick, mut slow) = ([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7]);
            Buf::Lent(&mut quick).close_up(from.clone(), to);
            close_up_slowly(&mut slow, from.clone(), to);
            assert_eq!(quick, slow, "{from:?} to {to}");
        }
    }
}
