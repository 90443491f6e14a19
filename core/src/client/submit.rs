//! What the session sends: requests, pings, and what a new connection must hear again.

use super::chunk::Chunk;
use super::credential::Credential;
use super::deadline::NEVER;
use super::inflight::InFlight;
use super::operation::{Ask, Operation, check_items, check_path};
use super::registry::{Place, Registry};
use super::session::{ClientSession, chroot};
use super::watch_kind::{WatchKind, Wish};
use crate::error::SubmitError;
use crate::path::{self, Last, PathError, PathErrorKind};
use crate::storage::NoRoom;
use crate::time::Instant;
use crate::wire::{
    AddWatchMode, LENGTH_BYTES, OpCode, ReplyHeader, Request, RequestHeader, Ustring, WatcherType,
    Writer, Xid,
};

/// Bytes of the transmit buffer that requests leave free, so that a ping and a closeSession always
/// fit.
pub(super) const TAIL_RESERVE: usize = 2 * (LENGTH_BYTES + RequestHeader::BYTES);

/// What a new connection is still to be told before any request, and what it is still to answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replay {
    pub(super) stage: Stage,
    /// Auth packets sent by the replay and not yet answered.
    pub(super) auths: u32,
    /// setWatches frames not yet answered.
    pub(super) set_watches: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Credentials from this place in the registry on.
    Auth(usize),
    /// Watches from this place in the registry on.
    Watches(usize),
    #[default]
    Done,
}

impl Replay {
    pub(super) const fn start() -> Self {
        Self { stage: Stage::Auth(0), auths: 0, set_watches: 0 }
    }

    /// Whether all watches are registered again.
    pub(super) fn is_answered(&self) -> bool {
        self.stage == Stage::Done && self.set_watches == 0
    }
}

impl ClientSession<'_> {
    /// Whether a small request would be accepted now.
    pub fn can_submit(&self) -> bool {
        // An empty buffer, however small, is as good as it gets.
        let room = self.outbox.is_empty() || self.outbox.free() > 4 * TAIL_RESERVE;
        self.is_open() && !self.in_flight.is_full() && room
    }

    /// Hands a request over: it leaves in the order of the calls and is answered by exactly one
    /// [`Event::Reply`](super::Event::Reply) with the returned number, whatever happens. Paths are
    /// relative to the session's chroot, but for those of
    /// [`get_config`](Request::get_config) and reconfig.
    ///
    /// Watches: success arms what the request asks for (exists and addWatch do on a missing znode,
    /// too), and removeWatches takes away what it names once the server has agreed or says that it
    /// knows no such watch; the reply is all the notice there is, for there is no queue for the
    /// `DataWatchRemoved` and its kin that the Java client makes up. If the connection is lost
    /// before the answer, the watches stay and are registered again. Servers before 3.9 know the
    /// types `Persistent` and `PersistentRecursive` not (`MarshallingError`, nothing is removed);
    /// there `Any` is the way.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing has changed then, and
    /// [`is_temporary`](SubmitError::is_temporary) says whether to try again.
    pub fn submit(&mut self, request: &Request<'_>) -> Result<Xid, SubmitError> {
        match self.hand_over_usual(request, NEVER) {
            Some(xid) => Ok(xid),
            None => self.hand_over(request, NEVER),
        }
    }

    /// As [`submit`](Self::submit), with a deadline: without an answer until then, the request fails
    /// with [`OpError::Timeout`](crate::OpError::Timeout), and whether it happened is unknown.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_before(
        &mut self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Xid, SubmitError> {
        self.on_deadline = Some(|session| session.on_request_deadline());
        match self.hand_over_usual(request, deadline) {
            Some(xid) => Ok(xid),
            None => self.hand_over(request, deadline),
        }
    }

    /// As [`submit`](Self::submit), for a program that is to hold no more code than its operations
    /// need; see [`GetData`](super::GetData) and its kin.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_operation(&mut self, operation: &dyn Operation) -> Result<Xid, SubmitError> {
        self.hand_over(operation, NEVER)
    }

    /// As [`submit_operation`](Self::submit_operation), with a deadline as in
    /// [`submit_before`](Self::submit_before).
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_operation_before(
        &mut self,
        operation: &dyn Operation,
        deadline: Instant,
    ) -> Result<Xid, SubmitError> {
        self.on_deadline = Some(|session| session.on_request_deadline());
        self.hand_over(operation, deadline)
    }

    #[cfg_attr(target_pointer_width = "64", inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), inline)]
    fn hand_over<O: Ask + ?Sized>(
        &mut self,
        request: &O,
        deadline: Instant,
    ) -> Result<Xid, SubmitError> {
        if !self.is_open() {
            let over = self.closing.is_some() || self.is_ending();
            return Err(if over { SubmitError::Ended } else { SubmitError::NotConnected });
        }
        if cfg!(not(target_pointer_width = "64")) || !path::is_usual(request.path()) {
            request.check()?;
        }
        if self.in_flight.is_full() {
            return Err(SubmitError::InFlightFull);
        }
        let wish = request.wish(&self.registry)?;
        let remembered = wish.is_some() || request.is_credential();
        if remembered {
            request.check_room(self, wish)?;
        }

        // Nothing of the session is changed before the frame is in the buffer.
        let (xid, op) = (self.next_xid, request.op());
        let on_wire = if op == OpCode::Auth { Xid::AUTH } else { xid };
        let header = RequestHeader { xid: on_wire, op: op.to_wire() };
        let chroot = chroot(&self.connect_string, self.chroot_at);
        self.outbox
            .frame_under(chroot, TAIL_RESERVE, |w| {
                header.write(w);
                request.encode(w);
            })
            .map_err(|full| self.refusal(full))?;

        if remembered {
            request.remember(self, wish);
        }
        self.next_xid = xid.next();
        self.earliest_deadline = self.earliest_deadline.min(deadline);
        // Checked above not to be full.
        let _ = self.in_flight.push(InFlight::new(xid, op, wish, self.clock, deadline));
        Ok(xid)
    }

    /// Whether requests can be taken: connected, everything replayed, not closing.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn is_open(&self) -> bool {
        self.is_connected() && self.replay.stage == Stage::Done && self.closing.is_none()
    }

    /// What to say of a frame that does not fit.
    #[cold]
    pub(super) fn refusal(&self, NoRoom { needed, free }: NoRoom) -> SubmitError {
        let limit = self.outbox.limit().saturating_sub(TAIL_RESERVE);
        if needed > limit {
            return SubmitError::TooLarge { needed, limit };
        }
        SubmitError::TransmitFull { needed, free }
    }

    /// Whether there is room to remember a watch of this path.
    #[inline(never)]
    pub(super) fn check_watch(&self, path: &[u8], place: Place) -> Result<(), SubmitError> {
        let chroot = match place {
            Place::Below => self.chroot().len(),
            Place::Absolute => 0,
        };
        self.check_watch_fits(path.len().saturating_add(chroot))?;
        self.check_registry(Registry::cost(path.len()))
    }

    pub(super) fn check_registry(&self, needed: usize) -> Result<(), SubmitError> {
        let free = self.registry.free();
        if needed > free { Err(SubmitError::RegistryFull { needed, free }) } else { Ok(()) }
    }

    /// Whose name for its znode the request's path is.
    fn place(&self, request: &Request<'_>) -> Place {
        match request {
            Request::GetConfig { .. } if !self.chroot().is_empty() => Place::Absolute,
            _ => Place::Below,
        }
    }

    /// A watch must fit the frame that registers it again and the event that it brings; `path` is
    /// the length of the server's path.
    fn check_watch_fits(&self, path: usize) -> Result<(), SubmitError> {
        const EVENT: usize = LENGTH_BYTES + ReplyHeader::BYTES + 8 + 4;
        for (needed, limit) in [
            (
                path.saturating_add(Chunk::OVERHEAD).saturating_add(4),
                self.outbox.limit().saturating_sub(TAIL_RESERVE),
            ),
            (path.saturating_add(EVENT), self.inbox.longest_frame().saturating_add(LENGTH_BYTES)),
        ] {
            if needed > limit {
                return Err(SubmitError::TooLarge { needed, limit });
            }
        }
        Ok(())
    }

    pub(super) fn send_ping(&mut self) {
        let header = RequestHeader { xid: Xid::PING, op: OpCode::Ping.to_wire() };
        // It goes behind what is queued: each request there touches the session when it arrives, as
        // a ping does, and one is only due when nothing has left for a third of the timeout.
        // Requests leave room for one ping; if that one has not left yet, it will do.
        if self.outbox.frame(TAIL_RESERVE / 2, |w| header.write(w)).is_ok() {
            self.expiry.sent_ping(self.clock);
        }
        self.live.sent(self.clock);
    }

    /// Goes on with the replay, and then with a close that waits for it.
    #[inline]
    pub(super) fn send_what_is_due(&mut self) {
        if self.is_connected() && !self.is_open() {
            self.send_replay();
        }
    }

    #[cold]
    fn send_replay(&mut self) {
        if self.closing.is_some_and(|closing| closing.xid.is_none()) {
            self.replay.stage = Stage::Done;
            return self.send_close();
        }
        while self.replay.stage != Stage::Done && self.replay_one() {}
    }

    fn send_close(&mut self) {
        let xid = self.next_xid;
        let header = RequestHeader { xid, op: OpCode::CloseSession.to_wire() };
        if self.outbox.frame(0, |w| header.write(w)).is_ok() {
            self.next_xid = xid.next();
            if let Some(closing) = &mut self.closing {
                closing.xid = Some(xid);
            }
        }
    }

    /// Sends one more frame of the replay; says whether there was room for it.
    fn replay_one(&mut self) -> bool {
        let room = self.outbox.free().saturating_sub(TAIL_RESERVE);
        match self.replay.stage {
            Stage::Auth(from) => match self.credentials {
                Some(credentials) => return (credentials.replay)(self, from),
                None => self.replay.stage = Stage::Watches(0),
            },
            Stage::Watches(from) => {
                let chroot = chroot(&self.connect_string, self.chroot_at);
                let Some(chunk) = self.registry.next_chunk(from, room, chroot) else {
                    self.replay.stage = Stage::Done;
                    return true;
                };
                let (registry, zxid) = (&self.registry, self.last_zxid);
                let write = |w: &mut Writer<'_>| registry.write_chunk(&chunk, zxid, w);
                if chunk.watches == 0
                    || self.outbox.frame_under(chroot, TAIL_RESERVE, write).is_err()
                {
                    return false;
                }
                self.replay.stage = Stage::Watches(chunk.to);
                self.replay.set_watches = self.replay.set_watches.saturating_add(1);
            }
            Stage::Done => {}
        }
        true
    }
}

impl Ask for Request<'_> {
    #[inline]
    fn op(&self) -> OpCode {
        self.op()
    }

    #[inline]
    fn path(&self) -> &[u8] {
        self.path().and_then(Ustring::as_bytes).unwrap_or_default()
    }

    #[inline]
    fn encode(&self, w: &mut Writer<'_>) {
        self.encode(w);
    }

    #[inline]
    fn wish(&self, registry: &Registry<'_>) -> Result<Option<Wish>, SubmitError> {
        Ok(match wish(self)? {
            // A removal where nothing is watched cannot change anything.
            Some(Wish::Removal(kind)) if registry.removal_cost(Ask::path(self), kind).is_none() => {
                None
            }
            wish => wish,
        })
    }

    fn check(&self) -> Result<(), SubmitError> {
        check_paths(self)
    }

    #[inline]
    fn is_credential(&self) -> bool {
        matches!(self, Request::Auth { .. })
    }

    #[inline(never)]
    fn check_room(
        &self,
        session: &ClientSession<'_>,
        wish: Option<Wish>,
    ) -> Result<(), SubmitError> {
        let path = Ask::path(self);
        session.check_registry(match wish {
            Some(Wish::Removal(kind)) => session.registry.removal_cost(path, kind).unwrap_or(0),
            Some(_) => return session.check_watch(path, session.place(self)),
            None => session.registry.auth_cost(&Credential::of(self)),
        })
    }

    #[inline(never)]
    fn remember(&self, session: &mut ClientSession<'_>, wish: Option<Wish>) {
        let path = Ask::path(self);
        match wish {
            Some(Wish::Removal(kind)) => session.registry.begin_removal(path, kind),
            Some(_) => session.registry.add_pending(path, session.place(self)),
            None => session.remember_credential(&Credential::of(self)),
        }
    }
}

/// The watch that a request wishes for.
fn wish(request: &Request<'_>) -> Result<Option<Wish>, SubmitError> {
    Ok(match *request {
        Request::Exists { watch: true, .. } => Some(Wish::Exists),
        Request::GetData { watch: true, .. } | Request::GetConfig { watch: true } => {
            Some(Wish::Success(WatchKind::Data))
        }
        Request::GetChildren { watch: true, .. } | Request::GetChildren2 { watch: true, .. } => {
            Some(Wish::Success(WatchKind::Child))
        }
        Request::AddWatch { mode, .. } => {
            AddWatchMode::from_wire(mode).map(|mode| Wish::Success(WatchKind::added(mode)))
        }
        // A type that no server knows removes nothing.
        Request::RemoveWatches { kind, .. } => WatcherType::from_wire(kind).map(Wish::Removal),
        // What the session sends by itself, or (check) what 3.8 servers never answer and later ones
        // close the connection for: it belongs in a multi.
        Request::Ping
        | Request::Check { .. }
        | Request::CloseSession
        | Request::Sasl { .. }
        | Request::SetWatches(_)
        | Request::SetWatches2(_) => return Err(SubmitError::Reserved),
        _ => None,
    })
}

/// Paths are checked before they leave, as the Java client does.
#[cold]
fn check_paths(request: &Request<'_>) -> Result<(), SubmitError> {
    let flags = match request {
        Request::Create(create) | Request::Create2(create) => create.flags,
        Request::CreateTtl(ttl) => ttl.create.flags,
        Request::Multi(items) | Request::MultiRead(items) => return check_items(items),
        // Plain text to compare with, but of absolute paths.
        Request::GetEphemerals { prefix } => {
            return match prefix.as_bytes().unwrap_or_default().first() {
                None | Some(b'/') => Ok(()),
                Some(_) => {
                    let error = PathError { kind: PathErrorKind::NotAbsolute, at: 0 };
                    Err(SubmitError::Path(error))
                }
            };
        }
        _ => 0,
    };
    request
        .path()
        .map_or(Ok(()), |path| check_path(path.as_bytes().unwrap_or_default(), Last::of(flags)))
}
