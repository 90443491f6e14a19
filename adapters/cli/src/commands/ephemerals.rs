//! `ephemerals`: which znodes go with which session.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};
use zk_session::wire::SessionId;

use crate::failure::Failure;
use crate::output::{EPHEMERAL, Out, Show, owner, printable};
use crate::zk::Zk;

/// List ephemeral znodes and the sessions that own them
#[derive(Args, Debug)]
pub(crate) struct Ephemerals {
    /// Where to look; with --mine, how their paths begin
    #[arg(default_value = "/", value_parser = crate::args::path)]
    path: String,
    /// Those of this session only, as the server tells them: in the shell, or with --ticket
    #[arg(long)]
    mine: bool,
    /// Those of this session only, such as 0x100004d5f2c0001
    #[arg(long, value_name = "SESSION", conflicts_with = "mine", value_parser = session_id)]
    owner: Option<SessionId>,
}

/// Reads a session's id: hexadecimal after `0x`, or else decimal, as some tools print it.
pub(crate) fn session_id(text: &str) -> Result<SessionId, String> {
    let read = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).map(u64::cast_signed),
        None => text.parse(),
    };
    match read {
        Ok(0) => Err("no session has the id 0".to_owned()),
        Ok(id) => Ok(SessionId(id)),
        Err(error) => Err(format!("{error}; expected a session's id, such as 0x100004d5f2c0001")),
    }
}

impl Ephemerals {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        if self.mine {
            let asked = zk.client().ephemerals(&self.path).deadline(zk.deadline()).await;
            let mut paths = asked.map_err(|error| zk.explain(error))?;
            paths.sort_unstable();
            let owner = zk.client().session_id();
            return paths.iter().try_for_each(|path| out.show(&Ephemeral { path, owner }));
        }
        zk.walk(&self.path, usize::MAX, |found| match owner(&found.stat) {
            Some(owner) if self.owner.is_none_or(|wanted| wanted == owner) => {
                out.show(&Ephemeral { path: &found.path, owner })
            }
            _ => Ok(()),
        })
        .await
    }
}

struct Ephemeral<'a> {
    path: &'a str,
    owner: SessionId,
}

impl Show for Ephemeral<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "{}  {EPHEMERAL}{}{EPHEMERAL:#}", self.owner, printable(self.path))
    }

    fn json(&self) -> Value {
        json!({ "path": self.path, "owner": self.owner.to_string() })
    }
}
