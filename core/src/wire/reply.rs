//! Replies: what a server answers when the error code is 0.

use super::acl::{Acl, ClientInfo};
use super::codec::{Reader, Ustring, WireError, Writer};
use super::list::List;
use super::multi::{Multi, MultiResult};
use super::opcode::OpCode;
use super::paths::{Paths, stripped};
use super::stat::Stat;

/// The names of a znode's children, without paths, in no particular order.
pub type Children<'a> = List<'a, Ustring<'a>>;

/// A znode's data and metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// The data, or null.
    pub data: Option<&'a [u8]>,
    /// The metadata.
    pub stat: Stat,
}

impl<'a> Data<'a> {
    #[inline]
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { data: r.buffer()?, stat: Stat::read(r)? })
    }

    #[inline]
    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.buffer(self.data);
        self.stat.write(w);
    }
}

/// The body of a successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// No body: delete, ping, check, auth, setWatches, checkWatches, removeWatches, closeSession.
    Empty,
    /// create's and sync's path.
    Path(Ustring<'a>),
    /// The path and `Stat` of create2, createContainer, createTTL.
    Created(Ustring<'a>, Stat),
    /// The `Stat` of exists, setData, setACL.
    Stat(Stat),
    /// The data and `Stat` of getData and reconfig.
    Data(Data<'a>),
    /// The ACL and `Stat` of getACL.
    Acl(List<'a, Acl<'a>>, Stat),
    /// The names of getChildren.
    Children(Children<'a>),
    /// The paths of getEphemerals.
    Ephemerals(Paths<'a>),
    /// The names and `Stat` of getChildren2.
    Children2(Children<'a>, Stat),
    /// The results of multi and multiRead, one an item.
    Multi(Multi<'a, MultiResult<'a>>),
    /// getAllChildrenNumber's count.
    Count(i32),
    /// addWatch's own error code, 0.
    AddWatch(i32),
    /// The identities of whoAmI.
    WhoAmI(List<'a, ClientInfo<'a>>),
    /// A SASL token.
    Sasl(Option<&'a [u8]>),
}

impl<'a> Reply<'a> {
    /// Reads the body of a successful reply to `op`; bytes beyond it are ignored.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not such a body.
    pub fn decode(op: OpCode, body: &'a [u8]) -> Result<Self, WireError> {
        Self::decode_as(op, body)
    }

    /// As [`decode`](Self::decode), from where the reader stands.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not such a body.
    pub fn read(op: OpCode, r: &mut Reader<'a>) -> Result<Self, WireError> {
        Self::read_as(op, r)
    }

    /// As [`decode`](Self::decode), with the caller's kind of error: converting it later would move
    /// the reply.
    #[inline(never)]
    pub(crate) fn decode_as<E: From<WireError>>(op: OpCode, body: &'a [u8]) -> Result<Self, E> {
        Self::read_as(op, &mut Reader::new(body))
    }

    #[inline]
    fn read_as<E: From<WireError>>(op: OpCode, r: &mut Reader<'a>) -> Result<Self, E> {
        // Each arm fills the caller's memory by itself: a reply is too large to be handed on.
        match op {
            OpCode::Create | OpCode::Sync => Ok(Self::Path(r.ustring()?)),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Ok(Self::Created(r.ustring()?, Stat::read(r)?))
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Ok(Self::Stat(Stat::read(r)?)),
            OpCode::GetData | OpCode::Reconfig => Ok(Self::Data(Data::read(r)?)),
            OpCode::GetAcl => Ok(Self::Acl(List::read(r)?, Stat::read(r)?)),
            OpCode::GetChildren => Ok(Self::Children(List::read(r)?)),
            OpCode::GetEphemerals => Ok(Self::Ephemerals(Paths::read(r)?)),
            OpCode::GetChildren2 => Ok(Self::Children2(List::read(r)?, Stat::read(r)?)),
            OpCode::Multi | OpCode::MultiRead => Ok(Self::Multi(Multi::read(r)?)),
            OpCode::GetAllChildrenNumber => Ok(Self::Count(r.int()?)),
            OpCode::AddWatch => Ok(Self::AddWatch(r.int()?)),
            OpCode::WhoAmI => Ok(Self::WhoAmI(List::read(r)?)),
            OpCode::Sasl => Ok(Self::Sasl(r.buffer()?)),
            OpCode::Delete
            | OpCode::Ping
            | OpCode::Check
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::CloseSession => Ok(Self::Empty),
        }
    }

    /// The same reply as a session below a chroot sees it: with its own names for znodes.
    pub(crate) fn below(self, chroot: &'a str) -> Self {
        match self {
            Self::Path(path) => Self::Path(stripped(path, chroot)),
            Self::Created(path, stat) => Self::Created(stripped(path, chroot), stat),
            Self::Ephemerals(paths) => Self::Ephemerals(paths.below(chroot)),
            Self::Multi(results) => Self::Multi(results.below(chroot)),
            other => other,
        }
    }

    /// Writes the body.
    pub fn encode(&self, w: &mut Writer<'_>) {
        match self {
            Self::Empty => {}
            Self::Path(path) => w.ustring(*path),
            Self::Created(path, stat) => {
                w.ustring(*path);
                stat.write(w);
            }
            Self::Stat(stat) => stat.write(w),
            Self::Data(data) => data.write(w),
            Self::Acl(acl, stat) => {
                acl.write(w);
                stat.write(w);
            }
            Self::Children(names) => names.write(w),
            Self::Ephemerals(paths) => paths.write(w),
            Self::Children2(names, stat) => {
                names.write(w);
                stat.write(w);
            }
            Self::Multi(results) => results.write(w),
            Self::Count(number) | Self::AddWatch(number) => w.int(*number),
            Self::WhoAmI(identities) => identities.write(w),
            Self::Sasl(token) => w.buffer(*token),
        }
    }
}
