//! getData of 128 bytes against a server of canned replies in another process, so that only the
//! client is measured; `benches/count.sh` starts both and counts instructions and system calls.
//!
//! `SERVER` is the server's address, `WINDOWS` how many windows are played, `WINDOW` how many requests
//! one has (256). `MODE`: `send`, one task that makes a window and then awaits it; `tasks`, as many
//! tasks as `TASKS` (64) share the client, each with its part of the window; `one`, one at a time.
//! Prints the CPU time of this process in microseconds an operation. `MODE=idle` opens `WINDOW`
//! sessions that do nothing for `HOLD` (25) seconds, and prints what memory and CPU time they take.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use zk_session_tokio::Client;

const PATH: &str = "/bench/node";

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn main() {
    let Ok(server) = std::env::var("SERVER") else {
        return println!("benches/count.sh starts a server and this");
    };
    let mode = std::env::var("MODE").unwrap_or_else(|_| "send".to_owned());
    let (windows, window) = (number("WINDOWS", 1000), number("WINDOW", 256));
    let threads = number("THREADS", 0);
    let runtime = match threads {
        0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build(),
    };
    runtime.unwrap().block_on(async move {
        // On a worker, where applications run.
        let played = tokio::spawn(play(server, mode, windows, window));
        played.await.unwrap();
    });
}

async fn play(server: String, mode: String, windows: usize, window: usize) {
    if mode == "idle" {
        return idle(&server, window, Duration::from_secs(number("HOLD", 25) as u64)).await;
    }
    let client = Client::builder(server).timeout(Duration::from_secs(30)).connect().await.unwrap();
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    let mut each = Vec::new();
    let operations = match mode.as_str() {
        "send" => send(&client, windows, window).await,
        "tasks" => tasks(&client, windows, window, number("TASKS", 64)).await,
        "one" => one(&client, windows, &mut each).await,
        other => panic!("no mode {other}"),
    };
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / operations as f64;
    print!("CPU {:.3} us/op  wall {:.3} us/op", micros(cpu.elapsed()), micros(wall.elapsed()));
    each.sort_unstable();
    match each.get(each.len() / 2) {
        Some(p50) => println!("  p50 {:.1} us", p50.as_secs_f64() * 1e6),
        None => println!(),
    }
}

async fn send(client: &Client, windows: usize, window: usize) -> usize {
    let mut pending = Vec::with_capacity(window);
    for _ in 0..windows {
        pending.extend((0..window).map(|_| client.get(PATH).send()));
        for answer in pending.drain(..) {
            assert_eq!(answer.await.unwrap().data.len(), 128);
        }
    }
    windows * window
}

async fn tasks(client: &Client, windows: usize, window: usize, tasks: usize) -> usize {
    let part = window / tasks;
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let client = client.clone();
        set.spawn(async move {
            if part == 1 {
                for _ in 0..windows {
                    assert_eq!(client.get(PATH).await.unwrap().data.len(), 128);
                }
            } else {
                send(&client, windows, part).await;
            }
        });
    }
    while let Some(task) = set.join_next().await {
        task.unwrap();
    }
    windows * part * tasks
}

async fn one(client: &Client, times: usize, each: &mut Vec<Duration>) -> usize {
    each.reserve(times);
    for _ in 0..times {
        let start = Instant::now();
        assert_eq!(client.get(PATH).await.unwrap().data.len(), 128);
        each.push(start.elapsed());
    }
    times
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn idle(server: &str, sessions: usize, time: Duration) {
    let connect = || Client::builder(server).timeout(Duration::from_secs(30)).connect();
    let mut clients = Vec::with_capacity(sessions);
    clients.push(connect().await.unwrap());
    let before = resident();
    let start = ProcessTime::now();
    while clients.len() < sessions {
        clients.push(connect().await.unwrap());
    }
    let opened = start.elapsed().as_secs_f64() * 1e6 / sessions as f64;
    let fresh = resident() - before;
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    tokio::time::sleep(time).await;
    let share = 100.0 * cpu.elapsed().as_secs_f64() / wall.elapsed().as_secs_f64();
    let each = |kib: usize| kib as f64 / (sessions - 1) as f64;
    println!(
        "{sessions} idle sessions: {:.2} KiB each when opened, {:.2} KiB each after pings; \
         {opened:.0} us CPU to open one, {share:.2} % of a core for pings",
        each(fresh),
        each(resident() - before),
    );
}
