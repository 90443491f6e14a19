//! Any bytes through any decoder: what decodes must be sound and bounded, the rest must be refused.

use std::cell::OnceCell;
use std::fmt;

use zk_session::wire::{
    Acl, ClientInfo, ConnectRequest, ConnectResponse, EncodeError, List, OpCode, Reader, Record,
    Reply, ReplyHeader, Request, RequestHeader, Stat, Ustring, WatcherEvent, WireError, Writer,
};

/// Every opcode there is.
pub(crate) fn op_codes() -> Vec<OpCode> {
    (-64..=1024).filter_map(OpCode::from_wire).collect()
}

/// What an encoder writes, into exactly as much memory as it says it needs.
pub(crate) fn encoded(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut counter = Writer::new(&mut []);
    write(&mut counter);
    let needed = match counter.finish() {
        Ok(_) => 0,
        Err(EncodeError { needed, available }) => {
            assert_eq!(available, 0);
            needed
        }
    };
    let mut memory = vec![0xa5; needed];
    let mut writer = Writer::new(&mut memory);
    write(&mut writer);
    assert_eq!(writer.len(), needed);
    assert_eq!(writer.finish().map(<[u8]>::len), Ok(needed));
    memory
}

/// A frame's content through every decoder, with the opcodes given.
pub(crate) fn exercise(frame: &[u8], ops: &[OpCode]) {
    first_frame(frame);
    client_frame(frame, ops);
    server_frame(frame, ops);
    parts(frame);
}

/// As the first frame of either side.
pub(crate) fn first_frame(frame: &[u8]) {
    sound(frame, &OnceCell::new(), ConnectRequest::read, |it, w| it.write(w));
    sound(frame, &OnceCell::new(), ConnectResponse::read, |it, w| it.write(w));
}

/// As a request with any of these opcodes.
pub(crate) fn client_frame(frame: &[u8], ops: &[OpCode]) {
    sound(frame, &OnceCell::new(), RequestHeader::read, |it, w| it.write(w));
    let body = frame.get(RequestHeader::BYTES..).unwrap_or(frame);
    for &op in ops {
        let Ok(request) = Request::decode(op, body) else { continue };
        assert_eq!(request.op(), op);
        bounded(body, request_elements(&request));
        let again = encoded(|w| request.encode(w));
        assert!(again.len() <= body.len(), "{op:?} grew from {} bytes", body.len());
        assert!(Request::decode(op, &again) == Ok(request), "{op:?} is another: {again:02x?}");
    }
}

/// As a notification, or a reply to any of these opcodes.
pub(crate) fn server_frame(frame: &[u8], ops: &[OpCode]) {
    sound(frame, &OnceCell::new(), ReplyHeader::read, |it, w| it.write(w));
    let body = frame.get(ReplyHeader::BYTES..).unwrap_or(frame);
    sound(body, &OnceCell::new(), WatcherEvent::read, |it, w| it.write(w));
    for &op in ops {
        let again = OnceCell::new();
        let reply = sound(body, &again, |r| Reply::read(op, r), |it, w| it.encode(w));
        if let Some(reply) = reply {
            bounded(body, reply_elements(&reply));
        }
    }
}

/// As the records that stand within others.
pub(crate) fn parts(bytes: &[u8]) {
    sound(bytes, &OnceCell::new(), Stat::read, |it, w| it.write(w));
    sound(bytes, &OnceCell::new(), Acl::read, |it, w| it.write(w));
    sound(bytes, &OnceCell::new(), ClientInfo::read, |it, w| it.write(w));
    sound(bytes, &OnceCell::new(), Reader::ustring, |it, w| w.ustring(*it));
    sound(bytes, &OnceCell::new(), Reader::buffer, |it, w| w.buffer(*it));
    sound(bytes, &OnceCell::new(), Reader::boolean, |it, w| w.boolean(*it));
    sound(bytes, &OnceCell::new(), List::<Ustring<'_>>::read, |it, w| it.write(w));
    sound(bytes, &OnceCell::new(), List::<Acl<'_>>::read, |it, w| it.write(w));
}

/// What decodes takes as many bytes again, and they decode to the same; what does not decode says
/// where. The cell holds the second encoding, which the second value borrows from.
fn sound<'a, T: PartialEq + fmt::Debug>(
    bytes: &'a [u8],
    again: &'a OnceCell<Vec<u8>>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, WireError>,
    write: impl Fn(&T, &mut Writer<'_>),
) -> Option<T> {
    let mut reader = Reader::new(bytes);
    match read(&mut reader) {
        Ok(value) => {
            let again = again.get_or_init(|| encoded(|w| write(&value, w)));
            assert_eq!(again.len(), reader.position(), "{value:?}");
            assert_eq!(reader.position() + reader.rest().len(), bytes.len());
            assert_eq!(read(&mut Reader::new(again)).as_ref(), Ok(&value));
            Some(value)
        }
        Err(error) => {
            let at = match error {
                WireError::Truncated { at }
                | WireError::BadLength { at, .. }
                | WireError::BadMulti { at } => at,
                _ => 0,
            };
            assert!(at <= bytes.len(), "{error:?} is beyond {} bytes", bytes.len());
            None
        }
    }
}

/// No element is without bytes, so no count makes work out of nothing.
fn bounded(bytes: &[u8], elements: usize) {
    assert!(elements <= bytes.len(), "{elements} elements out of {} bytes", bytes.len());
}

/// Elements of all vectors, as the iterators find them; none may be lost.
fn request_elements(request: &Request<'_>) -> usize {
    match request {
        Request::Create(it) | Request::Create2(it) | Request::CreateContainer(it) => {
            elements(&it.acl)
        }
        Request::CreateTtl(it) => elements(&it.create.acl),
        Request::SetAcl { acl, .. } => elements(acl),
        Request::SetWatches(it) | Request::SetWatches2(it) => {
            let all = [it.data, it.exist, it.child, it.persistent, it.persistent_recursive];
            all.iter().map(elements).sum()
        }
        Request::Multi(items) | Request::MultiRead(items) => items.iter().count(),
        _ => 0,
    }
}

fn reply_elements(reply: &Reply<'_>) -> usize {
    match reply {
        Reply::Acl(acl, _) => elements(acl),
        Reply::Children(names) | Reply::Children2(names, _) => elements(names),
        Reply::Ephemerals(paths) => paths.iter().count(),
        Reply::WhoAmI(identities) => elements(identities),
        Reply::Multi(results) => results.iter().count(),
        _ => 0,
    }
}

fn elements<'a, T: Record<'a>>(list: &List<'a, T>) -> usize {
    assert_eq!(list.iter().count(), list.len());
    list.len()
}
