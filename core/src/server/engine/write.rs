//! Requests that change znodes.
//!
//! # Source
//! `PrepRequestProcessor.pRequest2Txn`, 3.9.5: the order of the checks is the order of the errors.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{ConnectionId, Engine};
use crate::error::ErrorCode;
use crate::server::acl::{AclList, Identity, Schemes};
use crate::server::event::CloseReason;
use crate::server::rules::{SPECIAL, check_version, last_slash, validate};
use crate::server::text::canonical;
use crate::server::tree::{Difference, Kind, NewNode, NodeId, Quotas, Tree, Txn, Undo};
use crate::wire::{
    Acl, Create, CreateMode, CreateTtl, List, MultiOp, OpCode, Perms, Request, SessionId, Stat,
    Ustring, Writer, Xid, Zxid,
};

/// The longest time to live: 40 bits of milliseconds.
const MAX_TTL: i64 = (1 << 40) - 1;

/// A change of the tree, of which watchers are to be told.
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    pub(super) path: Vec<u8>,
    pub(super) acl: AclList,
    pub(super) parent_acl: AclList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Created,
    DataSet,
    Deleted,
}

/// What a write has done.
pub(super) enum Outcome {
    Created { op: OpCode, path: Vec<u8>, stat: Stat },
    Deleted,
    Stat(Stat),
    Checked,
}

impl Outcome {
    fn write(&self, w: &mut Writer<'_>) {
        match self {
            Self::Created { op, path, stat } => {
                w.buffer(Some(path));
                if *op != OpCode::Create {
                    stat.write(w);
                }
            }
            Self::Stat(stat) => stat.write(w),
            Self::Deleted | Self::Checked => {}
        }
    }
}

/// Who asks.
pub(super) struct Client<'a> {
    pub(super) identities: &'a [Identity],
    pub(super) session: SessionId,
    /// Another server speaks for the session by now.
    pub(super) moved: bool,
    /// Only its server knows the session.
    pub(super) local: bool,
    pub(super) extended_types: bool,
    pub(super) schemes: Schemes,
}

/// Which quotas a transaction keeps to.
pub(super) enum Enforced {
    Nothing,
    /// Those of the tree as it is.
    Present,
    /// Those of the tree before a multi: what the multi itself has done does not count.
    Past(Quotas),
}

impl Enforced {
    fn check(&self, tree: &Tree, path: &[u8], more: Difference) -> Result<(), ErrorCode> {
        match self {
            Self::Nothing => Ok(()),
            Self::Present => tree.check_quota(path, more),
            Self::Past(quotas) => quotas.check(path, more),
        }
    }
}

/// One transaction as it goes on.
pub(super) struct Transaction<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) client: Client<'a>,
    pub(super) enforced: Enforced,
    pub(super) txn: Txn,
    pub(super) undo: Vec<Undo>,
    pub(super) changes: Vec<Change>,
}

impl Engine {
    pub(super) fn write(
        &mut self,
        conn: ConnectionId,
        xid: Xid,
        request: &Request<'_>,
        moved: bool,
    ) {
        self.upgrade(conn, request);
        let op = match *request {
            Request::Multi(items) => return self.multi(conn, xid, items, moved),
            Request::Create(create) => Some(MultiOp::Create(create)),
            Request::Create2(create) => Some(MultiOp::Create2(create)),
            Request::CreateContainer(create) => Some(MultiOp::CreateContainer(create)),
            Request::CreateTtl(create) => Some(MultiOp::CreateTtl(create)),
            Request::Delete { path, version } => Some(MultiOp::Delete { path, version }),
            Request::SetData { path, data, version } => {
                Some(MultiOp::SetData { path, data, version })
            }
            _ => None,
        };
        let Some(mut transaction) = self.transaction(conn, moved) else { return };
        let result = match (&op, request) {
            (Some(op), _) => transaction.apply(op),
            (None, Request::SetAcl { path, acl, version }) => {
                transaction.set_acl(*path, *acl, *version)
            }
            _ => Err(ErrorCode::ReconfigDisabled),
        };
        let changes = transaction.changes;
        self.publish(&changes, self.zxid);
        self.answer(conn, xid, result);
    }

    /// Starts a transaction of a connection's session.
    pub(super) fn transaction(
        &mut self,
        conn: ConnectionId,
        moved: bool,
    ) -> Option<Transaction<'_>> {
        let txn = self.begin();
        let state = self.connections.get(conn)?;
        let session = state.session?.session.id();
        let client = Client {
            identities: &state.identities,
            session,
            moved,
            local: self.local.contains(&session),
            extended_types: self.config.extended_types,
            schemes: match self.mechanism {
                Some(_) => Schemes::WithSasl,
                None => Schemes::Basic,
            },
        };
        let (undo, changes) = (Vec::new(), Vec::new());
        let enforced = match self.config.enforce_quota && self.tree.has_quotas() {
            true => Enforced::Present,
            false => Enforced::Nothing,
        };
        Some(Transaction { tree: &mut self.tree, client, enforced, txn, undo, changes })
    }

    fn answer(&mut self, conn: ConnectionId, xid: Xid, result: Result<Outcome, ErrorCode>) {
        let zxid = self.zxid;
        match result {
            Ok(outcome) => self.send(conn, |a| a.reply(xid, zxid, |w| outcome.write(w))),
            // Never answered: a client that retried on this connection would take the session
            // back and forth.
            Err(ErrorCode::SessionMoved) => self.cut(conn, CloseReason::SessionMoved),
            Err(code) => self.send(conn, |a| a.error(xid, zxid, code)),
        }
    }

    /// Deletes a znode for the ensemble's own reasons.
    pub(super) fn delete_node(&mut self, id: NodeId, txn: Txn, changes: &mut Vec<Change>) {
        let path = self.tree.path(id);
        if let Some((_, change)) = delete(&mut self.tree, id, path, txn) {
            changes.push(change);
        }
    }
}

fn delete(tree: &mut Tree, id: NodeId, path: Vec<u8>, txn: Txn) -> Option<(Undo, Change)> {
    let node = tree.node(id)?;
    let (acl, parent_acl) = (node.acl.clone(), tree.node(node.parent())?.acl.clone());
    let change = Change { kind: ChangeKind::Deleted, path, acl, parent_acl };
    Some((tree.delete(id, txn)?, change))
}

impl Transaction<'_> {
    /// Carries one operation out.
    pub(super) fn apply(&mut self, op: &MultiOp<'_>) -> Result<Outcome, ErrorCode> {
        match *op {
            MultiOp::Create(create)
            | MultiOp::Create2(create)
            | MultiOp::CreateContainer(create) => self.create(op.op(), create, None),
            MultiOp::CreateTtl(CreateTtl { create, ttl }) => {
                self.create(op.op(), create, Some(ttl))
            }
            MultiOp::Delete { path, version } => self.delete(path, version),
            MultiOp::SetData { path, data, version } => self.set_data(path, data, version),
            MultiOp::Check { path, version } => self.check(path, version),
            _ => Err(ErrorCode::MarshallingError),
        }
    }

    fn create(
        &mut self,
        op: OpCode,
        create: Create<'_>,
        ttl: Option<i64>,
    ) -> Result<Outcome, ErrorCode> {
        let mode = CreateMode::from_flags(create.flags).ok_or(ErrorCode::BadArguments)?;
        let kind = self.kind(op, mode, ttl)?;
        self.check_owner()?;
        let path = canonical(create.path).ok_or(ErrorCode::MarshallingError)?;
        let slash = last_slash(&path)?;
        let acl = AclList::fixed_up(
            create.acl,
            self.client.identities,
            &self.tree.open,
            self.client.schemes,
        )?;
        let parent_path = path.get(..slash).unwrap_or_default();
        let parent_id = self.tree.find(parent_path).ok_or(ErrorCode::NoNode)?;
        let parent = self.tree.node(parent_id).ok_or(ErrorCode::NoNode)?;
        parent.acl.check(Perms::CREATE, self.client.identities)?;
        let path: Cow<'_, [u8]> = if mode.is_sequential() {
            let number = format!("{:010}", parent.creations);
            Cow::Owned([&*path, number.as_bytes()].concat())
        } else {
            path
        };
        validate(&path)?;
        let name = path.get(slash.saturating_add(1)..).unwrap_or_default();
        if name.is_empty() || parent.children.contains_key(name) {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent.kind, Kind::Ephemeral(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.enforced.check(self.tree, &path, Difference::created(create.data))?;
        let parent_acl = parent.acl.clone();
        let new = NewNode { data: create.data.map(Box::from), acl: acl.clone(), kind };
        let (id, undo) =
            self.tree.create(parent_id, name, new, self.txn).ok_or(ErrorCode::SystemError)?;
        let stat = self.tree.node(id).ok_or(ErrorCode::SystemError)?.stat();
        let path = path.into_owned();
        self.undo.push(undo);
        self.changes.push(Change {
            kind: ChangeKind::Created,
            path: path.clone(),
            acl,
            parent_acl,
        });
        Ok(Outcome::Created { op, path, stat })
    }

    /// The opcode decides what is stored, the mode what is checked.
    fn kind(&self, op: OpCode, mode: CreateMode, ttl: Option<i64>) -> Result<Kind, ErrorCode> {
        let timed = matches!(mode, CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl);
        if timed && !self.client.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        match (timed, ttl) {
            (true, Some(ttl)) if (1..=MAX_TTL).contains(&ttl) => Ok(Kind::Ttl(ttl)),
            (true, _) | (false, Some(_)) => Err(ErrorCode::BadArguments),
            (false, None) if op == OpCode::CreateContainer => Ok(Kind::Container),
            (false, None) if mode.is_ephemeral() && self.client.local => {
                Err(ErrorCode::EphemeralOnLocalSession)
            }
            (false, None) if mode.is_ephemeral() => Ok(Kind::Ephemeral(self.client.session)),
            (false, None) => Ok(Kind::Persistent),
        }
    }

    fn delete(&mut self, path: Ustring<'_>, version: i32) -> Result<Outcome, ErrorCode> {
        self.check_owner()?;
        let path = canonical(path).ok_or(ErrorCode::MarshallingError)?;
        let slash = last_slash(&path)?;
        if SPECIAL.contains(&&*path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.tree.look(path.get(..slash).unwrap_or_default());
        parent.ok_or(ErrorCode::NoNode)?.acl.check(Perms::DELETE, self.client.identities)?;
        let id = self.tree.find(&path).ok_or(ErrorCode::NoNode)?;
        let node = self.tree.node(id).ok_or(ErrorCode::NoNode)?;
        check_version(node.version, version)?;
        if !node.children.is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        let (undo, change) =
            delete(self.tree, id, path.into_owned(), self.txn).ok_or(ErrorCode::SystemError)?;
        self.undo.push(undo);
        self.changes.push(change);
        Ok(Outcome::Deleted)
    }

    fn set_data(
        &mut self,
        path: Ustring<'_>,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<Outcome, ErrorCode> {
        let (path, id) = self.existing(path)?;
        let node = self.tree.node(id).ok_or(ErrorCode::NoNode)?;
        node.acl.check(Perms::WRITE, self.client.identities)?;
        self.enforced.check(self.tree, &path, Difference::set(node.data.as_deref(), data))?;
        check_version(node.version, version)?;
        let acl = node.acl.clone();
        let undo = self.tree.set_data(id, data.map(Box::from), self.txn);
        self.undo.extend(undo);
        self.changes.push(Change {
            kind: ChangeKind::DataSet,
            path: path.into_owned(),
            parent_acl: acl.clone(),
            acl,
        });
        self.stat(id)
    }

    fn check(&mut self, path: Ustring<'_>, version: i32) -> Result<Outcome, ErrorCode> {
        if path.is_null() {
            return Err(ErrorCode::MarshallingError);
        }
        let (_, id) = self.existing(path)?;
        let node = self.tree.node(id).ok_or(ErrorCode::NoNode)?;
        node.acl.check(Perms::READ, self.client.identities)?;
        check_version(node.version, version)?;
        Ok(Outcome::Checked)
    }

    fn set_acl(
        &mut self,
        path: Ustring<'_>,
        acl: List<'_, Acl<'_>>,
        version: i32,
    ) -> Result<Outcome, ErrorCode> {
        self.check_owner()?;
        let path = canonical(path).ok_or(ErrorCode::BadArguments)?;
        validate(&path)?;
        let acl =
            AclList::fixed_up(acl, self.client.identities, &self.tree.open, self.client.schemes)?;
        let id = self.tree.find(&path).ok_or(ErrorCode::NoNode)?;
        let node = self.tree.node(id).ok_or(ErrorCode::NoNode)?;
        node.acl.check(Perms::ADMIN, self.client.identities)?;
        check_version(node.aversion, version)?;
        self.tree.set_acl(id, acl);
        self.stat(id)
    }

    /// A znode to be changed by the owner of its session.
    fn existing<'p>(&self, path: Ustring<'p>) -> Result<(Cow<'p, [u8]>, NodeId), ErrorCode> {
        self.check_owner()?;
        let path = canonical(path).ok_or(ErrorCode::BadArguments)?;
        validate(&path)?;
        let id = self.tree.find(&path).ok_or(ErrorCode::NoNode)?;
        Ok((path, id))
    }

    fn check_owner(&self) -> Result<(), ErrorCode> {
        if self.client.moved { Err(ErrorCode::SessionMoved) } else { Ok(()) }
    }

    fn stat(&self, id: NodeId) -> Result<Outcome, ErrorCode> {
        self.tree.node(id).map(|node| Outcome::Stat(node.stat())).ok_or(ErrorCode::SystemError)
    }

    /// Keeps to the quotas as they are now, whatever the transaction does.
    pub(super) fn look_back(&mut self) {
        if let Enforced::Present = self.enforced {
            self.enforced = Enforced::Past(self.tree.quotas());
        }
    }

    /// Takes everything back that has been done so far.
    pub(super) fn roll_back(&mut self) {
        self.changes.clear();
        while let Some(undo) = self.undo.pop() {
            self.tree.undo(undo);
        }
    }

    pub(super) fn zxid(&self) -> Zxid {
        self.txn.zxid
    }
}
