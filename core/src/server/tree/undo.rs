//! Taking changes back, for a multi that fails half-way.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::quota::{self, Recount};
use super::{Node, NodeId, Tree};
use crate::wire::Zxid;

/// How to take one change back. Changes are taken back in reverse order.
pub(in crate::server) enum Undo {
    Create { id: NodeId, creations: i32, pzxid: Zxid, recount: Option<Recount> },
    Delete { id: NodeId, node: Box<Node>, pzxid: Zxid, recount: Option<Recount> },
    SetData { id: NodeId, data: Option<Box<[u8]>>, before: Before, recount: Option<Recount> },
}

/// What a change of a znode's data changes besides.
pub(in crate::server) struct Before {
    version: i32,
    mzxid: Zxid,
    mtime: i64,
}

impl Before {
    pub(super) fn of(node: &Node) -> Self {
        let Node { version, mzxid, mtime, .. } = *node;
        Self { version, mzxid, mtime }
    }
}

impl Tree {
    /// Takes the latest change that has not been taken back yet back.
    pub(in crate::server) fn undo(&mut self, change: Undo) {
        let recount = match change {
            Undo::Create { id, creations, pzxid, recount } => {
                if self.has_quotas() {
                    let path = self.path(id);
                    self.quota_forgotten(&path);
                }
                self.note_removal(id);
                let Some(node) = self.unstore(id) else { return };
                if let Some(parent) = self.node_mut(node.parent) {
                    parent.children.remove(&node.name);
                    (parent.creations, parent.pzxid) = (creations, pzxid);
                }
                recount
            }
            Undo::Delete { id, node, pzxid, recount } => {
                let (parent, name) = (node.parent, Arc::clone(&node.name));
                let own = quota::is_own(&name);
                let stored = self.store(*node);
                debug_assert_eq!(stored, id, "the last place freed is the first taken");
                if let Some(parent) = self.node_mut(parent) {
                    parent.children.insert(name, stored);
                    parent.pzxid = pzxid;
                }
                self.note_created(stored);
                if own {
                    self.quota_restored(stored);
                }
                recount
            }
            Undo::SetData { id, data, before, recount } => {
                if let Some(node) = self.node_mut(id) {
                    node.data = data;
                    let Before { version, mzxid, mtime } = before;
                    (node.version, node.mzxid, node.mtime) = (version, mzxid, mtime);
                }
                recount
            }
        };
        if let Some(recount) = recount {
            self.uncount(recount);
        }
    }
}
