//! Which thread does what: the application's while one waits, the session's own when none does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use zk_session::OpError;
use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{CreateMode, EventType, Request};
use zk_session_std::{Answer, Client, EmbeddedEnsemble, SessionEvent, Transition};

const PATIENCE: Duration = Duration::from_secs(10);

fn ensemble() -> EmbeddedEnsemble {
    EmbeddedEnsemble::builder().servers(1).tick(Duration::from_millis(200)).start().unwrap()
}

fn client(ensemble: &EmbeddedEnsemble) -> Client {
    Client::builder(ensemble.connect_string()).timeout(Duration::from_secs(1)).connect().unwrap()
}

/// A server that gives sessions of 30 s and never says another word.
fn silent_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if stream.read_exact(&mut [0; 49]).is_err() {
                continue;
            }
            let mut answer = vec![0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 117, 48];
            answer.extend([0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 16]);
            answer.extend([1; 16]);
            answer.push(0);
            let _ = stream.write_all(&answer);
            held.push(stream);
        }
    });
    addr
}

fn silent_client(addr: SocketAddr) -> Client {
    Client::builder(addr.to_string())
        .timeout(Duration::from_secs(30))
        .close_timeout(Duration::from_millis(300))
        .connect()
        .unwrap()
}

#[test]
fn answers_are_waited_for_in_any_order_long_beside_short_and_some_by_nobody() {
    let ensemble = ensemble();
    for subscribed in [false, true] {
        let zk = client(&ensemble);
        let _events = subscribed.then(|| zk.events());
        let sizes = [0, 3, 1000, 1024, 5000, 60_000, 300_000];
        for size in sizes {
            let data = vec![u8::try_from(size % 251).unwrap(); size];
            let path = format!("/{subscribed}-{size}");
            zk.create(&path, &data, CreateMode::Ephemeral).unwrap();
        }
        let mut pending = Vec::new();
        let mut pipeline = zk.pipeline();
        for turn in 0..20 {
            for size in sizes {
                let path = format!("/{subscribed}-{size}");
                let answer = pipeline.submit(&Request::get_data(&path, false)).unwrap();
                pending.push((turn, size, answer));
            }
        }
        drop(pipeline);
        // Neither as they were asked nor as they come.
        pending.sort_by_key(|(turn, size, _)| (size % 7, (turn * 7) % 20));
        for (turn, size, answer) in pending {
            if turn % 5 == 4 {
                drop(answer);
                continue;
            }
            let Answer::Data(Some(data), _) = answer.wait().unwrap() else { panic!("no data") };
            assert_eq!(data, vec![u8::try_from(size % 251).unwrap(); size]);
        }
        zk.close().unwrap();
    }
}

#[test]
fn what_nobody_waits_for_is_read_all_the_same() {
    let ensemble = ensemble();
    let (zk, other) = (client(&ensemble), client(&ensemble));
    let events = zk.events();
    zk.exists_watched("/w").unwrap();
    other.create("/w", b"", CreateMode::Persistent).unwrap();
    let fired = SessionEvent::Notification { kind: EventType::NodeCreated, path: "/w".to_owned() };
    let start = Instant::now();
    loop {
        match events.try_recv() {
            Some(event) => break assert_eq!(event, fired),
            None => assert!(start.elapsed() < PATIENCE, "nobody reads"),
        }
        thread::sleep(Duration::from_millis(1));
    }
    // The first of two answers is waited for; the second has come with it, for nobody yet.
    let (first, second) = (zk.submit(&Request::sync("/w")), zk.submit(&Request::sync("/w")));
    let (first, second) = (first.unwrap(), second.unwrap());
    first.wait().unwrap();
    while !second.is_ready() {
        assert!(start.elapsed() < PATIENCE, "the second answer is not told");
        thread::sleep(Duration::from_millis(1));
    }
    second.wait().unwrap();
}

#[test]
fn a_session_that_is_left_alone_is_pinged_and_lives() {
    let ensemble = ensemble();
    let zk = client(&ensemble);
    let events = zk.events();
    zk.create("/alive", b"", CreateMode::Ephemeral).unwrap();
    thread::sleep(zk.timeout() * 3);
    assert_eq!(events.try_recv(), None);
    assert_eq!(zk.state(), KeeperState::SyncConnected);
    assert!(client(&ensemble).exists("/alive").unwrap().is_some());
}

#[test]
fn a_dropped_client_is_closed_in_time_though_the_server_says_nothing() {
    let addr = silent_server();
    for age in [0, 50] {
        let zk = silent_client(addr);
        let events = zk.events();
        thread::sleep(Duration::from_millis(age));
        let start = Instant::now();
        drop(zk);
        let told = events.recv_timeout(PATIENCE);
        let Some(SessionEvent::State(Transition { cause, .. })) = told else { panic!("{told:?}") };
        assert_eq!(cause, Cause::ClosedUnconfirmed);
        assert_eq!(events.recv_timeout(PATIENCE), None);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

#[test]
fn a_deadline_is_kept_whoever_reads_and_however_long_it_meant_to() {
    let addr = silent_server();
    for age in [0, 50] {
        let zk = silent_client(addr);
        thread::sleep(Duration::from_millis(age));
        let start = Instant::now();
        // One that nobody waits for, and one whose waiter reads.
        let left = zk.submit_within(&Request::sync("/"), Duration::from_millis(200)).unwrap();
        thread::sleep(Duration::from_millis(100));
        let waiting = {
            let zk = zk.clone();
            thread::spawn(move || zk.submit(&Request::sync("/")).unwrap().wait())
        };
        while !left.is_ready() {
            assert!(start.elapsed() < Duration::from_secs(3), "the deadline has passed");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(left.wait(), Err(OpError::Timeout));
        assert_eq!(waiting.join().unwrap(), Err(OpError::ConnectionLoss));
    }
}

#[test]
fn a_deadline_is_kept_in_the_first_moment_of_a_session_while_another_thread_reads() {
    let addr = silent_server();
    for age in (0..800).step_by(100) {
        let zk = silent_client(addr);
        let events = zk.events();
        let reads = thread::spawn(move || events.recv());
        thread::sleep(Duration::from_micros(age));
        let start = Instant::now();
        let left = zk.submit_within(&Request::sync("/"), Duration::from_millis(50)).unwrap();
        assert!(matches!(reads.join().unwrap(), Some(SessionEvent::State(_))));
        assert!(start.elapsed() < Duration::from_secs(3), "{:?} at {age}", start.elapsed());
        assert_eq!(left.wait(), Err(OpError::Timeout));
    }
}

#[test]
fn many_short_sessions_leave_nothing_behind() {
    let ensemble = ensemble();
    let zk = client(&ensemble);
    for n in 0..200 {
        let short = client(&ensemble);
        short.create(&format!("/short-{n}"), b"", CreateMode::Ephemeral).unwrap();
        match n % 3 {
            0 => short.close().unwrap(),
            1 => drop(short),
            _ => {
                thread::sleep(Duration::from_millis(n % 4));
                short.close().unwrap();
            }
        }
    }
    let start = Instant::now();
    while !zk.get_children("/").unwrap().0.iter().all(|name| name == "zookeeper") {
        assert!(start.elapsed() < PATIENCE, "{:?}", zk.get_children("/"));
        thread::sleep(Duration::from_millis(5));
    }
}
