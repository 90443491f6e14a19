//! The bodies of the fuzz targets: stable code, so that they are compiled and replayed in every
//! test run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use zk_session::client::{ClientConfig, ClientSession, Event, Link, ProbeAnswer};
use zk_session::storage::Fixed;
use zk_session::wire::{
    ConnectRequest, ConnectResponse, OpCode, Reader, Reply, ReplyHeader, Request, RequestHeader,
    WatcherEvent, WatcherType, Writer, Xid,
};
use zk_session::{Duration, Instant, Machine};

/// Reads the bytes as every record there is; what decodes must survive another round trip.
pub fn wire(bytes: &[u8]) {
    let _ = ConnectRequest::read(&mut Reader::new(bytes));
    let _ = ConnectResponse::read(&mut Reader::new(bytes));
    let _ = WatcherEvent::read(&mut Reader::new(bytes));
    let _ = ReplyHeader::read(&mut Reader::new(bytes));
    let _ = RequestHeader::read(&mut Reader::new(bytes));
    let mut memory = vec![0; bytes.len() * 2 + 64];
    for op in (-11..=107).filter_map(OpCode::from_wire) {
        if let Ok(request) = Request::decode(op, bytes) {
            let mut writer = Writer::new(&mut memory);
            request.encode(&mut writer);
            let again = writer.finish().map(|body| Request::decode(op, body) == Ok(request));
            assert_eq!(again, Ok(true), "{op:?}");
        }
        if let Ok(reply) = Reply::decode(op, bytes) {
            let mut writer = Writer::new(&mut memory);
            reply.encode(&mut writer);
            let again = writer.finish().map(|body| Reply::decode(op, body) == Ok(reply));
            assert_eq!(again, Ok(true), "{op:?}");
        }
    }
}

/// Plays a script, one step a byte or more, against a session in fixed memory: the network, the
/// clock and the application are all the fuzzer's. Every accepted request must be answered once,
/// and time must move on. The script is played without SASL and with it.
pub fn client(script: &[u8]) {
    let config = ClientConfig::new("a,b,c/app", 1)
        .timeout(Duration::from_millis(3000))
        .allow_read_only()
        .new_session_deadline(Duration::from_secs(20));
    play(script, config.clone());
    play(script, config.sasl());
}

fn play(script: &[u8], config: ClientConfig<'_>) {
    let mut memory = Fixed::<512, 256, 128, 4>::new();
    let mut now = Instant::from_millis(1000);
    let Ok(mut session) = ClientSession::new(config, memory.lend(), now) else {
        unreachable!("the configuration is sound")
    };
    let mut waiting: Vec<Xid> = Vec::new();
    let mut rest = script;
    while let Some((&step, tail)) = rest.split_first() {
        rest = tail;
        let argument = rest.first().copied().unwrap_or(0);
        match step % 10 {
            0 => {
                let n = usize::from(argument).min(rest.len());
                let (bytes, tail) = rest.split_at(n);
                session.handle_bytes(now, bytes);
                rest = tail;
            }
            1 => session.handle_connected(now),
            2 => session.handle_disconnected(now),
            3 => now = now.after(Duration::from_millis(u64::from(argument) * 20)),
            4 => session.handle_timeout(now),
            5 => {
                let sent = session.poll_transmit().len();
                session.handle_transmitted(now, sent.min(usize::from(argument)));
            }
            6 => waiting.extend(session.submit(&Request::get_data("/a", argument % 2 == 0))),
            7 if argument % 8 == 1 => {
                let kind = WatcherType::from_wire(i32::from(argument / 8 % 6));
                let kind = kind.unwrap_or(WatcherType::Any);
                waiting.extend(session.submit(&Request::remove_watches("/a", kind)));
            }
            7 if argument % 8 == 3 => {
                waiting.extend(session.submit(&Request::get_config(true)));
            }
            7 if argument % 8 == 5 => {
                let _ = match argument % 3 {
                    0 => session.submit_sasl(b"token"),
                    1 => session.sasl_done(),
                    _ => session.sasl_failed(),
                };
            }
            7 => waiting.extend(session.submit(&Request::add_auth("digest", b"u:p"))),
            8 => session.handle_timeout(Instant::from_millis(u64::from(argument))),
            _ if argument > 250 => session.close(now),
            _ if argument > 240 => {
                let hosts = ["a,b,c", "b", "d,e", "a,b,c,d/app"];
                let hosts = hosts.get(usize::from(argument) % 4).copied().unwrap_or("x");
                assert!(session.update_hosts(hosts, now).is_ok());
            }
            _ if argument > 230 => {
                let answer = if argument % 2 == 0 { b"rw" } else { b"ro" };
                if let Some(host) = session.poll_probe() {
                    session.handle_probed(now, host, ProbeAnswer::parse(answer));
                }
            }
            _ => accept(&mut session, now, argument % 4 == 3),
        }
        let before = session.poll_timeout();
        while let Some(event) = session.poll_event() {
            if let Event::Reply { xid, .. } = event {
                let at = waiting.iter().position(|open| *open == xid);
                waiting.remove(at.expect("an answer to a request that is open"));
            }
        }
        if session.poll_link() == Link::Up {
            assert!(!session.poll_io().recv.is_empty(), "a connected session has room");
        }
        if let (Some(deadline), true) = (session.poll_timeout(), step % 10 == 4) {
            assert!(before.is_some(), "a session that is over stays over");
            session.handle_timeout(deadline);
            now = now.max(deadline);
            let later = session.poll_timeout().is_none_or(|next| next > deadline);
            assert!(later, "the deadline moves on");
            while session.poll_event().is_some_and(|event| match event {
                Event::Reply { xid, .. } => {
                    waiting.retain(|open| *open != xid);
                    true
                }
                _ => true,
            }) {}
        }
    }
}

/// A sound answer to the handshake, so that the script gets beyond it.
fn accept(session: &mut ClientSession<'_>, now: Instant, read_only: bool) {
    let mut memory = [0; 64];
    let mut writer = Writer::new(&mut memory);
    writer.int(37);
    ConnectResponse {
        protocol_version: 0,
        timeout: 3000,
        session_id: zk_session::wire::SessionId(7),
        passwd: Some(&[7; 16]),
        read_only: Some(read_only),
    }
    .write(&mut writer);
    if let Ok(frame) = writer.finish() {
        session.handle_bytes(now, frame);
    }
}
