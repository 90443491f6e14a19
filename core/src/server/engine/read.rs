//! Requests that change no znode.
//!
//! # Source
//! `FinalRequestProcessor.processRequest`, 3.9.5.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::watching::watched;
use super::{ConnectionId, Engine, Release};
use crate::error::ErrorCode;
use crate::server::acl::{AclList, Digests, Identity};
use crate::server::text::canonical;
use crate::server::tree::{Node, Tree};
use crate::server::watches::{Modes, Table, Watches};
use crate::wire::{
    AddWatchMode, ClientInfo, List, Perms, Reply, Request, SessionId, Stat, Ustring, WatcherType,
    Writer, Xid,
};

/// A successful reply, still in the tree.
pub(super) enum Answer<'t> {
    Empty,
    Stat(Stat),
    Data(&'t Node),
    Children(&'t Node),
    Children2(&'t Node),
    Acl(&'t AclList, Digests, Stat),
    Count(i32),
    AddWatch,
    Paths(Vec<Vec<u8>>),
}

impl Answer<'_> {
    fn write(&self, w: &mut Writer<'_>) {
        match self {
            Self::Empty => {}
            Self::Stat(stat) => stat.write(w),
            Self::Data(node) => {
                w.buffer(node.data.as_deref());
                node.stat().write(w);
            }
            Self::Children(node) => names(node, w),
            Self::Children2(node) => {
                names(node, w);
                node.stat().write(w);
            }
            Self::Acl(acl, digests, stat) => {
                acl.write(w, *digests);
                stat.write(w);
            }
            Self::Count(count) => w.int(*count),
            Self::AddWatch => w.int(0),
            Self::Paths(paths) => {
                w.count(paths.len());
                for path in paths {
                    w.buffer(Some(path));
                }
            }
        }
    }
}

fn names(node: &Node, w: &mut Writer<'_>) {
    w.count(node.children.len());
    for name in node.children.keys() {
        w.buffer(Some(name));
    }
}

impl Engine {
    pub(super) fn read(&mut self, conn: ConnectionId, xid: Xid, request: &Request<'_>) {
        let zxid = self.zxid;
        match *request {
            Request::MultiRead(items) => return self.multi_read(conn, xid, items),
            Request::SetWatches(watches) | Request::SetWatches2(watches) => {
                return self.set_watches(conn, xid, &watches);
            }
            Request::Sync { path } => {
                let path = canonical(path);
                let reply = Reply::Path(path.as_deref().map_or(Ustring::NULL, Ustring::from_bytes));
                return self.send(conn, |a| a.reply(xid, zxid, |w| reply.encode(w)));
            }
            _ => {}
        }
        let Self { connections, tree, watches, config, .. } = self;
        let Some(state) = connections.get_mut(conn) else { return };
        let Some(attached) = state.session else { return };
        let sent = if matches!(request, Request::WhoAmI) {
            let infos: Vec<ClientInfo<'_>> = state.identities.iter().map(Identity::info).collect();
            let reply = Reply::WhoAmI(List::from_slice(&infos));
            state.connection.answers.reply(xid, zxid, |w| reply.encode(w))
        } else {
            let reader = Reader {
                conn,
                session: attached.session.id(),
                identities: &state.identities,
                release: config.release,
                watches,
            };
            match reader.answer(tree, request) {
                Ok(answer) => state.answers().reply(xid, zxid, |w| answer.write(w)),
                Err(code) => state.answers().error(xid, zxid, code),
            }
        };
        self.sent(conn, sent);
    }
}

/// Who reads.
struct Reader<'r> {
    conn: ConnectionId,
    session: SessionId,
    identities: &'r [Identity],
    release: Release,
    watches: &'r mut Watches,
}

impl Reader<'_> {
    fn answer<'t>(self, tree: &'t Tree, request: &Request<'_>) -> Result<Answer<'t>, ErrorCode> {
        match *request {
            Request::Exists { path, watch } => self.exists(tree, path, watch),
            Request::GetData { path, watch } => {
                let node = readable(tree, path, self.identities)?;
                self.arm(watch, Table::Data, path);
                Ok(Answer::Data(node))
            }
            Request::GetChildren { path, watch } => {
                let node = readable(tree, path, self.identities)?;
                self.arm(watch, Table::Child, path);
                Ok(Answer::Children(node))
            }
            Request::GetChildren2 { path, watch } => {
                let node = readable(tree, path, self.identities)?;
                self.arm(watch, Table::Child, path);
                Ok(Answer::Children2(node))
            }
            Request::GetAcl { path } => self.acl(tree, path),
            Request::GetAllChildrenNumber { path } => self.descendants(tree, path),
            Request::GetEphemerals { prefix } => Ok(self.ephemerals(tree, prefix)),
            Request::AddWatch { path, mode } => self.add_watch(path, mode),
            Request::CheckWatches { path, kind } => {
                let path = watched(path);
                let armed =
                    registrations(kind, self.release)?.into_iter().any(|(table, modes)| match self
                        .release
                    {
                        Release::V3_8 => self.watches.is_watched(table, &path),
                        Release::V3_9 => self.watches.is_armed(table, &path, self.conn, modes),
                    });
                if armed { Ok(Answer::Empty) } else { Err(ErrorCode::NoWatcher) }
            }
            Request::RemoveWatches { path, kind } => {
                let path = watched(path);
                let mut removed = false;
                for (table, modes) in registrations(kind, self.release)? {
                    removed |= self.watches.disarm(table, &path, self.conn, modes);
                }
                if removed { Ok(Answer::Empty) } else { Err(ErrorCode::NoWatcher) }
            }
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    fn arm(self, watch: bool, table: Table, path: Ustring<'_>) {
        if let (true, Some(path)) = (watch, canonical(path)) {
            self.watches.arm(table, &path, self.conn, Modes::STANDARD);
        }
    }

    fn exists<'t>(
        self,
        tree: &'t Tree,
        path: Ustring<'_>,
        watch: bool,
    ) -> Result<Answer<'t>, ErrorCode> {
        let name = named(path)?;
        if name.contains(&0) {
            return Err(ErrorCode::BadArguments);
        }
        let node = tree.look(&name);
        if let (Some(node), Release::V3_9) = (node, self.release) {
            node.acl.check(Perms::READ, self.identities)?;
        }
        self.arm(watch, Table::Data, path);
        node.map(|node| Answer::Stat(node.stat())).ok_or(ErrorCode::NoNode)
    }

    fn acl<'t>(self, tree: &'t Tree, path: Ustring<'_>) -> Result<Answer<'t>, ErrorCode> {
        let node = tree.look(&named(path)?).ok_or(ErrorCode::NoNode)?;
        let reader = Perms(Perms::READ.0 | Perms::ADMIN.0);
        node.acl.check(reader, self.identities)?;
        let digests = match node.acl.allows(Perms::ADMIN, self.identities) {
            true => Digests::Shown,
            false => Digests::Masked,
        };
        Ok(Answer::Acl(&node.acl, digests, node.stat()))
    }

    fn descendants<'t>(self, tree: &'t Tree, path: Ustring<'_>) -> Result<Answer<'t>, ErrorCode> {
        let name = named(path)?;
        let id = tree.find(&name).ok_or(ErrorCode::NoNode)?;
        tree.node(id).ok_or(ErrorCode::NoNode)?.acl.check(Perms::READ, self.identities)?;
        // Under its alias, the empty path, the root counts among what lies below it.
        let count = tree.descendants(id).saturating_add(usize::from(name.is_empty()));
        Ok(Answer::Count(i32::try_from(count).unwrap_or(i32::MAX)))
    }

    fn ephemerals<'t>(self, tree: &'t Tree, prefix: Ustring<'_>) -> Answer<'t> {
        let prefix = canonical(prefix).unwrap_or_default();
        // What Java's `trim` leaves of it.
        let trimmed = prefix.iter().filter(|byte| **byte > b' ');
        let all = trimmed.eq(b"/") || prefix.iter().all(|byte| *byte <= b' ');
        let paths = tree.ephemerals(self.session).map(|id| tree.path(id));
        Answer::Paths(paths.filter(|path| all || path.starts_with(&prefix)).collect())
    }

    fn add_watch<'t>(self, path: Ustring<'_>, mode: i32) -> Result<Answer<'t>, ErrorCode> {
        let path = watched(path);
        let mode = AddWatchMode::from_wire(mode).ok_or(ErrorCode::MarshallingError)?;
        match mode {
            AddWatchMode::Persistent => {
                self.watches.arm(Table::Data, &path, self.conn, Modes::PERSISTENT);
                self.watches.arm(Table::Child, &path, self.conn, Modes::PERSISTENT);
            }
            AddWatchMode::PersistentRecursive => {
                self.watches.arm(Table::Data, &path, self.conn, Modes::RECURSIVE);
            }
        }
        Ok(Answer::AddWatch)
    }
}

/// A path that is not null.
fn named(path: Ustring<'_>) -> Result<Cow<'_, [u8]>, ErrorCode> {
    canonical(path).ok_or(ErrorCode::MarshallingError)
}

/// A znode that may be read.
pub(super) fn readable<'t>(
    tree: &'t Tree,
    path: Ustring<'_>,
    identities: &[Identity],
) -> Result<&'t Node, ErrorCode> {
    let node = tree.look(&named(path)?).ok_or(ErrorCode::NoNode)?;
    node.acl.check(Perms::READ, identities)?;
    Ok(node)
}

/// The registrations that a watcher type means.
///
/// # Source
/// `DataTree.removeWatch`, `.containsWatcher`; 3.8.0 and 3.9.5.
fn registrations(kind: i32, release: Release) -> Result<Vec<(Table, Modes)>, ErrorCode> {
    let kind = WatcherType::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
    Ok(match (kind, release) {
        (WatcherType::Children, Release::V3_9) => Vec::from([(Table::Child, Modes::STANDARD)]),
        (WatcherType::Data, Release::V3_9) => Vec::from([(Table::Data, Modes::STANDARD)]),
        (WatcherType::Children, Release::V3_8) => Vec::from([(Table::Child, Modes::ANY)]),
        (WatcherType::Data, Release::V3_8) => Vec::from([(Table::Data, Modes::ANY)]),
        (WatcherType::Any, _) => Vec::from([(Table::Child, Modes::ANY), (Table::Data, Modes::ANY)]),
        (WatcherType::Persistent, Release::V3_9) => {
            Vec::from([(Table::Child, Modes::PERSISTENT), (Table::Data, Modes::PERSISTENT)])
        }
        (WatcherType::PersistentRecursive, Release::V3_9) => {
            Vec::from([(Table::Data, Modes::RECURSIVE)])
        }
        (WatcherType::Persistent | WatcherType::PersistentRecursive, Release::V3_8) => {
            return Err(ErrorCode::MarshallingError);
        }
    })
}
