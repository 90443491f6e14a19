//! What a session carries over from a killed server to the next, on a real ensemble of three.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{Acl, CreateMode, EventType, Request};
use zk_session::{ErrorCode, OpError};
use zk_session_std::{Client, Events, SessionEvent, Transition};
use zk_session_testkit::RealEnsemble;

const TIMEOUT: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(30);

fn ensemble() -> RealEnsemble {
    RealEnsemble::builder().nodes(3).tick_ms(500).start().unwrap()
}

fn connect(ensemble: &RealEnsemble) -> Client {
    Client::builder(ensemble.connect_string()).timeout(TIMEOUT).connect().unwrap()
}

/// A client on another server than this one, so that it survives that server's end undisturbed.
fn connect_elsewhere(ensemble: &RealEnsemble, server: usize) -> Client {
    let others: Vec<String> = (0..3)
        .filter(|other| *other != server)
        .map(|other| ensemble.addr(other).to_string())
        .collect();
    Client::builder(others.join(",")).timeout(TIMEOUT).connect().unwrap()
}

fn await_resumed(events: &Events, told: &mut BTreeMap<(String, String), usize>) {
    loop {
        match events.recv_timeout(PATIENCE).expect("an event") {
            SessionEvent::State(Transition { cause: Cause::Resumed, .. }) => return,
            SessionEvent::State(state) => {
                assert_eq!(state.state, KeeperState::Disconnected, "{state:?}");
            }
            other => count(other, told),
        }
    }
}

fn count(event: SessionEvent, told: &mut BTreeMap<(String, String), usize>) {
    match event {
        SessionEvent::Notification { kind, path } => {
            *told.entry((path, format!("{kind:?}"))).or_default() += 1;
        }
        SessionEvent::State(state) => assert!(!state.state.is_final(), "{state:?}"),
        other => panic!("{other:?}"),
    }
}

fn key(path: &str, kind: EventType) -> (String, String) {
    (path.to_owned(), format!("{kind:?}"))
}

#[test]
fn k2_z1_watches_of_every_kind_survive_their_server_and_fire_once() {
    let ensemble = ensemble();
    let zk = connect(&ensemble);
    let server = zk.current_host().0;
    let other = connect_elsewhere(&ensemble, server);
    for path in ["/data", "/child", "/late", "/many"] {
        other.create(path, b"0", CreateMode::Persistent).unwrap();
    }
    for n in 0..500 {
        other.create(&format!("/many/{n}"), b"0", CreateMode::Persistent).unwrap();
    }
    zk.sync("/many").unwrap();
    let events = zk.events();
    zk.get_data_watched("/data").unwrap();
    zk.exists_watched("/absent").unwrap();
    zk.get_children_watched("/child").unwrap();
    zk.get_data_watched("/late").unwrap();
    for n in 0..500 {
        zk.get_data_watched(&format!("/many/{n}")).unwrap();
    }

    ensemble.kill(server).unwrap();
    let retry = |change: &dyn Fn() -> Result<(), zk_session_std::Error>| {
        // The leader may have been the one that died: a write can fail while another is elected.
        for _ in 0..50 {
            match change() {
                Ok(()) => return,
                Err(error) if error.code() == Some(ErrorCode::NodeExists) => return,
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
        panic!("the ensemble does not come back");
    };
    retry(&|| other.set_data("/data", b"1", None).map(|_| ()));
    retry(&|| other.create("/absent", b"", CreateMode::Persistent).map(|_| ()));
    retry(&|| other.create("/child/new", b"", CreateMode::Persistent).map(|_| ()));

    let mut told = BTreeMap::new();
    await_resumed(&events, &mut told);
    for path in ["/late", "/many/0", "/many/250", "/many/499"] {
        retry(&|| other.set_data(path, b"1", None).map(|_| ()));
    }
    let wanted = [
        key("/data", EventType::NodeDataChanged),
        key("/absent", EventType::NodeCreated),
        key("/child", EventType::NodeChildrenChanged),
        key("/late", EventType::NodeDataChanged),
        key("/many/0", EventType::NodeDataChanged),
        key("/many/250", EventType::NodeDataChanged),
        key("/many/499", EventType::NodeDataChanged),
    ];
    while !wanted.iter().all(|event| told.contains_key(event)) {
        count(events.recv_timeout(PATIENCE).expect("every watch fires"), &mut told);
    }
    // Events come before the answer to a later request: whatever was doubled is here by now.
    zk.sync("/").unwrap();
    while let Some(event) = events.try_recv() {
        count(event, &mut told);
    }
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    assert!(told.values().all(|times| *times == 1), "{told:?}");
}

#[test]
fn z6_credentials_are_shown_to_the_next_server_without_being_asked_for() {
    let ensemble = ensemble();
    let zk = connect(&ensemble);
    let server = zk.current_host().0;
    zk.add_auth("digest", b"owner:secret").unwrap();
    let acl = Acl::CREATOR_ALL;
    zk.create_with_acl("/mine", b"private", CreateMode::Persistent, acl).unwrap();
    let stranger = connect_elsewhere(&ensemble, server);
    stranger.sync("/mine").unwrap();
    assert_eq!(stranger.get_data("/mine").unwrap_err().code(), Some(ErrorCode::NoAuth));

    let events = zk.events();
    ensemble.kill(server).unwrap();
    await_resumed(&events, &mut BTreeMap::new());
    assert_ne!(zk.current_host().0, server);
    assert_eq!(zk.get_data("/mine").unwrap().0, b"private");
}

#[test]
fn c4_requests_in_flight_at_the_kill_are_each_answered_once() {
    let ensemble = ensemble();
    let zk = connect(&ensemble);
    let session_id = zk.session_id();
    zk.create("/counter", b"", CreateMode::Persistent).unwrap();
    let mut pending = Vec::new();
    let mut pipeline = zk.pipeline();
    for n in 0..2000_u32 {
        let data = n.to_be_bytes();
        pending.push(pipeline.submit(&Request::set_data("/counter", &data, -1)).unwrap());
        if n == 1000 {
            pipeline.flush();
            ensemble.kill(zk.current_host().0).unwrap();
        }
    }
    drop(pipeline);
    let (mut done, mut lost) = (0, 0);
    for answer in pending {
        match answer.wait() {
            Ok(_) => done += 1,
            Err(OpError::ConnectionLoss) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(done + lost, 2000);
    // A lost write may have happened, an answered one has.
    zk.sync("/counter").unwrap();
    let version = zk.get_data("/counter").unwrap().1.version;
    assert!((done..=done + lost).contains(&version), "{done} done, {lost} lost, {version} seen");
    assert_eq!(zk.session_id(), session_id);
}
