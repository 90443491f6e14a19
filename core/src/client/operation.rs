//! What can be submitted: a [`Request`] of any kind, or one of the few kinds that have a type of
//! their own.
//!
//! Whoever submits a [`Request`] holds the code of every kind of it in the program, as whoever pulls
//! an event holds that of every [`Reply`](crate::wire::Reply). A microcontroller that reads and
//! writes a few znodes submits the types below instead, and pulls with
//! [`poll_raw`](ClientSession::poll_raw): then the linker leaves out what the others would need.

use super::registry::{Place, Registry};
use super::session::ClientSession;
use super::watch_kind::{WatchKind, Wish};
use crate::error::SubmitError;
use crate::path::Last;
use crate::wire::{
    Acl, AddWatchMode, Create, CreateMode, Multi, MultiOp, OpCode, Record as _, Request, Ustring,
    WatcherType, Writer,
};

/// One request to [`ClientSession::submit_operation`].
#[expect(private_bounds, reason = "what a session can send is fixed by the protocol")]
pub trait Operation: Ask {}

/// What the session has to know of an operation.
pub(super) trait Ask {
    fn op(&self) -> OpCode;

    /// The znode it is about; empty if it is about none or several.
    fn path(&self) -> &[u8];

    /// Writes the body.
    fn encode(&self, w: &mut Writer<'_>);

    /// What the answer is to do to the session's watches.
    fn wish(&self, _: &Registry<'_>) -> Result<Option<Wish>, SubmitError> {
        Ok(None)
    }

    /// Checks all paths by the rules.
    fn check(&self) -> Result<(), SubmitError> {
        check_path(self.path(), Last::Plain)
    }

    /// Whether there is something to remember beside the wish: a credential.
    fn is_credential(&self) -> bool {
        false
    }

    /// Whether there is room to remember what is to be remembered.
    fn check_room(&self, session: &ClientSession<'_>, _: Option<Wish>) -> Result<(), SubmitError> {
        session.check_watch(self.path(), Place::Below)
    }

    /// Remembers it; there is room.
    fn remember(&self, session: &mut ClientSession<'_>, _: Option<Wish>) {
        session.registry.add_pending(self.path(), Place::Below);
    }
}

pub(super) fn check_path(path: &[u8], last: Last) -> Result<(), SubmitError> {
    crate::path::check(path, last).map_err(SubmitError::Path)
}

/// Asks for a znode's data; answered with [`RawReply::data`](super::RawReply::data).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetData<'a> {
    /// The znode.
    pub path: &'a str,
    /// Whether to watch it for changes.
    pub watch: bool,
}

/// Asks for a znode's metadata; answered with [`RawReply::stat`](super::RawReply::stat). The watch
/// is armed on a znode that is not there, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exists<'a> {
    /// The znode.
    pub path: &'a str,
    /// Whether to watch it.
    pub watch: bool,
}

/// Asks for the names of a znode's children; answered with
/// [`RawReply::children`](super::RawReply::children).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetChildren<'a> {
    /// The znode.
    pub path: &'a str,
    /// Whether to watch it for children that come or go.
    pub watch: bool,
}

/// Sets a znode's data; answered with [`RawReply::stat`](super::RawReply::stat).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetData<'a> {
    /// The znode.
    pub path: &'a str,
    /// Its new data.
    pub data: &'a [u8],
    /// The version that is expected, -1 for any.
    pub version: i32,
}

/// Creates a znode that is open to anyone; answered with [`RawReply::path`](super::RawReply::path).
/// For one with an ACL, [`Create`] is an operation too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CreateOpen<'a> {
    /// The znode; the server appends ten digits if the mode is sequential.
    pub path: &'a str,
    /// Its data.
    pub data: &'a [u8],
    /// What kind of znode it is to be: persistent or ephemeral, sequential or not.
    pub mode: CreateMode,
}

/// Deletes a znode; answered without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delete<'a> {
    /// The znode.
    pub path: &'a str,
    /// The version that is expected, -1 for any.
    pub version: i32,
}

/// As for requests, data stays out of what is printed.
impl core::fmt::Debug for SetData<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SetData({:?}, ..)", self.path)
    }
}

impl core::fmt::Debug for CreateOpen<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "CreateOpen({:?}, ..)", self.path)
    }
}

fn write_read(path: &str, watch: bool, w: &mut Writer<'_>) {
    w.path(Ustring::from_bytes(path.as_bytes()));
    w.boolean(watch);
}

impl Operation for GetData<'_> {}
impl Ask for GetData<'_> {
    fn op(&self) -> OpCode {
        OpCode::GetData
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        write_read(self.path, self.watch, w);
    }
    fn wish(&self, _: &Registry<'_>) -> Result<Option<Wish>, SubmitError> {
        Ok(self.watch.then_some(Wish::Success(WatchKind::Data)))
    }
}

impl Operation for Exists<'_> {}
impl Ask for Exists<'_> {
    fn op(&self) -> OpCode {
        OpCode::Exists
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        write_read(self.path, self.watch, w);
    }
    fn wish(&self, _: &Registry<'_>) -> Result<Option<Wish>, SubmitError> {
        Ok(self.watch.then_some(Wish::Exists))
    }
}

impl Operation for GetChildren<'_> {}
impl Ask for GetChildren<'_> {
    fn op(&self) -> OpCode {
        OpCode::GetChildren
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        write_read(self.path, self.watch, w);
    }
    fn wish(&self, _: &Registry<'_>) -> Result<Option<Wish>, SubmitError> {
        Ok(self.watch.then_some(Wish::Success(WatchKind::Child)))
    }
}

impl Operation for SetData<'_> {}
impl Ask for SetData<'_> {
    fn op(&self) -> OpCode {
        OpCode::SetData
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.path(Ustring::from_bytes(self.path.as_bytes()));
        w.buffer(Some(self.data));
        w.int(self.version);
    }
}

impl Operation for CreateOpen<'_> {}
impl Ask for CreateOpen<'_> {
    fn op(&self) -> OpCode {
        OpCode::Create
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.path(Ustring::from_bytes(self.path.as_bytes()));
        w.buffer(Some(self.data));
        // As a slice, not as any list there can be.
        w.count(Acl::OPEN.len());
        for entry in Acl::OPEN {
            entry.write(w);
        }
        w.int(self.mode.to_flags());
    }
    fn check(&self) -> Result<(), SubmitError> {
        check_path(self.path.as_bytes(), Last::of(self.mode.to_flags()))
    }
}

impl Operation for Create<'_> {}
impl Ask for Create<'_> {
    fn op(&self) -> OpCode {
        OpCode::Create
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes().unwrap_or_default()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        self.write(w);
    }
    fn check(&self) -> Result<(), SubmitError> {
        check_path(Ask::path(self), Last::of(self.flags))
    }
}

impl Operation for Delete<'_> {}
impl Ask for Delete<'_> {
    fn op(&self) -> OpCode {
        OpCode::Delete
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.path(Ustring::from_bytes(self.path.as_bytes()));
        w.int(self.version);
    }
}

/// Adds a watch that stays; answered without a body that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddWatch<'a> {
    /// The znode, there or not.
    pub path: &'a str,
    /// Whether its descendants are watched too.
    pub mode: AddWatchMode,
}

impl Operation for AddWatch<'_> {}
impl Ask for AddWatch<'_> {
    fn op(&self) -> OpCode {
        OpCode::AddWatch
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.path(Ustring::from_bytes(self.path.as_bytes()));
        w.int(self.mode.to_wire());
    }
    fn wish(&self, _: &Registry<'_>) -> Result<Option<Wish>, SubmitError> {
        Ok(Some(Wish::Success(WatchKind::added(self.mode))))
    }
}

/// Removes watches; answered without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoveWatches<'a> {
    /// The znode that is watched.
    pub path: &'a str,
    /// Which watches.
    pub kind: WatcherType,
}

impl Operation for RemoveWatches<'_> {}
impl Ask for RemoveWatches<'_> {
    fn op(&self) -> OpCode {
        OpCode::RemoveWatches
    }
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn encode(&self, w: &mut Writer<'_>) {
        w.path(Ustring::from_bytes(self.path.as_bytes()));
        w.int(self.kind.to_wire());
    }
    fn wish(&self, registry: &Registry<'_>) -> Result<Option<Wish>, SubmitError> {
        // Where nothing is watched, the answer cannot change anything.
        let cost = registry.removal_cost(self.path.as_bytes(), self.kind);
        Ok(cost.map(|_| Wish::Removal(self.kind)))
    }
    fn check_room(&self, session: &ClientSession<'_>, _: Option<Wish>) -> Result<(), SubmitError> {
        let cost = session.registry.removal_cost(self.path.as_bytes(), self.kind);
        session.check_registry(cost.unwrap_or(0))
    }
    fn remember(&self, session: &mut ClientSession<'_>, _: Option<Wish>) {
        session.registry.begin_removal(self.path.as_bytes(), self.kind);
    }
}

/// The writes of a multi, all or nothing; answered with [`RawReply::multi`](super::RawReply::multi).
impl Operation for Multi<'_, MultiOp<'_>> {}
impl Ask for Multi<'_, MultiOp<'_>> {
    fn op(&self) -> OpCode {
        OpCode::Multi
    }
    fn path(&self) -> &[u8] {
        &[]
    }
    fn encode(&self, w: &mut Writer<'_>) {
        self.write(w);
    }
    fn check(&self) -> Result<(), SubmitError> {
        check_items(self)
    }
}

pub(super) fn check_items(items: &Multi<'_, MultiOp<'_>>) -> Result<(), SubmitError> {
    items.iter().try_for_each(|item| {
        let path = item.path().as_bytes().unwrap_or_default();
        check_path(path, Last::of(item.flags()))
    })
}

impl Operation for Request<'_> {}
