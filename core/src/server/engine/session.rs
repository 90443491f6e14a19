//! Sessions over connections: the handshake, auth packets, and the end of a session.

use alloc::vec::Vec;

use super::connections::Attached;
use super::throttle::Handshake;
use super::{ConnectionId, Engine, SessionInfo};
use crate::error::ErrorCode;
use crate::server::acl::authenticate;
use crate::server::event::{Access, CloseReason};
use crate::server::tracker::{Granted, ServerId};
use crate::time::{Duration, Instant};
use crate::trace::debug_event;
use crate::wire::{ConnectRequest, SessionId, Ustring, Xid, Zxid};

impl Engine {
    /// Ends a session as its expiry would; false if there is none.
    pub fn expire_session(&mut self, now: Instant, session: SessionId) -> bool {
        self.advance(now);
        let known = self.is_alive(session);
        if known {
            self.end_session(session, CloseReason::SessionExpired);
        }
        known
    }

    /// The sessions that are alive.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo> + '_ {
        self.tracker.sessions().map(|(id, timeout, owner)| self.session_info(id, timeout, owner))
    }

    /// One session; `None` if it is not alive. Looks at no other.
    pub fn session(&self, id: SessionId) -> Option<SessionInfo> {
        let (timeout, owner) = self.tracker.granted(id)?;
        Some(self.session_info(id, timeout, owner))
    }

    fn session_info(
        &self,
        session_id: SessionId,
        timeout: Duration,
        owner: ServerId,
    ) -> SessionInfo {
        let is_owner = |id: &ConnectionId| {
            self.connections.get(*id).is_some_and(|state| state.server == owner)
        };
        let connection = self.session_connections(session_id).find(is_owner);
        let ephemerals = self.ephemerals(session_id);
        let is_local = self.is_local(session_id);
        SessionInfo { session_id, timeout, owner, connection, ephemerals, is_local }
    }

    /// # Source
    /// `ZooKeeperServer.processConnectRequest`, `.finishSessionInit`, 3.8.0.
    pub(super) fn connect(&mut self, conn: ConnectionId, request: &ConnectRequest<'_>) {
        let Some(server) = self.connections.get(conn).map(|state| state.server) else { return };
        let resumes = request.session_id.is_some();
        let front = self.connections.fronts.get_mut(server);
        let handshake = if resumes { Handshake::Resume } else { Handshake::New };
        if !front.throttle.take(self.now, handshake, &self.config) {
            front.counters.throttled = front.counters.throttled.wrapping_add(1);
            return self.cut(conn, CloseReason::Throttled);
        }
        front.counters.handshakes = front.counters.handshakes.wrapping_add(1);
        if let Err(reason) = self.admits(server, request) {
            return self.cut(conn, reason);
        }
        let access = self.access(server);
        if let Some(state) = self.connections.get_mut(conn) {
            state.answers().set_access(access);
        }
        let granted = if resumes {
            let front = self.connections.fronts.get_mut(server);
            front.counters.revalidations = front.counters.revalidations.wrapping_add(1);
            // The older connection goes before the password is looked at.
            self.end_older(conn, request.session_id);
            let id = request.session_id;
            let before = self.tracker.timeout(id);
            match self.attach(server, request) {
                Ok(granted) => {
                    let is_new = before != Some(granted.timeout) && !self.is_local(id);
                    if let Some(changes) = &mut self.changes {
                        if is_new {
                            changes.session_modified(id);
                        }
                    }
                    granted
                }
                Err(error) => {
                    debug_event!("session {} refused: {:?}", request.session_id, error);
                    self.send(conn, |answers| answers.refuse());
                    return self.shut(conn, CloseReason::SessionRefused);
                }
            }
        } else if access == Access::ReadOnly && !self.config.local_sessions {
            let zxid = self.zxid;
            return self.send(conn, |answers| answers.refuse_session(zxid));
        } else {
            match self.tracker.create(self.now, server, request.timeout) {
                Ok(granted) if self.config.local_sessions => {
                    self.local.insert(granted.session.id());
                    granted
                }
                Ok(granted) => {
                    self.begin();
                    if let Some(changes) = &mut self.changes {
                        changes.session_created(granted.session.id());
                    }
                    granted
                }
                Err(_) => return self.cut(conn, CloseReason::TrackerFull),
            }
        };
        let Granted { session, passwd, timeout } = granted;
        if let Some(state) = self.connections.get_mut(conn) {
            state.session = Some(Attached { session, timeout });
            if !resumes {
                (state.stats.last_op, state.stats.last_cxid) = ("SESS", Some(Xid(0)));
                (state.stats.last_zxid, state.stats.last_response) = (self.zxid, self.now);
            }
            self.attached.entry(session.id()).or_default().push(conn);
        }
        self.send(conn, |answers| answers.accept(session.id(), &passwd, timeout));
    }

    /// Ends the other connection of a session on the same server.
    fn end_older(&mut self, conn: ConnectionId, session: SessionId) {
        let Some(server) = self.connections.get(conn).map(|state| state.server) else { return };
        let others = self.attached.get(&session).into_iter().flatten().copied();
        let here = |id: &ConnectionId| {
            self.connections.get(*id).is_some_and(|state| state.server == server)
        };
        let older: Vec<_> = others.filter(here).collect();
        for conn in older {
            self.cut(conn, CloseReason::Resumed);
        }
    }

    /// # Source
    /// `ZooKeeperServer.processPacket`, 3.8.0.
    pub(super) fn auth(
        &mut self,
        conn: ConnectionId,
        xid: Xid,
        scheme: Ustring<'_>,
        auth: Option<&[u8]>,
    ) {
        let Some(state) = self.connections.get_mut(conn) else { return };
        let (known, server) = (self.config.super_digest.as_deref(), state.server);
        if authenticate(&mut state.identities, scheme, auth, known) {
            return self.send(conn, |answers| answers.reply(xid, Zxid(0), |_| {}));
        }
        let counters = &mut self.connections.fronts.get_mut(server).counters;
        counters.auth_failed = counters.auth_failed.wrapping_add(1);
        self.send(conn, |answers| answers.error(xid, Zxid(0), ErrorCode::AuthFailed));
        self.shut(conn, CloseReason::AuthFailed);
    }

    /// A client ends its session: events, reply, then the connection closes.
    pub(super) fn close_session(&mut self, conn: ConnectionId, session: SessionId, xid: Xid) {
        let others: Vec<_> = self.attached.get(&session).into_iter().flatten().copied().collect();
        self.drop_session(session);
        let zxid = self.zxid;
        self.send(conn, |answers| answers.reply(xid, zxid, |_| {}));
        self.shut(conn, CloseReason::SessionClosed);
        for other in others {
            self.cut_unless(conn, other, CloseReason::SessionClosed);
        }
        self.attached.remove(&session);
    }

    /// The ensemble ends a session: its connections close without a frame.
    pub(super) fn end_session(&mut self, session: SessionId, reason: CloseReason) {
        self.drop_session(session);
        for conn in self.attached.remove(&session).unwrap_or_default() {
            self.cut(conn, reason);
        }
    }

    fn cut_unless(&mut self, spared: ConnectionId, conn: ConnectionId, reason: CloseReason) {
        if conn != spared {
            self.cut(conn, reason);
        }
    }

    /// Deletes a session's ephemeral znodes in one transaction and forgets it.
    fn drop_session(&mut self, session: SessionId) {
        if self.local.remove(&session) {
            self.tracker.close(session);
            return; // no other server knows of it, and it has no znodes
        }
        let txn = self.begin();
        let doomed: Vec<_> = self.tree.ephemerals(session).collect();
        let mut changes = Vec::with_capacity(doomed.len());
        for id in doomed {
            self.delete_node(id, txn, &mut changes);
        }
        self.tracker.close(session);
        if let Some(changes) = &mut self.changes {
            changes.session_removed(session);
        }
        self.publish(&changes, txn.zxid);
    }
}
