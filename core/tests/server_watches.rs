//! Watches: who is told what, when, and in which order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{Got, Session, World};
use zk_session::ErrorCode;
use zk_session::server::ServerId;
use zk_session::wire::{
    Acl, AddWatchMode, Create, CreateMode, EventType, List, Multi, MultiOp, Request, SetWatches,
    Ustring, WatcherType, Zxid,
};

use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

fn create(path: &str) -> Request<'_> {
    Request::create(path, b"", CreateMode::Persistent)
}

fn told(events: &[(EventType, &str)]) -> Vec<(EventType, String)> {
    events.iter().map(|(kind, path)| (*kind, (*path).into())).collect()
}

fn pair() -> (World, ServerId, Session, Session) {
    let (mut world, server) = World::standalone();
    let (writer, watcher) = (world.session(server, 40_000), world.session(server, 40_000));
    (world, server, writer, watcher)
}

#[test]
fn one_shot_watches_fire_once() {
    let (mut world, _, writer, watcher) = pair();
    assert_eq!(
        world.call(&watcher, &Request::exists("/a", true)),
        Err(ErrorCode::NoNode),
        "armed all the same"
    );
    assert_eq!(world.call(&watcher, &Request::get_data("/b", true)), Err(ErrorCode::NoNode));
    world.call(&writer, &create("/a")).unwrap();
    world.call(&writer, &create("/b")).unwrap();
    assert_eq!(world.events(&watcher), told(&[(NodeCreated, "/a")]));
    for _ in 0..3 {
        world.call(&watcher, &Request::get_data("/a", true)).unwrap();
    }
    world.call(&writer, &Request::set_data("/a", b"1", -1)).unwrap();
    world.call(&writer, &Request::set_data("/a", b"2", -1)).unwrap();
    assert_eq!(world.events(&watcher), told(&[(NodeDataChanged, "/a")]));
    world.call(&watcher, &Request::get_children("/a", true)).unwrap();
    world.call(&writer, &create("/a/c")).unwrap();
    world.call(&writer, &Request::delete("/a/c", -1)).unwrap();
    assert_eq!(world.events(&watcher), told(&[(NodeChildrenChanged, "/a")]));
    let acl = List::from_slice(Acl::OPEN);
    world.call(&watcher, &Request::get_data("/a", true)).unwrap();
    world.call(&writer, &Request::SetAcl { path: "/a".into(), acl, version: -1 }).unwrap();
    assert_eq!(world.events(&watcher), told(&[]));
}

#[test]
fn a_deletion_is_told_once_and_then_to_the_parents_watchers() {
    let (mut world, _, writer, watcher) = pair();
    world.call(&writer, &create("/p")).unwrap();
    world.call(&writer, &create("/p/n")).unwrap();
    world.call(&watcher, &Request::get_children("/p", true)).unwrap();
    world.call(&watcher, &Request::get_children("/p/n", true)).unwrap();
    world.call(&watcher, &Request::get_data("/p/n", true)).unwrap();
    world.call(&writer, &Request::delete("/p/n", -1)).unwrap();
    let events = told(&[(NodeDeleted, "/p/n"), (NodeChildrenChanged, "/p")]);
    assert_eq!(world.events(&watcher), events);
}

#[test]
fn own_events_come_before_the_reply_and_others_before_they_can_read() {
    let (mut world, _, writer, watcher) = pair();
    world.call(&writer, &create("/a")).unwrap();
    for session in [&writer, &watcher] {
        world.call(session, &Request::get_data("/a", true)).unwrap();
    }
    world.request(&writer, 5, &Request::set_data("/a", b"1", -1));
    world.request(&watcher, 6, &Request::get_data("/a", false));
    for (session, xid) in [(&writer, 5), (&watcher, 6)] {
        assert_eq!(world.got(session), Some(Got::Event(NodeDataChanged, "/a".into())));
        assert!(matches!(world.got(session), Some(Got::Reply { xid: x, .. }) if x == xid));
    }
}

#[test]
fn own_ephemerals_are_told_before_the_session_is_closed() {
    let (mut world, _, writer, watcher) = pair();
    world.created(&writer, &Request::create("/e", b"", CreateMode::Ephemeral));
    for session in [&writer, &watcher] {
        world.call(session, &Request::exists("/e", true)).unwrap();
    }
    world.request(&writer, 5, &Request::CloseSession);
    assert_eq!(world.got(&writer), Some(Got::Event(NodeDeleted, "/e".into())));
    assert!(matches!(world.got(&writer), Some(Got::Reply { xid: 5, err: 0, .. })));
    assert_eq!(world.events(&watcher), told(&[(NodeDeleted, "/e")]));
}

#[test]
fn a_multi_tells_in_the_order_of_its_items_and_a_failed_one_tells_nothing() {
    let (mut world, _, writer, watcher) = pair();
    let recursive = Request::add_watch("/", AddWatchMode::PersistentRecursive);
    world.call(&watcher, &recursive).unwrap();
    let acl = List::from_slice(Acl::OPEN);
    let new = |path: &'static str| {
        MultiOp::Create(Create { path: path.into(), data: None, acl, flags: 0 })
    };
    let items = [
        new("/m"),
        new("/m/n"),
        MultiOp::SetData { path: "/m".into(), data: None, version: 0 },
        MultiOp::Delete { path: "/m/n".into(), version: 0 },
        MultiOp::Check { path: "/none".into(), version: 0 },
    ];
    world.call(&writer, &Request::Multi(Multi::from_slice(&items))).unwrap();
    assert_eq!(world.events(&watcher), told(&[]));
    world.call(&writer, &Request::Multi(Multi::from_slice(&items[..4]))).unwrap();
    let events = told(&[
        (NodeCreated, "/m"),
        (NodeCreated, "/m/n"),
        (NodeDataChanged, "/m"),
        (NodeDeleted, "/m/n"),
    ]);
    assert_eq!(world.events(&watcher), events);
}

#[test]
fn persistent_watches_stay_until_they_are_removed() {
    let (mut world, _, writer, watcher) = pair();
    world.call(&watcher, &Request::add_watch("/p", AddWatchMode::Persistent)).unwrap();
    world.call(&watcher, &Request::exists("/p", true)).unwrap_err();
    for _ in 0..2 {
        world.call(&writer, &create("/p")).unwrap();
        world.call(&writer, &create("/p/c")).unwrap();
        world.call(&writer, &Request::delete("/p/c", -1)).unwrap();
        world.call(&writer, &Request::delete("/p", -1)).unwrap();
    }
    let once = [
        (NodeCreated, "/p"),
        (NodeChildrenChanged, "/p"),
        (NodeChildrenChanged, "/p"),
        (NodeDeleted, "/p"),
    ];
    assert_eq!(world.events(&watcher), told(&[once, once].concat()));
    let check =
        |kind: WatcherType| Request::CheckWatches { path: "/p".into(), kind: kind.to_wire() };
    let remove = |kind| Request::remove_watches("/p", kind);
    world.call(&watcher, &check(WatcherType::Persistent)).unwrap();
    world.call(&watcher, &check(WatcherType::Any)).unwrap();
    for request in [
        check(WatcherType::Data),
        remove(WatcherType::Data),
        remove(WatcherType::Children),
        remove(WatcherType::PersistentRecursive),
    ] {
        assert_eq!(world.call(&watcher, &request), Err(ErrorCode::NoWatcher), "{request:?}");
    }
    assert_eq!(
        world.call(&writer, &remove(WatcherType::Any)),
        Err(ErrorCode::NoWatcher),
        "only its own"
    );
    world.call(&watcher, &remove(WatcherType::Persistent)).unwrap();
    world.call(&writer, &create("/p")).unwrap();
    assert_eq!(world.events(&watcher), told(&[]));
}

#[test]
fn watches_go_with_their_connection_and_come_back_with_set_watches() {
    let (mut world, server, writer, watcher) = pair();
    for path in ["/same", "/changed", "/gone", "/grown"] {
        world.call(&writer, &create(path)).unwrap();
        world.call(&watcher, &Request::get_data(path, true)).unwrap();
    }
    let seen = world.engine.last_zxid();
    world.lose(&watcher);
    world.call(&writer, &Request::set_data("/changed", b"", -1)).unwrap();
    world.call(&writer, &Request::delete("/gone", -1)).unwrap();
    world.call(&writer, &create("/grown/child")).unwrap();
    world.call(&writer, &create("/new")).unwrap();
    let watcher = world.resume(server, &watcher);
    assert_eq!(world.events(&watcher), told(&[]));
    let paths = |list: &'static [&'static str]| -> Vec<Ustring<'static>> {
        list.iter().map(|path| (*path).into()).collect()
    };
    let (data, exist, child) = (
        paths(&["/same", "/changed", "/gone"]),
        paths(&["/new", "/never"]),
        paths(&["/grown", "/same", "/gone"]),
    );
    let (persistent, recursive) = (paths(&["/changed"]), paths(&["/grown"]));
    let again = SetWatches {
        relative_zxid: seen,
        data: List::from_slice(&data),
        exist: List::from_slice(&exist),
        child: List::from_slice(&child),
        persistent: List::from_slice(&persistent),
        persistent_recursive: List::from_slice(&recursive),
    };
    world.request(&watcher, -8, &Request::SetWatches2(again));
    for (kind, path) in [
        (NodeDataChanged, "/changed"),
        (NodeDeleted, "/gone"),
        (NodeCreated, "/new"),
        (NodeChildrenChanged, "/grown"),
        (NodeDeleted, "/gone"),
    ] {
        assert_eq!(world.got(&watcher), Some(Got::Event(kind, path.into())));
    }
    assert!(matches!(world.got(&watcher), Some(Got::Reply { xid: -8, err: 0, .. })));
    world.call(&writer, &create("/never")).unwrap();
    world.call(&writer, &create("/same/c")).unwrap();
    world.call(&writer, &Request::set_data("/same", b"", -1)).unwrap();
    world.call(&writer, &Request::set_data("/changed", b"", -1)).unwrap();
    world.call(&writer, &Request::set_data("/grown/child", b"", -1)).unwrap();
    let events = told(&[
        (NodeCreated, "/never"),
        (NodeChildrenChanged, "/same"),
        (NodeDataChanged, "/same"),
        (NodeDataChanged, "/changed"),
        (NodeDataChanged, "/grown/child"),
    ]);
    assert_eq!(world.events(&watcher), events);
    let null = SetWatches { data: List::NULL, relative_zxid: Zxid(0), ..again };
    let refused = world.call(&watcher, &Request::SetWatches(null));
    assert_eq!(refused, Err(ErrorCode::MarshallingError));
}

#[test]
fn who_may_not_read_is_not_told() {
    let (mut world, _, writer, watcher) = pair();
    world.request(&writer, -4, &Request::add_auth("digest", b"a:b"));
    world.got(&writer);
    let recursive = Request::add_watch("/", AddWatchMode::PersistentRecursive);
    world.call(&watcher, &recursive).unwrap();
    world.call(&watcher, &Request::exists("/own", true)).unwrap_err();
    let acl = List::from_slice(Acl::CREATOR_ALL);
    let own = Create { path: "/own".into(), data: None, acl, flags: 0 };
    world.call(&writer, &Request::Create(own)).unwrap();
    world.call(&writer, &create("/own/open")).unwrap();
    world.call(&writer, &Request::set_data("/own", b"", -1)).unwrap();
    assert_eq!(world.events(&watcher), told(&[(NodeCreated, "/own/open")]));
}
