//! `acl`: who may do what.

use std::io::{self, Write};

use clap::Subcommand;
use serde_json::{Value, json};
use zk_session::wire::{self, Perms};
use zk_session_tokio::AclEntry;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{FIELD, Out, Show, printable};
use crate::zk::Zk;

/// The letters of permissions, in the order in which ZooKeeper prints them.
const LETTERS: [(char, Perms); 5] = [
    ('c', Perms::CREATE),
    ('d', Perms::DELETE),
    ('r', Perms::READ),
    ('w', Perms::WRITE),
    ('a', Perms::ADMIN),
];

/// Show or change who may do what
#[derive(Debug, Subcommand)]
pub(crate) enum Acl {
    /// Show who may do what
    Get {
        /// With which znode
        #[arg(value_parser = crate::args::path)]
        path: String,
    },
    /// Change who may do what
    Set {
        /// With which znode
        #[arg(value_parser = crate::args::path)]
        path: String,
        /// SCHEME:ID:PERMS, such as world:anyone:r, ip:10.0.0.0/8:cdrwa or auth::cdrwa
        #[arg(value_name = "ENTRY", required = true)]
        entries: Vec<String>,
        /// And with all znodes below it
        #[arg(short, long)]
        recursive: bool,
        /// Only if this is the ACL's version
        #[arg(long, conflicts_with = "recursive", allow_negative_numbers = true)]
        version: Option<i32>,
    },
}

impl Acl {
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Get { path } => {
                let (entries, stat) = zk.acl(path).await?;
                out.show(&Shown { path, entries: &entries, aversion: stat.aversion })
            }
            Self::Set { path, entries: texts, recursive, version } => {
                let entries = entries(texts)?;
                let acl: Vec<wire::Acl<'_>> = entries.iter().map(AclEntry::as_acl).collect();
                let mut paths = vec![path.clone()];
                if *recursive {
                    paths.clear();
                    let all = zk.walk(path, usize::MAX, |found| {
                        paths.push(found.path.clone());
                        Ok(())
                    });
                    all.await?;
                }
                for (at, path) in paths.iter().enumerate() {
                    let mut set = zk.client().set_acl(path, &acl).deadline(zk.deadline());
                    if let Some(version) = version {
                        set = set.version(*version);
                    }
                    match set.await.map_err(|error| zk.explain(error)) {
                        Ok(stat) => {
                            let aversion = stat.aversion;
                            out.show(&Shown { path, entries: &entries, aversion })?;
                        }
                        // It has gone since the subtree was gone through.
                        Err(failure) if at > 0 && failure.exit() == Exit::NoNode => {}
                        Err(failure) => return Err(failure),
                    }
                }
                Ok(())
            }
        }
    }
}

/// Reads entries of the form `SCHEME:ID:PERMS`; ids may hold colons.
pub(crate) fn entries(texts: &[String]) -> Result<Vec<AclEntry>, Failure> {
    texts.iter().map(|text| entry(text)).collect()
}

fn entry(text: &str) -> Result<AclEntry, Failure> {
    let bad = |what: &str| {
        Failure::usage(
            format!("ACL entry {text:?} {what}"),
            "entries are SCHEME:ID:PERMS with PERMS of c(reate) d(elete) r(ead) w(rite) a(dmin), \
             such as world:anyone:cdrwa",
        )
    };
    let parts = text.split_once(':').and_then(|(scheme, rest)| {
        let (id, perms) = rest.rsplit_once(':')?;
        Some((scheme, id, perms))
    });
    let (scheme, id, letters) = parts.ok_or_else(|| bad("has fewer than two colons"))?;
    if scheme.is_empty() {
        return Err(bad("names no scheme"));
    }
    if letters.is_empty() {
        return Err(bad("allows nothing"));
    }
    let mut perms = 0;
    for letter in letters.chars() {
        let known = LETTERS.iter().find(|(known, _)| *known == letter);
        let (_, perm) = known.ok_or_else(|| bad(&format!("has no permission {letter:?}")))?;
        perms |= perm.0;
    }
    Ok(AclEntry { perms: Perms(perms), scheme: scheme.to_owned(), id: id.to_owned() })
}

/// The letters of permissions.
fn letters(perms: Perms) -> String {
    LETTERS.iter().filter(|(_, perm)| perms.allows(*perm)).map(|(letter, _)| *letter).collect()
}

struct Shown<'a> {
    path: &'a str,
    entries: &'a [AclEntry],
    aversion: i32,
}

impl Show for Shown<'_> {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let (path, aversion) = (printable(self.path), self.aversion);
        writeln!(to, "{path}  {FIELD}acl version {aversion}{FIELD:#}")?;
        for AclEntry { scheme, id, perms } in self.entries {
            let (scheme, id) = (printable(scheme), printable(id));
            writeln!(to, "  {scheme}:{id}:{}", letters(*perms))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let entry = |AclEntry { scheme, id, perms }: &AclEntry| json!({ "scheme": scheme, "id": id, "perms": letters(*perms) });
        let acl: Vec<Value> = self.entries.iter().map(entry).collect();
        json!({ "path": self.path, "acl": acl, "aversion": self.aversion })
    }
}
