//! Sessions on the ensemble's side: handshakes, expiry, moves, and connections that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{Got, World, connect_bytes, framed, new_session, request_bytes};
use zk_session::server::{CloseReason, EngineConfig, ServerId, ServerLink};
use zk_session::wire::{
    ConnectRequest, CreateMode, EventType, OpCode, Request, RequestHeader, SessionId, Xid, Zxid,
};
use zk_session::{Duration, ErrorCode, Instant};

fn ensemble(servers: usize) -> (World, Vec<ServerId>) {
    let mut world = World::new(EngineConfig::default());
    let servers = (0..servers).map(|_| world.engine.add_server()).collect();
    (world, servers)
}

#[test]
fn timeouts_are_clamped_to_ticks() {
    let (mut world, server) = World::standalone();
    for (asked, granted) in [
        (i32::MIN, 4000),
        (0, 4000),
        (3999, 4000),
        (4001, 4001),
        (40_001, 40_000),
        (i32::MAX, 40_000),
    ] {
        assert_eq!(world.session(server, asked).timeout, granted);
    }
    let mut config = EngineConfig::default();
    config.min_session_timeout = Some(Duration::from_millis(100));
    config.max_session_timeout = Some(Duration::from_millis(200));
    let mut world = World::new(config);
    let server = world.engine.add_server();
    assert_eq!(world.session(server, 1).timeout, 100);
    assert_eq!(world.session(server, 1000).timeout, 200);
}

#[test]
fn ids_carry_their_server_and_passwords_do_not_repeat() {
    let (mut world, servers) = ensemble(3);
    let mut passwds = Vec::new();
    for (server, top) in servers.iter().zip(1_u8..) {
        let session = world.session(*server, 10_000);
        assert_eq!(session.id.0.to_be_bytes()[0], top);
        assert!(!passwds.contains(&session.passwd));
        passwds.push(session.passwd);
    }
    let mut other = EngineConfig::default();
    other.seed = 1;
    let mut other = World::new(other);
    let server = other.engine.add_server();
    assert_ne!(other.session(server, 10_000).passwd, passwds[0]);
}

#[test]
fn the_read_only_byte_is_answered_in_kind() {
    let (mut world, server) = World::standalone();
    for (read_only, len) in [(None, 36), (Some(false), 37), (Some(true), 37)] {
        let conn = world.open(server);
        world.connect_with(conn, &ConnectRequest { read_only, ..new_session(9000) });
        assert_eq!(world.frame(conn).unwrap().len(), len);
    }
}

#[test]
fn a_session_expires_never_early_and_at_most_a_tick_late() {
    for start in [0, 1, 999, 1999, 2000, 3777] {
        for timeout in [4000, 4001, 5000, 7999, 8000] {
            let (mut world, server) = World::standalone();
            world.pass(start);
            let watcher = world.session(server, 40_000);
            let session = world.session(server, timeout);
            world.created(&session, &Request::create("/e1", b"", CreateMode::Ephemeral));
            world.created(&session, &Request::create("/e2", b"", CreateMode::Ephemeral));
            world.call(&watcher, &Request::exists("/e1", true)).unwrap();
            let touched = world.now;
            let millis = u64::try_from(timeout).unwrap();
            world.pass(millis);
            assert_eq!(world.link(&session), ServerLink::Up, "early: {start} {timeout}");
            world.pass(2000);
            assert_eq!(world.link(&session), ServerLink::Down, "late: {start} {timeout}");
            assert_eq!(world.reason(&session), Some(CloseReason::SessionExpired));
            assert_eq!(world.drain(session.conn), [], "expiry sends no frame");
            assert_eq!(world.events(&watcher), [(EventType::NodeDeleted, "/e1".into())]);
            assert_eq!(world.stat(&watcher, "/e2"), Err(ErrorCode::NoNode));
            assert_eq!(world.engine.node_count(), 4);
            assert_eq!(world.stat(&watcher, "/").unwrap().pzxid, world.engine.last_zxid());
            assert!(world.now <= touched + millis + 2000);
            let refused = world.resume(server, &session);
            assert_eq!((refused.id, refused.timeout), (SessionId::NONE, 0));
            assert_eq!(refused.passwd.0, [0; 16]);
            assert_eq!(world.link(&refused), ServerLink::Down);
        }
    }
}

#[test]
fn requests_keep_a_session_alive_and_auth_does_not() {
    let (mut world, server) = World::standalone();
    let (pinging, authing) = (world.session(server, 4000), world.session(server, 4000));
    for _ in 0..4 {
        world.pass(1900);
        world.request(&pinging, -7, &Request::Ping);
        let Some(Got::Reply { xid: -2, err: 0, .. }) = world.got(&pinging) else { panic!() };
        let auth = request_bytes(-4, &Request::add_auth("digest", b"a:b"));
        world.send(authing.conn, &auth); // at last nobody takes it
    }
    assert_eq!(world.link(&pinging), ServerLink::Up);
    assert_eq!(world.reason(&authing), Some(CloseReason::SessionExpired));
}

#[test]
fn a_lost_connection_is_not_the_end_of_a_session() {
    let (mut world, servers) = ensemble(2);
    let session = world.session(servers[0], 5000);
    world.created(&session, &Request::create("/e", b"", CreateMode::Ephemeral));
    world.lose(&session);
    assert_eq!(world.link(&session), ServerLink::Down);
    world.pass(4900);
    let again = world.resume(servers[1], &session);
    assert_eq!((again.id, again.passwd), (session.id, session.passwd));
    world.pass(4900);
    assert_eq!(world.stat(&again, "/e").unwrap().ephemeral_owner, session.id.0);
    let info = world.engine.sessions().next().unwrap();
    assert_eq!((info.owner, info.connection), (servers[1], Some(again.conn)));
}

#[test]
fn a_wrong_password_is_refused_but_costs_the_live_connection() {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 10_000);
    for passwd in [Some(&[7; 16][..]), Some(&session.passwd.0[..15]), None] {
        let live = world.resume(server, &session);
        let conn = world.open(server);
        let stranger = ConnectRequest {
            session_id: session.id,
            passwd,
            read_only: None,
            ..new_session(10_000)
        };
        world.connect_with(conn, &stranger);
        let refused = world.connected(conn).unwrap();
        assert_eq!((refused.id, refused.timeout), (SessionId::NONE, 0));
        assert_eq!(world.engine.poll_reason(conn), Some(CloseReason::SessionRefused));
        assert_eq!(world.reason(&live), Some(CloseReason::Resumed));
    }
    assert_eq!(world.resume(server, &session).id, session.id);
}

#[test]
fn a_client_that_has_seen_more_is_turned_away_without_a_word() {
    let (mut world, server) = World::standalone();
    let zxid = world.engine.last_zxid();
    let conn = world.open(server);
    world
        .connect_with(conn, &ConnectRequest { last_zxid_seen: Zxid(zxid.0 + 1), ..new_session(1) });
    assert_eq!(world.drain(conn), []);
    assert_eq!(world.engine.poll_link(conn), ServerLink::Down);
    assert_eq!(world.engine.poll_reason(conn), Some(CloseReason::ZxidAhead));
    let conn = world.open(server);
    world.connect_with(conn, &ConnectRequest { last_zxid_seen: zxid, ..new_session(1) });
    assert!(world.connected(conn).is_some());
}

#[test]
fn requests_behind_the_handshake_are_served_behind_it() {
    let (mut world, server) = World::standalone();
    let conn = world.open(server);
    let mut bytes = connect_bytes(&new_session(10_000));
    bytes.extend(request_bytes(1, &Request::create("/a", b"1", CreateMode::Persistent)));
    bytes.extend(request_bytes(2, &Request::get_data("/a", false)));
    bytes.extend(request_bytes(3, &Request::CloseSession));
    bytes.extend(request_bytes(4, &Request::sync("/"))); // dropped
    world.send(conn, &bytes);
    let session = world.connected(conn).unwrap();
    for expected in 1..=3 {
        let Some(Got::Reply { xid, err: 0, .. }) = world.got(&session) else { panic!() };
        assert_eq!(xid, expected);
    }
    assert_eq!(world.got(&session), None);
    assert_eq!(world.reason(&session), Some(CloseReason::SessionClosed));
}

#[test]
fn what_a_stale_connection_may_do_depends_on_its_server() {
    let set = Request::set_data("/q", b"stale", -1);
    // On a follower: reads, pings and syncs, but no write.
    let (mut world, servers) = ensemble(3);
    let old = world.session(servers[1], 10_000);
    world.created(&old, &Request::create("/q", b"", CreateMode::Ephemeral));
    let new = world.resume(servers[2], &old);
    assert!(world.stat(&old, "/q").is_ok());
    world.call(&old, &Request::sync("/")).unwrap();
    world.request(&old, -2, &Request::Ping);
    assert!(matches!(world.got(&old), Some(Got::Reply { xid: -2, .. })));
    let zxid = world.engine.last_zxid();
    world.request(&old, 9, &set);
    assert_eq!(world.got(&old), None);
    assert_eq!(world.reason(&old), Some(CloseReason::SessionMoved));
    assert_eq!(world.engine.last_zxid(), Zxid(zxid.0 + 1));
    assert_eq!(world.stat(&new, "/q").unwrap().version, 0);
    // A write that does not decode is answered before anyone asks who owns the session, or not.
    for (op, answered) in [
        (OpCode::Create, true),
        (OpCode::Create2, true),
        (OpCode::CreateContainer, true),
        (OpCode::Multi, true),
        (OpCode::Delete, false),
        (OpCode::SetData, false),
        (OpCode::SetAcl, false),
    ] {
        let (mut world, servers) = ensemble(3);
        let old = world.session(servers[1], 10_000);
        let _new = world.resume(servers[2], &old);
        world.send(old.conn, &framed(|w| RequestHeader { xid: Xid(9), op: op.to_wire() }.write(w)));
        let malformed = ErrorCode::MarshallingError.to_wire();
        match (world.got(&old), world.reason(&old)) {
            (Some(Got::Reply { err, .. }), None) => {
                assert!(answered && err == malformed, "{op:?}");
            }
            (None, Some(CloseReason::SessionMoved)) => assert!(!answered, "{op:?}"),
            other => panic!("{op:?}: {other:?}"),
        }
    }
    // Moving back works: who came last owns.
    let back = world.resume(servers[1], &new);
    world.call(&back, &set).unwrap();
    world.request(&new, 9, &set);
    assert_eq!(world.reason(&new), Some(CloseReason::SessionMoved));

    // On the leader: nothing.
    let (mut world, servers) = ensemble(2);
    let old = world.session(servers[0], 10_000);
    let _new = world.resume(servers[1], &old);
    world.request(&old, 9, &Request::exists("/", false));
    assert_eq!(world.got(&old), None);
    assert_eq!(world.reason(&old), Some(CloseReason::SessionMoved));

    // Anywhere: the end of the session.
    for first in 0..2 {
        let (mut world, servers) = ensemble(3);
        let old = world.session(servers[first], 10_000);
        let new = world.resume(servers[2], &old);
        world.created(&new, &Request::create("/e", b"", CreateMode::Ephemeral));
        world.call(&old, &Request::CloseSession).unwrap();
        assert_eq!(world.reason(&new), Some(CloseReason::SessionClosed));
        assert_eq!(world.engine.node_count(), 4);
        assert_eq!(world.engine.sessions().count(), 0);
    }

    // On the same server: closed when the new one comes.
    let (mut world, server) = World::standalone();
    let old = world.session(server, 10_000);
    let new = world.resume(server, &old);
    assert_eq!(world.reason(&old), Some(CloseReason::Resumed));
    assert_eq!(world.link(&new), ServerLink::Up);
}

#[test]
fn an_administrator_can_end_sessions_and_stop_servers() {
    let (mut world, servers) = ensemble(2);
    let (one, two) = (world.session(servers[0], 10_000), world.session(servers[1], 10_000));
    world.created(&one, &Request::create("/e", b"", CreateMode::Ephemeral));
    assert!(world.engine.expire_session(world.at(), one.id));
    assert!(!world.engine.expire_session(world.at(), one.id));
    assert_eq!(world.reason(&one), Some(CloseReason::SessionExpired));
    assert_eq!(world.engine.node_count(), 4);
    world.engine.stop_server(world.at(), servers[1]);
    assert_eq!(world.reason(&two), Some(CloseReason::ServerStopped));
    assert_eq!(world.resume(servers[0], &two).id, two.id);
    world.ready();
    assert_eq!(world.ready().len(), 0, "nothing is ready twice");
}

#[test]
fn one_session_is_looked_up_as_it_is_listed() {
    let (mut world, servers) = ensemble(2);
    let (one, two) = (world.session(servers[0], 10_000), world.session(servers[1], 8000));
    world.created(&one, &Request::create("/e", b"", CreateMode::Ephemeral));
    let all: Vec<_> = world.engine.sessions().collect();
    for session in &all {
        assert_eq!(world.engine.session(session.session_id), Some(*session));
    }
    let found = world.engine.session(one.id).unwrap();
    assert_eq!((found.owner, found.connection, found.ephemerals), (servers[0], Some(one.conn), 1));
    world.lose(&two);
    let found = world.engine.session(two.id).unwrap();
    assert_eq!((found.timeout, found.connection), (Duration::from_secs(8), None));
    world.engine.expire_session(world.at(), two.id);
    assert_eq!(world.engine.session(two.id), None);
    assert_eq!(world.engine.session(SessionId(0)), None);
}

#[test]
fn silent_connections_are_closed() {
    let (mut world, server) = World::standalone();
    world.pass(3000);
    let conn = world.open(server);
    world.send(conn, &[0, 0]);
    world.pass(9999);
    assert_eq!(world.engine.poll_link(conn), ServerLink::Up);
    world.pass(10_001);
    assert_eq!(world.engine.poll_reason(conn), Some(CloseReason::Idle));
}

#[test]
fn bytes_one_by_one_mean_the_same() {
    let script = |session: &server_common::Session| {
        let mut bytes = Vec::new();
        for (xid, request) in (1..).zip([
            Request::create("/a", b"data", CreateMode::Persistent),
            Request::get_data("/a", true),
            Request::create("/a/b-", b"", CreateMode::EphemeralSequential),
            Request::set_data("/a", b"more", 0),
            Request::get_children2("/a", true),
            Request::delete("/a", -1),
            Request::Ping,
            Request::add_auth("digest", b"a:b"),
            Request::WhoAmI,
            Request::CloseSession,
        ]) {
            bytes.extend(request_bytes(xid, &request));
        }
        assert!(session.id.is_some());
        bytes
    };
    let run = |step: usize| {
        let (mut world, server) = World::standalone();
        let session = world.session(server, 10_000);
        let mut all = Vec::new();
        for chunk in script(&session).chunks(step) {
            world.send(session.conn, chunk);
            all.extend(world.drain(session.conn));
        }
        (all, world.engine.last_zxid(), world.reason(&session))
    };
    let whole = run(usize::MAX);
    for step in [1, 2, 3, 5, 7, 64] {
        assert_eq!(run(step), whole, "{step} bytes at a time");
    }
}

#[test]
fn impossible_lengths_cost_their_connection() {
    let (mut world, server) = World::standalone();
    for bytes in [[0xff; 4], [0; 4], [0, 0x10, 0, 0]] {
        let fresh = world.open(server);
        world.send(fresh, &bytes);
        assert_eq!(world.engine.poll_link(fresh), ServerLink::Down);
        let session = world.session(server, 10_000);
        world.send(session.conn, &bytes);
        let len = i32::from_be_bytes(bytes);
        assert_eq!(world.reason(&session), Some(CloseReason::BadFrameLength { len }));
        assert_eq!(world.resume(server, &session).id, session.id);
    }
    let session = world.session(server, 10_000);
    world.send(session.conn, &[0, 0, 0, 4, 0, 0, 0, 1]);
    assert_eq!(world.reason(&session), Some(CloseReason::BadFrameLength { len: 4 }));
}

#[test]
fn who_does_not_read_waits_and_then_loses_its_own_connection() {
    let mut config = EngineConfig::default();
    config.outbox_limit = 1 << 20;
    let mut world = World::new(config);
    let server = world.engine.add_server();
    let (slow, writer) = (world.session(server, 10_000), world.session(server, 10_000));
    let data = vec![7; 100 << 10];
    world.created(&writer, &Request::create("/big", &data, CreateMode::Persistent));
    let request = request_bytes(1, &Request::get_data("/big", false));
    let mut taken = 0;
    for _ in 0..1000 {
        taken += world.send(slow.conn, &request);
    }
    assert!(taken < 20 * request.len(), "{taken} bytes were read from who does not read");
    assert!(world.engine.poll_io(slow.conn).recv.is_empty());
    assert!(world.engine.poll_transmit(slow.conn).len() < 512 << 10);
    // Once it reads, it goes on where it was, and is ready to be read from.
    world.ready();
    while let Some(got) = world.got(&slow) {
        assert!(matches!(got, Got::Reply { xid: 1, err: 0, .. }));
    }
    assert_eq!(world.ready(), [slow.conn]);
    assert!(!world.engine.poll_io(slow.conn).recv.is_empty());
    // Events come without being asked for: they fill the outbox to its limit.
    let watch = Request::add_watch("/big", zk_session::wire::AddWatchMode::Persistent);
    let slow = world.resume(server, &slow);
    world.call(&slow, &watch).unwrap();
    for _ in 0..30_000 {
        world.call(&writer, &Request::set_data("/big", b"", -1)).unwrap();
    }
    assert!(matches!(world.reason(&slow), Some(CloseReason::SlowConsumer { .. })));
    assert_eq!(world.link(&writer), ServerLink::Up);
    assert_eq!(world.resume(server, &slow).id, slow.id);
}

#[test]
fn x5_ten_thousand_sessions_expire_in_their_tick_and_no_heartbeat_waits() {
    const LOST: usize = 10_000;
    let (mut world, server) = World::standalone();
    let alive: Vec<_> = (0..50).map(|_| world.session(server, 4000)).collect();
    let lost: Vec<_> = (0..LOST).map(|_| world.session(server, 4000)).collect();
    for (i, session) in lost.iter().enumerate() {
        let mode = CreateMode::EphemeralSequential;
        world.request(session, 1, &Request::create("/e-", b"", mode));
        if i % 2 == 0 {
            world.lose(session); // the others are connected, and silent
        }
    }
    let beat = |world: &mut World| {
        for session in &alive {
            world.request(session, -2, &Request::Ping);
            assert!(matches!(world.got(session), Some(Got::Reply { xid: -2, .. })));
        }
    };
    // Heartbeats a millisecond before the tick, in it, and behind it.
    world.pass(5999);
    beat(&mut world);
    assert_eq!(world.engine.node_count(), 4 + LOST);
    assert_eq!(world.engine.poll_timeout(), Some(Instant::from_millis(6000)));
    world.now = 6000;
    beat(&mut world);
    world.engine.handle_timeout(world.at());
    beat(&mut world);
    assert_eq!(world.engine.node_count(), 4);
    assert_eq!(world.engine.sessions().count(), alive.len());
    assert!(world.engine.poll_timeout() > Some(world.at()), "nothing is left to be done");
    for session in lost.iter().skip(1).step_by(2) {
        assert_eq!(world.reason(session), Some(CloseReason::SessionExpired));
    }
    for _ in 0..5 {
        world.pass(3999);
        beat(&mut world);
    }
    assert_eq!(world.engine.sessions().count(), alive.len());
}

#[test]
fn x3_a_session_with_fifty_thousand_ephemerals_ends_in_one_transaction() {
    const OWNED: i32 = 50_000;
    for closed in [true, false] {
        let (mut world, server) = World::standalone();
        let owner = world.session(server, 4000);
        let watcher = world.session(server, 40_000);
        world.created(&watcher, &Request::create("/d", b"", CreateMode::Persistent));
        for i in 0..OWNED {
            // As long a name as makes the list of all of them exceed any frame.
            let path = format!("/d/a-name-that-is-long-enough-for-many-of-them-{i}");
            world.call(&owner, &Request::create(&path, b"", CreateMode::Ephemeral)).unwrap();
        }
        world.call(&watcher, &Request::get_children("/d", true)).unwrap_or_default();
        let last = "/d/a-name-that-is-long-enough-for-many-of-them-0";
        world.call(&watcher, &Request::exists(last, true)).unwrap();
        let before = world.engine.last_zxid();
        if closed {
            world.call(&owner, &Request::CloseSession).unwrap();
        } else {
            world.pass(6000);
            assert_eq!(world.reason(&owner), Some(CloseReason::SessionExpired));
        }
        assert_eq!(world.engine.last_zxid(), Zxid(before.0 + 1));
        assert_eq!(world.engine.node_count(), 5);
        let mut events = world.events(&watcher);
        events.sort_by_key(|(kind, _)| kind.to_wire());
        let changed = (EventType::NodeChildrenChanged, "/d".to_owned());
        assert_eq!(events, [(EventType::NodeDeleted, last.to_owned()), changed]);
        let stat = world.stat(&watcher, "/d").unwrap();
        assert_eq!((stat.cversion, stat.num_children), (2 * OWNED, 0));
        assert_eq!(stat.pzxid, world.engine.last_zxid());
    }
}

#[test]
fn garbage_never_panics_and_hurts_nobody_else() {
    use proptest::prelude::*;
    let ops: Vec<i32> = (-12..25).chain(98..110).collect();
    let frame = (proptest::sample::select(ops), proptest::collection::vec(any::<u8>(), 0..40));
    let script = proptest::collection::vec((frame, any::<bool>(), 0_u64..3000), 1..40);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let outcome = runner.run(&script, |script| {
        let (mut world, server) = World::standalone();
        let bystander = world.session(server, 40_000);
        let mut session = world.session(server, 4000);
        for ((op, body), raw, millis) in script {
            let bytes = if raw {
                body
            } else {
                server_common::framed(|w| {
                    RequestHeader { xid: Xid(1), op }.write(w);
                    w.raw(&body);
                })
            };
            world.send(session.conn, &bytes);
            world.drain(session.conn);
            if world.link(&session) != ServerLink::Up {
                world.lose(&session);
                session = world.session(server, 4000);
            }
            world.pass(millis);
            world.request(&bystander, -2, &Request::Ping);
            prop_assert!(world.frame(bystander.conn).is_some());
        }
        prop_assert_eq!(world.link(&bystander), ServerLink::Up);
        prop_assert!(OpCode::from_wire(999).is_none());
        Ok(())
    });
    outcome.unwrap();
}
