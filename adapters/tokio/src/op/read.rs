//! Reading znodes: their data, their metadata, the names of their children, their ACLs.

use bytes::Bytes;
use zk_session::client::WatchKind;
use zk_session::owned::{AclEntry, Answer};
use zk_session::path;
use zk_session::wire::{OpCode, Request, Stat};
use zk_session::{ErrorCode, OpError};

use super::write::stat;
use crate::call::{Call, Operation, Watchable, sealed};
use crate::client::Client;
use crate::error::ErrorKind;
use crate::pending::Outcome;
use crate::slots::Failure;

/// A znode's data and metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The data; null data reads as empty. A clone of it is cheap. Data of more than 16 KiB may take
    /// memory of twice its length.
    pub data: Bytes,
    /// The metadata.
    pub stat: Stat,
}

/// The names of a znode's children and its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// The names, without paths, in no particular order.
    pub names: Vec<String>,
    /// The metadata.
    pub stat: Stat,
}

/// Who may do what with a znode, and its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acls {
    /// The entries.
    pub acl: Vec<AclEntry>,
    /// The metadata.
    pub stat: Stat,
}

/// Reads a znode's data.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a>(&'a str);

/// Asks whether a znode exists: its metadata, or `None`.
#[derive(Clone, Copy, Debug)]
pub struct Exists<'a>(&'a str);

/// Reads the names of a znode's children.
#[derive(Clone, Copy, Debug)]
pub struct GetChildren<'a>(&'a str);

/// Reads a znode's ACL.
#[derive(Clone, Copy, Debug)]
pub struct GetAcl<'a>(&'a str);

impl Client {
    /// Reads a znode's data and metadata.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(1).start()?;
    /// # let client = zk_session_tokio::Client::connect(ensemble.connect_string()).await?;
    /// # client.create("/config", b"v1").await?;
    /// let (node, mut watch) = client.get("/config").watch().await?;
    /// assert_eq!((&node.data[..], node.stat.version), (&b"v1"[..], 0));
    /// client.set("/config", b"v2").version(0).await?;
    /// assert!(watch.changed().await.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Of the server: `NoNode`, `NoAuth` and others.
    pub fn get<'a>(&'a self, path: &'a str) -> Call<'a, Get<'a>> {
        Call::new(self, Get(path))
    }

    /// Asks whether a znode exists: its metadata, or `None`.
    ///
    /// # Errors
    /// [`Error`](crate::Error); a missing znode is none.
    pub fn exists<'a>(&'a self, path: &'a str) -> Call<'a, Exists<'a>> {
        Call::new(self, Exists(path))
    }

    /// Reads the names of a znode's children, and its metadata.
    ///
    /// # Errors
    /// Of the server: `NoNode`, `NoAuth` and others.
    pub fn children<'a>(&'a self, path: &'a str) -> Call<'a, GetChildren<'a>> {
        Call::new(self, GetChildren(path))
    }

    /// Reads who may do what with a znode, and its metadata.
    ///
    /// # Errors
    /// Of the server: `NoNode`, `NoAuth` and others.
    pub fn acl<'a>(&'a self, path: &'a str) -> Call<'a, GetAcl<'a>> {
        Call::new(self, GetAcl(path))
    }
}

impl Operation for Get<'_> {}

impl sealed::Operation for Get<'_> {
    type Output = Node;

    fn op(&self) -> OpCode {
        OpCode::GetData
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::get_data(&path::join(view, self.0), watch))
    }

    // Into the future's result at once: it is too large to be handed on.
    #[inline(always)]
    fn finish(outcome: &mut Outcome<'_>) -> Result<Node, ErrorKind> {
        outcome.node()
    }
}

impl Operation for Exists<'_> {}

impl sealed::Operation for Exists<'_> {
    type Output = Option<Stat>;

    fn op(&self) -> OpCode {
        OpCode::Exists
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::exists(&path::join(view, self.0), watch))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Option<Stat>, ErrorKind> {
        if outcome.failure() == Some(Failure::Op(OpError::Server(ErrorCode::NoNode))) {
            return Ok(None);
        }
        stat(outcome).map(Some)
    }
}

impl Operation for GetChildren<'_> {}

impl sealed::Operation for GetChildren<'_> {
    type Output = Children;

    fn op(&self) -> OpCode {
        OpCode::GetChildren2
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::get_children2(&path::join(view, self.0), watch))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Children, ErrorKind> {
        outcome.answer(|answer| match answer {
            Answer::Children2(names, stat) => Some(Children { names, stat }),
            _ => None,
        })
    }
}

impl Operation for GetAcl<'_> {}

impl sealed::Operation for GetAcl<'_> {
    type Output = Acls;

    fn op(&self) -> OpCode {
        OpCode::GetAcl
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::GetAcl { path: (&*path::join(view, self.0)).into() })
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Acls, ErrorKind> {
        outcome.answer(|answer| match answer {
            Answer::Acl(acl, stat) => Some(Acls { acl, stat }),
            _ => None,
        })
    }
}

impl Watchable for Get<'_> {}

impl sealed::Watchable for Get<'_> {
    const KIND: WatchKind = WatchKind::Data;
}

impl Watchable for Exists<'_> {}

impl sealed::Watchable for Exists<'_> {
    const KIND: WatchKind = WatchKind::Data;
    const KIND_ON_NO_NODE: Option<WatchKind> = Some(WatchKind::Exist);
}

impl Watchable for GetChildren<'_> {}

impl sealed::Watchable for GetChildren<'_> {
    const KIND: WatchKind = WatchKind::Child;
}
