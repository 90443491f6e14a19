//! What has changed since it was last stored.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{NodeId, Tree};

/// The names of what has changed, each once. It never holds more than what is stored and what
/// there is: what came and went in between leaves nothing behind.
pub(in crate::server) struct Changed<K> {
    /// Whether it is stored, in an older state.
    names: BTreeMap<K, bool>,
}

impl<K> Default for Changed<K> {
    fn default() -> Self {
        Self { names: BTreeMap::new() }
    }
}

impl<K: Ord> Changed<K> {
    pub(in crate::server) fn created(&mut self, name: K) {
        self.names.entry(name).or_insert(false);
    }

    pub(in crate::server) fn modified(&mut self, name: K) {
        self.names.entry(name).or_insert(true);
    }

    pub(in crate::server) fn removed(&mut self, name: K) {
        if self.names.get(&name) == Some(&false) {
            self.names.remove(&name);
        } else {
            self.names.insert(name, true);
        }
    }

    pub(in crate::server) fn names(&self) -> impl Iterator<Item = &K> + '_ {
        self.names.keys()
    }

    pub(in crate::server) fn clear(&mut self) {
        self.names.clear();
    }
}

impl Tree {
    /// From now on changes are remembered.
    pub(in crate::server) fn track_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// The paths of znodes that have changed.
    pub(in crate::server) fn changes(&self) -> impl Iterator<Item = &Vec<u8>> + '_ {
        self.changed.iter().flat_map(Changed::names)
    }

    pub(in crate::server) fn changes_stored(&mut self) {
        if let Some(changed) = &mut self.changed {
            changed.clear();
        }
    }

    pub(super) fn note_created(&mut self, id: NodeId) {
        self.note(id, Changed::created);
    }

    pub(super) fn note_modified(&mut self, id: NodeId) {
        self.note(id, Changed::modified);
    }

    /// Before it goes: its path is needed.
    pub(super) fn note_removal(&mut self, id: NodeId) {
        self.note(id, Changed::removed);
    }

    /// Everything is going to go.
    pub(super) fn note_removal_of_all(&mut self) {
        for id in (0..self.nodes.len()).map(NodeId) {
            if self.node(id).is_some() {
                self.note_removal(id);
            }
        }
    }

    fn note(&mut self, id: NodeId, how: impl FnOnce(&mut Changed<Vec<u8>>, Vec<u8>)) {
        if let Some(mut changed) = self.changed.take() {
            how(&mut changed, self.path(id));
            self.changed = Some(changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_leaves_nothing_and_what_was_stored_is_remembered() {
        let mut changed = Changed::default();
        changed.created("new");
        changed.modified("new");
        changed.removed("new");
        assert_eq!(changed.names().count(), 0);
        changed.removed("old");
        changed.created("old");
        changed.removed("old");
        changed.modified("other");
        changed.modified("other");
        assert!(changed.names().eq(&["old", "other"]));
        changed.clear();
        assert_eq!(changed.names().count(), 0);
    }
}
