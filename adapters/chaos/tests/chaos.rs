//! Short runs on the embedded ensemble; `.ci/test` has a long one on a real one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "real sessions live by the real clock")]

use std::thread;
use std::time::Duration;

use zk_session_chaos::common::{COUNT, LIVE};
use zk_session_chaos::run::{Plan, run};
use zk_session_chaos::tally::Rule;
use zk_session_chaos::target::Target;
use zk_session_std::Client;

fn plan(seconds: u64) -> Plan {
    Plan { sessions: 20, groups: 4, time: Duration::from_secs(seconds), seed: 5 }
}

#[test]
fn no_rule_is_broken_on_the_embedded_ensemble() {
    let report = run(&Target::embedded().unwrap(), plan(12)).unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_saboteur_is_caught() {
    let target = Target::embedded().unwrap();
    let servers: Vec<_> = target.addrs().iter().map(ToString::to_string).collect();
    let servers = servers.join(",");
    let saboteur = thread::spawn(move || {
        let client = Client::connect(servers).unwrap();
        let victim = loop {
            let living = client.get_children(LIVE).map(|(names, _)| names).unwrap_or_default();
            if living.len() == 20 {
                break living[0].clone();
            }
            thread::sleep(Duration::from_millis(50));
        };
        client.delete(&format!("{LIVE}/{victim}"), None).unwrap();
        client.set_data(&format!("{COUNT}/m019"), b"mine", None).unwrap();
        client.close().unwrap();
    });
    let report = run(&target, plan(8)).unwrap();
    saboteur.join().unwrap();
    let broken = report.broken();
    assert!(broken.contains(&Rule::EphemeralIsThere), "{report}");
    assert!(broken.contains(&Rule::NothingLost), "{report}");
}
