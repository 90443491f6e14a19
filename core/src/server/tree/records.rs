//! The tree to records and back.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::quota;
use super::{Node, NodeId, Tree};
use crate::server::acl::AclList;
use crate::server::record::ZnodeRecord;

impl Tree {
    /// A tree to be restored: the first znode is the root.
    pub(in crate::server) fn unrestored() -> Self {
        Self::bare()
    }

    /// The record of a znode.
    pub(in crate::server) fn record(&self, id: NodeId) -> Option<ZnodeRecord<'_>> {
        let node = self.node(id)?;
        let path = String::from_utf8(self.path(id))
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Some(ZnodeRecord {
            path: Cow::Owned(path),
            data: node.data.as_deref(),
            acl: node.acl.entries(),
            kind: node.kind,
            czxid: node.czxid,
            mzxid: node.mzxid,
            pzxid: node.pzxid,
            ctime: node.ctime,
            mtime: node.mtime,
            version: node.version,
            aversion: node.aversion,
            creations: node.creations,
        })
    }

    /// The records of all znodes, parents first.
    pub(in crate::server) fn records(&self) -> impl Iterator<Item = ZnodeRecord<'_>> + '_ {
        let mut open = Vec::from([NodeId::ROOT]);
        core::iter::from_fn(move || {
            let id = open.pop()?;
            open.extend(self.node(id)?.children.values().rev());
            self.record(id)
        })
    }

    /// Adds the znode of a record; false if there is one of that name already.
    pub(in crate::server) fn restore(&mut self, parent: NodeId, znode: &ZnodeRecord<'_>) -> bool {
        let name = match znode.path.rsplit_once('/') {
            Some((_, name)) if !self.nodes.is_empty() => name.as_bytes(),
            _ => b"",
        };
        let name: Arc<[u8]> = name.into();
        if self.node(parent).is_some_and(|parent| parent.children.contains_key(&name)) {
            return false;
        }
        let id = self.store(Node {
            name: Arc::clone(&name),
            parent,
            children: BTreeMap::new(),
            data: znode.data.map(Box::from),
            acl: AclList::restored(&znode.acl, &self.open),
            kind: znode.kind,
            czxid: znode.czxid,
            mzxid: znode.mzxid,
            pzxid: znode.pzxid,
            ctime: znode.ctime,
            mtime: znode.mtime,
            version: znode.version,
            aversion: znode.aversion,
            creations: znode.creations,
        });
        if let Some(parent) = self.node_mut(parent).filter(|_| id != NodeId::ROOT) {
            parent.children.insert(Arc::clone(&name), id);
        }
        if quota::is_own(&name) {
            self.quota_restored(id);
        }
        true
    }

    /// As an ensemble that has just been set up; what changes are remembered goes on.
    pub(in crate::server) fn wipe(&mut self) {
        self.note_removal_of_all();
        let mut changed = self.changed.take();
        *self = Self::new();
        if let Some(changed) = &mut changed {
            for node in self.records() {
                changed.created(node.path.into_owned().into_bytes());
            }
        }
        self.changed = changed;
    }
}
