//! Four-letter words.

use std::net::{Ipv4Addr, SocketAddr};

use zk_session::Instant;
use zk_session::server::{ConnectionId, Engine, EngineConfig, ServerId, ServerLink};
use zk_session::wire::{CreateMode, OpCode, Request, RequestHeader, Xid};

use crate::records::{frame, handshake};

/// Sends the bytes over a fresh connection of an ensemble with a session, a watch and an ephemeral
/// znode: a word is answered in text and the connection closes; nobody else is touched by what is
/// no handshake.
pub fn four_letter(bytes: &[u8]) {
    let now = Instant::from_millis(1000);
    let mut engine = Engine::new(EngineConfig::default(), now);
    let servers = [engine.add_server(), engine.add_server()];
    let busy = open(&mut engine, servers[0]);
    let create = Request::create("/e", b"data", CreateMode::Ephemeral);
    let exists = Request::exists("/e", true);
    let mut stream = handshake(0);
    stream.extend(request(1, OpCode::Create, &create));
    stream.extend(request(2, OpCode::Exists, &exists));
    engine.handle_bytes(now, busy, &stream);
    while engine.poll_ready().is_some() {}
    let before = state(&engine);
    let pending = engine.poll_transmit(busy).to_vec();

    let (first, word) = bytes.split_first().unwrap_or((&0, &[]));
    let server = servers[usize::from(*first) % 2];
    let conn = open(&mut engine, server);
    engine.handle_bytes(now, conn, word);
    let is_word = match word.first_chunk() {
        Some(b"stmk") => word.len() >= 12, // with the mask that it sets
        Some(word @ &[_, _, _, _]) => word.iter().all(u8::is_ascii_lowercase),
        None => false,
    };
    if is_word {
        let text = engine.poll_transmit(conn).to_vec();
        assert!(text.is_ascii(), "{text:?}");
        engine.handle_transmitted(now, conn, text.len());
        assert_eq!(engine.poll_link(conn), ServerLink::Down, "{word:?} is answered and over");
    }
    if is_word || word.len() < 4 {
        assert_eq!(state(&engine), before, "{word:?} changes nothing");
    }
    // Who has opened a session may well change what others watch.
    if engine.sessions().count() == 1 {
        assert_eq!(engine.poll_transmit(busy), pending, "{word:?} is nobody else's");
    }
    assert_eq!(engine.poll_link(busy), ServerLink::Up);
    engine.handle_disconnected(now, conn);
}

fn open(engine: &mut Engine, server: ServerId) -> ConnectionId {
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 4));
    engine.accept(Instant::from_millis(1000), server, peer)
}

fn request(xid: i32, op: OpCode, request: &Request<'_>) -> Vec<u8> {
    frame(|w| {
        RequestHeader { xid: Xid(xid), op: op.to_wire() }.write(w);
        request.encode(w);
    })
}

/// What a word must not change.
fn state(engine: &Engine) -> (i64, usize, usize) {
    (engine.last_zxid().0, engine.node_count(), engine.sessions().count())
}
