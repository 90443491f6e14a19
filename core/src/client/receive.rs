//! What the session hears: frames become events, in wire order.

use core::ops::Range;

use super::event::{Cause, Event, KeeperState};
use super::inflight::{InFlight, oldest};
use super::phase::{After, Phase, Readable};
use super::quick::HAS_ROOM;
use super::registry::Place;
use super::sasl::Token;
use super::session::{ClientSession, chroot};
use crate::error::{DisconnectReason, ErrorCode, OpError};
use crate::path;
use crate::storage::NextFrame;
use crate::trace::warn_event;
use crate::wire::{
    CONFIG_NODE, EventType, OpCode, Reader, ReplyHeader, WatcherEvent, WireError, Xid, Zxid, below,
};

/// An event as ranges of the receive buffer: found first, borrowed last.
pub(super) enum Found {
    State { state: KeeperState, cause: Cause },
    Failure { xid: Xid, zxid: Zxid, error: OpError },
    Notification { kind: EventType, path: Range<usize> },
    WatchesLost { error: OpError },
    Sasl(Token),
}

/// A reply to the oldest request in flight.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) xid: Xid,
    pub(super) op: OpCode,
    pub(super) zxid: Zxid,
    pub(super) err: i32,
    pub(super) body: Range<usize>,
}

/// What one look at the receive buffer brought.
pub(super) enum Step {
    /// The answer to a request.
    Answer(Answer),
    /// Something else for the application.
    Event(Found),
    /// Something for the session itself; look again.
    Again,
    /// Nothing more for now.
    Idle,
}

impl ClientSession<'_> {
    /// Pulls the next event. It borrows from the session until the next call; pull until there is
    /// none before looking at the views.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        if let Some(answer) = self.next_usual() {
            return Some(self.lend_usual(answer));
        }
        self.next_unusual()
    }

    #[inline(never)]
    fn next_unusual(&mut self) -> Option<Event<'_>> {
        while !self.has_nothing() {
            match self.next_step() {
                Step::Answer(answer) => return Some(self.lend_answer(answer)),
                Step::Event(found) => return Some(self.lend(found)),
                Step::Again => {}
                Step::Idle => return None,
            }
        }
        None
    }

    /// Watch events that could not be told, or not understood: of a type that this library does not
    /// know (delivered as `Unknown`), outside the chroot, or without a readable path.
    pub const fn odd_events(&self) -> u32 {
        self.odd_events
    }

    #[inline]
    fn next_frame(&mut self) -> NextFrame {
        if self.inbox.is_full() {
            // The application makes room: the silence until now was its own.
            self.live.heard(self.clock);
        }
        self.inbox.next(self.frame_limit, ReplyHeader::BYTES)
    }

    /// Looks at the receive buffer, or at what a lost connection has left behind.
    #[cfg_attr(target_pointer_width = "64", inline(never))]
    #[cfg_attr(not(target_pointer_width = "64"), cold)]
    pub(super) fn next_step(&mut self) -> Step {
        if let (Phase::Authenticating(exchange), Some(sasl)) = (self.phase, self.sasl) {
            if let Some(step) = (sasl.next_turn)(self, exchange) {
                return step;
            }
        }
        let readable = match self.phase {
            Phase::Priming { .. } => Readable::Handshake,
            Phase::Authenticating(_) => Readable::Sasl,
            Phase::Connected => Readable::Frames,
            Phase::Draining { readable, .. } => readable,
            Phase::Backoff { .. } | Phase::Dialling { .. } | Phase::Ended => return Step::Idle,
        };
        let frame = match readable {
            Readable::Nothing => NextFrame::Partial,
            Readable::Handshake | Readable::Sasl | Readable::Frames => self.next_frame(),
        };
        match (frame, self.phase) {
            (NextFrame::Partial, Phase::Draining { .. }) => self.next_drained(),
            (frame, _) => self.on_frame(frame, readable),
        }
    }

    /// What a lost connection has left unanswered, then what follows; nothing more is read.
    fn next_drained(&mut self) -> Step {
        self.stop_reading();
        let Phase::Draining { until, after, .. } = self.phase else { return Step::Again };
        let error = match after {
            After::Retry(_) => OpError::ConnectionLoss,
            After::End(KeeperState::Expired, _) => OpError::SessionExpired,
            After::End(KeeperState::AuthFailed, _) => OpError::AuthFailed,
            After::End(..) => OpError::SessionClosed,
        };
        if let Some(request) = oldest(&mut self.in_flight) {
            self.in_flight.pop();
            return self.fail(request, error);
        }
        self.inbox.clear();
        match after {
            After::Retry(reason) => {
                self.phase = Phase::Backoff { until };
                if !self.told.is_connected() {
                    return Step::Again;
                }
                self.tell(KeeperState::Disconnected, Cause::Lost(reason))
            }
            After::End(state, cause) => {
                self.phase = Phase::Ended;
                self.tell(state, cause)
            }
        }
    }

    pub(super) fn tell(&mut self, state: KeeperState, cause: Cause) -> Step {
        self.told = state;
        self.explain(state, cause);
        Step::Event(Found::State { state, cause })
    }

    /// The handshake was answered before the connection was lost: what follows it is replies, and
    /// the loss is that of a connection that had been established.
    fn drain_past_handshake(&mut self) {
        if let Phase::Draining { readable, after, .. } = &mut self.phase {
            *readable = if self.sasl.is_some() { Readable::Nothing } else { Readable::Frames };
            if matches!(after, After::Retry(DisconnectReason::ClosedInHandshake)) {
                let reason = DisconnectReason::TransportClosed;
                *after = After::Retry(reason);
                self.last_disconnect = Some((self.hosts.current(), reason));
            }
        }
    }

    fn stop_reading(&mut self) {
        if let Phase::Draining { readable, .. } = &mut self.phase {
            *readable = Readable::Nothing;
        }
    }

    /// The peer does not speak the protocol: nothing more it sent is to be trusted.
    #[cold]
    pub(super) fn garbled(&mut self, reason: DisconnectReason) -> Step {
        if matches!(self.phase, Phase::Draining { .. }) {
            self.stop_reading();
        } else {
            self.lose(reason);
        }
        Step::Again
    }

    fn bad_length(&mut self, len: usize) -> Step {
        let len = i32::try_from(len).unwrap_or(i32::MAX);
        self.garbled(DisconnectReason::BadFrameLength { len })
    }

    fn on_handshake(&mut self, frame: Range<usize>) -> Step {
        self.drain_past_handshake();
        match self.judge_handshake(frame) {
            Some(cause) => Step::Event(Found::State { state: self.told, cause }),
            None => Step::Again,
        }
    }

    #[cfg_attr(not(target_pointer_width = "64"), cold)]
    fn on_frame(&mut self, frame: NextFrame, readable: Readable) -> Step {
        match frame {
            NextFrame::Partial => Step::Idle,
            NextFrame::Whole(frame) if readable == Readable::Handshake => self.on_handshake(frame),
            NextFrame::Whole(frame) => self.on_whole(frame, readable),
            NextFrame::Oversize { len, start } => self.on_oversize(len, start, readable),
            NextFrame::BadLength(len) => self.garbled(DisconnectReason::BadFrameLength { len }),
        }
    }

    fn on_whole(&mut self, frame: Range<usize>, readable: Readable) -> Step {
        let Ok(header) = self.header(&frame) else { return self.bad_length(frame.len()) };
        // The header was there: the sum lies within the frame.
        let body = frame.start.wrapping_add(ReplyHeader::BYTES)..frame.end;
        if let Some(op) = self.take_answered(&header) {
            let ReplyHeader { xid, zxid, err } = header;
            return Step::Answer(Answer { xid, op, zxid, err, body });
        }
        if header.err == ErrorCode::SessionClosedRequireSaslAuth.to_wire() {
            return self.sasl_demanded(header);
        }
        match header.xid {
            Xid::PING => {
                self.expiry.answered_ping(self.live.timeout);
                Step::Again
            }
            Xid::NOTIFICATION => self.on_notification(body),
            Xid::AUTH => self.on_auth(header),
            _ if readable == Readable::Sasl => match self.sasl {
                Some(sasl) => (sasl.on_frame)(self, header, body),
                None => Step::Again,
            },
            Xid::SET_WATCHES if self.replay.set_watches > 0 => self.on_set_watches(header),
            _ if self.take_cancelled(&header) => Step::Again,
            _ => self.on_unexpected(header.xid),
        }
    }

    #[cold]
    fn on_oversize(&mut self, len: usize, start: Range<usize>, readable: Readable) -> Step {
        let header = match self.header(&start) {
            Ok(header) if readable == Readable::Frames => header,
            _ => return self.bad_length(len),
        };
        match header.xid {
            Xid::NOTIFICATION => self.garbled(DisconnectReason::NotificationTooLarge { len }),
            Xid::PING | Xid::AUTH | Xid::SET_WATCHES => self.bad_length(len),
            _ if self.take_cancelled(&header) => Step::Again,
            _ => {
                if self.take_answered(&header).is_none() {
                    return self.on_unexpected(header.xid);
                }
                let error = ErrorCode::from_wire(header.err)
                    .map_or(OpError::ReplyTooLarge { len }, OpError::Server);
                Step::Event(Found::Failure { xid: header.xid, zxid: header.zxid, error })
            }
        }
    }

    fn on_notification(&mut self, body: Range<usize>) -> Step {
        let mut reader = Reader::new(self.inbox.frame(body.clone()));
        let event = match WatcherEvent::read(&mut reader) {
            Ok(event) => event,
            Err(error) => return self.garbled(DisconnectReason::Malformed(error)),
        };
        if matches!(event.kind, EventType::Unknown(_)) {
            self.odd_events = self.odd_events.saturating_add(1);
        }
        let Some(path) = event.path.as_bytes().filter(|path| is_readable(path)) else {
            warn_event!("a watch event without a readable path is ignored");
            self.odd_events = self.odd_events.saturating_add(1);
            return Step::Again;
        };
        // The path is the last field: its end is where the reader stands.
        let end = body.start.saturating_add(reader.position());
        let chroot = chroot(&self.connect_string, self.chroot_at);
        let config = path == CONFIG_NODE.as_bytes()
            && self.registry.fired(event.kind, path, Place::Absolute);
        let own = below(path, chroot);
        if let Some(own) = own {
            self.registry.fired(event.kind, own, Place::Below);
        }
        let path = match own {
            _ if config => end.saturating_sub(path.len())..end,
            // Shown as "/".
            Some(_) if path.len() == chroot.len() => end..end,
            Some(own) => end.saturating_sub(own.len())..end,
            None => {
                warn_event!("a watch event outside the chroot is ignored");
                self.odd_events = self.odd_events.saturating_add(1);
                return Step::Again;
            }
        };
        Step::Event(Found::Notification { kind: event.kind, path })
    }

    #[cold]
    fn on_auth(&mut self, header: ReplyHeader) -> Step {
        let refused = header.err == ErrorCode::AuthFailed.to_wire();
        let replayed = self.replay.auths > 0;
        if refused {
            self.end(KeeperState::AuthFailed, Cause::AuthRefused);
        }
        if replayed {
            self.replay.auths = self.replay.auths.saturating_sub(1);
            return Step::Again;
        }
        let Some(request) = self.take_auth() else {
            return self.garbled(DisconnectReason::UnsolicitedReply { xid: header.xid.0 });
        };
        if request.is_cancelled() {
            return Step::Again;
        }
        Step::Answer(Answer {
            xid: request.xid,
            op: request.op,
            zxid: header.zxid,
            err: header.err,
            body: 0..0,
        })
    }

    #[cold]
    fn on_set_watches(&mut self, header: ReplyHeader) -> Step {
        self.replay.set_watches = self.replay.set_watches.saturating_sub(1);
        match ErrorCode::from_wire(header.err) {
            None => {
                // Not before the last frame is answered: a newer zxid would hide from the watches
                // in the next ones, on this connection or another, what has changed before it.
                if self.replay.is_answered() {
                    self.saw(header.zxid);
                }
                Step::Again
            }
            Some(code) => {
                self.registry.clear_watches();
                Step::Event(Found::WatchesLost { error: OpError::Server(code) })
            }
        }
    }

    #[inline]
    pub(super) fn header(&self, frame: &Range<usize>) -> Result<ReplyHeader, WireError> {
        ReplyHeader::read(&mut Reader::new(self.inbox.frame(frame.clone())))
    }

    /// Takes the request that a reply answers, and says what it asked for: it is the oldest one, or
    /// the reply is out of step.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn take_answered(&mut self, header: &ReplyHeader) -> Option<OpCode> {
        let request = oldest(&mut self.in_flight)?;
        if request.xid != header.xid || request.op == OpCode::Auth || !request.is_waiting() {
            return None;
        }
        self.settle(&request, header);
        Some(request.op)
    }

    /// Takes a request that the application has given up: its answer is for nobody.
    fn take_cancelled(&mut self, header: &ReplyHeader) -> bool {
        let answered = oldest(&mut self.in_flight)
            .filter(|r| r.xid == header.xid && r.op != OpCode::Auth && r.is_cancelled());
        if let Some(request) = &answered {
            self.settle(request, header);
        }
        answered.is_some()
    }

    /// The oldest request is answered.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn settle(&mut self, request: &InFlight, header: &ReplyHeader) {
        self.in_flight.pop();
        self.take_in(request, header);
    }

    /// What the answer to a request that is not in flight any more changes.
    #[inline(always)]
    pub(super) fn take_in(&mut self, request: &InFlight, header: &ReplyHeader) {
        self.saw(header.zxid);
        if let Some(wish) = request.wish {
            self.registry.answered(wish, Some(header.err));
        }
        if header.err == 0 || self.has_touched(header.err) {
            self.expiry.answered(request.sent, self.live.timeout);
        }
    }

    /// Whether the server took a request in for the session before it refused it.
    #[cold]
    fn has_touched(&mut self, err: i32) -> bool {
        match ErrorCode::from_wire(err) {
            Some(ErrorCode::SessionExpired) => false,
            Some(ErrorCode::SessionClosedRequireSaslAuth) => {
                self.end(KeeperState::AuthFailed, Cause::SaslRequired);
                false
            }
            Some(ErrorCode::SessionMoved) => {
                self.garbled(DisconnectReason::SessionMoved);
                false
            }
            _ => true,
        }
    }

    /// A reply that does not answer the oldest request in flight.
    #[cold]
    fn on_unexpected(&mut self, xid: Xid) -> Step {
        if let Some(request) = oldest(&mut self.in_flight) {
            let (expected, got) = (request.xid.0, xid.0);
            return self.garbled(DisconnectReason::UnexpectedXid { expected, got });
        }
        if self.closing.is_some_and(|closing| closing.xid == Some(xid)) {
            self.confirm_close();
            return Step::Again;
        }
        self.garbled(DisconnectReason::UnsolicitedReply { xid: xid.0 })
    }

    fn fail(&mut self, request: InFlight, error: OpError) -> Step {
        if let Some(wish) = request.wish {
            self.registry.answered(wish, None);
        }
        if request.is_cancelled() {
            return Step::Again;
        }
        let error = if request.is_timed_out() { OpError::Timeout } else { error };
        Step::Event(Found::Failure { xid: request.xid, zxid: Zxid(0), error })
    }

    /// Only ordinary replies move the zxid: pings, auth and notifications do not.
    fn saw(&mut self, zxid: Zxid) {
        if zxid.0 > 0 {
            self.last_zxid = zxid;
        }
    }
}

/// Whether a path is absolute and text. It becomes text when it is lent: here a glance will do.
fn is_readable(path: &[u8]) -> bool {
    (HAS_ROOM && path::is_usual(path))
        || (path.starts_with(b"/") && core::str::from_utf8(path).is_ok())
}
