//! What the session sends: requests, pings, and what a new connection must hear again.

use super::chunk::Chunk;
use super::deadline::NEVER;
use super::inflight::InFlight;
use super::registry::{Place, Registry};
use super::session::{ClientSession, chroot};
use super::watch_kind::{WatchKind, Wish};
use crate::error::SubmitError;
use crate::path::{self, Last, PathError, PathErrorKind};
use crate::storage::NoRoom;
use crate::time::Instant;
use crate::wire::{
    AddWatchMode, CreateMode, LENGTH_BYTES, OpCode, ReplyHeader, Request, RequestHeader, Ustring,
    WatcherType, Writer, Xid,
};

/// Bytes of the transmit buffer that requests leave free, so that a ping and a closeSession always
/// fit.
pub(super) const TAIL_RESERVE: usize = 2 * (LENGTH_BYTES + RequestHeader::BYTES);

/// What a new connection is still to be told before any request, and what it is still to answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replay {
    stage: Stage,
    /// Auth packets sent by the replay and not yet answered.
    pub(super) auths: u32,
    /// setWatches frames not yet answered.
    pub(super) set_watches: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
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
    #[inline]
    pub fn submit(&mut self, request: &Request<'_>) -> Result<Xid, SubmitError> {
        self.submit_before(request, NEVER)
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
        if !self.is_open() {
            let over = self.closing.is_some() || self.is_ending();
            return Err(if over { SubmitError::Ended } else { SubmitError::NotConnected });
        }
        if !request.path().and_then(Ustring::as_bytes).is_some_and(path::is_usual) {
            check_paths(request)?;
        }
        if self.in_flight.is_full() {
            return Err(SubmitError::InFlightFull);
        }
        let wish = wish(request)?.filter(|wish| self.has_to_remember(request, *wish));
        let remembered = wish.is_some() || matches!(request, Request::Auth { .. });
        if remembered {
            self.check_registry(request, wish)?;
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
            self.remember(request, wish);
        }
        self.next_xid = xid.next();
        self.earliest_deadline = self.earliest_deadline.min(deadline);
        // Checked above not to be full.
        let _ = self.in_flight.push(InFlight::new(xid, op, wish, self.clock, deadline));
        Ok(xid)
    }

    /// Whether requests can be taken: connected, everything replayed, not closing.
    fn is_open(&self) -> bool {
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

    /// Whether there is room to remember what the request asks to be remembered.
    #[inline(never)]
    fn check_registry(&self, request: &Request<'_>, wish: Option<Wish>) -> Result<(), SubmitError> {
        let needed = match (wish, request) {
            (Some(Wish::Removal(kind)), _) => {
                self.registry.removal_cost(path_of(request), kind).unwrap_or(0)
            }
            (Some(_), _) => {
                let path = path_of(request);
                let chroot = match self.place(request) {
                    Place::Below => self.chroot().len(),
                    Place::Absolute => 0,
                };
                self.check_watch_fits(path.len().saturating_add(chroot))?;
                Registry::cost(path.len())
            }
            (None, Request::Auth { .. }) => self.registry.auth_cost(request),
            (None, _) => return Ok(()),
        };
        let free = self.registry.free();
        if needed > free {
            return Err(SubmitError::RegistryFull { needed, free });
        }
        Ok(())
    }

    /// Remembers a credential, or the path of a watch until its request is answered.
    #[inline(never)]
    fn remember(&mut self, request: &Request<'_>, wish: Option<Wish>) {
        let path = path_of(request);
        match wish {
            Some(Wish::Removal(kind)) => self.registry.begin_removal(path, kind),
            Some(_) => self.registry.add_pending(path, self.place(request)),
            None => self.registry.add_auth(request),
        }
    }

    /// Whether the answer can change anything: a removal where nothing is watched cannot.
    #[inline]
    fn has_to_remember(&self, request: &Request<'_>, wish: Wish) -> bool {
        match wish {
            Wish::Removal(kind) => self.registry.removal_cost(path_of(request), kind).is_some(),
            _ => true,
        }
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
            Stage::Auth(from) => {
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
            }
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

fn path_of<'a>(request: &Request<'a>) -> &'a [u8] {
    request.path().and_then(Ustring::as_bytes).unwrap_or_default()
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
        Request::AddWatch { mode, .. } => match AddWatchMode::from_wire(mode) {
            Some(AddWatchMode::Persistent) => Some(Wish::Success(WatchKind::Persistent)),
            Some(AddWatchMode::PersistentRecursive) => Some(Wish::Success(WatchKind::Recursive)),
            None => None,
        },
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
        Request::Multi(items) | Request::MultiRead(items) => {
            return items.iter().try_for_each(|item| check_path(item.path(), item.flags()));
        }
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
    request.path().map_or(Ok(()), |path| check_path(path, flags))
}

fn check_path(path: Ustring<'_>, flags: i32) -> Result<(), SubmitError> {
    let sequential = CreateMode::from_flags(flags).is_some_and(CreateMode::is_sequential);
    let last = if sequential { Last::Sequential } else { Last::Plain };
    path::check(path.as_bytes().unwrap_or_default(), last).map_err(SubmitError::Path)
}
