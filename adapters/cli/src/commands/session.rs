//! `session`: a session that is held, and told of.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use zk_session_tokio::{Pings, Transition, Transitions};

use crate::args::Settings;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{FIELD, GOOD, Out, Show, WARN, printable};
use crate::zk::{Zk, over};

/// How often a terminal is told of pings.
const LOOK: Duration = Duration::from_millis(250);

/// Hold a session and tell its every change with the reason
///
/// Shows the session's id, the timeout that was negotiated, the server, and the pings that keep it
/// alive: on a terminal all the time, else at the end and with --every. It ends with Ctrl-C, after --hold, or when the session is over. With --ticket FILE the session is
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
    /// Tell so often of the pings: how many, how fast the last was answered, when the server was
    /// last heard
    #[arg(long, value_name = "TIME", value_parser = crate::args::duration)]
    every: Option<Duration>,
}

impl Session {
    pub(crate) async fn run(&self, settings: &Settings, out: &mut Out) -> Result<(), Failure> {
        let started = Instant::now();
        let (zk, transitions) = Zk::connect_told(settings).await?;
        let mut teller = Teller { started, transitions, status: status(out), out };
        let hold = async {
            match self.hold {
                Some(time) => tokio::time::sleep(time).await,
                None => interrupt::signal().await,
            }
        };
        let told = tokio::select! {
            told = self.tell(&zk, &mut teller) => told,
            () = hold => Ok(()),
            () = interrupt::signal(), if self.hold.is_some() => Err(Failure::Interrupted),
        };
        teller.status.finish_and_clear();
        // What has happened at the same moment.
        while let Ok(Some(transition)) =
            tokio::time::timeout(Duration::ZERO, teller.transitions.next()).await
        {
            teller.transition(&transition)?;
        }
        teller.pings(&zk)?;
        if zk.client().state().is_final() {
            zk.close().await;
            return told;
        }
        if self.detach {
            if teller.out.is_terminal() && zk.ticket().is_none() {
                teller.out.remark("without --ticket FILE nobody can resume it")?;
            }
            zk.leave()?;
        } else {
            zk.close().await;
        }
        if let Some(transition) = teller.transitions.next().await {
            teller.transition(&transition)?;
        }
        told
    }

    async fn tell(&self, zk: &Zk, teller: &mut Teller<'_>) -> Result<(), Failure> {
        let mut probes = tokio::time::interval(self.probe.unwrap_or(Duration::from_secs(3600)));
        let every = self.every.unwrap_or(Duration::from_secs(3600));
        let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                transition = teller.transitions.next() => {
                    let transition = transition.ok_or_else(|| over(zk.client().state()))?;
                    teller.transition(&transition)?;
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
                    let (started, took) = (teller.started, asked.elapsed());
                    teller.show(&Probe { started, took, host, answer: answer.err() })?;
                }
                _ = pings.tick(), if self.every.is_some() => teller.pings(zk)?,
                _ = look.tick(), if !teller.status.is_hidden() => {
                    teller.status.set_message(KeptAlive::of(zk, teller.started).to_string());
                }
            }
        }
    }
}

/// The last line of a terminal, which follows the pings; hidden where nobody sees it.
fn status(out: &Out) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if out.is_json() || !out.is_terminal() || !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("            {wide_msg:.dim}") {
        bar.set_style(style);
    }
    bar
}

/// Tells what happens to the session.
struct Teller<'a> {
    started: Instant,
    transitions: Transitions,
    status: ProgressBar,
    out: &'a mut Out,
}

impl Teller<'_> {
    fn show(&mut self, what: &dyn Show) -> Result<(), Failure> {
        let out = &mut *self.out;
        self.status.suspend(|| out.show_now(what))
    }

    fn transition(&mut self, transition: &Transition) -> Result<(), Failure> {
        self.show(&Told { started: self.started, transition })
    }

    fn pings(&mut self, zk: &Zk) -> Result<(), Failure> {
        self.show(&KeptAlive::of(zk, self.started))
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
        if let Some(detail) = &change.detail {
            writeln!(to, "            {WARN}{}{WARN:#}", printable(detail))?;
        }
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
            "detail": change.detail.as_deref(),
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
        let (took, host) = (milliseconds(self.took), printable(&self.host));
        match &self.answer {
            None => writeln!(to, "{FIELD}{at:8.3} s{FIELD:#}  answered in {took:.3} ms by {host}"),
            Some(error) => writeln!(to, "{FIELD}{at:8.3} s{FIELD:#}  {WARN}{error}{WARN:#}"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "event": "Probe",
            "seconds": self.started.elapsed().as_secs_f64(),
            "ms": milliseconds(self.took),
            "host": self.host,
            "error": self.answer.as_ref().map(ToString::to_string),
        })
    }
}

/// What keeps the session alive.
struct KeptAlive {
    at: Duration,
    pings: Pings,
    heard: Duration,
}

impl KeptAlive {
    fn of(zk: &Zk, started: Instant) -> Self {
        let (pings, heard) = (zk.client().pings(), zk.client().last_heard().elapsed());
        Self { at: started.elapsed(), pings, heard }
    }
}

impl fmt::Display for KeptAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&pings(&self.pings))?;
        write!(f, "; heard {:.1} s ago", self.heard.as_secs_f64())
    }
}

/// How many, and how fast.
pub(crate) fn pings(pings: &Pings) -> String {
    let Pings { sent, answered, last_round_trip: last, .. } = pings;
    let many = if *sent == 1 { "ping" } else { "pings" };
    match last {
        _ if *sent == 0 => "no ping was due yet".to_owned(),
        None => format!("{sent} {many} sent, none answered"),
        Some(last) => {
            let last = milliseconds(*last);
            format!("{sent} {many} sent, {answered} answered, the last in {last:.3} ms")
        }
    }
}

/// Milliseconds with their fractions.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Show for KeptAlive {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "{FIELD}{:8.3} s  {self}{FIELD:#}", self.at.as_secs_f64())
    }

    fn json(&self) -> Value {
        json!({
            "event": "Pings",
            "seconds": self.at.as_secs_f64(),
            "sent": self.pings.sent,
            "answered": self.pings.answered,
            "last_ms": self.pings.last_round_trip.map(milliseconds),
            "heard_ms_ago": milliseconds(self.heard),
        })
    }
}
