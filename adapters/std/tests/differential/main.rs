//! The same requests to the engine and to a real ZooKeeper 3.8.0, and what comes back compared:
//! replies, error codes, `Stat`s, zxids, events, their order on each connection, closed
//! connections, handshakes.
//!
//! Scripts of a few dozen steps are drawn at random; every connection is waited for after each
//! step, so that what is compared does not depend on who is faster. When the two differ, the script
//! is shortened for as long as they do, and printed with both answers.
//!
//! The engine plays a script the same way every time; ZooKeeper has threads that race, and some of
//! its bugs come and go with them. So a difference counts if it comes back when the script is
//! played again, and the others may only be few.
//!
//! `ZK_DIFF_SEED` repeats a run, `ZK_DIFF_STEPS` makes it longer, `ZK_DIFF_FAILURES` goes on after
//! a difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod alphabet;
mod generate;
mod known;
mod minimise;
mod normal;
mod peer;
mod play;
mod script;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use generate::Generator;
use minimise::Pair;
use peer::{Local, Remote, SUPER_DIGEST, TIMEOUTS};
use zk_session_testkit::RealEnsemble;

/// Steps that CI takes.
const STEPS: usize = 20_000;
/// Steps for each of which ZooKeeper may once do what it does not do again.
const STEPS_FOR_A_RACE: usize = 5_000;
/// Steps of one script.
const SCRIPT: std::ops::Range<usize> = 20..60;

fn zookeeper() -> RealEnsemble {
    RealEnsemble::builder()
        .property("extendedTypesEnabled", true)
        .property("minSessionTimeout", TIMEOUTS.0)
        .property("maxSessionTimeout", TIMEOUTS.1)
        .system_property("znode.container.checkIntervalMs", 86_400_000)
        .system_property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
        .start()
        .unwrap()
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

#[test]
fn the_engine_answers_as_zookeeper_does() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("ZK_DIFF_SEED").unwrap_or(clock.as_nanos() as u64);
    let wanted = number("ZK_DIFF_STEPS").map_or(STEPS, |steps| steps as usize);
    let mut failures = number("ZK_DIFF_FAILURES").unwrap_or(1);
    println!("ZK_DIFF_SEED={seed} ZK_DIFF_STEPS={wanted}");

    let ensemble = zookeeper();
    let mut pair = Pair::new(Box::new(Local::new()), Box::new(Remote::new(ensemble.addr(0))));
    let (start, mut steps, mut scripts) = (Instant::now(), 0, 0);
    let (mut races, mut reports) = (0, String::new());
    while steps < wanted && failures > 0 {
        let script = Generator::new(seed.wrapping_add(scripts)).script(SCRIPT);
        if let Some(once) = pair.differ(&script) {
            // What is not always so is the order in which ZooKeeper's threads have run.
            if (0..3).all(|_| pair.differ(&script).is_some()) {
                failures -= 1;
                let report = format!("script {scripts} of seed {seed}:\n{}", pair.report(&script));
                println!("{report}");
                reports.push_str(&report);
            } else {
                races += 1;
                let step = script.get(once.step).map(ToString::to_string).unwrap_or_default();
                println!("script {scripts}, but not again:\n  {step}\n{once}");
            }
        }
        steps += script.len();
        scripts += 1;
    }
    println!("{scripts} scripts, {steps} steps, {races} races in {:?}", start.elapsed());
    assert!(races <= 1 + steps / STEPS_FOR_A_RACE, "{races} differences that do not come back");
    assert!(reports.is_empty(), "the two differ, ZK_DIFF_SEED={seed}:\n{reports}");
}

#[test]
fn what_is_known_to_differ_still_does() {
    known::check(&zookeeper());
}
