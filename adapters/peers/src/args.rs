//! The command line.

use std::time::Duration;

use crate::drive::Job;
use crate::meter::Budget;
use crate::peer::Name;
use crate::server::Kind;
use crate::work::{ROWS, Work};

pub(crate) const USAGE: &str = "\
Compares ZooKeeper clients: CPU time, system calls, operations a second, memory; as a Markdown table.

usage: zk-session-peers [instructions] [options]

  instructions    counts instructions with callgrind instead, without rounds

  --quick         two short rounds, and no row of ten thousand sessions
  --rounds N      rounds, of all clients in turns (5)
  --millis N      how long each measurement takes (300)
  --rows A,B      one get256 get1000 get256x64 get1000x64 get64k set64k rearm persistent open
                  idle1000 idle10000 (all)
  --peers A,B     floor std floor-tokio tokio zookeeper-client tokio-zookeeper zookeeper-async c (all)
  --servers A,B   canned embedded zookeeper (canned and embedded, and zookeeper where it is installed)
  --threads N     worker threads of the tokio runtimes; 0 runs all on one thread (0)";

/// How to compare.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) rows: Vec<Work>,
    pub(crate) peers: Vec<Name>,
    pub(crate) servers: Vec<Kind>,
    /// Whether the servers were named, so that none may be missing.
    pub(crate) servers_are_chosen: bool,
    pub(crate) threads: usize,
}

/// What to do.
pub(crate) enum Command {
    Help,
    Compare(Args),
    Instructions(Args),
    /// A server's process.
    Serve(String),
    /// A client's process.
    Child {
        peer: Name,
        job: Job,
    },
}

impl Args {
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Command, String> {
        let mut words = words.peekable();
        match words.peek().map(String::as_str) {
            Some("--help" | "-h" | "help") => return Ok(Command::Help),
            Some("serve") => return words.nth(1).map(Command::Serve).ok_or("serve what?".into()),
            Some("child") => return child(words.skip(1).collect::<Vec<_>>().as_slice()),
            _ => {}
        }
        let counts = words.next_if(|word| word == "instructions").is_some();
        let mut args = Self {
            rounds: 5,
            time: Duration::from_millis(300),
            rows: ROWS.iter().map(|(_, work)| *work).collect(),
            peers: Name::ALL.to_vec(),
            servers: Kind::ALL.to_vec(),
            servers_are_chosen: false,
            threads: 0,
        };
        while let Some(word) = words.next() {
            if word == "--quick" {
                (args.rounds, args.time) = (2, Duration::from_millis(100));
                args.rows.retain(|row| *row != Work::Idle { sessions: 10_000 });
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value"))?;
            let number =
                || value.parse::<usize>().map_err(|_| format!("{word}: {value} is no number"));
            match word.as_str() {
                "--rounds" => args.rounds = number()?.max(1),
                "--millis" => args.time = Duration::from_millis(number()? as u64),
                "--threads" => args.threads = number()?,
                "--rows" => args.rows = each(&value, Work::by_name)?,
                "--peers" => {
                    let named = |word: &str| Name::ALL.into_iter().find(|peer| peer.word() == word);
                    args.peers = each(&value, named)?;
                }
                "--servers" => {
                    let named = |word: &str| Kind::ALL.into_iter().find(|kind| kind.name() == word);
                    args.servers = each(&value, named)?;
                    args.servers_are_chosen = true;
                }
                _ => return Err(format!("{word} is not known")),
            }
        }
        Ok(if counts { Command::Instructions(args) } else { Command::Compare(args) })
    }
}

fn each<T>(words: &str, named: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    words.split(',').map(|word| named(word).ok_or_else(|| format!("{word} is not known"))).collect()
}

/// The arguments of a client's process.
pub(crate) fn child_arguments(peer: Name, job: &Job) -> [String; 6] {
    [
        "child".to_owned(),
        peer.word().to_owned(),
        job.addr.to_string(),
        job.work.name().to_owned(),
        job.budget.to_argument(),
        job.threads.to_string(),
    ]
}

fn child(words: &[String]) -> Result<Command, String> {
    let [peer, addr, row, budget, threads] = words else {
        return Err("child takes a peer, an address, a row, a budget and threads".to_owned());
    };
    let parsed = || {
        let peer = Name::ALL.into_iter().find(|name| name.word() == peer)?;
        let job = Job {
            addr: addr.parse().ok()?,
            work: Work::by_name(row)?,
            budget: Budget::from_argument(budget)?,
            threads: threads.parse().ok()?,
        };
        Some(Command::Child { peer, job })
    };
    parsed().ok_or_else(|| format!("{words:?} are not the arguments of a child"))
}
