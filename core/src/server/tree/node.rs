//! One znode.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::{NewNode, NodeId, Txn};
use crate::server::acl::AclList;
use crate::wire::{SessionId, Stat, Zxid};

/// How long a znode stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Until it is deleted.
    Persistent,
    /// As long as its session.
    Ephemeral(SessionId),
    /// Until its last child has gone.
    Container,
    /// Until it has had no change for so many milliseconds, and no children.
    Ttl(i64),
}

/// One znode. Its path is that of its parent with its name behind.
pub(in crate::server) struct Node {
    pub(super) name: Arc<[u8]>,
    pub(super) parent: NodeId,
    pub(in crate::server) children: BTreeMap<Arc<[u8]>, NodeId>,
    pub(in crate::server) data: Option<Box<[u8]>>,
    pub(in crate::server) acl: AclList,
    pub(in crate::server) kind: Kind,
    pub(super) czxid: Zxid,
    pub(in crate::server) mzxid: Zxid,
    pub(in crate::server) pzxid: Zxid,
    pub(super) ctime: i64,
    pub(in crate::server) mtime: i64,
    pub(in crate::server) version: i32,
    pub(in crate::server) aversion: i32,
    /// Children ever created: names sequential ones, and is half of cversion.
    pub(in crate::server) creations: i32,
}

impl Node {
    pub(super) fn new(name: Arc<[u8]>, parent: NodeId, new: NewNode, txn: Txn) -> Self {
        Self {
            name,
            parent,
            children: BTreeMap::new(),
            data: new.data,
            acl: new.acl,
            kind: new.kind,
            czxid: txn.zxid,
            mzxid: txn.zxid,
            pzxid: txn.zxid,
            ctime: txn.time,
            mtime: txn.time,
            version: 0,
            aversion: 0,
            creations: 0,
        }
    }

    /// A znode of an empty server: made by no transaction, at no time.
    pub(super) fn initial(name: Arc<[u8]>, parent: NodeId, acl: AclList) -> Self {
        let new = NewNode { data: Some(Box::default()), acl, kind: Kind::Persistent };
        Self::new(name, parent, new, Txn { zxid: Zxid(0), time: 0 })
    }

    pub(in crate::server) fn parent(&self) -> NodeId {
        self.parent
    }

    /// The metadata as clients see it.
    ///
    /// # Source
    /// `DataNode.copyStat`, 3.8.0.
    pub(in crate::server) fn stat(&self) -> Stat {
        let num_children = i32::try_from(self.children.len()).unwrap_or(i32::MAX);
        let data_length = self.data.as_ref().map_or(0, |data| data.len());
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.creations.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: match self.kind {
                Kind::Ephemeral(owner) => owner.0,
                _ => 0,
            },
            data_length: i32::try_from(data_length).unwrap_or(i32::MAX),
            num_children,
            pzxid: self.pzxid,
        }
    }
}
