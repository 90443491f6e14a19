//! A first-in first-out queue that is either lent or owned.

use heapless::deque::DequeView;

#[cfg(feature = "alloc")]
use super::ring::Ring;

/// A bounded queue of the caller's memory, or a heap queue with a limit.
pub(crate) enum Queue<'b, T> {
    Lent(&'b mut DequeView<T>),
    #[cfg(feature = "alloc")]
    Owned(Ring<T>),
}

impl<T: Copy> Queue<'_, T> {
    #[cfg(feature = "alloc")]
    pub(crate) const fn owned(limit: usize) -> Self {
        Self::Owned(Ring::new(limit))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Lent(items) => items.storage_len(),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.len(),
        }
    }

    #[inline]
    pub(crate) fn limit(&self) -> usize {
        match self {
            Self::Lent(items) => items.storage_capacity(),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.limit(),
        }
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Lent(items) => items.is_full(),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.len() >= items.limit(),
        }
    }

    /// Appends, or hands the item back when the queue is full.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline)]
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        match self {
            Self::Lent(items) => items.push_back(item),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.push(item),
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        match self {
            Self::Lent(items) => items.pop_front(),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.pop_if(|_| true),
        }
    }

    /// Takes the first item if it is `wanted`.
    #[inline]
    pub(crate) fn pop_if(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        match self {
            Self::Lent(items) => {
                let item = *items.front().filter(|item| wanted(item))?;
                items.pop_front();
                Some(item)
            }
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.pop_if(wanted),
        }
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        match self {
            Self::Lent(items) => items.front(),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.front(),
        }
    }

    /// The first item that `wanted` picks.
    #[inline]
    pub(crate) fn find_mut(&mut self, wanted: impl Fn(&T) -> bool) -> Option<&mut T> {
        match self {
            Self::Lent(items) => items.iter_mut().find(|item| wanted(item)),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.iter_mut().find(|item| wanted(item)),
        }
    }

    #[inline]
    /// Calls for every item, oldest first.
    pub(crate) fn for_each_mut(&mut self, each: impl FnMut(&mut T)) {
        match self {
            Self::Lent(items) => items.iter_mut().for_each(each),
            #[cfg(feature = "alloc")]
            Self::Owned(items) => items.iter_mut().for_each(each),
        }
    }

    /// Gives back what an owned queue has grown by, while nothing waits in it.
    #[cfg(feature = "alloc")]
    pub(crate) fn shrink(&mut self) {
        if let Self::Owned(items) = self {
            items.shrink();
        }
    }

    pub(crate) fn clear(&mut self) {
        while self.pop().is_some() {}
    }
}
