//! What a server reads.

use std::net::{Ipv4Addr, SocketAddr};

use zk_session::server::{
    CloseReason, Engine, EngineConfig, ServerConnection, ServerEvent, ServerLink,
};
use zk_session::wire::{
    ConnectRequest, OpCode, Passwd, Reader, Reply, Request, RequestHeader, SessionId, Xid, Zxid,
};
use zk_session::{Duration, ErrorCode, Instant, Machine};

use crate::records::{handshake, survives};

/// Reads the bytes as every record that a client sends, and as what a client says to a connection
/// and to an ensemble; however they are split, it means the same.
pub fn wire_server(bytes: &[u8]) {
    records(bytes);
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let stream = if first & 1 == 1 { [&handshake(0), rest].concat() } else { rest.to_vec() };
    let step = usize::from(first >> 1).max(1);
    assert_eq!(connection(&stream, step), connection(&stream, usize::MAX));
    assert_eq!(ensemble(&stream, step), ensemble(&stream, usize::MAX));
}

fn records(bytes: &[u8]) {
    if let Ok(record) = ConnectRequest::read(&mut Reader::new(bytes)) {
        let mut memory = vec![0; bytes.len() * 2 + 64];
        let read = |bytes| ConnectRequest::read(&mut Reader::new(bytes)).ok();
        survives(&record, &mut memory, |record, w| record.write(w), read);
    }
    let _ = RequestHeader::read(&mut Reader::new(bytes));
    for op in (-11..=107).filter_map(OpCode::from_wire) {
        if let Ok(request) = Request::decode(op, bytes) {
            let mut memory = vec![0; bytes.len() * 2 + 64];
            let read = |bytes| Request::decode(op, bytes).ok();
            survives(&request, &mut memory, |request, w| request.encode(w), read);
        }
    }
}

enum Answer {
    Accept,
    Text,
    Reply(Xid, Result<(), ErrorCode>),
    Shut(Xid),
}

fn answer(event: &ServerEvent<'_>) -> Answer {
    match event {
        ServerEvent::Connect(_) => Answer::Accept,
        ServerEvent::FourLetterWord(_) | ServerEvent::SetTraceMask(_) => Answer::Text,
        ServerEvent::Ping { .. } => Answer::Reply(Xid::PING, Ok(())),
        ServerEvent::Request { xid, .. } => Answer::Reply(*xid, Ok(())),
        ServerEvent::Undecodable { xid, .. } => {
            Answer::Reply(*xid, Err(ErrorCode::MarshallingError))
        }
        ServerEvent::UnknownOp { xid, .. } | ServerEvent::Close { xid } => Answer::Shut(*xid),
        other => panic!("an event that is not known here: {other:?}"),
    }
}

/// An owner that answers everything, and a transport that takes everything.
fn connection(stream: &[u8], step: usize) -> (Vec<String>, Vec<u8>, Option<CloseReason>) {
    let (mut recv, mut transmit) = ([0; 512], [0; 256]);
    let mut connection = ServerConnection::lent(&mut recv, &mut transmit);
    let (mut seen, mut sent, mut rest) = (Vec::new(), Vec::new(), stream);
    loop {
        while let Some(event) = connection.poll_event() {
            seen.push(format!("{event:?}"));
            let done = match answer(&event) {
                Answer::Accept => {
                    connection.accept(SessionId(9), &Passwd([1; 16]), Duration::from_secs(5))
                }
                Answer::Text => connection.text(b"imok"),
                Answer::Reply(xid, result) => {
                    let result = result.as_ref().map(|()| &Reply::Empty).map_err(|code| *code);
                    connection.reply(xid, Zxid(2), result)
                }
                Answer::Shut(xid) => {
                    let done = connection.reply(xid, Zxid(-1), Err(ErrorCode::Unimplemented));
                    connection.shut(CloseReason::UnknownOp);
                    done
                }
            };
            done.expect("what is sent leaves at once");
            let n = connection.poll_transmit().len();
            sent.extend_from_slice(connection.poll_transmit());
            connection.handle_transmitted(Instant::ORIGIN, n);
        }
        assert_eq!(connection.poll_event(), None);
        if rest.is_empty() || connection.poll_link() != ServerLink::Up {
            return (seen, sent, connection.poll_reason());
        }
        assert!(!connection.poll_io().recv.is_empty(), "events drained, so there is room");
        let taken = connection.handle_bytes(Instant::ORIGIN, &rest[..rest.len().min(step)]);
        assert!(taken > 0, "it takes what it has room for");
        rest = &rest[taken..];
    }
}

/// An ensemble, and then its time to the end of the session.
fn ensemble(stream: &[u8], step: usize) -> (Vec<u8>, Option<CloseReason>, Zxid, usize) {
    let now = Instant::from_millis(1000);
    let mut engine = Engine::new(EngineConfig::default(), now);
    let server = engine.add_server();
    let conn = engine.accept(now, server, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let (mut sent, mut rest) = (Vec::new(), stream);
    let mut reason = None;
    while !rest.is_empty() && reason.is_none() {
        let taken = engine.handle_bytes(now, conn, &rest[..rest.len().min(step)]);
        rest = &rest[taken..];
        while engine.poll_ready().is_some() {}
        let n = engine.poll_transmit(conn).len();
        sent.extend_from_slice(engine.poll_transmit(conn));
        engine.handle_transmitted(now, conn, n);
        reason = engine.poll_reason(conn);
        assert!(taken > 0 || reason.is_some() || n > 0, "it neither reads nor closes");
    }
    let end = (sent, reason, engine.last_zxid(), engine.node_count());
    engine.handle_disconnected(now, conn);
    for _ in 0..64 {
        let Some(at) = engine.poll_timeout() else { break };
        engine.handle_timeout(at);
        assert!(engine.poll_timeout().is_none_or(|next| next > at), "the deadline moves on");
    }
    assert_eq!(engine.sessions().count(), 0, "a session without a client expires");
    end
}
