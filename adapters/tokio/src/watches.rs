//! Who watches what: hands the session's notifications to the watches they are for.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use zk_session::client::{KeeperState, WatchKind, ancestors};
use zk_session::wire::{EventType, WatcherType};
use zk_session::{ErrorCode, OpError};

use crate::watch::{Queue, WatchEvent};

/// The watch that a request wishes for.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) path: Arc<str>,
    /// Armed by success.
    pub(crate) on_success: WatchKind,
    /// Armed by the server's word that there is no such znode.
    pub(crate) on_no_node: Option<WatchKind>,
    /// How many events wait for its reader.
    pub(crate) buffer: usize,
}

impl Wish {
    /// The kind of watch that such an answer arms.
    pub(crate) fn armed<T>(&self, result: &Result<T, OpError>) -> Option<WatchKind> {
        match result {
            Ok(_) => Some(self.on_success),
            Err(OpError::Server(ErrorCode::NoNode)) => self.on_no_node,
            Err(_) => None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    kind: WatchKind,
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
pub(crate) struct Watches {
    by_path: HashMap<Arc<str>, Vec<Entry>>,
    recursive: usize,
    /// Removals that the server has not been asked for yet.
    removals: Vec<(Arc<str>, WatcherType)>,
}

impl Watches {
    /// How many watches there are.
    pub(crate) fn len(&self) -> usize {
        self.by_path.values().map(Vec::len).sum()
    }

    /// A new watch, armed now.
    pub(crate) fn add(&mut self, path: Arc<str>, kind: WatchKind, buffer: usize) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(path.clone(), buffer));
        // A removal that has not left would remove the new one as well.
        self.removals.retain(|(at, removal)| *at != path || !kind.is_removed_by(*removal));
        self.recursive += usize::from(kind == WatchKind::Recursive);
        let entries = self.by_path.entry(path).or_default();
        entries.push(Entry { kind, queue: queue.clone() });
        queue
    }

    /// Tells the watches that an event is for.
    pub(crate) fn notify(&mut self, event: EventType, path: &str, wakes: &mut Vec<Waker>) {
        let mut shown: Option<Arc<str>> = None;
        let mut over = false;
        if let Some((at, entries)) = self.by_path.get_key_value(path) {
            shown = Some(at.clone());
            for entry in entries.iter().filter(|entry| event.fires(entry.kind)) {
                wakes.extend(entry.queue.fire(event, at));
                over |= entry.kind.ends_with(event);
            }
        }
        if over {
            self.use_up(event, path, wakes);
        }
        if self.recursive == 0 || !event.fires(WatchKind::Recursive) {
            return;
        }
        for up in ancestors(path) {
            for entry in self.by_path.get(up).into_iter().flatten() {
                if entry.kind == WatchKind::Recursive {
                    let shown = shown.get_or_insert_with(|| path.into());
                    wakes.extend(entry.queue.fire(event, shown));
                }
            }
        }
    }

    /// Takes away the watches that an event uses up.
    fn use_up(&mut self, event: EventType, path: &str, wakes: &mut Vec<Waker>) {
        let Some(entries) = self.by_path.get_mut(path) else { return };
        entries.retain(|entry| {
            let over = entry.kind.ends_with(event);
            if over {
                wakes.extend(entry.queue.end());
            }
            !over
        });
        if entries.is_empty() {
            self.by_path.remove(path);
        }
    }

    /// Tells every watch of the session's state; a final one ends them all.
    pub(crate) fn tell(&mut self, state: KeeperState, wakes: &mut Vec<Waker>) {
        for entry in self.by_path.values().flatten() {
            wakes.extend(entry.queue.push(WatchEvent::State(state)));
        }
        if state.is_final() {
            self.end_all(wakes);
        }
    }

    /// The server has refused to register the watches again.
    pub(crate) fn lost(&mut self, wakes: &mut Vec<Waker>) {
        for entry in self.by_path.values().flatten() {
            wakes.extend(entry.queue.push(WatchEvent::Lost));
        }
        self.end_all(wakes);
    }

    pub(crate) fn end_all(&mut self, wakes: &mut Vec<Waker>) {
        for entry in std::mem::take(&mut self.by_path).into_values().flatten() {
            wakes.extend(entry.queue.end());
        }
        self.recursive = 0;
        self.removals.clear();
    }

    /// A watch is dropped: forgets it, and says which kind it was if the server still has it.
    pub(crate) fn forget(&mut self, queue: &Arc<Queue>) -> Option<WatchKind> {
        let entries = self.by_path.get_mut(queue.path())?;
        let at = entries.iter().position(|entry| Arc::ptr_eq(&entry.queue, queue))?;
        let kind = entries.swap_remove(at).kind;
        self.recursive -= usize::from(kind == WatchKind::Recursive);
        if entries.is_empty() {
            self.by_path.remove(queue.path());
        }
        Some(kind)
    }

    /// Nobody listens to a watch of this kind any more: asks for its removal, unless another watch
    /// would go with it. `coming`: the kinds that requests on their way wish for at the path.
    pub(crate) fn remove(&mut self, path: &Arc<str>, kind: WatchKind, coming: &[WatchKind]) {
        let there = self.by_path.get(path).into_iter().flatten().map(|entry| entry.kind);
        let mut others = there.chain(coming.iter().copied()).peekable();
        let removal = match kind {
            // Understood by servers of every release, before 3.9 the only type for persistent ones.
            _ if others.peek().is_none() => WatcherType::Any,
            WatchKind::Data | WatchKind::Exist => WatcherType::Data,
            WatchKind::Child => WatcherType::Children,
            WatchKind::Persistent => WatcherType::Persistent,
            WatchKind::Recursive => WatcherType::PersistentRecursive,
        };
        if !others.any(|other| other.is_removed_by(removal)) {
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

    /// Gives memory back while nothing is watched.
    pub(crate) fn shrink(&mut self) {
        if self.by_path.is_empty() && self.removals.is_empty() {
            *self = Self::default();
        }
    }
}
