//! What the session hears: frames become events, in wire order.

use core::ops::Range;

use super::event::{Cause, Event, KeeperState};
use super::inflight::{InFlight, oldest, take_auth};
use super::session::{After, ClientSession, Phase, Readable};
use crate::error::{DisconnectReason, ErrorCode, OpError};
use crate::storage::NextFrame;
use crate::trace::warn_event;
use crate::wire::{
    EventType, OpCode, Reader, Reply, ReplyHeader, Ustring, WatcherEvent, Xid, Zxid,
};

/// An event as ranges of the receive buffer: found first, borrowed last.
enum Found {
    State { state: KeeperState, cause: Cause },
    Reply { xid: Xid, zxid: Zxid, outcome: Outcome },
    Notification { kind: EventType, path: Range<usize> },
    WatchesLost { error: OpError },
}

enum Outcome {
    Body { op: OpCode, body: Range<usize> },
    Error(OpError),
}

/// What one look at the receive buffer brought.
enum Step {
    /// Something for the application.
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
        loop {
            let step = match self.phase {
                Phase::Priming { .. } => self.next_frame(Readable::Handshake),
                Phase::Connected => self.next_frame(Readable::Frames),
                Phase::Draining { readable, .. } => self.next_drained(readable),
                Phase::Backoff { .. } | Phase::Dialling { .. } | Phase::Ended => Step::Idle,
            };
            match step {
                Step::Event(found) => return Some(self.lend(found)),
                Step::Again => {}
                Step::Idle => return None,
            }
        }
    }

    #[inline]
    fn next_frame(&mut self, readable: Readable) -> Step {
        let was_full = self.inbox.is_full();
        let frame = self.inbox.next(self.frame_limit, ReplyHeader::BYTES);
        if was_full {
            // The application has made room: the silence until now was its own.
            self.live.heard(self.clock);
        }
        match frame {
            NextFrame::Partial => Step::Idle,
            NextFrame::BadLength(len) => self.garbled(DisconnectReason::BadFrameLength { len }),
            NextFrame::Whole(frame) if readable == Readable::Handshake => {
                self.drain_past_handshake();
                match self.judge_handshake(frame) {
                    Some(cause) => Step::Event(Found::State { state: self.told, cause }),
                    None => Step::Again,
                }
            }
            NextFrame::Whole(frame) => self.on_frame(frame),
            NextFrame::Oversize { len, start } => {
                let claimed = i32::try_from(len).unwrap_or(i32::MAX);
                match ReplyHeader::read(&mut Reader::new(self.inbox.frame(start))) {
                    Ok(header) if readable == Readable::Frames => self.on_oversize(header, len),
                    _ => self.garbled(DisconnectReason::BadFrameLength { len: claimed }),
                }
            }
        }
    }

    /// What the last connection left behind, then what follows.
    fn next_drained(&mut self, readable: Readable) -> Step {
        if readable != Readable::Nothing {
            match self.next_frame(readable) {
                Step::Idle => self.stop_reading(),
                step => return step,
            }
        }
        let Phase::Draining { until, after, .. } = self.phase else { return Step::Again };
        let error = match after {
            After::Retry(_) => OpError::ConnectionLoss,
            After::End(KeeperState::Expired, _) => OpError::SessionExpired,
            After::End(KeeperState::AuthFailed, _) => OpError::AuthFailed,
            After::End(..) => OpError::SessionClosed,
        };
        if let Some(request) = oldest(&mut self.in_flight) {
            self.in_flight.pop();
            return self.answer_error(request, error);
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

    fn tell(&mut self, state: KeeperState, cause: Cause) -> Step {
        self.told = state;
        self.explain(state, cause);
        Step::Event(Found::State { state, cause })
    }

    /// The handshake was answered before the connection was lost: what follows it is replies, and
    /// the loss is that of a connection that had been established.
    fn drain_past_handshake(&mut self) {
        if let Phase::Draining { readable, after, .. } = &mut self.phase {
            *readable = Readable::Frames;
            if *after == After::Retry(DisconnectReason::ClosedInHandshake) {
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
    fn garbled(&mut self, reason: DisconnectReason) -> Step {
        if matches!(self.phase, Phase::Draining { .. }) {
            self.stop_reading();
        } else {
            self.lose(reason);
        }
        Step::Again
    }

    #[inline]
    fn on_frame(&mut self, frame: Range<usize>) -> Step {
        let mut reader = Reader::new(self.inbox.frame(frame.clone()));
        let header = match ReplyHeader::read(&mut reader) {
            Ok(header) => header,
            Err(_) => {
                let len = i32::try_from(frame.len()).unwrap_or(i32::MAX);
                return self.garbled(DisconnectReason::BadFrameLength { len });
            }
        };
        let body = frame.start.saturating_add(reader.position())..frame.end;
        match header.xid {
            Xid::PING => {
                self.expiry.answered_ping(self.live.timeout);
                Step::Again
            }
            Xid::NOTIFICATION => self.on_notification(body),
            Xid::AUTH => self.on_auth(header),
            Xid::SET_WATCHES if self.replay.set_watches > 0 => self.on_set_watches(header),
            _ => self.on_reply(header, Ok(body)),
        }
    }

    fn on_oversize(&mut self, header: ReplyHeader, len: usize) -> Step {
        match header.xid {
            Xid::NOTIFICATION => self.garbled(DisconnectReason::NotificationTooLarge { len }),
            Xid::PING | Xid::AUTH | Xid::SET_WATCHES => {
                let len = i32::try_from(len).unwrap_or(i32::MAX);
                self.garbled(DisconnectReason::BadFrameLength { len })
            }
            _ => self.on_reply(header, Err(OpError::ReplyTooLarge { len })),
        }
    }

    fn on_notification(&mut self, body: Range<usize>) -> Step {
        let mut reader = Reader::new(self.inbox.frame(body.clone()));
        let event = match WatcherEvent::read(&mut reader) {
            Ok(event) => event,
            Err(error) => return self.garbled(DisconnectReason::Malformed(error)),
        };
        let Some(path) = event.path.as_str() else {
            warn_event!("a watch event without a readable path is ignored");
            return Step::Again;
        };
        let Some(below) = below_chroot(path, self.chroot()) else {
            warn_event!("a watch event outside the chroot is ignored");
            return Step::Again;
        };
        // The path is the last field: its end is where the reader stands.
        let end = body.start.saturating_add(reader.position());
        let range = end.saturating_sub(below.len())..end;
        let root = below.is_empty();
        self.registry.fired(event.kind, if root { "/" } else { below });
        let path = if root { end..end } else { range };
        Step::Event(Found::Notification { kind: event.kind, path })
    }

    fn on_auth(&mut self, header: ReplyHeader) -> Step {
        let refused = ErrorCode::from_wire(header.err) == Some(ErrorCode::AuthFailed);
        let replayed = self.replay.auths > 0;
        if refused {
            self.end(KeeperState::AuthFailed, Cause::AuthRefused);
        }
        if replayed {
            self.replay.auths = self.replay.auths.saturating_sub(1);
            return Step::Again;
        }
        let Some(request) = take_auth(&mut self.in_flight) else {
            return self.garbled(DisconnectReason::UnsolicitedReply { xid: header.xid.0 });
        };
        if request.is_cancelled() {
            return Step::Again;
        }
        let xid = request.xid;
        let outcome = match ErrorCode::from_wire(header.err) {
            None => Outcome::Body { op: OpCode::Auth, body: 0..0 },
            Some(code) => Outcome::Error(OpError::Server(code)),
        };
        Step::Event(Found::Reply { xid, zxid: header.zxid, outcome })
    }

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

    /// An ordinary reply: it answers the oldest request in flight, or the connection is out of step.
    #[inline]
    fn on_reply(&mut self, header: ReplyHeader, body: Result<Range<usize>, OpError>) -> Step {
        let Some(request) = oldest(&mut self.in_flight) else {
            if self.closing.is_some_and(|closing| closing.xid == Some(header.xid)) {
                self.confirm_close();
                return Step::Again;
            }
            return self.garbled(DisconnectReason::UnsolicitedReply { xid: header.xid.0 });
        };
        if request.xid != header.xid || request.op == OpCode::Auth {
            let (expected, got) = (request.xid.0, header.xid.0);
            return self.garbled(DisconnectReason::UnexpectedXid { expected, got });
        }
        self.in_flight.pop();
        self.saw(header.zxid);
        let code = ErrorCode::from_wire(header.err);
        if !matches!(code, Some(ErrorCode::SessionExpired | ErrorCode::SessionMoved)) {
            self.expiry.answered(request.sent, self.live.timeout);
        }
        if let Some(wish) = request.wish {
            self.registry.settle(wish.armed(header.err));
        }
        let outcome = match (code, body) {
            (None, Ok(body)) => Outcome::Body { op: request.op, body },
            (None, Err(error)) => Outcome::Error(error),
            (Some(code), _) => {
                if code == ErrorCode::SessionMoved {
                    self.garbled(DisconnectReason::SessionMoved);
                }
                Outcome::Error(OpError::Server(code))
            }
        };
        if request.is_cancelled() {
            return Step::Again;
        }
        Step::Event(Found::Reply { xid: request.xid, zxid: header.zxid, outcome })
    }

    fn answer_error(&mut self, request: InFlight, error: OpError) -> Step {
        if request.wish.is_some() {
            self.registry.settle(None);
        }
        if request.is_cancelled() {
            return Step::Again;
        }
        let outcome = Outcome::Error(if request.is_timed_out() { OpError::Timeout } else { error });
        Step::Event(Found::Reply { xid: request.xid, zxid: Zxid(0), outcome })
    }

    /// Only ordinary replies move the zxid: pings, auth and notifications do not.
    fn saw(&mut self, zxid: Zxid) {
        if zxid.0 > 0 {
            self.last_zxid = zxid;
        }
    }

    #[inline]
    fn lend(&self, found: Found) -> Event<'_> {
        match found {
            Found::State { state, cause } => Event::State { state, cause },
            Found::WatchesLost { error } => Event::WatchesLost { error },
            Found::Notification { kind, path } => {
                let path = core::str::from_utf8(self.inbox.frame(path)).unwrap_or_default();
                Event::Notification { kind, path: if path.is_empty() { "/" } else { path } }
            }
            Found::Reply { xid, zxid, outcome } => {
                let result = match outcome {
                    Outcome::Error(error) => Err(error),
                    Outcome::Body { op, body } => self.decode(op, self.inbox.frame(body)),
                };
                Event::Reply { xid, zxid, result }
            }
        }
    }

    /// A reply that names znodes as the application does.
    #[inline]
    fn decode<'a>(&self, op: OpCode, body: &'a [u8]) -> Result<Reply<'a>, OpError> {
        match Reply::decode(op, body) {
            Ok(reply) if self.chroot().is_empty() => Ok(reply),
            Ok(reply) => Ok(self.without_chroot(reply)),
            Err(error) => Err(OpError::Malformed(error)),
        }
    }

    fn without_chroot<'a>(&self, reply: Reply<'a>) -> Reply<'a> {
        let chroot = self.chroot();
        let strip = |path: Ustring<'a>| match path.as_str().and_then(|p| below_chroot(p, chroot)) {
            Some("") => Ustring::from("/"),
            Some(below) => Ustring::from(below),
            None => path,
        };
        match reply {
            Reply::Path(path) => Reply::Path(strip(path)),
            Reply::Created(path, stat) => Reply::Created(strip(path), stat),
            other => other,
        }
    }
}

/// The part of a server's path below the chroot, empty for the chroot itself; `None` if it lies
/// elsewhere.
fn below_chroot<'a>(path: &'a str, chroot: &str) -> Option<&'a str> {
    let below = path.strip_prefix(chroot)?;
    (below.starts_with('/') || (below.is_empty() && !chroot.is_empty())).then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_cut_off() {
        assert_eq!(below_chroot("/app/a", "/app"), Some("/a"));
        assert_eq!(below_chroot("/app", "/app"), Some(""));
        assert_eq!(below_chroot("/apple", "/app"), None);
        assert_eq!(below_chroot("/other", "/app"), None);
        assert_eq!(below_chroot("/a", ""), Some("/a"));
        assert_eq!(below_chroot("", ""), None);
    }
}
