//! The wire codec on values and bytes that nobody captured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unimplemented,
    reason = "a test fails by panicking"
)]

#[path = "common/arbitrary.rs"]
mod arbitrary;
#[path = "common/exercise.rs"]
mod exercise;

use std::fmt::Debug;

use arbitrary::{bytes, connect_body, list, op, owned, plausible, ustring};
use exercise::{encoded, op_codes};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use zk_session::ErrorCode;
use zk_session::client::RawReply;
use zk_session::owned::Answer;
use zk_session::wire::{
    Acl, AddWatchMode, ConnectRequest, ConnectResponse, CreateMode, EncodeError, EventType, List,
    OpCode, Reader, Reply, ReplyHeader, Request, RequestHeader, SessionId, Stat, WatcherEvent,
    WatcherType, WireError, Writer, Xid, Zxid,
};

/// Memory that is too small gets an error that tells how much is needed, and is not overrun.
fn says_what_it_needs(write: impl Fn(&mut Writer<'_>), available: Index) {
    let whole = encoded(&write);
    let needed = whole.len();
    let mut available = vec![available.index(needed + 1), needed.saturating_sub(1), 0];
    available.retain(|available| *available < needed);
    for available in available {
        let mut memory = vec![0xa5; available];
        let mut writer = Writer::new(&mut memory);
        write(&mut writer);
        assert_eq!(writer.finish(), Err(EncodeError { needed, available }));
        // Whole fields until one does not fit; nothing else.
        let fields = memory.iter().zip(&whole).take_while(|(left, right)| left == right).count();
        assert!(memory[fields..].iter().all(|byte| *byte == 0xa5), "{memory:02x?}");
    }
    let mut memory = vec![0xa5; needed + 8];
    let mut writer = Writer::new(&mut memory);
    write(&mut writer);
    assert_eq!(writer.finish(), Ok(&whole[..]));
    assert_eq!(memory[needed..], [0xa5; 8]);
}

/// What is written reads as the same, to its last byte and no further.
fn survives<'a, T: PartialEq + Debug>(
    bytes: &'a [u8],
    value: &T,
    read: impl Fn(&mut Reader<'a>) -> Result<T, WireError>,
) {
    let mut reader = Reader::new(bytes);
    assert_eq!(read(&mut reader).as_ref(), Ok(value));
    assert_eq!(reader.rest(), []);
}

/// A code names at most one thing, which has this code and no other.
#[test]
fn codes_and_names_are_one_to_one() {
    for code in -200..1200 {
        let same = |found: Option<i32>| assert!(found.is_none_or(|found| found == code), "{code}");
        same(OpCode::from_wire(code).map(OpCode::to_wire));
        same(CreateMode::from_flags(code).map(CreateMode::to_flags));
        same(AddWatchMode::from_wire(code).map(AddWatchMode::to_wire));
        same(WatcherType::from_wire(code).map(WatcherType::to_wire));
        same(ErrorCode::from_wire(code).map(ErrorCode::to_wire));
        assert_eq!(EventType::from_wire(code).to_wire(), code);
    }
    let events = [1, 2, 3, 4].map(EventType::from_wire);
    use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
    assert_eq!(events, [NodeCreated, NodeDeleted, NodeDataChanged, NodeChildrenChanged]);
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn requests_survive(owned in owned(), op in op(), room: Index, tail in vec(any::<u8>(), 0..4)) {
        let elements = owned.elements();
        let items = elements.items();
        let request = items.request(op);
        prop_assert_eq!(request.op(), op);
        let mut body = encoded(|w| request.encode(w));
        prop_assert_eq!(Request::decode(op, &body), Ok(request));
        for end in 0..body.len() {
            prop_assert!(Request::decode(op, &body[..end]).is_err(), "cut at {}", end);
        }
        body.extend(tail);
        prop_assert_eq!(Request::decode(op, &body), Ok(request));
        says_what_it_needs(|w| request.encode(w), room);
    }

    #[test]
    fn replies_survive(owned in owned(), op in op(), room: Index, tail in vec(any::<u8>(), 0..4)) {
        let elements = owned.elements();
        let items = elements.items();
        let reply = items.reply(op);
        let mut body = encoded(|w| reply.encode(w));
        survives(&body, &reply, |r| Reply::read(op, r));
        for end in 0..body.len() {
            prop_assert!(Reply::decode(op, &body[..end]).is_err(), "cut at {}", end);
        }
        body.extend(tail);
        prop_assert_eq!(Reply::decode(op, &body), Ok(reply));
        says_what_it_needs(|w| reply.encode(w), room);
    }

    #[test]
    fn an_owned_answer_straight_from_the_bytes_is_the_one_that_is_decoded_first(
        owned in owned(), op in op(), any in vec(any::<u8>(), 0..100), app in any::<bool>(),
    ) {
        let elements = owned.elements();
        let body = encoded(|w| elements.items().reply(op).encode(w));
        let chroot = if app { "/app" } else { "" };
        let paths = ["/app", "/app/a", "/apple", "/"].map(|path| encoded(|w| w.ustring(path.into())));
        let cuts = (0..body.len()).map(|end| &body[..end]);
        for body in cuts.chain([&body[..], &any]).chain(paths.iter().map(Vec::as_slice)) {
            let raw = RawReply::new(op, body, chroot);
            prop_assert_eq!((raw.op(), raw.body()), (op, body));
            prop_assert_eq!(Answer::from_raw(&raw), raw.decode().map(|it| Answer::from_reply(&it)));
        }
    }

    #[test]
    fn every_path_but_no_other_string_gets_the_chroot(owned in owned(), op in op()) {
        let elements = owned.elements();
        let items = elements.items();
        let request = items.request(op);
        let body = encoded(|w| {
            w.set_chroot("/app");
            request.encode(w);
        });
        let mut below = owned.clone();
        if let Some(path) = &mut below.strings[0] {
            let tail: &[u8] = if path == b"/" { b"" } else { path };
            *path = [b"/app", tail].concat();
        }
        let elements = below.elements();
        let items = elements.items();
        let plain = match request {
            // The first string of reconfig is not a path.
            Request::Reconfig(_) => request,
            _ => items.request(op),
        };
        prop_assert_eq!(Request::decode(op, &body), Ok(plain));
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn handshakes_survive(body in connect_body(), room: Index) {
        let (protocol_version, zxid, timeout, session_id, passwd, read_only) = body;
        let (session_id, passwd) = (SessionId(session_id), passwd.as_deref());
        let last_zxid_seen = Zxid(zxid);
        let request = ConnectRequest {
            protocol_version, last_zxid_seen, timeout, session_id, passwd, read_only,
        };
        let response =
            ConnectResponse { protocol_version, timeout, session_id, passwd, read_only };
        let bytes = encoded(|w| request.write(w));
        survives(&bytes, &request, ConnectRequest::read);
        says_what_it_needs(|w| request.write(w), room);
        let bytes = encoded(|w| response.write(w));
        survives(&bytes, &response, ConnectResponse::read);
        says_what_it_needs(|w| response.write(w), room);
    }

    #[test]
    fn headers_and_notifications_survive(ints: [i32; 3], long: i64, path in bytes(), room: Index) {
        let [first, second, kind] = ints;
        let request = RequestHeader { xid: Xid(first), op: second };
        let bytes = encoded(|w| request.write(w));
        prop_assert_eq!(bytes.len(), RequestHeader::BYTES);
        survives(&bytes, &request, RequestHeader::read);
        let reply = ReplyHeader { xid: Xid(first), zxid: Zxid(long), err: second };
        let bytes = encoded(|w| reply.write(w));
        prop_assert_eq!(bytes.len(), ReplyHeader::BYTES);
        survives(&bytes, &reply, ReplyHeader::read);
        for kind in [kind, kind % 10] {
            let kind = EventType::from_wire(kind);
            let event = WatcherEvent { kind, state: first, path: ustring(&path) };
            let bytes = encoded(|w| event.write(w));
            survives(&bytes, &event, WatcherEvent::read);
            says_what_it_needs(|w| event.write(w), room);
        }
    }

    #[test]
    fn lists_and_their_elements_survive(owned in owned(), room: Index) {
        let elements = owned.elements();
        let (names, acl) = (elements.names(), elements.acl());
        let identities = list(elements.identities.as_deref());
        let bytes = encoded(|w| acl.write(w));
        survives(&bytes, &acl, List::read);
        let read = List::<Acl<'_>>::read(&mut Reader::new(&bytes)).unwrap();
        prop_assert_eq!((read.len(), read.is_null()), (acl.len(), acl.is_null()));
        prop_assert_eq!(read.iter().size_hint(), (acl.len(), Some(acl.len())));
        survives(&encoded(|w| names.write(w)), &names, List::read);
        survives(&encoded(|w| identities.write(w)), &identities, List::read);
        says_what_it_needs(|w| acl.write(w), room);
        let bytes = encoded(|w| owned.stat.write(w));
        prop_assert_eq!(bytes.len(), Stat::BYTES);
        survives(&bytes, &owned.stat, |r| Stat::read(r));
    }

    #[test]
    fn a_decoded_value_encodes_as_the_one_it_came_from(owned in owned(), op in op()) {
        let elements = owned.elements();
        let items = elements.items();
        let body = encoded(|w| items.request(op).encode(w));
        let request = Request::decode(op, &body).unwrap();
        prop_assert_eq!(&encoded(|w| request.encode(w)), &body);
        let body = encoded(|w| items.reply(op).encode(w));
        let reply = Reply::decode(op, &body).unwrap();
        prop_assert_eq!(&encoded(|w| reply.encode(w)), &body);
    }

    #[test]
    fn arbitrary_bytes_panic_no_decoder(bytes in vec(any::<u8>(), 0..200)) {
        exercise::exercise(&bytes, &op_codes());
    }

    #[test]
    fn plausible_bytes_panic_no_decoder(bytes in plausible()) {
        exercise::exercise(&bytes, &op_codes());
    }
}
