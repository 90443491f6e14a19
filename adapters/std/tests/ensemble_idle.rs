//! What an idle ensemble costs. A test binary of its own: it looks at the process's threads.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by failing")]

mod ensemble_support;

use std::fs;
use std::time::Duration;

use ensemble_support::Raw;
use zk_session_std::EmbeddedEnsemble;

/// Nanoseconds on a processor of all threads of that name.
fn processor_nanos(name: &str) -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let tasks = tasks.map(|task| task.unwrap().path());
    let ours = tasks.filter(|task| fs::read_to_string(task.join("comm")).unwrap().trim() == name);
    let nanos = ours.map(|task| {
        let stat = fs::read_to_string(task.join("schedstat")).unwrap();
        stat.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    nanos.sum()
}

#[test]
fn an_idle_ensemble_uses_no_processor_time() {
    let tick = Duration::from_millis(500);
    let ensemble = EmbeddedEnsemble::builder().servers(3).tick(tick).start().unwrap();
    let clients: Vec<_> = (0..30).map(|i| Raw::connect(ensemble.addr(i % 3), 10_000)).collect();
    let refused = Raw::dial(ensemble.addr(0)).unwrap();
    ensemble.stop(2).unwrap();
    let before = processor_nanos("zk-ensemble");
    assert!(before > 0, "the thread is there");
    std::thread::sleep(Duration::from_secs(2));
    let spent = Duration::from_nanos(processor_nanos("zk-ensemble") - before);
    println!("an idle ensemble with 30 sessions used {spent:?} of processor time in 2 s");
    assert!(spent < Duration::from_millis(20), "{spent:?}");
    drop((clients, refused));
}
