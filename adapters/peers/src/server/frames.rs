//! What the canned server says, byte by byte.

use zk_session::wire::{
    ConnectRequest, ConnectResponse, Data, EventType, LENGTH_BYTES, OpCode, Reader, Reply,
    ReplyHeader, Request, SessionId, Stat, Ustring, WatcherEvent, Writer, Xid, Zxid,
};

use crate::work::{BIG_NODE, BIG_VALUE, FLOOD, FLOODED, VALUE};

/// The frames that every connection is answered with.
pub(super) struct Frames {
    small: Vec<u8>,
    big: Vec<u8>,
    stat: Vec<u8>,
    empty: Vec<u8>,
    add_watch: Vec<u8>,
    flooded: Vec<u8>,
}

impl Frames {
    pub(super) fn new() -> Self {
        let data =
            |value: &[u8]| reply(&Reply::Data(Data { data: Some(value), stat: Stat::default() }));
        Self {
            small: data(&VALUE),
            big: data(&vec![1; BIG_VALUE]),
            stat: reply(&Reply::Stat(Stat::default())),
            empty: reply(&Reply::Empty),
            add_watch: reply(&Reply::AddWatch(0)),
            flooded: changed(FLOODED.as_bytes()),
        }
    }

    /// The answer to a handshake; every session has the timeout that it asks for.
    pub(super) fn handshake(&self, frame: &[u8], session_id: i64, out: &mut Vec<u8>) -> Option<()> {
        let asked = ConnectRequest::read(&mut Reader::new(frame)).ok()?;
        let accept = ConnectResponse {
            protocol_version: 0,
            timeout: asked.timeout,
            session_id: SessionId(session_id),
            passwd: Some(&[7; 16]),
            read_only: Some(false),
        };
        out.extend_from_slice(&framed(|w| accept.write(w)));
        Some(())
    }

    /// The answer to a request, and what fires with it, which follows the answers of a round.
    pub(super) fn answer(
        &self,
        frame: &[u8],
        out: &mut Vec<u8>,
        events: &mut Vec<u8>,
    ) -> Option<()> {
        let op = OpCode::from_wire(int(frame, 4)?);
        let body = frame.get(8..)?;
        let path = || body.get(4..)?.get(..int(body, 0)?.try_into().ok()?);
        let reply = match op {
            Some(OpCode::GetData) => {
                let path = path()?;
                if body.last() == Some(&1) {
                    events.extend_from_slice(&changed(path));
                }
                if path == BIG_NODE.as_bytes() { &self.big } else { &self.small }
            }
            Some(OpCode::Exists) => {
                if let Some(count) = path()?.strip_prefix(FLOOD.as_bytes()) {
                    let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
                    (0..count).for_each(|_| events.extend_from_slice(&self.flooded));
                }
                &self.stat
            }
            Some(OpCode::SetData) => &self.stat,
            Some(OpCode::AddWatch) => &self.add_watch,
            _ => &self.empty,
        };
        let start = out.len();
        out.extend_from_slice(reply);
        out.get_mut(start + 4..start + 8)?.copy_from_slice(frame.get(..4)?);
        Some(())
    }
}

/// Whether a request is the last one of its session.
pub(super) fn is_close(frame: &[u8]) -> bool {
    int(frame, 4) == Some(OpCode::CloseSession.to_wire())
}

/// The request to read a znode, as the floor sends it.
pub(crate) fn request(xid: i32, request: &Request<'_>) -> Vec<u8> {
    framed(|w| {
        w.int(xid);
        w.int(request.op().to_wire());
        request.encode(w);
    })
}

/// A client's handshake for a new session.
pub(crate) fn connect(timeout_ms: i32) -> Vec<u8> {
    framed(|w| {
        w.int(0);
        w.long(0);
        w.int(timeout_ms);
        w.long(0);
        w.buffer(Some(&[0; 16]));
        w.boolean(false);
    })
}

pub(crate) fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn reply(body: &Reply<'_>) -> Vec<u8> {
    framed(|w| {
        ReplyHeader { xid: Xid(0), zxid: Zxid(9), err: 0 }.write(w);
        body.encode(w);
    })
}

fn changed(path: &[u8]) -> Vec<u8> {
    framed(|w| {
        // Servers before 3.9 send the zxid -1.
        ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(-1), err: 0 }.write(w);
        let path = Ustring::from_bytes(path);
        let state = WatcherEvent::SYNC_CONNECTED;
        WatcherEvent { kind: EventType::NodeDataChanged, state, path }.write(w);
    })
}

fn framed(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut measure = Writer::new(&mut []);
    write(&mut measure);
    let len = measure.len();
    let mut bytes = vec![0; LENGTH_BYTES + len];
    let (head, body) = bytes.split_at_mut(LENGTH_BYTES);
    head.copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    write(&mut Writer::new(body));
    bytes
}
