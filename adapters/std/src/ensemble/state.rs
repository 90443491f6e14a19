//! The engine, its clock and its store: all of an ensemble but the sockets.

use std::time::Duration;

use zk_session::server::{self, Engine, ServerId};
use zk_session::wire::SessionId;

use super::SessionInfo;
use super::error::{EnsembleError, StoreError};
#[cfg(feature = "durable")]
use super::store::Store;
use crate::clock::Clock;

/// What a loop carries bytes and time for.
#[derive(Debug)]
pub(super) struct State {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    #[cfg(feature = "durable")]
    store: Option<Store>,
}

impl State {
    pub(super) fn new(engine: Engine, clock: Clock) -> Self {
        Self {
            engine,
            clock,
            #[cfg(feature = "durable")]
            store: None,
        }
    }

    /// From now on what changes is kept; what there is, is kept already.
    #[cfg(feature = "durable")]
    pub(super) fn keep(&mut self, store: Store) {
        self.engine.track_changes();
        self.engine.set_data_dir(store.dir().display().to_string());
        self.engine.set_data_size(store.size());
        self.store = Some(store);
    }

    /// Whether something has changed that [`commit`](Self::commit) keeps.
    pub(super) fn has_to_keep(&self) -> bool {
        #[cfg(feature = "durable")]
        return self.store.is_some() && self.engine.poll_changes().next().is_some();
        #[cfg(not(feature = "durable"))]
        false
    }

    /// Keeps what has changed since the last time. What clients are to be told of it may be sent
    /// when this has returned, and must never be if it fails.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        #[cfg(feature = "durable")]
        if let Some(store) = &mut self.store {
            if self.engine.poll_changes().next().is_some() {
                store.commit(&self.engine)?;
                self.engine.handle_stored();
                self.engine.set_data_size(store.size());
            }
        }
        Ok(())
    }

    /// Expires a session.
    pub(super) fn expire(&mut self, session_id: SessionId) -> bool {
        self.engine.expire_session(self.clock.now(), session_id)
    }

    /// Lets a server speak for a session.
    pub(super) fn move_session(
        &mut self,
        session_id: SessionId,
        to: ServerId,
    ) -> Result<(), EnsembleError> {
        if self.engine.move_session(self.clock.now(), session_id, to) {
            return Ok(());
        }
        Err(EnsembleError::NoSession(session_id))
    }

    /// All sessions; `servers` are the engine's names for ours.
    pub(super) fn sessions(&self, servers: &[ServerId]) -> Vec<SessionInfo> {
        let sessions = self.engine.sessions().map(|session| SessionInfo {
            session_id: session.session_id,
            timeout: Duration::from_millis(session.timeout.as_millis()),
            server: server_of(&session, servers),
            ephemerals: session.ephemerals,
        });
        sessions.collect()
    }
}

/// The server that has a session's connection; `servers` are the engine's names for ours.
pub(super) fn server_of(session: &server::SessionInfo, servers: &[ServerId]) -> Option<usize> {
    session.connection?;
    servers.iter().position(|server| *server == session.owner)
}
