//! Scenarios that other clients got wrong where threads, sockets or slow listeners matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zk_session::client::{Cause, HostsUpdate, KeeperState};
use zk_session::wire::{CreateMode, EventType, Request};
use zk_session::{DisconnectReason, SubmitError};
use zk_session_std::{Client, EmbeddedEnsemble, ErrorKind, Events, SessionEvent, Transition};
use zk_session_testkit::{Relay, ReservedPort};

const PATIENCE: Duration = Duration::from_secs(10);

/// Threads and sockets are counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ensemble(servers: usize) -> EmbeddedEnsemble {
    EmbeddedEnsemble::builder().servers(servers).tick(Duration::from_millis(500)).start().unwrap()
}

/// What the process has of threads that clients started, and of sockets.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    threads: usize,
    sockets: usize,
}

fn held() -> Held {
    // Threads and files come and go while they are listed.
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let files = files.filter_map(|fd| fs::read_link(fd.path()).ok());
    Held {
        threads: names.filter(|name| name.starts_with("zk-session")).count(),
        sockets: files.filter(|file| file.to_string_lossy().starts_with("socket:")).count(),
    }
}

/// How long it takes until the process holds no more than this.
fn until_held(wanted: Held) -> Duration {
    let start = Instant::now();
    loop {
        let now = held();
        if now.threads <= wanted.threads && now.sockets <= wanted.sockets {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "{now:?} instead of {wanted:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Resident memory in KiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn changes(events: &Events) -> impl Iterator<Item = Transition> {
    std::iter::from_fn(|| events.recv_timeout(PATIENCE)).filter_map(|event| match event {
        SessionEvent::State(change) => Some(change),
        _ => None,
    })
}

/// An address where connecting neither succeeds nor fails, and what keeps it so.
fn hanging() -> (SocketAddr, impl Sized) {
    let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::STREAM);
    let socket = socket2::Socket::new(domain, kind, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(stream);
    }
    (address, (socket, queue))
}

#[test]
fn j10_close_ends_all_threads_and_sockets_in_time_though_connecting_hangs_or_fails() {
    let _alone = alone();
    let ensemble = ensemble(1);
    let (hanging, _queue) = hanging();
    let dead = ReservedPort::new().unwrap();
    let close_timeout = Duration::from_millis(400);
    let builder = |hosts: String| {
        Client::builder(hosts).timeout(Duration::from_secs(30)).close_timeout(close_timeout)
    };
    // Before there is a session.
    let before = held();
    for host in [hanging, dead.addr()] {
        let zk = builder(host.to_string()).start().unwrap();
        thread::sleep(Duration::from_millis(100));
        assert_eq!(held().threads, before.threads + 1);
        zk.close().unwrap();
        let ended = until_held(before);
        assert!(ended < close_timeout, "{host}: {ended:?}");
    }
    // And with one, which cannot be closed.
    for host in [hanging, dead.addr()] {
        let zk = builder(ensemble.connect_string()).connect().unwrap();
        assert_eq!(zk.update_hosts(host.to_string()).unwrap(), HostsUpdate::Moves);
        thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        assert_eq!(zk.close().unwrap_err().kind, ErrorKind::CloseUnconfirmed);
        until_held(before);
        let ended = start.elapsed();
        assert!(ended < close_timeout * 2, "{host}: {ended:?}");
    }
}

#[test]
fn k10_a_thousand_starts_that_fail_leave_no_thread_no_socket_and_no_memory() {
    let _alone = alone();
    let dead = ReservedPort::new().unwrap();
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let rude_addr = rude.local_addr().unwrap();
    let hangs_up = thread::spawn(move || {
        // Accepts and closes, until the address is used for a farewell.
        for stream in rude.incoming() {
            let mut first = [0; 3];
            let mut stream = stream.unwrap();
            if stream.read_exact(&mut first).is_ok() && &first == b"bye" {
                return;
            }
        }
    });
    let before = held();
    let (mut most, mut warm) = (0, 0);
    for n in 0..1000 {
        let host = if n % 2 == 0 { dead.addr() } else { rude_addr };
        let error = Client::builder(host.to_string())
            .connect_timeout(Duration::from_millis(2))
            .connect()
            .unwrap_err();
        assert!(matches!(error.kind, ErrorKind::ConnectTimeout { .. }), "{error}");
        assert!(Client::connect("h1:x").is_err());
        most = most.max(held().threads);
        if n == 200 {
            warm = resident();
        }
    }
    until_held(before);
    assert!(most <= before.threads + 10, "{most} threads at once");
    let grown = resident().saturating_sub(warm);
    assert!(grown < 4096, "{grown} KiB more than after the first 200");
    TcpStream::connect(rude_addr).unwrap().write_all(b"bye").unwrap();
    hangs_up.join().unwrap();
}

#[test]
fn z3_c6_a_server_that_accepts_and_closes_costs_few_attempts_and_one_socket() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let attempts = Arc::new(AtomicUsize::new(0));
    let server = {
        let attempts = attempts.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                drop(stream.unwrap());
                if attempts.fetch_add(1, Ordering::Relaxed) == usize::MAX / 2 {
                    return;
                }
            }
        })
    };
    let before = held();
    let zk = Client::builder(addr.to_string()).timeout(Duration::from_secs(4)).start().unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        let now = held();
        assert!(now.threads <= before.threads + 1, "{now:?}");
        // The client's end, and for a moment the server's.
        assert!(now.sockets <= before.sockets + 2, "{now:?}");
        thread::sleep(Duration::from_millis(2));
    }
    let before_close = attempts.load(Ordering::Relaxed);
    assert!((3..=36).contains(&before_close), "{before_close} attempts in 3 s");
    zk.close().unwrap();
    until_held(before);
    attempts.store(usize::MAX / 2, Ordering::Relaxed);
    drop(TcpStream::connect(addr).unwrap());
    server.join().unwrap();
}

#[test]
fn t1_after_a_drop_the_next_request_succeeds_in_the_same_session() {
    let _alone = alone();
    let ensemble = ensemble(1);
    let zk = Client::builder(ensemble.connect_string()).connect().unwrap();
    zk.create("/mine", b"kept", CreateMode::Ephemeral).unwrap();
    let session = zk.session_id();
    for _ in 0..5 {
        let events = zk.events();
        assert!(ensemble.cut(0).is_ok());
        let lost = changes(&events).next().unwrap();
        assert_eq!(lost.state, KeeperState::Disconnected);
        let (data, stat) = zk.get_data("/mine").unwrap();
        assert_eq!((&data[..], stat.ephemeral_owner), (&b"kept"[..], session.0));
        assert_eq!(zk.session_id(), session);
    }
    zk.close().unwrap();
}

#[test]
fn k5_a_listener_may_call_the_client_whatever_it_is_told() {
    let _alone = alone();
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    let zk = Client::builder(relay.addr().to_string())
        .timeout(Duration::from_secs(4))
        .connect()
        .unwrap();
    let events = zk.events();
    let listener = {
        let zk = zk.clone();
        thread::spawn(move || {
            let mut told = Vec::new();
            for change in changes(&events) {
                // Nothing of this may wait for the listener itself.
                told.push(change.state);
                let _ = (zk.state(), zk.session_id(), zk.current_host(), zk.safe_until(), zk.why());
                let _ = zk.events();
                match change.state {
                    KeeperState::Disconnected => {
                        let waiting = zk.clone();
                        // A call waits for the next connection, and must not stand in its way.
                        let answer = thread::spawn(move || waiting.exists("/").map(drop));
                        drop(answer);
                    }
                    KeeperState::Expired => {
                        let error = zk.exists("/").unwrap_err();
                        assert_eq!(error.kind, ErrorKind::Submit(SubmitError::Ended));
                        zk.close().unwrap();
                        return told;
                    }
                    // It may be lost, but it comes back.
                    _ => drop(zk.exists("/")),
                }
            }
            told
        })
    };
    let others = zk.events();
    relay.cut();
    assert_eq!(changes(&others).next().unwrap().state, KeeperState::Disconnected);
    relay.mend().unwrap();
    assert_eq!(changes(&others).next().unwrap().state, KeeperState::SyncConnected);
    ensemble.expire(zk.session_id()).unwrap();
    use KeeperState::{Disconnected, Expired, SyncConnected};
    assert_eq!(
        listener.join().unwrap(),
        [Disconnected, SyncConnected, Disconnected, Expired],
        "and it has come to its end"
    );
}

#[test]
fn g3_seven_changes_are_kept_for_a_slow_reader() {
    let _alone = alone();
    let ensemble = ensemble(1);
    let zk = Client::builder(ensemble.connect_string()).start().unwrap();
    let (slow, prompt) = (zk.events(), zk.events());
    let mut states = changes(&prompt).map(|change| change.state);
    assert_eq!(states.next(), Some(KeeperState::SyncConnected));
    for _ in 0..3 {
        ensemble.cut(0).unwrap();
        assert_eq!(states.next(), Some(KeeperState::Disconnected));
        assert_eq!(states.next(), Some(KeeperState::SyncConnected));
    }
    drop(states);
    zk.detach();
    use KeeperState::{Disconnected, SyncConnected};
    let (lost, had) = (Disconnected, SyncConnected);
    let told: Vec<KeeperState> = changes(&slow).map(|change| change.state).take(7).collect();
    assert_eq!(told, [had, lost, had, lost, had, lost, had]);
}

#[test]
fn u8_a_listener_that_sleeps_through_a_thousand_changes_blocks_nobody_and_misses_none() {
    let _alone = alone();
    let ensemble = ensemble(2);
    let hosts = ensemble.addrs().iter().map(ToString::to_string).collect::<Vec<_>>();
    let zk = Client::builder(&hosts[0]).timeout(Duration::from_secs(5)).connect().unwrap();
    let (slow, prompt) = (zk.events(), zk.events());
    // A loss and a return each.
    for n in 1..=500 {
        assert_eq!(zk.update_hosts(&hosts[n % 2]).unwrap(), HostsUpdate::Moves);
        let two: Vec<Cause> = changes(&prompt).take(2).map(|change| change.cause).collect();
        assert_eq!(two, [Cause::Lost(DisconnectReason::HostsChanged), Cause::Resumed], "{n}");
        if n % 100 == 0 {
            assert!(zk.exists("/").unwrap().is_some());
        }
    }
    zk.close().unwrap();
    let told: Vec<SessionEvent> = slow.collect();
    assert_eq!(told.len(), 1001);
    let Some(SessionEvent::State(last)) = told.last() else { panic!() };
    assert_eq!(last.state, KeeperState::Closed);
    assert!(told.iter().all(|event| matches!(event, SessionEvent::State(_))));
}

#[test]
fn u8_a_listener_that_cannot_keep_up_learns_how_much_it_missed_and_the_last_state() {
    let _alone = alone();
    let ensemble = ensemble(1);
    let zk = Client::builder(ensemble.connect_string()).connect().unwrap();
    let other = Client::builder(ensemble.connect_string()).connect().unwrap();
    let slow = zk.events();
    // More events than are kept for anybody.
    let paths: Vec<String> = (0..100).map(|n| format!("/n{n}")).collect();
    for path in &paths {
        other.create(path, b"", CreateMode::Persistent).unwrap();
    }
    zk.sync("/").unwrap();
    let mut sent = 0_u64;
    while sent < 67_000 {
        for (client, change) in [(&zk, false), (&other, true)] {
            let mut pipeline = client.pipeline();
            let requests = paths.iter().map(|path| match change {
                true => Request::set_data(path, b"", -1),
                false => Request::exists(path, true),
            });
            let pending: Vec<_> = requests.map(|request| pipeline.submit(&request)).collect();
            drop(pipeline);
            assert!(pending.into_iter().all(|answer| answer.unwrap().wait().is_ok()));
        }
        sent += 100;
    }
    zk.sync("/").unwrap();
    // What comes last is a state, and is not lost.
    let lost = zk.events();
    ensemble.cut(0).unwrap();
    assert_eq!(changes(&lost).nth(1).unwrap().state, KeeperState::SyncConnected);
    let (mut notifications, mut missed, mut states) = (0, 0, Vec::new());
    let mut after_missed = Vec::new();
    while let Some(event) = slow.try_recv() {
        match event {
            SessionEvent::Notification { kind, .. } => {
                assert_eq!(
                    (kind, missed),
                    (EventType::NodeDataChanged, 0),
                    "what was first is first"
                );
                notifications += 1;
            }
            SessionEvent::Missed(n) => missed += n,
            SessionEvent::State(change) => {
                states.push(change.state);
                after_missed.push(missed > 0);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(states, [KeeperState::SyncConnected], "the last one");
    assert_eq!(after_missed, [true]);
    assert_eq!(notifications + missed, sent + 1, "the loss between was missed too");
    assert!(missed > 1000);
    // And from here on it is told everything again.
    zk.close().unwrap();
    assert_eq!(changes(&slow).next().unwrap().state, KeeperState::Closed);
    assert_eq!(zk.submit(&Request::exists("/", false)).unwrap_err().kind, {
        ErrorKind::Submit(SubmitError::Ended)
    });
}
