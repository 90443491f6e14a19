//! `whoami`: who the servers take us for.

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{FIELD, Out, printable};
use crate::zk::Zk;

/// Show who the servers take this connection for
#[derive(Args, Debug)]
pub(crate) struct Whoami {}

impl Whoami {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let asked = zk.client().who_am_i().deadline(zk.deadline()).await;
        for identity in asked.map_err(|error| zk.explain(error))? {
            if out.is_json() {
                out.json_line(&json!({ "scheme": identity.scheme, "id": identity.user }))?;
            } else {
                let (scheme, user) = (printable(&identity.scheme), printable(&identity.user));
                out.remark(&format!("{FIELD}{scheme}{FIELD:#} {user}"))?;
            }
        }
        Ok(())
    }
}
