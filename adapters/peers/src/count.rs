//! What another program counts of a client's process: system calls and instructions, as the
//! difference of two runs, so that start-up falls out.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::args::Args;
use crate::child::{command, run};
use crate::drive::Job;
use crate::meter::Budget;
use crate::peer::{Name, Result};
use crate::server::{Kind, Server};
use crate::work::Work;

/// What counts system calls here.
pub(crate) enum Counter {
    /// `perf stat`, which hardly disturbs what it counts.
    Perf,
    /// `strace`, which stops the process at each call, so that more is done between two.
    Strace,
}

impl Counter {
    /// What there is; `perf` needs the right to look into the kernel.
    pub(crate) fn find() -> Option<Self> {
        let works = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).arg("true").stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if works("perf", &["stat", "-e", "raw_syscalls:sys_enter"]) {
            return Some(Self::Perf);
        }
        if works("strace", &["-f", "-c"]) {
            return Some(Self::Strace);
        }
        eprintln!("neither perf nor strace can count system calls here");
        None
    }

    /// System calls of a program.
    pub(crate) fn system_calls(&self, words: &[String], patience: Duration) -> Result<f64> {
        let prefix: &[&str] = match self {
            Self::Perf => &["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter"],
            Self::Strace => &["strace", "-f", "-c", "-U", "calls,name"],
        };
        let (_, told) = run(&prefixed(prefix, words), patience)?;
        let first = |line: &str, end: char| line.split(end).find_map(|word| word.parse().ok());
        let count = match self {
            Self::Perf => {
                told.lines().find(|line| line.contains("sys_enter")).and_then(|l| first(l, ','))
            }
            Self::Strace => {
                told.lines().find(|line| line.ends_with("total")).and_then(|l| first(l, ' '))
            }
        };
        count.ok_or_else(|| "its system calls were not counted".to_owned())
    }
}

/// What a count gives for an operation: that of many turns less that of few.
pub(crate) fn difference(
    peer: Name,
    job: &Job,
    count: impl Fn(&[String], Duration) -> Result<f64>,
) -> Result<f64> {
    let window = job.work.window();
    let few = 2_000_usize.div_ceil(window).max(2);
    let turns = [few, if window == 1 { few + few / 5 } else { 6 * few }];
    let turns = if job.work == Work::OpenClose { [20, 120] } else { turns };
    let mut counts = [0.0; 2];
    for (count_of, turns) in counts.iter_mut().zip(turns) {
        let job = Job { budget: Budget::Turns(turns), ..*job };
        *count_of = count(&command(peer, &job)?, Duration::from_secs(120))?;
    }
    Ok((counts[1] - counts[0]) / ((turns[1] - turns[0]) * window) as f64)
}

/// Counts instructions with callgrind, and prints a table.
pub(crate) fn instructions(args: &Args) -> Result {
    let server = Server::start(Kind::Canned).map_err(|error| error.to_string())?;
    println!("| what | client | instructions |\n| --- | --- | ---: |");
    for work in args.rows.iter().filter(|work| !work.is_idle()) {
        let job =
            Job { addr: server.addr, work: *work, budget: Budget::Turns(0), threads: args.threads };
        let mut title = work.title();
        for peer in &args.peers {
            let counted = difference(*peer, &job, |words, patience| {
                let valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];
                let (_, told) = run(&prefixed(&valgrind, words), patience)?;
                let collected = told.lines().find_map(|line| line.split("Collected :").nth(1));
                let count = collected.and_then(|count| count.trim().parse().ok());
                count.ok_or_else(|| "valgrind counts nothing: is it installed?".to_owned())
            });
            let told = match counted {
                Ok(count) => format!("{count:.0}"),
                Err(error) => error,
            };
            println!("| {} | {} | {told} |", std::mem::take(&mut title), peer.title());
        }
    }
    Ok(())
}

fn prefixed(prefix: &[&str], words: &[String]) -> Vec<String> {
    prefix.iter().map(|word| (*word).to_owned()).chain(words.iter().cloned()).collect()
}
