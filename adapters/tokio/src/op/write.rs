//! Changing and deleting znodes.

use zk_session::owned::Answer;
use zk_session::path;
use zk_session::wire::{Acl, OpCode, Request, Stat};

use crate::call::{Call, Operation, sealed};
use crate::client::Client;
use crate::error::ErrorKind;
use crate::pending::Outcome;

/// Any version.
const ANY: i32 = -1;

/// Sets a znode's data; the result is its new metadata.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    path: &'a str,
    data: &'a [u8],
    version: i32,
}

/// Deletes a znode.
#[derive(Clone, Copy, Debug)]
pub struct Delete<'a> {
    path: &'a str,
    version: i32,
}

/// Sets a znode's ACL; the result is its new metadata.
#[derive(Clone, Copy, Debug)]
pub struct SetAcl<'a> {
    path: &'a str,
    acl: &'a [Acl<'a>],
    version: i32,
}

impl Client {
    /// Sets a znode's data.
    ///
    /// # Errors
    /// Of the server: `NoNode`, `BadVersion`, `NoAuth` and others.
    pub fn set<'a>(&'a self, path: &'a str, data: &'a [u8]) -> Call<'a, Set<'a>> {
        Call::new(self, Set { path, data, version: ANY })
    }

    /// Deletes a znode.
    ///
    /// # Errors
    /// Of the server: `NoNode`, `BadVersion`, `NotEmpty`, `NoAuth` and others.
    pub fn delete<'a>(&'a self, path: &'a str) -> Call<'a, Delete<'a>> {
        Call::new(self, Delete { path, version: ANY })
    }

    /// Sets a znode's ACL.
    ///
    /// # Errors
    /// Of the server: `NoNode`, `BadVersion`, `InvalidAcl`, `NoAuth` and others.
    pub fn set_acl<'a>(&'a self, path: &'a str, acl: &'a [Acl<'a>]) -> Call<'a, SetAcl<'a>> {
        Call::new(self, SetAcl { path, acl, version: ANY })
    }
}

impl Call<'_, Set<'_>> {
    /// Only if the znode's version is this one.
    pub const fn version(mut self, version: i32) -> Self {
        self.op.version = version;
        self
    }
}

impl Call<'_, Delete<'_>> {
    /// Only if the znode's version is this one.
    pub const fn version(mut self, version: i32) -> Self {
        self.op.version = version;
        self
    }
}

impl Call<'_, SetAcl<'_>> {
    /// Only if the version of the znode's *ACL* (`Stat::aversion`) is this one.
    pub const fn version(mut self, aversion: i32) -> Self {
        self.op.version = aversion;
        self
    }
}

pub(super) fn stat(outcome: &mut Outcome<'_>) -> Result<Stat, ErrorKind> {
    outcome.answer(|answer| match answer {
        Answer::Stat(stat) => Some(stat),
        _ => None,
    })
}

pub(super) fn nothing(outcome: &mut Outcome<'_>) -> Result<(), ErrorKind> {
    outcome.answer(|answer| (answer == Answer::Empty).then_some(()))
}

impl Operation for Set<'_> {}

impl sealed::Operation for Set<'_> {
    type Output = Stat;

    fn op(&self) -> OpCode {
        OpCode::SetData
    }

    fn path(&self) -> &str {
        self.path
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::set_data(&path::join(view, self.path), self.data, self.version))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Stat, ErrorKind> {
        stat(outcome)
    }
}

impl Operation for Delete<'_> {}

impl sealed::Operation for Delete<'_> {
    type Output = ();

    fn op(&self) -> OpCode {
        OpCode::Delete
    }

    fn path(&self) -> &str {
        self.path
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::delete(&path::join(view, self.path), self.version))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<(), ErrorKind> {
        nothing(outcome)
    }
}

impl Operation for SetAcl<'_> {}

impl sealed::Operation for SetAcl<'_> {
    type Output = Stat;

    fn op(&self) -> OpCode {
        OpCode::SetAcl
    }

    fn path(&self) -> &str {
        self.path
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        let (path, version) = (path::join(view, self.path), self.version);
        lend(&Request::SetAcl { path: (&*path).into(), acl: self.acl.into(), version })
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Stat, ErrorKind> {
        stat(outcome)
    }
}
