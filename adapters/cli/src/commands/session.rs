//! `session`: a session that is held, and told of.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use zk_session_tokio::{Transition, Transitions};

use crate::args::Settings;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{FIELD, GOOD, Out, Show, WARN, printable};
use crate::zk::{Zk, over};

/// Hold a session and tell its every change with the reason
///
/// It ends with Ctrl-C, after --hold, or when the session is over. With --ticket FILE the session is
/// resumed from there; its ticket is kept there while it lasts, and stays when it is left.
#[derive(Args, Debug)]
pub(crate) struct Session {
    /// Hold it so long instead of until Ctrl-C; 0s only shows it
    #[arg(long, value_name = "TIME", value_parser = crate::args::duration_or_zero)]
    hold: Option<Duration>,
    /// At the end leave it to its timeout, or to whoever resumes it, instead of closing it
    #[arg(long)]
    detach: bool,
    /// Read from the server so often and tell how long it took
    #[arg(long, value_name = "TIME", value_parser = crate::args::duration)]
    probe: Option<Duration>,
}

impl Session {
    pub(crate) async fn run(&self, settings: &Settings, out: &mut Out) -> Result<(), Failure> {
        let started = Instant::now();
        let (zk, mut transitions) = Zk::connect_told(settings).await?;
        let hold = async {
            match self.hold {
                Some(time) => tokio::time::sleep(time).await,
                None => interrupt::signal().await,
            }
        };
        let told = tokio::select! {
            told = self.tell(&zk, &mut transitions, started, out) => told,
            () = hold => Ok(()),
            () = interrupt::signal(), if self.hold.is_some() => Err(Failure::Interrupted),
        };
        // What has happened at the same moment.
        while let Ok(Some(transition)) =
            tokio::time::timeout(Duration::ZERO, transitions.next()).await
        {
            out.show_now(&Told { started, transition: &transition })?;
        }
        if zk.client().state().is_final() {
            zk.close().await;
            return told;
        }
        if self.detach {
            if out.is_terminal() && zk.ticket().is_none() {
                out.remark("without --ticket FILE nobody can resume it")?;
            }
            zk.leave()?;
        } else {
            zk.close().await;
        }
        if let Some(transition) = transitions.next().await {
            out.show_now(&Told { started, transition: &transition })?;
        }
        told
    }

    async fn tell(
        &self,
        zk: &Zk,
        transitions: &mut Transitions,
        started: Instant,
        out: &mut Out,
    ) -> Result<(), Failure> {
        let mut probes = tokio::time::interval(self.probe.unwrap_or(Duration::from_secs(3600)));
        loop {
            tokio::select! {
                transition = transitions.next() => {
                    let transition = transition.ok_or_else(|| over(zk.client().state()))?;
                    out.show_now(&Told { started, transition: &transition })?;
                    if transition.state.is_final() {
                        return Err(over(transition.state));
                    }
                    if transition.state.is_connected() {
                        zk.keep_ticket()?;
                    }
                }
                _ = probes.tick(), if self.probe.is_some() => {
                    let asked = Instant::now();
                    let answer = zk.client().exists("/").deadline(zk.deadline()).await;
                    let (_, host) = zk.client().current_host();
                    out.show_now(&Probe { started, took: asked.elapsed(), host, answer: answer.err() })?;
                }
            }
        }
    }
}

/// A transition.
struct Told<'a> {
    started: Instant,
    transition: &'a Transition,
}

impl Show for Told<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let change = self.transition;
        let at = change.at.into_std().saturating_duration_since(self.started).as_secs_f64();
        let style = if change.state.is_connected() { GOOD } else { WARN };
        let state = format!("{:?}", change.state);
        write!(to, "{FIELD}{at:8.3} s{FIELD:#}  {style}{state:<17}{style:#} {}", change.cause)?;
        let (id, host) = (change.session_id, printable(&change.host));
        let timeout = change.timeout.as_millis();
        writeln!(to, "{FIELD}; session {id}, timeout {timeout} ms, host {host}{FIELD:#}")?;
        let Some(why) = change.why().filter(|_| !change.state.is_connected()) else {
            return Ok(());
        };
        let (heard, sent) = (why.at.since(why.last_heard), why.at.since(why.last_sent));
        let attempts = why.attempts;
        writeln!(
            to,
            "{FIELD}            heard {heard} and sent {sent} before, {attempts} attempts since a server last accepted it{FIELD:#}"
        )
    }

    fn json(&self) -> Value {
        let change = self.transition;
        let at = change.at.into_std().saturating_duration_since(self.started).as_secs_f64();
        let mut value = json!({
            "event": "State",
            "seconds": at,
            "state": format!("{:?}", change.state),
            "connected": change.state.is_connected(),
            "cause": change.cause.to_string(),
            "session": change.session_id.to_string(),
            "timeout_ms": u64::try_from(change.timeout.as_millis()).unwrap_or(u64::MAX),
            "host": change.host,
        });
        if let (Some(why), Some(fields)) = (change.why(), value.as_object_mut()) {
            let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
            put("heard_ms_before", json!(why.at.since(why.last_heard).as_millis()));
            put("sent_ms_before", json!(why.at.since(why.last_sent).as_millis()));
            put("attempts", json!(why.attempts));
        }
        value
    }
}

/// A read that was timed.
struct Probe {
    started: Instant,
    took: Duration,
    host: String,
    answer: Option<zk_session_tokio::Error>,
}

impl Show for Probe {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let at = self.started.elapsed().as_secs_f64();
        let (took, host) = (self.took.as_secs_f64() * 1e3, printable(&self.host));
        match &self.answer {
            None => writeln!(to, "{FIELD}{at:8.3} s{FIELD:#}  answered in {took:.3} ms by {host}"),
            Some(error) => writeln!(to, "{FIELD}{at:8.3} s{FIELD:#}  {WARN}{error}{WARN:#}"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "event": "Probe",
            "seconds": self.started.elapsed().as_secs_f64(),
            "ms": self.took.as_secs_f64() * 1e3,
            "host": self.host,
            "error": self.answer.as_ref().map(ToString::to_string),
        })
    }
}
