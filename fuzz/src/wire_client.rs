//! What a client reads.

use zk_session::client::{ClientConfig, ClientSession, Event, Link};
use zk_session::storage::Fixed;
use zk_session::wire::{
    ConnectResponse, OpCode, Reader, Reply, ReplyHeader, Request, WatcherEvent, Xid,
};
use zk_session::{Duration, Instant, Machine};

use crate::records::{accepted, survives};

/// Reads the bytes as every record that a server sends, and as what a server says to a session.
pub fn wire_client(bytes: &[u8]) {
    records(bytes);
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    peer(rest, *first);
}

fn records(bytes: &[u8]) {
    let mut memory = vec![0; bytes.len() * 2 + 64];
    if let Ok(record) = ConnectResponse::read(&mut Reader::new(bytes)) {
        let read = |bytes| ConnectResponse::read(&mut Reader::new(bytes)).ok();
        survives(&record, &mut memory, |record, w| record.write(w), read);
    }
    if let Ok(record) = WatcherEvent::read(&mut Reader::new(bytes)) {
        let mut memory = vec![0; bytes.len() * 2 + 64];
        let read = |bytes| WatcherEvent::read(&mut Reader::new(bytes)).ok();
        survives(&record, &mut memory, |record, w| record.write(w), read);
    }
    let _ = ReplyHeader::read(&mut Reader::new(bytes));
    for op in (-11..=107).filter_map(OpCode::from_wire) {
        if let Ok(reply) = Reply::decode(op, bytes) {
            let mut memory = vec![0; bytes.len() * 2 + 64];
            let read = |bytes| Reply::decode(op, bytes).ok();
            survives(&reply, &mut memory, |reply, w| reply.encode(w), read);
        }
    }
}

/// A server that says anything at all, to a session that has just dialled, or that is connected and
/// waits for answers.
fn peer(bytes: &[u8], how: u8) {
    let now = Instant::from_millis(1000);
    let config = ClientConfig::new("a/app", 1).timeout(Duration::from_millis(3000));
    let config = if how & 4 == 0 { config } else { config.sasl() };
    let mut memory = Fixed::<256, 256, 128, 8>::new();
    let mut session = ClientSession::new(config, memory.lend(), now).expect("a sound session");
    session.handle_timeout(now);
    session.handle_connected(now);
    let mut waiting = Vec::new();
    if how & 1 == 1 {
        session.handle_bytes(now, &accepted(how & 2 == 2));
        pull(&mut session, &mut waiting);
        let requests = [
            Request::get_data("/a", true),
            Request::exists("/b", true),
            Request::add_auth("digest", b"u:p"),
            Request::get_children2("/", false),
        ];
        waiting.extend(requests.iter().filter_map(|request| session.submit(request).ok()));
    }
    let mut rest = bytes;
    while !rest.is_empty() && session.poll_link() == Link::Up {
        let taken = session.handle_bytes(now, rest);
        pull(&mut session, &mut waiting);
        assert!(taken > 0 || session.poll_link() != Link::Up, "a connected session has room");
        rest = &rest[taken..];
    }
    session.handle_disconnected(now);
    pull(&mut session, &mut waiting);
    assert!(waiting.is_empty(), "not answered: {waiting:?}");
    assert!(!session.state().is_connected());
}

fn pull(session: &mut ClientSession<'_>, waiting: &mut Vec<Xid>) {
    while let Some(event) = session.poll_event() {
        if let Event::Reply { xid, .. } = event {
            let at = waiting.iter().position(|open| *open == xid);
            waiting.remove(at.expect("an answer to a request that is open"));
        }
    }
}
