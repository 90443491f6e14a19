//! Clients and an ensemble of this library under a virtual clock.
#![cfg(all(feature = "server", feature = "alloc"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/play.rs"]
mod play;
mod support;

use play::Play;
use support::{Seen, lost, ms};
use zk_session::client::{Cause, ClientConfig, ExpiryReason, KeeperState};
use zk_session::wire::{CreateMode, EventType, OpCode, Reply, Request, Stat, Xid, Zxid};
use zk_session::{DisconnectReason, ErrorCode, OpError};

const THREE: &str = "s0,s1,s2";

fn config(seed: u64) -> ClientConfig<'static> {
    ClientConfig::new(THREE, seed).timeout(ms(6000))
}

fn stat_of(seen: &Seen) -> Stat {
    match seen.reply(OpCode::Exists) {
        Reply::Stat(stat) => stat,
        other => panic!("{other:?}"),
    }
}

fn error_of(seen: &Seen) -> OpError {
    match seen {
        Seen::Reply(_, _, Err(error)) => *error,
        other => panic!("no error: {other:?}"),
    }
}

const fn server(code: ErrorCode) -> OpError {
    OpError::Server(code)
}

fn event(kind: EventType, path: &str) -> Seen {
    Seen::Notification(kind, path.to_owned())
}

#[test]
fn operations_do_what_they_say() {
    for (latency, shaky) in [(0, None), (5, None), (20, Some(1)), (3, Some(2))] {
        let mut world =
            shaky.map_or_else(|| Play::new(3, latency), |seed| Play::shaky(3, latency, seed));
        let a = world.connect(config(1));
        let made = world.call(a, &Request::create("/app", b"one", CreateMode::Persistent));
        assert_eq!(made.reply(OpCode::Create), Reply::Path("/app".into()));
        let again = world.call(a, &Request::create("/app", b"", CreateMode::Persistent));
        assert_eq!(error_of(&again), server(ErrorCode::NodeExists));
        for (n, name) in ["/app/n-0000000000", "/app/n-0000000001"].into_iter().enumerate() {
            let mode = [CreateMode::PersistentSequential, CreateMode::EphemeralSequential][n];
            let made = world.call(a, &Request::create("/app/n-", b"", mode));
            assert_eq!(made.reply(OpCode::Create), Reply::Path(name.into()));
        }
        let got = world.call(a, &Request::get_data("/app", false));
        let Reply::Data(data) = got.reply(OpCode::GetData) else { panic!() };
        assert_eq!(
            (data.data, data.stat.version, data.stat.num_children),
            (Some(&b"one"[..]), 0, 2)
        );
        let set = world.call(a, &Request::set_data("/app", b"two", 0));
        assert_eq!(stat_of(&set).version, 1);
        let stale = world.call(a, &Request::set_data("/app", b"three", 0));
        assert_eq!(error_of(&stale), server(ErrorCode::BadVersion));
        let list = world.call(a, &Request::get_children2("/app", false));
        let Reply::Children2(names, stat) = list.reply(OpCode::GetChildren2) else { panic!() };
        let mut names: Vec<_> =
            names.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!((names, stat.cversion), (vec!["n-0000000000".into(), "n-0000000001".into()], 2));
        let list = world.call(a, &Request::get_children("/app", false));
        let Reply::Children(names) = list.reply(OpCode::GetChildren) else { panic!() };
        assert_eq!(names.len(), 2);
        let absent = world.call(a, &Request::exists("/none", false));
        assert_eq!(error_of(&absent), server(ErrorCode::NoNode));
        let full = world.call(a, &Request::delete("/app", -1));
        assert_eq!(error_of(&full), server(ErrorCode::NotEmpty));
        let gone = world.call(a, &Request::delete("/app/n-0000000000", 0));
        assert_eq!(gone.reply(OpCode::Delete), Reply::Empty);
        let synced = world.call(a, &Request::sync("/app"));
        assert_eq!(synced.reply(OpCode::Sync), Reply::Path("/app".into()));
        let auth = world.call(a, &Request::add_auth("digest", b"user:secret"));
        assert_eq!(auth.reply(OpCode::Auth), Reply::Empty);
        assert_eq!(world.seen(a), []);
        assert_eq!(world.session(a).last_zxid(), world.engine().last_zxid());
    }
}

#[test]
fn j8_a_chroot_is_seen_by_the_ensemble_alone() {
    let mut world = Play::new(1, 2);
    let plain = world.connect(ClientConfig::new("s0", 1).timeout(ms(6000)));
    let rooted = world.connect(ClientConfig::new("s0/app/one", 2).timeout(ms(6000)));
    for path in ["/app", "/app/one"] {
        world.call(plain, &Request::create(path, b"", CreateMode::Persistent));
    }
    let absent = world.call(rooted, &Request::exists("/x", true));
    assert_eq!(error_of(&absent), server(ErrorCode::NoNode));
    world.call(rooted, &Request::get_children("/", true));
    let made = world.call(plain, &Request::create("/app/one/x", b"", CreateMode::Persistent));
    assert_eq!(made.reply(OpCode::Create), Reply::Path("/app/one/x".into()));
    world.wait(10);
    assert_eq!(
        world.seen(rooted),
        [event(EventType::NodeCreated, "/x"), event(EventType::NodeChildrenChanged, "/")]
    );
    let made = world.call(rooted, &Request::create("/y", b"", CreateMode::Ephemeral));
    assert_eq!(made.reply(OpCode::Create), Reply::Path("/y".into()));
    stat_of(&world.call(plain, &Request::exists("/app/one/y", false)));
}

#[test]
fn watches_fire_once_across_sessions_on_different_servers() {
    let mut world = Play::shaky(3, 4, 9);
    let (a, b) = (world.connect(config(1)), world.connect(config(2)));
    world.call(a, &Request::create("/w", b"", CreateMode::Persistent));
    world.call(b, &Request::get_data("/w", true));
    world.call(b, &Request::get_children("/w", true));
    assert_eq!(error_of(&world.call(b, &Request::exists("/w/x", true))), server(ErrorCode::NoNode));
    assert_eq!(world.session(b).watches(), 3);
    for _ in 0..2 {
        world.call(a, &Request::set_data("/w", b"new", -1));
        world.call(a, &Request::create("/w/x", b"", CreateMode::Persistent));
        world.call(a, &Request::delete("/w/x", -1));
    }
    world.wait(50);
    assert_eq!(
        world.seen(b),
        [
            event(EventType::NodeDataChanged, "/w"),
            event(EventType::NodeCreated, "/w/x"),
            event(EventType::NodeChildrenChanged, "/w"),
        ]
    );
    assert_eq!(world.session(b).watches(), 0);
}

#[test]
fn the_event_of_an_own_write_comes_before_its_reply() {
    let mut world = Play::shaky(1, 3, 4);
    let a = world.connect(ClientConfig::new("s0", 1).timeout(ms(6000)));
    world.call(a, &Request::exists("/n", true));
    let create = world.submit(a, &Request::create("/n", b"", CreateMode::Persistent));
    world.wait(50);
    let seen = world.seen(a);
    assert_eq!(seen[0], event(EventType::NodeCreated, "/n"));
    assert!(matches!(seen[1], Seen::Reply(xid, _, Ok(_)) if xid == create));
}

#[test]
fn g7_x6_a_session_moves_to_another_server_with_its_id_its_ephemerals_and_its_watches() {
    let mut world = Play::new(3, 5);
    let (a, b) = (world.connect(config(1)), world.connect(config(5)));
    let id = world.session(a).session_id();
    world.call(a, &Request::create("/e", b"", CreateMode::Ephemeral));
    world.call(b, &Request::create("/w", b"", CreateMode::Persistent));
    world.call(a, &Request::get_data("/w", true));
    world.call(b, &Request::exists("/e", true));
    for _ in 0..6 {
        let old = world.server_of(a);
        world.seen(b);
        world.stop(old);
        world.wait(1);
        world.until(a, KeeperState::Disconnected);
        world.until(a, KeeperState::SyncConnected);
        world.until(b, KeeperState::SyncConnected);
        assert_ne!(world.server_of(a), old);
        assert_eq!(world.session(a).session_id(), id);
        assert_eq!(
            world.seen(a),
            [
                lost(DisconnectReason::TransportClosed),
                Seen::State(KeeperState::SyncConnected, Cause::Resumed)
            ]
        );
        world.start(old);
        world.wait(100);
        let found = world.call(b, &Request::exists("/e", false));
        assert_eq!(stat_of(&found).ephemeral_owner, id.0);
    }
    // The watch has moved along.
    assert_eq!(world.session(a).watches(), 1);
    world.call(b, &Request::set_data("/w", b"x", -1));
    world.wait(50);
    assert_eq!(world.seen(a), [event(EventType::NodeDataChanged, "/w")]);
}

#[test]
fn a_change_missed_between_two_servers_is_told_when_the_watches_are_set_again() {
    let mut world = Play::new(3, 5);
    let (a, b) = (world.connect(config(1)), world.connect(config(5)));
    for path in ["/changed", "/deleted", "/parent", "/same"] {
        world.call(b, &Request::create(path, b"", CreateMode::Persistent));
        world.call(a, &Request::get_data(path, true));
    }
    world.call(a, &Request::get_children("/parent", true));
    world.call(a, &Request::exists("/created", true));
    world.seen(a);
    world.blackhole(a);
    world.call(b, &Request::set_data("/changed", b"x", -1));
    world.call(b, &Request::delete("/deleted", -1));
    world.call(b, &Request::create("/parent/x", b"", CreateMode::Persistent));
    world.call(b, &Request::create("/created", b"", CreateMode::Persistent));
    world.until(a, KeeperState::Disconnected);
    world.heal(a);
    world.until(a, KeeperState::SyncConnected);
    world.wait(100);
    let seen = world.seen(a);
    assert_eq!(
        seen[2..],
        [
            event(EventType::NodeDataChanged, "/changed"),
            event(EventType::NodeDeleted, "/deleted"),
            event(EventType::NodeCreated, "/created"),
            event(EventType::NodeChildrenChanged, "/parent"),
        ]
    );
    assert_eq!(world.session(a).watches(), 2);
}

#[test]
fn a_session_cut_off_for_longer_than_its_timeout_is_expired_and_learns_it_last() {
    let mut world = Play::new(3, 5);
    let (a, b) = (world.connect(config(1)), world.connect(config(2)));
    world.call(a, &Request::create("/e", b"", CreateMode::Ephemeral));
    let pending = world.submit(a, &Request::get_data("/e", true));
    world.wait(20);
    world.call(b, &Request::exists("/e", true));
    world.seen(a);
    let cut = world.now();
    world.blackhole(a);
    let lost_write = world.submit(a, &Request::set_data("/e", b"x", -1));
    assert!(lost_write > pending);
    world.until(a, KeeperState::Disconnected);
    assert!(world.now().since(cut) <= ms(4000), "within two thirds of the timeout");
    let seen = world.seen(a);
    assert_eq!(seen[0], Seen::failed(lost_write, OpError::ConnectionLoss));
    assert_eq!(seen[1], lost(DisconnectReason::ReadTimeout));
    let told = world.until_told(b, 6000 + 2000 + 100);
    assert!(world.now().since(cut) < ms(6000 + 2000 + 100), "a timeout and a tick");
    assert_eq!(told, [event(EventType::NodeDeleted, "/e")]);
    assert_eq!(world.seen(a), [], "nothing is heard of it");
    world.heal(a);
    world.until(a, KeeperState::Expired);
    assert_eq!(
        world.seen(a),
        [Seen::State(KeeperState::Expired, Cause::Expired(ExpiryReason::ToldByServer))]
    );
    let gone = world.call(b, &Request::exists("/e", false));
    assert_eq!(error_of(&gone), server(ErrorCode::NoNode));
    // A new session from the same handle.
    world.reopen(a);
    world.until(a, KeeperState::SyncConnected);
}

#[test]
fn g7_a_session_cut_off_for_less_than_its_timeout_keeps_everything() {
    let mut world = Play::new(3, 5);
    let (a, b) = (world.connect(config(1)), world.connect(config(2)));
    world.call(a, &Request::create("/e", b"", CreateMode::Ephemeral));
    world.call(b, &Request::exists("/e", true));
    world.blackhole(a);
    world.wait(4500);
    world.heal(a);
    world.until(a, KeeperState::SyncConnected);
    world.wait(20_000);
    assert_eq!(world.seen(b), []);
    assert_eq!(world.session(a).state(), KeeperState::SyncConnected);
    stat_of(&world.call(b, &Request::exists("/e", false)));
}

#[test]
fn c3_close_takes_the_ephemerals_along_at_once() {
    let mut world = Play::new(3, 5);
    let (a, b) = (world.connect(config(1)), world.connect(config(2)));
    world.call(a, &Request::create("/e", b"", CreateMode::Ephemeral));
    world.call(b, &Request::exists("/e", true));
    let before = world.now();
    world.close(a);
    world.until(a, KeeperState::Closed);
    world.wait(20);
    assert!(world.now().since(before) < ms(50));
    assert_eq!(world.seen(a), [Seen::State(KeeperState::Closed, Cause::Closed)]);
    assert_eq!(world.seen(b), [event(EventType::NodeDeleted, "/e")]);
    assert_eq!(world.engine().sessions().count(), 1);
}

#[test]
fn c3_close_with_the_server_gone_finds_another_one() {
    let mut world = Play::new(3, 5);
    let (a, b) = (world.connect(config(1)), world.connect(config(5)));
    world.call(a, &Request::create("/e", b"", CreateMode::Ephemeral));
    world.stop(world.server_of(a));
    world.until(a, KeeperState::Disconnected);
    world.close(a);
    world.until(a, KeeperState::Closed);
    assert_eq!(
        world.seen(a).last(),
        Some(&Seen::State(KeeperState::Closed, Cause::Closed)),
        "confirmed"
    );
    world.until(b, KeeperState::SyncConnected);
    let gone = world.call(b, &Request::exists("/e", false));
    assert_eq!(error_of(&gone), server(ErrorCode::NoNode));
}

#[test]
fn c4_every_request_is_answered_once_while_servers_come_and_go() {
    let mut world = Play::shaky(3, 7, 11);
    let peers: Vec<usize> = (0..5).map(|seed| world.connect(config(seed))).collect();
    world.call(peers[0], &Request::create("/n", b"", CreateMode::Persistent));
    let mut rng = support::Rng::new(3);
    let mut accepted: Vec<Vec<Xid>> = vec![Vec::new(); peers.len()];
    for _ in 0..300 {
        for peer in &peers {
            for _ in 0..3 {
                let request = match rng.below(3) {
                    0 => Request::set_data("/n", b"x", -1),
                    1 => Request::get_data("/n", true),
                    _ => Request::create("/n/s-", b"", CreateMode::EphemeralSequential),
                };
                accepted[*peer].extend(world.world.submit(*peer, &request));
            }
        }
        let server = rng.below(3);
        if rng.one_in(8) {
            world.stop(server);
        }
        world.wait(40);
        world.start(server);
    }
    world.wait(10_000);
    for (peer, accepted) in accepted.iter().enumerate() {
        let mut answered: Vec<Xid> = world
            .seen(peer)
            .iter()
            .filter_map(|seen| match seen {
                Seen::Reply(xid, ..) => Some(*xid),
                _ => None,
            })
            .collect();
        let first = accepted.first().unwrap();
        answered.retain(|xid| xid >= first);
        assert_eq!(&answered, accepted, "each once, in order");
        assert!(accepted.len() > 200);
        assert_eq!(world.session(peer).state(), KeeperState::SyncConnected);
    }
}

#[test]
fn j4_two_hundred_sessions_live_through_a_virtual_hour() {
    let mut world = Play::shaky(3, 20, 1);
    let start = world.now();
    let peers: Vec<usize> =
        (0..200).map(|seed| world.join(config(seed).timeout(ms(10_000)))).collect();
    world.wait(5000);
    let ids: Vec<_> = peers.iter().map(|peer| world.session(*peer).session_id()).collect();
    // Once in ten minutes a server is away for half a minute.
    for round in 0..6 {
        world.stop(round % 3);
        world.wait(30_000);
        world.start(round % 3);
        world.wait(570_000);
    }
    assert!(world.now().since(start) > ms(3_600_000));
    for (peer, id) in peers.iter().zip(ids) {
        let session = world.session(*peer);
        assert_eq!((session.state(), session.session_id()), (KeeperState::SyncConnected, id));
        let seen = world.seen(*peer);
        let lost = seen.iter().filter(|seen| {
            matches!(seen, Seen::State(KeeperState::Disconnected, cause)
                if *cause != Cause::Lost(DisconnectReason::TransportClosed))
        });
        assert_eq!(lost.count(), 0, "only the servers' own absence was noticed");
    }
    assert_eq!(world.engine().sessions().count(), 200);
}

#[test]
fn c2_all_sessions_of_an_ensemble_that_was_away_are_back_within_their_timeout() {
    let mut world = Play::new(3, 5);
    let peers: Vec<usize> =
        (0..100).map(|seed| world.connect(config(seed).timeout(ms(30_000)))).collect();
    for server in 0..3 {
        world.stop(server);
    }
    world.wait(15_000);
    assert!(peers.iter().all(|p| world.session(*p).state() == KeeperState::Disconnected));
    for server in 0..3 {
        world.start(server);
    }
    world.wait(10_000);
    for peer in peers {
        assert_eq!(world.session(peer).state(), KeeperState::SyncConnected);
        assert!(world.session(peer).last_zxid() <= world.engine().last_zxid());
    }
    assert_eq!(world.engine().last_zxid(), Zxid(100), "no session had to be made anew");
}
