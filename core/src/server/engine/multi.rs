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
        let (mut outcomes, mut failed) = (Vec::new(), None);
        for item in items.iter() {
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
        let mut answers = Vec::new();
        for item in items.iter() {
            let found = match item {
                MultiOp::GetData { path, .. } => {
                    read::readable(&self.tree, path, &state.identities).map(Answer::Data)
                }
                MultiOp::GetChildren { path, .. } => {
                    read::readable(&self.tree, path, &state.identities).map(Answer::Children)
                }
                _ => Err(ErrorCode::MarshallingError),
            };
            answers.push(found);
        }
        let malformed = |a: &Result<_, _>| matches!(a, Err(ErrorCode::MarshallingError));
        let names: Vec<Vec<Ustring<'_>>> = answers.iter().map(names).collect();
        let results = answers.iter().zip(&names).map(|(answer, names)| match answer {
            Ok(Answer::Data(node)) => {
                MultiResult::Data(Data { data: node.data.as_deref(), stat: node.stat() })
            }
            Ok(_) => MultiResult::Children(List::from_slice(names)),
            Err(code) => MultiResult::Error(code.to_wire()),
        });
        let results: Vec<_> = results.collect();
        let sent = if answers.iter().any(malformed) {
            state.answers().error(xid, zxid, ErrorCode::MarshallingError)
        } else {
            let reply = Reply::Multi(Multi::from_slice(&results));
            state.answers().reply(xid, zxid, |w| reply.encode(w))
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

/// An item as the release takes it; `None` if it takes the whole multi for malformed.
///
/// # Source
/// `MultiOperationRecord.deserialize`, `Op.create`; 3.8.0 and 3.9.5.
fn as_release(item: MultiOp<'_>, release: Release) -> Option<MultiOp<'_>> {
    let create = match item {
        MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
            create
        }
        MultiOp::CreateTtl(CreateTtl { create, .. }) => create,
        other => return Some(other),
    };
    match (release, CreateMode::from_flags(create.flags), item) {
        (Release::V3_9, None, _) => None,
        (Release::V3_9, Some(_), item) | (Release::V3_8, _, item @ MultiOp::CreateTtl(_)) => {
            Some(item)
        }
        (Release::V3_8, Some(CreateMode::Container), _) => Some(MultiOp::CreateContainer(create)),
        (Release::V3_8, _, _) => Some(MultiOp::Create(create)),
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
