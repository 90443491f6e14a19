//! Requests at the edge, answered as ZooKeeper 3.8.0 answers them: what scripts at random have
//! found in the engine (`adapters/std/tests/differential`), each as a test of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{Got, Session, World, framed};
use zk_session::ErrorCode;
use zk_session::server::{EngineConfig, Release, ServerLink};
use zk_session::wire::{
    Acl, AddWatchMode, Create, CreateMode, CreateTtl, EventType, List, MultiOp, MultiResult,
    OpCode, Reply, Request, RequestHeader, SetWatches, Ustring, WatcherType, Xid, Zxid,
};

/// A server of a release, and a session of it.
fn world(release: Release) -> (World, Session) {
    let mut config = EngineConfig::default();
    (config.release, config.extended_types) = (release, true);
    let mut world = World::new(config);
    let server = world.engine.add_server();
    let session = world.session(server, 10_000);
    (world, session)
}

fn open(path: &str, mode: CreateMode) -> Create<'_> {
    Create::open(path, b"", mode)
}

fn results(body: &[u8]) -> Vec<MultiResult<'_>> {
    let Ok(Reply::Multi(results)) = Reply::decode(OpCode::Multi, body) else { panic!("no multi") };
    results.iter().collect()
}

/// Sends a body under an opcode and takes the reply's error and body.
fn raw(world: &mut World, session: &Session, op: OpCode, body: &[u8]) -> Option<(i32, Vec<u8>)> {
    let bytes = framed(|w| {
        RequestHeader { xid: Xid(5), op: op.to_wire() }.write(w);
        w.raw(body);
    });
    world.send(session.conn, &bytes);
    match world.got(session)? {
        Got::Reply { err, body, .. } => Some((err, body)),
        Got::Event(..) => panic!("an event"),
    }
}

#[test]
fn set_watches_is_done_up_to_the_first_null() {
    let (mut world, session) = world(Release::V3_9);
    let paths = ["/none".into(), Ustring::NULL, "/behind".into()];
    let (all, none) = (List::from_slice(&paths), List::from_slice(&[]));
    let watches = SetWatches {
        relative_zxid: Zxid(0),
        data: all,
        exist: none,
        child: none,
        persistent: none,
        persistent_recursive: none,
    };
    let null_list =
        SetWatches { data: List::from_slice(&paths[..1]), child: List::NULL, ..watches };
    for watches in [watches, null_list] {
        world.request(&session, 9, &Request::SetWatches(watches));
        assert_eq!(world.got(&session), Some(Got::Event(EventType::NodeDeleted, "/none".into())));
        let code = ErrorCode::MarshallingError.to_wire();
        assert!(matches!(world.got(&session), Some(Got::Reply { err, .. }) if err == code));
        assert_eq!(world.got(&session), None);
    }
}

#[test]
fn a_null_path_can_be_watched_persistently() {
    let (mut world, session) = world(Release::V3_9);
    let path = Ustring::NULL;
    let check = Request::CheckWatches { path, kind: WatcherType::Any.to_wire() };
    assert_eq!(world.call(&session, &check), Err(ErrorCode::NoWatcher));
    let mode = AddWatchMode::PersistentRecursive.to_wire();
    assert!(world.call(&session, &Request::AddWatch { path, mode }).is_ok());
    assert!(world.call(&session, &check).is_ok());
    let remove = Request::RemoveWatches { path, kind: WatcherType::Any.to_wire() };
    assert!(world.call(&session, &remove).is_ok());
    assert_eq!(world.call(&session, &check), Err(ErrorCode::NoWatcher));
}

#[test]
fn a_null_path_is_a_bad_argument_to_set_data_and_set_acl() {
    let (mut world, session) = world(Release::V3_9);
    let (path, version) = (Ustring::NULL, -1);
    let set_data = Request::SetData { path, data: None, version };
    let set_acl = Request::SetAcl { path, acl: List::from_slice(Acl::OPEN), version };
    for request in [set_data, set_acl] {
        assert_eq!(world.call(&session, &request), Err(ErrorCode::BadArguments));
    }
    let delete = Request::Delete { path, version };
    assert_eq!(world.call(&session, &delete), Err(ErrorCode::MarshallingError));
}

#[test]
fn a_read_in_a_multi_makes_it_malformed_whatever_fails_before() {
    for release in [Release::V3_8, Release::V3_9] {
        let (mut world, session) = world(release);
        let items = [MultiOp::delete("/none", -1), MultiOp::get_data("/")];
        let answer = world.call(&session, &Request::multi(&items));
        assert_eq!(answer, Err(ErrorCode::MarshallingError));
    }
}

#[test]
fn a_create_in_a_multi_of_3_8_goes_by_its_flags() {
    let (mut world, session) = world(Release::V3_8);
    let timed = |path, mode| MultiOp::CreateTtl(CreateTtl { create: open(path, mode), ttl: 1_000 });
    let items = [
        timed("/a", CreateMode::Persistent),
        timed("/b", CreateMode::Container),
        timed("/c", CreateMode::PersistentTtl),
    ];
    let body = world.call(&session, &Request::multi(&items)).unwrap();
    let [a, b, c] = results(&body)[..] else { panic!("three results") };
    assert_eq!(a, MultiResult::Create("/a".into()));
    assert!(matches!(b, MultiResult::Create2(..)) && matches!(c, MultiResult::Create2(..)));

    let late =
        [MultiOp::delete("/none", -1), MultiOp::create("/d", b"", CreateMode::PersistentTtl)];
    let body = world.call(&session, &Request::multi(&late)).unwrap();
    assert_eq!(results(&body)[0], MultiResult::Error(ErrorCode::NoNode.to_wire()));
    let first = [MultiOp::create("/d", b"", CreateMode::PersistentTtl)];
    let answer = world.call(&session, &Request::multi(&first));
    assert_eq!(answer, Err(ErrorCode::MarshallingError));
}

#[test]
fn a_multi_read_fails_with_what_was_read_before() {
    let (mut world, session) = world(Release::V3_9);
    let path = Ustring::NULL;
    let items = [MultiOp::get_data("/none"), MultiOp::GetData { path, watch: false }];
    let body = framed(|w| Request::multi_read(&items).encode(w)).split_off(4);
    let (err, body) = raw(&mut world, &session, OpCode::MultiRead, &body).unwrap();
    assert_eq!(err, ErrorCode::MarshallingError.to_wire());
    assert_eq!(results(&body), [MultiResult::Error(ErrorCode::NoNode.to_wire())]);

    let writes = framed(|w| Request::multi_read(&[MultiOp::delete("/a", 0)]).encode(w));
    let (err, body) = raw(&mut world, &session, OpCode::MultiRead, &writes[4..]).unwrap();
    assert_eq!((err, results(&body).len()), (ErrorCode::MarshallingError.to_wire(), 0));

    let mixed = [MultiOp::get_data("/none"), MultiOp::delete("/a", 0)];
    let mixed = framed(|w| Request::multi_read(&mixed).encode(w));
    let (err, body) = raw(&mut world, &session, OpCode::MultiRead, &mixed[4..]).unwrap();
    assert_eq!((err, body.len()), (ErrorCode::MarshallingError.to_wire(), 0));
}

#[test]
fn an_undecodable_reconfig_is_no_transaction() {
    let (mut world, session) = world(Release::V3_9);
    let before = world.engine.last_zxid();
    let error = ErrorCode::MarshallingError.to_wire();
    assert_eq!(raw(&mut world, &session, OpCode::Reconfig, b"\0"), Some((error, Vec::new())));
    assert_eq!(world.engine.last_zxid(), before);
    assert_eq!(raw(&mut world, &session, OpCode::Delete, b"\0"), Some((error, Vec::new())));
    assert_eq!(world.engine.last_zxid(), Zxid(before.0 + 1));
}

#[test]
fn a_sasl_token_that_is_null_or_undecodable_ends_the_connection() {
    for body in [&b"\xff\xff\xff\xff"[..], b"\0\0"] {
        let (mut world, session) = world(Release::V3_9);
        assert_eq!(raw(&mut world, &session, OpCode::Sasl, body), None);
        assert_eq!(world.link(&session), ServerLink::Down);
    }
}

#[test]
fn to_3_8_anyones_watch_answers_check_watches() {
    for (release, answer) in [(Release::V3_8, Ok(())), (Release::V3_9, Err(ErrorCode::NoWatcher))] {
        let (mut world, session) = world(release);
        let server = world.engine.sessions().next().unwrap().owner;
        let other = world.session(server, 10_000);
        world.call(&other, &Request::get_data("/", true)).unwrap();
        let check = |kind| Request::check_watches("/", kind);
        assert_eq!(world.call(&session, &check(WatcherType::Data)).map(drop), answer);
        let children = world.call(&session, &check(WatcherType::Children));
        assert_eq!(children, Err(ErrorCode::NoWatcher));
    }
}
