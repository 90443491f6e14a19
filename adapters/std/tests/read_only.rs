//! Reading from a real server that has lost its quorum, and finding the way back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::{Duration, Instant};

use zk_session::client::{Cause, KeeperState};
use zk_session::wire::CreateMode;
use zk_session::{DisconnectReason, ErrorCode};
use zk_session_std::{Client, Events, SessionEvent, Transition};
use zk_session_testkit::RealEnsemble;

const PATIENCE: Duration = Duration::from_secs(60);

fn client(ensemble: &RealEnsemble) -> Client {
    // Long enough that a silent server is not left before a probe has found another.
    Client::builder(ensemble.connect_string())
        .timeout(Duration::from_secs(40))
        .connect_timeout(PATIENCE)
        .allow_read_only()
        .connect()
        .unwrap()
}

/// The state changes up to the first one to this state.
fn until(events: &Events, state: KeeperState) -> Vec<Transition> {
    let (deadline, mut seen) = (Instant::now() + PATIENCE, Vec::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            Some(SessionEvent::State(change)) => {
                seen.push(change);
                if seen.last().unwrap().state == state {
                    return seen;
                }
            }
            Some(_) => {}
            None => panic!("no {state:?} within {PATIENCE:?}, only {seen:#?}"),
        }
    }
}

/// Connects to the one server that is left, which serves reads only.
fn reader(ensemble: &RealEnsemble) -> Client {
    let reader = client(ensemble);
    assert_eq!(reader.state(), KeeperState::ConnectedReadOnly);
    assert_eq!(reader.current_host().1, ensemble.addr(0).to_string());
    let started = Instant::now();
    assert_eq!(reader.get_data("/config").unwrap().0, b"v1");
    assert_eq!(reader.exists("/nope").unwrap(), None);
    assert!(started.elapsed() < Duration::from_secs(5), "reads are prompt");
    for refused in [
        reader.set_data("/config", b"v2", None).map(drop),
        reader.create("/new", b"", CreateMode::Persistent).map(drop),
        reader.delete("/config", None),
    ] {
        assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::NotReadOnly));
    }
    assert_eq!(reader.state(), KeeperState::ConnectedReadOnly, "and cost nothing else");
    reader
}

#[test]
fn u10_r5_reads_go_on_without_a_quorum_and_sessions_keep_their_rules_on_the_way_back() {
    let ensemble = RealEnsemble::builder()
        .nodes(3)
        .system_property("readonlymode.enabled", true)
        .property("localSessionsEnabled", true)
        .property("localSessionsUpgradingEnabled", true)
        .property("maxSessionTimeout", 60_000)
        .start()
        .unwrap();
    // An ephemeral znode makes its session one that the whole ensemble knows.
    let owner = client(&ensemble);
    let owners = owner.events();
    owner.create("/config", b"v1", CreateMode::Persistent).unwrap();
    owner.create("/alive", b"", CreateMode::Ephemeral).unwrap();
    let session = owner.session_id();
    // What is answered by the survivor has reached it.
    let survivor = Client::connect(ensemble.addr(0).to_string()).unwrap();
    survivor.sync("/config").unwrap();
    assert!(survivor.exists("/alive").unwrap().is_some());
    drop(survivor);

    // The quorum is lost and comes back: the read-only server hangs up on its own then.
    ensemble.kill(1).unwrap();
    ensemble.kill(2).unwrap();
    until(&owners, KeeperState::Disconnected);
    let first = reader(&ensemble);
    let (firsts, throw_away) = (first.events(), first.session_id());
    assert_eq!(owner.state(), KeeperState::Disconnected, "its session is refused without a word");
    assert_eq!(owner.session_id(), session);

    ensemble.restart(1).unwrap();
    let seen = until(&firsts, KeeperState::SyncConnected);
    assert_eq!(seen.last().unwrap().cause, Cause::Established, "a session of its own: {seen:#?}");
    assert_ne!(first.session_id(), throw_away);
    first.set_data("/config", b"v1", None).unwrap();
    let seen = until(&owners, KeeperState::SyncConnected);
    assert_eq!(seen.last().unwrap().cause, Cause::Resumed);
    assert_eq!(owner.session_id(), session);
    assert_eq!(
        first.exists("/alive").unwrap().unwrap().ephemeral_owner,
        session.0,
        "the session never ended"
    );
    first.close().unwrap();

    // The same again, but the read-only server does not hear of the quorum that comes back without
    // it: only asking around finds that.
    ensemble.kill(1).unwrap();
    until(&owners, KeeperState::Disconnected);
    let second = reader(&ensemble);
    let (seconds, throw_away) = (second.events(), second.session_id());
    ensemble.pause(0).unwrap();
    ensemble.restart(1).unwrap();
    ensemble.restart(2).unwrap();
    let seen = until(&seconds, KeeperState::SyncConnected);
    let causes: Vec<Cause> = seen.iter().map(|change| change.cause).collect();
    assert_eq!(causes, [Cause::Lost(DisconnectReason::FoundReadWrite), Cause::Established]);
    assert_eq!(seen[0].host, ensemble.addr(0).to_string());
    assert_ne!(seen[1].host, ensemble.addr(0).to_string());
    assert_ne!(second.session_id(), throw_away);
    second.set_data("/config", b"v2", None).unwrap();
    let seen = until(&owners, KeeperState::SyncConnected);
    assert_eq!(seen.last().unwrap().cause, Cause::Resumed);
    assert_eq!(owner.session_id(), session);
    ensemble.resume(0).unwrap();
    owner.close().unwrap();
    second.close().unwrap();
}
