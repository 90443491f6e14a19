//! What is measured of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zk_session::wire::{CreateMode, Request};

use crate::crowd::Crowd;
use crate::frames;
use crate::process;
use crate::server::{Keep, Kind, Server};
use crate::wire::Wire;

/// Requests in flight, where they are pipelined.
const WINDOW: usize = 256;
/// Of each kind of create.
const CREATES: usize = 80 * WINDOW;
const LOAD: Duration = Duration::from_millis(1500);
const DATA: [u8; 128] = [7; 128];
const IDLE: usize = 10_000;
const WATCHERS: usize = 9_000;
const STORM: usize = 5_000;
const DOOMED: usize = 9_000;
const OTHERS: usize = 50;
/// Longer than anything that is measured while a session is silent.
const LONG_MS: i32 = 40_000;
/// Longer than a slow server takes to set all of them up.
const DOOMED_MS: i32 = 30_000;
const PATH: &str = "/bench";

/// One figure: name, unit, value; and what it should be at most, if anything.
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub aim: Option<f64>,
    pub value: f64,
}

fn figure(name: &'static str, unit: &'static str, aim: Option<f64>, value: f64) -> Figure {
    Figure { name, unit, aim, value }
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// All of a server that keeps everything in memory.
pub fn in_memory(kind: Kind) -> Vec<Figure> {
    let server = Server::start(kind, Keep::Memory);
    let mut figures = vec![figure(
        "start of the process to the first session",
        "ms",
        Some(10.0),
        ms(server.first_session),
    )];
    figures.push(figure("  processor", "ms", None, ms(server.first_session_cpu)));
    figures.extend(crowds(&server));
    figures.extend(expiry(&server));
    figures.extend(loads(&server, kind));
    figures
}

/// What writes cost when they are on the disk before they are acknowledged.
pub fn on_disk(kind: Kind) -> Vec<Figure> {
    let server = Server::start(kind, Keep::Disk);
    let mut wire = bench_node(&server);
    let set = set_data();
    warm_up(kind, &mut wire, &set);
    let (start, cpu) = (Instant::now(), process::cpu(server.pid));
    let operations = repeat(&mut wire, &set, LOAD);
    let (took, cpu) = (start.elapsed(), process::cpu(server.pid) - cpu);
    let mut figures = vec![
        figure("setData of 128 B, 256 in flight, time", "µs", None, micros(took, operations)),
        figure("setData of 128 B, 256 in flight, processor", "µs", None, micros(cpu, operations)),
        figure("setData of 128 B, one at a time, p50", "µs", None, p50(&mut wire, &set, 300)),
    ];
    let [warm, creates] = ["w", "c"].map(|name| nursery(&mut wire, name, CreateMode::Persistent));
    play(&mut wire, &warm);
    let start = Instant::now();
    play(&mut wire, &creates);
    let took = micros(start.elapsed(), CREATES);
    figures.push(figure("create of 128 B, 256 in flight, time", "µs", None, took));
    wire.close();
    figures
}

/// Idle sessions, one change that many watch, everybody coming back at once.
fn crowds(server: &Server) -> Vec<Figure> {
    let mut wire = Wire::connect(server.addr, LONG_MS);
    wire.exchange(&frames::create("/watched", &DATA, CreateMode::Persistent), 1);
    let empty = process::rss(server.pid);
    let mut crowd = Crowd::gather(server.addr, LONG_MS, IDLE);
    crowd.exchange(|_| frames::ping());
    thread::sleep(Duration::from_secs(1));
    let idle = (process::rss(server.pid) - empty) / IDLE as f64;

    crowd.keep(WATCHERS);
    crowd.exchange(|_| frames::request(&Request::get_data("/watched", true)));
    let change = frames::request(&Request::set_data("/watched", &DATA, -1));
    let cpu = process::cpu(server.pid);
    let told = crowd.hear(|| wire.exchange(&change, 1));
    let told_cpu = process::cpu(server.pid) - cpu;

    crowd.keep(STORM);
    crowd.exchange(|_| frames::ping()); // on a slow day some have been silent for half their time
    let cpu = process::cpu(server.pid);
    let storm = crowd.storm();
    let storm_cpu = process::cpu(server.pid) - cpu;
    crowd.keep(0);
    wire.close();
    vec![
        figure("resident memory, empty", "MiB", None, empty / f64::from(1 << 20)),
        figure("resident memory per idle session, of 10,000", "KiB", Some(4.0), idle / 1024.0),
        figure("one change to 9,000 watchers", "ms", Some(20.0), ms(told)),
        figure("  processor", "ms", None, ms(told_cpu)),
        figure("5,000 sessions reconnecting at once", "ms", Some(500.0), ms(storm)),
        figure("  processor", "ms", None, ms(storm_cpu)),
    ]
}

/// 9,000 sessions with an ephemeral znode each fall silent, and 50 others go on.
fn expiry(server: &Server) -> Vec<Figure> {
    let mut wire = Wire::connect(server.addr, LONG_MS);
    wire.exchange(&frames::create("/doomed", b"", CreateMode::Persistent), 1);
    let mut crowd = Crowd::gather(server.addr, DOOMED_MS, DOOMED);
    let name = |i| format!("/doomed/{i}");
    crowd.exchange(|i| frames::create(&name(i), b"", CreateMode::Ephemeral));

    let done = Arc::new(AtomicBool::new(false));
    let others = thread::spawn({
        let (done, addr) = (Arc::clone(&done), server.addr);
        let mut others: Vec<_> = (0..OTHERS).map(|_| Wire::connect(addr, LONG_MS)).collect();
        move || {
            let (ping, mut longest) = (frames::ping(), Duration::ZERO);
            for i in (0..OTHERS).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                longest = longest.max(others[i].round_trip(&ping));
                thread::sleep(Duration::from_micros(200));
            }
            others.into_iter().for_each(Wire::close);
            longest
        }
    });

    crowd.exchange(|_| frames::ping());
    crowd.vanish();
    let (mut seen, mut left) = (Instant::now(), DOOMED);
    // The time from each count to the next lower one, where they expire in one go; between two
    // ticks of expiry nothing changes for longer.
    let (mut span, mut longest_span) = (Duration::ZERO, Duration::ZERO);
    while left > 0 {
        let now_left = usize::try_from(wire.stat("/doomed").num_children).unwrap();
        let now = Instant::now();
        if now_left < left {
            left = now_left;
            span += now - seen;
            longest_span = longest_span.max(span);
            seen = now;
        } else if now - seen > Duration::from_millis(500) {
            span = Duration::ZERO;
            seen = now;
        } else if span.is_zero() {
            seen = now;
        }
        thread::sleep(Duration::from_micros(500));
    }
    done.store(true, Ordering::Relaxed);
    let longest = others.join().unwrap();
    wire.close();
    vec![
        figure("9,000 sessions vanished: first to last expiry", "ms", None, ms(longest_span)),
        figure("  longest ping of 50 others meanwhile", "ms", None, ms(longest)),
    ]
}

/// Processor time of the server per operation, and waits of one at a time.
fn loads(server: &Server, kind: Kind) -> Vec<Figure> {
    let mut wire = bench_node(server);
    let get = frames::request(&Request::get_data(PATH, false));
    let set = set_data();
    let cpu_of = |work: &mut dyn FnMut() -> usize| {
        let before = process::cpu(server.pid);
        let operations = work();
        micros(process::cpu(server.pid) - before, operations)
    };
    warm_up(kind, &mut wire, &get);
    let get_cpu = cpu_of(&mut || repeat(&mut wire, &get, LOAD));
    let get_p50 = p50(&mut wire, &get, 3000);
    warm_up(kind, &mut wire, &set);
    let set_cpu = cpu_of(&mut || repeat(&mut wire, &set, LOAD));
    let set_p50 = p50(&mut wire, &set, 3000);

    let creates = |mode: CreateMode| {
        let names = if mode.is_ephemeral() { ["we", "e"] } else { ["wp", "p"] };
        let mut wire = Wire::connect(server.addr, LONG_MS);
        let [warm, measured] = names.map(|name| nursery(&mut wire, name, mode));
        play(&mut wire, &warm);
        let cpu = cpu_of(&mut || {
            play(&mut wire, &measured);
            CREATES
        });
        wire.close();
        cpu
    };
    let create = creates(CreateMode::Persistent);
    let ephemeral = creates(CreateMode::Ephemeral);
    wire.close();
    vec![
        figure("getData of 128 B, processor", "µs", Some(1.0), get_cpu),
        figure("setData of 128 B, processor", "µs", Some(3.0), set_cpu),
        figure("create of 128 B, processor", "µs", None, create),
        figure("create of 128 B, ephemeral, processor", "µs", Some(3.0), ephemeral),
        figure("getData of 128 B, one at a time, p50", "µs", None, get_p50),
        figure("setData of 128 B, one at a time, p50", "µs", None, set_p50),
    ]
}

fn bench_node(server: &Server) -> Wire {
    let mut wire = Wire::connect(server.addr, LONG_MS);
    wire.exchange(&frames::create(PATH, &DATA, CreateMode::Persistent), 1);
    wire
}

fn set_data() -> Vec<u8> {
    frames::request(&Request::set_data(PATH, &DATA, -1))
}

/// A virtual machine compiles what it often does.
fn warm_up(kind: Kind, wire: &mut Wire, request: &[u8]) {
    let long = if kind == Kind::ZooKeeper { 3 * LOAD } else { LOAD / 4 };
    repeat(wire, request, long);
}

/// Sends windows of the same request for so long; how many requests that were.
fn repeat(wire: &mut Wire, request: &[u8], long: Duration) -> usize {
    let (window, start, mut operations) = (request.repeat(WINDOW), Instant::now(), 0);
    while start.elapsed() < long {
        wire.exchange(&window, WINDOW);
        operations += WINDOW;
    }
    operations
}

/// A parent of its own, and windows of creates below it.
fn nursery(wire: &mut Wire, name: &str, mode: CreateMode) -> Vec<Vec<u8>> {
    let parent = format!("{PATH}/{name}");
    wire.exchange(&frames::create(&parent, b"", CreateMode::Persistent), 1);
    let one = |i| frames::create(&format!("{parent}/{i:08}"), &DATA, mode);
    (0..CREATES / WINDOW)
        .map(|window| (0..WINDOW).flat_map(|i| one(window * WINDOW + i)).collect())
        .collect()
}

fn play(wire: &mut Wire, windows: &[Vec<u8>]) {
    for window in windows {
        wire.exchange(window, WINDOW);
    }
}

fn p50(wire: &mut Wire, request: &[u8], times: usize) -> f64 {
    let mut each: Vec<_> = (0..times).map(|_| wire.round_trip(request)).collect();
    each.sort_unstable();
    each[times / 2].as_secs_f64() * 1e6
}

fn micros(span: Duration, operations: usize) -> f64 {
    span.as_secs_f64() * 1e6 / operations as f64
}
