//! A socket that is full, time without end, and a session that changes servers while threads wait.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zk_session::client::KeeperState;
use zk_session::storage::Limits;
use zk_session::wire::{CreateMode, Request};
use zk_session_std::{Client, EmbeddedEnsemble, Pending, SessionEvent};

const PATIENCE: Duration = Duration::from_secs(20);

fn ensemble(servers: usize) -> EmbeddedEnsemble {
    let tick = Duration::from_secs(2);
    EmbeddedEnsemble::builder().servers(servers).tick(tick).local_sessions().start().unwrap()
}

/// A client that has so many MiB to remember what it has to send.
fn client(ensemble: &EmbeddedEnsemble, room: usize) -> Client {
    let mut limits = Limits::default();
    limits.transmit = room << 20;
    Client::builder(ensemble.connect_string())
        .timeout(PATIENCE)
        .close_timeout(Duration::from_millis(200))
        .limits(limits)
        .connect()
        .unwrap()
}

/// Asks for more than a socket takes whose server does not read, and waits for nothing.
fn crowd(client: &Client) -> Vec<Pending> {
    let data = vec![7; 400_000];
    let ask = |_| client.submit(&Request::set_data("/big", &data, -1)).unwrap();
    (0..30).map(ask).collect()
}

#[test]
fn requests_for_which_there_is_no_room_wait_for_whoever_writes() {
    let ensemble = ensemble(1);
    let client = client(&ensemble, 4);
    client.create("/big", b"", CreateMode::Persistent).unwrap();
    ensemble.freeze(0).unwrap();
    let (tell, told) = mpsc::channel();
    for n in 0..30 {
        let (client, tell) = (client.clone(), tell.clone());
        thread::spawn(move || {
            let data = vec![7; 700_000 + n * 10_000];
            tell.send(client.set_data("/big", &data, None).map(drop)).unwrap();
        });
    }
    thread::sleep(Duration::from_millis(200));
    ensemble.thaw(0).unwrap();
    for _ in 0..30 {
        told.recv_timeout(PATIENCE).expect("all of them have their turn").unwrap();
    }
}

#[test]
fn neither_drop_nor_close_waits_for_a_server_that_does_not_read() {
    let ensemble = ensemble(1);
    for turn in 0..3 {
        ensemble.thaw(0).unwrap();
        let client = client(&ensemble, 16);
        let events = client.events();
        thread::sleep(Duration::from_millis(10));
        ensemble.freeze(0).unwrap();
        let pending = crowd(&client);
        let start = Instant::now();
        match turn {
            0 => drop(pending),
            1 => drop(client),
            _ => assert!(client.close().is_err()),
        }
        assert!(start.elapsed() < Duration::from_secs(2), "{turn}: {:?}", start.elapsed());
        if turn == 1 {
            while events.recv().is_some() {}
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        }
    }
}

#[test]
fn whoever_waits_for_an_event_finds_a_server_that_can_write() {
    let ensemble = ensemble(2);
    ensemble.read_only(0).unwrap();
    ensemble.stop(1).unwrap();
    let builder = Client::builder(ensemble.connect_string()).timeout(PATIENCE).allow_read_only();
    let client = builder.connect().unwrap();
    assert_eq!(client.state(), KeeperState::ConnectedReadOnly);
    let events = client.events();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // Who has just read an answer reads on, for the events.
        client.exists("/").unwrap();
        for event in events {
            if let SessionEvent::State(change) = event {
                let _ = tell.send(change.state);
            }
        }
    });
    ensemble.start(1).unwrap();
    let mut state = KeeperState::ConnectedReadOnly;
    while state != KeeperState::SyncConnected {
        state = told.recv_timeout(PATIENCE).expect("somebody is asked");
    }
}

#[test]
fn patience_may_be_without_end() {
    let ensemble = ensemble(1);
    let builder = Client::builder(ensemble.connect_string()).connect_timeout(Duration::MAX);
    let client = builder.close_timeout(Duration::MAX).connect().unwrap();
    client.wait_connected(Duration::MAX).unwrap();
    let answer = client.submit_within(&Request::sync("/"), Duration::MAX).unwrap();
    answer.wait().unwrap();
    let events = client.events();
    let waits = thread::spawn(move || events.recv_timeout(Duration::MAX));
    client.close().unwrap();
    assert!(matches!(waits.join().unwrap(), Some(SessionEvent::State(_))));
}
