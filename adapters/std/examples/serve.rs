//! Runs an embedded ensemble until its standard input ends.
//!
//! `cargo run --release -p zk-session-std --example serve -- [SERVERS] [TICK_MS]`
//!
//! The first line it prints is the connect string. Then it takes one command a line: `stop I`,
//! `start I`, `cut I`, `freeze I`, `thaw I`, `expire SESSION_ID` (as `0x…`), `drop SESSION_ID`,
//! `sessions`, `wipe`.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use zk_session::wire::SessionId;
use zk_session_std::EmbeddedEnsemble;

const USAGE: &str = "\
usage: serve [SERVERS] [TICK_MS]
Runs SERVERS (default 3) ZooKeeper servers with a tick of TICK_MS (default 2000) on loopback until
standard input ends. Prints the connect string, then takes commands, one a line:
  stop I | start I | cut I | freeze I | thaw I | expire 0xSESSION_ID | drop 0xSESSION_ID
  sessions | wipe";

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: u64| args.get(i).map_or(Ok(default), |arg| arg.parse());
    let (Ok(servers), Ok(tick), true) = (number(0, 3), number(1, 2000), args.len() <= 2) else {
        let asked = args.iter().any(|arg| arg == "--help" || arg == "-h");
        println!("{USAGE}");
        std::process::exit(if asked { 0 } else { 2 });
    };
    let servers = usize::try_from(servers).unwrap_or(usize::MAX);
    let tick = Duration::from_millis(tick);
    let ensemble = EmbeddedEnsemble::builder().servers(servers).tick(tick).start()?;
    println!("{}", ensemble.connect_string());
    for line in io::stdin().lock().lines() {
        match obey(&ensemble, line?.trim()) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error: {error}"),
        }
        io::stdout().flush()?;
    }
    Ok(())
}

fn obey(ensemble: &EmbeddedEnsemble, line: &str) -> io::Result<String> {
    let (verb, arg) = line.split_once(' ').unwrap_or((line, ""));
    let server = || arg.parse().map_err(|_| io::Error::other("which server?"));
    let session = || {
        let id = u64::from_str_radix(arg.trim_start_matches("0x"), 16);
        id.map(|id| SessionId(id.cast_signed())).map_err(|_| io::Error::other("which session?"))
    };
    match verb {
        "stop" => ensemble.stop(server()?)?,
        "start" => ensemble.start(server()?)?,
        "cut" => ensemble.cut(server()?)?,
        "freeze" => ensemble.freeze(server()?)?,
        "thaw" => ensemble.thaw(server()?)?,
        "wipe" => ensemble.wipe()?,
        "expire" => return Ok(ensemble.expire(session()?)?.to_string()),
        "drop" => return Ok(ensemble.drop_connection(session()?)?.to_string()),
        "sessions" => {
            let sessions = ensemble.sessions()?;
            let lines: Vec<_> = sessions.iter().map(|session| format!("{session:?}")).collect();
            return Ok(lines.join("\n"));
        }
        _ => return Err(io::Error::other("see --help for the commands")),
    }
    Ok("ok".into())
}
