//! Credentials: auth packets, submitted once and sent again on every new connection.

use super::inflight::{InFlight, take_auth};
use super::operation::{Ask, Operation};
use super::session::ClientSession;
use super::submit::{Stage, TAIL_RESERVE};
use super::watch_kind::Wish;
use crate::error::SubmitError;
use crate::storage::Queue;
use crate::wire::{OpCode, Reader, Request, RequestHeader, Ustring, WireError, Writer, Xid};

/// Adds an identity to the session, such as scheme `digest` with `user:password`; answered without a
/// body. The session says it again on every later connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddAuth<'a> {
    /// How identities are told.
    pub scheme: &'a str,
    /// The credential.
    pub auth: &'a [u8],
}

/// The secret stays out.
impl core::fmt::Debug for AddAuth<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AddAuth({:?}, ..)", self.scheme)
    }
}

impl Operation for AddAuth<'_> {}
impl Ask for AddAuth<'_> {
    fn op(&self) -> OpCode {
        OpCode::Auth
    }
    fn path(&self) -> &[u8] {
        &[]
    }
    fn encode(&self, w: &mut Writer<'_>) {
        Credential::new(self.scheme, self.auth).write(w);
    }
    fn check(&self) -> Result<(), SubmitError> {
        Ok(())
    }
    fn is_credential(&self) -> bool {
        true
    }
    fn check_room(&self, session: &ClientSession<'_>, _: Option<Wish>) -> Result<(), SubmitError> {
        let credential = Credential::new(self.scheme, self.auth);
        session.check_registry(session.registry.auth_cost(&credential))
    }
    fn remember(&self, session: &mut ClientSession<'_>, _: Option<Wish>) {
        session.remember_credential(&Credential::new(self.scheme, self.auth));
    }
}

/// The body of an auth packet.
#[derive(PartialEq, Eq)]
pub(super) struct Credential<'a> {
    kind: i32,
    scheme: Ustring<'a>,
    auth: Option<&'a [u8]>,
}

impl<'a> Credential<'a> {
    pub(super) fn new(scheme: &'a str, auth: &'a [u8]) -> Self {
        Self { kind: 0, scheme: scheme.into(), auth: Some(auth) }
    }

    /// What a request carries; the empty one if it is another request.
    pub(super) const fn of(request: &Request<'a>) -> Self {
        match *request {
            Request::Auth { kind, scheme, auth } => Self { kind, scheme, auth },
            _ => Self { kind: 0, scheme: Ustring::NULL, auth: None },
        }
    }

    pub(super) fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let r = &mut Reader::new(body);
        Ok(Self { kind: r.int()?, scheme: r.ustring()?, auth: r.buffer()? })
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.int(self.kind);
        w.ustring(self.scheme);
        w.buffer(self.auth);
    }
}

/// What a session does about its credentials: known only to who submits one, so that a program which
/// does not has no code for it.
pub(super) struct Credentials {
    /// Sends the next one from this place in the registry on; says whether there was room for it.
    pub(super) replay: fn(&mut ClientSession<'_>, usize) -> bool,
    /// Takes the oldest auth request that is not answered.
    pub(super) take: fn(&mut Queue<'_, InFlight>) -> Option<InFlight>,
}

static CREDENTIALS: Credentials =
    Credentials { replay: |session, from| session.replay_credential(from), take: take_auth };

impl ClientSession<'_> {
    /// Remembers a credential; room has been checked.
    pub(super) fn remember_credential(&mut self, auth: &Credential<'_>) {
        self.registry.add_auth(auth);
        self.credentials = Some(&CREDENTIALS);
    }

    /// Takes the request that an auth reply answers.
    pub(super) fn take_auth(&mut self) -> Option<InFlight> {
        (self.credentials?.take)(&mut self.in_flight)
    }

    fn replay_credential(&mut self, from: usize) -> bool {
        let Some((packet, next)) = self.registry.next_auth(from) else {
            self.replay.stage = Stage::Watches(0);
            return true;
        };
        let header = RequestHeader { xid: Xid::AUTH, op: OpCode::Auth.to_wire() };
        let sent = self.outbox.frame(TAIL_RESERVE, |w| {
            header.write(w);
            w.raw(packet);
        });
        if sent.is_err() {
            return false;
        }
        self.replay.stage = Stage::Auth(next);
        self.replay.auths = self.replay.auths.saturating_add(1);
        true
    }
}
