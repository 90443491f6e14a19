//! Clients that nobody should be, over real sockets: each costs its own connection, with its cause
//! in the log, and the others are served.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod ensemble_support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ensemble_support::{Raw, frame};
use log::{Level, LevelFilter, Log, Metadata, Record};
use zk_session::wire::{CreateMode, Request, Xid};
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::four_letter;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was logged.
struct Lines(Mutex<Vec<(Level, String)>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

/// How many lines of a level tell of this cause, once there are `count`.
fn await_lines(level: Level, cause: &str, count: usize) {
    let start = Instant::now();
    loop {
        let lines = LINES.0.lock().unwrap().clone();
        let told = |(at, line): &&(Level, String)| {
            *at == level && line.contains("connection of 127.0.0.1:") && line.contains(cause)
        };
        if lines.iter().filter(told).count() >= count {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "no {count} {level} lines of {cause:?} in {lines:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn connections(addr: SocketAddr) -> usize {
    let text = four_letter(addr, "srvr").unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("Connections: ")).unwrap();
    count.parse::<usize>().unwrap() - 1 // the one that asks
}

#[test]
fn bad_clients_cost_their_own_connections_and_are_logged() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Debug);
    let ensemble = EmbeddedEnsemble::builder()
        .engine(|engine| {
            engine.sessionless_timeout = zk_session::Duration::from_millis(500);
            engine.frame_limit = 64 << 10;
            engine.outbox_limit = 1 << 20;
        })
        .start()
        .unwrap();
    let addr = ensemble.addr(0);
    let (mut bystander, _) = Raw::connect(addr, 40_000);
    bystander.create("/by", b"stander", CreateMode::Persistent).unwrap();
    bystander.create("/big", &[7; 60_000], CreateMode::Persistent).unwrap();
    let mut is_served = || assert_eq!(bystander.get("/by").unwrap(), b"stander");

    // Garbage before the handshake.
    let mut http = Raw::dial(addr).unwrap();
    http.stream.write_all(b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n").unwrap();
    assert!(http.is_closed());
    await_lines(Level::Warn, "closed: bad frame length 1195725856", 1);
    let mut short = Raw::dial(addr).unwrap();
    short.stream.write_all(&[0, 0, 0, 4, 1, 2, 3, 4]).unwrap();
    assert!(short.is_closed());
    await_lines(Level::Warn, "closed: malformed frame", 1);
    is_served();

    // A frame over the limit.
    let (mut huge, _) = Raw::connect(addr, 10_000);
    huge.stream.write_all(&(65_537_u32).to_be_bytes()).unwrap();
    assert!(huge.is_closed());
    await_lines(Level::Warn, "closed: bad frame length 65537", 1);
    is_served();

    // Those who say nothing, and those who say a byte now and then.
    let mut silent: Vec<_> = (0..300).map(|_| Raw::dial(addr).unwrap()).collect();
    let mut slow: Vec<_> = (0..10).map(|_| Raw::dial(addr).unwrap()).collect();
    for byte in [0, 0, 0, 45].into_iter().chain([0; 12]) {
        for raw in &mut slow {
            let _ = raw.stream.write_all(&[byte]); // closed at some time
        }
        is_served();
        std::thread::sleep(Duration::from_millis(100));
    }
    for raw in &mut silent {
        assert!(raw.is_closed());
    }
    for raw in &mut slow {
        assert!(raw.read_to_end().0);
    }
    await_lines(Level::Info, "closed: nothing received for too long", 310);
    is_served();

    // One who asks and never reads, until an event finds no room.
    let (mut deaf, _) = Raw::connect(addr, 40_000);
    let path = format!("/{}", "p".repeat(20_000));
    deaf.call(&Request::AddWatch { path: path.as_str().into(), mode: 0 }).unwrap();
    deaf.stream.set_nonblocking(true).unwrap();
    let ask = frame(Xid(7), &Request::get_data("/big", false));
    while deaf.stream.write_all(&ask).is_ok() {}
    is_served();
    for _ in 0..1000 {
        bystander.create(&path, b"", CreateMode::Persistent).unwrap();
        bystander.call(&Request::delete(&path, -1)).unwrap();
        let lines = LINES.0.lock().unwrap();
        if lines.iter().any(|(_, line)| line.contains("does not read")) {
            break;
        }
    }
    await_lines(Level::Warn, "closed: client does not read", 1);

    let start = Instant::now();
    while connections(addr) > 1 {
        assert!(start.elapsed() < PATIENCE, "{} connections", connections(addr));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(bystander.get("/by").unwrap(), b"stander");
    bystander.call(&Request::CloseSession).unwrap();
    assert!(bystander.is_closed());
    await_lines(Level::Debug, "closed: session closed", 1);
}
