//! From a connection's bytes to what each request asks for.

use core::fmt::Write as _;

use heapless::String;

use super::Ensemble;
use super::memory::ConnectionId;
use crate::error::ErrorCode;
use crate::server::connection;
use crate::server::event::{CloseReason, ServerEvent, ServerLink};
use crate::server::rules::is_write;
use crate::storage::{Buf, Inbox};
use crate::wire::{OpCode, Reply, Request, Xid, Zxid};

/// The answer to `srvr`, at most.
const PAGE: usize = 224;

impl Ensemble<'_> {
    /// Executes what a connection has received, as far as its client takes the replies.
    pub(super) fn run(&mut self, conn: ConnectionId) {
        let Some(slot) = self.slot_mut(conn) else { return };
        // Taken out, so that events can be lent from it while the rest of the ensemble changes.
        let nothing = Inbox::new(Buf::Lent(&mut []));
        let mut inbox = core::mem::replace(&mut slot.connection.inbox, nothing);
        while let Some(slot) = self.slot_mut(conn).filter(|slot| slot.may_run()) {
            let event = connection::pull(&mut inbox, &mut slot.connection.answers);
            let Some(event) = event else { break };
            self.execute(conn, event);
        }
        let Some(slot) = self.slot_mut(conn) else { return };
        slot.connection.inbox = inbox;
        if slot.connection.poll_link() != ServerLink::Up {
            self.detach(conn); // closed for what was pulled
        }
    }

    fn execute(&mut self, conn: ConnectionId, event: ServerEvent<'_>) {
        match event {
            ServerEvent::Connect(request) => return self.connect(conn, &request),
            ServerEvent::FourLetterWord(word) => return self.four_letter(conn, word),
            ServerEvent::SetTraceMask(_) => return self.four_letter(conn, *b"stmk"),
            // These touch no session.
            ServerEvent::Request { xid, request: Request::Auth { scheme, auth, .. }, .. } => {
                let known = match scheme.as_bytes() {
                    Some(b"ip") => true,
                    // Of no use where there are no ACLs, but no reason to turn a client away.
                    Some(b"digest") => auth.is_some(),
                    _ => false,
                };
                if known {
                    return self.send(conn, |a| a.reply(xid, Zxid(0), |_| {}));
                }
                self.send(conn, |a| a.error(xid, Zxid(0), ErrorCode::AuthFailed));
                return self.shut(conn, CloseReason::AuthFailed);
            }
            ServerEvent::Request { xid, request: Request::Sasl { .. }, .. } => {
                let none = Reply::Sasl(None);
                return self.send(conn, |a| a.reply(xid, Zxid(0), |w| none.encode(w)));
            }
            _ => {}
        }
        let Some(attached) = self.slot(conn).and_then(|slot| slot.session) else { return };
        if !self.tracker.touch(self.now, attached.session, attached.timeout) {
            return;
        }
        match event {
            ServerEvent::Close { xid } => self.close_session(conn, attached.session.id(), xid),
            ServerEvent::UnknownOp { xid, .. }
            | ServerEvent::Undecodable { xid, op: OpCode::Check, .. }
            | ServerEvent::Request { xid, op: OpCode::Check, .. } => {
                self.send(conn, |a| a.error(xid, Zxid(-1), ErrorCode::Unimplemented));
                self.shut(conn, CloseReason::UnknownOp);
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
                let zxid = self.zxid;
                self.send(conn, |a| a.error(xid, zxid, ErrorCode::MarshallingError));
            }
            ServerEvent::Request { xid, op, request } if is_write(op) => {
                self.write(conn, xid, &request);
            }
            ServerEvent::Request { xid, request, .. } => self.read(conn, xid, &request),
            _ => {}
        }
    }

    /// # Source
    /// `FourLetterCommands`, `SrvrCommand`, 3.8.0.
    fn four_letter(&mut self, conn: ConnectionId, word: [u8; 4]) {
        let mut page = String::<PAGE>::new();
        // What does not fit is left out: there is room for all.
        let _ = match &word {
            b"ruok" => page.write_str("imok"),
            b"isro" => page.write_str("rw"),
            b"srvr" => write!(
                page,
                concat!(
                    "Zookeeper version: 3.9.5-zk-session-",
                    env!("CARGO_PKG_VERSION"),
                    ", built on rust\nConnections: {}\nZxid: {:#x}\nMode: standalone\n",
                    "Node count: {}\n",
                ),
                self.connection_count(),
                self.zxid.0,
                // ZooKeeper counts the root twice, once for its alias.
                self.node_count().saturating_add(1),
            ),
            _ => {
                let len = i32::from_be_bytes(word);
                return self.cut(conn, CloseReason::BadFrameLength { len });
            }
        };
        self.send(conn, |a| a.text(page.as_bytes()));
    }
}
