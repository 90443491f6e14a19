//! The command line.

use std::path::PathBuf;

use clap::Parser;
use log::LevelFilter;

/// A ZooKeeper for tests, development and small single-node use: starts in milliseconds, without a
/// JVM.
///
/// When it serves, it prints one line, `serving on HOST:PORT[,HOST:PORT…] (zk-session-server
/// VERSION)`, which is the connect string for clients. It ends cleanly on SIGTERM and SIGINT.
#[derive(Clone, Debug, Default, Parser)]
#[command(version, about, long_about, after_help = AFTER)]
#[non_exhaustive]
pub struct Args {
    /// Where to listen, HOST:PORT; repeat it for an ensemble of several servers. Port 0 is any free
    /// one. [default: 127.0.0.1:2181, or what the configuration file says]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Vec<String>,

    /// The tick in milliseconds: sessions expire on ticks, and last 2 to 20 of them. [default:
    /// 2000, or what the configuration file says]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub tick: Option<u32>,

    /// A directory to keep everything in, made if it is not there: started with it again, the server
    /// goes on where it was, and loses nothing that it has acknowledged. [default: in memory only, or
    /// what the configuration file says]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// A configuration file of ZooKeeper's (zoo.cfg). Each key in it that changes nothing here is
    /// named in a warning. The command line wins over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to log to stderr: off, error, warn, info, debug or trace. [default: RUST_LOG, or warn]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<LevelFilter>,
}

const AFTER: &str = "\
Exit codes: 0 stopped by a signal; 1 cannot serve, or no longer (a port is in use, say, or
the disk is full); 2 bad command line or configuration.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_tick_is_at_least_a_millisecond() {
        let tick = |value| Args::try_parse_from(["zk-session-server", "--tick", value]);
        assert_eq!(tick("1").unwrap().tick, Some(1));
        assert!(tick("0").is_err());
        assert!(tick("fast").is_err());
    }
}
