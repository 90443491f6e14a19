//! Scenarios that other clients and servers got wrong, where the network, the clocks and the ensemble
//! have a part in it. Every invariant of the simulator is checked all the time.
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
use zk_session::client::{
    Cause, ClientConfig, ClientSession, ExpiryReason, KeeperState, TicketContents,
};
use zk_session::server::EngineConfig;
use zk_session::sim::{Asleep, Step, Way, Weather, WorldConfig};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{CreateMode, EventType, OpCode, Reply, Request};
use zk_session::{DisconnectReason, Duration, ErrorCode, OpError};

const T: u64 = 6000;

fn config(seed: u64) -> ClientConfig<'static> {
    ClientConfig::new("s0,s1,s2", seed).timeout(ms(T))
}

const fn expired(reason: ExpiryReason) -> Seen {
    Seen::State(KeeperState::Expired, Cause::Expired(reason))
}

fn set(path: &str) -> Request<'_> {
    Request::set_data(path, b"new", -1)
}

fn version(play: &Play, path: &str) -> i32 {
    play.engine().stat(path).unwrap().version
}

#[test]
fn j5_a_write_that_was_late_changes_nothing_once_the_session_has_moved() {
    let mut play = Play::new(3, 5);
    // Not the leader: it would not even read on.
    let a = play.connect(ClientConfig::new("s1,s2", 1).timeout(ms(T)));
    let id = play.session(a).session_id();
    play.call(a, &Request::create("/w", b"", CreateMode::Persistent));
    let old = play.server_of(a);
    play.apply(&Step::Cut { client: a, server: old });
    let late = play.submit(a, &set("/w"));
    play.until(a, KeeperState::Disconnected);
    assert_eq!(
        play.seen(a),
        [Seen::failed(late, OpError::ConnectionLoss), lost(DisconnectReason::ReadTimeout)]
    );
    play.until(a, KeeperState::SyncConnected);
    assert_ne!(play.server_of(a), old);
    // Now it lands where the session was before.
    play.apply(&Step::Heal { client: a, server: old });
    play.wait(1000);
    assert_eq!(version(&play, "/w"), 0, "nobody speaks for the session there");
    assert_eq!(play.seen(a), [Seen::State(KeeperState::SyncConnected, Cause::Resumed)]);
    assert_eq!((play.session(a).session_id(), play.session(a).state().is_connected()), (id, true));
    play.call(a, &set("/w"));
    assert_eq!(version(&play, "/w"), 1);
}

#[test]
fn k1_g1_a_wiped_ensemble_is_known_by_its_word_and_a_new_session_is_had() {
    let mut play = Play::new(3, 5);
    let a = play.connect(config(1));
    for n in 0..100 {
        play.call(a, &Request::create(&format!("/n{n}"), b"", CreateMode::Persistent));
    }
    let id = play.session(a).session_id();
    play.apply(&Step::Wipe);
    play.until(a, KeeperState::Expired);
    assert_eq!(play.seen(a).last(), Some(&expired(ExpiryReason::EnsembleWiped)));
    play.reopen(a);
    play.until(a, KeeperState::SyncConnected);
    assert_ne!(play.session(a).session_id(), id);
    play.call(a, &Request::create("/n0", b"", CreateMode::Persistent));
}

#[test]
fn k3_a_host_that_slept_for_ten_timeouts_is_told_of_one_expiry_and_closes_at_once() {
    for clock in [Asleep::ClockRuns, Asleep::ClockStops] {
        let mut play = Play::new(3, 5);
        let a = play.connect(config(1));
        play.call(a, &Request::create("/e", b"", CreateMode::Ephemeral));
        play.apply(&Step::Suspend { client: a, span: ms(10 * T), clock });
        play.wait(10 * T - 1);
        assert_eq!(play.seen(a), [], "it sleeps");
        assert_eq!(play.engine().sessions().count(), 0);
        play.until(a, KeeperState::Expired);
        let seen = play.seen(a);
        let told = expired(ExpiryReason::ToldByServer);
        assert_eq!(seen.iter().filter(|seen| **seen == told).count(), 1);
        assert_eq!(seen.last(), Some(&told));
        play.close(a);
        play.wait(60_000);
        assert_eq!(play.seen(a), [], "the end is told once");
    }
}

#[test]
fn k4_t5_half_open_connections_are_left_after_two_thirds_of_the_timeout() {
    for way in [Way::Up, Way::Down] {
        let mut play = Play::new(3, 5);
        let a = play.connect(config(1));
        let id = play.session(a).session_id();
        let (begun, server) = (play.now(), play.server_of(a));
        play.apply(&Step::HalfOpen { client: a, server, way });
        play.until(a, KeeperState::Disconnected);
        assert_eq!(play.seen(a), [lost(DisconnectReason::ReadTimeout)]);
        let took = play.now().since(begun).as_millis();
        assert!((T / 3..=2 * T / 3 + 10).contains(&took), "{way:?}: {took} ms");
        play.until(a, KeeperState::SyncConnected);
        assert_eq!(play.session(a).session_id(), id);
    }
}

#[test]
fn j6_k8_a_name_that_leads_elsewhere_is_followed_within_one_pass() {
    let mut play = Play::new(3, 5);
    let a = play.connect(ClientConfig::new("s0", 1).timeout(ms(T)));
    let id = play.session(a).session_id();
    play.stop(0);
    play.until(a, KeeperState::Disconnected);
    play.wait(1000);
    assert_eq!(play.session(a).state(), KeeperState::Disconnected);
    play.apply(&Step::Dns { name: "s0".to_owned(), server: 2 });
    play.until(a, KeeperState::SyncConnected);
    assert_eq!((play.server_of(a), play.session(a).session_id()), (2, id));
    // A list without the host moves the session at once.
    play.seen(a);
    play.apply(&Step::Hosts { client: a, servers: vec![1] });
    play.until(a, KeeperState::Disconnected);
    play.until(a, KeeperState::SyncConnected);
    assert_eq!((play.server_of(a), play.session(a).session_id()), (1, id));
    assert_eq!(play.seen(a)[0], lost(DisconnectReason::HostsChanged));
}

#[test]
fn x4_of_two_holders_of_a_ticket_one_writes_at_a_time_and_a_policy_ends_it() {
    let mut play = Play::new(1, 5);
    let one = |seed| ClientConfig::new("s0", seed).timeout(ms(T)).stolen_after(6);
    let a = play.connect(one(1));
    play.call(a, &Request::create("/w", b"", CreateMode::Persistent));
    let mut memory = [0; 64];
    let ticket = play.session(a).ticket(TicketContents::Session, &mut memory).unwrap().to_vec();
    let storage = Storage::owned(Limits::default());
    let thief = ClientSession::resume(one(2), storage, &ticket, play.now()).unwrap();
    let b = play.world.join_session(thief);
    let is_stolen =
        |play: &mut Play, client| play.seen(client).contains(&expired(ExpiryReason::Stolen));
    let mut writes = 0;
    let mut stolen = [false; 2];
    for _ in 0..3000 {
        play.wait(20);
        for (n, client) in [a, b].into_iter().enumerate() {
            writes += usize::from(play.world.submit(client, &set("/w")).is_ok());
            stolen[n] |= is_stolen(&mut play, client);
        }
        if stolen.contains(&true) {
            break;
        }
    }
    assert!(writes > 6 && stolen != [true; 2], "{writes} {stolen:?}");
    // The other one is left alone.
    let left = if stolen[0] { b } else { a };
    play.until(left, KeeperState::SyncConnected);
    play.seen(left);
    play.wait(10 * T);
    assert!(play.seen(left).iter().all(|seen| matches!(seen, Seen::Reply(..))));
}

#[test]
fn x5_ten_thousand_sessions_that_expire_together_take_none_of_the_others_along() {
    const MANY: u32 = 10_000;
    let mut engine = EngineConfig::default();
    engine.max_session_timeout = Some(Duration::from_secs(600));
    let mut play = Play::of(WorldConfig::new(1).engine(engine));
    let alive: Vec<usize> = (0..20).map(|seed| play.connect(config(seed))).collect();
    let doomed: Vec<usize> =
        (0..MANY).map(|seed| play.join(config(100 + u64::from(seed)))).collect();
    play.wait(5000);
    assert_eq!(play.engine().sessions().count(), alive.len() + doomed.len());
    for client in &doomed {
        let span = Duration::from_secs(600);
        play.apply(&Step::Suspend { client: *client, span, clock: Asleep::ClockRuns });
    }
    alive.iter().for_each(|client| drop(play.seen(*client)));
    play.wait(T + 2000 + 10);
    assert_eq!(play.engine().sessions().count(), alive.len(), "all within one tick");
    play.wait(2 * T);
    for client in alive {
        assert_eq!(play.seen(client), [], "nobody else notices anything");
    }
}

#[test]
fn x3_a_session_with_fifty_thousand_ephemerals_ends_in_frames_of_the_usual_size() {
    const MANY: usize = 50_000;
    for is_closed in [true, false] {
        let mut play = Play::of(WorldConfig::new(1).unchecked());
        let (a, b) = (play.connect(config(1)), play.connect(config(2)));
        play.call(a, &Request::create("/e", b"", CreateMode::Persistent));
        let own =
            Request::create("/e/a-name-of-some-length-", b"", CreateMode::EphemeralSequential);
        let mut made = 0;
        while made < MANY {
            while made < MANY && play.world.submit(a, &own).is_ok() {
                made += 1;
            }
            play.wait(5);
            play.seen(a);
        }
        play.wait(100);
        let id = play.session(a).session_id();
        assert_eq!(play.engine().ephemerals(id), MANY);
        play.call(b, &Request::get_children("/e", true));
        if is_closed {
            play.close(a);
            play.until(a, KeeperState::Closed);
        } else {
            play.apply(&Step::Expire { client: a });
        }
        play.wait(100);
        assert_eq!(play.engine().ephemerals(id), 0);
        assert_eq!(
            play.seen(b),
            [Seen::Notification(EventType::NodeChildrenChanged, "/e".to_owned())]
        );
        assert_eq!(play.engine().stat("/e").unwrap().num_children, 0);
    }
}

#[test]
fn g9_a_test_of_a_session_needs_no_process_no_port_and_no_time() {
    let mut play = Play::new(3, 2);
    let a = play.connect(config(1));
    play.call(a, &Request::create("/lock", b"", CreateMode::Ephemeral));
    let b = play.connect(config(2));
    let taken = play.call(b, &Request::create("/lock", b"", CreateMode::Ephemeral));
    assert!(matches!(taken, Seen::Reply(_, _, Err(OpError::Server(ErrorCode::NodeExists)))));
    play.call(b, &Request::exists("/lock", true));
    play.apply(&Step::Expire { client: a });
    assert_eq!(
        play.until_told(b, 1000),
        [Seen::Notification(EventType::NodeDeleted, "/lock".to_owned())]
    );
    let got = play.call(b, &Request::create("/lock", b"", CreateMode::Ephemeral));
    assert_eq!(got.reply(OpCode::Create), Reply::Path("/lock".into()));
}

#[test]
fn c7_r8_a_session_outlives_bits_that_were_changed_on_the_way_to_it() {
    let (mut resumed, mut over) = (0, 0);
    for seed in 0..200 {
        let mut play = Play::of(WorldConfig::new(seed));
        let a = play.connect(config(seed));
        play.call(a, &Request::create("/w", b"", CreateMode::Persistent));
        for _ in 0..20 {
            play.apply(&Step::Garble { client: a });
            let _ = play.world.submit(a, &Request::get_data("/w", true));
            let _ = play.world.submit(a, &set("/w"));
            play.wait(700);
        }
        play.world.heal_and_rest();
        assert_eq!(play.world.violation(), None, "seed {seed}");
        match play.session(a).state() {
            KeeperState::SyncConnected => resumed += 1,
            _ => over += 1,
        }
    }
    assert!(resumed > over, "{resumed} {over}");
}

#[test]
fn z3_c6_a_network_that_never_lets_a_handshake_through_is_tried_within_bounds() {
    let mut play = Play::new(3, 5);
    let a = play.join(config(1));
    for server in 0..3 {
        play.apply(&Step::HalfOpen { client: a, server, way: Way::Down });
    }
    // The bounds of each attempt are checked by the world.
    play.wait(600_000);
    assert_ne!(play.session(a).state(), KeeperState::Expired);
    play.apply(&Step::HealAll);
    play.until(a, KeeperState::SyncConnected);
}

#[test]
fn j4_clocks_that_go_wrong_by_a_tenth_keep_their_sessions() {
    for per_mille in [900, 950, 1000, 1050, 1100] {
        let weather = Weather { latency: ms(20), jitter: ms(50), longest_piece: 9 };
        let mut play = Play::of(WorldConfig::new(1).weather(weather));
        let a = play.connect(config(1));
        play.apply(&Step::ClockRate { client: a, per_mille });
        play.wait(100 * T);
        assert_eq!(play.seen(a), [], "{per_mille}");
    }
}
