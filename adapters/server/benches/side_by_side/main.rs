//! zk-session-server beside Debian's ZooKeeper: the same load from the same generator, in turns, in
//! one run, and one table of both and their ratio.
//!
//! `cargo bench -p zk-session-server --bench side_by_side`, with `ROUNDS=n` for other than three
//! rounds, and `-- memory`, `-- floor` or `-- disk` for one part only. It needs Debian's `zookeeper`
//! package, a limit of 12,000 open files and some minutes.
//!
//! What `processor` says is the time that all threads of the server were on a processor, in the
//! kernel as well, divided by the number of operations; what waits at the client is not in it.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a bench: it fails by panicking, and nobody imports it"
)]

mod crowd;
mod floor;
mod frames;
mod measure;
mod process;
mod server;
mod wire;

use std::time::Duration;

use measure::Figure;
use server::Kind;

fn main() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let asked: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name| asked.is_empty() || asked.iter().any(|arg| arg == name);
    if wanted("memory") {
        table("In memory (ZooKeeper: log on tmpfs, forceSync=no)", rounds, measure::in_memory);
    }
    if wanted("floor") {
        floor(rounds);
    }
    if wanted("disk") {
        let title = "On disk before it is acknowledged (ZooKeeper: forceSync=yes)";
        table(title, rounds, measure::on_disk);
    }
}

fn table(title: &str, rounds: usize, measure: impl Fn(Kind) -> Vec<Figure>) {
    let mut runs = Vec::new();
    for round in 1..=rounds {
        eprintln!("{title}: round {round} of {rounds}");
        runs.push([measure(Kind::Ours), measure(Kind::ZooKeeper)]);
    }
    println!("\n{title}, {rounds} rounds, min .. max\n");
    println!("| what | unit | aim | zk-session-server | ZooKeeper | ratio |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for (row, figure) in runs[0][0].iter().enumerate() {
        let values = |of: usize| runs.iter().map(move |run| run[of][row].value).collect::<Vec<_>>();
        let [ours, theirs] = [values(0), values(1)];
        let ratios: Vec<_> = theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
        let aim = figure.aim.map_or(String::new(), |aim| format!("≤ {}", number(aim)));
        let (name, unit) = (figure.name, figure.unit);
        let columns = [&ours, &theirs, &ratios].map(|values| range(values));
        println!("| {name} | {unit} | {aim} | {} |", columns.join(" | "));
    }
}

/// What of "one change to 9,000 watchers" is the system's.
fn floor(rounds: usize) {
    let runs: Vec<_> = (0..rounds).map(|_| floor::sends()).collect();
    let ms = |of: fn(&(Duration, Duration)) -> Duration| {
        range(&runs.iter().map(|run| of(run).as_secs_f64() * 1e3).collect::<Vec<_>>())
    };
    let (wall, cpu) = (ms(|run| run.0), ms(|run| run.1));
    println!("\nA bare loop of 9,000 writes of 44 bytes to as many connections: {wall} ms,");
    println!("processor {cpu} ms. No server that writes to each can be faster.");
}

fn range(values: &[f64]) -> String {
    let (min, max) = values.iter().fold((f64::MAX, 0.0_f64), |(a, b), v| (a.min(*v), b.max(*v)));
    format!("{} .. {}", number(min), number(max))
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
