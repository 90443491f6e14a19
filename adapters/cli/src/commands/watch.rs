//! `watch`: changes as they happen.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};
use zk_session::client::KeeperState;
use zk_session::wire::EventType;
use zk_session_tokio::WatchEvent;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{FIELD, GOOD, Out, PATH, Show, WARN, printable};
use crate::zk::{Zk, over};

/// Tell every change as it happens, until Ctrl-C
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// What to watch; it need not exist yet
    #[arg(value_parser = crate::args::path)]
    path: String,
    /// All descendants, too
    #[arg(short, long)]
    recursive: bool,
    /// End after so many changes
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Watch {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let mut watch = zk.client().watch(&self.path);
        if self.recursive {
            watch = watch.recursive();
        }
        let watch = watch.deadline(zk.deadline()).await;
        let mut watch = watch.map_err(|error| zk.explain(error))?;
        out.show_now(&Told::Watching(&self.path, self.recursive))?;
        let mut left = self.count;
        while left != Some(0) {
            let event = watch.next().await.ok_or_else(|| over(zk.client().state()))?;
            out.show_now(&Told::Event(&event))?;
            match event {
                WatchEvent::Changed { .. } => left = left.map(|left| left.saturating_sub(1)),
                WatchEvent::State(state) if state.is_final() => return Err(over(state)),
                WatchEvent::Lost => return Err(lost()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn lost() -> Failure {
    Failure::other("the server refused to register the watch again", Exit::Failed)
}

/// Shows something about a znode, and shows it again after each of its changes.
pub(crate) async fn follow(
    zk: &Zk,
    out: &mut Out,
    path: &str,
    show: impl AsyncFn(&Zk, &mut Out) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let watch = zk.client().watch(path).deadline(zk.deadline()).await;
    let mut watch = watch.map_err(|error| zk.explain(error))?;
    show(zk, out).await?;
    out.flush()?;
    loop {
        let event = watch.next().await.ok_or_else(|| over(zk.client().state()))?;
        out.show_now(&Told::Event(&event))?;
        match event {
            WatchEvent::Changed { kind: EventType::NodeDeleted, .. } => {}
            WatchEvent::Changed { .. } | WatchEvent::Missed(_) => {
                match show(zk, out).await {
                    // It has gone since; the watch tells when it comes back.
                    Err(failure) if failure.exit() == Exit::NoNode => {}
                    shown => shown?,
                }
                out.flush()?;
            }
            WatchEvent::State(state) if state.is_final() => return Err(over(state)),
            WatchEvent::Lost => return Err(lost()),
            _ => {}
        }
    }
}

/// What is told while something is watched.
enum Told<'a> {
    Watching(&'a str, bool),
    Event(&'a WatchEvent),
}

impl Show for Told<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Watching(path, recursive) => {
                let below = if *recursive { " and all below it" } else { "" };
                writeln!(to, "{FIELD}watching {}{below}{FIELD:#}", printable(path))
            }
            Self::Event(WatchEvent::Changed { kind, path }) => {
                let style = if *kind == EventType::NodeDeleted { WARN } else { GOOD };
                let kind = format!("{kind:?}");
                writeln!(to, "{style}{kind:<19}{style:#} {PATH}{}{PATH:#}", printable(path))
            }
            Self::Event(WatchEvent::State(state)) => {
                let style = if state.is_connected() { GOOD } else { WARN };
                writeln!(to, "{style}{state:?}{style:#}")
            }
            Self::Event(WatchEvent::Missed(count)) => {
                writeln!(to, "{WARN}{count} events were not kept: look again{WARN:#}")
            }
            Self::Event(_) => writeln!(to, "{WARN}the watch is lost{WARN:#}"),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Watching(path, recursive) => {
                json!({ "event": "Watching", "path": path, "recursive": recursive })
            }
            Self::Event(WatchEvent::Changed { kind, path }) => {
                json!({ "event": format!("{kind:?}"), "path": &**path })
            }
            Self::Event(WatchEvent::State(state)) => {
                let connected = KeeperState::is_connected(*state);
                json!({ "event": "State", "state": format!("{state:?}"), "connected": connected })
            }
            Self::Event(WatchEvent::Missed(count)) => json!({ "event": "Missed", "count": count }),
            Self::Event(_) => json!({ "event": "Lost" }),
        }
    }
}
