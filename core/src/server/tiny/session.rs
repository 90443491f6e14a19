//! Sessions over connections: the handshake, and the end of a session.

use super::Ensemble;
use super::memory::{Attached, ConnectionId};
use crate::server::event::CloseReason;
use crate::server::tracker::{Granted, ServerId};
use crate::trace::debug_event;
use crate::wire::{ConnectRequest, SessionId, Xid};

/// The only server.
const SERVER: ServerId = ServerId(1);

impl Ensemble<'_> {
    /// # Source
    /// `ZooKeeperServer.processConnectRequest`, `.finishSessionInit`, 3.8.0.
    pub(super) fn connect(&mut self, conn: ConnectionId, request: &ConnectRequest<'_>) {
        let ConnectRequest { session_id: id, passwd, timeout, .. } = *request;
        if request.last_zxid_seen > self.zxid {
            return self.cut(conn, CloseReason::ZxidAhead);
        }
        let granted = if id.is_some() {
            // The older connection goes before the password is looked at.
            if let Some(older) = self.speaker(id) {
                self.cut(older, CloseReason::Resumed);
            }
            match self.tracker.attach(self.now, SERVER, id, passwd, timeout) {
                Ok(granted) => granted,
                Err(error) => {
                    debug_event!("session {} refused: {:?}", id, error);
                    self.send(conn, |answers| answers.refuse());
                    return self.shut(conn, CloseReason::SessionRefused);
                }
            }
        } else {
            match self.tracker.create(self.now, SERVER, timeout) {
                Ok(granted) => granted,
                Err(_) => return self.cut(conn, CloseReason::TrackerFull),
            }
        };
        if !id.is_some() {
            self.begin();
        }
        let Granted { session, passwd, timeout } = granted;
        if let Some(slot) = self.slot_mut(conn) {
            (slot.session, slot.deadline) = (Some(Attached { session, timeout }), None);
        }
        self.send(conn, |answers| answers.accept(session.id(), &passwd, timeout));
    }

    /// The session that a connection speaks for.
    pub(super) fn session(&self, conn: ConnectionId) -> Option<SessionId> {
        self.slot(conn)?.session.map(|attached| attached.session.id())
    }

    /// The connection that speaks for a session.
    fn speaker(&self, session: SessionId) -> Option<ConnectionId> {
        self.ids().find(|conn| self.session(*conn) == Some(session))
    }

    /// A client ends its session: events, reply, then the connection closes.
    pub(super) fn close_session(&mut self, conn: ConnectionId, session: SessionId, xid: Xid) {
        self.drop_session(session);
        let zxid = self.zxid;
        self.send(conn, |answers| answers.reply(xid, zxid, |_| {}));
        self.shut(conn, CloseReason::SessionClosed);
    }

    /// The ensemble ends a session: its connection closes without a frame.
    pub(super) fn end_session(&mut self, session: SessionId, reason: CloseReason) {
        debug_event!("session {} ends", session);
        self.drop_session(session);
        if let Some(conn) = self.speaker(session) {
            self.cut(conn, reason);
        }
    }

    /// Deletes a session's ephemeral znodes in one transaction and forgets it.
    fn drop_session(&mut self, session: SessionId) {
        let txn = self.begin();
        loop {
            let first = self.store.ephemerals(session).next();
            let Some(id) = first else { break };
            self.remove(id, txn);
        }
        self.tracker.close(session);
    }
}
