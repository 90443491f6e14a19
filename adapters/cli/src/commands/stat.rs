//! `stat`: a znode's metadata.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};
use zk_session::wire;

use super::follow;
use crate::failure::Failure;
use crate::output::{EPHEMERAL, Out, PATH, Show, owner, printable, stat_fields, stat_lines};
use crate::zk::Zk;

/// Show metadata
#[derive(Args, Debug)]
pub(crate) struct Stat {
    /// Whose metadata
    #[arg(value_name = "PATH", required = true, value_parser = crate::args::path)]
    paths: Vec<String>,
    /// Show it again whenever the znode changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

impl Stat {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        for path in &self.paths {
            if self.watch {
                follow(zk, out, path, async |zk, out| stat(zk, out, path).await).await?;
            } else {
                stat(zk, out, path).await?;
            }
        }
        Ok(())
    }
}

async fn stat(zk: &Zk, out: &mut Out, path: &str) -> Result<(), Failure> {
    match zk.stat(path).await? {
        Some(stat) => out.show(&Known { path, stat }),
        None => Err(Failure::NoNode(path.to_owned())),
    }
}

/// A znode and its metadata.
pub(crate) struct Known<'a> {
    pub(crate) path: &'a str,
    pub(crate) stat: wire::Stat,
}

impl Show for Known<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let style = if owner(&self.stat).is_some() { EPHEMERAL } else { PATH };
        writeln!(to, "{style}{}{style:#}", printable(self.path))?;
        stat_lines(&self.stat, to)
    }

    fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("path".to_owned(), json!(self.path));
        stat_fields(&self.stat, &mut fields);
        Value::Object(fields)
    }
}
