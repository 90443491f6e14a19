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
    words: clap::Command,
}

impl PathHelper {
    pub(super) fn new(zk: Shared, runtime: Handle) -> Self {
        let mut words = Words::command();
        words.build();
        let names = words.get_subcommands().map(|sub| sub.get_name().to_owned());
        let mut commands: Vec<String> = names.chain(["help".to_owned()]).collect();
        commands.sort_unstable();
        commands.dedup();
        Self { zk, runtime, commands, words }
    }

    /// What a command takes beside paths, as far as its description knows: options once one is begun,
    /// and the commands below it.
    fn words(&self, before: &str, begun: &str) -> Vec<String> {
        let mut command = &self.words;
        for word in before.split_whitespace() {
            match command.find_subcommand(word) {
                Some(below) => command = below,
                None => break,
            }
        }
        let options = command.get_arguments().filter_map(|argument| argument.get_long());
        let options = options.map(|long| format!("--{long}")).filter(|_| begun.starts_with('-'));
        let below = command.get_subcommands().map(|sub| sub.get_name().to_owned());
        let mut found: Vec<String> =
            options.chain(below).filter(|word| word.starts_with(begun)).collect();
        found.sort_unstable();
        found
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
            _ if begun.starts_with('/') => self.paths(begun),
            before => self.words(before, begun),
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
