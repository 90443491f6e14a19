//! Limits, and input that nobody should send: each costs its own connection only, has its cause,
//! and leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

#[allow(dead_code, reason = "bytes are enough here")]
#[path = "support/rng.rs"]
mod rng;
mod server_common;

use rng::Rng;
use server_common::{Session, World, connect_bytes, new_session, request_bytes};
use zk_session::Duration;
use zk_session::server::{CloseReason, ConnectionId, EngineConfig, ServerId, ServerLink};
use zk_session::wire::{CreateMode, Request};

fn world(servers: usize, change: impl FnOnce(&mut EngineConfig)) -> (World, Vec<ServerId>) {
    let mut config = EngineConfig::default();
    change(&mut config);
    let mut world = World::new(config);
    let servers = (0..servers).map(|_| world.engine.add_server()).collect();
    (world, servers)
}

fn from(world: &mut World, server: ServerId, host: u8) -> ConnectionId {
    world.engine.accept(world.at(), server, ([10, 0, 0, host], 40_000).into())
}

/// The driver's part when a link is down: says why, and forgets the connection.
fn forget(world: &mut World, conn: ConnectionId) -> Option<CloseReason> {
    let reason = world.engine.poll_reason(conn);
    world.engine.handle_disconnected(world.at(), conn);
    reason
}

/// Someone who is served all the time, and asks for it.
struct Bystander(Session);

impl Bystander {
    fn new(world: &mut World, server: ServerId) -> Self {
        let session = world.session(server, 40_000);
        world.call(&session, &Request::create("/by", b"stander", CreateMode::Persistent)).unwrap();
        let bystander = Self(session);
        bystander.is_served(world); // its buffers have their size now
        bystander
    }

    fn is_served(&self, world: &mut World) {
        let got = world.call(&self.0, &Request::get_data("/by", false)).unwrap();
        assert!(got.windows(7).any(|bytes| bytes == b"stander"));
    }
}

#[test]
fn connections_from_one_address_are_limited_by_server() {
    let (mut world, servers) = world(2, |config| config.max_client_connections = 3);
    let admitted: Vec<_> = (0..3).map(|_| from(&mut world, servers[0], 1)).collect();
    for _ in 0..5 {
        let refused = from(&mut world, servers[0], 1);
        assert_eq!(world.engine.poll_link(refused), ServerLink::Down);
        assert!(world.engine.poll_transmit(refused).is_empty());
        assert!(world.ready().contains(&refused));
        let reason = forget(&mut world, refused);
        assert_eq!(reason, Some(CloseReason::TooManyFromAddress { limit: 3 }));
    }
    assert_eq!(world.engine.connection_count(servers[0]), 3);
    for other in [from(&mut world, servers[0], 2), from(&mut world, servers[1], 1)] {
        assert_eq!(world.engine.poll_link(other), ServerLink::Up);
    }
    forget(&mut world, admitted[1]);
    let next = from(&mut world, servers[0], 1);
    assert_eq!(world.engine.poll_link(next), ServerLink::Up);
    let conn = from(&mut world, servers[0], 3);
    world.send(conn, b"mntr");
    let text = String::from_utf8(world.drain(conn)).unwrap();
    assert!(text.contains("\nzk_connection_rejected\t5\n"), "{text}");
    assert!(text.contains("\nzk_num_alive_connections\t5\n"), "{text}");
}

#[test]
fn connections_to_a_server_are_limited() {
    let (mut world, servers) = world(2, |config| config.max_connections = 2);
    let first = from(&mut world, servers[0], 1);
    let _second = from(&mut world, servers[0], 2);
    let third = from(&mut world, servers[0], 3);
    let reason = forget(&mut world, third);
    assert_eq!(reason, Some(CloseReason::TooManyConnections { limit: 2 }));
    let elsewhere = from(&mut world, servers[1], 3);
    assert_eq!(world.engine.poll_link(elsewhere), ServerLink::Up);
    forget(&mut world, first);
    let fourth = from(&mut world, servers[0], 3);
    assert_eq!(world.engine.poll_link(fourth), ServerLink::Up);
}

#[test]
fn handshakes_take_tokens_and_time_brings_them_back() {
    let (mut world, servers) = world(2, |config| {
        config.connection_throttle_tokens = 2;
        config.connection_throttle_fill_time = Duration::from_millis(100);
    });
    let try_session = |world: &mut World, server: ServerId| {
        let conn = world.open(server);
        world.connect_with(conn, &new_session(10_000));
        let session = world.connected(conn);
        if session.is_none() {
            assert_eq!(forget(world, conn), Some(CloseReason::Throttled));
        }
        session
    };
    assert!(try_session(&mut world, servers[0]).is_some());
    assert!(try_session(&mut world, servers[0]).is_some());
    assert!(try_session(&mut world, servers[0]).is_none());
    assert!(try_session(&mut world, servers[1]).is_some(), "each server has its own");
    world.pass(100);
    assert!(try_session(&mut world, servers[0]).is_none(), "only after the whole time");
    world.pass(1);
    assert!(try_session(&mut world, servers[0]).is_some());
    assert!(try_session(&mut world, servers[0]).is_none());
    world.pass(100_000);
    assert!(try_session(&mut world, servers[0]).is_some());
    assert!(try_session(&mut world, servers[0]).is_some());
    assert!(try_session(&mut world, servers[0]).is_none(), "never more than there are");
    assert_eq!(world.engine.sessions().count(), 2, "the first four have expired");
}

#[test]
fn a_new_session_weighs_more_than_a_resumed_one() {
    let (mut world, servers) = world(1, |config| {
        config.connection_throttle_tokens = 7;
        config.connection_throttle_fill_time = Duration::from_secs(600);
        config.connection_throttle_weights = true;
    });
    let session = world.session(servers[0], 10_000); // 4 left
    let session = world.resume(servers[0], &session); // 2 left
    let conn = world.open(servers[0]);
    world.connect_with(conn, &new_session(10_000));
    assert_eq!(forget(&mut world, conn), Some(CloseReason::Throttled));
    assert!(world.resume(servers[0], &session).id.is_some()); // 0 left
}

#[test]
fn above_the_outstanding_limit_only_those_are_read_who_take_their_answers() {
    let (mut world, servers) = world(2, |config| config.global_outstanding_limit = 10);
    let server = servers[0];
    let [a, b, c] = [0; 3].map(|_| world.session(server, 10_000));
    let elsewhere = world.session(servers[1], 10_000);
    let ask = |world: &mut World, who: &Session| {
        world.send(who.conn, &request_bytes(1, &Request::exists("/", false))) > 0
    };
    for _ in 0..5 {
        assert!(ask(&mut world, &a) && ask(&mut world, &b));
    }
    assert!(ask(&mut world, &a));
    assert_eq!(world.engine.outstanding(server), 11);
    assert!(!ask(&mut world, &a) && !ask(&mut world, &b));
    assert!(ask(&mut world, &c), "it has taken all of its answers");
    assert!(ask(&mut world, &elsewhere), "another server");
    world.ready();
    world.drain(a.conn);
    assert!(world.ready().contains(&a.conn));
    assert!(ask(&mut world, &a) && ask(&mut world, &b), "below the limit again");
    for session in [&a, &b, &c] {
        world.drain(session.conn);
    }
    assert_eq!(world.engine.outstanding(server), 0);
    assert!(ask(&mut world, &a));
    forget(&mut world, a.conn);
    assert_eq!(world.engine.outstanding(server), 0, "what nobody can take is not outstanding");
}

#[test]
fn large_requests_share_a_limit_while_they_arrive() {
    let (mut world, servers) = world(1, |config| {
        config.large_request_threshold = Some(1000);
        config.large_request_max_bytes = 25_000;
    });
    let [a, b, c] = [0; 3].map(|_| world.session(servers[0], 10_000));
    let large = request_bytes(1, &Request::create("/a", &[1; 10_000], CreateMode::Persistent));
    let half = large.len() / 2;
    world.send(a.conn, &large[..half]);
    world.send(b.conn, &large[..half]);
    world.send(c.conn, &large[..half]);
    let len = large.len() - 4;
    assert_eq!(world.reason(&c), Some(CloseReason::LargeRequests { len }));
    assert_eq!(world.link(&a), ServerLink::Up);
    world.send(a.conn, &large[half..]);
    assert!(world.got(&a).is_some());
    let c = world.resume(servers[0], &c);
    world.send(c.conn, &large[..half]);
    assert_eq!(world.link(&c), ServerLink::Up, "the first one's bytes are free again");
    world.lose(&c);
    world.lose(&b);
    let [d, e] = [0; 2].map(|_| world.session(servers[0], 10_000));
    world.send(d.conn, &large[..half]);
    world.send(e.conn, &large[..half]);
    assert_eq!((world.link(&d), world.link(&e)), (ServerLink::Up, ServerLink::Up));
}

#[test]
fn garbage_before_the_handshake_costs_its_own_connection_only() {
    let (mut world, servers) = world(1, |config| config.frame_limit = 4096);
    let server = servers[0];
    let bystander = Bystander::new(&mut world, server);
    let held = world.engine.buffer_bytes();
    let mut rng = Rng::new(7);
    let http = b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n".to_vec();
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let mut all = vec![http, tls, vec![0; 64], vec![0xff; 64]];
    all.extend((0..200).map(|_| rng.bytes(100)));
    let mut reasons = [0; 3];
    for garbage in &all {
        let conn = world.open(server);
        world.send(conn, garbage);
        bystander.is_served(&mut world);
        assert!(world.drain(conn).is_empty(), "{garbage:?}");
        if world.engine.poll_link(conn) == ServerLink::Up {
            world.pass(20_000); // waits for the rest of a frame
            bystander.is_served(&mut world);
        }
        assert_eq!(world.engine.poll_link(conn), ServerLink::Down, "{garbage:?}");
        match forget(&mut world, conn) {
            Some(CloseReason::BadFrameLength { .. }) => reasons[0] += 1,
            Some(CloseReason::Malformed(_)) => reasons[1] += 1,
            Some(CloseReason::Idle) => reasons[2] += 1,
            other => panic!("{other:?} for {garbage:?}"),
        }
    }
    assert!(reasons[0] > 100, "{reasons:?}");
    assert_eq!(world.engine.connection_count(server), 1);
    assert_eq!(world.engine.buffer_bytes(), held);
    assert_eq!(world.engine.sessions().count(), 1);
}

#[test]
fn a_frame_beyond_the_limit_costs_its_own_connection_only() {
    let (mut world, servers) = world(1, |config| config.frame_limit = 4096);
    let server = servers[0];
    let bystander = Bystander::new(&mut world, server);
    let held = world.engine.buffer_bytes();
    for (len, fits) in [(4096, true), (4097, false), (i32::MAX, false), (0, false), (-1, false)] {
        let session = world.session(server, 10_000);
        world.send(session.conn, &len.to_be_bytes());
        world.send(session.conn, &[0; 100]);
        bystander.is_served(&mut world);
        let reason = world.reason(&session);
        if fits {
            assert_eq!(reason, None);
        } else {
            assert_eq!(reason, Some(CloseReason::BadFrameLength { len }));
        }
        assert_eq!(world.link(&session) == ServerLink::Up, fits);
        forget(&mut world, session.conn);
    }
    assert_eq!(world.engine.connection_count(server), 1);
    assert_eq!(world.engine.buffer_bytes(), held);
}

#[test]
fn a_client_that_sends_a_byte_now_and_then_is_not_waited_for() {
    let (mut world, servers) = world(1, |_| {});
    let server = servers[0];
    let bystander = Bystander::new(&mut world, server);
    let held = world.engine.buffer_bytes();
    let handshake = connect_bytes(&new_session(10_000));
    let huge = [&0xf_0000_u32.to_be_bytes()[..], &[0; 100]].concat();
    for bytes in [handshake, huge] {
        let conn = world.open(server);
        let mut sent = bytes.iter();
        for _ in 0..20 {
            if world.engine.poll_link(conn) == ServerLink::Up {
                world.send(conn, &[*sent.next().unwrap()]);
            }
            let buffered = world.engine.buffer_bytes() - held;
            assert!(buffered <= 32 << 10, "{buffered} bytes for a promise");
            world.pass(1_000);
            bystander.is_served(&mut world);
        }
        assert!(sent.len() > 0);
        assert_eq!(forget(&mut world, conn), Some(CloseReason::Idle));
    }
    // Within a session it is the session that ends.
    let session = world.session(server, 4_000);
    let request = request_bytes(1, &Request::get_data("/by", false));
    for byte in &request[..10] {
        world.send(session.conn, &[*byte]);
        world.pass(1_000);
        bystander.is_served(&mut world);
    }
    assert_eq!(forget(&mut world, session.conn), Some(CloseReason::SessionExpired));
    assert_eq!(world.engine.connection_count(server), 1);
    assert_eq!(world.engine.buffer_bytes(), held);
}

#[test]
fn a_client_that_never_reads_costs_a_bounded_amount_and_then_its_connection() {
    let (mut world, servers) = world(1, |config| config.outbox_limit = 1 << 20);
    let server = servers[0];
    let bystander = Bystander::new(&mut world, server);
    let held = world.engine.buffer_bytes();
    let session = world.session(server, 10_000);
    let data = [1; 1000];
    world.call(&bystander.0, &Request::create("/w", &data, CreateMode::Persistent)).unwrap();
    let get = request_bytes(1, &Request::get_data("/w", true));
    let mut taken = 0;
    for _ in 0..10_000 {
        taken += usize::from(world.send(session.conn, &get) == get.len());
    }
    assert!(taken < 1000, "{taken} requests taken from one who does not read");
    let buffered = world.engine.buffer_bytes() - held;
    assert!(buffered < 2 << 20, "{buffered}");
    assert_eq!(world.link(&session), ServerLink::Up);
    bystander.is_served(&mut world);
    // Events cannot wait: they take the rest of the room, then the connection.
    let persistent = world.session(server, 40_000);
    let path = format!("/{}", "p".repeat(2000));
    let watch = Request::AddWatch { path: path.as_str().into(), mode: 0 };
    world.call(&persistent, &watch).unwrap();
    let mut changes = 0;
    while world.link(&persistent) == ServerLink::Up {
        let request = match changes % 2 {
            0 => Request::create(&path, b"", CreateMode::Persistent),
            _ => Request::delete(&path, -1),
        };
        world.call(&bystander.0, &request).unwrap();
        changes += 1;
        assert!(changes < 2000);
    }
    let reason = forget(&mut world, persistent.conn);
    assert!(matches!(reason, Some(CloseReason::SlowConsumer { .. })), "{reason:?}");
    // And whoever stays silent goes with its session.
    for _ in 0..10 {
        world.pass(2_000);
        bystander.is_served(&mut world);
    }
    assert_eq!(forget(&mut world, session.conn), Some(CloseReason::SessionExpired));
    assert_eq!(world.engine.outstanding(server), 0);
    assert_eq!(world.engine.connection_count(server), 1);
    let grown = world.engine.buffer_bytes() - held;
    assert!(grown < 16 << 10, "{grown} of the bystander's own");
}

#[test]
fn a_client_that_does_not_take_its_last_answer_is_not_waited_for() {
    let (mut world, servers) = world(1, |_| {});
    let conn = world.open(servers[0]);
    world.send(conn, b"mntr");
    assert_eq!(world.engine.poll_link(conn), ServerLink::Closing);
    world.pass(9_000);
    assert_eq!(world.engine.poll_link(conn), ServerLink::Closing);
    world.pass(11_000);
    assert_eq!(world.engine.poll_link(conn), ServerLink::Down);
    assert_eq!(forget(&mut world, conn), Some(CloseReason::FourLetterWord));
}

#[test]
fn a_thousand_connections_that_say_nothing_go_and_leave_nothing() {
    let (mut world, servers) = world(1, |_| {});
    let server = servers[0];
    let bystander = Bystander::new(&mut world, server);
    let held = world.engine.buffer_bytes();
    let silent: Vec<_> = (0..1000).map(|_| world.open(server)).collect();
    assert_eq!(world.engine.connection_count(server), 1001);
    assert_eq!(world.engine.buffer_bytes(), held, "what says nothing holds no buffer");
    for _ in 0..20 {
        world.pass(1_000);
        bystander.is_served(&mut world);
    }
    let ready = world.ready();
    for conn in silent {
        assert!(ready.contains(&conn));
        assert_eq!(world.engine.poll_link(conn), ServerLink::Down);
        assert_eq!(forget(&mut world, conn), Some(CloseReason::Idle));
    }
    assert_eq!(world.engine.connection_count(server), 1);
    assert_eq!(world.engine.connections(server).count(), 1);
    assert_eq!(world.engine.buffer_bytes(), held);
    bystander.is_served(&mut world);
}
