//! `serve`: an ensemble in this process, whose faults are made from its prompt.

mod fault;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use zk_session::server::Release;
use zk_session_std::{EmbeddedEnsemble, EnsembleBuilder};

use crate::args::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input::Lines;
use crate::interrupt;
use crate::output::{Out, complain};

use fault::{Fault, parse};

/// How often to look whether it still serves: it stops when it cannot keep what it is told.
const LOOK: Duration = Duration::from_millis(250);

/// Serve an ensemble for tests from this process; faults are made from its prompt
///
/// The first line of output tells the servers. Then each line of input is a fault, such as stop 0,
/// start 0, cut 1, freeze 1, thaw 1, delay 2 100ms, expire SESSION, wipe; help tells all. It serves
/// until quit, Ctrl-C or SIGTERM; the end of input that is not typed does not end it.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// How many servers
    #[arg(short = 'n', long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..))]
    number: u8,
    /// Where a server listens; once for each [default: free ports of 127.0.0.1]
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "number")]
    listen: Vec<String>,
    /// ZooKeeper's tickTime; session timeouts are 2 to 20 of them
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::args::duration)]
    tick: Duration,
    /// Keep everything in this directory, over restarts
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Behave as this release of ZooKeeper
    #[arg(long, value_name = "RELEASE", default_value = "3.9", value_parser = ["3.8", "3.9"])]
    release: String,
    /// Allow times to live, as extendedTypesEnabled=true does
    #[arg(long)]
    extended_types: bool,
    /// Refuse what exceeds a hard quota, as enforceQuota=true does
    #[arg(long)]
    enforce_quota: bool,
}

impl Serve {
    pub(crate) async fn run(&self, settings: &Settings, out: &mut Out) -> Result<(), Failure> {
        let ensemble = self.builder()?.start();
        let ensemble = ensemble.map_err(|error| failed("cannot serve", error.into()))?;
        let servers = ensemble.connect_string();
        match out.is_json() {
            true => out.json_line(&json!({ "event": "Serving", "servers": servers }))?,
            false => out.remark(&format!("serving on {servers}"))?,
        }
        out.flush()?;
        let mut input = Lines::start("serve> ");
        let mut over = false;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = interrupt::signal() => break,
                line = input.next(), if !over => match line? {
                    // What is piped may end without that meaning anything.
                    None if input.typed => break,
                    None => over = true,
                    Some(line) => {
                        if self.line(&line, &ensemble, settings, out).await?.is_none() {
                            break;
                        }
                        input.done();
                    }
                },
                _ = look.tick() => if let Some(failure) = ensemble.failure() {
                    let what = format!("the ensemble has stopped serving: {failure}");
                    return Err(Failure::other(what, Exit::Failed));
                },
            }
        }
        ensemble.shutdown();
        Ok(())
    }

    fn builder(&self) -> Result<EnsembleBuilder, Failure> {
        let number = if self.listen.is_empty() { self.number.into() } else { self.listen.len() };
        let mut builder = EmbeddedEnsemble::builder().servers(number).tick(self.tick);
        builder =
            builder.release(if self.release == "3.8" { Release::V3_8 } else { Release::V3_9 });
        for (i, at) in self.listen.iter().enumerate() {
            builder = builder.bind(i, address(at)?);
        }
        if let Some(dir) = &self.data {
            builder = builder.durable(dir);
        }
        if self.extended_types {
            builder = builder.extended_types();
        }
        if self.enforce_quota {
            builder = builder.enforce_quota();
        }
        Ok(builder)
    }

    /// Does a line; none if it was the last. A line that cannot be done ends nothing.
    async fn line(
        &self,
        line: &str,
        ensemble: &EmbeddedEnsemble,
        settings: &Settings,
        out: &mut Out,
    ) -> Result<Option<()>, Failure> {
        let done = match parse(line) {
            Ok(None) => return Ok(Some(())),
            Ok(Some(Fault::Quit)) => return Ok(None),
            Ok(Some(Fault::Sleep { time })) => {
                tokio::select! {
                    () = tokio::time::sleep(time) => return Ok(Some(())),
                    () = interrupt::signal() => return Ok(None),
                }
            }
            Ok(Some(fault)) => fault.make(ensemble, out),
            Err(fault::Unclear::Help(text)) => out.remark(text.trim_end()),
            Err(fault::Unclear::Wrong(failure)) => Err(failure),
        };
        match done.and_then(|()| out.flush()) {
            Ok(()) => Ok(Some(())),
            // Who started it may have wanted the first line only.
            Err(Failure::Unheard) => Ok(Some(())),
            Err(failure) => {
                complain(&failure, settings.json, settings.color);
                Ok(Some(()))
            }
        }
    }
}

fn failed(doing: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidInput => Failure::usage(format!("{doing}: {error}"), ""),
        _ => Failure::io(doing, error),
    }
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let bad = |error: String| {
        Failure::usage(format!("cannot listen on {text:?}: {error}"), "expected HOST:PORT")
    };
    let mut found = text.to_socket_addrs().map_err(|error| bad(error.to_string()))?;
    found.next().ok_or_else(|| bad("the name has no address".to_owned()))
}
