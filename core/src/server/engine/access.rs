//! Servers that have lost their quorum and serve reads only, and sessions that only one server
//! knows.
//!
//! # Source
//! `ReadOnlyZooKeeperServer`, `ReadOnlyRequestProcessor`, `UpgradeableSessionTracker`,
//! `QuorumZooKeeperServer.checkUpgradeSession`, 3.8.0.

use alloc::vec::Vec;

use super::{ConnectionId, Engine};
use crate::server::event::{Access, CloseReason};
use crate::server::rules::is_write;
use crate::server::tracker::{AttachError, Granted, Ownership, ServerId};
use crate::time::{Duration, Instant};
use crate::wire::{ConnectRequest, CreateMode, MultiOp, OpCode, Request, SessionId};

/// How long a session is held that nobody can expire: longer than any clock runs.
const HELD: Duration = Duration::from_millis(1 << 53);

impl Engine {
    /// A server loses its quorum, or is part of it again; all its connections are closed, and its
    /// local sessions are forgotten.
    ///
    /// A read-only server refuses, without a word, who does not accept one and who has a session
    /// that the ensemble knows. Its own sessions are local: without
    /// [`local_sessions`](super::EngineConfig::local_sessions) there are none, and who asks for one
    /// is answered as oddly as by ZooKeeper, with an error reply instead of a handshake. Writes and
    /// sync fail with `NotReadOnly`.
    ///
    /// The first server that is not read-only leads. While all are, the ensemble has no leader:
    /// its sessions do not expire, containers stay, and when the first server is back every session
    /// gets its full timeout. A server that is read-only alone still sees what the others write.
    pub fn set_access(&mut self, now: Instant, server: ServerId, access: Access) {
        let now = self.advance(now);
        let changed = match access {
            Access::ReadOnly => self.read_only.insert(server),
            Access::ReadWrite => self.read_only.remove(&server),
        };
        if !changed {
            return;
        }
        self.end_connections(server, CloseReason::QuorumChanged);
        self.forget_local_sessions(server);
        self.hold_sessions(now);
    }

    /// Holds the sessions if there is no leader any more, and lets them go if there is one again: a
    /// server that was added can be it, too.
    pub(super) fn hold_sessions(&mut self, now: Instant) {
        let held = !self.servers.is_empty() && self.leader().is_none();
        if core::mem::replace(&mut self.held, held) == held {
            return;
        }
        let known: Vec<_> =
            self.tracker.sessions().map(|(id, timeout, _)| (id, self.lifetime(timeout))).collect();
        for (id, lifetime) in known {
            if let Some(session) = self.tracker.find(id).filter(|_| !self.local.contains(&id)) {
                self.tracker.touch(now, session, lifetime);
            }
        }
    }

    /// How long a session that the ensemble knows lives from when it is heard of.
    pub(super) fn lifetime(&self, timeout: Duration) -> Duration {
        if self.held { HELD } else { timeout }
    }

    /// What a server lets its clients do.
    pub fn access(&self, server: ServerId) -> Access {
        match self.read_only.contains(&server) {
            true => Access::ReadOnly,
            false => Access::ReadWrite,
        }
    }

    /// The server that leads: the first that is not read-only.
    pub fn leader(&self) -> Option<ServerId> {
        self.servers.iter().copied().find(|server| !self.read_only.contains(server))
    }

    /// Whether only one server knows a session.
    pub(super) fn is_local(&self, session: SessionId) -> bool {
        self.local.contains(&session)
    }

    /// A server's own memory is gone.
    pub(super) fn forget_local_sessions(&mut self, server: ServerId) {
        let here = |id: &SessionId| {
            self.tracker
                .find(*id)
                .is_some_and(|s| self.tracker.ownership(s, server) == Ownership::Owner)
        };
        let lost: Vec<_> = self.local.iter().copied().filter(here).collect();
        for session in lost {
            self.end_session(session, CloseReason::SessionExpired);
        }
    }

    /// Whether a server may answer a handshake at all.
    pub(super) fn admits(
        &self,
        server: ServerId,
        request: &ConnectRequest<'_>,
    ) -> Result<(), CloseReason> {
        let read_only = self.access(server) == Access::ReadOnly;
        if read_only && request.read_only != Some(true) {
            return Err(CloseReason::ReadOnlyServer);
        }
        if request.last_zxid_seen > self.zxid {
            return Err(CloseReason::ZxidAhead);
        }
        let id = request.session_id;
        if read_only && self.tracker.find(id).is_some() && !self.is_local(id) {
            return Err(CloseReason::ReadOnlyServer);
        }
        Ok(())
    }

    /// Resumes a session; a local one only where it is known.
    pub(super) fn attach(
        &mut self,
        server: ServerId,
        request: &ConnectRequest<'_>,
    ) -> Result<Granted, AttachError> {
        let ConnectRequest { session_id: id, passwd, timeout, .. } = *request;
        let elsewhere = self.is_local(id)
            && self
                .tracker
                .find(id)
                .is_some_and(|session| self.tracker.ownership(session, server) == Ownership::Moved);
        if elsewhere {
            return Err(AttachError::UnknownSession);
        }
        self.tracker.attach(self.now, server, id, passwd, timeout)
    }

    /// A local session that asks for an ephemeral znode becomes one that all servers know, if it
    /// may: a transaction of its own.
    pub(super) fn upgrade(&mut self, conn: ConnectionId, request: &Request<'_>) {
        if self.local.is_empty() || !self.config.local_sessions_upgrading {
            return;
        }
        let Some(attached) = self.connections.get(conn).and_then(|state| state.session) else {
            return;
        };
        let id = attached.session.id();
        if asks_for_ephemeral(request) && self.local.remove(&id) {
            self.begin();
            if let Some(changes) = &mut self.changes {
                changes.session_created(id);
            }
        }
    }
}

/// The opcodes that a read-only server does not serve.
pub(super) fn is_refused_read_only(op: OpCode) -> bool {
    is_write(op) || matches!(op, OpCode::Sync | OpCode::Check)
}

fn asks_for_ephemeral(request: &Request<'_>) -> bool {
    let is_ephemeral =
        |flags| CreateMode::from_flags(flags).is_some_and(|mode: CreateMode| mode.is_ephemeral());
    match request {
        Request::Create(create) | Request::Create2(create) => is_ephemeral(create.flags),
        Request::Multi(items) => items.iter().any(|item| match item {
            MultiOp::Create(create) | MultiOp::Create2(create) => is_ephemeral(create.flags),
            _ => false,
        }),
        _ => false,
    }
}
