//! Tickets across processes, deadlines and bounds, on the embedded ensemble and on a real one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use zk_session::OpError;
use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{CreateMode, EventType, Request};
use zk_session_std::{Client, EmbeddedEnsemble, ErrorKind, SessionEvent, Transition};
use zk_session_testkit::{RealEnsemble, Relay};

const TIMEOUT: Duration = Duration::from_secs(4);
const CHILD: &str = "ZK_SESSION_TEST_CHILD";

fn embedded() -> EmbeddedEnsemble {
    EmbeddedEnsemble::builder().servers(3).tick(Duration::from_millis(500)).start().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The process before the restart: run by the tests below, and nothing by itself.
#[test]
fn child() {
    let Ok(connect_string) = std::env::var(CHILD) else { return };
    let zk = Client::builder(connect_string).timeout(TIMEOUT).connect().unwrap();
    zk.create("/survivor", b"", CreateMode::Ephemeral).unwrap();
    zk.exists_watched("/wanted").unwrap();
    println!("ticket {} {}", hex(&zk.ticket().unwrap()), zk.session_id());
    zk.detach();
}

fn a_session_outlives_its_process(connect_string: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, connect_string)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line = stdout.lines().find_map(|line| line.strip_prefix("ticket ")).expect("a ticket");
    let (ticket, id) = line.split_once(' ').unwrap();

    let other = Client::builder(connect_string).timeout(TIMEOUT).connect().unwrap();
    other.create("/wanted", b"", CreateMode::Persistent).unwrap();
    let zk =
        Client::builder(connect_string).timeout(TIMEOUT).resume(unhex(ticket)).start().unwrap();
    let events = zk.events();
    let Some(SessionEvent::State(state)) = events.recv_timeout(TIMEOUT) else { panic!() };
    assert_eq!((state.state, state.cause), (KeeperState::SyncConnected, Cause::Resumed));
    assert_eq!(state.session_id.to_string(), id);
    let stat = zk.exists("/survivor").unwrap().expect("it has survived");
    assert_eq!(stat.ephemeral_owner, state.session_id.0);
    // The watch of the process that is gone tells what happened while nobody was there.
    let path = "/wanted".to_owned();
    let created = SessionEvent::Notification { kind: EventType::NodeCreated, path };
    assert_eq!(events.recv_timeout(TIMEOUT), Some(created));
    zk.close().unwrap();
    // It may be connected to a server that has not heard of it yet.
    other.sync("/survivor").unwrap();
    assert_eq!(other.exists("/survivor").unwrap(), None);
    other.delete("/wanted", None).unwrap();
}

#[test]
fn g8_a_session_outlives_its_process_on_the_embedded_ensemble() {
    a_session_outlives_its_process(&embedded().connect_string());
}

#[test]
fn g8_a_session_outlives_its_process_on_a_real_ensemble() {
    let ensemble = RealEnsemble::builder().nodes(3).start().unwrap();
    a_session_outlives_its_process(&ensemble.connect_string());
}

#[test]
fn a_ticket_of_a_session_that_is_gone_ends_as_expired_and_garbage_is_named() {
    let ensemble = embedded();
    let zk = Client::builder(ensemble.connect_string()).timeout(TIMEOUT).connect().unwrap();
    let ticket = zk.ticket().unwrap();
    zk.close().unwrap();
    assert_eq!(zk.ticket().unwrap_err().kind, ErrorKind::NoSession);
    let late = Client::builder(ensemble.connect_string()).resume(ticket).start().unwrap();
    let told = late.events().last();
    let expired = |t: &Transition| t.state == KeeperState::Expired;
    assert!(matches!(&told, Some(SessionEvent::State(t)) if expired(t)), "{told:?}");
    let error = Client::builder("h").resume(*b"not a ticket").start().unwrap_err();
    assert_eq!(error.to_string(), "not a session ticket");
}

#[test]
fn a_deadline_is_kept_to_the_moment_and_the_session_goes_on() {
    let ensemble = embedded();
    let relays: Vec<Relay> = ensemble.addrs().iter().map(|a| Relay::start(*a).unwrap()).collect();
    let string: Vec<String> = relays.iter().map(|relay| relay.addr().to_string()).collect();
    let zk = Client::builder(string.join(",")).timeout(TIMEOUT).connect().unwrap();
    let id = zk.session_id();
    let request = Request::get_data("/", false);
    let in_time = zk.submit_within(&request, Duration::from_secs(2)).unwrap();
    assert!(in_time.wait().is_ok());
    relays[zk.current_host().0].blackhole().unwrap();
    let start = Instant::now();
    let late = zk.submit_within(&request, Duration::from_millis(300)).unwrap();
    assert_eq!(late.wait(), Err(OpError::Timeout));
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(290) && waited < Duration::from_secs(1), "{waited:?}");
    assert!(zk.get_data("/").is_ok(), "on another server");
    assert_eq!(zk.session_id(), id);
    assert!(zk.why().unwrap().starts_with("SyncConnected: the session was resumed"));
}

#[test]
fn the_safe_bound_is_ahead_while_connected_and_comes_in_silence_before_expiry() {
    let ensemble = embedded();
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    let zk = Client::builder(relay.addr().to_string())
        .timeout(Duration::from_secs(2))
        .connect()
        .unwrap();
    let watcher = Client::builder(ensemble.connect_string()).timeout(TIMEOUT).connect().unwrap();
    zk.create("/lock", b"", CreateMode::Ephemeral).unwrap();
    let events = watcher.events();
    watcher.exists_watched("/lock").unwrap();
    assert!(zk.safe_until().unwrap() > Instant::now() + Duration::from_secs(1));
    relay.cut();
    let gone = events.recv_timeout(Duration::from_secs(10));
    assert!(matches!(gone, Some(SessionEvent::Notification { kind: EventType::NodeDeleted, .. })));
    assert!(zk.safe_until().unwrap() < Instant::now(), "the holder stopped before the lock went");
}
