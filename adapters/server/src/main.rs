//! `zk-session-server`: see `--help`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use clap::Parser;
use log::LevelFilter;
use zk_session_server::{Args, Settings};

/// A port is in use, say.
const CANNOT_SERVE: u8 = 1;
/// A bad command line or configuration; clap's own, too.
const CANNOT_BE_MEANT: u8 = 2;

/// How often to look whether it still serves: it stops when it cannot keep what it is told.
const LOOK: Duration = Duration::from_millis(250);

fn main() -> ExitCode {
    let args = Args::parse();
    let mut logger = env_logger::Builder::new();
    match args.log {
        Some(level) => logger.filter_level(level),
        None => logger.filter_level(LevelFilter::Warn).parse_default_env(),
    };
    logger.init();

    let settings = match Settings::new(&args) {
        Ok((settings, ignored)) => {
            for line in ignored {
                log::warn!("{line}");
            }
            settings
        }
        Err(error) => return fail(CANNOT_BE_MEANT, &error),
    };
    match serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => fail(CANNOT_BE_MEANT, &error),
        Err(error) => fail(CANNOT_SERVE, &error),
    }
}

/// Serves until a signal comes.
fn serve(settings: &Settings) -> io::Result<()> {
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        let _ = stop.send(()); // a second one while the first is obeyed
    })
    .map_err(io::Error::other)?;
    raise_descriptor_limit();
    let ensemble = settings.builder().start()?;
    say(&ensemble.connect_string());
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
        if let Some(failure) = ensemble.failure() {
            return Err(io::Error::other(failure.to_string()));
        }
    }
    ensemble.shutdown();
    log::info!("stopped");
    Ok(())
}

/// The line that whoever started us waits for. Who does not want it may have closed the pipe.
fn say(connect_string: &str) {
    let mut stdout = io::stdout().lock();
    let version = env!("CARGO_PKG_VERSION");
    let line = writeln!(stdout, "serving on {connect_string} (zk-session-server {version})");
    if let Err(error) = line.and_then(|()| stdout.flush()) {
        log::warn!("cannot say on stdout that we serve on {connect_string}: {error}");
    }
}

/// As many clients as the system allows us.
fn raise_descriptor_limit() {
    #[cfg(unix)]
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => log::debug!("at most {limit} open files, so almost as many clients"),
        Err(error) => log::warn!("cannot raise the limit of open files: {error}"),
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("zk-session-server: {error}");
    ExitCode::from(code)
}
