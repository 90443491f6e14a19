//! The server's side, frame by frame.

use zk_session::ErrorCode;
use zk_session::wire::{
    ConnectRequest, ConnectResponse, EncodeError, EventType, LENGTH_BYTES, OpCode, Reader, Reply,
    ReplyHeader, Request, RequestHeader, SessionId, WatcherEvent, Writer, Xid, Zxid,
};

/// The password of every session that [`accepted`] gives.
pub(crate) const PASSWD: [u8; 16] = *b"sixteen secrets!";

/// What `write` writes, with its length before it.
pub(crate) fn frame(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::new(&mut []);
    write(&mut counter);
    let needed = match counter.finish() {
        Ok(_) => 0,
        Err(EncodeError { needed, .. }) => needed,
    };
    let mut body = vec![0; needed];
    let mut writer = Writer::new(&mut body);
    write(&mut writer);
    writer.finish().expect("two passes need the same");
    let mut bytes = i32::try_from(needed).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

pub(crate) fn handshake_answer(
    id: i64,
    timeout: i32,
    passwd: &[u8],
    read_only: Option<bool>,
) -> Vec<u8> {
    let answer = ConnectResponse {
        protocol_version: 0,
        timeout,
        session_id: SessionId(id),
        passwd: Some(passwd),
        read_only,
    };
    frame(|w| answer.write(w))
}

/// The session is given or resumed.
pub(crate) fn accepted(id: i64, timeout: i32) -> Vec<u8> {
    handshake_answer(id, timeout, &PASSWD, Some(false))
}

/// The session is refused.
pub(crate) fn refused() -> Vec<u8> {
    handshake_answer(0, 0, &[0; 16], Some(false))
}

pub(crate) fn reply_header(xid: i32, zxid: i64, err: i32) -> Vec<u8> {
    let header = ReplyHeader { xid: Xid(xid), zxid: Zxid(zxid), err };
    frame(|w| header.write(w))
}

pub(crate) fn reply(xid: Xid, zxid: i64, body: &Reply<'_>) -> Vec<u8> {
    let header = ReplyHeader { xid, zxid: Zxid(zxid), err: 0 };
    frame(|w| {
        header.write(w);
        body.encode(w);
    })
}

pub(crate) fn error(xid: Xid, zxid: i64, code: ErrorCode) -> Vec<u8> {
    reply_header(xid.0, zxid, code.to_wire())
}

pub(crate) fn pong(zxid: i64) -> Vec<u8> {
    reply_header(Xid::PING.0, zxid, 0)
}

pub(crate) fn notification(kind: EventType, path: &str) -> Vec<u8> {
    let header = ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(-1), err: 0 };
    let event = WatcherEvent { kind, state: WatcherEvent::SYNC_CONNECTED, path: path.into() };
    frame(|w| {
        header.write(w);
        event.write(w);
    })
}

/// A frame that a client sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    Handshake(Handshake),
    Request { xid: i32, op: OpCode, body: Vec<u8> },
}

impl Sent {
    /// The request, decoded as what its opcode says.
    pub(crate) fn request(&self) -> Request<'_> {
        match self {
            Self::Request { op, body, .. } => Request::decode(*op, body).expect("sound request"),
            Self::Handshake(_) => panic!("a handshake is no request"),
        }
    }

    pub(crate) fn op(&self) -> Option<OpCode> {
        match self {
            Self::Request { op, .. } => Some(*op),
            Self::Handshake(_) => None,
        }
    }

    pub(crate) fn xid(&self) -> i32 {
        match self {
            Self::Request { xid, .. } => *xid,
            Self::Handshake(_) => panic!("a handshake has no xid"),
        }
    }
}

/// A connection's first frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Handshake {
    pub(crate) last_zxid: i64,
    pub(crate) timeout: i32,
    pub(crate) session_id: i64,
    pub(crate) passwd: Vec<u8>,
    pub(crate) read_only: Option<bool>,
}

/// Cuts the bytes of one connection into the frames that the client meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear {
    bytes: Vec<u8>,
    greeted: bool,
}

impl Ear {
    /// Takes more bytes; returns the frames that are whole now. Bytes that no server would accept
    /// fail the test.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<Sent> {
        self.bytes.extend(bytes);
        let mut sent = Vec::new();
        let mut at = 0;
        while let Some(length) = self.bytes.get(at..at + LENGTH_BYTES) {
            let length = i32::from_be_bytes(length.try_into().unwrap());
            let start = at + LENGTH_BYTES;
            let end = start + usize::try_from(length).expect("a length is not negative");
            let Some(body) = self.bytes.get(start..end) else { break };
            sent.push(if self.greeted { request(body) } else { handshake(body) });
            self.greeted = true;
            at = end;
        }
        self.bytes.drain(..at);
        sent
    }

    /// Whether the last frame is whole.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn handshake(body: &[u8]) -> Sent {
    let mut reader = Reader::new(body);
    let request = ConnectRequest::read(&mut reader).expect("a handshake comes first");
    assert_eq!(request.protocol_version, 0);
    assert!(reader.rest().is_empty());
    Sent::Handshake(Handshake {
        last_zxid: request.last_zxid_seen.0,
        timeout: request.timeout,
        session_id: request.session_id.0,
        passwd: request.passwd.expect("a password is sent").to_vec(),
        read_only: request.read_only,
    })
}

fn request(body: &[u8]) -> Sent {
    let mut reader = Reader::new(body);
    let header = RequestHeader::read(&mut reader).expect("a request has a header");
    let op = OpCode::from_wire(header.op).expect("a known opcode is sent");
    let body = reader.rest();
    Request::decode(op, body).expect("a sound request is sent");
    Sent::Request { xid: header.xid.0, op, body: body.to_vec() }
}
