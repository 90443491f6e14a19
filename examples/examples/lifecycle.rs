//! Plays the life of a session as a timeline; see `--help`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use zk_session_examples::lifecycle::{Embedded, Stage, play};

const HELP: &str = "\
Plays the life of a ZooKeeper session on real sockets and tells it as a timeline:
connect, fail over to another server, be cut off from all of them, expire.

Usage: cargo run --release --example lifecycle [-- OPTIONS]

  --connect H1:P1,H2:P2,...[/CHROOT]  plays on the servers of a real ensemble, with faults made by
                                      relays in this process (default: an embedded ensemble of three)
  --timeout MS                        the session timeout to ask for (default 4000)
  --svg FILE                          also draws the timeline
  --help                              prints this

Exit status: 0 if every step was observed, 1 if one was not, 2 for wrong arguments.
";

struct Arguments {
    connect: Option<String>,
    timeout: Duration,
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say(HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    match run(&arguments) {
        Ok(summary) => {
            let took = start.elapsed().as_secs_f64();
            say(&format!("{summary}; the whole story took {took:.1} s"));
            ExitCode::SUCCESS
        }
        Err((code, error)) => {
            eprintln!("error: {error}");
            ExitCode::from(code)
        }
    }
}

/// Prints a line. A reader that has gone away must not end the story.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    use lexopt::prelude::*;
    let mut arguments =
        Arguments { connect: None, timeout: Duration::from_millis(4000), svg: None };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("connect") => arguments.connect = Some(parser.value()?.string()?),
            Long("timeout") => {
                let millis: u32 = parser.value()?.parse()?;
                if !(1000..=60_000).contains(&millis) {
                    return Err("--timeout must be 1000 to 60000 ms".into());
                }
                arguments.timeout = Duration::from_millis(millis.into());
            }
            Long("svg") => arguments.svg = Some(parser.value()?.into()),
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(arguments))
}

fn run(arguments: &Arguments) -> Result<String, (u8, String)> {
    let stage = match &arguments.connect {
        Some(connect_string) => {
            Stage::reach(connect_string).map_err(|error| (2, format!("--connect: {error}")))?
        }
        None => {
            let ensemble = Embedded::start().map_err(|error| (1, error.to_string()))?;
            let addrs = ensemble.addrs();
            Stage::new(addrs, "", Box::new(ensemble)).map_err(|error| (1, error.to_string()))?
        }
    };
    let observed =
        play(&stage, arguments.timeout, &mut say).map_err(|error| (1, error.to_string()))?;
    if let Some(file) = &arguments.svg {
        let drawn = std::fs::write(file, observed.timeline.svg());
        drawn.map_err(|error| (1, format!("--svg {}: {error}", file.display())))?;
    }
    Ok(format!(
        "every step observed: fail-over in {:.0} ms, ephemeral gone {:.1} s after the cut, \
         expiry learnt {:.0} ms after the connection was back",
        observed.failover.as_secs_f64() * 1e3,
        observed.expiry.as_secs_f64(),
        observed.told.as_secs_f64() * 1e3,
    ))
}
