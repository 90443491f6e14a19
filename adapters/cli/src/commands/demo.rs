//! `demo`: the life of a session, played.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use zk_session_examples::lifecycle::{Embedded, Observed, Stage, play};

use crate::args::Settings;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Out;

/// Play the life of a session: fail over, be cut off, expire
///
/// The servers are an embedded ensemble of three; with --connect those of a real one, and faults are
/// made by relays in this process. Each line is told once it has been observed.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Play on these servers, two at least
    #[arg(long, value_name = "HOSTS")]
    connect: Option<String>,
    /// The session timeout to ask for
    #[arg(long = "session-timeout", value_name = "TIME", default_value = "4s", value_parser = crate::args::duration)]
    session_timeout: Duration,
    /// Draw the timeline, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Demo {
    /// Blocks until the story is told.
    pub(crate) fn run(&self, settings: &Settings, out: &mut Out) -> Result<(), Failure> {
        if self.connect.is_some() && settings.is_secured()? {
            let hint = "leave out what is about TLS and SASL, or play on the embedded ensemble";
            return Err(Failure::usage("demo --connect speaks no TLS and no SASL", hint));
        }
        if !(1..=60).contains(&self.session_timeout.as_secs()) {
            return Err(Failure::usage(
                "the story needs a session timeout of 1 s to 60 s",
                "such as --session-timeout 4s",
            ));
        }
        let failed =
            |error: &dyn std::fmt::Display| Failure::other(error.to_string(), Exit::Failed);
        let stage = match &self.connect {
            Some(hosts) => Stage::reach(hosts)
                .map_err(|error| Failure::usage(format!("--connect: {error}"), ""))?,
            None => {
                let ensemble = Embedded::start().map_err(|error| failed(&error))?;
                let addrs = ensemble.addrs();
                Stage::new(addrs, "", Box::new(ensemble)).map_err(|error| failed(&error))?
            }
        };
        let mut unheard = None;
        let mut tell = |line: &str| {
            let told = match out.is_json() {
                true => out.json_line(&json!({ "line": line.trim_start() })),
                false => out.remark(line),
            };
            // The story is played to its end: it has servers to mend.
            unheard = unheard.take().or(told.and_then(|()| out.flush()).err());
        };
        let observed = play(&stage, self.session_timeout, &mut tell).map_err(|e| failed(&e))?;
        if let Some(failure) = unheard {
            return Err(failure);
        }
        if let Some(file) = &self.svg {
            fs::write(file, observed.timeline.svg())
                .map_err(|error| Failure::io(format!("cannot write {}", file.display()), error))?;
        }
        summary(&observed, out)
    }
}

fn summary(observed: &Observed, out: &mut Out) -> Result<(), Failure> {
    let failover = observed.failover.as_secs_f64() * 1e3;
    let (expiry, told) = (observed.expiry.as_secs_f64(), observed.told.as_secs_f64() * 1e3);
    if out.is_json() {
        return out.json_line(&json!({
            "session": observed.session_id.to_string(),
            "failover_ms": failover,
            "expiry_seconds": expiry,
            "told_ms": told,
        }));
    }
    out.remark(&format!(
        "every step observed: fail-over in {failover:.0} ms, ephemeral gone {expiry:.1} s after the \
         cut, expiry learnt {told:.0} ms after the connection was back"
    ))
}
