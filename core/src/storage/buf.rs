//! A byte buffer that is either lent or owned.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

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
