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

#[cfg(feature = "alloc")]
impl Index {
    /// Starts an empty index.
    pub(crate) fn start(&mut self) {
        self.table = Some(Box::default());
    }

    pub(crate) const fn is_started(&self) -> bool {
        self.table.is_some()
    }

    /// The places of what has this key, and perhaps others; `None` if there is no index.
    pub(crate) fn places(&self, key: &[u8]) -> Option<impl Iterator<Item = usize> + '_> {
        self.table.as_ref().map(|table| table.places(hash(key)))
    }

    /// Does nothing without an index.
    pub(crate) fn add(&mut self, key: &[u8], place: usize) {
        if let Some(table) = &mut self.table {
            table.add(hash(key), place);
        }
    }

    /// Does nothing without an index.
    pub(crate) fn remove(&mut self, key: &[u8], place: usize) {
        if let Some(table) = &mut self.table {
            table.remove(hash(key), place);
        }
    }
}

#[cfg(not(feature = "alloc"))]
impl Index {
    pub(crate) const fn start(&mut self) {}

    pub(crate) const fn is_started(&self) -> bool {
        false
    }

    pub(crate) const fn places(&self, _key: &[u8]) -> Option<core::iter::Empty<usize>> {
        None
    }

    pub(crate) const fn add(&mut self, _key: &[u8], _place: usize) {}

    pub(crate) const fn remove(&mut self, _key: &[u8], _place: usize) {}
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
enum Slot {
    /// No search goes on behind it.
    Empty,
    /// What was here is gone.
    Gone,
    Held {
        hash: u32,
        place: u32,
    },
}

#[cfg(feature = "alloc")]
impl Table {
    const LEAST: usize = 32;

    /// The slots to search for a hash, in order: the first is the one that it should be in.
    fn search(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let (len, start) = (self.slots.len(), usize::try_from(hash).unwrap_or(0));
        let mask = len.wrapping_sub(1);
        (0..len).map(move |n| start.wrapping_add(n) & mask)
    }

    fn places(&self, hash: u32) -> impl Iterator<Item = usize> + '_ {
        self.search(hash)
            .map_while(|at| self.slots.get(at).filter(|slot| **slot != Slot::Empty))
            .filter_map(move |slot| match slot {
                Slot::Held { hash: found, place } if *found == hash => usize::try_from(*place).ok(),
                _ => None,
            })
    }

    fn add(&mut self, hash: u32, place: usize) {
        if self.used.saturating_mul(2) >= self.slots.len() {
            self.rehash();
        }
        let Ok(place) = u32::try_from(place) else { return };
        let free = |at: &usize| !matches!(self.slots.get(*at), Some(Slot::Held { .. }));
        let Some(slot) = self.search(hash).find(free).and_then(|at| self.slots.get_mut(at)) else {
            return;
        };
        self.used = self.used.saturating_add(usize::from(*slot == Slot::Empty));
        self.held = self.held.saturating_add(1);
        *slot = Slot::Held { hash, place };
    }

    fn remove(&mut self, hash: u32, place: usize) {
        let Ok(place) = u32::try_from(place) else { return };
        let this = Slot::Held { hash, place };
        let at = self
            .search(hash)
            .take_while(|at| self.slots.get(*at).is_some_and(|slot| *slot != Slot::Empty))
            .find(|at| self.slots.get(*at) == Some(&this));
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            *slot = Slot::Gone;
            self.held = self.held.saturating_sub(1);
        }
    }

    /// Makes room for more, in as many slots as what is held needs.
    fn rehash(&mut self) {
        let len = self.held.saturating_mul(4).next_power_of_two().max(Self::LEAST);
        let old = core::mem::replace(&mut self.slots, vec![Slot::Empty; len]);
        (self.used, self.held) = (0, 0);
        for slot in old {
            if let Slot::Held { hash, place } = slot {
                self.add(hash, usize::try_from(place).unwrap_or(usize::MAX));
            }
        }
    }
}

/// The application chooses what is in the index, so nobody else can make it slow.
#[cfg(feature = "alloc")]
fn hash(key: &[u8]) -> u32 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(SPREAD);
    let mut words = key.chunks_exact(8);
    let mut hash = words
        .by_ref()
        .fold(0, |hash, word| mix(hash, u64::from_le_bytes(word.try_into().unwrap_or_default())));
    let rest = words.remainder().iter().fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
    hash = mix(hash, rest ^ u64::try_from(key.len()).unwrap_or(0) << 56);
    u32::try_from(hash >> 32).unwrap_or(0)
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
        assert!(index.places(b"/a").is_none());
        index.start();
        let mut model: BTreeMap<usize, String> = BTreeMap::new();
        let mut seed = 7_u64;
        for step in 0..20_000_usize {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, remove) = (format!("/node/{}", seed >> 55), seed & 0x3_0000 != 0);
            let known = model.iter().find(|(_, k)| **k == key).map(|(place, _)| *place);
            if let (Some(place), true) = (known, remove) {
                index.remove(key.as_bytes(), place);
                model.remove(&place);
            } else {
                index.add(key.as_bytes(), step);
                model.insert(step, key.clone());
            }
            let mut found: Vec<_> = index.places(key.as_bytes()).unwrap().collect();
            found.sort_unstable();
            let mut held: Vec<_> =
                model.iter().filter(|(_, k)| **k == key).map(|(place, _)| *place).collect();
            held.sort_unstable();
            assert_eq!(found, held, "step {step}");
        }
        assert!(!model.is_empty());
    }
}
