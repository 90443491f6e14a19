//! From a connection's bytes to what each request asks for.

use super::stats::Executed;
use super::{ConnectionId, Engine, access};
use crate::error::ErrorCode;
use crate::machine::Machine;
use crate::server::connection;
use crate::server::event::{Access, CloseReason, ServerEvent};
use crate::server::rules::is_write;
use crate::server::tracker::Ownership;
use crate::wire::{OpCode, Request, Xid, Zxid};

impl Engine {
    /// Executes what a connection has received, as far as its client takes the replies.
    pub(super) fn run(&mut self, conn: ConnectionId) {
        let Some(mut inbox) = self.connections.take_inbox(conn) else { return };
        let mut done = Executed::default();
        loop {
            let Some(state) = self.connections.get_mut(conn) else { return };
            if !state.may_run(&self.config) {
                break;
            }
            let Some(event) = connection::pull(&mut inbox, state.answers()) else { break };
            done.note(&event);
            self.execute(conn, event);
        }
        let awaited = self.config.large_request_threshold.map_or(0, |_| inbox.awaited());
        self.connections.put_inbox(self.now, conn, inbox);
        self.connections.executed(conn, self.now, self.zxid, done);
        if let Err(reason) = self.connections.receiving(conn, awaited, &self.config) {
            return self.cut(conn, reason);
        }
        let Some(state) = self.connections.get(conn) else { return };
        if !state.is_open() {
            self.detach(conn);
            self.connections.mark_ready(conn);
        } else if !state.connection.poll_transmit().is_empty() {
            self.connections.mark_ready(conn);
        }
    }

    fn execute(&mut self, conn: ConnectionId, event: ServerEvent<'_>) {
        match event {
            ServerEvent::Connect(request) => return self.connect(conn, &request),
            ServerEvent::FourLetterWord(word) => return self.four_letter(conn, word),
            ServerEvent::SetTraceMask(mask) => return self.set_trace_mask(conn, mask),
            // The network layer answers these by itself: they touch no session.
            ServerEvent::Request { xid, request: Request::Auth { scheme, auth, .. }, .. } => {
                return self.auth(conn, xid, scheme, auth);
            }
            ServerEvent::Request { xid, request: Request::Sasl { token }, .. } => {
                return self.sasl(conn, xid, token);
            }
            ServerEvent::Request { xid, .. }
            | ServerEvent::Undecodable { xid, .. }
            | ServerEvent::UnknownOp { xid, .. }
            | ServerEvent::Ping { xid }
            | ServerEvent::Close { xid }
                if self.config.require_sasl && !self.has_sasl(conn) =>
            {
                let code = ErrorCode::SessionClosedRequireSaslAuth;
                self.send(conn, |a| a.error(xid, Zxid(0), code));
                return self.shut(conn, CloseReason::AuthFailed);
            }
            _ => {}
        }
        let Some(state) = self.connections.get(conn) else { return };
        let (server, attached) = (state.server, state.session);
        let Some(attached) = attached else { return };
        if !self.tracker.touch(self.now, attached.session, attached.timeout) {
            return;
        }
        if let ServerEvent::Close { xid } = event {
            return self.close_session(conn, attached.session.id(), xid);
        }
        let moved = self.tracker.ownership(attached.session, server) != Ownership::Owner;
        match event {
            ServerEvent::Request { xid, op, .. } | ServerEvent::Undecodable { xid, op, .. }
                if self.access(server) == Access::ReadOnly && access::is_refused_read_only(op) =>
            {
                let zxid = self.zxid;
                self.send(conn, |a| a.error(xid, zxid, ErrorCode::NotReadOnly));
            }
            ServerEvent::UnknownOp { xid, .. }
            | ServerEvent::Undecodable { xid, op: OpCode::Check, .. }
            | ServerEvent::Request { xid, op: OpCode::Check, .. } => {
                self.send(conn, |a| a.error(xid, Zxid(-1), ErrorCode::Unimplemented));
                self.shut(conn, CloseReason::UnknownOp);
            }
            _ if moved && self.leader() == Some(server) => {
                if let ServerEvent::Request { op, .. } = event {
                    if is_write(op) {
                        self.begin();
                    }
                }
                self.cut(conn, CloseReason::SessionMoved);
            }
            ServerEvent::Ping { .. } => {
                let zxid = self.zxid;
                self.send(conn, |a| a.reply(Xid::PING, zxid, |_| {}));
            }
            ServerEvent::Undecodable { xid, op, .. } => {
                // A reconfig becomes a transaction once it has been decoded, others before.
                if is_write(op) && op != OpCode::Reconfig {
                    self.begin();
                }
                if moved && is_owner_checked_first(op) {
                    return self.cut(conn, CloseReason::SessionMoved);
                }
                let zxid = self.zxid;
                self.send(conn, |a| a.error(xid, zxid, ErrorCode::MarshallingError));
            }
            ServerEvent::Request { xid, op, request } if is_write(op) => {
                self.write(conn, xid, &request, moved);
            }
            ServerEvent::Request { xid, request, .. } => self.read(conn, xid, &request),
            _ => {}
        }
    }
}

/// Whether ZooKeeper asks who owns the session before it decodes the request.
///
/// # Source
/// `PrepRequestProcessor.pRequest2Txn`, 3.8.0.
fn is_owner_checked_first(op: OpCode) -> bool {
    matches!(op, OpCode::Delete | OpCode::SetData | OpCode::SetAcl)
}
