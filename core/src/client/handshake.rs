//! The first frame each way.

use core::ops::Range;

use super::event::{Cause, ExpiryReason, KeeperState};
use super::phase::Phase;
use super::sasl::Exchange;
use super::session::ClientSession;
use super::submit::Replay;
use crate::error::DisconnectReason;
use crate::time::{Duration, Maybe};
use crate::wire::{
    ConnectRequest, ConnectResponse, PASSWD_BYTES, Passwd, Reader, SessionId, WireError,
};

impl ClientSession<'_> {
    /// The id to present: none unless a server that can write has known it, for the ids of
    /// read-only servers are throw-aways.
    pub(super) const fn claim(&self) -> SessionId {
        if self.resumable { self.session_id } else { SessionId::NONE }
    }

    pub(super) fn send_handshake(&mut self) {
        self.inbox.clear();
        self.outbox.clear();
        let claim = self.claim();
        let passwd = if claim.is_some() { self.passwd } else { Passwd::ZERO };
        let last_zxid_seen = if claim.is_some() { self.shown_zxid() } else { self.last_zxid };
        self.expiry.sent_handshake(self.clock);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen,
            // Always the wish, never the last grant, so that it does not shrink by reconnecting.
            timeout: self.requested_timeout.as_wire_millis(),
            session_id: claim,
            passwd: Some(&passwd.0),
            read_only: Some(self.read_only.is_some()),
        };
        // The buffer was measured against this frame when the session was set up.
        if self.outbox.frame(0, |w| request.write(w)).is_err() {
            self.lose(DisconnectReason::ClosedInHandshake);
        }
    }

    /// The server's answer; says whether the application is to be told of a connection.
    pub(super) fn judge_handshake(&mut self, frame: Range<usize>) -> Option<Cause> {
        let answer = match ConnectResponse::read(&mut Reader::new(self.inbox.frame(frame))) {
            Ok(answer) => answer,
            Err(error) => {
                self.lose(DisconnectReason::Malformed(error));
                return None;
            }
        };
        let asked = self.claim();
        let (id, timeout) = (answer.session_id, Duration::from_wire_millis(answer.timeout));
        let passwd = answer.passwd.and_then(|bytes| <[u8; PASSWD_BYTES]>::try_from(bytes).ok());
        let len = answer.passwd.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        let read_only = answer.read_only.unwrap_or(false);

        if timeout == Duration::ZERO {
            if asked.is_some() && read_only {
                // Without a quorum it may just not have heard of the session.
                self.lose(DisconnectReason::RefusedByReadOnly);
            } else if asked.is_some() {
                self.refused();
            } else {
                self.lose(DisconnectReason::NewSessionRefused);
            }
            return None;
        }
        if asked.is_some() && id != asked {
            let cause = Cause::Expired(ExpiryReason::ResumedAsAnother { got: id });
            self.end(KeeperState::Expired, cause);
            return None;
        }
        if asked.is_some() && self.asked_bare() {
            // It knows the session but would take the client back in time: not this server.
            self.lose(DisconnectReason::ServerBehind);
            return None;
        }
        let Some(passwd) = passwd.filter(|_| id.is_some()) else {
            self.lose(DisconnectReason::Malformed(WireError::BadLength { at: 16, len }));
            return None;
        };
        (self.session_id, self.passwd) = (id, Passwd(passwd));
        self.live.timeout = timeout;
        self.expiry.accepted(self.clock, timeout, read_only);
        self.resumable |= !read_only;
        self.give_up_at = Maybe::NONE;
        self.established_at = self.clock;
        let state =
            if read_only { KeeperState::ConnectedReadOnly } else { KeeperState::SyncConnected };
        let cause = if asked.is_some() { Cause::Resumed } else { Cause::Established };
        if self.sasl.is_some() {
            // Nobody is told before that is done; behind a lost connection it never will be.
            if matches!(self.phase, Phase::Priming { .. }) {
                let deadline = self.clock.after(timeout.share(2, 3));
                self.phase = Phase::Authenticating(Exchange::new(deadline, state, cause));
            }
            return None;
        }
        self.told = state;
        if matches!(self.phase, Phase::Priming { .. }) {
            self.establish();
        }
        self.changed_at = self.clock;
        self.explain(self.told, cause);
        Some(cause)
    }

    /// The session can be used, in the state that has just been told.
    pub(super) fn establish(&mut self) {
        self.phase = Phase::Connected;
        self.hosts.accepted();
        if self.told == KeeperState::ConnectedReadOnly {
            self.prober.start(self.clock, &self.hosts);
        } else {
            self.prober.reset();
        }
        self.replay = Replay::start();
        self.send_what_is_due();
    }
}
