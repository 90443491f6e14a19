//! What is true of the ensemble, as far as it can be seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use zk_session::Instant;
use zk_session::server::{ConnectionId, Engine};
use zk_session::wire::{OpCode, SessionId, Zxid};

use crate::law::{Checked, Law};
use crate::link::{Asked, Said};

/// The sessions and znodes there have been.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    base: usize,
    live: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
    /// The znodes that each session owns.
    holds: BTreeMap<SessionId, BTreeSet<String>>,
    /// What has become of each path, in order: created (true) or deleted.
    past: BTreeMap<String, Vec<(Zxid, bool)>>,
}

impl Truth {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self { base: engine.node_count(), ..Self::default() }
    }

    pub(crate) fn has_ended(&self, session: SessionId) -> bool {
        self.ended.contains(&session)
    }

    /// The transaction that made the znode that was there as of a transaction.
    pub(crate) fn as_of(&self, path: &str, zxid: Zxid) -> Option<Zxid> {
        let past = self.past.get(path)?;
        let last = past.iter().rev().find(|(at, _)| *at <= zxid)?;
        last.1.then_some(last.0)
    }

    /// Whether a path has changed after one transaction and up to another.
    pub(crate) fn has_changed(&self, path: &str, after: Zxid, up_to: Zxid) -> bool {
        let mut past = self.past.get(path).into_iter().flatten();
        past.any(|(at, _)| *at > after && *at <= up_to)
    }

    /// The server has said something over a connection.
    pub(crate) fn on_said(&mut self, engine: &Engine, conn: ConnectionId, said: &Said) -> Checked {
        match said {
            Said::Session(Some(id)) => {
                let back = self.ended.contains(id);
                Law::Expiry.check(!back, || format!("{id} is over and is given again"))?;
                self.live.insert(*id);
                Ok(())
            }
            Said::Reply { asked, zxid, err: 0 } => self.on_done(engine, conn, asked, *zxid),
            Said::Session(None) | Said::Reply { .. } => Ok(()),
        }
    }

    fn on_done(
        &mut self,
        engine: &Engine,
        conn: ConnectionId,
        asked: &Asked,
        zxid: Zxid,
    ) -> Checked {
        let Asked { op, path, .. } = asked;
        if !matches!(op, OpCode::Create | OpCode::Delete) {
            return Ok(());
        }
        let path = path.clone();
        // A session that is closed in the same breath is not there any more.
        if let Some(info) = engine.sessions().find(|info| info.connection == Some(conn)) {
            let holds = self.holds.entry(info.session_id).or_default();
            if *op == OpCode::Create {
                holds.insert(path.clone());
            }
        } else {
            let over = engine.sessions().all(|info| !self.live.contains(&info.session_id));
            Law::OneVoice.check(over, || format!("{path} was written for a session that moved"))?;
        }
        if *op == OpCode::Delete {
            for holds in self.holds.values_mut() {
                holds.remove(&path);
            }
        }
        self.past.entry(path).or_default().push((zxid, *op == OpCode::Create));
        Ok(())
    }

    /// Looks at the ensemble after something has happened to it.
    pub(crate) fn look(&mut self, engine: &Engine) -> Checked {
        let now: BTreeSet<_> = engine.sessions().map(|info| info.session_id).collect();
        let gone: Vec<_> = self.live.difference(&now).copied().collect();
        for id in gone {
            self.ended.insert(id);
            for path in self.holds.remove(&id).unwrap_or_default() {
                self.past.entry(path).or_default().push((engine.last_zxid(), false));
            }
        }
        let back = now.iter().find(|id| self.ended.contains(id));
        Law::Expiry.check(back.is_none(), || format!("{back:?} is back from the dead"))?;
        self.live = now;
        let mut all = 0;
        for info in engine.sessions() {
            let holds = self.holds.get(&info.session_id).map_or(0, BTreeSet::len);
            let (id, has) = (info.session_id, info.ephemerals);
            let how = || format!("{id} has {has} ephemerals and was given {holds}");
            Law::Ephemerals.check(has == holds, how)?;
            all += holds;
        }
        let nodes = engine.node_count() - self.base;
        Law::Ephemerals.check(nodes == all, || format!("{nodes} znodes for {all} ephemerals"))
    }

    /// Nothing that any session made may be left.
    pub(crate) fn is_clean(&self, engine: &Engine) -> Checked {
        let nodes = engine.node_count() - self.base;
        Law::Rest.check(nodes == 0, || format!("{nodes} znodes are left of sessions that are over"))
    }

    /// The sessions that were alive at the last look and are not now.
    pub(crate) fn ending(&self, engine: &Engine) -> Vec<SessionId> {
        let now: BTreeSet<_> = engine.sessions().map(|info| info.session_id).collect();
        self.live.difference(&now).copied().collect()
    }

    /// Until when a session may be safe: for those that end by time, not beyond it.
    pub(crate) fn is_safe(session: SessionId, safe: Option<Instant>, now: Instant) -> Checked {
        let holds = safe.is_none_or(|safe| safe <= now);
        Law::SafeUntil.check(holds, || format!("{session} ended at {now:?}, safe until {safe:?}"))
    }
}
