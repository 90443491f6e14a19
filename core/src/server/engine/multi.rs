//! multi: several writes, all or nothing; and multiRead: several reads.

use alloc::vec::Vec;

use super::read::{self, Answer};
use super::write::Outcome;
use super::{ConnectionId, Engine, Release};
use crate::error::ErrorCode;
use crate::server::event::CloseReason;
use crate::wire::{
    CreateMode, CreateTtl, Data, List, Multi, MultiOp, MultiResult, OpCode, Reply, Ustring, Xid,
};

impl Engine {
    pub(super) fn multi(
        &mut self,
        conn: ConnectionId,
        xid: Xid,
        items: Multi<'_, MultiOp<'_>>,
        moved: bool,
    ) {
        let release = self.config.release;
        let Some(mut transaction) = self.transaction(conn, moved) else { return };
        transaction.look_back();
        // A multi that is none is known before anything is done.
        let malformed = items.iter().any(|item| is_malformed(&item, release));
        let mut failed = malformed.then_some(ErrorCode::MarshallingError);
        let mut outcomes = Vec::new();
        for item in items.iter().take_while(|_| !malformed) {
            let done = match as_release(item, release) {
                Some(item) => transaction.apply(&item),
                None => Err(ErrorCode::MarshallingError),
            };
            match done {
                Ok(outcome) => outcomes.push(outcome),
                Err(code) => {
                    failed = Some(code);
                    break;
                }
            }
        }
        if failed.is_some() {
            transaction.roll_back();
        }
        let (changes, zxid) = (core::mem::take(&mut transaction.changes), transaction.zxid());
        self.publish(&changes, zxid);
        match failed {
            Some(ErrorCode::SessionMoved) => self.cut(conn, CloseReason::SessionMoved),
            Some(code @ ErrorCode::MarshallingError) => {
                self.send(conn, |a| a.error(xid, zxid, code));
            }
            _ => {
                let results = match failed {
                    None => outcomes.iter().map(result).collect(),
                    Some(code) => failure(items.iter().count(), outcomes.len(), code),
                };
                let reply = Reply::Multi(Multi::from_slice(&results));
                self.send(conn, |a| a.reply(xid, zxid, |w| reply.encode(w)));
            }
        }
    }

    pub(super) fn multi_read(
        &mut self,
        conn: ConnectionId,
        xid: Xid,
        items: Multi<'_, MultiOp<'_>>,
    ) {
        let zxid = self.zxid;
        let Some(state) = self.connections.get_mut(conn) else { return };
        let reads = items.iter().filter(is_read).count();
        let mixed = reads > 0 && reads < items.iter().count();
        let (mut answers, mut failed) = (Vec::new(), false);
        for item in items.iter().take_while(|_| !mixed) {
            let found = match item {
                MultiOp::GetData { path, .. } => {
                    read::readable(&self.tree, path, &state.identities).map(Answer::Data)
                }
                MultiOp::GetChildren { path, .. } => {
                    read::readable(&self.tree, path, &state.identities).map(Answer::Children)
                }
                _ => Err(ErrorCode::MarshallingError),
            };
            failed = matches!(found, Err(ErrorCode::MarshallingError));
            if failed {
                break;
            }
            answers.push(found);
        }
        let names: Vec<Vec<Ustring<'_>>> = answers.iter().map(names).collect();
        let results = answers.iter().zip(&names).map(|(answer, names)| match answer {
            Ok(Answer::Data(node)) => {
                MultiResult::Data(Data { data: node.data.as_deref(), stat: node.stat() })
            }
            Ok(_) => MultiResult::Children(List::from_slice(names)),
            Err(code) => MultiResult::Error(code.to_wire()),
        });
        let results: Vec<_> = results.collect();
        let reply = Reply::Multi(Multi::from_slice(&results));
        let sent = match (mixed, failed) {
            (true, _) => state.answers().error(xid, zxid, ErrorCode::MarshallingError),
            // The items before the one that is no read stand behind the error all the same.
            (_, true) => {
                let code = ErrorCode::MarshallingError;
                state.answers().error_with(xid, zxid, code, |w| reply.encode(w))
            }
            _ => state.answers().reply(xid, zxid, |w| reply.encode(w)),
        };
        self.sent(conn, sent);
    }
}

/// The names that an answer lists.
fn names<'t>(answer: &Result<Answer<'t>, ErrorCode>) -> Vec<Ustring<'t>> {
    match answer {
        Ok(Answer::Children(node)) => {
            node.children.keys().map(|name| Ustring::from_bytes(name)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether an item makes a multi undecodable wherever it stands: one that reads, and to 3.9 a create
/// with unknown flags.
fn is_malformed(item: &MultiOp<'_>, release: Release) -> bool {
    is_read(item) || (release == Release::V3_9 && as_release(*item, release).is_none())
}

fn is_read(item: &MultiOp<'_>) -> bool {
    matches!(item, MultiOp::GetChildren { .. } | MultiOp::GetData { .. })
}

/// An item as the release takes it; `None` if it cannot be carried out, which makes the whole multi
/// fail: to 3.8.0, a create whose flags want a time to live that it does not have.
///
/// # Source
/// `MultiOperationRecord.deserialize`, `Op.create`; 3.8.0 and 3.9.5.
fn as_release(item: MultiOp<'_>, release: Release) -> Option<MultiOp<'_>> {
    let (create, has_ttl) = match item {
        MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
            (create, false)
        }
        MultiOp::CreateTtl(CreateTtl { create, .. }) => (create, true),
        other => return Some(other),
    };
    let mode = CreateMode::from_flags(create.flags);
    if release == Release::V3_9 {
        return mode.map(|_| item);
    }
    match mode {
        Some(CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl) => {
            has_ttl.then_some(item)
        }
        Some(CreateMode::Container) => Some(MultiOp::CreateContainer(create)),
        _ => Some(MultiOp::Create(create)),
    }
}

fn result(outcome: &Outcome) -> MultiResult<'_> {
    match outcome {
        Outcome::Created { op: OpCode::Create, path, .. } => {
            MultiResult::Create(Ustring::from_bytes(path))
        }
        Outcome::Created { path, stat, .. } => {
            MultiResult::Create2(Ustring::from_bytes(path), *stat)
        }
        Outcome::Deleted => MultiResult::Delete,
        Outcome::Stat(stat) => MultiResult::SetData(*stat),
        Outcome::Checked => MultiResult::Check,
    }
}

/// Before the item that failed: 0; behind it: -2.
fn failure<'a>(items: usize, at: usize, code: ErrorCode) -> Vec<MultiResult<'a>> {
    let before = core::iter::repeat_n(MultiResult::Error(0), at);
    let behind = MultiResult::Error(ErrorCode::RuntimeInconsistency.to_wire());
    let behind = core::iter::repeat_n(behind, items.saturating_sub(at).saturating_sub(1));
    before.chain([MultiResult::Error(code.to_wire())]).chain(behind).collect()
}
