//! Watches of different kinds over each other, on a real engine: what is told is told once, and for
//! the watches that the Java client would call.
#![cfg(all(feature = "server", feature = "alloc"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod server_common;
mod support;

use std::collections::BTreeSet;

use server_common::{Session, World};
use support::{Rng, ms};
use zk_session::client::{ClientConfig, ClientSession, Event, Link, WatchKind, ancestors};
use zk_session::server::{ConnectionId, EngineConfig, ServerId};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{AddWatchMode, CreateMode, EventType, Request, WatcherType, Xid};
use zk_session::{Instant, Machine, OpError};

use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

/// A session on an engine, and another client of the engine that changes things.
struct Pair {
    world: World,
    server: ServerId,
    writer: Session,
    session: ClientSession<'static>,
    conn: Option<ConnectionId>,
    told: Vec<(EventType, String)>,
    answers: Vec<(Xid, Result<(), OpError>)>,
}

impl Pair {
    fn new(connect_string: &'static str) -> Self {
        let mut world = World::new(EngineConfig::default());
        let server = world.engine.add_server();
        let writer = world.session(server, 40_000);
        let config = ClientConfig::new(connect_string, 3).timeout(ms(40_000));
        let storage = Storage::owned(Limits::default());
        let session = ClientSession::new(config, storage, Instant::ORIGIN).unwrap();
        let (told, answers) = (Vec::new(), Vec::new());
        let mut pair = Self { world, server, writer, session, conn: None, told, answers };
        pair.connect();
        pair
    }

    fn connect(&mut self) {
        while self.session.poll_link() != Link::Up {
            self.world.now = self.session.poll_timeout().unwrap().as_millis().max(self.world.now);
            self.session.handle_timeout(self.world.at());
            if let Link::Dial(_) = self.session.poll_link() {
                self.conn = Some(self.world.open(self.server));
                self.session.handle_connected(self.world.at());
            }
        }
        self.settle();
        assert!(self.session.can_submit());
    }

    /// The connection breaks; what was on its way is lost.
    fn lose(&mut self) {
        let conn = self.conn.take().unwrap();
        self.world.engine.handle_disconnected(self.world.at(), conn);
        self.session.handle_disconnected(self.world.at());
        self.settle();
    }

    /// Carries bytes until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Notification { kind, path } => self.told.push((kind, path.to_owned())),
                    Event::Reply { xid, result, .. } => {
                        self.answers.push((xid, result.map(|_| ())));
                    }
                    _ => {}
                }
            }
            let Some(conn) = self.conn else { return };
            let out = self.session.poll_transmit().to_vec();
            self.session.handle_transmitted(self.world.at(), out.len());
            self.world.send(conn, &out);
            let back = self.world.drain(conn);
            let mut rest = back.as_slice();
            while !rest.is_empty() {
                let n = self.session.handle_bytes(self.world.at(), rest);
                rest = &rest[n..];
                if n == 0 {
                    break;
                }
            }
            if out.is_empty() && back.is_empty() {
                return;
            }
        }
    }

    fn call(&mut self, request: &Request<'_>) -> Result<(), OpError> {
        let xid = self.session.submit(request).unwrap();
        self.settle();
        let (answered, result) = self.answers.pop().unwrap();
        assert_eq!(answered, xid);
        result
    }

    fn watch(&mut self, kind: WatchKind, path: &str) -> Result<(), OpError> {
        self.call(&match kind {
            WatchKind::Data => Request::get_data(path, true),
            WatchKind::Exist => Request::exists(path, true),
            WatchKind::Child => Request::get_children(path, true),
            WatchKind::Persistent => Request::add_watch(path, AddWatchMode::Persistent),
            WatchKind::Recursive => Request::add_watch(path, AddWatchMode::PersistentRecursive),
        })
    }

    /// Something changes; what is the session told?
    fn change(&mut self, request: &Request<'_>) -> Vec<(EventType, String)> {
        self.told.clear();
        self.world.call(&self.writer, request).unwrap();
        self.settle();
        std::mem::take(&mut self.told)
    }
}

fn create(path: &str) -> Request<'_> {
    Request::create(path, b"", CreateMode::Persistent)
}

fn events(of: &[(EventType, &str)]) -> Vec<(EventType, String)> {
    of.iter().map(|(kind, path)| (*kind, (*path).to_owned())).collect()
}

/// Who is told of these, by the rule for adapters.
fn routed<'w>(
    told: &[(EventType, String)],
    watches: &'w [(WatchKind, &'w str)],
) -> Vec<(WatchKind, EventType)> {
    let mut called = Vec::new();
    for (event, path) in told {
        let for_it = watches.iter().filter(|(kind, at)| kind.is_told(at, *event, path));
        called.extend(for_it.map(|(kind, _)| (*kind, *event)));
    }
    called
}

#[test]
fn j9_a_child_watch_and_a_recursive_one_on_one_path_get_one_event_each_of_their_own_type() {
    let mut pair = Pair::new("h1");
    pair.change(&create("/a"));
    let watches = [(WatchKind::Child, "/a"), (WatchKind::Recursive, "/a")];
    for (kind, path) in watches {
        pair.watch(kind, path).unwrap();
    }
    let told = pair.change(&create("/a/b"));
    assert_eq!(told, events(&[(NodeCreated, "/a/b"), (NodeChildrenChanged, "/a")]));
    assert_eq!(
        routed(&told, &watches),
        [(WatchKind::Recursive, NodeCreated), (WatchKind::Child, NodeChildrenChanged)]
    );
    assert_eq!(pair.session.watches(), 1, "the child watch is used up");
    // After a reconnect nothing is repeated, and the recursive watch goes on.
    pair.lose();
    pair.told.clear();
    pair.connect();
    assert_eq!(pair.told, []);
    assert_eq!(pair.change(&create("/a/c")), events(&[(NodeCreated, "/a/c")]));
}

#[test]
fn j9_all_five_kinds_on_one_path_are_told_as_in_java() {
    let mut pair = Pair::new("h1");
    pair.change(&create("/a"));
    let arm = |pair: &mut Pair| {
        for kind in [WatchKind::Data, WatchKind::Child, WatchKind::Persistent, WatchKind::Recursive]
        {
            pair.watch(kind, "/a").unwrap();
        }
    };
    arm(&mut pair);
    let all = WatchKind::ALL.map(|kind| (kind, "/a"));
    let told = pair.change(&Request::set_data("/a", b"1", -1));
    assert_eq!(told, events(&[(NodeDataChanged, "/a")]));
    assert_eq!(pair.session.watches(), 3, "the data watch is used up");
    let called: BTreeSet<_> = routed(&told, &all).iter().map(|(kind, _)| *kind as u8).collect();
    assert_eq!(called.len(), 4, "all but the child watch");
    arm(&mut pair);
    assert_eq!(pair.change(&Request::delete("/a", -1)), events(&[(NodeDeleted, "/a")]));
    assert_eq!(pair.session.watches(), 2, "the persistent ones stay");
    assert_eq!(pair.change(&create("/a")), events(&[(NodeCreated, "/a")]));
}

#[test]
fn r1_changes_missed_while_away_are_caught_up_for_one_shot_watches_alone() {
    let mut pair = Pair::new("h1/app");
    for path in ["/app", "/app/data", "/app/child", "/app/p", "/app/r"] {
        pair.change(&create(path));
    }
    for (kind, path) in [
        (WatchKind::Data, "/data"),
        (WatchKind::Child, "/child"),
        (WatchKind::Persistent, "/p"),
        (WatchKind::Recursive, "/r"),
    ] {
        pair.watch(kind, path).unwrap();
    }
    pair.watch(WatchKind::Exist, "/exist").unwrap_err();
    pair.lose();
    for path in ["/app/exist", "/app/child/c", "/app/r/c"] {
        pair.change(&create(path));
    }
    pair.change(&Request::set_data("/app/data", b"1", -1));
    pair.change(&Request::set_data("/app/p", b"1", -1));
    pair.connect();
    let told: BTreeSet<_> = pair.told.iter().map(|(kind, path)| (kind.to_wire(), path)).collect();
    let expected = events(&[
        (NodeCreated, "/exist"),
        (NodeDataChanged, "/data"),
        (NodeChildrenChanged, "/child"),
    ]);
    assert_eq!(told, expected.iter().map(|(kind, path)| (kind.to_wire(), path)).collect());
    assert_eq!(pair.told.len(), 3);
    assert_eq!(pair.session.watches(), 2);
    assert_eq!(pair.change(&create("/app/p/c")), events(&[(NodeChildrenChanged, "/p")]));
    assert_eq!(pair.change(&create("/app/r/d")), events(&[(NodeCreated, "/r/d")]));
}

/// The events of one change, as the servers make them: the znode's own, then the parent's.
fn changes(request: &Request<'_>, path: &str) -> Vec<(EventType, String)> {
    let parent = ancestors(path).next().unwrap_or("/");
    match request {
        Request::Create(_) => events(&[(NodeCreated, path), (NodeChildrenChanged, parent)]),
        Request::Delete { .. } => events(&[(NodeDeleted, path), (NodeChildrenChanged, parent)]),
        _ => events(&[(NodeDataChanged, path)]),
    }
}

/// §9.6 of the protocol, watch by watch.
fn is_called((kind, at): &(WatchKind, &str), event: EventType, path: &str) -> bool {
    let above = path == *at || *at == "/" || path.starts_with(&format!("{at}/"));
    match (event, kind) {
        (NodeCreated | NodeDataChanged, WatchKind::Data | WatchKind::Exist) => path == *at,
        (NodeChildrenChanged, WatchKind::Child | WatchKind::Persistent) => path == *at,
        (NodeDeleted, WatchKind::Recursive) => above,
        (NodeCreated | NodeDataChanged, WatchKind::Recursive) => above,
        (NodeCreated | NodeDataChanged, WatchKind::Persistent) => path == *at,
        (NodeDeleted, _) => path == *at,
        _ => false,
    }
}

/// Everything at random against a model: watches of all kinds armed, removed and used up, changes
/// seen, and connections lost in between.
#[test]
fn j9_r1_what_is_told_and_what_stays_armed_is_as_a_model_has_it() {
    const PATHS: [&str; 7] = ["/", "/a", "/b", "/a/c", "/a/d", "/a/c/e", "/ab"];
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut pair = Pair::new("h1");
        let mut nodes = BTreeSet::from(["/"]);
        let mut watches: Vec<(WatchKind, &str)> = Vec::new();
        for _ in 0..150 {
            let path = *rng.pick(&PATHS);
            match rng.below(10) {
                0..=2 => {
                    let kind = *rng.pick(&WatchKind::ALL);
                    let there = nodes.contains(path);
                    let armed = match kind {
                        WatchKind::Exist if there => Some(WatchKind::Data),
                        WatchKind::Data | WatchKind::Child if !there => None,
                        kind => Some(kind),
                    };
                    let answer = pair.watch(kind, path);
                    assert_eq!(answer.is_ok(), there || armed.is_some_and(|k| k as u8 > 2));
                    if let Some(watch) = armed.map(|kind| (kind, path)) {
                        if !watches.contains(&watch) {
                            watches.push(watch);
                        }
                    }
                }
                3 => {
                    let by = *rng.pick(&[
                        WatcherType::Children,
                        WatcherType::Data,
                        WatcherType::Any,
                        WatcherType::Persistent,
                        WatcherType::PersistentRecursive,
                    ]);
                    let goes =
                        |(kind, at): &(WatchKind, &str)| *at == path && kind.is_removed_by(by);
                    let any = watches.iter().any(goes);
                    let answer = pair.call(&Request::remove_watches(path, by));
                    assert_eq!(answer.is_ok(), any, "{by:?} at {path}: {watches:?}");
                    assert!(pair.call(&Request::check_watches(path, by)).is_err());
                    watches.retain(|watch| !goes(watch));
                }
                4 => {
                    pair.lose();
                    pair.told.clear();
                    pair.connect();
                    assert_eq!(pair.told, [], "nothing was missed");
                }
                _ if path == "/" => {}
                _ => {
                    let parent = ancestors(path).next().unwrap();
                    let is_parent = nodes.iter().any(|node| {
                        node.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
                    });
                    let request = match (nodes.contains(path), rng.one_in(2)) {
                        (true, true) => Request::set_data(path, b"x", -1),
                        (true, false) if is_parent => continue,
                        (true, false) => Request::delete(path, -1),
                        (false, _) if !nodes.contains(parent) => continue,
                        (false, _) => create(path),
                    };
                    match request {
                        Request::Create(_) => nodes.insert(path),
                        Request::Delete { .. } => nodes.remove(path),
                        _ => true,
                    };
                    let mut expected = changes(&request, path);
                    expected.retain(|(event, path)| {
                        watches.iter().any(|watch| is_called(watch, *event, path))
                    });
                    let told = pair.change(&request);
                    assert_eq!(told, expected, "seed {seed}, {request:?}: {watches:?}");
                    for (event, path) in &told {
                        for watch in &watches {
                            let told = watch.0.is_told(watch.1, *event, path);
                            assert_eq!(told, is_called(watch, *event, path), "{watch:?} {event:?}");
                        }
                        watches.retain(|(kind, at)| at != path || !kind.ends_with(*event));
                    }
                }
            }
            assert_eq!(pair.session.watches(), watches.len(), "seed {seed}: {watches:?}");
        }
    }
}
