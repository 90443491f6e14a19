//! What goes wrong with an ensemble, at a call: for tests of its clients.

use alloc::vec::Vec;

use super::{ConnectionId, Engine};
use crate::server::event::CloseReason;
use crate::server::tracker::{Ownership, ServerId, SessionTracker};
use crate::time::Instant;
use crate::wire::{SessionId, Zxid};

impl Engine {
    /// Lets another server speak for a session, as if its client had resumed it there on a
    /// connection of which nobody knows. False if there is no such session or no such server, or if
    /// only another server knows the session: then nothing has happened.
    ///
    /// The session's connection to that server is closed; one to another is stale from now on: on
    /// the leader it is closed at the next request, elsewhere at the next write, which has no
    /// effect and is not answered. Reads and pings go on there.
    ///
    /// # Source
    /// `LeaderSessionTracker.checkSession`, `Learner.validateSession`, 3.8.0.
    pub fn move_session(&mut self, now: Instant, session: SessionId, server: ServerId) -> bool {
        let now = self.advance(now);
        let (Some(known), Some(timeout)) =
            (self.tracker.find(session), self.tracker.timeout(session))
        else {
            return false;
        };
        let is_here = self.tracker.ownership(known, server) == Ownership::Owner;
        let is_local = self.is_local(session);
        if !self.servers.contains(&server) || is_local && !is_here {
            return false;
        }
        let lifetime = if is_local { timeout } else { self.lifetime(timeout) };
        self.tracker.touch(now, known, lifetime);
        self.tracker.set_owner(known, server);
        let conns: Vec<_> = self.session_connections(session).collect();
        for conn in conns {
            if self.connections.get(conn).is_some_and(|state| state.server == server) {
                self.cut(conn, CloseReason::Resumed);
            }
        }
        true
    }

    /// The connections that speak for a session, stale ones included.
    pub fn session_connections(
        &self,
        session: SessionId,
    ) -> impl Iterator<Item = ConnectionId> + '_ {
        self.attached.get(&session).into_iter().flatten().copied()
    }

    /// Forgets all sessions and znodes, as if the data of all servers had been deleted while they
    /// were down: all connections are closed, zxids begin at 0 again. Clients that have seen more
    /// are refused until there have been as many transactions again; others are told that their
    /// session is over.
    ///
    /// Session ids go on, and the seed stays: no session of old is ever another's.
    pub fn wipe(&mut self, now: Instant) {
        let now = self.advance(now);
        let conns: Vec<_> = self.connections.ids().map(|(id, _)| id).collect();
        for conn in conns {
            self.cut(conn, CloseReason::ServerStopped);
        }
        if let Some(changes) = &mut self.changes {
            let known = self.tracker.sessions().filter(|(id, ..)| !self.local.contains(id));
            known.for_each(|(id, ..)| changes.session_removed(id));
        }
        let next_id = self.tracker.next_id();
        self.tracker = SessionTracker::owned(self.config.tracker(), self.config.session_limit);
        self.tracker.restore_next_id(now, next_id);
        self.attached.clear();
        self.local.clear();
        self.tree.wipe();
        self.zxid = Zxid(0);
    }
}
