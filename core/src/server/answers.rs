//! The half of a connection that is written to.

use super::event::{Access, CloseReason, ServerEvent, ServerLink, TransmitFull};
use crate::error::ErrorCode;
use crate::storage::{NoRoom, Outbox};
use crate::time::Duration;
use crate::wire::{
    ConnectRequest, ConnectResponse, EventType, OpCode, Passwd, Reader, ReplyHeader, Request,
    RequestHeader, SessionId, Ustring, WatcherEvent, WireError, Writer, Xid, Zxid,
};

/// The half of a connection that is written to, apart from the half that events are lent from.
pub(super) struct Answers<'b> {
    pub(super) outbox: Outbox<'b>,
    pub(super) phase: Phase,
    pub(super) frame_limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been received.
    Fresh,
    /// The handshake waits for its answer, and for what its read-only byte will say, if any.
    Handshaking { read_only: Option<bool> },
    /// Requests are pulled and answered.
    Serving,
    /// What is pending leaves, nothing else happens.
    Closing(CloseReason),
    /// Nothing happens any more.
    Down(CloseReason),
}

impl<'b> Answers<'b> {
    pub(super) fn connect<'a>(&mut self, frame: &'a [u8]) -> Option<ServerEvent<'a>> {
        match ConnectRequest::read(&mut Reader::new(frame)) {
            Ok(request) => {
                let read_only = request.read_only.map(|_| false);
                self.phase = Phase::Handshaking { read_only };
                Some(ServerEvent::Connect(request))
            }
            Err(error) => {
                self.shut(CloseReason::Malformed(error));
                None
            }
        }
    }

    pub(super) fn request<'a>(&mut self, frame: &'a [u8]) -> Option<ServerEvent<'a>> {
        let mut reader = Reader::new(frame);
        let Ok(RequestHeader { xid, op: code }) = RequestHeader::read(&mut reader) else {
            self.bad_length(frame.len());
            return None;
        };
        let Some(op) = OpCode::from_wire(code) else {
            return Some(ServerEvent::UnknownOp { xid, op: code });
        };
        match op {
            OpCode::Ping => return Some(ServerEvent::Ping { xid }),
            OpCode::CloseSession => return Some(ServerEvent::Close { xid }),
            _ => {}
        }
        match Request::decode(op, reader.rest()) {
            // ZooKeeper asks for the length of a token that is not there.
            Ok(Request::Sasl { token: None }) => {
                self.shut(CloseReason::Malformed(WireError::BadLength { at: 0, len: -1 }));
                None
            }
            Ok(request) => Some(ServerEvent::Request { xid, op, request }),
            Err(error) if matches!(op, OpCode::Auth | OpCode::Sasl) => {
                self.shut(CloseReason::Malformed(error));
                None
            }
            Err(error) => Some(ServerEvent::Undecodable { xid, op, error }),
        }
    }

    pub(super) fn bad_length(&mut self, len: usize) {
        let len = i32::try_from(len).unwrap_or(i32::MAX);
        self.shut(CloseReason::BadFrameLength { len });
    }

    pub(super) fn set_access(&mut self, access: Access) {
        if let Phase::Handshaking { read_only: Some(read_only) } = &mut self.phase {
            *read_only = access == Access::ReadOnly;
        }
    }

    pub(super) fn refuse_session(&mut self, zxid: Zxid) -> Result<(), TransmitFull> {
        if !matches!(self.phase, Phase::Handshaking { .. }) {
            return Ok(());
        }
        let header = ReplyHeader { xid: Xid(0), zxid, err: ErrorCode::NotReadOnly.to_wire() };
        self.outbox.frame(0, |w| header.write(w)).map_err(TransmitFull::from)
    }

    pub(super) fn accept(
        &mut self,
        session_id: SessionId,
        passwd: &Passwd,
        timeout: Duration,
    ) -> Result<(), TransmitFull> {
        let Phase::Handshaking { read_only } = self.phase else { return Ok(()) };
        self.connect_response(&ConnectResponse {
            protocol_version: 0,
            timeout: timeout.as_wire_millis(),
            session_id,
            passwd: Some(&passwd.0),
            read_only,
        })?;
        self.phase = Phase::Serving;
        Ok(())
    }

    pub(super) fn refuse(&mut self) -> Result<(), TransmitFull> {
        let Phase::Handshaking { read_only } = self.phase else { return Ok(()) };
        self.connect_response(&ConnectResponse {
            protocol_version: 0,
            timeout: 0,
            session_id: SessionId::NONE,
            passwd: Some(&Passwd::ZERO.0),
            read_only,
        })?;
        self.shut(CloseReason::SessionRefused);
        Ok(())
    }

    fn connect_response(&mut self, response: &ConnectResponse<'_>) -> Result<(), TransmitFull> {
        self.outbox.frame(0, |w| response.write(w)).map_err(TransmitFull::from)
    }

    /// Appends a successful reply.
    pub(super) fn reply(
        &mut self,
        xid: Xid,
        zxid: Zxid,
        body: impl Fn(&mut Writer<'_>),
    ) -> Result<(), TransmitFull> {
        self.frame(ReplyHeader { xid, zxid, err: 0 }, body)
    }

    /// Appends an error reply.
    pub(super) fn error(
        &mut self,
        xid: Xid,
        zxid: Zxid,
        code: ErrorCode,
    ) -> Result<(), TransmitFull> {
        self.error_with(xid, zxid, code, |_| {})
    }

    /// Appends an error reply that has a body.
    pub(super) fn error_with(
        &mut self,
        xid: Xid,
        zxid: Zxid,
        code: ErrorCode,
        body: impl Fn(&mut Writer<'_>),
    ) -> Result<(), TransmitFull> {
        self.frame(ReplyHeader { xid, zxid, err: code.to_wire() }, body)
    }

    /// Appends the error reply that has a body: a token that is null.
    #[cfg(feature = "alloc")]
    pub(super) fn sasl_failed(&mut self, xid: Xid) -> Result<(), TransmitFull> {
        let err = ErrorCode::AuthFailed.to_wire();
        self.frame(ReplyHeader { xid, zxid: Zxid(0), err }, |w| w.buffer(None))
    }

    pub(super) fn notify(
        &mut self,
        zxid: Zxid,
        kind: EventType,
        path: &[u8],
    ) -> Result<(), TransmitFull> {
        let state = WatcherEvent::SYNC_CONNECTED;
        let event = WatcherEvent { kind, state, path: Ustring::from_bytes(path) };
        self.frame(ReplyHeader { xid: Xid::NOTIFICATION, zxid, err: 0 }, |w| event.write(w))
    }

    fn frame(
        &mut self,
        header: ReplyHeader,
        body: impl Fn(&mut Writer<'_>),
    ) -> Result<(), TransmitFull> {
        if self.phase != Phase::Serving {
            return Ok(());
        }
        let write = |w: &mut Writer<'_>| {
            header.write(w);
            body(w);
        };
        self.outbox.frame(0, write).map_err(TransmitFull::from)
    }

    pub(super) fn text(&mut self, text: &[u8]) -> Result<(), TransmitFull> {
        self.outbox.raw(text).map_err(TransmitFull::from)?;
        self.shut(CloseReason::FourLetterWord);
        Ok(())
    }

    pub(super) fn shut(&mut self, reason: CloseReason) {
        if self.is_open() {
            self.phase = Phase::Closing(reason);
            self.settle();
        }
    }

    pub(super) fn cut(&mut self, reason: CloseReason) {
        if !matches!(self.phase, Phase::Down(_)) {
            self.phase = Phase::Down(self.reason().unwrap_or(reason));
            self.outbox.clear();
        }
    }

    /// Memory for bytes to send.
    #[cfg(feature = "alloc")]
    pub(super) fn capacity(&self) -> usize {
        self.outbox.capacity()
    }

    /// Whether neither side has ended the connection.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Closing(_) | Phase::Down(_))
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.outbox.pending()
    }

    /// Gives back what the transmit buffer has grown by, as far as nothing is pending there.
    #[cfg(feature = "alloc")]
    pub(super) fn shrink(&mut self) {
        /// What it keeps, for answers to pings and the like.
        const KEPT: usize = 512;
        self.outbox.shrink(KEPT);
    }

    pub(super) fn transmitted(&mut self, n: usize) {
        self.outbox.transmitted(n);
        self.settle();
    }

    pub(super) fn link(&self) -> ServerLink {
        match self.phase {
            Phase::Closing(_) => ServerLink::Closing,
            Phase::Down(_) => ServerLink::Down,
            _ => ServerLink::Up,
        }
    }

    pub(super) fn reason(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Closing(reason) | Phase::Down(reason) => Some(reason),
            _ => None,
        }
    }

    /// A closing connection with nothing to send is down.
    pub(super) fn settle(&mut self) {
        if let Phase::Closing(reason) = self.phase {
            if self.outbox.is_empty() {
                self.phase = Phase::Down(reason);
            }
        }
    }
}

impl From<NoRoom> for TransmitFull {
    fn from(NoRoom { needed, free }: NoRoom) -> Self {
        Self { needed, free }
    }
}
