//! Read-only servers, and sessions that only one server knows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{Got, Session, World, connect_bytes, framed, new_session};
use zk_session::server::{
    Access, Change, CloseReason, EngineConfig, Record, RecordKey, Restore, ServerId, ServerLink,
};
use zk_session::wire::{
    Acl, AddWatchMode, ConnectRequest, ConnectResponse, Create, CreateMode, EventType, List, Multi,
    MultiOp, MultiResult, OpCode, Reader, Reply, ReplyHeader, Request, RequestHeader, Xid, Zxid,
};
use zk_session::{ErrorCode, Instant};

use Access::{ReadOnly, ReadWrite};
use CreateMode::{Ephemeral, Persistent};

fn ensemble(servers: usize, change: impl FnOnce(&mut EngineConfig)) -> (World, Vec<ServerId>) {
    let mut config = EngineConfig::default();
    change(&mut config);
    let mut world = World::new(config);
    let servers = (0..servers).map(|_| world.engine.add_server()).collect();
    (world, servers)
}

fn local(config: &mut EngineConfig) {
    config.local_sessions = true;
}

fn upgrading(config: &mut EngineConfig) {
    (config.local_sessions, config.local_sessions_upgrading) = (true, true);
}

fn set(world: &mut World, servers: &[ServerId], access: Access) {
    for server in servers {
        world.engine.set_access(world.at(), *server, access);
    }
}

/// A handshake that accepts a read-only server: its answer.
fn knock(world: &mut World, server: ServerId, session: Option<&Session>) -> Option<Vec<u8>> {
    let conn = world.open(server);
    let request = ConnectRequest { read_only: Some(true), ..new_session(4000) };
    let passwd = session.map(|session| session.passwd);
    let bytes = connect_bytes(&match (session, &passwd) {
        (Some(session), Some(passwd)) => {
            ConnectRequest { session_id: session.id, passwd: Some(&passwd.0), ..request }
        }
        _ => request,
    });
    world.send(conn, &bytes);
    let frame = world.frame(conn);
    if frame.is_none() {
        assert_eq!(world.engine.poll_link(conn), ServerLink::Down);
        assert_eq!(world.engine.poll_reason(conn), Some(CloseReason::ReadOnlyServer));
    }
    frame
}

fn answer(frame: &[u8]) -> ConnectResponse<'_> {
    ConnectResponse::read(&mut Reader::new(frame)).unwrap()
}

/// A session on a read-only server.
fn read_only_session(world: &mut World, server: ServerId) -> Session {
    let conn = world.open(server);
    world.connect_with(conn, &ConnectRequest { read_only: Some(true), ..new_session(4000) });
    world.connected(conn).unwrap()
}

fn create(path: &str, mode: CreateMode) -> Request<'_> {
    Request::create(path, b"", mode)
}

#[test]
fn a_read_only_server_reads_and_refuses_all_else() {
    let (mut world, servers) = ensemble(1, local);
    let writer = world.session(servers[0], 10_000);
    world.call(&writer, &create("/a", Persistent)).unwrap();
    set(&mut world, &servers, ReadOnly);
    assert_eq!(world.reason(&writer), Some(CloseReason::QuorumChanged));
    let zxid = world.engine.last_zxid();
    let reader = read_only_session(&mut world, servers[0]);

    let path = "/a".into();
    let open = List::from_slice(Acl::OPEN);
    let items = [MultiOp::check("/a", -1)];
    let reads = [MultiOp::GetData { path, watch: false }];
    for (request, served) in [
        (Request::exists("/a", true), true),
        (Request::get_data("/a", true), true),
        (Request::get_children("/a", false), true),
        (Request::get_children2("/a", false), true),
        (Request::GetAcl { path }, true),
        (Request::GetAllChildrenNumber { path }, true),
        (Request::get_ephemerals("/"), true),
        (Request::multi_read(&reads), true),
        (Request::add_watch("/a", AddWatchMode::Persistent), true),
        (Request::WhoAmI, true),
        (Request::sync("/a"), false),
        (create("/b", Persistent), false),
        (create("/b", Ephemeral), false),
        (Request::Create2(Create::open("/b", b"", Persistent)), false),
        (Request::CreateContainer(Create::open("/b", b"", CreateMode::Container)), false),
        (Request::delete("/a", -1), false),
        (Request::set_data("/a", b"", -1), false),
        (Request::SetAcl { path, acl: open, version: -1 }, false),
        (Request::multi(&items), false),
        (Request::Check { path, version: -1 }, false),
    ] {
        let got = world.call(&reader, &request);
        match served {
            true => assert!(got.is_ok(), "{request:?}: {got:?}"),
            false => assert_eq!(got, Err(ErrorCode::NotReadOnly), "{request:?}"),
        }
    }
    // A write that is none is no reason to decode it.
    let bytes = framed(|w| RequestHeader { xid: Xid(5), op: OpCode::Delete.to_wire() }.write(w));
    world.send(reader.conn, &bytes);
    let refused = ErrorCode::NotReadOnly.to_wire();
    assert!(matches!(world.got(&reader), Some(Got::Reply { xid: 5, err, .. }) if err == refused));
    world.request(&reader, -2, &Request::Ping);
    assert!(matches!(world.got(&reader), Some(Got::Reply { xid: -2, err: 0, .. })));
    world.call(&reader, &Request::CloseSession).unwrap();
    assert_eq!(world.engine.last_zxid(), zxid, "no transaction");
}

#[test]
fn a_read_only_server_is_for_those_who_accept_it() {
    let (mut world, servers) = ensemble(2, local);
    set(&mut world, &servers, ReadOnly);
    for read_only in [Some(false), None] {
        let conn = world.open(servers[0]);
        world.connect_with(conn, &ConnectRequest { read_only, ..new_session(4000) });
        assert_eq!(world.frame(conn), None);
        assert_eq!(world.engine.poll_reason(conn), Some(CloseReason::ReadOnlyServer));
    }
    let session = read_only_session(&mut world, servers[0]);
    // The answer says so, a refusal too; the session is known on its server only.
    let same = knock(&mut world, servers[0], Some(&session)).unwrap();
    assert_eq!((answer(&same).session_id, answer(&same).read_only), (session.id, Some(true)));
    let other = knock(&mut world, servers[1], Some(&session)).unwrap();
    assert_eq!((answer(&other).timeout, answer(&other).read_only), (0, Some(true)));
    // Who has seen more goes elsewhere.
    let conn = world.open(servers[0]);
    let ahead = Zxid(world.engine.last_zxid().0 + 1);
    world.connect_with(
        conn,
        &ConnectRequest { last_zxid_seen: ahead, read_only: Some(true), ..new_session(4000) },
    );
    assert_eq!(world.engine.poll_reason(conn), Some(CloseReason::ZxidAhead));
    for (word, text) in [(b"isro", "ro"), (b"ruok", "imok")] {
        let conn = world.open(servers[0]);
        world.send(conn, word);
        assert_eq!(world.text(conn), text.as_bytes());
    }
}

#[test]
fn without_local_sessions_a_read_only_server_answers_with_an_error_reply() {
    let (mut world, servers) = ensemble(1, |_| {});
    set(&mut world, &servers, ReadOnly);
    let frame = knock(&mut world, servers[0], None).unwrap();
    let header = ReplyHeader::read(&mut Reader::new(&frame)).unwrap();
    assert_eq!(frame.len(), 16);
    assert_eq!((header.xid, header.err), (Xid(0), ErrorCode::NotReadOnly.to_wire()));
    assert_eq!(world.engine.sessions().count(), 0);
}

#[test]
fn sessions_outlive_the_quorum_and_get_their_full_time_when_it_returns() {
    let (mut world, servers) = ensemble(3, local);
    let (mut plain, plain_servers) = ensemble(3, |_| {});
    let kept = plain.session(plain_servers[1], 4000);
    plain.call(&kept, &create("/e", Ephemeral)).unwrap();
    set(&mut plain, &plain_servers, ReadOnly);
    assert_eq!(plain.engine.leader(), None);
    plain.pass(3_600_000);
    assert_eq!(plain.engine.sessions().count(), 1, "nobody is there to expire it");
    // Its own ensemble knows it: no word, so that its client goes on looking.
    assert_eq!(knock(&mut plain, plain_servers[0], Some(&kept)), None);
    set(&mut plain, &plain_servers[1..2], ReadWrite);
    assert_eq!(plain.engine.leader(), Some(plain_servers[1]));
    plain.pass(3999);
    let back = plain.resume(plain_servers[1], &kept);
    assert_eq!((back.id, back.timeout), (kept.id, 4000));
    assert!(plain.stat(&back, "/e").is_ok());
    plain.pass(6000);
    assert_eq!(plain.engine.sessions().count(), 0, "time runs again");

    // What a read-only server knew alone is gone with its mode, and expires before that.
    set(&mut world, &servers, ReadOnly);
    let short = read_only_session(&mut world, servers[0]);
    world.pass(6000);
    assert_eq!(world.reason(&short), Some(CloseReason::SessionExpired));
    let session = read_only_session(&mut world, servers[0]);
    set(&mut world, &servers, ReadWrite);
    assert_eq!(world.reason(&session), Some(CloseReason::QuorumChanged));
    assert_eq!(world.resume(servers[0], &session).timeout, 0);
    // The same again is nothing new.
    let session = world.session(servers[0], 4000);
    set(&mut world, &servers, ReadWrite);
    assert_eq!(world.link(&session), ServerLink::Up);
}

#[test]
fn the_rest_of_the_ensemble_goes_on_without_a_server_that_is_cut_off() {
    let (mut world, servers) = ensemble(3, |_| {});
    let session = world.session(servers[0], 4000);
    set(&mut world, &servers[..1], ReadOnly);
    assert_eq!(world.engine.leader(), Some(servers[1]));
    let moved = world.resume(servers[2], &session);
    assert_eq!(moved.id, session.id);
    world.call(&moved, &create("/a", Persistent)).unwrap();
    // The new leader does what the old one did: a stale connection to it may do nothing.
    let on_leader = world.resume(servers[1], &moved);
    let _away = world.resume(servers[2], &moved);
    world.request(&on_leader, 9, &Request::exists("/", false));
    assert_eq!(world.reason(&on_leader), Some(CloseReason::SessionMoved));
    world.pass(6000);
    assert_eq!(world.engine.sessions().count(), 0);
}

#[test]
fn containers_stay_while_nobody_leads() {
    let (mut world, servers) = ensemble(1, |config| config.local_sessions = true);
    let session = world.session(servers[0], 40_000);
    let container = Create::open("/c", b"", CreateMode::Container);
    world.call(&session, &Request::CreateContainer(container)).unwrap();
    world.call(&session, &create("/c/x", Persistent)).unwrap();
    world.call(&session, &Request::delete("/c/x", -1)).unwrap();
    set(&mut world, &servers, ReadOnly);
    world.pass(300_000);
    assert_eq!(world.engine.node_count(), 5);
    set(&mut world, &servers, ReadWrite);
    world.pass(60_000);
    assert_eq!(world.engine.node_count(), 4);
}

#[test]
fn a_local_session_costs_no_transaction_and_stays_with_its_server() {
    let (mut world, servers) = ensemble(3, local);
    let session = world.session(servers[1], 4000);
    assert_eq!(world.engine.last_zxid(), Zxid(0));
    assert!(world.engine.sessions().all(|session| session.is_local));
    world.call(&session, &create("/a", Persistent)).unwrap();
    assert_eq!(world.resume(servers[2], &session).timeout, 0, "unknown there");
    assert_eq!(world.link(&session), ServerLink::Up, "and not disturbed here");
    let again = world.resume(servers[1], &session);
    assert_eq!((again.id, world.reason(&session)), (session.id, Some(CloseReason::Resumed)));
    let zxid = world.engine.last_zxid();
    world.call(&again, &Request::CloseSession).unwrap();
    assert_eq!(world.engine.last_zxid(), zxid);

    // It expires as any other, and goes with its server.
    let (one, two) = (world.session(servers[1], 4000), world.session(servers[2], 4000));
    world.engine.stop_server(world.at(), servers[2]);
    assert_eq!(world.resume(servers[2], &two).timeout, 0);
    world.pass(6000);
    assert_eq!(world.reason(&one), Some(CloseReason::SessionExpired));
    assert_eq!((world.engine.sessions().count(), world.engine.last_zxid()), (0, zxid));
}

#[test]
fn a_local_session_has_no_ephemerals_unless_it_may_become_a_global_one() {
    let items = [
        MultiOp::Create(Create::open("/m", b"", Persistent)),
        MultiOp::Create2(Create::open("/m/e", b"", Ephemeral)),
    ];
    let (mut world, servers) = ensemble(2, local);
    let session = world.session(servers[1], 4000);
    for mode in [Ephemeral, CreateMode::EphemeralSequential] {
        let error = world.call(&session, &create("/e", mode));
        assert_eq!(error, Err(ErrorCode::EphemeralOnLocalSession));
    }
    assert_eq!(world.engine.last_zxid(), Zxid(2), "a refusal is a transaction");
    let body = world.call(&session, &Request::multi(&items)).unwrap();
    let results =
        [MultiResult::Error(0), MultiResult::Error(ErrorCode::EphemeralOnLocalSession.to_wire())];
    let Reply::Multi(got) = server_common::reply(OpCode::Multi, &body) else { panic!() };
    assert!(got.iter().eq(Multi::from_slice(&results).iter()));
    assert!(world.stat(&session, "/m").is_err());
    assert_eq!(world.link(&session), ServerLink::Up);

    for request in [
        create("/m", Ephemeral),
        Request::Create2(Create::open("/m", b"", CreateMode::EphemeralSequential)),
        Request::multi(&items),
    ] {
        let (mut world, servers) = ensemble(2, upgrading);
        let session = world.session(servers[1], 4000);
        world.call(&session, &create("/plain", Persistent)).unwrap();
        assert!(world.engine.sessions().all(|session| session.is_local));
        assert_eq!(world.engine.last_zxid(), Zxid(1));
        world.call(&session, &request).unwrap();
        assert_eq!(world.engine.last_zxid(), Zxid(3), "one for the session, one for the rest");
        assert!(world.engine.sessions().all(|session| !session.is_local));
        // Now it can move, and what is its own goes with it.
        let moved = world.resume(servers[0], &session);
        assert_eq!(moved.id, session.id);
        world.call(&moved, &Request::CloseSession).unwrap();
        assert_eq!(world.engine.last_zxid(), Zxid(4));
    }
}

#[test]
fn watches_on_a_read_only_server_fire_when_others_write() {
    let (mut world, servers) = ensemble(2, upgrading);
    set(&mut world, &servers[..1], ReadOnly);
    let reader = read_only_session(&mut world, servers[0]);
    assert_eq!(world.call(&reader, &Request::exists("/a", true)), Err(ErrorCode::NoNode));
    let writer = world.session(servers[1], 4000);
    world.call(&writer, &create("/a", Persistent)).unwrap();
    assert_eq!(world.events(&reader), [(EventType::NodeCreated, "/a".to_owned())]);
}

#[test]
fn a_held_session_stays_held_when_it_is_moved_and_is_let_go_by_any_new_leader() {
    let (mut world, servers) = ensemble(2, |_| {});
    let kept = world.session(servers[0], 4000);
    world.call(&kept, &create("/e", Ephemeral)).unwrap();
    set(&mut world, &servers, ReadOnly);
    assert!(world.engine.move_session(world.at(), kept.id, servers[1]));
    world.pass(3_600_000);
    assert_eq!(world.engine.session(kept.id).unwrap().owner, servers[1]);
    let third = world.engine.add_server();
    assert_eq!(world.engine.leader(), Some(third));
    world.pass(0); // as soon as the engine is told the time
    world.pass(3999);
    let back = world.resume(third, &kept);
    assert!(world.stat(&back, "/e").is_ok());
    world.pass(6000);
    assert_eq!((world.engine.session(kept.id), world.engine.stat("/e")), (None, None));
}

#[test]
fn a_local_session_can_be_moved_only_when_all_servers_know_it() {
    let (mut world, servers) = ensemble(3, upgrading);
    let kept = |world: &World| {
        let is_session = |record: &Record<'_>| matches!(record, Record::Session(_));
        world.engine.records().filter(is_session).count()
    };
    let session = world.session(servers[1], 4000);
    assert!(!world.engine.move_session(world.at(), session.id, servers[2]));
    assert_eq!(world.link(&session), ServerLink::Up);
    world.call(&session, &create("/a", Persistent)).unwrap();
    assert!(world.engine.move_session(world.at(), session.id, servers[1]), "it is there");
    assert_eq!(world.reason(&session), Some(CloseReason::Resumed));
    let session = world.resume(servers[1], &session);
    assert_eq!(kept(&world), 0, "gone with its server");

    world.call(&session, &create("/e", Ephemeral)).unwrap();
    assert_eq!(kept(&world), 1);
    assert!(world.engine.move_session(world.at(), session.id, servers[2]));
    world.request(&session, 9, &create("/b", Persistent));
    assert_eq!(world.reason(&session), Some(CloseReason::SessionMoved));
    let moved = world.resume(servers[2], &session);
    assert_eq!(moved.id, session.id);

    // A restart keeps it and forgets the others.
    let other = world.session(servers[0], 4000);
    let mut restore = Restore::new(EngineConfig::default(), Instant::ORIGIN);
    world.engine.records().for_each(|record| restore.add(&record).unwrap());
    world.engine = restore.finish().unwrap();
    let server = world.engine.add_server();
    assert_eq!(world.resume(server, &other).timeout, 0);
    let back = world.resume(server, &moved);
    assert!(world.stat(&back, "/e").is_ok());
    assert!(!world.engine.session(back.id).unwrap().is_local);
}

#[test]
fn a_wipe_removes_no_session_from_a_store_that_has_never_held_it() {
    let (mut world, servers) = ensemble(1, upgrading);
    world.engine.track_changes();
    let _local = world.session(servers[0], 4000);
    let known = world.session(servers[0], 4000);
    world.call(&known, &create("/e", Ephemeral)).unwrap();
    world.engine.handle_stored();
    world.engine.wipe(world.at());
    let removed = world.engine.poll_changes().filter_map(|change| match change {
        Change::Remove(RecordKey::Session(id)) => Some(id),
        _ => None,
    });
    assert!(removed.eq([known.id]));
}
