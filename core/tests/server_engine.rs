//! The engine's operations: results, error codes, Stat values, names, ACLs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{Got, World};
use zk_session::ErrorCode;
use zk_session::server::{CloseReason, EngineConfig, Release, ServerLink};
use zk_session::wire::{
    Acl, Create, CreateMode, CreateTtl, EventType, List, Multi, MultiOp, MultiResult, OpCode,
    Perms, Reader, Reply, Request, RequestHeader, Xid, Zxid,
};

use CreateMode::{Ephemeral, EphemeralSequential, Persistent, PersistentSequential};

fn create(path: &str, mode: CreateMode) -> Request<'_> {
    Request::create(path, b"", mode)
}

fn create_with<'a>(path: &'a str, acl: &'a [Acl<'a>]) -> Request<'a> {
    let acl = List::from_slice(acl);
    Request::Create(Create { path: path.into(), data: Some(b""), acl, flags: 0 })
}

#[test]
fn an_empty_server_has_zookeepers_own_znodes() {
    let (mut world, server) = World::standalone();
    assert_eq!(world.engine.node_count(), 4);
    let session = world.session(server, 10_000);
    for (path, cversion, aversion, children) in [
        ("/", -1, 0, 1),
        ("/zookeeper", -2, 0, 2),
        ("/zookeeper/quota", 0, 0, 0),
        ("/zookeeper/config", 0, -1, 0),
    ] {
        let stat = world.stat(&session, path).unwrap();
        assert_eq!(
            (stat.cversion, stat.aversion, stat.num_children),
            (cversion, aversion, children),
            "{path}"
        );
        assert_eq!((stat.czxid, stat.ctime, stat.pzxid), (Zxid(0), 0, Zxid(0)));
    }
    let set = Request::set_data("/zookeeper/config", b"", -1);
    assert_eq!(world.call(&session, &set), Err(ErrorCode::NoAuth));
}

#[test]
fn creates_fail_as_zookeepers_do() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    assert_eq!(world.created(&session, &create("/a", Persistent)), "/a");
    assert_eq!(world.created(&session, &create("/e", Ephemeral)), "/e");
    for (path, flags, error) in [
        ("/a", 0, ErrorCode::NodeExists),
        ("/", 0, ErrorCode::NodeExists),
        ("/x/y", 0, ErrorCode::NoNode),
        ("/x/../y", 0, ErrorCode::NoNode),
        ("x", 0, ErrorCode::BadArguments),
        ("", 0, ErrorCode::BadArguments),
        ("/a/", 0, ErrorCode::BadArguments),
        ("/a/.", 0, ErrorCode::BadArguments),
        ("/a\0", 0, ErrorCode::BadArguments),
        ("/\u{e000}", 0, ErrorCode::BadArguments),
        ("/\u{1f600}", 0, ErrorCode::BadArguments),
        ("/b", 7, ErrorCode::BadArguments),
        ("/b", -1, ErrorCode::BadArguments),
        ("/b", 5, ErrorCode::Unimplemented),
        ("/e/c", 0, ErrorCode::NoChildrenForEphemerals),
    ] {
        let acl = List::from_slice(Acl::OPEN);
        let request = Request::Create(Create { path: path.into(), data: None, acl, flags });
        let before = world.engine.last_zxid();
        assert_eq!(world.call(&session, &request), Err(error), "{path:?} {flags}");
        assert_eq!(world.engine.last_zxid(), Zxid(before.0 + 1), "a failed write is a transaction");
    }
    let none = create_with("/b", &[]);
    assert_eq!(world.call(&session, &none), Err(ErrorCode::InvalidAcl));
    assert_eq!(world.stat(&session, "/b"), Err(ErrorCode::NoNode));
}

#[test]
fn stats_count_as_zookeepers_do() {
    let mut config = EngineConfig::default();
    config.unix_time_at_origin = 1_000_000;
    let mut world = World::new(config);
    let server = world.engine.add_server();
    let session = world.session(server, 10_000); // zxid 1
    world.pass(100);
    world.created(&session, &Request::create("/a", b"abc", Persistent)); // 2
    world.pass(100);
    world.created(&session, &create("/a/b", Ephemeral)); // 3
    world.created(&session, &create("/a/c", Persistent)); // 4
    world.call(&session, &Request::delete("/a/c", 0)).unwrap(); // 5
    world.call(&session, &Request::set_data("/a", b"12345", 0)).unwrap(); // 6
    let acl = List::from_slice(Acl::OPEN);
    let set_acl = Request::SetAcl { path: "/a".into(), acl, version: 0 };
    world.call(&session, &set_acl).unwrap(); // 7
    let stat = world.stat(&session, "/a").unwrap();
    assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (Zxid(2), Zxid(6), Zxid(5)));
    assert_eq!((stat.ctime, stat.mtime), (1_000_100, 1_000_200));
    assert_eq!((stat.version, stat.cversion, stat.aversion), (1, 3, 1));
    assert_eq!((stat.data_length, stat.num_children, stat.ephemeral_owner), (5, 1, 0));
    assert_eq!(world.stat(&session, "/a/b").unwrap().ephemeral_owner, session.id.0);
    for (request, error) in [
        (Request::set_data("/a", b"", 0), ErrorCode::BadVersion),
        (Request::set_data("/x", b"", 0), ErrorCode::NoNode),
        (Request::set_data("/a/", b"", 0), ErrorCode::BadArguments),
        (Request::delete("/a", 0), ErrorCode::BadVersion),
        (Request::delete("/a", 1), ErrorCode::NotEmpty),
        (Request::delete("/x", -1), ErrorCode::NoNode),
        (Request::delete("/", -1), ErrorCode::BadArguments),
        (Request::delete("/zookeeper/quota", -1), ErrorCode::BadArguments),
        (set_acl, ErrorCode::BadVersion),
    ] {
        assert_eq!(world.call(&session, &request), Err(error), "{request:?}");
    }
}

#[test]
fn sequential_names_count_the_creations_of_their_parent() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    world.created(&session, &create("/s", Persistent));
    assert_eq!(world.created(&session, &create("/s/n-", PersistentSequential)), "/s/n-0000000000");
    assert_eq!(world.created(&session, &create("/s/plain", Persistent)), "/s/plain");
    assert_eq!(world.created(&session, &create("/s/", EphemeralSequential)), "/s/0000000002");
    world.call(&session, &Request::delete("/s/plain", -1)).unwrap();
    assert_eq!(world.created(&session, &create("/s/n-", EphemeralSequential)), "/s/n-0000000003");
    let failing = [
        MultiOp::Create(sequential("/s/m-")),
        MultiOp::Check { path: "/none".into(), version: -1 },
    ];
    world.call(&session, &Request::Multi(Multi::from_slice(&failing))).unwrap();
    assert_eq!(world.created(&session, &create("/s/n-", PersistentSequential)), "/s/n-0000000004");
}

fn sequential(path: &str) -> Create<'_> {
    let acl = List::from_slice(Acl::OPEN);
    Create { path: path.into(), data: None, acl, flags: PersistentSequential.to_flags() }
}

#[test]
fn null_data_is_not_empty_data() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    let acl = List::from_slice(Acl::OPEN);
    let null = Create { path: "/null".into(), data: None, acl, flags: 0 };
    world.call(&session, &Request::Create(null)).unwrap();
    world.created(&session, &create("/empty", Persistent));
    for (path, data) in [("/null", None), ("/empty", Some(&[][..]))] {
        let body = world.call(&session, &Request::get_data(path, false)).unwrap();
        let Reply::Data(found) = server_common::reply(OpCode::GetData, &body) else { panic!() };
        assert_eq!(found.data, data);
    }
}

#[test]
fn reads_take_paths_as_they_are() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    world.created(&session, &create("/a", Persistent));
    assert!(world.stat(&session, "").is_ok(), "an alias of the root");
    for path in ["/a/", "//a", "a", "/a/..", "/.", "//"] {
        assert_eq!(world.stat(&session, path), Err(ErrorCode::NoNode), "{path}");
    }
    assert_eq!(world.stat(&session, "/a\0"), Err(ErrorCode::BadArguments));
    let count = |world: &mut World, path: &str| {
        let body = world.call(&session, &Request::GetAllChildrenNumber { path: path.into() });
        Reader::new(&body.unwrap()).int().unwrap()
    };
    assert_eq!(count(&mut world, "/"), 4);
    assert_eq!(count(&mut world, "/zookeeper"), 2);
}

#[test]
fn a_multi_is_all_or_nothing() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    world.created(&session, &Request::create("/keep", b"old", Persistent));
    world.created(&session, &create("/keep/child", Ephemeral));
    let before = world.stat(&session, "/keep").unwrap();
    let acl = List::from_slice(Acl::OPEN);
    let plain = |path: &'static str| Create { path: path.into(), data: None, acl, flags: 0 };
    let items = [
        MultiOp::SetData { path: "/keep".into(), data: Some(b"new"), version: 0 },
        MultiOp::Delete { path: "/keep/child".into(), version: 0 },
        MultiOp::Create(plain("/keep/child")),
        MultiOp::Create(plain("/keep/child/deeper")),
        MultiOp::Create2(plain("/other")),
        MultiOp::Check { path: "/keep".into(), version: 7 },
        MultiOp::Delete { path: "/other".into(), version: 0 },
    ];
    let body = world.call(&session, &Request::Multi(Multi::from_slice(&items))).unwrap();
    let Reply::Multi(results) = server_common::reply(OpCode::Multi, &body) else { panic!() };
    let codes: Vec<_> = results.iter().collect();
    let error = |code| MultiResult::Error(code);
    let failed = [error(0), error(0), error(0), error(0), error(0), error(-103), error(-2)];
    assert_eq!(codes, failed);
    assert_eq!(world.stat(&session, "/keep"), Ok(before));
    assert_eq!(world.stat(&session, "/keep/child").unwrap().ephemeral_owner, session.id.0);
    assert_eq!(world.engine.sessions().next().unwrap().ephemerals, 1);
    assert_eq!(world.stat(&session, "/other"), Err(ErrorCode::NoNode));

    let body = world.call(&session, &Request::Multi(Multi::from_slice(&items[..5]))).unwrap();
    let Reply::Multi(results) = server_common::reply(OpCode::Multi, &body) else { panic!() };
    let zxid = world.engine.last_zxid();
    assert!(
        matches!(results.iter().nth(4), Some(MultiResult::Create2(_, stat)) if stat.czxid == zxid)
    );
    assert_eq!(world.stat(&session, "/keep/child").unwrap().ephemeral_owner, 0);
    assert_eq!(world.engine.sessions().next().unwrap().ephemerals, 0);
}

#[test]
fn a_multi_of_reads_or_with_nulls_is_malformed() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    let read = [MultiOp::GetData { path: "/".into(), watch: false }];
    let write = [MultiOp::Delete { path: "/x".into(), version: -1 }];
    let null = [MultiOp::Delete { path: zk_session::wire::Ustring::NULL, version: -1 }];
    for request in [
        Request::Multi(Multi::from_slice(&read)),
        Request::MultiRead(Multi::from_slice(&write)),
        Request::Multi(Multi::from_slice(&null)),
    ] {
        assert_eq!(world.call(&session, &request), Err(ErrorCode::MarshallingError));
    }
}

#[test]
fn acls_decide_who_may_do_what() {
    let (mut world, server) = World::standalone();
    let (owner, other) = (world.session(server, 10_000), world.session(server, 10_000));
    world.request(&owner, -4, &Request::add_auth("digest", b"bob:secret"));
    assert_eq!(world.got(&owner), Some(Got::Reply { xid: -4, zxid: 0, err: 0, body: vec![] }));
    world.call(&owner, &create_with("/own", Acl::CREATOR_ALL)).unwrap();
    for request in [
        Request::get_data("/own", true),
        Request::get_children("/own", false),
        Request::exists("/own", false),
        Request::set_data("/own", b"", -1),
        Request::GetAcl { path: "/own".into() },
        create("/own/child", Persistent),
        Request::SetAcl { path: "/own".into(), acl: List::from_slice(Acl::OPEN), version: -1 },
    ] {
        assert_eq!(world.call(&other, &request), Err(ErrorCode::NoAuth), "{request:?}");
    }
    world.call(&owner, &create("/own/child", Persistent)).unwrap();
    assert_eq!(world.call(&other, &Request::delete("/own/child", -1)), Err(ErrorCode::NoAuth));
    // Deleting asks the parent, not the znode.
    world.call(&other, &Request::delete("/own", -1)).unwrap_err();
    world.call(&owner, &Request::delete("/own/child", -1)).unwrap();
    world.call(&other, &Request::delete("/own", -1)).unwrap();

    let read = [Acl { perms: Perms::READ, scheme: "ip".into(), id: "127.0.0.0/8".into() }];
    world.call(&owner, &create_with("/near", &read)).unwrap();
    world.call(&other, &Request::get_data("/near", false)).unwrap();
    let far = [Acl { perms: Perms::READ, scheme: "ip".into(), id: "10.0.0.0/8".into() }];
    world.call(&owner, &create_with("/far", &far)).unwrap();
    assert_eq!(world.call(&other, &Request::get_data("/far", false)), Err(ErrorCode::NoAuth));
    // Without an identity `auth` is nobody.
    let nobody = create_with("/nobody", Acl::CREATOR_ALL);
    assert_eq!(world.call(&other, &nobody), Err(ErrorCode::InvalidAcl));
}

#[test]
fn failed_authentication_costs_the_connection_and_not_the_session() {
    let (mut world, server) = World::standalone();
    for (scheme, auth) in
        [("nosuch", Some(&b"x"[..])), ("world", Some(b"anyone")), ("digest", None)]
    {
        let session = world.session(server, 10_000);
        world.request(&session, -4, &Request::Auth { kind: 0, scheme: scheme.into(), auth });
        let refusal = Got::Reply { xid: -4, zxid: 0, err: -115, body: vec![] };
        assert_eq!(world.got(&session), Some(refusal), "{scheme}");
        assert_eq!(world.link(&session), ServerLink::Down);
        assert_eq!(world.reason(&session), Some(CloseReason::AuthFailed));
        assert_eq!(world.resume(server, &session).id, session.id);
    }
}

#[test]
fn unknown_opcodes_cost_the_connection_and_not_the_session() {
    let (mut world, server) = World::standalone();
    for op in [999, 0, 13, 20, -10, -1] {
        let session = world.session(server, 10_000);
        let zxid = world.engine.last_zxid();
        let bytes = server_common::framed(|w| RequestHeader { xid: Xid(5), op }.write(w));
        world.send(session.conn, &bytes);
        let refusal = Got::Reply { xid: 5, zxid: -1, err: -6, body: vec![] };
        assert_eq!(world.got(&session), Some(refusal), "{op}");
        assert_eq!(world.link(&session), ServerLink::Down);
        assert_eq!(world.engine.last_zxid(), zxid);
        assert_eq!(world.resume(server, &session).id, session.id);
    }
}

#[test]
fn undecodable_bodies_cost_their_request_only() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    for op in
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 16, 17, 18, 19, 21, 22, 101, 103, 104, 105, 106]
    {
        let bytes = server_common::framed(|w| {
            RequestHeader { xid: Xid(5), op }.write(w);
            w.byte(1);
        });
        world.send(session.conn, &bytes);
        match world.got(&session) {
            Some(Got::Reply { xid: 5, err: -5, body, .. }) if body.is_empty() => {}
            other => panic!("{op}: {other:?}"),
        }
    }
    assert_eq!(world.link(&session), ServerLink::Up);
    let bytes = server_common::framed(|w| RequestHeader { xid: Xid(-4), op: 100 }.write(w));
    world.send(session.conn, &bytes);
    assert_eq!(world.got(&session), None);
    assert_eq!(world.link(&session), ServerLink::Down);
}

#[test]
fn containers_and_times_to_live_end() {
    let mut config = EngineConfig::default();
    config.extended_types = true;
    let mut world = World::new(config);
    let server = world.engine.add_server();
    let (session, watcher) = (world.session(server, 40_000), world.session(server, 40_000));
    let acl = List::from_slice(Acl::OPEN);
    let new = |path: &'static str, flags| Create { path: path.into(), data: None, acl, flags };
    world.call(&session, &Request::CreateContainer(new("/box", 4))).unwrap();
    world.call(&session, &Request::CreateContainer(new("/unused", 4))).unwrap();
    world.call(&session, &create("/box/child", Persistent)).unwrap();
    let timed = CreateTtl { create: new("/timed", 5), ttl: 70_000 };
    world.call(&session, &Request::CreateTtl(timed)).unwrap();
    world.call(&watcher, &Request::exists("/box", true)).unwrap();
    for ttl in [0, -1, 1 << 40] {
        let bad = CreateTtl { create: new("/bad", 5), ttl };
        let bad = world.call(&session, &Request::CreateTtl(bad));
        assert_eq!(bad, Err(ErrorCode::BadArguments));
    }
    let keep = |world: &mut World, millis: u64| {
        for _ in 0..millis / 10_000 {
            world.pass(10_000);
            world.call(&session, &Request::sync("/")).unwrap();
            world.call(&watcher, &Request::sync("/")).unwrap_or_default();
        }
    };
    keep(&mut world, 50_000);
    world.call(&session, &Request::delete("/box/child", -1)).unwrap();
    world.pass(9_000);
    assert!(world.stat(&session, "/box").is_ok());
    world.pass(1_000);
    assert_eq!(world.events(&watcher), [(EventType::NodeDeleted, "/box".into())]);
    assert_eq!(world.stat(&session, "/box"), Err(ErrorCode::NoNode));
    assert!(world.stat(&session, "/timed").is_ok());
    keep(&mut world, 60_000);
    assert_eq!(world.stat(&session, "/timed"), Err(ErrorCode::NoNode));
    assert!(world.stat(&session, "/unused").is_ok());
}

#[test]
fn the_releases_differ_where_they_did() {
    for (release, exists) in [(Release::V3_8, Ok(())), (Release::V3_9, Err(ErrorCode::NoAuth))] {
        let mut config = EngineConfig::default();
        config.release = release;
        let mut world = World::new(config);
        let server = world.engine.add_server();
        let session = world.session(server, 10_000);
        let blind = [Acl { perms: Perms(30), scheme: "world".into(), id: "anyone".into() }];
        world.call(&session, &create_with("/blind", &blind)).unwrap();
        let found = world.call(&session, &Request::exists("/blind", false)).map(|_| ());
        assert_eq!(found, exists);
    }
}
