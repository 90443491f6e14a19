//! The session's life, and the server's words to it.

use core::mem::size_of;

use semihosting::println;
use size::stack::measured;
use zk_session::client::{
    ClientConfig, ClientSession, CreateOpen, Event, Exists, GetData, InFlight, KeeperState, Link,
    RawReply, SetData,
};
use zk_session::storage::Fixed;
use zk_session::wire::{
    ConnectResponse, CreateMode, Data, EventType, OpCode, Reply, ReplyHeader, SessionId, Stat,
    WatcherEvent, Writer, Xid, Zxid,
};
use zk_session::{ErrorCode, Instant, Machine};

const WATCHED: [&str; 8] = ["/c/0", "/c/1", "/c/2", "/c/3", "/c/4", "/c/5", "/c/6", "/c/7"];

/// The calls, and the most that each has taken.
const CALLS: [&str; 10] = [
    "new",
    "poll_raw",
    "submit_operation",
    "handle_received",
    "handle_transmitted",
    "handle_connected",
    "handle_disconnected",
    "handle_timeout",
    "poll_timeout",
    "close and reopen",
];

struct Player<'b> {
    session: ClientSession<'b>,
    now: Instant,
    most: [usize; CALLS.len()],
    /// What the events were, to know that the script went as it should.
    told: u32,
    replies: u32,
    notifications: u32,
}

/// Plays everything; says whether it went as it should.
pub(crate) fn play() -> bool {
    let mut memory = Fixed::<1024, 512, 256, 8>::new();
    let now = Instant::from_millis(1);
    let config = ClientConfig::new("10.0.0.1,10.0.0.2:2182,10.0.0.3/app", 7).expire_locally();
    let (bytes, session) = measured(|| ClientSession::new(config, memory.lend(), now));
    let Ok(session) = session else { return false };
    let mut player =
        Player { session, now, most: [0; CALLS.len()], told: 0, replies: 0, notifications: 0 };
    player.note(0, bytes);
    player.live();
    println!("state {}", size_of::<ClientSession<'_>>());
    println!("request {}", size_of::<InFlight>());
    for (call, bytes) in CALLS.iter().zip(player.most) {
        println!("{call} {bytes}");
    }
    // Established, lost and resumed three times, lost and expired, established again, closed.
    player.told == 1 + 3 * 2 + 2 + 1 + 1
        && player.replies == 8 * 2 + 2 + 1
        && player.notifications == 2
        && player.session.state() == KeeperState::Closed
}

impl Player<'_> {
    fn live(&mut self) {
        self.connect(7);
        for path in WATCHED {
            self.ask(OpCode::GetData, path);
            self.ask(OpCode::Exists, path);
        }
        self.ask(OpCode::SetData, "/counter");
        self.ask(OpCode::Create, "/devices/1");
        self.notify("/app/c/3");
        self.notify("/app/c/5");
        // Silence: a ping, then the next host.
        self.wait_until_lost();
        self.connect(7);
        self.replayed();
        self.disconnect();
        self.connect(7);
        self.replayed();
        // A reply that does not fit, and one that is none.
        self.submit(OpCode::GetData, "/large");
        self.receive(&[0, 0, 8, 0]);
        self.transmit();
        self.disconnect();
        self.connect(7);
        self.replayed();
        self.disconnect();
        self.connect(0);
        let (bytes, ()) = measured(|| self.session.reopen(self.now));
        self.note(9, bytes);
        self.connect(8);
        let last = self.ask(OpCode::Create, "/devices/1");
        let (bytes, ()) = measured(|| self.session.close(self.now));
        self.note(9, bytes);
        self.transmit();
        self.reply(last.next(), 0, |_| {});
        self.disconnect();
        self.pull();
    }

    fn note(&mut self, call: usize, bytes: usize) {
        if let Some(most) = self.most.get_mut(call) {
            *most = bytes.max(*most);
        }
    }

    fn pull(&mut self) {
        loop {
            let (bytes, event) = measured(|| match self.session.poll_raw() {
                Some(Event::State { .. }) => Some((1, 0, 0)),
                Some(Event::Reply { result, .. }) => {
                    Some((0, u32::from(result.is_ok() || is_refusal(&result)), 0))
                }
                Some(Event::Notification { .. }) => Some((0, 0, 1)),
                Some(_) => Some((0, 0, 0)),
                None => None,
            });
            self.note(1, bytes);
            let Some((told, replies, notifications)) = event else { return };
            self.told += told;
            self.replies += replies;
            self.notifications += notifications;
        }
    }

    fn transmit(&mut self) {
        loop {
            let n = self.session.poll_transmit().len();
            if n == 0 {
                return;
            }
            let (bytes, ()) = measured(|| self.session.handle_transmitted(self.now, n));
            self.note(4, bytes);
        }
    }

    /// Hands bytes in as they would come from a network.
    fn receive(&mut self, mut bytes: &[u8]) {
        while let (Link::Up, false) = (self.session.poll_link(), bytes.is_empty()) {
            let room = self.session.poll_io().recv;
            let n = room.len().min(bytes.len());
            let (Some(to), Some((from, rest))) = (room.get_mut(..n), bytes.split_at_checked(n))
            else {
                return;
            };
            to.copy_from_slice(from);
            bytes = rest;
            let (taken, ()) = measured(|| self.session.handle_received(self.now, n));
            self.note(3, taken);
            self.pull();
        }
    }

    fn tell_time(&mut self) {
        let (bytes, at) = measured(|| self.session.poll_timeout());
        self.note(8, bytes);
        self.now = at.unwrap_or(self.now).max(self.now);
        let (bytes, ()) = measured(|| self.session.handle_timeout(self.now));
        self.note(7, bytes);
        self.pull();
    }

    /// Opens the next transport; the server accepts with this id, or refuses with none.
    fn connect(&mut self, id: i64) {
        while !matches!(self.session.poll_link(), Link::Dial(_)) {
            self.tell_time();
        }
        let (bytes, ()) = measured(|| self.session.handle_connected(self.now));
        self.note(5, bytes);
        self.transmit();
        let answer = ConnectResponse {
            protocol_version: 0,
            timeout: if id == 0 { 0 } else { 10_000 },
            session_id: SessionId(id),
            passwd: Some(&[7; 16]),
            read_only: Some(false),
        };
        self.frame(|w| answer.write(w));
        self.transmit();
    }

    /// The watches have been registered again.
    fn replayed(&mut self) {
        self.reply(Xid::SET_WATCHES, 0, |_| {});
    }

    fn wait_until_lost(&mut self) {
        while self.session.poll_link() == Link::Up {
            self.tell_time();
            self.transmit();
        }
    }

    fn disconnect(&mut self) {
        let (bytes, ()) = measured(|| self.session.handle_disconnected(self.now));
        self.note(6, bytes);
        self.pull();
    }

    fn submit(&mut self, op: OpCode, path: &str) -> Xid {
        let data = b"some value";
        let (bytes, xid) = measured(|| match op {
            OpCode::GetData => self.session.submit_operation(&GetData { path, watch: true }),
            OpCode::Exists => self.session.submit_operation(&Exists { path, watch: true }),
            OpCode::SetData => self.session.submit_operation(&SetData { path, data, version: -1 }),
            _ => {
                let mode = CreateMode::Ephemeral;
                self.session.submit_operation(&CreateOpen { path, data, mode })
            }
        });
        self.note(2, bytes);
        self.transmit();
        xid.unwrap_or(Xid(0))
    }

    /// Submits, and has the server answer.
    fn ask(&mut self, op: OpCode, path: &str) -> Xid {
        let xid = self.submit(op, path);
        let stat = Stat::default();
        let body = match op {
            OpCode::GetData => Reply::Data(Data { data: Some(b"some value"), stat }),
            OpCode::Create => Reply::Path(path.into()),
            _ => Reply::Stat(stat),
        };
        // What exists on a znode that is not there is answered with.
        let absent = if op == OpCode::Exists { ErrorCode::NoNode.to_wire() } else { 0 };
        self.reply(xid, absent, |w| {
            if absent == 0 {
                body.encode(w);
            }
        });
        xid
    }

    fn reply(&mut self, xid: Xid, err: i32, body: impl Fn(&mut Writer<'_>)) {
        self.frame(|w| {
            ReplyHeader { xid, zxid: Zxid(9), err }.write(w);
            body(w);
        });
    }

    fn notify(&mut self, path: &str) {
        let event = WatcherEvent {
            kind: EventType::NodeDataChanged,
            state: WatcherEvent::SYNC_CONNECTED,
            path: path.into(),
        };
        self.reply(Xid::NOTIFICATION, 0, |w| event.write(w));
    }

    /// Hands a whole frame in.
    fn frame(&mut self, write: impl Fn(&mut Writer<'_>)) {
        let mut memory = [0; 256];
        let Some((length, body)) = memory.split_first_chunk_mut::<4>() else { return };
        let mut writer = Writer::new(body);
        write(&mut writer);
        let len = writer.len();
        *length = u32::try_from(len).unwrap_or(0).to_be_bytes();
        self.receive(memory.get(..len.saturating_add(4)).unwrap_or_default());
    }
}

fn is_refusal(result: &Result<RawReply<'_>, zk_session::OpError>) -> bool {
    matches!(result, Err(zk_session::OpError::Server(_)))
}
