//! The core's hot path: a getData encoded, and its reply of 128 bytes decoded and handed over.
//!
//! `cargo bench -p zk-session --bench hot_path` measures time; `core/benches/instructions.sh` counts
//! instructions of the same code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::hint::black_box;

use zk_session::client::{ClientConfig, ClientSession, Event};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{
    ConnectResponse, Data, LENGTH_BYTES, Reply, ReplyHeader, Request, SessionId, Stat, Writer, Xid,
    Zxid,
};
use zk_session::{Instant, Machine};

type Memory = Fixed<4096, 1024, 256, 8>;

/// One length-prefixed frame.
fn frame(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut memory = [0; 512];
    let mut writer = Writer::new(&mut memory[LENGTH_BYTES..]);
    write(&mut writer);
    let len = writer.len();
    memory[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    memory[..LENGTH_BYTES + len].to_vec()
}

/// A session that a server has accepted.
fn connect(session: &mut ClientSession<'_>) {
    let now = Instant::ORIGIN;
    session.handle_timeout(now);
    session.handle_connected(now);
    let n = session.poll_transmit().len();
    session.handle_transmitted(now, n);
    let answer = ConnectResponse {
        protocol_version: 0,
        timeout: 10_000,
        session_id: SessionId(7),
        passwd: Some(&[7; 16]),
        read_only: Some(false),
    };
    session.handle_bytes(now, &frame(|w| answer.write(w)));
    while session.poll_event().is_some() {}
}

/// The reply that a server would send, with the place of its xid known.
fn reply() -> Vec<u8> {
    frame(|w| {
        ReplyHeader { xid: Xid(0), zxid: Zxid(9), err: 0 }.write(w);
        Reply::Data(Data { data: Some(&[1; 128]), stat: Stat::default() }).encode(w);
    })
}

/// One half of the pair that the issue counts: a request is encoded. Callgrind finds it by name.
#[inline(never)]
fn pair_submit(session: &mut ClientSession<'_>, request: &Request<'_>) -> Option<Xid> {
    session.submit(request).ok()
}

/// The other half: its reply is decoded and handed over; how many bytes of data it brought.
#[inline(never)]
fn pair_reply(session: &mut ClientSession<'_>) -> usize {
    // The whole event must be there, with every field of its `Stat`, whoever looks at it.
    match black_box(&session.poll_event()) {
        Some(Event::Reply { result: Ok(Reply::Data(data)), .. }) => {
            data.data.unwrap_or_default().len()
        }
        _ => 0,
    }
}

/// Submits, transmits, receives and pulls events until there are none.
fn round(session: &mut ClientSession<'_>, reply: &mut [u8]) -> usize {
    let now = Instant::ORIGIN;
    let request = Request::get_data("/bench/node", false);
    let Some(xid) = pair_submit(session, black_box(&request)) else { return 0 };
    let n = black_box(session.poll_transmit()).len();
    session.handle_transmitted(now, n);
    reply[4..8].copy_from_slice(&xid.0.to_be_bytes());
    session.handle_bytes(now, reply);
    let bytes = pair_reply(session);
    while session.poll_event().is_some() {}
    bytes
}

#[divan::bench]
fn lent(bencher: divan::Bencher<'_, '_>) {
    let mut memory = Memory::new();
    let config = ClientConfig::new("h", 1);
    let mut session = ClientSession::new(config, memory.lend(), Instant::ORIGIN).unwrap();
    connect(&mut session);
    let mut reply = reply();
    bencher.bench_local(|| assert_eq!(round(&mut session, &mut reply), 128));
}

#[divan::bench]
fn owned(bencher: divan::Bencher<'_, '_>) {
    let config = ClientConfig::new("h", 1);
    let storage = Storage::owned(Limits::default());
    let mut session = ClientSession::new(config, storage, Instant::ORIGIN).unwrap();
    connect(&mut session);
    let mut reply = reply();
    bencher.bench_local(|| assert_eq!(round(&mut session, &mut reply), 128));
}

fn main() {
    // For the instruction count: this many rounds and nothing else.
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse::<usize>().ok());
    let Some(rounds) = rounds else { return divan::main() };
    let mut memory = Memory::new();
    let config = ClientConfig::new("h", 1);
    let mut session = ClientSession::new(config, memory.lend(), Instant::ORIGIN).unwrap();
    connect(&mut session);
    let mut reply = reply();
    for _ in 0..rounds {
        assert_eq!(round(&mut session, &mut reply), 128);
    }
}
