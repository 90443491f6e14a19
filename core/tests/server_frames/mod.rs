//! What clients of a server say and hear, as bytes.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::BTreeMap;

use zk_session::wire::{
    ConnectRequest, EventType, Reader, ReplyHeader, Request, RequestHeader, SessionId,
    WatcherEvent, Writer, Xid, Zxid,
};

/// What each connection was sent and nobody has taken yet.
#[derive(Debug)]
pub(crate) struct Inboxes<C>(BTreeMap<C, Vec<u8>>);

impl<C: Copy + Ord> Inboxes<C> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Takes the connection's next whole frame, without its length, with what it was sent since.
    pub(crate) fn frame(&mut self, conn: C, fresh: Vec<u8>) -> Option<Vec<u8>> {
        let bytes = self.0.entry(conn).or_default();
        bytes.extend(fresh);
        let len = u32::from_be_bytes(bytes.get(..4)?.try_into().unwrap()) as usize;
        if bytes.len() < 4 + len {
            return None;
        }
        let frame = bytes[4..4 + len].to_vec();
        bytes.drain(..4 + len);
        Some(frame)
    }

    /// Takes all that the connection was sent.
    pub(crate) fn remove(&mut self, conn: C) -> Vec<u8> {
        self.0.remove(&conn).unwrap_or_default()
    }
}

/// What a client received, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Event(EventType, String),
    Reply { xid: i32, zxid: i64, err: i32, body: Vec<u8> },
}

pub(crate) fn new_session(timeout: i32) -> ConnectRequest<'static> {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout,
        session_id: SessionId::NONE,
        passwd: Some(&[0; 16]),
        read_only: Some(false),
    }
}

pub(crate) fn connect_bytes(request: &ConnectRequest<'_>) -> Vec<u8> {
    framed(|w| request.write(w))
}

pub(crate) fn request_bytes(xid: i32, request: &Request<'_>) -> Vec<u8> {
    framed(|w| {
        RequestHeader { xid: Xid(xid), op: request.op().to_wire() }.write(w);
        request.encode(w);
    })
}

pub(crate) fn framed(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut memory = vec![0; 512];
    loop {
        let mut writer = Writer::new(&mut memory);
        write(&mut writer);
        match writer.finish() {
            Ok(body) => return [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat(),
            Err(error) => memory = vec![0; error.needed],
        }
    }
}

pub(crate) fn decode(frame: &[u8]) -> Got {
    let mut reader = Reader::new(frame);
    let header = ReplyHeader::read(&mut reader).unwrap();
    if header.xid == Xid::NOTIFICATION {
        let event = WatcherEvent::read(&mut reader).unwrap();
        return Got::Event(event.kind, event.path.as_str().unwrap().into());
    }
    let body = reader.rest().to_vec();
    Got::Reply { xid: header.xid.0, zxid: header.zxid.0, err: header.err, body }
}
