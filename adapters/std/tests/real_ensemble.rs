//! What a session carries from one real server to the next when the first is killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{Acl, CreateMode, EventType, Request};
use zk_session::{DisconnectReason, ErrorCode, OpError};
use zk_session_std::{Answer, Client, Events, Pending, SessionEvent};
use zk_session_testkit::{RealEnsemble, Relay};

const TIMEOUT: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(30);
/// Enough of them that they are registered again in more than one request.
const WATCHES: usize = 500;
const LOST: Cause = Cause::Lost(DisconnectReason::TransportClosed);

fn ensemble() -> RealEnsemble {
    RealEnsemble::builder().nodes(3).start().unwrap()
}

fn client(connect_string: String) -> Client {
    Client::builder(connect_string).timeout(TIMEOUT).connect_timeout(PATIENCE).connect().unwrap()
}

/// Kills the server that a session is connected to; a follower, so that the others go on.
fn kill_server_of(zk: &Client, ensemble: &RealEnsemble) -> usize {
    let host = zk.current_host().1;
    let node = ensemble.addrs().iter().position(|addr| addr.to_string() == host).unwrap();
    ensemble.kill(node).unwrap();
    node
}

/// Two servers that do not lead, in a connection string; and the leader.
fn followers(ensemble: &RealEnsemble) -> (String, String) {
    let leader = ensemble.wait_leader(PATIENCE).unwrap();
    let name = |n: usize| ensemble.addr(n).to_string();
    let followers: Vec<String> = (0..3).filter(|n| *n != leader).map(name).collect();
    (followers.join(","), name(leader))
}

/// Submits one request for each of many paths, and waits for all the answers.
fn all<'a>(
    zk: &Client,
    requests: impl Iterator<Item = Request<'a>>,
) -> Vec<Result<Answer, OpError>> {
    let mut pipeline = zk.pipeline();
    let pending: Vec<_> = requests.map(|request| pipeline.submit(&request).unwrap()).collect();
    drop(pipeline);
    pending.into_iter().map(Pending::wait).collect()
}

/// The notifications up to the first silence of a second after as many as are expected, each with
/// how often it came.
fn notifications(events: &Events, expected: usize) -> BTreeMap<(String, &'static str), usize> {
    let mut seen = BTreeMap::new();
    let mut count = 0;
    loop {
        let patience = if count < expected { PATIENCE } else { Duration::from_secs(1) };
        match events.recv_timeout(patience) {
            Some(SessionEvent::Notification { kind, path }) => {
                let kind = match kind {
                    EventType::NodeCreated => "created",
                    EventType::NodeDeleted => "deleted",
                    EventType::NodeDataChanged => "changed",
                    EventType::NodeChildrenChanged => "children",
                    other => panic!("{other:?} of {path}"),
                };
                *seen.entry((path, kind)).or_default() += 1;
                count += 1;
            }
            Some(SessionEvent::State(_)) => {}
            Some(other) => panic!("{other:?}"),
            None => return seen,
        }
    }
}

fn until(events: &Events, wanted: KeeperState) -> Cause {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Some(SessionEvent::State(change)) if change.state == wanted => return change.cause,
            Some(SessionEvent::State(_)) => {}
            other => panic!("{other:?} before {wanted:?}"),
        }
    }
}

#[test]
fn k2_z1_watches_of_a_killed_server_fire_on_the_next_one_once_each() {
    let ensemble = ensemble();
    let (hosts, leader) = followers(&ensemble);
    // The second server is not to be had before the changes are made.
    let (first, second) = hosts.split_once(',').unwrap();
    let relay = Relay::start(second.parse().unwrap()).unwrap();
    relay.cut();
    let zk = client(format!("{first},{}", relay.addr()));
    let other = client(leader);
    // A long prefix, so that the paths fill several requests of the replay.
    let root = format!("/{}", "r".repeat(900));
    let data: Vec<String> = (0..WATCHES).map(|n| format!("{root}/data-{n:03}")).collect();
    let absent: Vec<String> = (0..WATCHES).map(|n| format!("{root}/absent-{n:03}")).collect();
    let parents: Vec<String> = (0..WATCHES).map(|n| format!("{root}/parent-{n:03}")).collect();
    other.create(&root, b"", CreateMode::Persistent).unwrap();
    let made = data.iter().chain(&parents);
    let made = all(&other, made.map(|p| Request::create(p, b"", CreateMode::Persistent)));
    assert!(made.iter().all(Result::is_ok));
    zk.sync("/").unwrap();
    let set = data.iter().map(|p| Request::get_data(p, true));
    let set = set.chain(parents.iter().map(|p| Request::get_children(p, true)));
    assert!(all(&zk, set).iter().all(Result::is_ok));
    let set = all(&zk, absent.iter().map(|p| Request::exists(p, true)));
    let no_node = OpError::Server(ErrorCode::NoNode);
    assert!(set.iter().all(|answer| *answer.as_ref().unwrap_err() == no_node));

    let events = zk.events();
    let session = zk.session_id();
    kill_server_of(&zk, &ensemble);
    // A half of what is watched changes while nobody is listening; the other half later.
    let half = WATCHES / 2;
    let change = |range: std::ops::Range<usize>| {
        let children: Vec<String> =
            parents[range.clone()].iter().map(|p| format!("{p}/child")).collect();
        let changed = data[range.clone()].iter().map(|p| Request::set_data(p, b"new", -1));
        assert!(all(&other, changed).iter().all(Result::is_ok));
        let made = absent[range].iter().chain(&children);
        let made = made.map(|p| Request::create(p, b"", CreateMode::Persistent));
        assert!(all(&other, made).iter().all(Result::is_ok));
    };
    let expected = |range: std::ops::Range<usize>| {
        let mut expected = BTreeMap::new();
        for n in range {
            expected.insert((data[n].clone(), "changed"), 1);
            expected.insert((absent[n].clone(), "created"), 1);
            expected.insert((parents[n].clone(), "children"), 1);
        }
        expected
    };
    assert_eq!(until(&events, KeeperState::Disconnected), LOST);
    change(0..half);
    assert_eq!(zk.state(), KeeperState::Disconnected);
    relay.mend().unwrap();
    let seen = notifications(&events, 3 * half);
    assert!(seen == expected(0..half), "{} of {} caught up", seen.len(), 3 * half);
    assert_eq!((zk.state(), zk.session_id()), (KeeperState::SyncConnected, session));
    change(half..WATCHES);
    let seen = notifications(&events, 3 * (WATCHES - half));
    assert!(seen == expected(half..WATCHES), "{} were still armed", seen.len());
    // Nothing is left of them.
    let changed = data.iter().map(|p| Request::set_data(p, b"newer", -1));
    assert!(all(&other, changed).iter().all(Result::is_ok));
    assert!(notifications(&events, 0).is_empty());
    zk.close().unwrap();
}

#[test]
fn z6_a_credential_is_shown_to_the_next_server_without_the_application() {
    let ensemble = ensemble();
    let (hosts, leader) = followers(&ensemble);
    let zk = client(hosts);
    zk.add_auth("digest", b"user:secret").unwrap();
    zk.create_with_acl("/own", b"mine", CreateMode::Persistent, Acl::CREATOR_ALL).unwrap();
    let other = client(leader);
    other.sync("/own").unwrap();
    assert_eq!(other.get_data("/own").unwrap_err().code(), Some(ErrorCode::NoAuth));
    let (session, events) = (zk.session_id(), zk.events());
    let first = zk.current_host().1;
    kill_server_of(&zk, &ensemble);
    until(&events, KeeperState::Disconnected);
    // The first request on the next connection has the identity already.
    assert_eq!(zk.get_data("/own").unwrap().0, b"mine");
    zk.set_data("/own", b"still mine", Some(0)).unwrap();
    assert_ne!(zk.current_host().1, first);
    assert_eq!(zk.session_id(), session);
    zk.delete("/own", Some(1)).unwrap();
    zk.close().unwrap();
}

#[test]
fn c4_requests_in_flight_while_a_server_is_killed_are_each_answered_once() {
    static STOP: OnceLock<()> = OnceLock::new();
    let ensemble = ensemble();
    let (hosts, leader) = followers(&ensemble);
    let zk = client(hosts);
    zk.create("/n", b"", CreateMode::Persistent).unwrap();
    let session = zk.session_id();
    let writer = {
        let zk = zk.clone();
        thread::spawn(move || {
            let (mut done, mut lost, mut refused) = (0_u32, 0_u32, 0_u32);
            // A window of requests is in flight all the time, before, during and after the kill.
            while STOP.get().is_none() {
                let mut pipeline = zk.pipeline();
                let pending: Vec<_> =
                    (0..200).map(|_| pipeline.submit(&Request::set_data("/n", b"x", -1))).collect();
                drop(pipeline);
                let mut broken = false;
                let mut version = None;
                for answer in pending {
                    // `wait` takes the pending request: there is no second answer to be had.
                    let Ok(answer) = answer else {
                        refused += 1;
                        continue;
                    };
                    match answer.wait() {
                        Ok(Answer::Stat(stat)) => {
                            assert!(version.is_none_or(|last| last < stat.version), "in order");
                            assert!(!broken || version.is_none(), "nothing lost is overtaken");
                            version = Some(stat.version);
                            done += 1;
                        }
                        Err(OpError::ConnectionLoss) => {
                            (broken, lost) = (true, lost + 1);
                            version = None;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            (done, lost, refused)
        })
    };
    let events = zk.events();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(300));
        let node = kill_server_of(&zk, &ensemble);
        until(&events, KeeperState::Disconnected);
        assert_eq!(until(&events, KeeperState::SyncConnected), Cause::Resumed);
        ensemble.restart(node).unwrap();
        ensemble.wait_serving(node, PATIENCE).unwrap();
    }
    thread::sleep(Duration::from_millis(300));
    STOP.set(()).unwrap();
    let (done, lost, refused) = writer.join().unwrap();
    assert!(done > 500 && lost > 0, "{done} done, {lost} lost, {refused} refused");
    // What was answered was done; what was lost may have been.
    let other = client(leader);
    other.sync("/n").unwrap();
    let version = u32::try_from(other.get_data("/n").unwrap().1.version).unwrap();
    assert!(
        (done..=done + lost).contains(&version),
        "{version} writes for {done} answers and {lost} losses"
    );
    assert_eq!(zk.session_id(), session);
    zk.close().unwrap();
}
