//! Who watches what: hands the session's notifications to the watches they are for.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::Waker;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use zk_session::client::{KeeperState, WatchKind, ancestors};
use zk_session::wire::{EventType, WatcherType};

use crate::watch::{Queue, WatchEvent};

#[derive(Debug)]
struct Entry {
    kind: WatchKind,
    queue: Arc<Queue>,
}

impl Entry {
    fn is_at(&self, path: &str) -> bool {
        **self.queue.path() == *path
    }
}

/// The watches by their paths, of which each may have several. Paths may be of somebody else's
/// choice: the hash is keyed, and nobody is shown hashes or what follows from their order.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    table: HashTable<Entry>,
    hash: RandomState,
    recursive: usize,
    /// Removals that the server has not been asked for yet.
    removals: Vec<(Arc<str>, WatcherType)>,
}

impl Watches {
    /// How many watches there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// A new watch, armed now.
    pub(crate) fn add(&mut self, queue: Arc<Queue>, kind: WatchKind) {
        let path = queue.path();
        if !self.removals.is_empty() {
            // A removal that has not left would remove the new one as well.
            self.removals.retain(|(at, removal)| at != path || !kind.is_removed_by(*removal));
        }
        self.recursive += usize::from(kind == WatchKind::Recursive);
        let hash = self.hash.hash_one(&**path);
        let rehash = |entry: &Entry| self.hash.hash_one(&**entry.queue.path());
        self.table.insert_unique(hash, Entry { kind, queue }, rehash);
    }

    /// The watches at a path.
    fn at<'w>(&'w self, path: &'w str) -> impl Iterator<Item = &'w Entry> {
        let there = self.table.iter_hash(self.hash.hash_one(path));
        there.filter(move |entry| entry.is_at(path))
    }

    /// Tells the watches that an event is for, and takes away those that it uses up.
    pub(crate) fn notify(&mut self, event: EventType, path: &str, wakes: &mut Vec<Waker>) {
        if self.table.is_empty() {
            return;
        }
        let mut shown: Option<Arc<str>> = None;
        let hash = self.hash.hash_one(path);
        let used_up = |entry: &Entry| entry.kind.ends_with(event) && entry.is_at(path);
        while let Ok(found) = self.table.find_entry(hash, used_up) {
            let (Entry { queue, .. }, _) = found.remove();
            let at = shown.get_or_insert_with(|| queue.path().clone());
            wakes.extend(queue.fire(event, at, true));
        }
        let told = |entry: &&Entry| event.fires(entry.kind) && entry.is_at(path);
        for Entry { queue, .. } in self.table.iter_hash(hash).filter(told) {
            let at = shown.get_or_insert_with(|| queue.path().clone());
            wakes.extend(queue.fire(event, at, false));
        }
        if self.recursive == 0 || !event.fires(WatchKind::Recursive) {
            return;
        }
        for up in ancestors(path) {
            for Entry { queue, .. } in self.at(up).filter(|e| e.kind == WatchKind::Recursive) {
                let at = shown.get_or_insert_with(|| path.into());
                wakes.extend(queue.fire(event, at, false));
            }
        }
    }

    /// Tells every watch of the session's state; a final one ends them all.
    pub(crate) fn tell(&mut self, state: KeeperState, wakes: &mut Vec<Waker>) {
        for entry in &self.table {
            wakes.extend(entry.queue.push(WatchEvent::State(state)));
        }
        if state.is_final() {
            self.end_all(wakes);
        }
    }

    /// The server has refused to register the watches again.
    pub(crate) fn lost(&mut self, wakes: &mut Vec<Waker>) {
        for entry in &self.table {
            wakes.extend(entry.queue.push(WatchEvent::Lost));
        }
        self.end_all(wakes);
    }

    pub(crate) fn end_all(&mut self, wakes: &mut Vec<Waker>) {
        for entry in std::mem::take(&mut self.table) {
            wakes.extend(entry.queue.end());
        }
        self.recursive = 0;
        self.removals.clear();
    }

    /// A watch is dropped: forgets it, and says which kind it was if the server still has it.
    pub(crate) fn forget(&mut self, queue: &Arc<Queue>) -> Option<WatchKind> {
        let hash = self.hash.hash_one(&**queue.path());
        let this = |entry: &Entry| Arc::ptr_eq(&entry.queue, queue);
        let (Entry { kind, .. }, _) = self.table.find_entry(hash, this).ok()?.remove();
        self.recursive -= usize::from(kind == WatchKind::Recursive);
        Some(kind)
    }

    /// Nobody listens to a watch of this kind any more: asks for its removal, unless another watch
    /// would go with it. `coming`: the kinds that requests on their way wish for at the path.
    pub(crate) fn remove(&mut self, path: &Arc<str>, kind: WatchKind, coming: &[WatchKind]) {
        let there = self.at(path).map(|entry| entry.kind);
        let mut others = there.chain(coming.iter().copied()).peekable();
        let removal = match kind {
            // Understood by servers of every release, before 3.9 the only type for persistent ones.
            _ if others.peek().is_none() => WatcherType::Any,
            WatchKind::Data | WatchKind::Exist => WatcherType::Data,
            WatchKind::Child => WatcherType::Children,
            WatchKind::Persistent => WatcherType::Persistent,
            WatchKind::Recursive => WatcherType::PersistentRecursive,
        };
        let others_lose = others.any(|other| other.is_removed_by(removal));
        drop(others);
        if !others_lose {
            self.removals.push((path.clone(), removal));
        }
    }

    /// The next removal to ask for.
    pub(crate) fn removal(&self) -> Option<&(Arc<str>, WatcherType)> {
        self.removals.last()
    }

    /// The server has been asked for it.
    pub(crate) fn removal_asked(&mut self) {
        self.removals.pop();
    }

    /// Whether nothing is watched.
    pub(crate) fn is_unused(&self) -> bool {
        self.table.is_empty() && self.removals.is_empty()
    }
}
