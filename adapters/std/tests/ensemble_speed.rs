//! How fast it is: prints figures (`--nocapture`) and fails only if they are absurd, for the
//! machine may be busy and the build unoptimized.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by failing")]

mod ensemble_support;

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ensemble_support::{Raw, frame};
use zk_session::wire::{CreateMode, Request, Xid};
use zk_session_std::EmbeddedEnsemble;

/// Time on a processor of the ensemble's thread; there is one at a time in this binary.
fn processor_time() -> Duration {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if fs::read_to_string(task.join("comm")).unwrap().trim() == "zk-ensemble" {
            let stat = fs::read_to_string(task.join("schedstat")).unwrap();
            let nanos = stat.split_whitespace().next().unwrap().parse().unwrap();
            return Duration::from_nanos(nanos);
        }
    }
    panic!("no such thread");
}

#[test]
fn it_starts_in_milliseconds_and_serves_a_pipeline() {
    let mut first_session: Vec<_> = (0..20)
        .map(|_| {
            let start = Instant::now();
            let ensemble = EmbeddedEnsemble::builder().servers(3).start().unwrap();
            let client = Raw::connect(ensemble.addr(0), 10_000);
            let took = start.elapsed();
            drop(client);
            took
        })
        .collect();
    first_session.sort();
    println!(
        "start to first session: median {:?}, worst of {} {:?}",
        first_session[10], 20, first_session[19]
    );
    assert!(first_session[10] < Duration::from_millis(500));

    let ensemble = EmbeddedEnsemble::builder().servers(3).start().unwrap();
    let (mut raw, _) = Raw::connect(ensemble.addr(0), 10_000);
    raw.create("/a", &[1; 128], CreateMode::Persistent).unwrap();
    let seconds = if cfg!(debug_assertions) { 0.2 } else { 2.0 };
    let get = frame(Xid(1), &Request::get_data("/a", false));
    pipeline("getData 128 B", &mut raw, &get, 4 + 16 + 4 + 128 + 68, 256, seconds);
    pipeline("getData 128 B", &mut raw, &get, 4 + 16 + 4 + 128 + 68, 1, seconds);
    let set = frame(Xid(1), &Request::set_data("/a", &[2; 128], -1));
    pipeline("setData 128 B", &mut raw, &set, 4 + 16 + 68, 256, seconds);
    let ping = frame(Xid::PING, &Request::Ping);
    pipeline("ping", &mut raw, &ping, 4 + 16, 256, seconds);
}

/// Sends windows of the same request and counts the bytes of the replies.
fn pipeline(what: &str, raw: &mut Raw, request: &[u8], reply: usize, window: usize, seconds: f64) {
    let requests = request.repeat(window);
    let mut replies = vec![0; reply * window];
    let (start, before) = (Instant::now(), processor_time());
    let mut operations = 0_u32;
    while start.elapsed().as_secs_f64() < seconds {
        raw.stream.write_all(&requests).unwrap();
        raw.stream.read_exact(&mut replies).unwrap();
        operations += u32::try_from(window).unwrap();
    }
    let (took, used) = (start.elapsed(), processor_time() - before);
    println!(
        "{what}, windows of {window}: {:.0} a second, {:?} of the server's processor time each",
        f64::from(operations) / took.as_secs_f64(),
        used / operations
    );
    assert!(operations > 10);
}
