//! Taking changes back, for a multi that fails half-way.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::{Node, NodeId, Tree};
use crate::wire::Zxid;

/// How to take one change back. Changes are taken back in reverse order.
pub(in crate::server) enum Undo {
    Create { id: NodeId, creations: i32, pzxid: Zxid },
    Delete { id: NodeId, node: Box<Node>, pzxid: Zxid },
    SetData { id: NodeId, data: Option<Box<[u8]>>, version: i32, mzxid: Zxid, mtime: i64 },
}

impl Undo {
    pub(super) fn create(id: NodeId, parent: &Node) -> Self {
        Self::Create { id, creations: parent.creations, pzxid: parent.pzxid }
    }

    pub(super) fn set_data(id: NodeId, node: &Node, data: Option<Box<[u8]>>) -> Self {
        let Node { version, mzxid, mtime, .. } = *node;
        Self::SetData { id, data, version, mzxid, mtime }
    }
}

impl Tree {
    /// Takes the latest change that has not been taken back yet back.
    pub(in crate::server) fn undo(&mut self, change: Undo) {
        match change {
            Undo::Create { id, creations, pzxid } => {
                let Some(node) = self.unstore(id) else { return };
                if let Some(parent) = self.node_mut(node.parent) {
                    parent.children.remove(&node.name);
                    (parent.creations, parent.pzxid) = (creations, pzxid);
                }
            }
            Undo::Delete { id, node, pzxid } => {
                let (parent, name) = (node.parent, Arc::clone(&node.name));
                let stored = self.store(*node);
                debug_assert_eq!(stored, id, "the last place freed is the first taken");
                if let Some(parent) = self.node_mut(parent) {
                    parent.children.insert(name, stored);
                    parent.pzxid = pzxid;
                }
            }
            Undo::SetData { id, data, version, mzxid, mtime } => {
                if let Some(node) = self.node_mut(id) {
                    node.data = data;
                    (node.version, node.mzxid, node.mtime) = (version, mzxid, mtime);
                }
            }
        }
    }
}
