//! The faults of the embedded ensemble as our client sees them: slow, frozen and wiped servers,
//! dropped connections and moved sessions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod ensemble_support;

use std::time::{Duration, Instant};

use ensemble_support::{PATIENCE, Raw};
use zk_session::ErrorCode;
use zk_session::client::KeeperState;
use zk_session::wire::{CreateMode, SessionId};
use zk_session_std::{Client, EmbeddedEnsemble, EnsembleError, Events, SessionEvent, Transition};

fn ensemble(servers: usize) -> EmbeddedEnsemble {
    EmbeddedEnsemble::builder().servers(servers).tick(Duration::from_millis(500)).start().unwrap()
}

fn client(ensemble: &EmbeddedEnsemble) -> (Client, Events) {
    let builder = Client::builder(ensemble.connect_string()).timeout(Duration::from_secs(3));
    let client = builder.connect().unwrap();
    let events = client.events();
    (client, events)
}

fn wait_for(events: &Events, state: KeeperState) -> Transition {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match events.recv_timeout(PATIENCE) {
            Some(SessionEvent::State(change)) if change.state == state => return change,
            Some(_) => {}
            None => break,
        }
    }
    panic!("no {state:?} within {PATIENCE:?}");
}

fn server_of(ensemble: &EmbeddedEnsemble, client: &Client) -> usize {
    let start = Instant::now();
    loop {
        if let Some(server) = ensemble.server_of(client.session_id()).unwrap() {
            return server;
        }
        assert!(start.elapsed() < PATIENCE, "the client does not come back");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_server_or_session_that_there_is_not_is_named() {
    let ensemble = ensemble(2);
    for error in [
        ensemble.stop(2).unwrap_err(),
        ensemble.start(2).unwrap_err(),
        ensemble.cut(2).unwrap_err(),
        ensemble.freeze(2).unwrap_err(),
        ensemble.read_only(2).unwrap_err(),
        ensemble.read_write(2).unwrap_err(),
        ensemble.thaw(2).unwrap_err(),
        ensemble.delay(2, Duration::ZERO).unwrap_err(),
        ensemble.move_session(SessionId(1), 2).unwrap_err(),
    ] {
        assert!(matches!(error, EnsembleError::NoServer { server: 2, servers: 2 }), "{error}");
    }
    for error in [
        ensemble.move_session(SessionId(1), 0).unwrap_err(),
        ensemble.drop_connection(SessionId(1)).unwrap_err(),
    ] {
        assert!(matches!(error, EnsembleError::NoSession(SessionId(1))), "{error}");
    }
}

#[test]
fn a_delay_holds_bytes_up_in_both_directions_and_in_order() {
    let ensemble = ensemble(1);
    let (mut raw, session) = Raw::connect(ensemble.addr(0), 10_000);
    let latency = Duration::from_millis(60);
    ensemble.delay(0, latency).unwrap();
    for n in 0..3 {
        let start = Instant::now();
        raw.create(&format!("/n{n}"), b"", CreateMode::Ephemeral).unwrap();
        assert!(start.elapsed() >= latency * 2, "{:?}", start.elapsed());
    }
    // The way is long for the first bytes of a connection, too, and for its end.
    let start = Instant::now();
    let (mut fresh, _) = Raw::connect(ensemble.addr(0), 10_000);
    assert!(start.elapsed() >= latency * 2);
    fresh.create("/big", &[7; 900_000], CreateMode::Persistent).unwrap();
    assert_eq!(fresh.get("/big").unwrap(), [7; 900_000]);
    ensemble.delay(0, Duration::ZERO).unwrap();
    raw.ping().unwrap();
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(raw.get("/big").unwrap().len(), 900_000);
    }
    assert!(start.elapsed() < PATIENCE);
    ensemble.delay(0, latency).unwrap();
    drop(fresh);
    let closing = raw.call(&zk_session::wire::Request::CloseSession);
    assert!(closing.is_ok(), "the answer comes before the end");
    assert!(raw.is_closed());
    assert!(ensemble.drop_connection(session.id).is_err(), "the session is closed");
}

#[test]
fn a_client_leaves_a_server_that_is_too_slow_for_its_timeout() {
    let ensemble = ensemble(2);
    let (zk, events) = client(&ensemble);
    let (slow, session) = (server_of(&ensemble, &zk), zk.session_id());
    ensemble.delay(slow, Duration::from_secs(60)).unwrap();
    wait_for(&events, KeeperState::Disconnected);
    wait_for(&events, KeeperState::SyncConnected);
    assert_eq!(zk.session_id(), session);
    assert_eq!(server_of(&ensemble, &zk), 1 - slow);
}

#[test]
fn a_frozen_server_answers_nothing_and_its_clients_go_elsewhere() {
    let ensemble = ensemble(2);
    let (zk, events) = client(&ensemble);
    zk.create("/e", b"", CreateMode::Ephemeral).unwrap();
    let (frozen, session) = (server_of(&ensemble, &zk), zk.session_id());
    ensemble.freeze(frozen).unwrap();
    let mut waiting = Raw::dial(ensemble.addr(frozen)).expect("the system accepts");
    waiting.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(waiting.handshake(4000, None).is_err(), "nobody answers");
    let (mut other, _) = Raw::connect(ensemble.addr(1 - frozen), 4000);
    assert!(other.exists("/e", false), "the rest goes on");

    wait_for(&events, KeeperState::Disconnected);
    wait_for(&events, KeeperState::SyncConnected);
    assert_eq!((zk.session_id(), server_of(&ensemble, &zk)), (session, 1 - frozen));
    assert!(zk.exists("/e").unwrap().is_some());

    ensemble.thaw(frozen).unwrap();
    let (mut thawed, _) = Raw::connect(ensemble.addr(frozen), 4000);
    thawed.ping().unwrap();
    waiting.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = waiting.read_frame().expect("what had come is answered then");
    assert_eq!(answer.len(), 37);
}

#[test]
fn a_frozen_server_can_be_stopped_and_started() {
    let ensemble = ensemble(1);
    let (mut raw, session) = Raw::connect(ensemble.addr(0), 10_000);
    ensemble.freeze(0).unwrap();
    ensemble.stop(0).unwrap();
    assert!(raw.is_closed());
    ensemble.start(0).unwrap();
    let (mut raw, resumed) = Raw::resume(ensemble.addr(0), &session).unwrap();
    assert_eq!(resumed, session);
    raw.ping().unwrap();
}

#[test]
fn a_dropped_connection_comes_back_with_its_session() {
    let ensemble = ensemble(2);
    let (zk, events) = client(&ensemble);
    let session = zk.session_id();
    assert!(ensemble.drop_connection(session).unwrap());
    wait_for(&events, KeeperState::Disconnected);
    wait_for(&events, KeeperState::SyncConnected);
    assert_eq!(zk.session_id(), session);
    zk.create("/still", b"", CreateMode::Ephemeral).unwrap();
}

#[test]
fn a_moved_session_finds_out_with_its_next_write_or_at_once() {
    let ensemble = ensemble(3);
    for to in [1, 2, 0] {
        let (zk, events) = client(&ensemble);
        let (session, from) = (zk.session_id(), server_of(&ensemble, &zk));
        ensemble.move_session(session, to).unwrap();
        if from != to && from != 0 {
            assert!(zk.exists("/").unwrap().is_some(), "a follower still answers reads");
            let path = format!("/lost-{to}");
            let lost = zk.create(&path, b"", CreateMode::Ephemeral);
            assert!(lost.is_err(), "the connection is closed instead of an answer");
        } else if from == 0 && from != to {
            assert!(zk.exists("/").is_err(), "the leader answers nothing");
        }
        wait_for(&events, KeeperState::Disconnected);
        wait_for(&events, KeeperState::SyncConnected);
        assert_eq!(zk.session_id(), session);
        assert_eq!(zk.exists(&format!("/lost-{to}")).unwrap(), None, "without effect");
        zk.create(&format!("/kept-{to}"), b"", CreateMode::Ephemeral).unwrap();
        zk.close().unwrap();
    }
}

#[test]
fn a_wiped_ensemble_refuses_who_has_seen_more_and_lets_others_begin_anew() {
    let ensemble = ensemble(2);
    let (zk, events) = client(&ensemble);
    zk.create("/old", b"", CreateMode::Persistent).unwrap();
    let (mut raw, session) = Raw::connect(ensemble.addr(0), 4000);
    ensemble.wipe().unwrap();
    assert!(raw.is_closed());
    // This client says that it has seen nothing, and so hears the truth.
    let refused = Raw::resume(ensemble.addr(0), &session).unwrap().1;
    assert_eq!(refused.timeout, 0);
    wait_for(&events, KeeperState::Disconnected);
    assert!(ensemble.sessions().unwrap().is_empty(), "ahead of all servers: refused");

    let (mut fresh, granted) = Raw::connect(ensemble.addr(1), 4000);
    assert_ne!(granted.id, session.id);
    assert!(!fresh.exists("/old", false));
    // When there have been as many transactions again, it is told that its session is over.
    for n in 0..10 {
        fresh.create(&format!("/new{n}"), b"", CreateMode::Persistent).unwrap();
    }
    wait_for(&events, KeeperState::Expired);
}

#[test]
fn a_read_only_server_serves_reads_to_who_accepts_that() {
    let builder = EmbeddedEnsemble::builder().servers(1).tick(Duration::from_millis(500));
    let ensemble = builder.local_sessions().start().unwrap();
    let (writer, told) = client(&ensemble);
    writer.create("/config", b"v1", CreateMode::Persistent).unwrap();
    writer.create("/me", b"", CreateMode::Ephemeral).unwrap(); // known to the ensemble from here on
    let session_id = writer.session_id();

    ensemble.read_only(0).unwrap();
    wait_for(&told, KeeperState::Disconnected);
    let reader = Client::builder(ensemble.connect_string()).allow_read_only().connect().unwrap();
    assert_eq!(reader.state(), KeeperState::ConnectedReadOnly);
    assert_eq!(reader.get_data("/config").unwrap().0, b"v1");
    let refused = reader.set_data("/config", b"v2", None).unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NotReadOnly));

    let events = reader.events();
    ensemble.read_write(0).unwrap();
    wait_for(&events, KeeperState::SyncConnected);
    reader.set_data("/config", b"v2", None).unwrap();
    assert_eq!(wait_for(&told, KeeperState::SyncConnected).session_id, session_id);
    assert_eq!(writer.get_data("/config").unwrap().0, b"v2");
    assert!(writer.exists("/me").unwrap().is_some());
    reader.close().unwrap();
    writer.close().unwrap();
}
