//! Requests that change znodes.
//!
//! # Source
//! `PrepRequestProcessor.pRequest2Txn`, 3.9.5: the order of the checks is the order of the errors.

use core::fmt::Write as _;

use heapless::String;

use super::Ensemble;
use super::memory::{ConnectionId, NodeSlot, State};
use super::store::Store;
use super::tree::{NewNode, NodeId, Txn};
use crate::error::ErrorCode;
use crate::path::{self, Last};
use crate::server::modes::Table;
use crate::server::rules::{SPECIAL, check_version, last_slash, validate};
use crate::wire::{
    Acl, Create, CreateMode, EventType, List, OpCode, Request, SessionId, Ustring, WatcherEvent,
    Writer, Xid, Zxid,
};

/// Digits of a sequential name; a sign more once a parent has had 2^31 children.
const DIGITS: usize = 11;

/// What a write has done.
enum Outcome {
    Created { op: OpCode, id: NodeId },
    Deleted,
    Set(NodeId),
    AclSet(NodeId),
}

impl Outcome {
    fn write(&self, store: &Store<'_>, w: &mut Writer<'_>) {
        let (id, has_stat) = match *self {
            Self::Deleted => return,
            Self::Created { op, id } => {
                store.write_path(id, w);
                (id, op != OpCode::Create)
            }
            Self::Set(id) | Self::AclSet(id) => (id, true),
        };
        if let Some(node) = store.node(id).filter(|_| has_stat) {
            store.stat(node).write(w);
        }
    }
}

/// A change that watchers are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    DataSet,
    /// About to be.
    Deleted,
}

impl Ensemble<'_> {
    pub(super) fn write(&mut self, conn: ConnectionId, xid: Xid, request: &Request<'_>) {
        let txn = self.begin();
        let Some(session) = self.session(conn) else { return };
        let done = match *request {
            Request::Create(create) | Request::Create2(create) => {
                self.create(request.op(), create, session, txn)
            }
            // Those that come and go by themselves are none of a device's.
            Request::CreateContainer(_) => Err(ErrorCode::Unimplemented),
            Request::CreateTtl(ttl) => match mode(ttl.create.flags) {
                Ok(CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl) => {
                    Err(ErrorCode::Unimplemented)
                }
                _ => Err(ErrorCode::BadArguments),
            },
            Request::Delete { path, version } => self.delete(path, version, txn),
            Request::SetData { path, data, version } => self.set_data(path, data, version, txn),
            Request::SetAcl { path, acl, version } => self.set_acl(path, acl, version),
            Request::Reconfig(_) => Err(ErrorCode::ReconfigDisabled),
            _ => Err(ErrorCode::Unimplemented),
        };
        let Self { store, connections, .. } = self;
        let Some(slot) = connections.get_mut(conn.index()) else { return };
        let answers = &mut slot.connection.answers;
        let sent = match done {
            Ok(outcome) => answers.reply(xid, txn.zxid, |w| outcome.write(store, w)),
            Err(code) => answers.error(xid, txn.zxid, code),
        };
        self.sent(conn, sent);
    }

    fn create(
        &mut self,
        op: OpCode,
        create: Create<'_>,
        session: SessionId,
        txn: Txn,
    ) -> Result<Outcome, ErrorCode> {
        let mode = mode(create.flags)?;
        if matches!(mode, CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl) {
            return Err(ErrorCode::Unimplemented);
        }
        let path = create.path.as_bytes().ok_or(ErrorCode::MarshallingError)?;
        let slash = last_slash(path)?;
        check_open(create.acl)?;
        let (parent, name) = (path.get(..slash), path.get(slash.saturating_add(1)..));
        let (id, parent) = self.store.existing(parent.unwrap_or_default())?;
        check_writable(parent)?;
        let mut number = String::<DIGITS>::new();
        if mode.is_sequential() {
            // It has room for any number.
            let _ = write!(number, "{:010}", parent.creations);
            path::check(path, Last::Sequential).map_err(|_| ErrorCode::BadArguments)?;
        } else {
            validate(path)?;
        }
        let name = [name.unwrap_or_default(), number.as_bytes()];
        if name == [b"", b""] || self.store.child(id, name).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if parent.owner.is_some() {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let owner = if mode.is_ephemeral() { session } else { SessionId::NONE };
        let id = self.store.create(id, &NewNode { name, data: create.data, owner }, txn)?;
        self.publish(Change::Created, id, txn.zxid);
        Ok(Outcome::Created { op, id })
    }

    fn delete(&mut self, path: Ustring<'_>, version: i32, txn: Txn) -> Result<Outcome, ErrorCode> {
        let path = path.as_bytes().ok_or(ErrorCode::MarshallingError)?;
        let slash = last_slash(path)?;
        if SPECIAL.contains(&path) {
            return Err(ErrorCode::BadArguments);
        }
        let (_, parent) = self.store.existing(path.get(..slash).unwrap_or_default())?;
        check_writable(parent)?;
        let (id, node) = self.store.existing(path)?;
        check_version(node.version, version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(id, txn);
        Ok(Outcome::Deleted)
    }

    /// Deletes a znode and tells of it; watchers cannot tell in which order.
    pub(super) fn remove(&mut self, id: NodeId, txn: Txn) {
        self.publish(Change::Deleted, id, txn.zxid);
        self.store.delete(id, txn);
    }

    fn set_data(
        &mut self,
        path: Ustring<'_>,
        data: Option<&[u8]>,
        version: i32,
        txn: Txn,
    ) -> Result<Outcome, ErrorCode> {
        let (id, node) = self.store.valid(path)?;
        check_writable(node)?;
        check_version(node.version, version)?;
        self.store.set_data(id, data, txn)?;
        self.publish(Change::DataSet, id, txn.zxid);
        Ok(Outcome::Set(id))
    }

    fn set_acl(
        &mut self,
        path: Ustring<'_>,
        acl: List<'_, Acl<'_>>,
        version: i32,
    ) -> Result<Outcome, ErrorCode> {
        let name = path.as_bytes().ok_or(ErrorCode::BadArguments)?;
        validate(name)?;
        check_open(acl)?;
        let (id, node) = self.store.existing(name)?;
        check_writable(node)?;
        check_version(node.aversion, version)?;
        if let Some(node) = self.store.node_mut(id) {
            node.aversion = node.aversion.wrapping_add(1);
        }
        Ok(Outcome::AclSet(id))
    }

    /// Tells the watchers of a change.
    ///
    /// # Source
    /// `DataTree.createNode`, `.deleteNode`, `.setData`; `WatchManager.triggerWatch`; 3.9.5.
    fn publish(&mut self, change: Change, id: NodeId, zxid: Zxid) {
        let Some(parent) = self.store.node(id).map(|node| node.parent) else { return };
        for conn in (0..).map(ConnectionId).take(self.connections.len()) {
            let store = &mut self.store;
            let (kind, told) = match change {
                Change::Created => (EventType::NodeCreated, store.fire(conn, Table::Data, id)),
                Change::DataSet => (EventType::NodeDataChanged, store.fire(conn, Table::Data, id)),
                Change::Deleted => {
                    let told = store.fire(conn, Table::Data, id);
                    (EventType::NodeDeleted, store.fire(conn, Table::Child, id) || told)
                }
            };
            if told {
                self.notify(conn, zxid, kind, id);
            }
            if change != Change::DataSet && self.store.fire(conn, Table::Child, parent) {
                self.notify(conn, zxid, EventType::NodeChildrenChanged, parent);
            }
        }
    }

    fn notify(&mut self, conn: ConnectionId, zxid: Zxid, kind: EventType, id: NodeId) {
        let Self { store, connections, .. } = self;
        let Some(slot) = connections.get_mut(conn.index()) else { return };
        let sent = slot.connection.answers.reply(Xid::NOTIFICATION, zxid, |w| {
            w.int(kind.to_wire());
            w.int(WatcherEvent::SYNC_CONNECTED);
            store.write_path(id, w);
        });
        self.sent(conn, sent);
    }
}

impl Store<'_> {
    fn existing(&self, path: &[u8]) -> Result<(NodeId, &NodeSlot), ErrorCode> {
        let id = self.find(path).ok_or(ErrorCode::NoNode)?;
        self.node(id).map(|node| (id, node)).ok_or(ErrorCode::NoNode)
    }

    /// A znode that is named as such.
    fn valid(&self, path: Ustring<'_>) -> Result<(NodeId, &NodeSlot), ErrorCode> {
        let path = path.as_bytes().ok_or(ErrorCode::BadArguments)?;
        validate(path)?;
        self.existing(path)
    }
}

fn mode(flags: i32) -> Result<CreateMode, ErrorCode> {
    CreateMode::from_flags(flags).ok_or(ErrorCode::BadArguments)
}

/// ACLs are not kept: one that would keep anyone out is refused.
fn check_open(acl: List<'_, Acl<'_>>) -> Result<(), ErrorCode> {
    if acl == List::from_slice(Acl::OPEN) { Ok(()) } else { Err(ErrorCode::InvalidAcl) }
}

fn check_writable(node: &NodeSlot) -> Result<(), ErrorCode> {
    if node.state == State::Open { Ok(()) } else { Err(ErrorCode::NoAuth) }
}
