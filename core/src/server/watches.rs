//! Who is told of what: watches by path and by connection.
//!
//! # Source
//! `WatchManager`, `WatcherMode`, `DataTree`, 3.9.5: a connection may watch a path in several
//! modes at once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::engine::ConnectionId;
pub(super) use super::modes::{Modes, Table};

type Watchers = BTreeMap<ConnectionId, Modes>;
type Places = BTreeSet<(Table, Arc<[u8]>)>;

/// All watches of all connections.
#[derive(Default)]
pub(super) struct Watches {
    data: BTreeMap<Arc<[u8]>, Watchers>,
    child: BTreeMap<Arc<[u8]>, Watchers>,
    by_connection: BTreeMap<ConnectionId, Places>,
    /// How many recursive watches there are: without any, no ancestor is looked at.
    recursive: usize,
}

impl Watches {
    fn table(&mut self, table: Table) -> &mut BTreeMap<Arc<[u8]>, Watchers> {
        match table {
            Table::Data => &mut self.data,
            Table::Child => &mut self.child,
        }
    }

    /// Arms a watch; twice is once.
    pub(super) fn arm(&mut self, table: Table, path: &[u8], conn: ConnectionId, mode: Modes) {
        let paths = self.table(table);
        let key = match paths.get_key_value(path) {
            Some((key, _)) => Arc::clone(key),
            None => Arc::from(path),
        };
        let modes = paths.entry(Arc::clone(&key)).or_default().entry(conn).or_insert(Modes::NONE);
        let before = *modes;
        *modes = before.with(mode);
        if mode == Modes::RECURSIVE && !before.meets(mode) {
            self.recursive = self.recursive.saturating_add(1);
        }
        if before.is_empty() {
            self.by_connection.entry(conn).or_default().insert((table, key));
        }
    }

    /// Whether a connection watches a path in one of these modes.
    pub(super) fn is_armed(
        &self,
        table: Table,
        path: &[u8],
        conn: ConnectionId,
        modes: Modes,
    ) -> bool {
        let paths = match table {
            Table::Data => &self.data,
            Table::Child => &self.child,
        };
        let armed = paths.get(path).and_then(|watchers| watchers.get(&conn));
        armed.is_some_and(|armed| armed.meets(modes))
    }

    /// Whether anyone watches a path, which is what 3.8.0 says when a connection asks for itself.
    ///
    /// # Source
    /// `WatchManager.containsWatcher`, 3.8.0.
    pub(super) fn is_watched(&self, table: Table, path: &[u8]) -> bool {
        match table {
            Table::Data => self.data.contains_key(path),
            Table::Child => self.child.contains_key(path),
        }
    }

    /// Disarms a connection's watch in these modes; false if there is none.
    pub(super) fn disarm(
        &mut self,
        table: Table,
        path: &[u8],
        conn: ConnectionId,
        modes: Modes,
    ) -> bool {
        let paths = self.table(table);
        let Some((key, _)) = paths.get_key_value(path) else { return false };
        let key = Arc::clone(key);
        let Some(watchers) = paths.get_mut(path) else { return false };
        let Some(armed) = watchers.get_mut(&conn) else { return false };
        let before = *armed;
        *armed = before.without(modes);
        let now = *armed;
        if now.is_empty() {
            watchers.remove(&conn);
            if watchers.is_empty() {
                paths.remove(path);
            }
            self.forget_path(table, &key, conn);
        }
        if before.meets(Modes::RECURSIVE) && !now.meets(Modes::RECURSIVE) {
            self.recursive = self.recursive.saturating_sub(1);
        }
        before.meets(modes)
    }

    /// Takes the connections to be told of a change of `path`, in the order of their ids; their
    /// one-shot watches are gone with it.
    pub(super) fn fire(&mut self, table: Table, path: &[u8]) -> Vec<ConnectionId> {
        let mut told = Vec::new();
        let paths = self.table(table);
        if let Some((key, _)) = paths.get_key_value(path) {
            let key = Arc::clone(key);
            let mut gone = Vec::new();
            if let Some(watchers) = paths.get_mut(path) {
                told.extend(watchers.keys().copied());
                watchers.retain(|conn, modes| {
                    *modes = modes.without(Modes::STANDARD);
                    if modes.is_empty() {
                        gone.push(*conn);
                    }
                    !modes.is_empty()
                });
                if watchers.is_empty() {
                    paths.remove(path);
                }
            }
            for conn in gone {
                self.forget_path(table, &key, conn);
            }
        }
        if table == Table::Data && self.recursive > 0 {
            let own = told.len();
            for ancestor in ancestors(path) {
                let watchers = self.data.get(ancestor).into_iter().flatten();
                let recursive = watchers.filter(|(_, modes)| modes.meets(Modes::RECURSIVE));
                told.extend(recursive.map(|(conn, _)| *conn));
            }
            if told.len() > own {
                told.sort_unstable();
                told.dedup();
            }
        }
        told
    }

    /// Forgets all watches of a connection.
    pub(super) fn forget(&mut self, conn: ConnectionId) {
        for (table, path) in self.by_connection.remove(&conn).unwrap_or_default() {
            let paths = self.table(table);
            let Some(watchers) = paths.get_mut(&path) else { continue };
            let modes = watchers.remove(&conn);
            if watchers.is_empty() {
                paths.remove(&path);
            }
            if modes.is_some_and(|modes| modes.meets(Modes::RECURSIVE)) {
                self.recursive = self.recursive.saturating_sub(1);
            }
        }
    }

    /// The paths in the table of data watches that a connection watches.
    pub(super) fn data_paths(&self, conn: ConnectionId) -> impl Iterator<Item = &[u8]> + '_ {
        let places = self.by_connection.get(&conn).into_iter().flatten();
        places.filter(|(table, _)| *table == Table::Data).map(|(_, path)| &**path)
    }

    /// How many watches a connection has. ZooKeeper keeps a recursive one in both tables.
    pub(super) fn count(&self, conn: ConnectionId) -> usize {
        let Some(places) = self.by_connection.get(&conn) else { return 0 };
        let twice = |(table, path): &(Table, Arc<[u8]>)| {
            *table == Table::Data
                && self.is_armed(Table::Data, path, conn, Modes::RECURSIVE)
                && !self.is_armed(Table::Child, path, conn, Modes::ANY)
        };
        // Without any recursive watch, no path is looked at.
        let recursive =
            if self.recursive == 0 { 0 } else { places.iter().filter(|p| twice(p)).count() };
        places.len().saturating_add(recursive)
    }

    fn forget_path(&mut self, table: Table, path: &Arc<[u8]>, conn: ConnectionId) {
        if let Some(paths) = self.by_connection.get_mut(&conn) {
            paths.remove(&(table, Arc::clone(path)));
            if paths.is_empty() {
                self.by_connection.remove(&conn);
            }
        }
    }
}

/// The paths above one: `/a/b` has `/a` and `/`.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut end = path.len();
    core::iter::from_fn(move || {
        if end <= 1 {
            return None;
        }
        end = path.get(..end)?.iter().rposition(|byte| *byte == b'/')?;
        path.get(..end.max(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_end_with_the_root() {
        let all: Vec<_> = ancestors(b"/a/bc/d").collect();
        assert_eq!(all, [&b"/a/bc"[..], b"/a", b"/"]);
        assert_eq!(ancestors(b"/a").collect::<Vec<_>>(), [&b"/"[..]]);
        assert_eq!(ancestors(b"/").count(), 0);
    }
}
