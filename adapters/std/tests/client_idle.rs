//! What a client costs while nothing moves. A binary of its own, for it reads the process's CPU time.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use zk_session::OpError;
use zk_session::wire::Request;
use zk_session_std::Client;

/// This process's CPU time in ticks of 10 ms.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_server_that_stops_reading_blocks_the_writer_but_nobody_spins_or_hangs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut handshake = [0; 49];
            if stream.read_exact(&mut handshake).is_err() {
                continue;
            }
            let mut answer = vec![0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 11, 184];
            answer.extend([0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 16]);
            answer.extend([1; 17]);
            let _ = stream.write_all(&answer[..40]).and_then(|()| stream.write_all(&[0]));
            held.push(stream);
        }
    });
    let zk = Client::builder(addr.to_string()).timeout(Duration::from_secs(3)).connect().unwrap();
    let (before, start) = (cpu_ticks(), Instant::now());
    let big = vec![7; 900_000];
    let request = Request::set_data("/big", &big, -1);
    let pending: Vec<_> = (0..4).filter_map(|_| zk.submit(&request).ok()).collect();
    for answer in pending {
        assert_eq!(answer.wait(), Err(OpError::ConnectionLoss));
    }
    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(4), "the read deadline holds: {waited:?}");
    let cpu = (cpu_ticks() - before) * 10;
    assert!(cpu < 500, "{cpu} ms of CPU in {waited:?}: a thread spins");
}
