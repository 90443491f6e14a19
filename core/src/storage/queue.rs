//! A first-in first-out queue that is either lent or owned.

#[cfg(feature = "alloc")]
use alloc::collections::VecDeque;
use heapless::deque::DequeView;

/// A bounded queue of the caller's memory, or a heap queue with a limit.
pub(crate) enum Queue<'b, T> {
    Lent(&'b mut DequeView<T>),
    #[cfg(feature = "alloc")]
    Owned {
        items: VecDeque<T>,
        limit: usize,
    },
}

impl<T> Queue<'_, T> {
    #[cfg(feature = "alloc")]
    pub(crate) const fn owned(limit: usize) -> Self {
        Self::Owned { items: VecDeque::new(), limit }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Lent(items) => items.storage_len(),
            #[cfg(feature = "alloc")]
            Self::Owned { items, .. } => items.len(),
        }
    }

    #[inline]
    pub(crate) fn limit(&self) -> usize {
        match self {
            Self::Lent(items) => items.storage_capacity(),
            #[cfg(feature = "alloc")]
            Self::Owned { limit, .. } => *limit,
        }
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Lent(items) => items.is_full(),
            #[cfg(feature = "alloc")]
            Self::Owned { items, limit } => items.len() >= *limit,
        }
    }

    /// Appends, or hands the item back when the queue is full.
    #[inline]
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        match self {
            Self::Lent(items) => items.push_back(item),
            #[cfg(feature = "alloc")]
            Self::Owned { items, limit } if items.len() < *limit => {
                if items.len() == items.capacity() {
                    let more = items.len().max(8).min(limit.saturating_sub(items.len()));
                    items.reserve_exact(more);
                }
                items.push_back(item);
                Ok(())
            }
            #[cfg(feature = "alloc")]
            Self::Owned { .. } => Err(item),
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        match self {
            Self::Lent(items) => items.pop_front(),
            #[cfg(feature = "alloc")]
            Self::Owned { items, .. } => items.pop_front(),
        }
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        match self {
            Self::Lent(items) => items.front(),
            #[cfg(feature = "alloc")]
            Self::Owned { items, .. } => items.front(),
        }
    }

    /// The first item that `wanted` picks.
    #[inline]
    pub(crate) fn find_mut(&mut self, wanted: impl Fn(&T) -> bool) -> Option<&mut T> {
        match self {
            Self::Lent(items) => items.iter_mut().find(|item| wanted(item)),
            #[cfg(feature = "alloc")]
            Self::Owned { items, .. } => items.iter_mut().find(|item| wanted(item)),
        }
    }

    #[inline]
    /// Calls for every item, oldest first.
    pub(crate) fn for_each_mut(&mut self, each: impl FnMut(&mut T)) {
        match self {
            Self::Lent(items) => items.iter_mut().for_each(each),
            #[cfg(feature = "alloc")]
            Self::Owned { items, .. } => items.iter_mut().for_each(each),
        }
    }

    /// Gives back what an owned queue has grown by, while nothing waits in it.
    #[cfg(feature = "alloc")]
    pub(crate) fn shrink(&mut self) {
        if let Self::Owned { items, .. } = self {
            if items.is_empty() {
                *items = VecDeque::new();
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}
