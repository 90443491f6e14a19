//! `count`: how many znodes there are below one.

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::Out;
use crate::zk::Zk;

/// Count all descendants
#[derive(Args, Debug)]
pub(crate) struct Count {
    /// Whose descendants
    #[arg(default_value = "/", value_parser = crate::args::path)]
    path: String,
}

impl Count {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let asked = zk.client().all_children_number(&self.path).deadline(zk.deadline());
        let count = asked.await.map_err(|error| zk.explain(error))?;
        match out.is_json() {
            true => out.json_line(&json!({ "path": self.path, "descendants": count })),
            false => out.remark(&count.to_string()),
        }
    }
}
