//! A queue on the heap.

use alloc::vec::Vec;

/// A queue in a circle of slots that grows up to a limit. Items are small and plain, so that they are
/// stored where they are to be and never moved on the way: each request goes through here.
pub(crate) struct Ring<T> {
    /// What is not in use holds a copy of some item.
    slots: Vec<T>,
    /// The first slot in use, and how many there are.
    head: u32,
    len: u32,
    limit: usize,
}

fn wide(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl<T: Copy> Ring<T> {
    /// The least that it grows by.
    const STEP: usize = 8;

    pub(crate) const fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), head: 0, len: 0, limit }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        wide(self.len)
    }

    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.limit.min(wide(u32::MAX))
    }

    /// Appends, or hands the item back when the queue is full.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        if self.len() == self.slots.len() {
            self.grow(item);
            if self.len() == self.slots.len() {
                return Err(item);
            }
        }
        // Neither is more than the number of slots, and no memory has so many that this can wrap.
        let behind = wide(self.head).wrapping_add(self.len());
        let all = self.slots.len();
        let at = if behind >= all { behind.wrapping_sub(all) } else { behind };
        let Some(slot) = self.slots.get_mut(at) else { return Err(item) };
        *slot = item;
        self.len = self.len.wrapping_add(1);
        Ok(())
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<&T> {
        if self.len == 0 { None } else { self.slots.get(wide(self.head)) }
    }

    /// Takes the first item if it is `wanted`.
    #[inline]
    pub(crate) fn pop_if(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let item = *self.front().filter(|item| wanted(item))?;
        let next = self.head.wrapping_add(1);
        self.head = if wide(next) < self.slots.len() { next } else { 0 };
        self.len = self.len.wrapping_sub(1);
        Some(item)
    }

    /// All items, oldest first.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (len, head) = (self.len(), wide(self.head));
        let (ahead, behind) = self.slots.split_at_mut_checked(head).unwrap_or_default();
        behind.iter_mut().chain(ahead).take(len)
    }

    /// Gives the memory back, while it is empty.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            (self.slots, self.head) = (Vec::new(), 0);
        }
    }

    /// Doubles the slots of a circle that is in use all around, within the limit; to the slot, for a
    /// vector left to itself would grow past it.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, filler: T) {
        let len = self.len();
        self.slots.rotate_left(wide(self.head).min(len));
        self.head = 0;
        let more = len.max(Self::STEP).min(self.limit().saturating_sub(len));
        self.slots.reserve_exact(more);
        self.slots.resize(len.saturating_add(more), filler);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;

    #[test]
    fn it_does_what_a_deque_does_up_to_its_limit() {
        for limit in [0, 1, 7, 8, 9, 40] {
            let (mut ring, mut deque) = (Ring::new(limit), VecDeque::new());
            let mut seed = 5_u32;
            for step in 0..3000_u32 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match seed >> 29 {
                    // More comes than goes for a while, and then the reverse.
                    0..=1 if step % 400 < 200 => {
                        assert_eq!(ring.pop_if(|_| true), deque.pop_front());
                    }
                    2..=5 if step % 400 >= 200 => {
                        assert_eq!(ring.pop_if(|item| *item == step), None);
                        assert_eq!(ring.pop_if(|item| *item != step), deque.pop_front());
                    }
                    6 => ring.iter_mut().zip(&mut deque).for_each(|(ours, item)| {
                        assert_eq!(ours, item);
                        (*ours, *item) = (*ours ^ 1 << 31, *item ^ 1 << 31);
                    }),
                    7 => ring.shrink(),
                    _ if deque.len() < limit => {
                        deque.push_back(step);
                        assert_eq!(ring.push(step), Ok(()));
                    }
                    _ => assert_eq!(ring.push(step), Err(step)),
                }
                assert_eq!((ring.len(), ring.front()), (deque.len(), deque.front()));
                assert!(ring.slots.capacity() <= limit);
                assert_eq!(ring.iter_mut().count(), deque.len());
            }
        }
    }
}
