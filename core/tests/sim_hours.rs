//! Virtual hours of everything that can happen, each from a seed, with every invariant checked after
//! every event.
//!
//! `ZK_SIM_SEEDS` says how many seeds (200 if it is not set; `.ci/test` runs 10,000),
//! `ZK_SIM_FIRST` where to begin, and `ZK_SIM_MINUTES` how long each of them lasts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use zk_session::Duration;
use zk_session::sim::{Report, Script};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn every_invariant_holds_through_an_hour_of_faults_from_each_seed() {
    let (first, seeds) = (setting("ZK_SIM_FIRST", 0), setting("ZK_SIM_SEEDS", 200));
    let span = Duration::from_secs(60 * setting("ZK_SIM_MINUTES", 60));
    let next = AtomicU64::new(first);
    let total = Mutex::new(Report::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    #[allow(clippy::disallowed_methods, reason = "how fast the simulation is")]
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut sum = Report::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    match Script::random(seed, span).check() {
                        Ok(report) => sum = sum.plus(report),
                        Err(failure) => {
                            next.store(first + seeds, Ordering::Relaxed);
                            panic!("{failure}");
                        }
                    }
                }
                let mut total = total.lock().unwrap();
                *total = total.plus(sum);
            });
        }
    });
    let (total, secs) = (total.into_inner().unwrap(), begun.elapsed().as_secs_f64());
    let hours = total.session_millis as f64 / 3_600_000.0;
    println!(
        "{seeds} seeds, {hours:.0} session-hours in {secs:.1} s on {threads} threads: {:.0} a second; {total:?}",
        hours / secs
    );
    assert!(total.connected >= seeds && total.answered >= seeds * 20, "{total:?}");
    assert!(
        total.expired * 2 >= seeds && total.notified >= seeds,
        "the faults were too mild: {total:?}"
    );
}
