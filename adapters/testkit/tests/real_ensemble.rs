//! Real quorums and real nodes, killed and paused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zk_session_testkit::{RealEnsemble, four_letter};

const LONG: Duration = Duration::from_secs(60);

fn modes(ensemble: &RealEnsemble) -> Vec<String> {
    let mut modes: Vec<String> = (0..3)
        .map(|i| ensemble.mode(i).map_or("none".into(), |mode| format!("{mode:?}")))
        .collect();
    modes.sort();
    modes
}

#[test]
fn a_quorum_survives_its_leader_and_takes_it_back() {
    let ensemble = RealEnsemble::builder().nodes(3).start().unwrap();
    assert_eq!(modes(&ensemble), ["Follower", "Follower", "Leader"]);
    assert_eq!(ensemble.connect_string().split(',').count(), 3);

    let first = ensemble.leader().unwrap();
    ensemble.kill(first).unwrap();
    assert!(four_letter(ensemble.addr(first), "srvr").is_err());
    assert!(ensemble.wait_serving(first, LONG).is_err(), "a dead node is not waited for");
    let second = ensemble.wait_leader(LONG).unwrap();
    assert_ne!(first, second);

    ensemble.restart(first).unwrap();
    ensemble.wait_serving(first, LONG).unwrap();
    assert_eq!(ensemble.wait_leader(LONG).unwrap(), second);
    for i in 0..3 {
        ensemble.wait_serving(i, LONG).unwrap();
    }
    assert_eq!(modes(&ensemble), ["Follower", "Follower", "Leader"]);

    ensemble.pause(first).unwrap();
    assert_eq!(ensemble.mode(first), None);
    TcpStream::connect(ensemble.addr(first)).expect("the kernel still accepts");
    ensemble.resume(first).unwrap();
    ensemble.wait_serving(first, LONG).unwrap();

    let addrs = ensemble.addrs().to_vec();
    ensemble.pause(first).unwrap();
    drop(ensemble);
    assert!(
        addrs.iter().all(|addr| TcpStream::connect(addr).is_err()),
        "all are gone, the paused one too"
    );
}

#[test]
fn a_property_reaches_the_server() {
    let builder = RealEnsemble::builder().tick_ms(200).property("maxSessionTimeout", 7_000);
    let ensemble =
        builder.system_property("zookeeper.globalOutstandingLimit", 321).start().unwrap();
    let conf = four_letter(ensemble.addr(0), "conf").unwrap();
    assert!(conf.contains("tickTime=200") && conf.contains("maxSessionTimeout=7000"), "{conf}");
    assert!(four_letter(ensemble.addr(0), "envi").unwrap().contains("zookeeper.version"));
    assert_eq!(ensemble.leader(), Some(0));
    assert!(ensemble.kill(1).unwrap_err().to_string().contains("no node 1"));
}

#[test]
fn a_node_that_cannot_start_shows_its_log() {
    let error =
        RealEnsemble::builder().property("tickTime", "nonsense").start().unwrap_err().to_string();
    assert!(error.contains("ended by itself") && error.contains("nonsense"), "{error}");
}

/// Plays two parts: the outer one runs itself again as a process that dies with an ensemble still
/// running.
#[test]
fn an_ensemble_does_not_outlive_a_process_that_is_killed() {
    const PART: &str = "ZK_SESSION_TESTKIT_KILLED";
    if let Some(report) = std::env::var_os(PART) {
        let ensemble = RealEnsemble::builder().start().unwrap();
        std::fs::write(report, ensemble.connect_string()).unwrap();
        std::process::abort();
    }
    let report =
        std::env::temp_dir().join(format!("zk-session-testkit-report-{}", std::process::id()));
    let name = "an_ensemble_does_not_outlive_a_process_that_is_killed";
    let mut inner = Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", name]).env(PART, &report).stdout(Stdio::null()).stderr(Stdio::null());
    let inner = inner.spawn().unwrap();
    let id = inner.id();
    assert!(!{ inner }.wait().unwrap().success());
    let addr: SocketAddr = std::fs::read_to_string(&report).unwrap().parse().unwrap();
    std::fs::remove_file(&report).unwrap();

    let left = || {
        let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().map_while(Result::ok);
        let prefix = format!("zk-session-testkit-{id}-");
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count()
    };
    let deadline = Instant::now() + LONG;
    while TcpStream::connect(addr).is_ok() || left() > 0 {
        assert!(
            Instant::now() < deadline,
            "{addr} still serves, or {} directories are left",
            left()
        );
        thread::sleep(Duration::from_millis(20));
    }
}
