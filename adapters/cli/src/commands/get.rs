//! `get`: a znode's data.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};
use zk_session::wire;

use super::follow;
use crate::failure::Failure;
use crate::output::{Data, Out, Show, printable, stat_fields, stat_lines};
use crate::zk::Zk;

/// Read data
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// Whose data
    #[arg(value_name = "PATH", required = true, value_parser = crate::args::path)]
    paths: Vec<String>,
    /// The bytes as they are: no escapes, no line end
    #[arg(long)]
    raw: bool,
    /// The metadata, too (JSON has it always)
    #[arg(long)]
    stat: bool,
    /// Read it again whenever it changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

impl Get {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        if self.raw && out.is_json() {
            return Err(Failure::usage(
                "--raw and --json exclude each other",
                "JSON has bytes that are no text in base64",
            ));
        }
        for path in &self.paths {
            if self.watch {
                follow(zk, out, path, async |zk, out| self.get(zk, out, path).await).await?;
            } else {
                self.get(zk, out, path).await?;
            }
        }
        Ok(())
    }

    async fn get(&self, zk: &Zk, out: &mut Out, path: &str) -> Result<(), Failure> {
        let (data, stat) = zk.get(path).await?;
        if self.raw {
            return out.raw(&data);
        }
        if self.paths.len() > 1 {
            out.remark(&format!("{}:", printable(path)))?;
        }
        out.show(&Content { path, data: Data(&data), stat, with_stat: self.stat })?;
        if !Data(&data).is_text() && out.is_terminal() {
            out.remark("(not UTF-8, hence escaped; --raw gives the bytes)")?;
        }
        Ok(())
    }
}

struct Content<'a> {
    path: &'a str,
    data: Data<'a>,
    stat: wire::Stat,
    with_stat: bool,
}

impl Show for Content<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "{}", self.data.text())?;
        if self.with_stat { stat_lines(&self.stat, to) } else { Ok(()) }
    }

    fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("path".to_owned(), json!(self.path));
        self.data.add_to(&mut fields);
        stat_fields(&self.stat, &mut fields);
        Value::Object(fields)
    }
}
