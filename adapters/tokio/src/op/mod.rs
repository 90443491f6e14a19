//! What can be asked: one type an operation, made by the methods of [`Client`].

mod create;
mod misc;
mod multi;
mod read;
mod watch;
mod write;

pub use crate::call::{Operation, Watchable, Watched};
pub use create::{Create, CreateStat, Created};
pub use misc::{
    AddAuth, AllChildrenNumber, CheckWatches, Config, Ephemerals, Reconfigure, Sync, WhoAmI,
};
pub use multi::{MultiRead, Transaction};
pub use read::{Acls, Children, Exists, Get, GetAcl, GetChildren, Node};
pub use watch::AddWatch;
pub use write::{Delete, Set, SetAcl};

#[allow(unused_imports, reason = "named by the docs")]
use crate::Client;
