//! What goes over the wire, encoded once.

use zk_session::wire::{
    ConnectRequest, CreateMode, LENGTH_BYTES, OpCode, Request, RequestHeader, SessionId, Writer,
    Xid, Zxid,
};

/// A session as the server granted it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Granted {
    pub id: i64,
    pub passwd: [u8; 16],
}

/// Bytes of the answer to a handshake.
pub const ANSWER: usize = 41;

pub fn handshake(timeout_ms: i32, known: Granted) -> Vec<u8> {
    frame(|w| {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout: timeout_ms,
            session_id: SessionId(known.id),
            passwd: Some(&known.passwd),
            read_only: Some(false),
        };
        request.write(w);
    })
}

/// Reads the answer to a handshake.
///
/// # Panics
/// The server has refused: there is nothing to measure.
pub fn granted(answer: &[u8; ANSWER]) -> Granted {
    let at = |i: usize| i64::from_be_bytes(answer[i..i + 8].try_into().unwrap());
    let granted = Granted { id: at(12), passwd: answer[24..40].try_into().unwrap() };
    assert_ne!(granted.id, 0, "the session was refused");
    granted
}

pub fn request(request: &Request<'_>) -> Vec<u8> {
    frame(|w| {
        RequestHeader { xid: Xid(1), op: request.op().to_wire() }.write(w);
        request.encode(w);
    })
}

pub fn ping() -> Vec<u8> {
    frame(|w| RequestHeader { xid: Xid::PING, op: OpCode::Ping.to_wire() }.write(w))
}

pub fn close() -> Vec<u8> {
    frame(|w| RequestHeader { xid: Xid(1), op: OpCode::CloseSession.to_wire() }.write(w))
}

pub fn create(path: &str, data: &[u8], mode: CreateMode) -> Vec<u8> {
    request(&Request::create(path, data, mode))
}

fn frame(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut memory = vec![0; 1024];
    let mut writer = Writer::new(&mut memory[LENGTH_BYTES..]);
    write(&mut writer);
    let len = writer.len();
    assert!(len + LENGTH_BYTES <= memory.len());
    memory[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    memory.truncate(LENGTH_BYTES + len);
    memory
}

/// Splits received bytes into frames; keeps what is not whole yet.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Takes bytes and hands over each whole frame, without its length.
    pub fn feed(&mut self, mut new: &[u8], mut each: impl FnMut(&[u8])) {
        if !self.bytes.is_empty() {
            self.bytes.extend_from_slice(new);
            let bytes = std::mem::take(&mut self.bytes);
            let rest = split(&bytes, &mut each);
            self.bytes = rest.to_vec();
            return;
        }
        new = split(new, &mut each);
        if !new.is_empty() {
            self.bytes = new.to_vec();
        }
    }
}

fn split<'b>(mut bytes: &'b [u8], each: &mut impl FnMut(&[u8])) -> &'b [u8] {
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let len = u32::from_be_bytes(*length) as usize;
        let Some(frame) = rest.get(..len) else { break };
        each(frame);
        bytes = &rest[len..];
    }
    bytes
}
