//! The znodes: structure only, no rules of who may do what.
//!
//! # Source
//! `DataTree`, `DataNode`, 3.8.0.

mod changes;
mod node;
mod quota;
mod records;
mod undo;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

pub(super) use changes::Changed;
pub use node::Kind;
pub(super) use node::Node;
use quota::Limited;
pub(super) use quota::{Difference, Quotas};
use undo::Before;
pub(super) use undo::Undo;

use super::acl::AclList;
use crate::wire::{Perms, SessionId, Zxid};

/// A znode's place in the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

impl NodeId {
    pub(super) const ROOT: Self = Self(0);
}

/// The transaction a change belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Txn {
    pub(super) zxid: Zxid,
    /// Milliseconds since 1970.
    pub(super) time: i64,
}

/// What a new znode holds.
pub(super) struct NewNode {
    pub(super) data: Option<Box<[u8]>>,
    pub(super) acl: AclList,
    pub(super) kind: Kind,
}

/// All znodes.
pub(super) struct Tree {
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    ephemerals: BTreeMap<SessionId, BTreeSet<NodeId>>,
    /// Containers and znodes with a time to live.
    reapable: BTreeSet<NodeId>,
    limited: Limited,
    /// The ACL of znodes that anyone may do anything with.
    pub(super) open: AclList,
    /// `None`: nobody asks.
    changed: Option<Changed<Vec<u8>>>,
}

impl Tree {
    /// The tree of an ensemble that has just been set up.
    pub(super) fn new() -> Self {
        let mut tree = Self::bare();
        let open = tree.open.clone();
        tree.nodes.push(Some(Node::initial(Arc::default(), NodeId::ROOT, open)));
        let zookeeper = tree.add_initial(NodeId::ROOT, b"zookeeper");
        tree.add_initial(zookeeper, b"quota");
        let config = tree.add_initial(zookeeper, b"config");
        if let Some(node) = tree.node_mut(config) {
            node.acl = AclList::world(Perms::READ);
            node.aversion = -1; // as `DataTree.addConfigNode` leaves it
        }
        tree
    }

    /// No znodes, not even the root.
    fn bare() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            ephemerals: BTreeMap::new(),
            reapable: BTreeSet::new(),
            limited: Limited::new(),
            open: AclList::world(Perms::ALL),
            changed: None,
        }
    }

    /// Adds a znode that nobody created: its parent does not count it.
    fn add_initial(&mut self, parent: NodeId, name: &[u8]) -> NodeId {
        let name: Arc<[u8]> = name.into();
        let node = Node::initial(Arc::clone(&name), parent, self.open.clone());
        let id = self.store(node);
        if let Some(parent) = self.node_mut(parent) {
            parent.children.insert(name, id);
        }
        id
    }

    /// How many znodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len().saturating_sub(self.free.len())
    }

    /// Finds a znode; the empty path is the root's, too. Malformed paths name nothing.
    pub(super) fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut id = NodeId::ROOT;
        if path.len() <= 1 {
            return matches!(path, b"" | b"/").then_some(id);
        }
        let mut names = path.split(|byte| *byte == b'/');
        if !names.next()?.is_empty() {
            return None;
        }
        for name in names {
            id = *self.node(id)?.children.get(name)?;
        }
        Some(id)
    }

    /// Finds a znode and looks at it.
    pub(super) fn look(&self, path: &[u8]) -> Option<&Node> {
        self.node(self.find(path)?)
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)?.as_ref()
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.0)?.as_mut()
    }

    /// The path of a znode.
    pub(super) fn path(&self, id: NodeId) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = id;
        while let Some(node) = self.node(at).filter(|_| at != NodeId::ROOT) {
            names.push(&node.name);
            at = node.parent;
        }
        if names.is_empty() {
            return b"/".to_vec();
        }
        let mut path = Vec::new();
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// How many znodes lie below one.
    pub(super) fn descendants(&self, id: NodeId) -> usize {
        let (mut count, mut open) = (0_usize, Vec::from([id]));
        while let Some(node) = open.pop().and_then(|id| self.node(id)) {
            count = count.saturating_add(node.children.len());
            open.extend(
                node.children
                    .values()
                    .filter(|id| self.node(**id).is_some_and(|child| !child.children.is_empty())),
            );
        }
        count
    }

    /// The ephemeral znodes of a session.
    pub(super) fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = NodeId> + '_ {
        self.ephemerals.get(&session).into_iter().flatten().copied()
    }

    /// The sessions that have ephemeral znodes, and these.
    pub(super) fn owners(&self) -> impl Iterator<Item = (SessionId, &BTreeSet<NodeId>)> + '_ {
        self.ephemerals.iter().map(|(session, owned)| (*session, owned))
    }

    /// The bytes of all paths and data; looks at each znode.
    ///
    /// # Source
    /// `DataTree.approximateDataSize`, 3.8.0.
    pub(super) fn approximate_size(&self) -> usize {
        // The root has a path of one byte, its children do not see it.
        let (mut size, mut open) = (1_usize, Vec::from([(NodeId::ROOT, 0_usize)]));
        while let Some((id, above)) = open.pop() {
            let Some(node) = self.node(id) else { continue };
            let path = match id {
                NodeId::ROOT => 0,
                _ => above.saturating_add(1).saturating_add(node.name.len()),
            };
            let data = node.data.as_ref().map_or(0, |data| data.len());
            size = size.saturating_add(path).saturating_add(data);
            open.extend(node.children.values().map(|child| (*child, path)));
        }
        size
    }

    /// Containers and znodes with a time to live.
    pub(super) fn reapable(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.reapable.iter().copied()
    }

    /// Creates a child that does not exist yet.
    pub(super) fn create(
        &mut self,
        parent: NodeId,
        name: &[u8],
        new: NewNode,
        txn: Txn,
    ) -> Option<(NodeId, Undo)> {
        let name: Arc<[u8]> = name.into();
        let node = Node::new(Arc::clone(&name), parent, new, txn);
        let id = self.store(node);
        let parent_node = self.node_mut(parent)?;
        let (creations, pzxid) = (parent_node.creations, parent_node.pzxid);
        parent_node.children.insert(Arc::clone(&name), id);
        parent_node.creations = creations.wrapping_add(1);
        parent_node.pzxid = txn.zxid;
        self.note_created(id);
        self.note_modified(parent);
        let counted = self.has_quotas() || quota::is_own(&name);
        let recount = if counted { self.quota_created(id) } else { None };
        Some((id, Undo::Create { id, creations, pzxid, recount }))
    }

    /// Deletes a znode without children that is not the root.
    pub(super) fn delete(&mut self, id: NodeId, txn: Txn) -> Option<Undo> {
        let recount = if self.has_quotas() { self.quota_deleted(id) } else { None };
        self.note_removal(id); // last: the statistics may be its own
        let node = self.unstore(id)?;
        let parent = self.node_mut(node.parent)?;
        let pzxid = core::mem::replace(&mut parent.pzxid, txn.zxid);
        parent.children.remove(&node.name);
        self.note_modified(node.parent);
        Some(Undo::Delete { id, node: Box::new(node), pzxid, recount })
    }

    pub(super) fn set_data(
        &mut self,
        id: NodeId,
        data: Option<Box<[u8]>>,
        txn: Txn,
    ) -> Option<Undo> {
        let node = self.node_mut(id)?;
        let more = Difference::set(node.data.as_deref(), data.as_deref());
        let before = Before::of(node);
        let data = core::mem::replace(&mut node.data, data);
        node.version = node.version.wrapping_add(1);
        (node.mzxid, node.mtime) = (txn.zxid, txn.time);
        self.note_modified(id);
        let recount = if self.has_quotas() { self.quota_set(id, more) } else { None };
        Some(Undo::SetData { id, data, before, recount })
    }

    pub(super) fn set_acl(&mut self, id: NodeId, acl: AclList) {
        if let Some(node) = self.node_mut(id) {
            node.acl = acl;
            node.aversion = node.aversion.wrapping_add(1);
            self.note_modified(id);
        }
    }

    fn store(&mut self, node: Node) -> NodeId {
        let kind = node.kind;
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.nodes.get_mut(id.0) {
                    *place = Some(node);
                }
                id
            }
            None => {
                self.nodes.push(Some(node));
                NodeId(self.nodes.len().saturating_sub(1))
            }
        };
        match kind {
            Kind::Persistent => {}
            Kind::Ephemeral(owner) => _ = self.ephemerals.entry(owner).or_default().insert(id),
            Kind::Container | Kind::Ttl(_) => _ = self.reapable.insert(id),
        }
        id
    }

    fn unstore(&mut self, id: NodeId) -> Option<Node> {
        let node = self.nodes.get_mut(id.0)?.take()?;
        self.free.push(id);
        match node.kind {
            Kind::Persistent => {}
            Kind::Ephemeral(owner) => {
                if let Some(owned) = self.ephemerals.get_mut(&owner) {
                    owned.remove(&id);
                    if owned.is_empty() {
                        self.ephemerals.remove(&owner);
                    }
                }
            }
            Kind::Container | Kind::Ttl(_) => _ = self.reapable.remove(&id),
        }
        Some(node)
    }
}
