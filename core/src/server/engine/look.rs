//! What an administrator or a test sees of an ensemble without being its client.

use super::{ConnectionId, Engine};
use crate::wire::{SessionId, Stat};

impl Engine {
    /// Whether a session is alive.
    pub fn is_alive(&self, session: SessionId) -> bool {
        self.tracker.find(session).is_some()
    }

    /// The session that a connection speaks for; `None` before the handshake, after the connection
    /// has lost it, and for unknown connections.
    pub fn session_of(&self, conn: ConnectionId) -> Option<SessionId> {
        Some(self.connections.get(conn)?.session?.session.id())
    }

    /// A znode's metadata; `None` if there is no such znode. No ACL applies.
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.tree.look(path.as_bytes()).map(|node| node.stat())
    }

    /// How many ephemeral znodes a session has; also of one that is not alive, which should have
    /// none.
    pub fn ephemerals(&self, session: SessionId) -> usize {
        self.tree.ephemerals(session).count()
    }
}
