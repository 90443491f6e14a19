//! One module a command.

mod acl;
mod count;
mod create;
mod delete;
mod demo;
mod ephemerals;
mod get;
mod ls;
mod manual;
mod members;
mod multi;
mod quota;
mod session;
mod set;
mod stat;
mod sync;
mod tree;
mod watch;
mod whoami;
mod word;

pub(crate) use acl::{Acl, entries};
pub(crate) use count::Count;
pub(crate) use create::Create;
pub(crate) use delete::{Delete, subtree};
pub(crate) use demo::Demo;
pub(crate) use ephemerals::{Ephemerals, session_id};
pub(crate) use get::Get;
pub(crate) use ls::Ls;
pub(crate) use manual::{Completions, Man};
pub(crate) use members::{Config, Reconfig};
pub(crate) use multi::Multi;
pub(crate) use quota::Quota;
pub(crate) use session::{Session, milliseconds, pings};
pub(crate) use set::{Set, Source};
pub(crate) use stat::Stat;
pub(crate) use sync::Sync;
pub(crate) use tree::Tree;
pub(crate) use watch::{Watch, follow};
pub(crate) use whoami::Whoami;
pub(crate) use word::Word;

pub(crate) use crate::shell::Shell;

use crate::args::ZnodeCommand;
use crate::failure::Failure;
use crate::output::Out;
use crate::zk::Zk;

impl ZnodeCommand {
    /// Does it, on this session.
    pub(crate) async fn run(&self, zk: &Zk, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::Ls(it) => it.run(zk, out).await,
            Self::Tree(it) => it.run(zk, out).await,
            Self::Get(it) => it.run(zk, out).await,
            Self::Set(it) => it.run(zk, out).await,
            Self::Create(it) => it.run(zk, out).await,
            Self::Delete(it) => it.run(zk, out).await,
            Self::Stat(it) => it.run(zk, out).await,
            Self::Count(it) => it.run(zk, out).await,
            Self::Watch(it) => it.run(zk, out).await,
            Self::Acl(it) => it.run(zk, out).await,
            Self::Multi(it) => it.run(zk, out).await,
            Self::Sync(it) => it.run(zk, out).await,
            Self::Config(it) => it.run(zk, out).await,
            Self::Reconfig(it) => it.run(zk, out).await,
            Self::Quota(it) => it.run(zk, out).await,
            Self::Whoami(it) => it.run(zk, out).await,
            Self::Ephemerals(it) => it.run(zk, out).await,
        }?;
        out.flush()
    }
}
