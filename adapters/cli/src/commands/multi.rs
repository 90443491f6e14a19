//! `multi`: several operations in one request.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use serde_json::{Map, Value, json};
use zk_session::wire::{Create as WireCreate, CreateMode, CreateTtl, MultiOp};
use zk_session_tokio::{Error, ErrorKind, ItemAnswer};

use super::Source;
use crate::failure::{Failure, code_name};
use crate::input;
use crate::output::{Data, FIELD, GOOD, Out, Show, WARN, printable, stat_fields};
use crate::zk::Zk;

/// Several writes, all or nothing; or several reads at once
///
/// Each line is an operation: create [-e] [-s] [--container] [--ttl TIME] PATH [DATA], set PATH DATA
/// [--version N], delete PATH [--version N], check PATH VERSION; or, all of them, get PATH and ls
/// PATH. Quotes are as in a shell, # begins a comment.
#[derive(Args, Debug)]
pub(crate) struct Multi {
    /// The lines; without any they are read from standard input
    #[arg(value_name = "LINE", conflicts_with = "file")]
    lines: Vec<String>,
    /// Take the lines from FILE; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// One line.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
enum Item {
    Create {
        #[arg(value_parser = crate::args::new_path)]
        path: String,
        #[command(flatten)]
        source: Source,
        #[arg(short, long)]
        ephemeral: bool,
        #[arg(short, long)]
        sequential: bool,
        #[arg(long, conflicts_with_all = ["ephemeral", "sequential", "ttl"])]
        container: bool,
        #[arg(long, conflicts_with = "ephemeral", value_parser = crate::args::duration)]
        ttl: Option<Duration>,
    },
    Set {
        #[arg(value_parser = crate::args::path)]
        path: String,
        #[command(flatten)]
        source: Source,
        #[arg(long, default_value = "-1", allow_negative_numbers = true)]
        version: i32,
    },
    #[command(visible_alias = "rm")]
    Delete {
        #[arg(value_parser = crate::args::path)]
        path: String,
        #[arg(long, default_value = "-1", allow_negative_numbers = true)]
        version: i32,
    },
    Check {
        #[arg(value_parser = crate::args::path)]
        path: String,
        #[arg(allow_negative_numbers = true)]
        version: i32,
    },
    Get {
        #[arg(value_parser = crate::args::path)]
        path: String,
    },
    Ls {
        #[arg(value_parser = crate::args::path)]
        path: String,
    },
}

impl Item {
    fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Set { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. }
            | Self::Get { path }
            | Self::Ls { path } => path,
        }
    }

    const fn is_read(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Ls { .. })
    }

    async fn data(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Create { source, .. } | Self::Set { source, .. } => source.read().await,
            _ => Ok(Vec::new()),
        }
    }

    fn op<'a>(&'a self, data: &'a [u8]) -> MultiOp<'a> {
        match self {
            Self::Create { path, ephemeral, sequential, container, ttl, .. } => {
                let mode = match (ephemeral, sequential, ttl.is_some()) {
                    _ if *container => CreateMode::Container,
                    (true, true, _) => CreateMode::EphemeralSequential,
                    (true, false, _) => CreateMode::Ephemeral,
                    (false, true, true) => CreateMode::PersistentSequentialTtl,
                    (false, false, true) => CreateMode::PersistentTtl,
                    (false, true, false) => CreateMode::PersistentSequential,
                    (false, false, false) => CreateMode::Persistent,
                };
                let create = WireCreate::open(path, data, mode);
                match ttl {
                    _ if *container => MultiOp::CreateContainer(create),
                    Some(ttl) => {
                        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
                        MultiOp::CreateTtl(CreateTtl { create, ttl })
                    }
                    None => MultiOp::Create2(create),
                }
            }
            Self::Set { path, version, .. } => MultiOp::set_data(path, data, *version),
            Self::Delete { path, version } => MultiOp::delete(path, *version),
            Self::Check { path, version } => MultiOp::check(path, *version),
            Self::Get { path } => MultiOp::get_data(path),
            Self::Ls { path } => MultiOp::get_children(path),
        }
    }
}

impl Multi {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let items = self.items().await?;
        let Some(first) = items.first() else {
            return Err(Failure::usage("there is no operation", "write one in each line"));
        };
        if let Some(other) = items.iter().find(|item| item.is_read() != first.is_read()) {
            return Err(Failure::usage(
                format!("reads and writes cannot be mixed: {} and {}", first.path(), other.path()),
                "a multi has either get and ls, or create, set, delete and check",
            ));
        }
        let mut data = Vec::with_capacity(items.len());
        for item in &items {
            data.push(item.data().await?);
        }
        let ops: Vec<MultiOp<'_>> =
            items.iter().zip(&data).map(|(item, data)| item.op(data)).collect();
        let (mut write, mut read) = (zk.client().transaction(), zk.client().multi_read());
        let results = if first.is_read() {
            for item in &items {
                read = match item {
                    Item::Ls { path } => read.children(path),
                    item => read.get(item.path()),
                };
            }
            read.deadline(zk.deadline()).await
        } else {
            for op in ops {
                write = write.item(op);
            }
            write.deadline(zk.deadline()).await
        };
        let results = results.map_err(|error| name(error, &items, zk))?;
        for (item, result) in items.iter().zip(&results) {
            out.show(&Done { item, result })?;
        }
        Ok(())
    }

    async fn items(&self) -> Result<Vec<Item>, Failure> {
        let text = match &self.file {
            Some(file) if file.as_os_str() != "-" => std::fs::read(file)
                .map_err(|error| Failure::io(format!("cannot read {}", file.display()), error))?,
            None if !self.lines.is_empty() => self.lines.join("\n").into_bytes(),
            _ => input::all().await?,
        };
        let text = String::from_utf8(text).map_err(|error| {
            Failure::usage(format!("the lines are not UTF-8: {error}"), "--file FILE brings bytes")
        })?;
        // Described once, as there may be thousands of lines.
        let mut command = Item::command();
        let mut items = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let at = at.saturating_add(1);
            let words = shlex::split(line).ok_or_else(|| {
                Failure::usage(format!("line {at}: a quote is not closed"), "quote as in a shell")
            })?;
            if words.is_empty() {
                continue;
            }
            let matches = command.try_get_matches_from_mut(words);
            let item = matches.and_then(|matches| Item::from_arg_matches(&matches));
            items.push(item.map_err(|error| {
                let what = format!("line {at}: {}", Failure::unclear(&error));
                Failure::usage(what, "multi --help tells the operations")
            })?);
        }
        Ok(items)
    }
}

/// An error with the path of the item that it is about.
fn name(error: Error, items: &[Item], zk: &Zk) -> Failure {
    match error.kind {
        ErrorKind::Item { at, .. } => {
            let path = items.get(at).map(Item::path).unwrap_or_default();
            Failure::from(Error { path: path.to_owned(), ..error })
        }
        _ => zk.explain(error),
    }
}

struct Done<'a> {
    item: &'a Item,
    result: &'a ItemAnswer,
}

impl Show for Done<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let path = printable(self.item.path());
        match self.result {
            ItemAnswer::Created(path, _) => {
                writeln!(to, "{GOOD}created{GOOD:#} {}", printable(path))
            }
            ItemAnswer::Deleted => writeln!(to, "{GOOD}deleted{GOOD:#} {path}"),
            ItemAnswer::Stat(stat) => {
                let version = stat.version;
                writeln!(to, "{GOOD}set{GOOD:#}     {path}  {FIELD}version {version}{FIELD:#}")
            }
            ItemAnswer::Checked => writeln!(to, "{GOOD}checked{GOOD:#} {path}"),
            ItemAnswer::Data(data, _) => {
                let data = data.as_deref().unwrap_or_default();
                writeln!(to, "{path}: {}", Data(data).text())
            }
            ItemAnswer::Children(names) => {
                writeln!(to, "{path}: {}", printable(&names.join(" ")))
            }
            ItemAnswer::Failed(code) => writeln!(to, "{WARN}failed{WARN:#}  {path}: {code}"),
            _ => writeln!(to, "{WARN}undone{WARN:#}  {path}"),
        }
    }

    fn json(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("path", json!(self.item.path()));
        match self.result {
            ItemAnswer::Created(path, stat) => {
                put("result", json!("created"));
                put("path", json!(path));
                if let Some(stat) = stat {
                    stat_fields(stat, &mut fields);
                }
            }
            ItemAnswer::Deleted => drop(put("result", json!("deleted"))),
            ItemAnswer::Stat(stat) => {
                put("result", json!("set"));
                stat_fields(stat, &mut fields);
            }
            ItemAnswer::Checked => drop(put("result", json!("checked"))),
            ItemAnswer::Data(data, stat) => {
                put("result", json!("data"));
                Data(data.as_deref().unwrap_or_default()).add_to(&mut fields);
                stat_fields(stat, &mut fields);
            }
            ItemAnswer::Children(names) => {
                put("result", json!("children"));
                put("names", json!(names));
            }
            ItemAnswer::Failed(code) => {
                put("result", json!("failed"));
                put("code", json!(code_name(*code)));
            }
            _ => drop(put("result", json!("undone"))),
        }
        Value::Object(fields)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_description_is_sound() {
        super::Item::command().debug_assert();
    }
}
