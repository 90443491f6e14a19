//! SASL packets of clients.

use alloc::boxed::Box;

use super::{ConnectionId, Engine};
use crate::server::acl::Identity;
use crate::server::event::CloseReason;
use crate::server::sasl::{SaslMechanism, SaslStep};
use crate::wire::{Reply, Xid, Zxid};

impl Engine {
    /// From now on clients can prove who they are by a SASL mechanism, such as
    /// [`DigestMd5`](crate::server::DigestMd5), and ACLs can have the scheme `sasl`. Without one,
    /// every token is answered by null, as by a ZooKeeper that has none.
    pub fn set_sasl(&mut self, mechanism: Box<dyn SaslMechanism>) {
        self.mechanism = Some(mechanism);
    }

    /// # Source
    /// `ZooKeeperServer.processSasl`, 3.8.0.
    pub(super) fn sasl(&mut self, conn: ConnectionId, xid: Xid, token: Option<&[u8]>) {
        let reply = |token: Option<&[u8]>| {
            let token = token.map(<[u8]>::to_vec);
            move |a: &mut crate::server::answers::Answers<'static>| {
                a.reply(xid, Zxid(0), |w| Reply::Sasl(token.as_deref()).encode(w))
            }
        };
        let Some(mechanism) = &mut self.mechanism else { return self.send(conn, reply(None)) };
        let Some(state) = self.connections.get_mut(conn) else { return };
        let mut exchange = state.sasl.take().unwrap_or_else(|| mechanism.start());
        match exchange.step(token.unwrap_or_default()) {
            SaslStep::Challenge(challenge) => {
                state.sasl = Some(exchange);
                self.send(conn, reply(Some(&challenge)));
            }
            SaslStep::Success { token, authorization_id } => {
                let is_super = self.config.super_user.as_deref() == Some(&*authorization_id);
                Identity::sasl(&authorization_id, is_super).for_each(|identity| {
                    if !state.identities.contains(&identity) {
                        state.identities.push(identity);
                    }
                });
                self.send(conn, reply(token.as_deref()));
            }
            SaslStep::Failure => {
                let server = state.server;
                let counters = &mut self.connections.fronts.get_mut(server).counters;
                counters.auth_failed = counters.auth_failed.wrapping_add(1);
                self.send(conn, |a| a.sasl_failed(xid));
                self.shut(conn, CloseReason::AuthFailed);
            }
        }
    }

    /// Whether a client has proved who it is by SASL.
    pub(super) fn has_sasl(&self, conn: ConnectionId) -> bool {
        self.connections.get(conn).is_some_and(|s| s.identities.iter().any(Identity::is_sasl))
    }
}
