//! `ls`: children, plain, with their metadata, or of a whole subtree.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};
use zk_session::wire::Stat;

use super::follow;
use crate::failure::Failure;
use crate::output::{EPHEMERAL, Out, PATH, Show, owner, printable, stat_fields};
use crate::zk::{Zk, child};

/// List children
#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// Whose children
    #[arg(value_name = "PATH", default_value = "/", value_parser = crate::args::path)]
    paths: Vec<String>,
    /// Version, bytes, children and owner of each child, too
    #[arg(short, long)]
    long: bool,
    /// All descendants, as paths
    #[arg(short = 'R', long)]
    recursive: bool,
    /// List them again whenever children come or go, until Ctrl-C
    #[arg(short, long, conflicts_with_all = ["recursive", "long"])]
    watch: bool,
}

impl Ls {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        for path in &self.paths {
            if self.watch {
                follow(zk, out, path, async |zk, out| self.list(zk, out, path).await).await?;
            } else if self.recursive {
                zk.walk(path, usize::MAX, |found| {
                    let stat = self.long.then_some(found.stat);
                    out.show(&Entry { parent: "", name: &found.path, stat })
                })
                .await?;
            } else {
                self.list(zk, out, path).await?;
            }
        }
        Ok(())
    }

    async fn list(&self, zk: &Zk, out: &mut Out, path: &str) -> Result<(), Failure> {
        if self.paths.len() > 1 {
            out.remark(&format!("{}:", printable(path)))?;
        }
        let mut names = zk.children(path).await?;
        names.sort_unstable();
        if !self.long {
            for name in &names {
                out.show(&Entry { parent: path, name, stat: None })?;
            }
            return Ok(());
        }
        let paths: Vec<String> = names.iter().map(|name| child(path, name)).collect();
        for (name, stat) in names.iter().zip(zk.stats(&paths).await?) {
            // It has gone meanwhile if there is none.
            if let Some(stat) = stat {
                out.show(&Entry { parent: path, name, stat: Some(stat) })?;
            }
        }
        Ok(())
    }
}

struct Entry<'a> {
    parent: &'a str,
    name: &'a str,
    stat: Option<Stat>,
}

impl Show for Entry<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let style = match self.stat.as_ref().and_then(owner) {
            Some(_) => EPHEMERAL,
            None => PATH,
        };
        let name = printable(self.name);
        let Some(stat) = &self.stat else { return writeln!(to, "{style}{name}{style:#}") };
        let owner = owner(stat).map_or_else(String::new, |owner| format!("  {owner}"));
        let (version, bytes, children) = (stat.version, stat.data_length, stat.num_children);
        writeln!(
            to,
            "v{version:<5} {bytes:>8} B {children:>6} children  {style}{name}{style:#}{owner}"
        )
    }

    fn json(&self) -> Value {
        let mut fields = Map::new();
        let path = match self.parent {
            "" => self.name.to_owned(),
            parent => child(parent, self.name),
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        fields.insert("name".to_owned(), json!(name));
        fields.insert("path".to_owned(), json!(path));
        if let Some(stat) = &self.stat {
            stat_fields(stat, &mut fields);
        }
        Value::Object(fields)
    }
}
