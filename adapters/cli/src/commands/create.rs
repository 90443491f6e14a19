//! `create`: new znodes.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use zk_session::wire::{Acl, Stat};
use zk_session_tokio::AclEntry;

use super::{Source, entries};
use crate::failure::Failure;
use crate::output::{EPHEMERAL, Out, PATH, Show, owner, printable, stat_fields};
use crate::zk::Zk;

/// Create a znode
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Its path; of a sequential one the beginning, which may end with a slash
    #[arg(value_parser = crate::args::new_path)]
    path: String,
    #[command(flatten)]
    source: Source,
    /// It goes with the session: with this command, unless --ticket keeps that, or in the shell
    #[arg(short, long, conflicts_with_all = ["container", "ttl"])]
    ephemeral: bool,
    /// The server appends ten digits, more than any before
    #[arg(short, long, conflicts_with = "container")]
    sequential: bool,
    /// It goes some time after its last child has gone
    #[arg(long, conflicts_with = "ttl")]
    container: bool,
    /// It goes when it has had neither a change nor children for so long
    #[arg(long, value_name = "TIME", value_parser = crate::args::duration)]
    ttl: Option<Duration>,
    /// Create missing parents, without data
    #[arg(short, long)]
    parents: bool,
    /// Who may do what, SCHEME:ID:PERMS; may be given several times [default: world:anyone:cdrwa]
    #[arg(long, value_name = "ENTRY")]
    acl: Vec<String>,
}

impl Create {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let entries = entries(&self.acl)?;
        let path = match zk_session::path::validate(&self.path) {
            Err(error) if !self.sequential => {
                return Err(Failure::usage(
                    format!("{}: {error}", self.path),
                    "only with --sequential can a path end with a slash",
                ));
            }
            _ => self.path.as_str(),
        };
        let data = self.source.read().await?;
        if self.parents {
            parents(zk, path).await?;
        }
        let acl: Vec<Acl<'_>> = entries.iter().map(AclEntry::as_acl).collect();
        let mut create = zk.client().create(path, &data).deadline(zk.deadline());
        if self.ephemeral {
            create = create.ephemeral();
        }
        if self.sequential {
            create = create.sequential();
        }
        if self.container {
            create = create.container();
        }
        if let Some(ttl) = self.ttl {
            create = create.ttl(ttl);
        }
        if !acl.is_empty() {
            create = create.acl(&acl);
        }
        let created = create.with_stat().await.map_err(|error| zk.explain(error))?;
        out.show(&Created { path: &created.path, stat: created.stat })
    }
}

/// Creates what is missing above a path.
async fn parents(zk: &Zk, path: &str) -> Result<(), Failure> {
    for (at, _) in path.match_indices('/').skip(1) {
        let parent = path.get(..at).unwrap_or_default();
        match zk.client().create(parent, b"").deadline(zk.deadline()).await {
            Err(error) if !error.is_node_exists() => return Err(zk.explain(error)),
            _ => {}
        }
    }
    Ok(())
}

struct Created<'a> {
    path: &'a str,
    stat: Stat,
}

impl Show for Created<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let style = if owner(&self.stat).is_some() { EPHEMERAL } else { PATH };
        writeln!(to, "{style}{}{style:#}", printable(self.path))
    }

    fn json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("path".to_owned(), json!(self.path));
        stat_fields(&self.stat, &mut fields);
        Value::Object(fields)
    }
}
