//! Telling watchers, and re-arming what a client watched before it reconnected.

use alloc::borrow::Cow;

use super::write::{Change, ChangeKind};
use super::{ConnectionId, Engine, Release};
use crate::error::ErrorCode;
use crate::server::acl::AclList;
use crate::server::text::canonical;
use crate::server::watches::{Modes, Table};
use crate::wire::{EventType, List, Perms, SetWatches, Ustring, Xid, Zxid};

impl Engine {
    /// Tells the watchers of each change, in the order of the changes.
    ///
    /// # Source
    /// `DataTree.createNode`, `.deleteNode`, `.setData`; `WatchManager.triggerWatch`; 3.9.5.
    pub(super) fn publish(&mut self, changes: &[Change], zxid: Zxid) {
        let zxid = match self.config.release {
            Release::V3_8 => Zxid(-1),
            Release::V3_9 => zxid,
        };
        for Change { kind, path, acl, parent_acl } in changes {
            match kind {
                ChangeKind::DataSet => {
                    self.fire(Table::Data, EventType::NodeDataChanged, path, acl, zxid, &[]);
                }
                ChangeKind::Created => {
                    self.fire(Table::Data, EventType::NodeCreated, path, acl, zxid, &[]);
                    self.children_changed(path, parent_acl, zxid);
                }
                ChangeKind::Deleted => {
                    let kind = EventType::NodeDeleted;
                    let told = self.fire(Table::Data, kind, path, acl, zxid, &[]);
                    self.fire(Table::Child, kind, path, acl, zxid, &told);
                    self.children_changed(path, parent_acl, zxid);
                }
            }
        }
    }

    fn children_changed(&mut self, path: &[u8], acl: &AclList, zxid: Zxid) {
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let parent = path.get(..slash.max(1)).unwrap_or_default();
        self.fire(Table::Child, EventType::NodeChildrenChanged, parent, acl, zxid, &[]);
    }

    /// Tells the watchers of one path, but not those in `told`; who may not read the znode is not
    /// told, but the watch is gone all the same. Returns who was watching.
    fn fire(
        &mut self,
        table: Table,
        kind: EventType,
        path: &[u8],
        acl: &AclList,
        zxid: Zxid,
        told: &[ConnectionId],
    ) -> alloc::vec::Vec<ConnectionId> {
        let watching = self.watches.fire(table, path);
        for conn in &watching {
            if told.binary_search(conn).is_ok() {
                continue;
            }
            let Some(state) = self.connections.get(*conn) else { continue };
            if acl.allows(Perms::READ, &state.identities) {
                let sent = self.connections.notify(*conn, zxid, kind, path);
                self.sent(*conn, sent);
            }
        }
        watching
    }

    /// # Source
    /// `DataTree.setWatches`, 3.9.5.
    pub(super) fn set_watches(&mut self, conn: ConnectionId, xid: Xid, watches: &SetWatches<'_>) {
        let zxid = self.zxid;
        let done = self.rewatch(conn, watches);
        self.send(conn, |a| match done {
            Ok(()) => a.reply(xid, zxid, |_| {}),
            Err(code) => a.error(xid, zxid, code),
        });
        if self.connections.get(conn).is_none_or(|state| state.session.is_none()) {
            self.watches.forget(conn); // it was lost on the way
        }
    }

    /// Goes through the lists in order; what comes before the first null has been done.
    fn rewatch(&mut self, conn: ConnectionId, watches: &SetWatches<'_>) -> Result<(), ErrorCode> {
        let since = watches.relative_zxid;
        self.catch_up(conn, watches.data, Table::Data, |seen| match seen {
            None => Some(EventType::NodeDeleted),
            Some((mzxid, _)) => (mzxid > since).then_some(EventType::NodeDataChanged),
        })?;
        self.catch_up(conn, watches.exist, Table::Data, |seen| {
            seen.map(|_| EventType::NodeCreated)
        })?;
        self.catch_up(conn, watches.child, Table::Child, |seen| match seen {
            None => Some(EventType::NodeDeleted),
            Some((_, pzxid)) => (pzxid > since).then_some(EventType::NodeChildrenChanged),
        })?;
        for path in not_null(watches.persistent)? {
            let path = watched(path);
            self.watches.arm(Table::Child, &path, conn, Modes::PERSISTENT);
            self.watches.arm(Table::Data, &path, conn, Modes::PERSISTENT);
        }
        for path in not_null(watches.persistent_recursive)? {
            self.watches.arm(Table::Data, &watched(path), conn, Modes::RECURSIVE);
        }
        Ok(())
    }

    /// Tells of each path what `missed` says of its znode's mzxid and pzxid, or arms the watch.
    fn catch_up(
        &mut self,
        conn: ConnectionId,
        paths: List<'_, Ustring<'_>>,
        table: Table,
        missed: impl Fn(Option<(Zxid, Zxid)>) -> Option<EventType>,
    ) -> Result<(), ErrorCode> {
        for path in not_null(paths)? {
            let path = canonical(path).ok_or(ErrorCode::MarshallingError)?;
            let node = self.tree.look(&path);
            match missed(node.map(|node| (node.mzxid, node.pzxid))) {
                Some(kind) => {
                    let sent = self.connections.notify(conn, Zxid(-1), kind, &path);
                    self.sent(conn, sent);
                }
                None => self.watches.arm(table, &path, conn, Modes::STANDARD),
            }
        }
        Ok(())
    }
}

fn not_null<'a>(paths: List<'a, Ustring<'a>>) -> Result<List<'a, Ustring<'a>>, ErrorCode> {
    if paths.is_null() { Err(ErrorCode::MarshallingError) } else { Ok(paths) }
}

/// A path as the tables of watches know it: Java's maps take null for a key, too, which here is
/// bytes that no string has.
pub(super) fn watched(path: Ustring<'_>) -> Cow<'_, [u8]> {
    canonical(path).unwrap_or(Cow::Borrowed(b"\xff"))
}
