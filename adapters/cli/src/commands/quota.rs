//! `quota`: how many znodes and bytes a subtree may have, and how many it has.
//!
//! ZooKeeper keeps both as text, such as `count=2,bytes=10;countHardLimit=5`, in
//! `/zookeeper/quota/PATH/zookeeper_limits` and `zookeeper_stats` beside it; -1 is no limit.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{FIELD, Out, PATH, Show, WARN, printable};
use crate::zk::Zk;

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// Show or change how many znodes and bytes a subtree may have
#[derive(Debug, Subcommand)]
pub(crate) enum Quota {
    /// Show the quota of a subtree
    Get {
        /// Where it begins
        #[arg(value_parser = crate::args::path)]
        path: String,
    },
    /// List all quotas
    List,
    /// Limit a subtree; limits that are not named stay as they are
    Set(Limits),
    /// Remove the quota of a subtree
    Delete {
        /// Where it begins
        #[arg(value_parser = crate::args::path)]
        path: String,
    },
}

/// What to limit.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("limit").required(true).multiple(true))]
pub(crate) struct Limits {
    /// Where the subtree begins
    #[arg(value_parser = crate::args::path)]
    path: String,
    /// More znodes than this are logged by the servers; -1 is no limit
    #[arg(long, value_name = "N", group = "limit", value_parser = limit(), allow_negative_numbers = true)]
    count: Option<i64>,
    /// More bytes than this are logged by the servers
    #[arg(long, value_name = "N", group = "limit", value_parser = limit(), allow_negative_numbers = true)]
    bytes: Option<i64>,
    /// More znodes than this are refused, by servers with enforceQuota=true
    #[arg(long, value_name = "N", group = "limit", value_parser = limit(), allow_negative_numbers = true)]
    hard_count: Option<i64>,
    /// More bytes than this are refused, by servers with enforceQuota=true
    #[arg(long, value_name = "N", group = "limit", value_parser = limit(), allow_negative_numbers = true)]
    hard_bytes: Option<i64>,
}

fn limit() -> clap::builder::RangedI64ValueParser {
    clap::value_parser!(i64).range(-1..)
}

impl Quota {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        if !zk.client().root().is_empty() {
            return Err(Failure::usage(
                "quotas stand outside of the chroot",
                "name the servers without a chroot, and the whole path",
            ));
        }
        match self {
            Self::Get { path } => out.show(&known(zk, path).await?),
            Self::List => list(zk, out).await,
            Self::Set(limits) => limits.set(zk, out).await,
            Self::Delete { path } => delete(zk, path, out).await,
        }
    }
}

impl Limits {
    async fn set(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        if self.path == "/" || self.path.starts_with("/zookeeper") {
            return Err(Failure::usage(
                format!("{} can have no quota", self.path),
                "name a subtree of your own",
            ));
        }
        if zk.stat(&self.path).await?.is_none() {
            return Err(Failure::NoNode(self.path.clone()));
        }
        let place = place(&self.path);
        let limits = format!("{place}/{LIMITS}");
        let old = match zk.get(&limits).await {
            Ok((data, _)) => Some(Amounts::read(&data)),
            Err(failure) if failure.exit() == Exit::NoNode => None,
            Err(failure) => return Err(failure),
        };
        let mut new = old.clone().unwrap_or_default();
        new.put("count", self.count);
        new.put("bytes", self.bytes);
        new.put("countHardLimit", self.hard_count);
        new.put("byteHardLimit", self.hard_bytes);
        if old.is_some() {
            zk.set(&limits, new.text().as_bytes(), None).await?;
        } else {
            alone(zk, &self.path).await?;
            for (at, _) in place.match_indices('/').skip(1).chain([(place.len(), "")]) {
                create(zk, place.get(..at).unwrap_or_default(), b"").await?;
            }
            create(zk, &limits, new.text().as_bytes()).await?;
            // The server counts when this one comes.
            create(zk, &format!("{place}/{STATS}"), Amounts::default().text().as_bytes()).await?;
        }
        out.show(&known(zk, &self.path).await?)
    }
}

/// Where the quota of a path stands.
fn place(path: &str) -> String {
    format!("{ROOT}{path}")
}

async fn create(zk: &Zk, path: &str, data: &[u8]) -> Result<(), Failure> {
    match zk.client().create(path, data).deadline(zk.deadline()).await {
        Err(error) if !error.is_node_exists() => Err(zk.explain(error)),
        _ => Ok(()),
    }
}

/// Sees that no ancestor and no descendant has a quota: ZooKeeper counts a znode for one only.
async fn alone(zk: &Zk, path: &str) -> Result<(), Failure> {
    let other = |at: &str| {
        Failure::usage(
            format!("{at} has a quota already"),
            "subtrees with quotas cannot lie within each other: quota delete removes one",
        )
    };
    for (at, _) in path.match_indices('/').skip(1) {
        let above = path.get(..at).unwrap_or_default();
        if zk.stat(&format!("{}/{LIMITS}", place(above))).await?.is_some() {
            return Err(other(above));
        }
    }
    let mut below = None;
    match zk
        .walk(&place(path), usize::MAX, |found| {
            below = below.take().or_else(|| subtree(&found.path));
            Ok(())
        })
        .await
    {
        Err(failure) if failure.exit() == Exit::NoNode => {}
        walked => walked?,
    }
    below.map_or(Ok(()), |below| Err(other(&below)))
}

/// The subtree whose limits stand here.
fn subtree(place: &str) -> Option<String> {
    let path = place.strip_prefix(ROOT)?.strip_suffix(LIMITS)?.strip_suffix('/')?;
    Some(path.to_owned())
}

async fn known(zk: &Zk, path: &str) -> Result<Known, Failure> {
    let limits = zk.get(&format!("{}/{LIMITS}", place(path))).await;
    let (limits, _) = limits.map_err(|failure| match failure.exit() {
        Exit::NoNode => Failure::other(format!("{path} has no quota"), Exit::NoNode),
        _ => failure,
    })?;
    let stats = match zk.get(&format!("{}/{STATS}", place(path))).await {
        Err(failure) if failure.exit() == Exit::NoNode => Amounts::default(),
        stats => Amounts::read(&stats?.0),
    };
    Ok(Known { path: path.to_owned(), limits: Amounts::read(&limits), stats })
}

async fn list(zk: &Zk, out: &mut Out) -> Result<(), Failure> {
    let mut paths = Vec::new();
    let walked = zk.walk(ROOT, usize::MAX, |found| {
        paths.extend(subtree(&found.path));
        Ok(())
    });
    walked.await?;
    for path in &paths {
        out.show(&known(zk, path).await?)?;
    }
    Ok(())
}

async fn delete(zk: &Zk, path: &str, out: &mut Out) -> Result<(), Failure> {
    known(zk, path).await?;
    let place = place(path);
    let _ = zk.delete_all(&[format!("{place}/{STATS}"), format!("{place}/{LIMITS}")]).await?;
    // What led there and leads nowhere else.
    let ends = place.match_indices('/').map(|(at, _)| at).filter(|at| *at > ROOT.len());
    let mut ends: Vec<usize> = ends.chain([place.len()]).collect();
    while let Some(end) = ends.pop() {
        match zk.delete(place.get(..end).unwrap_or_default(), None).await {
            Err(failure) if failure.exit() == Exit::NotEmpty => break,
            Err(failure) if failure.exit() != Exit::NoNode => return Err(failure),
            _ => {}
        }
    }
    match out.is_json() {
        true => out.json_line(&json!({ "path": path, "deleted": 1 })),
        false => Ok(()),
    }
}

/// The numbers of a text like `count=2,bytes=10`.
#[derive(Clone, Debug, Default)]
struct Amounts(BTreeMap<String, i64>);

impl Amounts {
    fn read(data: &[u8]) -> Self {
        let text = String::from_utf8_lossy(data);
        let pairs = text.split([',', ';']).filter_map(|pair| pair.split_once('='));
        Self(pairs.filter_map(|(key, n)| Some((key.to_owned(), n.parse().ok()?))).collect())
    }

    fn of(&self, key: &str) -> Option<i64> {
        self.0.get(key).copied().filter(|number| *number >= 0)
    }

    fn put(&mut self, key: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.0.insert(key.to_owned(), number);
        }
    }

    fn text(&self) -> String {
        let of = |key: &str| self.0.get(key).copied().unwrap_or(-1);
        let mut text = format!("count={},bytes={}", of("count"), of("bytes"));
        for (key, number) in &self.0 {
            if !matches!(key.as_str(), "count" | "bytes") {
                text.push_str(&format!(";{key}={number}"));
            }
        }
        text
    }
}

struct Known {
    path: String,
    limits: Amounts,
    stats: Amounts,
}

impl Show for Known {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "{PATH}{}{PATH:#}", printable(&self.path))?;
        for (name, hard) in [("count", "countHardLimit"), ("bytes", "byteHardLimit")] {
            let now = self.stats.of(name).unwrap_or(0);
            let (soft, hard) = (self.limits.of(name), self.limits.of(hard));
            let over = [soft, hard].into_iter().flatten().any(|limit| now > limit);
            let style = if over { WARN } else { FIELD };
            let told = |limit: Option<i64>| limit.map_or("none".to_owned(), |n| n.to_string());
            let (soft, hard) = (told(soft), told(hard));
            writeln!(to, "  {FIELD}{name}{FIELD:#}  {style}{now}{style:#} of {soft}, hard {hard}")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        json!({
            "path": self.path,
            "count": self.stats.of("count"),
            "bytes": self.stats.of("bytes"),
            "count_limit": self.limits.of("count"),
            "bytes_limit": self.limits.of("bytes"),
            "count_hard_limit": self.limits.of("countHardLimit"),
            "bytes_hard_limit": self.limits.of("byteHardLimit"),
        })
    }
}
