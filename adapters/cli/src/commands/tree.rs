//! `tree`: a subtree as a drawing.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};
use zk_session::wire::Stat;

use crate::failure::Failure;
use crate::output::{EPHEMERAL, FIELD, Out, PATH, Show, owner, printable, stat_fields};
use crate::zk::{Found, Zk};

/// Draw a subtree
#[derive(Args, Debug)]
pub(crate) struct Tree {
    /// Where it begins
    #[arg(default_value = "/", value_parser = crate::args::path)]
    path: String,
    /// How deep to go; 1 is the children
    #[arg(short, long, value_name = "LEVELS")]
    depth: Option<usize>,
    /// The bytes of each znode's data, too
    #[arg(long)]
    sizes: bool,
}

impl Tree {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let (mut znodes, mut bytes) = (0_u64, 0_u64);
        zk.walk(&self.path, self.depth.unwrap_or(usize::MAX), |found| {
            znodes = znodes.saturating_add(1);
            bytes = bytes.saturating_add(u64::try_from(found.stat.data_length).unwrap_or(0));
            out.show(&Line { found, sizes: self.sizes })
        })
        .await?;
        let s = if znodes == 1 { "" } else { "s" };
        match self.sizes {
            true => out.remark(&format!("{znodes} znode{s}, {bytes} bytes")),
            false => out.remark(&format!("{znodes} znode{s}")),
        }
    }
}

struct Line<'a> {
    found: &'a Found,
    sizes: bool,
}

impl Line<'_> {
    const fn stat(&self) -> &Stat {
        &self.found.stat
    }
}

impl Show for Line<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let name = match self.found.lasts.is_empty() {
            true => self.found.path.as_str(),
            false => self.found.path.rsplit('/').next().unwrap_or_default(),
        };
        if let Some((own, before)) = self.found.lasts.split_last() {
            for last in before {
                write!(to, "{}", if *last { "    " } else { "│   " })?;
            }
            write!(to, "{}", if *own { "└── " } else { "├── " })?;
        }
        let owner = owner(self.stat());
        let style = if owner.is_some() { EPHEMERAL } else { PATH };
        write!(to, "{style}{}{style:#}", printable(name))?;
        if self.sizes {
            write!(to, "  {FIELD}{} B{FIELD:#}", self.stat().data_length)?;
        }
        if let Some(owner) = owner {
            write!(to, "  {FIELD}ephemeral of {owner}{FIELD:#}")?;
        }
        if self.found.cut {
            write!(to, "  {FIELD}… {} children{FIELD:#}", self.stat().num_children)?;
        }
        writeln!(to)
    }

    fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("path".to_owned(), json!(self.found.path));
        fields.insert("depth".to_owned(), json!(self.found.lasts.len()));
        stat_fields(self.stat(), &mut fields);
        Value::Object(fields)
    }
}
