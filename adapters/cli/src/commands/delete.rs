//! `delete`: one znode, or a subtree.

use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Out, printable};
use crate::zk::Zk;

/// How often a subtree in which others go on creating is gone through.
const ROUNDS: u32 = 10;

/// Delete znodes
#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// What to delete
    #[arg(value_name = "PATH", required = true, value_parser = crate::args::path)]
    paths: Vec<String>,
    /// All descendants, too
    #[arg(short, long)]
    recursive: bool,
    /// What does not exist is no failure
    #[arg(short, long)]
    force: bool,
    /// Only if this is the data's version
    #[arg(long, conflicts_with = "recursive", allow_negative_numbers = true)]
    version: Option<i32>,
}

impl Delete {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        if let Some(path) = self.paths.iter().find(|path| is_kept(path)) {
            return Err(Failure::usage(
                format!("{path} belongs to the ensemble and is not deleted"),
                "name the znodes below it",
            ));
        }
        for path in &self.paths {
            let deleted = match self.recursive {
                true => subtree(zk, path).await,
                false => zk.delete(path, self.version).await.map(|()| 1),
            };
            let deleted = match deleted {
                Err(failure) if self.force && failure.exit() == Exit::NoNode => 0,
                deleted => deleted?,
            };
            if out.is_json() {
                out.json_line(&json!({ "path": path, "deleted": deleted }))?;
            } else if self.recursive {
                let s = if deleted == 1 { "" } else { "s" };
                out.remark(&format!("{}: {deleted} znode{s} deleted", printable(path)))?;
            }
        }
        Ok(())
    }
}

/// The root, and what ZooKeeper keeps for itself.
fn is_kept(path: &str) -> bool {
    matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config")
}

/// Deletes a subtree, children first. Others may create in it meanwhile: then it is gone through
/// again.
pub(crate) async fn subtree(zk: &Zk, path: &str) -> Result<u64, Failure> {
    let mut deleted = 0_u64;
    let mut round = 1;
    loop {
        let mut paths = Vec::new();
        let walked = zk.walk(path, usize::MAX, |found| {
            paths.push(found.path.clone());
            Ok(())
        });
        match walked.await {
            // Somebody else has finished it.
            Err(failure) if failure.exit() == Exit::NoNode && round > 1 => return Ok(deleted),
            walked => walked?,
        }
        paths.reverse(); // parents came first
        match zk.delete_all(&paths).await {
            Ok(count) => return Ok(deleted.saturating_add(count)),
            Err(failure) if failure.exit() == Exit::NotEmpty && round < ROUNDS => {
                let left = zk.stat(path).await?;
                deleted = deleted.saturating_add(u64::from(left.is_none()));
                round = round.saturating_add(1);
            }
            Err(failure) => return Err(failure),
        }
    }
}
