//! Completion: commands first, paths after.

use std::time::Duration;

use clap::CommandFactory;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::runtime::Handle;

use super::Shared;
use super::line::Words;
use crate::zk::child;

/// How long whoever types waits for the names of children.
const PATIENCE: Duration = Duration::from_secs(1);

/// Completes commands and paths.
pub(super) struct PathHelper {
    zk: Shared,
    runtime: Handle,
    commands: Vec<String>,
}

impl PathHelper {
    pub(super) fn new(zk: Shared, runtime: Handle) -> Self {
        let words = Words::command();
        let names = words.get_subcommands().map(|sub| sub.get_name().to_owned());
        let mut commands: Vec<String> = names.chain(["help".to_owned()]).collect();
        commands.sort_unstable();
        commands.dedup();
        Self { zk, runtime, commands }
    }

    /// The paths that begin like this one.
    fn paths(&self, begun: &str) -> Vec<String> {
        let Some((parent, name)) = begun.rsplit_once('/') else { return Vec::new() };
        let parent = if parent.is_empty() { "/" } else { parent };
        let Some(zk) = self.zk.borrow().clone() else { return Vec::new() };
        let asked = async { tokio::time::timeout(PATIENCE, zk.children(parent)).await };
        let Ok(Ok(mut names)) = self.runtime.block_on(asked) else { return Vec::new() };
        names.retain(|other| other.starts_with(name));
        names.sort_unstable();
        names.iter().map(|name| child(parent, name)).collect()
    }
}

impl Completer for PathHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..at).unwrap_or(line);
        let start = before.rfind(char::is_whitespace).map_or(0, |space| space.saturating_add(1));
        let begun = before.get(start..).unwrap_or_default();
        let found = match before.get(..start).unwrap_or_default().trim() {
            "" | "help" => {
                self.commands.iter().filter(|name| name.starts_with(begun)).cloned().collect()
            }
            _ => self.paths(begun),
        };
        let pair = |text: String| Pair { display: text.clone(), replacement: text };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Hinter for PathHelper {
    type Hint = String;
}
impl Highlighter for PathHelper {}
impl Validator for PathHelper {}
impl Helper for PathHelper {}
