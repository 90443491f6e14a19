//! A transport connection: what is on its way, and what the server said and was asked.

use std::collections::VecDeque;

use zk_session::server::ConnectionId;
use zk_session::wire::{
    ConnectRequest, ConnectResponse, OpCode, Reader, ReplyHeader, Request, RequestHeader,
    SessionId, Ustring, Xid, Zxid,
};

use crate::law::{Broken, Law};

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// The end of the stream, in order or by a reset.
    End,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// A connection between a client and a server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) client: usize,
    pub(crate) up: VecDeque<Piece>,
    pub(crate) down: VecDeque<Piece>,
    /// Whether either end still has it.
    pub(crate) client_has: bool,
    pub(crate) server_has: bool,
    /// Nothing more comes through, and nobody is told.
    pub(crate) silent: bool,
    /// It was reset: each end will find out.
    pub(crate) reset: bool,
    pub(crate) seen: Witness,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, client: usize) -> Self {
        Self {
            id,
            client,
            up: VecDeque::new(),
            down: VecDeque::new(),
            client_has: true,
            server_has: true,
            silent: false,
            reset: false,
            seen: Witness::default(),
        }
    }

    /// Puts a piece on its way.
    pub(crate) fn put(&mut self, way: Way, piece: Piece) {
        if self.silent || self.reset {
            return;
        }
        match way {
            Way::Up => self.up.push_back(piece),
            Way::Down => self.down.push_back(piece),
        }
    }

    /// Drops what is on its way; both ends will see the end of the stream.
    pub(crate) fn cut(&mut self) {
        self.up.clear();
        self.down.clear();
        self.put(Way::Up, Piece::End);
        self.put(Way::Down, Piece::End);
        self.reset = true;
    }

    /// Drops what is on its way, and what will be.
    pub(crate) fn silence(&mut self) {
        self.up.clear();
        self.down.clear();
        self.silent = true;
    }

    pub(crate) fn is_gone(&self) -> bool {
        !self.client_has && !self.server_has
    }
}

/// A request that the server has taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) xid: Xid,
    pub(crate) op: OpCode,
    pub(crate) path: String,
}

/// Something that the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The handshake was answered with this session, or refused.
    Session(Option<SessionId>),
    /// A request was answered.
    Reply { asked: Asked, zxid: Zxid, err: i32 },
}

/// Reads along at the server's end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    heard: Vec<u8>,
    greeted: bool,
    said: Vec<u8>,
    answered: bool,
    asked: VecDeque<Asked>,
    pub(crate) session: Option<SessionId>,
}

impl Witness {
    /// Bytes that the server takes in.
    pub(crate) fn hears(&mut self, bytes: &[u8]) {
        self.heard.extend(bytes);
        while let Some(frame) = frame(&mut self.heard) {
            let mut reader = Reader::new(&frame);
            if !self.greeted {
                self.greeted = true;
                ConnectRequest::read(&mut reader).expect("a handshake comes first");
                continue;
            }
            let header = RequestHeader::read(&mut reader).expect("a request has a header");
            let op = OpCode::from_wire(header.op).expect("a known operation");
            let request = Request::decode(op, reader.rest()).expect("a sound request");
            let path = request.path().and_then(Ustring::as_str).unwrap_or_default().to_owned();
            self.asked.push_back(Asked { xid: header.xid, op, path });
        }
    }

    /// Bytes that the server says.
    pub(crate) fn says(&mut self, bytes: &[u8]) -> Result<Vec<Said>, Broken> {
        self.said.extend(bytes);
        let mut said = Vec::new();
        while let Some(frame) = frame(&mut self.said) {
            let mut reader = Reader::new(&frame);
            if !self.answered {
                self.answered = true;
                let answer = ConnectResponse::read(&mut reader).expect("a handshake's answer");
                self.session = answer.session_id.is_some().then_some(answer.session_id);
                said.push(Said::Session(self.session));
                continue;
            }
            let header = ReplyHeader::read(&mut reader).expect("a reply has a header");
            if header.xid == Xid::NOTIFICATION {
                continue;
            }
            let next = self.asked.pop_front();
            let Some(asked) = next.filter(|asked| asked.xid == header.xid) else {
                let how = format!("the server answers {} out of order", header.xid);
                return Err(Broken { law: Law::AnsweredOnce, how });
            };
            said.push(Said::Reply { asked, zxid: header.zxid, err: header.err });
        }
        Ok(said)
    }
}

/// Takes a whole frame from the front.
fn frame(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = bytes.first_chunk::<4>()?;
    let end = 4 + usize::try_from(i32::from_be_bytes(*length)).expect("a length is not negative");
    if bytes.len() < end {
        return None;
    }
    let frame = bytes.drain(..end).skip(4).collect();
    Some(frame)
}
