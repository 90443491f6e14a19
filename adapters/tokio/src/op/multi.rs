//! Several operations in one request.

use std::time::Duration;

use zk_session::owned::{Answer, ItemAnswer};
use zk_session::path;
use zk_session::wire::{self, CreateMode, CreateTtl, MultiOp, OpCode, Request};

use super::create::own;
use crate::call::{Call, Operation, sealed};
use crate::client::Client;
use crate::error::ErrorKind;
use crate::pending::Outcome;

/// Several writes and checks, all or nothing; the result is one answer an item.
#[derive(Clone, Debug)]
pub struct Transaction<'a>(Vec<MultiOp<'a>>);

/// Several reads, each with a result of its own.
#[derive(Clone, Debug)]
pub struct MultiRead<'a>(Vec<MultiOp<'a>>);

impl Client {
    /// Several writes and checks, all or nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(1).start()?;
    /// # let client = zk_session_tokio::Client::connect(ensemble.connect_string()).await?;
    /// use zk_session_tokio::CreateMode;
    ///
    /// client
    ///     .transaction()
    ///     .create("/job", b"", CreateMode::Persistent)
    ///     .create("/job/owner", b"me", CreateMode::Ephemeral)
    ///     .await?;
    /// let error = client.transaction().delete("/job/owner").check("/job", 7).await.unwrap_err();
    /// assert!(error.is_bad_version());
    /// assert!(client.exists("/job/owner").await?.is_some()); // nothing was done
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Item`] with the item that failed, and why; nothing was done then.
    pub fn transaction<'a>(&'a self) -> Call<'a, Transaction<'a>> {
        Call::new(self, Transaction(Vec::new()))
    }

    /// Several reads; each fails by itself, as [`ItemAnswer::Failed`].
    ///
    /// # Errors
    /// Of the server: `Unimplemented` before 3.6, and others.
    pub fn multi_read<'a>(&'a self) -> Call<'a, MultiRead<'a>> {
        Call::new(self, MultiRead(Vec::new()))
    }
}

impl<'a> Call<'a, Transaction<'a>> {
    /// Creates a znode that is open to anyone.
    pub fn create(self, path: &'a str, data: &'a [u8], mode: CreateMode) -> Self {
        self.item(match mode {
            CreateMode::Container => MultiOp::CreateContainer(wire::Create::open(path, data, mode)),
            _ => MultiOp::create(path, data, mode),
        })
    }

    /// Creates a znode that goes when it has had no change for its time to live, in whole
    /// milliseconds, and has no children.
    pub fn create_ttl(
        self,
        path: &'a str,
        data: &'a [u8],
        mode: CreateMode,
        ttl: Duration,
    ) -> Self {
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let create = wire::Create::open(path, data, mode);
        self.item(MultiOp::CreateTtl(CreateTtl { create, ttl }))
    }

    /// Sets a znode's data.
    pub fn set(self, path: &'a str, data: &'a [u8]) -> Self {
        self.item(MultiOp::set_data(path, data, -1))
    }

    /// Sets a znode's data if its version is this one.
    pub fn set_version(self, path: &'a str, data: &'a [u8], version: i32) -> Self {
        self.item(MultiOp::set_data(path, data, version))
    }

    /// Deletes a znode.
    pub fn delete(self, path: &'a str) -> Self {
        self.item(MultiOp::delete(path, -1))
    }

    /// Deletes a znode if its version is this one.
    pub fn delete_version(self, path: &'a str, version: i32) -> Self {
        self.item(MultiOp::delete(path, version))
    }

    /// Fails the whole transaction if the znode's version is another.
    pub fn check(self, path: &'a str, version: i32) -> Self {
        self.item(MultiOp::check(path, version))
    }

    /// Any item, such as a create with an ACL.
    pub fn item(mut self, item: MultiOp<'a>) -> Self {
        self.op.0.push(item);
        self
    }
}

impl<'a> Call<'a, MultiRead<'a>> {
    /// Reads a znode's data and metadata.
    pub fn get(mut self, path: &'a str) -> Self {
        self.op.0.push(MultiOp::get_data(path));
        self
    }

    /// Reads the names of a znode's children.
    pub fn children(mut self, path: &'a str) -> Self {
        self.op.0.push(MultiOp::get_children(path));
        self
    }
}

/// Lends the items with paths as the session names them.
fn below<R>(items: &[MultiOp<'_>], view: &str, lend: impl FnOnce(&[MultiOp<'_>]) -> R) -> R {
    if view.is_empty() {
        return lend(items);
    }
    let name =
        |item: &MultiOp<'_>| path::join(view, item.path().as_str().unwrap_or("")).into_owned();
    let paths: Vec<String> = items.iter().map(name).collect();
    let items: Vec<MultiOp<'_>> =
        items.iter().zip(&paths).map(|(item, path)| item.with_path(path)).collect();
    lend(&items)
}

fn answers(outcome: &mut Outcome<'_>) -> Result<Vec<ItemAnswer>, ErrorKind> {
    let view = outcome.view();
    let mut items = outcome.answer(|answer| match answer {
        Answer::Multi(items) => Some(items),
        _ => None,
    })?;
    for item in &mut items {
        if let ItemAnswer::Created(path, _) = item {
            *path = own(std::mem::take(path), view);
        }
    }
    Ok(items)
}

impl Operation for Transaction<'_> {}

impl sealed::Operation for Transaction<'_> {
    type Output = Vec<ItemAnswer>;

    fn op(&self) -> OpCode {
        OpCode::Multi
    }

    fn path(&self) -> &str {
        ""
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        below(&self.0, view, |items| lend(&Request::multi(items)))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Vec<ItemAnswer>, ErrorKind> {
        let items = answers(outcome)?;
        let failed = items.iter().enumerate().find_map(|(at, item)| match item {
            ItemAnswer::Failed(code) => Some((at, *code)),
            _ => None,
        });
        match failed {
            Some((at, code)) => Err(ErrorKind::Item { at, code }),
            None => Ok(items),
        }
    }
}

impl Operation for MultiRead<'_> {}

impl sealed::Operation for MultiRead<'_> {
    type Output = Vec<ItemAnswer>;

    fn op(&self) -> OpCode {
        OpCode::MultiRead
    }

    fn path(&self) -> &str {
        ""
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        below(&self.0, view, |items| lend(&Request::multi_read(items)))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Vec<ItemAnswer>, ErrorKind> {
        answers(outcome)
    }
}
