//! Who is told of what.
//!
//! # Source
//! `WatchManager`, `WatcherMode`, `DataTree`, 3.9.5: a connection may watch a path in several modes
//! at once.

use super::memory::{ConnectionId, WatchSlot};
use super::store::{FULL, Store};
use super::tree::NodeId;
use crate::error::ErrorCode;
use crate::server::modes::{Modes, Table};
use crate::wire::WatcherType;

/// Modes in both tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Both {
    pub(super) data: Modes,
    pub(super) child: Modes,
}

impl Both {
    pub(super) const DATA: Self = Self { data: Modes::STANDARD, child: Modes::NONE };
    pub(super) const CHILD: Self = Self { data: Modes::NONE, child: Modes::STANDARD };
    pub(super) const PERSISTENT: Self = Self { data: Modes::PERSISTENT, child: Modes::PERSISTENT };
    pub(super) const RECURSIVE: Self = Self { data: Modes::RECURSIVE, child: Modes::NONE };
    const ANY: Self = Self { data: Modes::ANY, child: Modes::ANY };

    /// What a watcher type means.
    ///
    /// # Source
    /// `DataTree.removeWatch`, `.containsWatcher`; 3.9.5.
    pub(super) const fn of(kind: WatcherType) -> Self {
        match kind {
            WatcherType::Children => Self::CHILD,
            WatcherType::Data => Self::DATA,
            WatcherType::Any => Self::ANY,
            WatcherType::Persistent => Self::PERSISTENT,
            WatcherType::PersistentRecursive => Self::RECURSIVE,
        }
    }
}

impl Store<'_> {
    /// Arms a watch; twice is once.
    pub(super) fn arm(
        &mut self,
        conn: ConnectionId,
        path: &[u8],
        modes: Both,
    ) -> Result<(), ErrorCode> {
        let place = match self.watched(conn, path) {
            Some(place) => place,
            None => {
                let vacant = self.watches.iter().position(|watch| !watch.is_used()).ok_or(FULL)?;
                let path = self.push(&[path])?;
                if let Some(watch) = self.watches.get_mut(vacant) {
                    *watch = WatchSlot { path, conn, ..WatchSlot::EMPTY };
                }
                vacant
            }
        };
        if let Some(watch) = self.watches.get_mut(place) {
            watch.data = watch.data.with(modes.data);
            watch.child = watch.child.with(modes.child);
        }
        Ok(())
    }

    /// Whether a connection watches a path in one of these modes.
    pub(super) fn is_armed(&self, conn: ConnectionId, path: &[u8], modes: Both) -> bool {
        let watch = self.watched(conn, path).and_then(|place| self.watches.get(place));
        watch.is_some_and(|watch| watch.data.meets(modes.data) || watch.child.meets(modes.child))
    }

    /// Disarms a connection's watch in these modes; false if there is none.
    pub(super) fn disarm(&mut self, conn: ConnectionId, path: &[u8], modes: Both) -> bool {
        let armed = self.is_armed(conn, path, modes);
        if let Some(place) = self.watched(conn, path) {
            self.weaken(place, modes);
        }
        armed
    }

    /// Whether a connection is to be told of a change of a znode; its one-shot watch is gone with
    /// it.
    pub(super) fn fire(&mut self, conn: ConnectionId, table: Table, id: NodeId) -> bool {
        let mut told = false;
        for place in 0..self.watches.len() {
            let Some(watch) = self.watches.get(place).copied() else { continue };
            if !watch.is_used() || watch.conn != conn {
                continue;
            }
            let (modes, fired) = match table {
                Table::Data => (watch.data, Both::DATA),
                Table::Child => (watch.child, Both::CHILD),
            };
            let path = self.bytes(watch.path.range());
            if self.is_path(id, path) {
                told |= !modes.is_empty();
                self.weaken(place, fired);
            } else if table == Table::Data && modes.meets(Modes::RECURSIVE) {
                told |= self.is_below(id, path);
            }
        }
        told
    }

    /// Forgets all watches of a connection.
    pub(super) fn forget(&mut self, conn: ConnectionId) {
        for place in 0..self.watches.len() {
            if self.watches.get(place).is_some_and(|watch| watch.conn == conn) {
                self.weaken(place, Both::ANY);
            }
        }
    }

    /// How many slots are used.
    pub(super) fn watch_count(&self) -> usize {
        self.watches.iter().filter(|watch| watch.is_used()).count()
    }

    /// The slot of what a connection watches of a path.
    fn watched(&self, conn: ConnectionId, path: &[u8]) -> Option<usize> {
        self.watches.iter().position(|watch| {
            watch.is_used() && watch.conn == conn && self.bytes(watch.path.range()) == path
        })
    }

    /// Takes modes from a watch, which is gone when none is left.
    fn weaken(&mut self, place: usize, modes: Both) {
        let Some(watch) = self.watches.get_mut(place).filter(|watch| watch.is_used()) else {
            return;
        };
        watch.data = watch.data.without(modes.data);
        watch.child = watch.child.without(modes.child);
        if !watch.is_used() {
            let path = watch.path;
            self.give_back(path);
        }
    }
}
