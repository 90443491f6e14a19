//! `config` and `reconfig`: which servers the ensemble is.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Map, Value, json};
use zk_session::wire::{self, CONFIG_NODE, Ustring};
use zk_session_tokio::op::Node;

use crate::failure::Failure;
use crate::output::{FIELD, Out, Show, printable, stat_fields};
use crate::zk::Zk;

/// Show the ensemble's configuration
#[derive(Args, Debug)]
pub(crate) struct Config {}

impl Config {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let asked = zk.client().config().deadline(zk.deadline()).await;
        let node = asked.map_err(|error| zk.explain(error))?;
        out.show(&Members(&node))
    }
}

/// Change the ensemble's members
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Reconfig {
    /// A server that joins or changes, such as server.5=host:2888:3888;2181
    #[arg(long, value_name = "SERVER", group = "change", conflicts_with = "members")]
    add: Vec<String>,
    /// The number of a server that leaves
    #[arg(long, value_name = "ID", group = "change", conflicts_with = "members")]
    remove: Vec<u32>,
    /// All members instead of those now
    #[arg(long, value_name = "SERVER", group = "change")]
    members: Vec<String>,
    /// Only if the configuration is still this one: a version as config shows it, in hexadecimal
    #[arg(long, value_name = "VERSION", value_parser = version)]
    from: Option<i64>,
}

fn version(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    i64::from_str_radix(digits, 16).map_err(|error| format!("{error}; expected hexadecimal"))
}

impl Reconfig {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        let ids: Vec<String> = self.remove.iter().map(u32::to_string).collect();
        let (joining, leaving, members) =
            (self.add.join(","), ids.join(","), self.members.join(","));
        let change = wire::Reconfig {
            joining: or_null(&joining),
            leaving: or_null(&leaving),
            new_members: or_null(&members),
            current_config: self.from.unwrap_or(-1),
        };
        let asked = zk.client().reconfig(change).deadline(zk.deadline()).await;
        let node = asked.map_err(|error| zk.explain(error))?;
        out.show(&Members(&node))
    }
}

fn or_null(text: &str) -> Ustring<'_> {
    if text.is_empty() { Ustring::NULL } else { text.into() }
}

/// The configuration: lines, of which those of members begin with `server.`.
struct Members<'a>(&'a Node);

impl Members<'_> {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0.data)
    }
}

impl Show for Members<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        match self.text().trim_end() {
            "" => writeln!(to, "{FIELD}the servers keep no list of members{FIELD:#}"),
            text => writeln!(to, "{}", printable(text)),
        }
    }

    fn json(&self) -> Value {
        let text = self.text();
        let lines = || text.lines().filter_map(|line| line.split_once('='));
        let servers: Map<String, Value> = lines()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("server.")?.to_owned(), json!(value)))
            })
            .collect();
        let version = lines().find(|(name, _)| *name == "version").map(|(_, version)| version);
        let mut fields = Map::new();
        fields.insert("path".to_owned(), json!(CONFIG_NODE));
        fields.insert("servers".to_owned(), Value::Object(servers));
        fields.insert("config_version".to_owned(), json!(version));
        stat_fields(&self.0.stat, &mut fields);
        Value::Object(fields)
    }
}
