//! The embedded ensemble and the runtime that it runs on: neither holds the other up, and either may
//! end first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "../../std/tests/ensemble_support/mod.rs"]
mod ensemble_support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ensemble_support::{PATIENCE, Raw, frame};
use tokio::runtime::Builder;
use zk_session::wire::{CreateMode, Request, Xid};
use zk_session_tokio::{EmbeddedEnsemble, EnsembleError};

#[test]
fn the_disk_is_waited_for_where_it_holds_nobody_up() {
    let dir = tempfile::TempDir::new().unwrap();
    let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        let ensemble = EmbeddedEnsemble::builder().durable(dir.path()).start().await.unwrap();
        let addr = ensemble.addr(0);
        // The only thread for blocking work is taken: the session is kept when it is free again.
        let (free, taken) = mpsc::channel::<()>();
        let blocker = tokio::task::spawn_blocking(move || taken.recv());
        let (told, tell) = tokio::sync::oneshot::channel();
        let client = thread::spawn(move || {
            let (mut raw, granted) = Raw::connect(addr, 10_000);
            let _ = told.send(granted.id);
            raw.create("/a", b"kept", CreateMode::Persistent).unwrap();
        });
        let mut tell = std::pin::pin!(tell);
        for _ in 0..20 {
            // The runtime goes on, and nobody is told what is not kept.
            let soon = Duration::from_millis(10);
            assert!(tokio::time::timeout(soon, &mut tell).await.is_err());
        }
        drop(free);
        blocker.await.unwrap().unwrap_err();
        assert!(tell.await.unwrap().is_some());
        while !client.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        client.join().unwrap();
        ensemble.shutdown().await;
    });
}

#[test]
fn a_runtime_that_was_held_up_expires_nobody_whose_ping_lies_there() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = EmbeddedEnsemble::builder().tick(Duration::from_millis(50));
        let builder = builder.min_session_timeout(Duration::from_millis(200));
        let ensemble = builder.start().await.unwrap();
        let addr = ensemble.addr(0);
        let over = Arc::new(AtomicBool::new(false));
        let (told, tell) = tokio::sync::oneshot::channel();
        let pinging = {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let (mut raw, granted) = Raw::connect(addr, 200);
                let _ = told.send(granted.id);
                let ping = frame(Xid::PING, &Request::Ping);
                while !over.load(Ordering::Relaxed) {
                    raw.stream.write_all(&ping).unwrap();
                    thread::sleep(Duration::from_millis(20));
                }
            })
        };
        let session = tell.await.unwrap();
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(600)); // the whole runtime
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(ensemble.server_of(session).await.unwrap(), Some(0));
        }
        over.store(true, Ordering::Relaxed);
        pinging.join().unwrap();
    });
}

#[test]
fn dropping_the_handle_ends_the_connections_and_frees_the_ports() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let ensemble = runtime.block_on(EmbeddedEnsemble::builder().servers(3).start()).unwrap();
    let addrs = ensemble.addrs().to_vec();
    let (mut raw, _) = Raw::connect(addrs[0], 10_000);
    drop(ensemble);
    assert!(raw.is_closed());
    let start = Instant::now();
    for addr in addrs {
        while TcpListener::bind(addr).is_err() {
            assert!(start.elapsed() < PATIENCE, "{addr} is not free");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_runtime_shuts_down_in_mid_flight() {
    for durable in [false, true] {
        for round in 0..5 {
            let dir = tempfile::TempDir::new().unwrap();
            let mut runtime = Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1 + round % 2).enable_all().build().unwrap();
            let mut builder = EmbeddedEnsemble::builder().servers(2);
            if durable {
                builder = builder.durable(dir.path());
            }
            let ensemble = Arc::new(runtime.block_on(builder.start()).unwrap());
            let addrs = ensemble.addrs().to_vec();
            let (mut raw, session) = Raw::connect(addrs[0], 10_000);
            raw.create("/a", b"", CreateMode::Persistent).unwrap();
            let set = frame(Xid(7), &Request::set_data("/a", &[1; 100], -1)).repeat(100);
            let client = thread::spawn(move || while raw.stream.write_all(&set).is_ok() {});
            let asking = {
                let ensemble = Arc::clone(&ensemble);
                thread::spawn(move || {
                    let runtime = Builder::new_current_thread().build().unwrap();
                    loop {
                        if let Err(error) = runtime.block_on(ensemble.server_of(session.id)) {
                            return error;
                        }
                    }
                })
            };
            thread::sleep(Duration::from_millis(10 * u64::try_from(round).unwrap()));
            let start = Instant::now();
            drop(runtime);
            assert!(start.elapsed() < PATIENCE, "the runtime hangs");
            assert!(matches!(asking.join().unwrap(), EnsembleError::Gone));
            client.join().unwrap();
            assert!(addrs.iter().all(|addr| TcpStream::connect(addr).is_err()));
            assert!(ensemble.failure().is_none());
            if durable {
                let again = zk_session_std::EmbeddedEnsemble::builder().durable(dir.path());
                let again = again.start().unwrap();
                assert_eq!(again.sessions().unwrap()[0].session_id, session.id);
            }
        }
    }
}
