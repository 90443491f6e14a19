//! What the world sees of the ensemble after each thing that happened to it.

use alloc::string::String;
use alloc::vec::Vec;

use super::fact::Fact;
use super::timeline::{Ending, What, Who};
use super::world::World;
use crate::wire::{EventType, SessionId, Stat, Zxid};

impl World {
    /// Looks at what came of the bytes of a connection that had spoken for a session, or for none.
    pub(super) fn audit_connection(&mut self, pipe: usize, before: Option<SessionId>) {
        if self.invariants.is_none() && !self.timeline.is_kept() {
            return;
        }
        let Some((conn, server, serial)) = self.pipe(pipe).map(|p| (p.conn, p.server, p.serial))
        else {
            return;
        };
        if let (None, Some(session)) = (before, self.engine.session_of(conn)) {
            self.sessions.insert(session);
            self.observe(&Fact::Attached { session, connection: serial });
            if self.timeline.is_kept() {
                self.timeline.push(self.now, Who::Server(server), What::Attached { session });
            }
        }
        if self.engine.last_zxid().0 == self.audited {
            return;
        }
        if let Some(session) = before.filter(|session| !self.engine.is_alive(*session)) {
            self.ended(session, Ending::Closed);
        }
        let wrote = self.audit_znodes();
        if let Some(session) = before.filter(|_| wrote).filter(|s| self.sessions.contains(s)) {
            self.observe(&Fact::Wrote { session, connection: serial });
        }
    }

    /// Looks for sessions that have expired.
    pub(super) fn audit_expiry(&mut self) {
        self.audit_sessions(Ending::Expired);
    }

    /// Looks for sessions that are over.
    pub(super) fn audit_sessions(&mut self, how: Ending) {
        if self.invariants.is_none() && !self.timeline.is_kept() {
            return;
        }
        if self.engine.last_zxid().0 == self.audited {
            return;
        }
        let engine = &self.engine;
        let over = self.sessions.iter().filter(|session| !engine.is_alive(**session));
        let over: Vec<SessionId> = over.copied().collect();
        for session in over {
            self.ended(session, how);
        }
        self.audit_znodes();
    }

    fn ended(&mut self, session: SessionId, how: Ending) {
        if !self.sessions.remove(&session) {
            return;
        }
        if self.timeline.is_kept() {
            self.timeline.push(self.now, Who::World, What::Ended { session, how });
        }
        let ephemerals = self.engine.ephemerals(session);
        self.observe(&Fact::Ended { session, ephemerals });
        if how != Ending::Expired || self.invariants.is_none() {
            return;
        }
        for client in 0..self.peers.len() {
            let Some(peer) = self.peers.get(client) else { return };
            if peer.session.session_id() == session {
                let (view, behind) = (peer.view(self.now), peer.behind());
                self.observe(&Fact::Outlived { client, view: &view, behind });
            }
        }
    }

    /// Looks at the znodes that are watched and the ephemeral ones; says whether any has changed.
    fn audit_znodes(&mut self) -> bool {
        let before = Zxid(core::mem::replace(&mut self.audited, self.engine.last_zxid().0));
        let now = self.engine.last_zxid();
        let mut changes = Vec::new();
        for (path, was) in &mut self.znodes {
            let is = self.engine.stat(path);
            compare(path, *was, is, (before, now), &mut changes);
            *was = is;
        }
        let mut any = !changes.is_empty();
        for (path, kind, from, to) in changes {
            self.observe(&Fact::Changed { path: &path, kind, from, to });
        }
        let Some(invariants) = &self.invariants else { return any };
        // Most are as they should be, and that is no news.
        let mut news = Vec::new();
        for (path, session) in invariants.ephemerals() {
            let owner = self.engine.stat(path).map(|stat| SessionId(stat.ephemeral_owner));
            let is_alive = self.engine.is_alive(session);
            if !is_alive || owner != Some(session) {
                news.push((String::from(path), session, is_alive, owner));
            }
        }
        for (path, session, is_alive, owner) in news {
            any |= is_alive && owner.is_none();
            self.observe(&Fact::Owned { path: &path, session, is_alive, owner });
        }
        any
    }
}

type Changes = Vec<(String, EventType, Zxid, Zxid)>;

/// What must have happened to a znode between two looks; `span` is the last transaction before and
/// the last one now.
fn compare(
    path: &str,
    was: Option<Stat>,
    is: Option<Stat>,
    span: (Zxid, Zxid),
    changes: &mut Changes,
) {
    let (before, now) = span;
    let soonest = Zxid(before.0.saturating_add(1));
    let mut add = |kind, from, to| changes.push((String::from(path), kind, from, to));
    let is_other = match (was, is) {
        (Some(was), Some(is)) => was.czxid != is.czxid,
        (None, None) => return,
        _ => true,
    };
    if is_other {
        if was.is_some() {
            add(EventType::NodeDeleted, soonest, is.map_or(now, |is| is.czxid));
        }
        if let Some(is) = is {
            add(EventType::NodeCreated, is.czxid, is.czxid);
        }
    }
    let Some(is) = is else { return };
    let was = was.filter(|_| !is_other);
    if is.mzxid > was.map_or(is.czxid, |was| was.mzxid) {
        add(EventType::NodeDataChanged, is.mzxid, is.mzxid);
    }
    if is.pzxid > was.map_or(is.czxid, |was| was.pzxid) {
        add(EventType::NodeChildrenChanged, is.pzxid, is.pzxid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(czxid: i64, mzxid: i64, pzxid: i64) -> Option<Stat> {
        let (czxid, mzxid, pzxid) = (Zxid(czxid), Zxid(mzxid), Zxid(pzxid));
        Some(Stat { czxid, mzxid, pzxid, ..Stat::default() })
    }

    #[test]
    fn what_must_have_happened_follows_from_two_looks() {
        use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
        let told = |was, is| {
            let mut changes = Vec::new();
            compare("/a", was, is, (Zxid(10), Zxid(20)), &mut changes);
            let plain = changes.into_iter().map(|(_, kind, from, to)| (kind, from.0, to.0));
            plain.collect::<Vec<_>>()
        };
        assert_eq!(told(None, None), []);
        assert_eq!(told(stat(1, 2, 3), stat(1, 2, 3)), []);
        assert_eq!(told(None, stat(12, 12, 12)), [(NodeCreated, 12, 12)]);
        assert_eq!(told(stat(1, 2, 3), None), [(NodeDeleted, 11, 20)]);
        assert_eq!(told(stat(1, 2, 3), stat(1, 14, 3)), [(NodeDataChanged, 14, 14)]);
        assert_eq!(told(stat(1, 2, 3), stat(1, 2, 15)), [(NodeChildrenChanged, 15, 15)]);
        assert_eq!(
            told(stat(1, 2, 3), stat(16, 17, 16)),
            [(NodeDeleted, 11, 16), (NodeCreated, 16, 16), (NodeDataChanged, 17, 17)]
        );
    }
}
