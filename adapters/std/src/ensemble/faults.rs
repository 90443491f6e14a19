//! What the handles want done to servers and sessions.

use std::io;
use std::time::Duration;

use zk_session::server::{Access, ServerId};
use zk_session::wire::SessionId;

use super::SessionInfo;
use super::error::EnsembleError;
use super::front::front;
use super::net::Net;
use super::reactor::Reactor;
use super::state::server_of;

/// How often a cut accepts, to have all that the system keeps for us.
const CUT_ROUNDS: usize = 16;

impl<N: Net> Reactor<N> {
    /// Starts to listen on the server's port.
    pub fn start(&mut self, server: usize) -> Result<(), EnsembleError> {
        let front = front(&mut self.fronts, server)?;
        let net = &mut self.net;
        let listening = front.port.listen(front.addr, |listener| net.listen(listener, server));
        let listening = listening.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {}: {error}", front.addr))
        })?;
        if listening {
            front.pending = true;
            log::debug!("server {server} listens on {}", front.addr);
        }
        Ok(())
    }

    /// Closes the server's listener and connections. A frozen one is not frozen any more.
    pub fn stop(&mut self, server: usize) -> Result<(), EnsembleError> {
        let front = front(&mut self.fronts, server)?;
        if let Some(listener) = front.port.listener() {
            self.net.forget_listener(listener);
        }
        front.port.hold(front.addr);
        (front.pending, front.pause, front.frozen) = (false, None, false);
        let (id, addr) = (front.id, front.addr);
        let conns: Vec<_> = self.state.engine.connections(id).collect();
        self.state.engine.stop_server(self.state.clock.now(), id);
        self.drop_all(&conns);
        log::debug!("server {server} on {addr} stopped, {} connections dropped", conns.len());
        Ok(())
    }

    /// Closes the server's connections, also those that are not accepted yet.
    pub fn cut(&mut self, server: usize) -> Result<(), EnsembleError> {
        let front = front(&mut self.fronts, server)?;
        (front.pending, front.pause) = (front.port.listener().is_some(), None);
        let (id, frozen) = (front.id, std::mem::take(&mut front.frozen));
        for _ in 0..CUT_ROUNDS {
            self.accept(server);
        }
        self.fronts[server].frozen = frozen;
        let conns: Vec<_> = self.state.engine.connections(id).collect();
        self.drop_all(&conns);
        log::debug!("server {server}: {} connections cut", conns.len());
        Ok(())
    }

    /// From now on bytes take that long, each way.
    pub fn delay(&mut self, server: usize, delay: Duration) -> Result<(), EnsembleError> {
        front(&mut self.fronts, server)?.delay = delay;
        Ok(())
    }

    /// The server loses its quorum, or is part of it again.
    pub fn set_access(&mut self, server: usize, access: Access) -> Result<(), EnsembleError> {
        let id = front(&mut self.fronts, server)?.id;
        self.state.engine.set_access(self.state.clock.now(), id, access);
        Ok(())
    }

    /// The server does nothing any more; what comes to it waits.
    pub fn freeze(&mut self, server: usize) -> Result<(), EnsembleError> {
        front(&mut self.fronts, server)?.frozen = true;
        Ok(())
    }

    /// The server goes on with what has come to it, and with what it was to send.
    pub fn thaw(&mut self, server: usize) -> Result<(), EnsembleError> {
        let front = front(&mut self.fronts, server)?;
        front.frozen = false;
        let conns: Vec<_> = self.state.engine.connections(front.id).collect();
        for conn in conns {
            if let Some(slot) = self.sockets.slot_of(conn) {
                self.sockets.mark(slot);
            }
        }
        Ok(())
    }

    /// Expires a session and closes its connection.
    pub fn expire(&mut self, session_id: SessionId) -> bool {
        self.state.expire(session_id)
    }

    /// Drops the connections of a session; whether there were any.
    pub fn drop_connection(&mut self, session_id: SessionId) -> Result<bool, EnsembleError> {
        if !self.state.engine.is_alive(session_id) {
            return Err(EnsembleError::NoSession(session_id));
        }
        let conns: Vec<_> = self.state.engine.session_connections(session_id).collect();
        self.drop_all(&conns);
        Ok(!conns.is_empty())
    }

    /// Lets a server speak for a session.
    pub fn move_session(&mut self, session_id: SessionId, to: usize) -> Result<(), EnsembleError> {
        let id = front(&mut self.fronts, to)?.id;
        self.state.move_session(session_id, id)
    }

    /// Forgets everything.
    pub fn wipe(&mut self) {
        self.state.engine.wipe(self.state.clock.now());
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.state.sessions(&self.servers())
    }

    /// The server that has a session's connection.
    pub fn server_of(&self, session_id: SessionId) -> Option<usize> {
        server_of(&self.state.engine.session(session_id)?, &self.servers())
    }

    /// The engine's names for the servers.
    fn servers(&self) -> Vec<ServerId> {
        self.fronts.iter().map(|front| front.id).collect()
    }
}
