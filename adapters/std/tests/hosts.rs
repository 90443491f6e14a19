//! The list of hosts changes under a client on real sockets, or has none to offer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::thread;
use std::time::{Duration, Instant};

use zk_session::client::{Cause, HostsUpdate, KeeperState};
use zk_session::wire::CreateMode;
use zk_session::{ConfigError, DisconnectReason};
use zk_session_std::{Client, EmbeddedEnsemble, ErrorKind, SessionEvent, Transition};
use zk_session_testkit::ReservedPort;

const PATIENCE: Duration = Duration::from_secs(10);

fn ensemble() -> (EmbeddedEnsemble, Vec<String>) {
    let tick = Duration::from_millis(500);
    let ensemble = EmbeddedEnsemble::builder().servers(3).tick(tick).start().unwrap();
    let hosts = ensemble.connect_string().split(',').map(str::to_owned).collect();
    (ensemble, hosts)
}

fn changes(client: &zk_session_std::Events, n: usize) -> Vec<Transition> {
    let changes = std::iter::from_fn(|| client.recv_timeout(PATIENCE));
    let changes = changes.filter_map(|event| match event {
        SessionEvent::State(change) => Some(change),
        _ => None,
    });
    changes.take(n).collect()
}

#[test]
fn j6_a_session_moves_to_another_list_at_once_with_all_that_is_its_own() {
    let (_ensemble, hosts) = ensemble();
    let zk = Client::builder(&hosts[0]).timeout(Duration::from_secs(5)).connect().unwrap();
    let events = zk.events();
    zk.create("/mine", b"", CreateMode::Ephemeral).unwrap();
    let session = zk.session_id();
    for host in [&hosts[1], &hosts[2], &hosts[0]] {
        let (left, started) = (zk.current_host().1, Instant::now());
        assert_eq!(zk.update_hosts(host.clone()).unwrap(), HostsUpdate::Moves);
        let seen = changes(&events, 2);
        assert_eq!(seen[0].cause, Cause::Lost(DisconnectReason::HostsChanged));
        assert_eq!(seen[0].host, left, "the host that was left can be named");
        assert_eq!((seen[1].cause, &seen[1].host), (Cause::Resumed, host));
        assert!(started.elapsed() < Duration::from_secs(2));
        assert_eq!(zk.session_id(), session);
        assert!(zk.exists("/mine").unwrap().is_some());
    }
    assert_eq!(zk.update_hosts(hosts.join(",")).map(drop), Ok(()));
    assert_eq!(zk.update_hosts("h1:x").unwrap_err().kind.to_string(), {
        "port is not a number of 0..=65535, at byte 3"
    });
    let error = zk.update_hosts("h1/chroot").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config(ConfigError::ChrootChanged));
    zk.close().unwrap();
}

#[test]
fn j6_a_session_that_looks_in_the_wrong_places_finds_the_new_one() {
    let (_ensemble, hosts) = ensemble();
    let dead = ReservedPort::new().unwrap();
    let zk = Client::builder(dead.addr().to_string()).start().unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(zk.state(), KeeperState::Disconnected);
    zk.update_hosts(hosts[2].clone()).unwrap();
    zk.wait_connected(PATIENCE).unwrap();
    assert_eq!(zk.current_host().1, hosts[2]);
    zk.close().unwrap();
}

#[test]
fn j2_a_session_that_nobody_gives_ends_at_its_deadline() {
    let dead = ReservedPort::new().unwrap();
    let started = Instant::now();
    let zk = Client::builder(dead.addr().to_string())
        .new_session_deadline(Duration::from_millis(700))
        .start()
        .unwrap();
    let events = zk.events();
    let seen = changes(&events, 1);
    assert_eq!((seen[0].state, seen[0].cause), (KeeperState::Closed, Cause::NeverEstablished));
    assert!(started.elapsed() >= Duration::from_millis(700));
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(zk.wait_connected(PATIENCE).is_err());
    assert!(zk.exists("/").is_err());
}
