//! The core's hot path, an operation at a time: a request encoded, its reply decoded and handed
//! over; a notification handed over; a ping and its answer.
//!
//! `cargo bench -p zk-session --features std --bench hot_path` measures time;
//! `core/benches/instructions.sh` counts instructions of the same code.
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
    ConnectResponse, CreateMode, Data, EventType, LENGTH_BYTES, Multi, MultiOp, MultiResult, Reply,
    ReplyHeader, Request, SessionId, Stat, WatcherEvent, Writer, Xid, Zxid,
};
use zk_session::{Instant, Machine};

type Memory = Fixed<4096, 1024, 1024, 8>;

const PATH: &str = "/bench/node";
const DATA: [u8; 128] = [1; 128];
/// Watches armed beside the one that fires in [`Operation::WatchOf32`].
const OTHERS: usize = 31;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// getData, answered with 128 bytes.
    GetData,
    /// setData of 128 bytes.
    SetData,
    /// exists of a znode that is there.
    Exists,
    /// create of 128 bytes, open to anyone.
    Create,
    /// multi of check, create, setData and delete.
    Multi4,
    /// The notification of a one-shot watch, the only one that is armed.
    Watch,
    /// The same where 31 others lie before it.
    WatchOf32,
    /// A ping that is due, and its answer.
    Ping,
}

const OPERATIONS: [Operation; 8] = [
    Operation::GetData,
    Operation::SetData,
    Operation::Exists,
    Operation::Create,
    Operation::Multi4,
    Operation::Watch,
    Operation::WatchOf32,
    Operation::Ping,
];

/// A connected session, and what its server sends.
struct Bench<'b> {
    operation: Operation,
    session: ClientSession<'b>,
    now: Instant,
    /// The answer to the request, or to the ping.
    reply: Vec<u8>,
    notification: Vec<u8>,
}

impl<'b> Bench<'b> {
    fn new(operation: Operation, storage: Storage<'b>) -> Self {
        let now = Instant::ORIGIN;
        let mut session = ClientSession::new(ClientConfig::new("h", 1), storage, now).unwrap();
        connect(&mut session, now);
        let event = WatcherEvent {
            kind: EventType::NodeDataChanged,
            state: WatcherEvent::SYNC_CONNECTED,
            path: PATH.into(),
        };
        let notification = frame(|w| {
            ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(-1), err: 0 }.write(w);
            event.write(w);
        });
        let mut bench = Self { operation, session, now, reply: reply(operation), notification };
        if operation == Operation::WatchOf32 {
            for i in 0..OTHERS {
                bench.arm(&format!("/bench/other{i:02}"));
            }
        }
        bench
    }

    /// Once; what it brought, to be compared with [`expected`].
    fn round(&mut self) -> usize {
        match self.operation {
            Operation::GetData => self.request(&Request::get_data(PATH, false)),
            Operation::SetData => self.request(&Request::set_data(PATH, &DATA, 7)),
            Operation::Exists => self.request(&Request::exists(PATH, false)),
            Operation::Create => {
                self.request(&Request::create(PATH, &DATA, CreateMode::Persistent))
            }
            Operation::Multi4 => self.request(&Request::Multi(Multi::from_slice(&[
                MultiOp::Check { path: PATH.into(), version: 7 },
                create_op(),
                MultiOp::SetData { path: PATH.into(), data: Some(&DATA), version: 7 },
                MultiOp::Delete { path: PATH.into(), version: 7 },
            ]))),
            Operation::Watch | Operation::WatchOf32 => {
                self.arm(PATH);
                self.counted_notification()
            }
            Operation::Ping => {
                self.now = self.session.poll_timeout().unwrap();
                self.counted_ping()
            }
        }
    }

    /// Has a data watch set.
    fn arm(&mut self, path: &str) {
        let before = self.session.watches();
        self.request(&Request::get_data(path, true));
        assert_eq!(self.session.watches(), before + 1);
    }

    fn request(&mut self, request: &Request<'_>) -> usize {
        self.counted_request(black_box(request))
    }

    /// Submits, transmits, receives and pulls events until there are none. Callgrind finds what is
    /// to be counted by the names `counted_…`, and its inner part by `pair_…`.
    #[inline(never)]
    fn counted_request(&mut self, request: &Request<'_>) -> usize {
        let Some(xid) = pair_submit(&mut self.session, request) else { return 0 };
        self.transmit();
        self.reply[4..8].copy_from_slice(&xid.0.to_be_bytes());
        self.session.handle_bytes(self.now, &self.reply);
        let brought = pair_reply(&mut self.session);
        while self.session.poll_event().is_some() {}
        brought
    }

    /// Receives a notification and pulls events until there are none: the length of its path.
    #[inline(never)]
    fn counted_notification(&mut self) -> usize {
        self.session.handle_bytes(self.now, &self.notification);
        let brought = match black_box(&self.session.poll_event()) {
            Some(Event::Notification { path, .. }) => path.len(),
            _ => 0,
        };
        while self.session.poll_event().is_some() {}
        brought
    }

    /// Sends the ping that is due and receives its answer: the length of the ping.
    #[inline(never)]
    fn counted_ping(&mut self) -> usize {
        self.session.handle_timeout(self.now);
        let brought = self.transmit();
        self.session.handle_bytes(self.now, &self.reply);
        while self.session.poll_event().is_some() {}
        brought
    }

    fn transmit(&mut self) -> usize {
        let n = black_box(self.session.poll_transmit()).len();
        self.session.handle_transmitted(self.now, n);
        n
    }
}

/// One half of a pair that can be counted alone: a request is encoded.
#[inline(never)]
fn pair_submit(session: &mut ClientSession<'_>, request: &Request<'_>) -> Option<Xid> {
    session.submit(request).ok()
}

/// The other half: its reply is decoded and handed over; what it brought.
#[inline(never)]
fn pair_reply(session: &mut ClientSession<'_>) -> usize {
    // The whole event must be there, with every field of its `Stat`, whoever looks at it.
    match black_box(&session.poll_event()) {
        Some(Event::Reply { result: Ok(reply), .. }) => match reply {
            Reply::Data(data) => data.data.unwrap_or_default().len(),
            Reply::Path(path) => path.as_bytes().unwrap_or_default().len(),
            Reply::Multi(results) => results.iter().inspect(|result| _ = black_box(result)).count(),
            Reply::Stat(_) => 1,
            _ => 0,
        },
        _ => 0,
    }
}

/// What a [`round`](Bench::round) brings.
fn expected(operation: Operation) -> usize {
    match operation {
        Operation::GetData => DATA.len(),
        Operation::SetData | Operation::Exists => 1,
        Operation::Create | Operation::Watch | Operation::WatchOf32 => PATH.len(),
        Operation::Multi4 => 4,
        Operation::Ping => 12,
    }
}

fn create_op() -> MultiOp<'static> {
    match Request::create(PATH, &DATA, CreateMode::Persistent) {
        Request::Create(create) => MultiOp::Create(create),
        other => panic!("{other:?}"),
    }
}

/// The answer that a server would send, with the place of its xid known.
fn reply(operation: Operation) -> Vec<u8> {
    let results = [
        MultiResult::Check,
        MultiResult::Create(PATH.into()),
        MultiResult::SetData(Stat::default()),
        MultiResult::Delete,
    ];
    let (xid, body) = match operation {
        Operation::SetData | Operation::Exists => (Xid(0), Reply::Stat(Stat::default())),
        Operation::Create => (Xid(0), Reply::Path(PATH.into())),
        Operation::Multi4 => (Xid(0), Reply::Multi(Multi::from_slice(&results))),
        Operation::GetData | Operation::Watch | Operation::WatchOf32 => {
            (Xid(0), Reply::Data(Data { data: Some(&DATA), stat: Stat::default() }))
        }
        Operation::Ping => (Xid::PING, Reply::Empty),
    };
    frame(|w| {
        ReplyHeader { xid, zxid: Zxid(9), err: 0 }.write(w);
        body.encode(w);
    })
}

/// One length-prefixed frame.
fn frame(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut memory = [0; 512];
    let mut writer = Writer::new(&mut memory[LENGTH_BYTES..]);
    write(&mut writer);
    let len = writer.len();
    memory[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    memory[..LENGTH_BYTES + len].to_vec()
}

/// A server accepts the session.
fn connect(session: &mut ClientSession<'_>, now: Instant) {
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

#[divan::bench(args = OPERATIONS)]
fn lent(bencher: divan::Bencher<'_, '_>, operation: Operation) {
    let mut memory = Memory::new();
    let mut bench = Bench::new(operation, memory.lend());
    bencher.bench_local(|| assert_eq!(bench.round(), expected(operation)));
}

#[divan::bench(args = OPERATIONS)]
fn owned(bencher: divan::Bencher<'_, '_>, operation: Operation) {
    let mut bench = Bench::new(operation, Storage::owned(Limits::default()));
    bencher.bench_local(|| assert_eq!(bench.round(), expected(operation)));
}

fn main() {
    // For the instruction counts: this many rounds of one operation and nothing else.
    let Ok(name) = std::env::var("OPERATION") else { return divan::main() };
    let rounds: usize = std::env::var("ROUNDS").unwrap().parse().unwrap();
    let operation = OPERATIONS.into_iter().find(|it| format!("{it:?}") == name).unwrap();
    let mut memory = Memory::new();
    let storage = match std::env::var("MEMORY").as_deref() {
        Ok("owned") => Storage::owned(Limits::default()),
        _ => memory.lend(),
    };
    let mut bench = Bench::new(operation, storage);
    for _ in 0..rounds {
        assert_eq!(bench.round(), expected(operation));
    }
}
