//! Where things lie in a buffer, found by a hash: for memory from the heap, as there may be many of
//! them there. Lent memory is small, and looked through.

#[cfg(feature = "alloc")]
use alloc::{boxed::Box, vec, vec::Vec};

/// Places by the hash of what lies there; or nothing, and everything has to be looked through.
#[derive(Default)]
pub(crate) struct Index {
    #[cfg(feature = "alloc")]
    table: Option<Box<Table>>,
}

/// What is looked for in an index, and how far it has been.
pub(crate) struct Search {
    #[cfg(feature = "alloc")]
    hash: u32,
    /// The slot to look at next.
    #[cfg(feature = "alloc")]
    next: usize,
}

#[cfg(feature = "alloc")]
impl Index {
    /// Starts an empty index.
    pub(crate) fn start(&mut self) {
        self.table = Some(Box::default());
    }

    pub(crate) const fn is_started(&self) -> bool {
        self.table.is_some()
    }

    /// Begins to look for a key; `None` if there is no index.
    #[inline]
    pub(crate) fn search(&self, key: &[u8]) -> Option<Search> {
        self.table.as_ref().map(|_| Search::new(hash(key)))
    }

    /// The next place of what has this key, and perhaps others.
    #[inline]
    pub(crate) fn next(&self, search: &mut Search) -> Option<usize> {
        self.table.as_ref()?.next(search)
    }

    /// What was found last is gone.
    pub(crate) fn take(&mut self, search: &Search) {
        if let Some(table) = &mut self.table {
            table.take(search.next.wrapping_sub(1));
        }
    }

    /// Adds a place of what the search has not found. Does nothing without an index.
    pub(crate) fn add(&mut self, search: &Search, place: usize) {
        if let Some(table) = &mut self.table {
            table.add(search.hash, place);
        }
    }
}

#[cfg(not(feature = "alloc"))]
impl Index {
    pub(crate) const fn start(&mut self) {}

    pub(crate) const fn is_started(&self) -> bool {
        false
    }

    pub(crate) const fn search(&self, _key: &[u8]) -> Option<Search> {
        None
    }

    pub(crate) const fn next(&self, _search: &mut Search) -> Option<usize> {
        None
    }

    pub(crate) const fn take(&mut self, _search: &Search) {}

    pub(crate) const fn add(&mut self, _search: &Search, _place: usize) {}
}

#[cfg(feature = "alloc")]
impl Search {
    fn new(hash: u32) -> Self {
        Self { hash, next: wide(hash) }
    }
}

/// Open addressing, a power of two of slots, at the most half of them used.
#[cfg(feature = "alloc")]
#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    /// Slots that are not empty.
    used: usize,
    /// Slots that hold a place.
    held: usize,
}

#[cfg(feature = "alloc")]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot {
    hash: u32,
    place: u32,
}

#[cfg(feature = "alloc")]
impl Slot {
    /// No search goes on behind it.
    const EMPTY: Self = Self { hash: 0, place: u32::MAX };
    /// What was here is gone.
    const GONE: Self = Self { hash: 0, place: u32::MAX - 1 };

    const fn is_held(self) -> bool {
        self.place < Self::GONE.place
    }
}

#[cfg(feature = "alloc")]
impl Table {
    const LEAST: usize = 32;

    /// The slot of this number, counted around; none in a table without slots.
    #[inline]
    fn slot(&self, number: usize) -> Option<Slot> {
        self.slots.get(number & self.slots.len().wrapping_sub(1)).copied()
    }

    #[inline]
    fn next(&self, search: &mut Search) -> Option<usize> {
        // It ends, for at least half of the slots are empty.
        loop {
            let slot = self.slot(search.next).filter(|slot| *slot != Slot::EMPTY)?;
            search.next = search.next.wrapping_add(1);
            if slot.hash == search.hash && slot.is_held() {
                return Some(wide(slot.place));
            }
        }
    }

    fn add(&mut self, hash: u32, place: usize) {
        if self.used.saturating_mul(2) >= self.slots.len() {
            self.rehash();
        }
        let Ok(place) = u32::try_from(place) else { return };
        let slot = Slot { hash, place };
        if slot.is_held() {
            self.put(slot);
        }
    }

    /// Puts a slot where a search for its hash comes by.
    fn put(&mut self, slot: Slot) {
        let mut number = wide(slot.hash);
        while self.slot(number).is_some_and(Slot::is_held) {
            number = number.wrapping_add(1);
        }
        let mask = self.slots.len().wrapping_sub(1);
        if let Some(free) = self.slots.get_mut(number & mask) {
            self.used = self.used.saturating_add(usize::from(*free == Slot::EMPTY));
            self.held = self.held.saturating_add(1);
            *free = slot;
        }
    }

    fn take(&mut self, number: usize) {
        let mask = self.slots.len().wrapping_sub(1);
        if let Some(slot) = self.slots.get_mut(number & mask).filter(|slot| slot.is_held()) {
            *slot = Slot::GONE;
            self.held = self.held.saturating_sub(1);
        }
    }

    /// Makes room for more, in as many slots as what is held needs.
    #[cold]
    fn rehash(&mut self) {
        let len = self.held.saturating_mul(4).next_power_of_two().max(Self::LEAST);
        let old = core::mem::replace(&mut self.slots, vec![Slot::EMPTY; len]);
        (self.used, self.held) = (0, 0);
        for slot in old.into_iter().filter(|slot| slot.is_held()) {
            self.put(slot);
        }
    }
}

#[cfg(feature = "alloc")]
fn wide(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The application chooses what is in the index, so nobody else can make it slow.
#[cfg(feature = "alloc")]
#[inline(never)]
fn hash(key: &[u8]) -> u32 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(SPREAD);
    let mut hash = u64::try_from(key.len()).unwrap_or(0) << 56;
    match key.last_chunk() {
        // Words from the front, and the last one, which overlaps with the one before it.
        Some(last) => {
            let mut rest = key;
            while let (Some((word, behind)), true) = (rest.split_first_chunk(), rest.len() > 8) {
                hash = mix(hash, u64::from_le_bytes(*word));
                rest = behind;
            }
            hash = mix(hash, u64::from_le_bytes(*last));
        }
        None => {
            hash = mix(hash, key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
    // Once more: products spread upwards, and what they have spread to the top comes down again.
    u32::try_from(mix(hash, 0) >> 32).unwrap_or(0)
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn what_was_added_is_found_until_it_is_removed() {
        let mut index = Index::default();
        assert!(index.search(b"/a").is_none());
        index.start();
        let mut model: BTreeMap<usize, String> = BTreeMap::new();
        let mut seed = 7_u64;
        for step in 0..20_000_usize {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, remove) = (format!("/node/{}", seed >> 55), seed & 0x3_0000 != 0);
            let known = model.iter().find(|(_, k)| **k == key).map(|(place, _)| *place);
            if let (Some(place), true) = (known, remove) {
                let mut search = index.search(key.as_bytes()).unwrap();
                while index.next(&mut search) != Some(place) {}
                index.take(&search);
                model.remove(&place);
            } else {
                index.add(&index.search(key.as_bytes()).unwrap(), step);
                model.insert(step, key.clone());
            }
            let mut search = index.search(key.as_bytes()).unwrap();
            let mut found: Vec<_> = core::iter::from_fn(|| index.next(&mut search)).collect();
            found.sort_unstable();
            let mut held: Vec<_> =
                model.iter().filter(|(_, k)| **k == key).map(|(place, _)| *place).collect();
            held.sort_unstable();
            assert_eq!(found, held, "step {step}");
        }
        assert!(!model.is_empty());
    }

    /// Wherever paths differ, and however long they are.
    #[test]
    fn like_keys_lie_apart() {
        for len in 1..40 {
            for place in 0..len {
                let mut table = Table::default();
                for digits in 0..64_u8 {
                    let mut key = alloc::vec![b'x'; len];
                    key[place] = b'0' + digits;
                    let hash = hash(&key);
                    let start = wide(hash);
                    let mut number = start;
                    while table.slot(number).is_some_and(Slot::is_held) {
                        number += 1;
                    }
                    assert!(number - start < 40, "{len} {place}: {}", number - start);
                    table.add(hash, usize::from(digits));
                }
            }
        }
    }
}
