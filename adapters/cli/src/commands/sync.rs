//! `sync`: what others have written before is seen after.

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Out, zxid};
use crate::zk::Zk;

/// Have the server catch up with the leader
#[derive(Args, Debug)]
pub(crate) struct Sync {
    /// A path, which servers do not look at
    #[arg(default_value = "/", value_parser = crate::args::path)]
    path: String,
}

impl Sync {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let synced = zk.client().sync(&self.path).deadline(zk.deadline()).await;
        synced.map_err(|error| zk.explain(error))?;
        let at = zxid(zk.client().last_zxid());
        match out.is_json() {
            true => out.json_line(&json!({ "path": self.path, "zxid": at })),
            false => out.remark(&format!("in sync, zxid {at}")),
        }
    }
}
