//! The znodes: structure only, no rules of who may do what.
//!
//! A znode is found by looking at every slot for each name of its path, which is as good as any
//! index for as many znodes as there are here. Slots are used again in the order in which they were
//! given back, the last first.

use super::memory::{NodeSlot, State};
use super::store::{FULL, Store};
use crate::error::ErrorCode;
use crate::wire::{SessionId, Stat, Writer, Zxid};

/// A znode's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u16);

impl NodeId {
    pub(super) const ROOT: Self = Self(0);

    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The transaction that a change belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Txn {
    pub(super) zxid: Zxid,
    /// Milliseconds since 1970.
    pub(super) time: i64,
}

/// What a new znode holds.
pub(super) struct NewNode<'a> {
    /// The name, in two parts.
    pub(super) name: [&'a [u8]; 2],
    pub(super) data: Option<&'a [u8]>,
    pub(super) owner: SessionId,
}

impl Store<'_> {
    /// Plants the tree of an ensemble that has just been set up; says whether there is room.
    pub(super) fn plant(&mut self) -> bool {
        for (at, node) in (1_u16..).zip(self.nodes.iter_mut()) {
            node.parent = NodeId(at);
        }
        let zookeeper = NodeId(1);
        let initial = [
            (NodeId::ROOT, &b""[..], State::Open),
            (NodeId::ROOT, b"zookeeper", State::Open),
            (zookeeper, b"quota", State::Open),
            (zookeeper, b"config", State::ReadOnly),
        ];
        initial.into_iter().all(|(parent, name, state)| {
            let new = NewNode { name: [name, b""], data: Some(b""), owner: SessionId::NONE };
            let Ok(id) = self.store(parent, &new, Txn { zxid: Zxid(0), time: 0 }) else {
                return false;
            };
            if let Some(node) = self.node_mut(id) {
                node.state = state;
                // As `DataTree.addConfigNode` leaves it.
                node.aversion = if state == State::ReadOnly { -1 } else { 0 };
            }
            if let Some(parent) = self.node_mut(parent).filter(|_| id != NodeId::ROOT) {
                parent.children = parent.children.saturating_add(1);
            }
            true
        })
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&NodeSlot> {
        self.nodes.get(id.index()).filter(|node| node.state != State::Free)
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Option<&mut NodeSlot> {
        self.nodes.get_mut(id.index()).filter(|node| node.state != State::Free)
    }

    /// All znodes, in the order of their places.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeSlot)> + '_ {
        let all = (0..).map(NodeId).zip(self.nodes.iter());
        all.filter(|(_, node)| node.state != State::Free)
    }

    pub(super) fn name(&self, node: &NodeSlot) -> &[u8] {
        let mut range = node.bytes.range();
        range.end = range.start.saturating_add(node.name_len.into()).min(range.end);
        self.bytes(range)
    }

    pub(super) fn data(&self, node: &NodeSlot) -> Option<&[u8]> {
        let mut range = node.bytes.range();
        range.start = range.start.saturating_add(node.name_len.into()).min(range.end);
        node.has_data.then(|| self.bytes(range))
    }

    /// The children of a znode, in the order of their places.
    fn children(&self, parent: NodeId) -> impl Iterator<Item = (NodeId, &NodeSlot)> + '_ {
        self.nodes().filter(move |(id, node)| node.parent == parent && *id != NodeId::ROOT)
    }

    /// The child with a name, which is given in two parts.
    pub(super) fn child(&self, parent: NodeId, name: [&[u8]; 2]) -> Option<NodeId> {
        let [head, tail] = name;
        let named = |node: &NodeSlot| self.name(node).strip_prefix(head) == Some(tail);
        self.children(parent).find(|(_, node)| named(node)).map(|(id, _)| id)
    }

    /// The names of a znode's children, by their bytes.
    pub(super) fn names(&self, parent: NodeId) -> impl Iterator<Item = &[u8]> {
        let after = move |last: Option<&[u8]>| {
            let names = self.children(parent).map(|(_, node)| self.name(node));
            names.filter(|name| last.is_none_or(|last| *name > last)).min()
        };
        core::iter::successors(after(None), move |last| after(Some(last)))
    }

    /// Finds a znode; the empty path is the root's, too. Malformed paths name nothing.
    pub(super) fn find(&self, path: &[u8]) -> Option<NodeId> {
        if path.len() <= 1 {
            return matches!(path, b"" | b"/").then_some(NodeId::ROOT);
        }
        let mut names = path.split(|byte| *byte == b'/');
        if !names.next()?.is_empty() {
            return None;
        }
        names.try_fold(NodeId::ROOT, |id, name| self.child(id, [name, b""]))
    }

    /// The ephemeral znodes of a session.
    pub(super) fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes().filter(move |(_, node)| node.owner == session).map(|(id, _)| id)
    }

    /// The parts of a znode's path, one behind the other; those of the root are none.
    pub(super) fn parts(&self, id: NodeId) -> impl Iterator<Item = &[u8]> {
        let depth = self.lineage(id).count();
        let names = (0..depth).rev().filter_map(move |up| self.lineage(id).nth(up));
        names.flat_map(|node| [&b"/"[..], self.name(node)])
    }

    /// A znode and those above it, the root excepted.
    fn lineage(&self, id: NodeId) -> impl Iterator<Item = &NodeSlot> {
        let below_root = move |id| self.node(id).filter(|_| id != NodeId::ROOT);
        core::iter::successors(below_root(id), move |node| below_root(node.parent))
    }

    /// Writes a znode's path as a string.
    pub(super) fn write_path(&self, id: NodeId, w: &mut Writer<'_>) {
        if id == NodeId::ROOT {
            return w.buffer(Some(b"/"));
        }
        w.count(self.parts(id).fold(0, |len: usize, part| len.saturating_add(part.len())));
        self.parts(id).for_each(|part| w.raw(part));
    }

    /// Whether a path is a znode's.
    pub(super) fn is_path(&self, id: NodeId, path: &[u8]) -> bool {
        if id == NodeId::ROOT {
            return path == b"/";
        }
        let mut parts = self.parts(id);
        parts.try_fold(path, |rest, part| rest.strip_prefix(part)) == Some(b"")
    }

    /// Whether a znode lies below another one, named by its path.
    pub(super) fn is_below(&self, id: NodeId, path: &[u8]) -> bool {
        let above = self.lineage(id).map(|node| node.parent);
        above.into_iter().any(|ancestor| self.is_path(ancestor, path))
    }

    /// Whether the path of a znode begins with some bytes.
    pub(super) fn begins_with(&self, id: NodeId, prefix: &[u8]) -> bool {
        let rest = self.parts(id).try_fold(prefix, |rest, part| match rest.len() <= part.len() {
            true => part.starts_with(rest).then_some(&b""[..]),
            false => rest.strip_prefix(part),
        });
        rest == Some(b"")
    }

    /// How many znodes lie below one.
    pub(super) fn descendants(&self, id: NodeId) -> usize {
        let below = |node: NodeId| {
            let mut above = self.lineage(node).map(|node| node.parent);
            above.any(|ancestor| ancestor == id)
        };
        self.nodes().filter(|(node, _)| below(*node)).count()
    }

    /// The metadata as clients see it.
    ///
    /// # Source
    /// `DataNode.copyStat`, 3.8.0.
    pub(super) fn stat(&self, node: &NodeSlot) -> Stat {
        let num_children = i32::from(node.children);
        let data_length = self.data(node).map_or(0, <[u8]>::len);
        Stat {
            czxid: node.czxid,
            mzxid: node.mzxid,
            ctime: node.ctime,
            mtime: node.mtime,
            version: node.version,
            cversion: node.creations.wrapping_mul(2).wrapping_sub(num_children),
            aversion: node.aversion,
            ephemeral_owner: node.owner.0,
            data_length: i32::try_from(data_length).unwrap_or(i32::MAX),
            num_children,
            pzxid: node.pzxid,
        }
    }

    /// Creates a child that does not exist yet.
    pub(super) fn create(
        &mut self,
        parent: NodeId,
        new: &NewNode<'_>,
        txn: Txn,
    ) -> Result<NodeId, ErrorCode> {
        let id = self.store(parent, new, txn)?;
        if let Some(parent) = self.node_mut(parent) {
            parent.children = parent.children.saturating_add(1);
            parent.creations = parent.creations.wrapping_add(1);
            parent.pzxid = txn.zxid;
        }
        Ok(id)
    }

    /// Deletes a znode without children that is not the root.
    pub(super) fn delete(&mut self, id: NodeId, txn: Txn) {
        let Some(node) = self.node(id).copied() else { return };
        self.unstore(id);
        if let Some(parent) = self.node_mut(node.parent) {
            parent.children = parent.children.saturating_sub(1);
            parent.pzxid = txn.zxid;
        }
    }

    pub(super) fn set_data(
        &mut self,
        id: NodeId,
        data: Option<&[u8]>,
        txn: Txn,
    ) -> Result<(), ErrorCode> {
        let Some(node) = self.node(id).copied() else { return Err(ErrorCode::NoNode) };
        let bytes = self.replace(node.bytes, node.name_len.into(), data.unwrap_or_default())?;
        if let Some(node) = self.node_mut(id) {
            (node.bytes, node.has_data) = (bytes, data.is_some());
            node.version = node.version.wrapping_add(1);
            (node.mzxid, node.mtime) = (txn.zxid, txn.time);
        }
        Ok(())
    }

    /// The slot that is taken next.
    fn vacancy(&self) -> Option<NodeId> {
        let id = self.vacant;
        self.nodes.get(id.index()).filter(|node| node.state == State::Free).map(|_| id)
    }

    fn store(&mut self, parent: NodeId, new: &NewNode<'_>, txn: Txn) -> Result<NodeId, ErrorCode> {
        let id = self.vacancy().ok_or(FULL)?;
        let [head, tail] = new.name;
        let name_len = u16::try_from(head.len().saturating_add(tail.len())).map_err(|_| FULL)?;
        let bytes = self.push(&[head, tail, new.data.unwrap_or_default()])?;
        if let Some(slot) = self.nodes.get_mut(id.index()) {
            let next = slot.parent;
            *slot = NodeSlot {
                czxid: txn.zxid,
                mzxid: txn.zxid,
                pzxid: txn.zxid,
                ctime: txn.time,
                mtime: txn.time,
                owner: new.owner,
                parent,
                bytes,
                name_len,
                has_data: new.data.is_some(),
                state: State::Open,
                ..NodeSlot::EMPTY
            };
            self.vacant = next;
        }
        Ok(id)
    }

    fn unstore(&mut self, id: NodeId) {
        let vacant = self.vacant;
        let Some(slot) = self.node_mut(id) else { return };
        let bytes = slot.bytes;
        *slot = NodeSlot { parent: vacant, ..NodeSlot::EMPTY };
        self.vacant = id;
        self.give_back(bytes);
    }
}
