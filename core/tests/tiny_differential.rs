//! The tiny ensemble beside the engine: the same clients say the same to both, and are answered by
//! the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod tiny_common;

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use tiny_common::{AMPLE, Size, ensemble, framed, new_session, request_bytes};
use zk_session::server::tiny::{self, Ensemble};
use zk_session::server::{ConnectionId, Engine, EngineConfig, ServerId, ServerLink};
use zk_session::wire::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateTtl, List, OpCode, Passwd, Reader,
    ReplyHeader, Request, RequestHeader, SessionId, SetWatches, Ustring, Xid, Zxid,
};
use zk_session::{ErrorCode, Instant};

const PATHS: [&str; 16] = [
    "/",
    "/a",
    "/b",
    "/a/b",
    "/a/c",
    "/a/b/c",
    "/a/b/\u{20ac}",
    "/zookeeper",
    "/zookeeper/config",
    "/zookeeper/config/x",
    "/a/",
    "/a/.",
    "/a//b",
    "a",
    "",
    "/a\0",
];

/// What a client sends.
#[derive(Clone, Debug)]
enum Ask {
    Create { op: u8, path: usize, data: Option<Vec<u8>>, flags: i32, open: bool },
    Delete { path: usize, version: i32 },
    Set { path: usize, data: Option<Vec<u8>>, version: i32 },
    SetAcl { path: usize, open: bool, version: i32 },
    Read { op: u8, path: usize, watch: bool },
    Watches { op: u8, path: usize, kind: i32 },
    Rewatch { zxid: i64, paths: [Vec<usize>; 5], null: u8 },
    Other(u8),
    Raw { op: i32, body: Vec<u8> },
}

#[derive(Clone, Debug)]
enum Step {
    Connect { timeout: i32 },
    Resume { session: usize, right: bool, zxid: i64 },
    Ask { session: usize, ask: Ask },
    Close { session: usize },
    Lose { session: usize },
    Pass { millis: u64 },
}

fn path(at: usize) -> Ustring<'static> {
    PATHS.get(at).map_or(Ustring::NULL, |path| Ustring::from(*path))
}

impl Ask {
    fn bytes(&self, xid: i32) -> Vec<u8> {
        let acl = |open| if open { List::from_slice(Acl::OPEN) } else { List::from_slice(&[]) };
        let request = match self {
            Self::Create { op, path: at, data, flags, open } => {
                let create = Create {
                    path: path(*at),
                    data: data.as_deref(),
                    acl: acl(*open),
                    flags: *flags,
                };
                match op {
                    0 => Request::Create(create),
                    1 => Request::Create2(create),
                    _ => Request::CreateTtl(CreateTtl { create, ttl: 5 }),
                }
            }
            Self::Delete { path: at, version } => {
                Request::Delete { path: path(*at), version: *version }
            }
            Self::Set { path: at, data, version } => {
                Request::SetData { path: path(*at), data: data.as_deref(), version: *version }
            }
            Self::SetAcl { path: at, open, version } => {
                Request::SetAcl { path: path(*at), acl: acl(*open), version: *version }
            }
            Self::Read { op, path: at, watch } => {
                let (path, watch) = (path(*at), *watch);
                match op {
                    0 => Request::Exists { path, watch },
                    1 => Request::GetData { path, watch },
                    2 => Request::GetChildren { path, watch },
                    3 => Request::GetChildren2 { path, watch },
                    4 => Request::GetAcl { path },
                    5 => Request::GetAllChildrenNumber { path },
                    6 => Request::GetEphemerals { prefix: path },
                    _ => Request::Sync { path },
                }
            }
            Self::Watches { op, path: at, kind } => {
                let (path, kind) = (path(*at), *kind);
                match op {
                    0 => Request::AddWatch { path, mode: kind - 1 },
                    1 => Request::CheckWatches { path, kind },
                    _ => Request::RemoveWatches { path, kind },
                }
            }
            Self::Rewatch { zxid, paths, null } => {
                let lists = paths
                    .each_ref()
                    .map(|paths| -> Vec<_> { paths.iter().map(|at| path(*at)).collect() });
                let list = |at: u8| match *null == at {
                    true => List::NULL,
                    false => List::from_slice(&lists[usize::from(at)]),
                };
                let watches = SetWatches {
                    relative_zxid: Zxid(*zxid),
                    data: list(0),
                    exist: list(1),
                    child: list(2),
                    persistent: list(3),
                    persistent_recursive: list(4),
                };
                return request_bytes(xid, &Request::SetWatches2(watches));
            }
            Self::Other(0) => Request::Ping,
            Self::Other(1) => Request::Sasl { token: Some(b"x") },
            Self::Other(2) => Request::add_auth("digest", b"a:b"),
            Self::Other(3) => Request::add_auth("none", b"a:b"),
            Self::Other(4) => Request::get_config(true),
            Self::Other(_) => Request::Check { path: path(1), version: 0 },
            Self::Raw { op, body } => {
                return framed(|w| {
                    RequestHeader { xid: Xid(xid), op: *op }.write(w);
                    w.raw(body);
                });
            }
        };
        request_bytes(xid, &request)
    }

    fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Create { .. } | Self::Delete { .. } | Self::Set { .. } | Self::SetAcl { .. }
        )
    }
}

/// One client's connections, one to each.
#[derive(Clone, Copy, Debug)]
struct Client {
    ours: tiny::ConnectionId,
    theirs: ConnectionId,
    id: SessionId,
    passwd: Passwd,
    timeout: i32,
    up: bool,
}

struct Twins {
    ours: Ensemble<'static>,
    theirs: Engine,
    server: ServerId,
    now: u64,
    clients: Vec<Client>,
    /// Whether the memory of one of them is bounded.
    small: bool,
}

impl Twins {
    fn new(size: Size, small: bool) -> Self {
        let mut theirs = Engine::new(EngineConfig::default(), Instant::ORIGIN);
        let server = theirs.add_server();
        let ours = ensemble(tiny::Config::default(), size);
        Self { ours, theirs, server, now: 0, clients: Vec::new(), small }
    }

    fn at(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn drain(&mut self, client: &Client) -> (Vec<u8>, Vec<u8>) {
        let now = self.at();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        while let bytes @ [_, ..] = self.ours.poll_transmit(client.ours) {
            ours.extend_from_slice(bytes);
            let n = bytes.len();
            self.ours.handle_transmitted(now, client.ours, n);
        }
        while let bytes @ [_, ..] = self.theirs.poll_transmit(client.theirs) {
            theirs.extend_from_slice(bytes);
            let n = bytes.len();
            self.theirs.handle_transmitted(now, client.theirs, n);
        }
        (ours, theirs)
    }

    /// All clients see the same.
    fn compare(&mut self, what: &str) {
        for at in 0..self.clients.len() {
            let client = self.clients[at];
            if !client.up {
                continue;
            }
            let (ours, theirs) = self.drain(&client);
            assert_eq!(ours, theirs, "{what}: what client {at} was sent");
            let link = self.ours.poll_link(client.ours);
            assert_eq!(link, self.theirs.poll_link(client.theirs), "{what}: the link of {at}");
            let reason = self.ours.poll_reason(client.ours);
            assert_eq!(reason, self.theirs.poll_reason(client.theirs), "{what}: why {at} ends");
            if link == ServerLink::Down {
                self.lose(at);
            }
        }
        assert_eq!(self.ours.last_zxid(), self.theirs.last_zxid(), "{what}");
        assert_eq!(self.ours.node_count(), self.theirs.node_count(), "{what}");
        assert_eq!(self.ours.session_count(), self.theirs.sessions().count(), "{what}");
    }

    fn connect(&mut self, request: &ConnectRequest<'_>) -> Option<Client> {
        let now = self.at();
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let ours = self.ours.accept(now)?;
        let theirs = self.theirs.accept(now, self.server, peer);
        let bytes = framed(|w| request.write(w));
        assert_eq!(self.ours.handle_bytes(now, ours, &bytes), bytes.len());
        assert_eq!(self.theirs.handle_bytes(now, theirs, &bytes), bytes.len());
        let (id, passwd) = (SessionId::NONE, Passwd::ZERO);
        let mut client = Client { ours, theirs, id, passwd, timeout: request.timeout, up: true };
        let (got, expected) = self.drain(&client);
        assert_eq!(got, expected, "the answer to {request:?}");
        if let Some(frame) = got.get(4..) {
            let answer = ConnectResponse::read(&mut Reader::new(frame)).unwrap();
            client.id = answer.session_id;
            client.passwd = Passwd(answer.passwd.unwrap().try_into().unwrap());
        }
        Some(client)
    }

    fn lose(&mut self, at: usize) {
        let (now, client) = (self.at(), self.clients[at]);
        if client.up {
            self.ours.handle_disconnected(now, client.ours);
            self.theirs.handle_disconnected(now, client.theirs);
            self.clients[at].up = false;
        }
    }

    fn step(&mut self, step: &Step, xid: i32) {
        match step {
            Step::Connect { timeout } => {
                let client = self.connect(&new_session(*timeout));
                self.clients.extend(client);
            }
            Step::Resume { session, right, zxid } => {
                // Of any that there has been.
                let client = session.checked_rem(self.clients.len()).map(|at| self.clients[at]);
                if let Some(client) = client {
                    let passwd = if *right { client.passwd } else { Passwd([1; 16]) };
                    let request = ConnectRequest {
                        session_id: client.id,
                        passwd: Some(&passwd.0),
                        last_zxid_seen: Zxid(*zxid),
                        ..new_session(client.timeout)
                    };
                    let client = self.connect(&request);
                    self.clients.extend(client);
                }
            }
            Step::Close { session } => {
                if let Some(at) = self.pick(*session) {
                    self.say(at, &request_bytes(xid, &Request::CloseSession));
                }
            }
            Step::Lose { session } => {
                if let Some(at) = self.pick(*session) {
                    self.lose(at);
                }
            }
            Step::Pass { millis } => {
                let end = self.now + millis;
                let next = |twins: &Self| {
                    let both = [twins.ours.poll_timeout(), twins.theirs.poll_timeout()];
                    both.into_iter().flatten().min().filter(|at| at.as_millis() <= end)
                };
                while let Some(at) = next(self) {
                    self.now = self.now.max(at.as_millis());
                    self.ours.handle_timeout(self.at());
                    self.theirs.handle_timeout(self.at());
                }
                self.now = end;
            }
            Step::Ask { session, ask } => {
                let Some(at) = self.pick(*session) else { return };
                if self.small {
                    return self.ask_what_fits(at, ask, xid);
                }
                self.say(at, &ask.bytes(xid));
            }
        }
    }

    /// One of the clients that are connected.
    fn pick(&self, session: usize) -> Option<usize> {
        let up: Vec<_> = (0..self.clients.len()).filter(|at| self.clients[*at].up).collect();
        up.get(session.checked_rem(up.len())?).copied()
    }

    fn say(&mut self, at: usize, bytes: &[u8]) {
        let (now, client) = (self.at(), self.clients[at]);
        if client.up {
            self.ours.handle_bytes(now, client.ours, bytes);
            self.theirs.handle_bytes(now, client.theirs, bytes);
        }
    }

    /// Asks the one with little memory first. What it has no room for, the other one is not asked;
    /// from then on they must be alike all the same.
    fn ask_what_fits(&mut self, at: usize, ask: &Ask, xid: i32) {
        let (now, client) = (self.at(), self.clients[at]);
        // What could be done in part cannot be undone on the other side.
        if !client.up || matches!(ask, Ask::Rewatch { .. }) {
            return;
        }
        let bytes = ask.bytes(xid);
        self.ours.handle_bytes(now, client.ours, &bytes);
        let full = self.ours.poll_transmit(client.ours).get(4..).is_some_and(|frame| {
            let header = ReplyHeader::read(&mut Reader::new(frame)).unwrap();
            header.err == ErrorCode::SystemError.to_wire()
        });
        if !full {
            self.theirs.handle_bytes(now, client.theirs, &bytes);
            return;
        }
        let armed = matches!(ask, Ask::Read { .. } | Ask::Watches { op: 0, .. } | Ask::Other(4));
        assert!(ask.is_write() || armed, "{ask:?} needs no memory");
        // As much of a transaction, and of a sign of life.
        let instead = match ask.is_write() {
            true => Request::delete("/none", -1),
            false => Request::Ping,
        };
        self.theirs.handle_bytes(now, client.theirs, &request_bytes(xid, &instead));
        let (ours, theirs) = self.drain(&client);
        assert_eq!(ours.len(), theirs.len(), "one error, no event");
    }
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::weighted(0.9, proptest::collection::vec(any::<u8>(), 0..40))
}

fn places() -> impl Strategy<Value = usize> {
    // Mostly znodes that there can be; at the end, null.
    prop_oneof![12 => 0..6_usize, 2 => 6..9_usize, 1 => 0..=PATHS.len()]
}

fn version() -> impl Strategy<Value = i32> {
    prop_oneof![3 => Just(-1), 1 => -2..4_i32]
}

fn asks() -> impl Strategy<Value = Ask> {
    let flags = prop_oneof![6 => 0..4_i32, 1 => -1..8_i32];
    let op = prop_oneof![8 => 0..2_u8, 1 => Just(2)];
    let lists = [(); 5].map(|()| proptest::collection::vec(places(), 0..3));
    let raw = proptest::sample::select(vec![1, 2, 3, 4, 5, 8, 9, 14, 15, 16, 20, 99, 101, 105]);
    // A multi that can be decoded is not theirs alike, but four bytes are none.
    let raw = (raw, proptest::collection::vec(any::<u8>(), 0..4));
    prop_oneof![
        12 => (op, places(), data(), flags, proptest::bool::weighted(0.95)).prop_map(
            |(op, path, data, flags, open)| Ask::Create { op, path, data, flags, open }),
        8 => (places(), version()).prop_map(|(path, version)| Ask::Delete { path, version }),
        6 => (places(), data(), version()).prop_map(
            |(path, data, version)| Ask::Set { path, data, version }),
        1 => (places(), proptest::bool::weighted(0.8), version()).prop_map(
            |(path, open, version)| Ask::SetAcl { path, open, version }),
        12 => (0..8_u8, places(), any::<bool>()).prop_map(
            |(op, path, watch)| Ask::Read { op, path, watch }),
        5 => (0..3_u8, places(), 0..7_i32).prop_map(
            |(op, path, kind)| Ask::Watches { op, path, kind }),
        2 => (-1..30_i64, lists, 0..40_u8).prop_map(
            |(zxid, paths, null)| Ask::Rewatch { zxid, paths, null }),
        2 => (0..6_u8).prop_map(Ask::Other),
        1 => raw.prop_map(|(op, body)| Ask::Raw { op, body }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = || 0..8_usize;
    let resume =
        (session(), proptest::bool::weighted(0.8), prop_oneof![9 => Just(0), 1 => 0..99_i64]);
    let step = prop_oneof![
        2 => (0..30_000_i32).prop_map(|timeout| Step::Connect { timeout }),
        2 => resume.prop_map(|(session, right, zxid)| Step::Resume { session, right, zxid }),
        40 => (session(), asks()).prop_map(|(session, ask)| Step::Ask { session, ask }),
        1 => session().prop_map(|session| Step::Close { session }),
        1 => session().prop_map(|session| Step::Lose { session }),
        2 => (0..9000_u64).prop_map(|millis| Step::Pass { millis }),
    ];
    let connected = [20_000, 30_000].map(|timeout| Step::Connect { timeout });
    proptest::collection::vec(step, 1..100).prop_map(move |steps| [&connected[..], &steps].concat())
}

fn play(size: Size, small: bool, steps: &[Step]) {
    let mut twins = Twins::new(size, small);
    for (xid, step) in (1..).zip(steps) {
        twins.step(step, xid);
        twins.compare(&format!("{xid}: {step:?}"));
    }
    // When all have gone, so has all that goes with them.
    for at in 0..twins.clients.len() {
        twins.lose(at);
    }
    twins.step(&Step::Pass { millis: 100_000 }, 0);
    twins.compare("the end");
    assert_eq!((twins.ours.session_count(), twins.ours.watch_count()), (0, 0));
    assert_eq!(twins.ours.poll_timeout(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_the_engine_does(steps in steps()) {
        play(AMPLE, false, &steps);
    }

    #[test]
    fn what_does_not_fit_changes_nothing(steps in steps()) {
        let size = Size { nodes: 9, watches: 5, bytes: 200, ..AMPLE };
        play(size, true, &steps);
    }
}

#[test]
fn every_opcode_is_answered() {
    // By the engine, too, so that this list tells when there is a new one.
    let mut twins = Twins::new(AMPLE, false);
    for code in -20..120 {
        let Some(op) = OpCode::from_wire(code) else { continue };
        twins.step(&Step::Connect { timeout: 5000 }, 1);
        let at = twins.clients.len() - 1;
        twins.say(at, &framed(|w| RequestHeader { xid: Xid(9), op: op.to_wire() }.write(w)));
        let (ours, theirs) = twins.drain(&twins.clients[at].clone());
        // Sasl and auth without a body end the connection.
        assert_eq!(ours.is_empty(), theirs.is_empty(), "{op:?}");
        assert_eq!(ours.get(4..8), theirs.get(4..8), "{op:?}");
    }
}
