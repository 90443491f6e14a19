//! The tiny ensemble: what it refuses, and what becomes of its clients when memory is full.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(feature = "server")]

mod tiny_common;

use allocation_counter::measure;
use tiny_common::{AMPLE, Got, HANDFUL, Size, World, connect_bytes, new_session, request_bytes};
use zk_session::server::tiny::{Config, Ensemble, Memory, NodeSlot, WatchSlot};
use zk_session::server::{CloseReason, ServerLink, SessionSlot};
use zk_session::wire::{
    Acl, AddWatchMode, ConnectRequest, Create, CreateMode, EventType, List, MultiOp, Reader,
    Request, SetWatches, Ustring, Zxid,
};
use zk_session::{ConfigError, ErrorCode, Instant};

use CreateMode::{Ephemeral, EphemeralSequential, Persistent};

fn create<'a>(path: &'a str, data: &'a [u8]) -> Request<'a> {
    Request::create(path, data, Persistent)
}

/// Bytes of the names that there are from the beginning.
const INITIAL: usize = "zookeeperquotaconfig".len();

#[test]
fn when_slots_for_znodes_are_full_a_create_fails_until_one_is_free() {
    let mut world = World::new(Size { nodes: 6, ..HANDFUL });
    let session = world.session(10_000);
    world.call(&session, &create("/a", b"")).unwrap();
    world.call(&session, &create("/b", b"")).unwrap();
    assert_eq!(world.call(&session, &create("/c", b"")), Err(ErrorCode::SystemError));
    assert_eq!(world.stat(&session, "/c"), Err(ErrorCode::NoNode));
    assert_eq!(world.stat(&session, "/").unwrap().num_children, 3);
    world.call(&session, &Request::delete("/a", -1)).unwrap();
    world.call(&session, &create("/c", b"")).unwrap();
}

#[test]
fn when_bytes_are_full_a_write_fails_and_what_was_there_stays() {
    let mut world = World::new(Size { bytes: INITIAL + 20, ..HANDFUL });
    let session = world.session(10_000);
    world.call(&session, &create("/a", b"0123456789")).unwrap();
    world.call(&session, &create("/b", b"01234567")).unwrap();
    assert_eq!(world.ensemble.bytes_used(), INITIAL + 20);
    for full in [
        create("/c", b""),
        Request::set_data("/a", b"0123456789x", -1),
        Request::exists("/a", true),
    ] {
        assert_eq!(world.call(&session, &full), Err(ErrorCode::SystemError), "{full:?}");
    }
    assert_eq!(world.stat(&session, "/a").unwrap().version, 0);
    let data = world.call(&session, &Request::get_data("/a", false)).unwrap();
    assert!(data.starts_with(b"\0\0\0\x0a0123456789"));
    world.call(&session, &Request::set_data("/a", b"", -1)).unwrap();
    world.call(&session, &Request::set_data("/b", b"0123456789abcdef", -1)).unwrap();
    let data = world.call(&session, &Request::get_data("/b", false)).unwrap();
    assert!(data.starts_with(b"\0\0\0\x100123456789abcdef"));
}

#[test]
fn when_watches_are_full_a_request_for_one_more_gets_no_data_either() {
    let mut world = World::new(Size { watches: 2, ..HANDFUL });
    let (one, two) = (world.session(10_000), world.session(10_000));
    for path in ["/a", "/b", "/c"] {
        world.call(&one, &create(path, b"")).unwrap();
    }
    world.call(&one, &Request::get_data("/a", true)).unwrap();
    world.call(&one, &Request::get_children("/a", true)).unwrap(); // the same path
    world.call(&two, &Request::get_data("/a", true)).unwrap();
    let more = Request::get_data("/b", true);
    assert_eq!(world.call(&one, &more), Err(ErrorCode::SystemError));
    let more = Request::add_watch("/c", AddWatchMode::Persistent);
    assert_eq!(world.call(&two, &more), Err(ErrorCode::SystemError));
    world.request(&one, 5, &Request::set_data("/a", b"", -1));
    let event = Got::Event(EventType::NodeDataChanged, "/a".into());
    assert_eq!(world.got(&one), Some(event));
    assert!(matches!(world.got(&one), Some(Got::Reply { xid: 5, err: 0, .. })));
    assert_eq!(world.events(&two), [(EventType::NodeDataChanged, "/a".into())]);
    world.call(&two, &more).unwrap();
    assert_eq!(world.ensemble.watch_count(), 2, "a child watch, and that of all of /c");
}

#[test]
fn a_client_whose_watches_cannot_be_rearmed_is_told_and_loses_its_connection() {
    let mut world = World::new(Size { watches: 1, ..HANDFUL });
    let session = world.session(10_000);
    let paths = ["/a", "/b"].map(Ustring::from);
    let none = List::from_slice(&[]);
    let watches = Request::SetWatches(SetWatches {
        relative_zxid: Zxid(9),
        data: none,
        exist: List::from_slice(&paths),
        child: none,
        persistent: none,
        persistent_recursive: none,
    });
    assert_eq!(world.call(&session, &watches), Err(ErrorCode::SystemError));
    assert_eq!(world.link(session.conn), ServerLink::Down);
    assert_eq!(world.ensemble.poll_reason(session.conn), Some(CloseReason::WatchesFull));
    assert_eq!(world.ensemble.watch_count(), 0);
}

#[test]
fn when_sessions_are_full_a_new_client_is_closed_and_an_old_one_may_come_back() {
    let mut world = World::new(Size { sessions: 2, ..HANDFUL });
    let (one, two) = (world.session(4000), world.session(10_000));
    let conn = world.no_session(&new_session(10_000));
    assert_eq!(world.ensemble.poll_reason(conn), Some(CloseReason::TrackerFull));
    world.lose(conn);
    world.lose(two.conn);
    assert_eq!(world.resume(&two).id, two.id);
    world.pass(6000); // the first has expired
    assert_eq!(world.ensemble.poll_reason(one.conn), Some(CloseReason::SessionExpired));
    world.session(10_000);
}

#[test]
fn when_connections_are_full_no_more_are_taken_until_one_is_gone() {
    let mut world = World::new(Size { connections: 2, ..HANDFUL });
    let (one, two) = (world.open(), world.open());
    assert_eq!(world.ensemble.accept(world.at()), None);
    world.lose(one);
    assert_eq!(world.ensemble.accept(world.at()), Some(one));
    assert_ne!(one, two);
}

#[test]
fn an_answer_too_large_for_the_buffer_is_an_error_and_arms_nothing() {
    let mut world = World::new(Size { transmit: 400, ..HANDFUL });
    let session = world.session(10_000);
    let long = "n".repeat(60);
    for n in 0..6 {
        world.call(&session, &create(&format!("/{long}{n}"), b"")).unwrap();
    }
    let children = Request::get_children("/", true);
    assert_eq!(world.call(&session, &children), Err(ErrorCode::SystemError));
    assert_eq!(world.ensemble.watch_count(), 0);
    world.call(&session, &Request::get_children("/zookeeper", true)).unwrap();
}

#[test]
fn a_request_longer_than_the_buffers_ends_its_connection_not_its_session() {
    let mut world = World::new(HANDFUL);
    let session = world.session(10_000);
    let bytes = request_bytes(1, &create("/a", &[7; 1100]));
    world.send(session.conn, &bytes);
    let len = i32::try_from(bytes.len() - 4).unwrap();
    assert_eq!(world.ensemble.poll_reason(session.conn), Some(CloseReason::BadFrameLength { len }));
    world.lose(session.conn);
    assert_eq!(world.resume(&session).id, session.id);
}

#[test]
fn who_does_not_take_events_loses_the_connection_and_catches_up_on_the_next() {
    let mut world = World::new(HANDFUL);
    let (writer, slow) = (world.session(20_000), world.session(20_000));
    world.call(&writer, &create("/a", b"")).unwrap();
    let seen = world.ensemble.last_zxid();
    world.call(&slow, &Request::add_watch("/a", AddWatchMode::Persistent)).unwrap();
    let mut sets = 0;
    while world.link(slow.conn) == ServerLink::Up {
        world.call(&writer, &Request::set_data("/a", b"x", -1)).unwrap();
        sets += 1;
    }
    assert!((20..40).contains(&sets), "{sets} events of 34 bytes in 1,024");
    let why = world.ensemble.poll_reason(slow.conn);
    assert!(matches!(why, Some(CloseReason::SlowConsumer { .. })), "{why:?}");
    world.lose(slow.conn);
    let slow = world.resume(&slow);
    let (paths, none) = (["/a"].map(Ustring::from), List::from_slice(&[]));
    let watches = Request::SetWatches2(SetWatches {
        relative_zxid: seen,
        data: List::from_slice(&paths),
        exist: none,
        child: none,
        persistent: none,
        persistent_recursive: none,
    });
    world.request(&slow, -8, &watches);
    let event = Got::Event(EventType::NodeDataChanged, "/a".into());
    assert_eq!(world.got(&slow), Some(event));
}

#[test]
fn acls_that_would_keep_anyone_out_are_refused() {
    let mut world = World::new(HANDFUL);
    let session = world.session(10_000);
    for acl in [Acl::READ, Acl::CREATOR_ALL] {
        let acl = List::from_slice(acl);
        let create = Create { path: "/a".into(), data: None, acl, flags: 0 };
        assert_eq!(world.call(&session, &Request::Create(create)), Err(ErrorCode::InvalidAcl));
        let set = Request::SetAcl { path: "/".into(), acl, version: -1 };
        assert_eq!(world.call(&session, &set), Err(ErrorCode::InvalidAcl));
    }
}

#[test]
fn what_a_device_has_no_use_for_is_unimplemented() {
    let mut world = World::new(HANDFUL);
    let session = world.session(10_000);
    let create = Create::open("/a", b"", Persistent);
    let items = [MultiOp::Create(create)];
    let reads = [MultiOp::get_data("/")];
    for request in [
        Request::CreateContainer(create),
        Request::multi(&items),
        Request::multi_read(&reads),
        Request::WhoAmI,
    ] {
        assert_eq!(world.call(&session, &request), Err(ErrorCode::Unimplemented), "{request:?}");
    }
    assert_eq!(world.ensemble.node_count(), 4);
}

#[test]
fn a_killed_clients_ephemerals_are_gone_within_its_timeout_and_a_tick() {
    let mut world = World::new(HANDFUL);
    let (dead, other) = (world.session(4000), world.session(40_000));
    world.call(&dead, &Request::create("/e", b"", Ephemeral)).unwrap();
    world.call(&other, &Request::exists("/e", true)).unwrap();
    world.lose(dead.conn);
    world.pass(3999);
    assert_eq!(world.events(&other), []);
    world.pass(2001);
    assert_eq!(world.events(&other), [(EventType::NodeDeleted, "/e".into())]);
    assert_eq!(world.ensemble.session_count(), 1);
}

#[test]
fn a_restart_with_a_greater_epoch_ends_sessions_and_without_one_shuts_clients_out() {
    let again = |epoch, last_zxid_seen| {
        let mut config = Config::default();
        config.epoch = epoch;
        let mut world = World::with(config, HANDFUL);
        let conn = world.open();
        let before = ConnectRequest { last_zxid_seen, ..new_session(10_000) };
        let resumed = ConnectRequest { session_id: zk_session::wire::SessionId(7), ..before };
        world.send(conn, &connect_bytes(&resumed));
        world.drain(conn);
        world.ensemble.poll_reason(conn)
    };
    let seen = Zxid((3 << 32) + 17);
    assert_eq!(again(3, seen), Some(CloseReason::ZxidAhead));
    assert_eq!(again(4, seen), Some(CloseReason::SessionRefused), "which tells it that it is over");
}

#[test]
fn words_are_answered_and_others_are_not() {
    let mut world = World::new(HANDFUL);
    world.session(10_000);
    for (word, answer) in [("ruok", "imok"), ("isro", "rw"), ("abcd", "")] {
        let conn = world.open();
        world.send(conn, word.as_bytes());
        assert_eq!(world.drain(conn), answer.as_bytes());
        assert_eq!(world.link(conn), ServerLink::Down);
        world.lose(conn);
    }
    let conn = world.open();
    world.send(conn, b"srvr");
    let page = String::from_utf8(world.drain(conn)).unwrap();
    let (version, rest) = page.split_once('\n').unwrap();
    assert!(version.starts_with("Zookeeper version: 3.9.5-"), "{page}");
    assert_eq!(rest, "Connections: 2\nZxid: 0x1\nMode: standalone\nNode count: 5\n");
}

#[test]
fn who_says_nothing_is_closed_and_so_is_who_takes_no_last_answer() {
    let mut world = World::new(HANDFUL);
    let silent = world.open();
    let session = world.session(10_000);
    world.request(&session, 1, &Request::CloseSession);
    assert_eq!(world.link(session.conn), ServerLink::Closing);
    world.pass(9_999);
    assert_eq!(world.link(silent), ServerLink::Up);
    world.pass(1);
    for conn in [silent, session.conn] {
        assert_eq!(world.link(conn), ServerLink::Down);
    }
    assert_eq!(world.ensemble.poll_timeout(), None);
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let mut world = World::new(HANDFUL);
    let session = world.session(10_000);
    let names: Vec<_> = (0..12).map(|n| format!("/n{n}")).collect();
    let all: Vec<u8> =
        (1..).zip(&names).flat_map(|(xid, n)| request_bytes(xid, &create(n, b""))).collect();
    let mut rest = &all[..];
    let mut xids = Vec::new();
    while !rest.is_empty() {
        let taken = world.send(session.conn, rest);
        rest = &rest[taken..];
        while let Some(got) = world.got(&session) {
            let Got::Reply { xid, err: 0, .. } = got else { panic!("{got:?}") };
            xids.push(xid);
        }
    }
    assert!(xids.into_iter().eq(1..13));
}

#[test]
fn memory_that_was_used_for_long_is_as_good_as_new() {
    let mut world = World::new(Size { bytes: INITIAL + 200, ..HANDFUL });
    let session = world.session(10_000);
    for round in 0..2000_usize {
        let path = format!("/n{}", round * 7 % 11);
        let data = vec![b'd'; round * 13 % 17];
        match round % 3 {
            0 => drop(world.call(&session, &create(&path, &data))),
            1 => drop(world.call(&session, &Request::set_data(&path, &data, -1))),
            _ => drop(world.call(&session, &Request::delete(&path, -1))),
        }
    }
    for n in 0..11 {
        let _ = world.call(&session, &Request::delete(&format!("/n{n}"), -1));
    }
    assert_eq!((world.ensemble.bytes_used(), world.ensemble.node_count()), (INITIAL, 4));
    world.call(&session, &create("/x", &[7; 199])).unwrap();
}

#[test]
fn memory_without_room_for_the_first_znodes_is_refused() {
    let new = |nodes: &mut [NodeSlot], bytes: &mut [u8]| {
        let memory = Memory {
            nodes,
            watches: &mut [WatchSlot::EMPTY; 1],
            sessions: &mut [SessionSlot::EMPTY; 1],
            connections: &mut [],
            bytes,
        };
        Ensemble::new(Config::default(), memory, Instant::ORIGIN).map(drop)
    };
    let (mut nodes, mut bytes) = ([NodeSlot::EMPTY; 4], [0; INITIAL]);
    assert_eq!(new(&mut nodes, &mut bytes), Ok(()));
    assert!(matches!(
        new(&mut nodes[1..], &mut bytes),
        Err(ConfigError::BufferTooSmall { buffer: "znode", size: 3, needed: 4 })
    ));
    assert!(matches!(
        new(&mut nodes, &mut bytes[1..]),
        Err(ConfigError::BufferTooSmall { size: 19, needed: INITIAL, .. })
    ));
}

#[test]
fn it_never_allocates() {
    let requests: Vec<Vec<u8>> = [
        create("/a", b"data"),
        Request::create("/a/s-", b"", EphemeralSequential),
        Request::get_data("/a", true),
        Request::get_children2("/a", true),
        Request::set_data("/a", b"other data", -1),
        Request::add_watch("/", AddWatchMode::PersistentRecursive),
        Request::create("/b", b"", Ephemeral),
        Request::delete("/b", 9),
        Request::get_ephemerals("/"),
        Request::CloseSession,
    ]
    .iter()
    .map(|request| request_bytes(1, request))
    .collect();
    let hello = connect_bytes(&new_session(10_000));
    let mut world = World::new(AMPLE);
    let (now, mut sent) = (world.at(), 0);
    let info = measure(|| {
        let conn = world.ensemble.accept(now).unwrap();
        for bytes in [&hello].into_iter().chain(&requests) {
            world.ensemble.handle_bytes(now, conn, bytes);
            while let n @ 1.. = world.ensemble.poll_transmit(conn).len() {
                world.ensemble.handle_transmitted(now, conn, n);
                sent += n;
            }
        }
        world.ensemble.handle_disconnected(now, conn);
    });
    assert_eq!(info.count_total, 0);
    assert!(sent > 600, "{sent}");
    assert_eq!(world.ensemble.node_count(), 5, "what was ephemeral is gone");
}

#[test]
fn a_znodes_children_are_listed_by_name() {
    let mut world = World::new(HANDFUL);
    let session = world.session(10_000);
    for path in ["/c", "/a", "/zz", "/b", "/aa"] {
        world.call(&session, &create(path, b"")).unwrap();
    }
    let body = world.call(&session, &Request::get_children("/", false)).unwrap();
    let names: List<'_, Ustring<'_>> = List::read(&mut Reader::new(&body)).unwrap();
    let names: Vec<_> = names.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["a", "aa", "b", "c", "zookeeper", "zz"]);
}
