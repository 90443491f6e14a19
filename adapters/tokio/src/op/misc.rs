//! What is about the session, the server or the ensemble rather than one znode.

use zk_session::client::WatchKind;
use zk_session::owned::{Answer, Identity};
use zk_session::path;
use zk_session::wire::{CONFIG_NODE, OpCode, Reconfig, Request, WatcherType};
use zk_session::{ErrorCode, OpError};

use super::read::Node;
use super::write::nothing;
use crate::call::{Call, Operation, Watchable, sealed};
use crate::client::Client;
use crate::error::ErrorKind;
use crate::pending::Outcome;
use crate::slots::Failure;

/// Makes the connected server catch up with the leader.
#[derive(Clone, Copy, Debug)]
pub struct Sync<'a>(&'a str);

/// Adds an identity to the session.
#[derive(Clone, Copy)]
pub struct AddAuth<'a> {
    scheme: &'a str,
    auth: &'a [u8],
}

/// Counts all descendants of a znode.
#[derive(Clone, Copy, Debug)]
pub struct AllChildrenNumber<'a>(&'a str);

/// Lists the session's ephemeral znodes.
#[derive(Clone, Copy, Debug)]
pub struct Ephemerals<'a>(&'a str);

/// Asks who the connection is.
#[derive(Clone, Copy, Debug)]
pub struct WhoAmI;

/// Asks whether the server has watches of a kind at a path from this session.
#[derive(Clone, Copy, Debug)]
pub struct CheckWatches<'a>(&'a str, WatcherType);

/// Reads the ensemble's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Config;

/// Changes the ensemble's membership; the result is the new configuration.
#[derive(Clone, Copy, Debug)]
pub struct Reconfigure<'a>(Reconfig<'a>);

/// Secrets stay out.
impl std::fmt::Debug for AddAuth<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AddAuth").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes the connected server catch up with the leader before later reads of this session.
    ///
    /// # Errors
    /// [`Error`](crate::Error).
    pub fn sync<'a>(&'a self, path: &'a str) -> Call<'a, Sync<'a>> {
        Call::new(self, Sync(path))
    }

    /// Adds an identity, such as scheme `digest` with `user:password`; the session shows it on every
    /// later connection too.
    ///
    /// # Errors
    /// [`Error`](crate::Error); a refused credential ends the session.
    pub fn add_auth<'a>(&'a self, scheme: &'a str, auth: &'a [u8]) -> Call<'a, AddAuth<'a>> {
        Call::new(self, AddAuth { scheme, auth })
    }

    /// Counts how many znodes lie below one, children's children included.
    ///
    /// # Errors
    /// Of the server: `NoNode`, `NoAuth` and others.
    pub fn all_children_number<'a>(&'a self, path: &'a str) -> Call<'a, AllChildrenNumber<'a>> {
        Call::new(self, AllChildrenNumber(path))
    }

    /// Lists the paths of this session's ephemeral znodes that begin with `prefix`, which is plain
    /// text; `/` for all of them. Those outside the chroot are left out.
    ///
    /// # Errors
    /// [`Error`](crate::Error).
    pub fn ephemerals<'a>(&'a self, prefix: &'a str) -> Call<'a, Ephemerals<'a>> {
        Call::new(self, Ephemerals(prefix))
    }

    /// Asks who the connection is: its address, and what it has authenticated as.
    ///
    /// # Errors
    /// Of the server: `Unimplemented` before 3.7, and others.
    pub fn who_am_i(&self) -> Call<'_, WhoAmI> {
        Call::new(self, WhoAmI)
    }

    /// Asks whether the server has watches of a kind at a path from this session.
    ///
    /// # Errors
    /// Of the server: before 3.9 `MarshallingError` for the two persistent kinds; there `Any` is the
    /// way.
    pub fn check_watches<'a>(
        &'a self,
        path: &'a str,
        kind: WatcherType,
    ) -> Call<'a, CheckWatches<'a>> {
        Call::new(self, CheckWatches(path, kind))
    }

    /// Reads the ensemble's configuration, whatever the chroot. Its watch tells of
    /// [`CONFIG_NODE`](zk_session::wire::CONFIG_NODE).
    ///
    /// # Errors
    /// [`Error`](crate::Error).
    pub fn config(&self) -> Call<'_, Config> {
        Call::new(self, Config)
    }

    /// Changes the ensemble's membership.
    ///
    /// # Errors
    /// Of the server: `ReconfigDisabled`, `NoAuth`, `BadArguments`, `BadVersion`,
    /// `NewConfigNoQuorum`, `ReconfigInProgress` and others.
    pub fn reconfig<'a>(&'a self, change: Reconfig<'a>) -> Call<'a, Reconfigure<'a>> {
        Call::new(self, Reconfigure(change))
    }
}

impl Operation for Sync<'_> {}

impl sealed::Operation for Sync<'_> {
    type Output = ();

    fn op(&self) -> OpCode {
        OpCode::Sync
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::sync(&path::join(view, self.0)))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<(), ErrorKind> {
        outcome.answer(|answer| matches!(answer, Answer::Path(_)).then_some(()))
    }
}

impl Operation for AddAuth<'_> {}

impl sealed::Operation for AddAuth<'_> {
    type Output = ();

    fn op(&self) -> OpCode {
        OpCode::Auth
    }

    fn path(&self) -> &str {
        ""
    }

    fn request<R>(&self, _view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::add_auth(self.scheme, self.auth))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<(), ErrorKind> {
        nothing(outcome)
    }
}

impl Operation for AllChildrenNumber<'_> {}

impl sealed::Operation for AllChildrenNumber<'_> {
    type Output = usize;

    fn op(&self) -> OpCode {
        OpCode::GetAllChildrenNumber
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::GetAllChildrenNumber { path: (&*path::join(view, self.0)).into() })
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<usize, ErrorKind> {
        outcome.answer(|answer| match answer {
            Answer::Count(count) => usize::try_from(count).ok(),
            _ => None,
        })
    }
}

impl Operation for Ephemerals<'_> {}

impl sealed::Operation for Ephemerals<'_> {
    type Output = Vec<String>;

    fn op(&self) -> OpCode {
        OpCode::GetEphemerals
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::get_ephemerals(&path::join(view, self.0)))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Vec<String>, ErrorKind> {
        let view = outcome.view().unwrap_or_default();
        let own = |whole: String| path::below(&whole, view).map(str::to_owned);
        outcome.answer(|answer| match answer {
            Answer::Children(paths) => Some(paths.into_iter().filter_map(own).collect()),
            _ => None,
        })
    }
}

impl Operation for WhoAmI {}

impl sealed::Operation for WhoAmI {
    type Output = Vec<Identity>;

    fn op(&self) -> OpCode {
        OpCode::WhoAmI
    }

    fn path(&self) -> &str {
        ""
    }

    fn request<R>(&self, _view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::WhoAmI)
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Vec<Identity>, ErrorKind> {
        outcome.answer(|answer| match answer {
            Answer::WhoAmI(identities) => Some(identities),
            _ => None,
        })
    }
}

impl Operation for CheckWatches<'_> {}

impl sealed::Operation for CheckWatches<'_> {
    type Output = bool;

    fn op(&self) -> OpCode {
        OpCode::CheckWatches
    }

    fn path(&self) -> &str {
        self.0
    }

    fn request<R>(&self, view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::check_watches(&path::join(view, self.0), self.1))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<bool, ErrorKind> {
        match outcome.failure() {
            Some(Failure::Op(OpError::Server(ErrorCode::NoWatcher))) => Ok(false),
            _ => nothing(outcome).map(|()| true),
        }
    }
}

impl Operation for Config {}

impl sealed::Operation for Config {
    type Output = Node;

    fn op(&self) -> OpCode {
        OpCode::GetData
    }

    fn path(&self) -> &str {
        CONFIG_NODE
    }

    fn is_absolute(&self) -> bool {
        true
    }

    fn request<R>(&self, _view: &str, watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::get_config(watch))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Node, ErrorKind> {
        outcome.node()
    }
}

impl Watchable for Config {}

impl sealed::Watchable for Config {
    const KIND: WatchKind = WatchKind::Data;
}

impl Operation for Reconfigure<'_> {}

impl sealed::Operation for Reconfigure<'_> {
    type Output = Node;

    fn op(&self) -> OpCode {
        OpCode::Reconfig
    }

    fn path(&self) -> &str {
        CONFIG_NODE
    }

    fn request<R>(&self, _view: &str, _watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        lend(&Request::Reconfig(self.0))
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<Node, ErrorKind> {
        outcome.node()
    }
}
