//! Runs chaos and says what came of it; see `--help`.

use std::process::ExitCode;
use std::time::Duration;

use zk_session_chaos::run::{Plan, run};
use zk_session_chaos::target::Target;

const HELP: &str = "\
Holds many sessions on an ensemble of three while its servers and wires fail, and checks what no
session may ever see.

Usage: zk-session-chaos [OPTIONS]

  --on real|embedded  Debian's ZooKeeper (default), or the embedded ensemble
  --seconds N         how long faults go on (default 300; an hour is 3600)
  --sessions N        how many sessions at a time (default 50)
  --groups N          how many groups of sessions share their wires (default 5)
  --seed N            repeats another run's choices
  --help              prints this

CHAOS_VERBOSE=1 tells every fault.
Exit status: 0 if no rule was broken, 1 if one was, 2 if nothing can be said.
";

fn main() -> ExitCode {
    let (real, plan) = match parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let target = if real { Target::real() } else { Target::embedded() };
    let report = target.map_err(Into::into).and_then(|target| run(&target, plan));
    match report {
        Ok(report) => {
            println!("{report}");
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error} (seed {})", plan.seed);
            ExitCode::from(2)
        }
    }
}

fn parse() -> Result<Option<(bool, Plan)>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut real = true;
    let time = Duration::from_secs(300);
    let mut plan = Plan { sessions: 50, groups: 5, time, seed: fastrand::u64(..) };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("on") => match parser.value()?.string()?.as_str() {
                "real" => real = true,
                "embedded" => real = false,
                _ => return Err("--on takes real or embedded".into()),
            },
            Long("seconds") => plan.time = Duration::from_secs(parser.value()?.parse()?),
            Long("sessions") => plan.sessions = parser.value()?.parse()?,
            Long("groups") => plan.groups = parser.value()?.parse()?,
            Long("seed") => plan.seed = parser.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if plan.sessions == 0 || plan.groups == 0 {
        return Err("--sessions and --groups must be at least 1".into());
    }
    Ok(Some((real, plan)))
}
