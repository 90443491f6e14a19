//! Requests: what a client asks.

use core::fmt;

use super::CONFIG_NODE;
use super::acl::Acl;
use super::codec::{Reader, Ustring, WireError, Writer};
use super::frame::Zxid;
use super::list::List;
use super::multi::{Multi, MultiOp};
use super::opcode::{CreateMode, OpCode};
use super::watch::{AddWatchMode, WatcherType};

/// The body of create, create2 and createContainer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Create<'a> {
    /// The znode; the server appends ten digits if the mode is sequential.
    pub path: Ustring<'a>,
    /// Its data, or null.
    pub data: Option<&'a [u8]>,
    /// Its ACL.
    pub acl: List<'a, Acl<'a>>,
    /// The mode as it stands on the wire; see [`CreateMode::from_flags`].
    pub flags: i32,
}

impl<'a> Create<'a> {
    /// A znode that is open to anyone.
    pub fn open(path: &'a str, data: &'a [u8], mode: CreateMode) -> Self {
        Self {
            path: path.into(),
            data: Some(data),
            acl: List::from_slice(Acl::OPEN),
            flags: mode.to_flags(),
        }
    }

    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        let (path, data, acl) = (r.ustring()?, r.buffer()?, List::read(r)?);
        Ok(Self { path, data, acl, flags: r.int()? })
    }

    #[inline(never)]
    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.path(self.path);
        w.buffer(self.data);
        self.acl.write(w);
        w.int(self.flags);
    }
}

/// The body of createTTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateTtl<'a> {
    /// What the other creates carry.
    pub create: Create<'a>,
    /// The time to live in milliseconds, 1 to 2^40 - 1.
    pub ttl: i64,
}

impl<'a> CreateTtl<'a> {
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { create: Create::read(r)?, ttl: r.long()? })
    }

    #[inline(never)]
    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        self.create.write(w);
        w.long(self.ttl);
    }
}

/// The body of setWatches and setWatches2: paths as the server names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetWatches<'a> {
    /// The newest zxid the client has seen; what is newer fires at once.
    pub relative_zxid: Zxid,
    /// Data watches on znodes that existed.
    pub data: List<'a, Ustring<'a>>,
    /// Watches on znodes that did not exist.
    pub exist: List<'a, Ustring<'a>>,
    /// Child watches.
    pub child: List<'a, Ustring<'a>>,
    /// Persistent watches (setWatches2 only).
    pub persistent: List<'a, Ustring<'a>>,
    /// Persistent recursive watches (setWatches2 only).
    pub persistent_recursive: List<'a, Ustring<'a>>,
}

impl<'a> SetWatches<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self {
            relative_zxid: Zxid(r.long()?),
            data: List::read(r)?,
            exist: List::read(r)?,
            child: List::read(r)?,
            persistent: List::from_slice(&[]),
            persistent_recursive: List::from_slice(&[]),
        })
    }

    fn read2(r: &mut Reader<'a>) -> Result<Self, WireError> {
        let one_shot = Self::read(r)?;
        let persistent = List::read(r)?;
        Ok(Self { persistent, persistent_recursive: List::read(r)?, ..one_shot })
    }

    #[inline(never)]
    fn write(&self, w: &mut Writer<'_>) {
        w.long(self.relative_zxid.0);
        self.data.write(w);
        self.exist.write(w);
        self.child.write(w);
    }

    #[inline(never)]
    fn write2(&self, w: &mut Writer<'_>) {
        self.write(w);
        self.persistent.write(w);
        self.persistent_recursive.write(w);
    }
}

/// The body of reconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconfig<'a> {
    /// Servers that join, or null.
    pub joining: Ustring<'a>,
    /// Ids of servers that leave, or null.
    pub leaving: Ustring<'a>,
    /// The whole new membership, or null.
    pub new_members: Ustring<'a>,
    /// The configuration this change is based on, -1 for any.
    pub current_config: i64,
}

/// A request's body. Strings that name znodes are [`Ustring`]s because a server must survive nulls
/// and foreign bytes; the constructors take `&str`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named as in the protocol")]
pub enum Request<'a> {
    /// Creates a znode.
    Create(Create<'a>),
    /// As `Create`, answered with the `Stat`.
    Create2(Create<'a>),
    /// Creates a container znode.
    CreateContainer(Create<'a>),
    /// Creates a znode with a time to live.
    CreateTtl(CreateTtl<'a>),
    /// Deletes a znode whose version is the expected one, -1 for any.
    Delete { path: Ustring<'a>, version: i32 },
    /// Asks for a znode's `Stat`; a watch is armed even if it does not exist.
    Exists { path: Ustring<'a>, watch: bool },
    /// Asks for a znode's data.
    GetData { path: Ustring<'a>, watch: bool },
    /// Asks for the ensemble's configuration: getData of [`CONFIG_NODE`], to which no chroot applies.
    GetConfig { watch: bool },
    /// Sets a znode's data if its version is the expected one, -1 for any.
    SetData { path: Ustring<'a>, data: Option<&'a [u8]>, version: i32 },
    /// Asks for a znode's ACL.
    GetAcl { path: Ustring<'a> },
    /// Sets a znode's ACL if its aversion is the expected one, -1 for any.
    SetAcl { path: Ustring<'a>, acl: List<'a, Acl<'a>>, version: i32 },
    /// Asks for the names of a znode's children.
    GetChildren { path: Ustring<'a>, watch: bool },
    /// As `GetChildren`, answered with the `Stat` too.
    GetChildren2 { path: Ustring<'a>, watch: bool },
    /// Makes the server catch up with the leader.
    Sync { path: Ustring<'a> },
    /// Keeps the session alive.
    Ping,
    /// Checks a version; servers answer it only within a multi.
    Check { path: Ustring<'a>, version: i32 },
    /// Several writes, all or nothing.
    Multi(Multi<'a, MultiOp<'a>>),
    /// Several reads.
    MultiRead(Multi<'a, MultiOp<'a>>),
    /// Changes the ensemble's membership.
    Reconfig(Reconfig<'a>),
    /// Asks whether a watch is registered; `kind` is a [`WatcherType`] as it stands on the wire.
    CheckWatches { path: Ustring<'a>, kind: i32 },
    /// Removes watches; `kind` is a [`WatcherType`] as it stands on the wire.
    RemoveWatches { path: Ustring<'a>, kind: i32 },
    /// Adds an identity to the connection. Not a znode path: no chroot applies.
    Auth { kind: i32, scheme: Ustring<'a>, auth: Option<&'a [u8]> },
    /// Re-registers one-shot watches. Server paths: no chroot applies.
    SetWatches(SetWatches<'a>),
    /// Re-registers watches of all kinds. Server paths: no chroot applies.
    SetWatches2(SetWatches<'a>),
    /// A SASL token.
    Sasl { token: Option<&'a [u8]> },
    /// Asks for the ephemeral znodes of this session whose paths begin with the prefix.
    GetEphemerals { prefix: Ustring<'a> },
    /// Counts all descendants.
    GetAllChildrenNumber { path: Ustring<'a> },
    /// Adds a watch that stays; `mode` is an [`AddWatchMode`] as it stands on the wire.
    AddWatch { path: Ustring<'a>, mode: i32 },
    /// Asks who the connection is.
    WhoAmI,
    /// Ends the session.
    CloseSession,
}

impl<'a> Request<'a> {
    /// Creates a znode that is open to anyone; see [`Create`] for an ACL.
    pub fn create(path: &'a str, data: &'a [u8], mode: CreateMode) -> Self {
        Self::Create(Create::open(path, data, mode))
    }

    /// Deletes a znode whose version is the expected one, -1 for any.
    pub fn delete(path: &'a str, version: i32) -> Self {
        Self::Delete { path: path.into(), version }
    }

    /// Asks for a znode's `Stat`; a watch is armed even if it does not exist.
    pub fn exists(path: &'a str, watch: bool) -> Self {
        Self::Exists { path: path.into(), watch }
    }

    /// Asks for a znode's data.
    pub fn get_data(path: &'a str, watch: bool) -> Self {
        Self::GetData { path: path.into(), watch }
    }

    /// Sets a znode's data if its version is the expected one, -1 for any.
    pub fn set_data(path: &'a str, data: &'a [u8], version: i32) -> Self {
        Self::SetData { path: path.into(), data: Some(data), version }
    }

    /// Asks for the names of a znode's children.
    pub fn get_children(path: &'a str, watch: bool) -> Self {
        Self::GetChildren { path: path.into(), watch }
    }

    /// As `get_children`, answered with the `Stat` too.
    pub fn get_children2(path: &'a str, watch: bool) -> Self {
        Self::GetChildren2 { path: path.into(), watch }
    }

    /// Makes the server catch up with the leader.
    pub fn sync(path: &'a str) -> Self {
        Self::Sync { path: path.into() }
    }

    /// Adds an identity, such as scheme `digest` with `user:password`. The session replays it on
    /// every later connection.
    pub fn add_auth(scheme: &'a str, auth: &'a [u8]) -> Self {
        Self::Auth { kind: 0, scheme: scheme.into(), auth: Some(auth) }
    }

    /// Asks for the ensemble's configuration. Its path, of the watch too, is
    /// [`CONFIG_NODE`](super::CONFIG_NODE) whatever the chroot.
    pub const fn get_config(watch: bool) -> Self {
        Self::GetConfig { watch }
    }

    /// Asks for the ephemeral znodes of this session whose paths begin with the prefix: plain text,
    /// not names. `/` or the empty prefix asks for all; within a chroot, for all below it.
    pub fn get_ephemerals(prefix: &'a str) -> Self {
        Self::GetEphemerals { prefix: prefix.into() }
    }

    /// Several writes and checks, all or nothing.
    pub const fn multi(items: &'a [MultiOp<'a>]) -> Self {
        Self::Multi(Multi::from_slice(items))
    }

    /// Several reads, each with a result of its own.
    pub const fn multi_read(items: &'a [MultiOp<'a>]) -> Self {
        Self::MultiRead(Multi::from_slice(items))
    }

    /// Adds a watch that stays.
    pub fn add_watch(path: &'a str, mode: AddWatchMode) -> Self {
        Self::AddWatch { path: path.into(), mode: mode.to_wire() }
    }

    /// Removes watches.
    pub fn remove_watches(path: &'a str, kind: WatcherType) -> Self {
        Self::RemoveWatches { path: path.into(), kind: kind.to_wire() }
    }

    /// Asks whether watches are registered.
    pub fn check_watches(path: &'a str, kind: WatcherType) -> Self {
        Self::CheckWatches { path: path.into(), kind: kind.to_wire() }
    }

    /// The request's opcode.
    #[inline]
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::Exists { .. } => OpCode::Exists,
            Self::GetData { .. } | Self::GetConfig { .. } => OpCode::GetData,
            Self::SetData { .. } => OpCode::SetData,
            Self::GetAcl { .. } => OpCode::GetAcl,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::GetChildren2 { .. } => OpCode::GetChildren2,
            Self::Sync { .. } => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::Check { .. } => OpCode::Check,
            Self::Multi(_) => OpCode::Multi,
            Self::MultiRead(_) => OpCode::MultiRead,
            Self::Reconfig(_) => OpCode::Reconfig,
            Self::CheckWatches { .. } => OpCode::CheckWatches,
            Self::RemoveWatches { .. } => OpCode::RemoveWatches,
            Self::Auth { .. } => OpCode::Auth,
            Self::SetWatches(_) => OpCode::SetWatches,
            Self::SetWatches2(_) => OpCode::SetWatches2,
            Self::Sasl { .. } => OpCode::Sasl,
            Self::GetEphemerals { .. } => OpCode::GetEphemerals,
            Self::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Self::AddWatch { .. } => OpCode::AddWatch,
            Self::WhoAmI => OpCode::WhoAmI,
            Self::CloseSession => OpCode::CloseSession,
        }
    }

    /// The znode the request is about; `None` for requests about none or several.
    #[inline]
    pub const fn path(&self) -> Option<Ustring<'a>> {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                Some(create.path)
            }
            Self::CreateTtl(ttl) => Some(ttl.create.path),
            Self::Delete { path, .. }
            | Self::Exists { path, .. }
            | Self::GetData { path, .. }
            | Self::SetData { path, .. }
            | Self::GetAcl { path }
            | Self::SetAcl { path, .. }
            | Self::GetChildren { path, .. }
            | Self::GetChildren2 { path, .. }
            | Self::Sync { path }
            | Self::Check { path, .. }
            | Self::CheckWatches { path, .. }
            | Self::RemoveWatches { path, .. }
            | Self::GetAllChildrenNumber { path }
            | Self::AddWatch { path, .. } => Some(*path),
            Self::GetConfig { .. } => Some(Ustring::from_bytes(CONFIG_NODE.as_bytes())),
            _ => None,
        }
    }

    /// Reads the body of a request with this opcode; bytes beyond it are ignored, as servers do.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not such a body.
    pub fn decode(op: OpCode, body: &'a [u8]) -> Result<Self, WireError> {
        let r = &mut Reader::new(body);
        Ok(match op {
            OpCode::Create => Self::Create(Create::read(r)?),
            OpCode::Create2 => Self::Create2(Create::read(r)?),
            OpCode::CreateContainer => Self::CreateContainer(Create::read(r)?),
            OpCode::CreateTtl => Self::CreateTtl(CreateTtl::read(r)?),
            OpCode::Delete => Self::Delete { path: r.ustring()?, version: r.int()? },
            OpCode::Exists => Self::Exists { path: r.ustring()?, watch: r.boolean()? },
            OpCode::GetData => Self::GetData { path: r.ustring()?, watch: r.boolean()? },
            OpCode::SetData => {
                Self::SetData { path: r.ustring()?, data: r.buffer()?, version: r.int()? }
            }
            OpCode::GetAcl => Self::GetAcl { path: r.ustring()? },
            OpCode::SetAcl => {
                Self::SetAcl { path: r.ustring()?, acl: List::read(r)?, version: r.int()? }
            }
            OpCode::GetChildren => Self::GetChildren { path: r.ustring()?, watch: r.boolean()? },
            OpCode::GetChildren2 => Self::GetChildren2 { path: r.ustring()?, watch: r.boolean()? },
            OpCode::Sync => Self::Sync { path: r.ustring()? },
            OpCode::Ping => Self::Ping,
            OpCode::Check => Self::Check { path: r.ustring()?, version: r.int()? },
            OpCode::Multi => Self::Multi(Multi::read(r)?),
            OpCode::MultiRead => Self::MultiRead(Multi::read(r)?),
            OpCode::Reconfig => Self::Reconfig(Reconfig {
                joining: r.ustring()?,
                leaving: r.ustring()?,
                new_members: r.ustring()?,
                current_config: r.long()?,
            }),
            OpCode::CheckWatches => Self::CheckWatches { path: r.ustring()?, kind: r.int()? },
            OpCode::RemoveWatches => Self::RemoveWatches { path: r.ustring()?, kind: r.int()? },
            OpCode::Auth => Self::Auth { kind: r.int()?, scheme: r.ustring()?, auth: r.buffer()? },
            OpCode::SetWatches => Self::SetWatches(SetWatches::read(r)?),
            OpCode::SetWatches2 => Self::SetWatches2(SetWatches::read2(r)?),
            OpCode::Sasl => Self::Sasl { token: r.buffer()? },
            OpCode::GetEphemerals => Self::GetEphemerals { prefix: r.ustring()? },
            OpCode::GetAllChildrenNumber => Self::GetAllChildrenNumber { path: r.ustring()? },
            OpCode::AddWatch => Self::AddWatch { path: r.ustring()?, mode: r.int()? },
            OpCode::WhoAmI => Self::WhoAmI,
            OpCode::CloseSession => Self::CloseSession,
        })
    }

    /// Writes the body. Znode paths get the writer's chroot.
    #[inline]
    pub fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.write(w);
            }
            Self::CreateTtl(create) => create.write(w),
            Self::Delete { path, version } | Self::Check { path, version } => {
                w.path(*path);
                w.int(*version);
            }
            Self::Exists { path, watch }
            | Self::GetData { path, watch }
            | Self::GetChildren { path, watch }
            | Self::GetChildren2 { path, watch } => {
                w.path(*path);
                w.boolean(*watch);
            }
            Self::GetConfig { watch } => {
                w.ustring(CONFIG_NODE.into());
                w.boolean(*watch);
            }
            Self::SetData { path, data, version } => {
                w.path(*path);
                w.buffer(*data);
                w.int(*version);
            }
            Self::GetAcl { path } | Self::Sync { path } | Self::GetAllChildrenNumber { path } => {
                w.path(*path);
            }
            Self::SetAcl { path, acl, version } => {
                w.path(*path);
                acl.write(w);
                w.int(*version);
            }
            Self::Multi(items) | Self::MultiRead(items) => items.write(w),
            Self::Reconfig(reconfig) => {
                w.ustring(reconfig.joining);
                w.ustring(reconfig.leaving);
                w.ustring(reconfig.new_members);
                w.long(reconfig.current_config);
            }
            Self::CheckWatches { path, kind } | Self::RemoveWatches { path, kind } => {
                w.path(*path);
                w.int(*kind);
            }
            Self::Auth { kind, scheme, auth } => {
                w.int(*kind);
                w.ustring(*scheme);
                w.buffer(*auth);
            }
            Self::SetWatches(watches) => watches.write(w),
            Self::SetWatches2(watches) => watches.write2(w),
            Self::Sasl { token } => w.buffer(*token),
            Self::GetEphemerals { prefix } => w.path(*prefix),
            Self::AddWatch { path, mode } => {
                w.path(*path);
                w.int(*mode);
            }
            Self::Ping | Self::WhoAmI | Self::CloseSession => {}
        }
    }
}

/// Secrets stay out: an auth packet shows its scheme only, a SASL token nothing.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.op())?;
        match self {
            Self::Auth { scheme, .. } => write!(f, "({scheme:?}, ..)"),
            _ => match self.path() {
                Some(path) => write!(f, "({path:?})"),
                None => Ok(()),
            },
        }
    }
}
