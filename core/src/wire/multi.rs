//! The items of multi and multiRead, and their results.

use crate::error::ErrorCode;

use super::codec::{Reader, Ustring, WireError, Writer};
use super::list::List;
use super::opcode::{CreateMode, OpCode};
use super::paths::stripped;
use super::reply::{Children, Data};
use super::request::{Create, CreateTtl};
use super::stat::Stat;

/// What stands before every item, and alone after the last: 9 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiHeader {
    /// The item's opcode; -1 for an error result and in the trailer.
    pub op: i32,
    /// Whether this is the trailer.
    pub done: bool,
    /// The item's error code; -1 in requests and in the trailer.
    pub err: i32,
}

impl MultiHeader {
    /// What stands after the last item.
    pub const TRAILER: Self = Self { op: -1, done: true, err: -1 };

    fn read(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { op: r.int()?, done: r.boolean()?, err: r.int()? })
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.int(self.op);
        w.boolean(self.done);
        w.int(self.err);
    }
}

/// One item of a multi (writes and checks) or a multiRead (reads).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultiOp<'a> {
    /// Creates a znode.
    Create(Create<'a>),
    /// As `Create`, answered with the `Stat`.
    Create2(Create<'a>),
    /// Creates a container znode.
    CreateContainer(Create<'a>),
    /// Creates a znode with a time to live.
    CreateTtl(CreateTtl<'a>),
    /// Deletes a znode.
    Delete {
        /// The znode.
        path: Ustring<'a>,
        /// Its expected version, -1 for any.
        version: i32,
    },
    /// Sets a znode's data.
    SetData {
        /// The znode.
        path: Ustring<'a>,
        /// The data, or null.
        data: Option<&'a [u8]>,
        /// Its expected version, -1 for any.
        version: i32,
    },
    /// Fails the whole multi if the version is another.
    Check {
        /// The znode.
        path: Ustring<'a>,
        /// Its expected version, -1 for any.
        version: i32,
    },
    /// Reads the children's names (multiRead).
    GetChildren {
        /// The znode.
        path: Ustring<'a>,
        /// Ignored by servers.
        watch: bool,
    },
    /// Reads the data (multiRead).
    GetData {
        /// The znode.
        path: Ustring<'a>,
        /// Ignored by servers.
        watch: bool,
    },
}

impl<'a> MultiOp<'a> {
    /// Creates a znode that is open to anyone; see [`Create`] for an ACL.
    pub fn create(path: &'a str, data: &'a [u8], mode: CreateMode) -> Self {
        Self::Create(Create::open(path, data, mode))
    }

    /// Deletes a znode whose version is the expected one, -1 for any.
    pub fn delete(path: &'a str, version: i32) -> Self {
        Self::Delete { path: path.into(), version }
    }

    /// Sets a znode's data if its version is the expected one, -1 for any.
    pub fn set_data(path: &'a str, data: &'a [u8], version: i32) -> Self {
        Self::SetData { path: path.into(), data: Some(data), version }
    }

    /// Fails the whole multi if the znode's version is another than the expected one, -1 for any.
    pub fn check(path: &'a str, version: i32) -> Self {
        Self::Check { path: path.into(), version }
    }

    /// Reads the children's names (multiRead).
    pub fn get_children(path: &'a str) -> Self {
        Self::GetChildren { path: path.into(), watch: false }
    }

    /// Reads the data (multiRead).
    pub fn get_data(path: &'a str) -> Self {
        Self::GetData { path: path.into(), watch: false }
    }

    /// The item's opcode.
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete { .. } => OpCode::Delete,
            Self::SetData { .. } => OpCode::SetData,
            Self::Check { .. } => OpCode::Check,
            Self::GetChildren { .. } => OpCode::GetChildren,
            Self::GetData { .. } => OpCode::GetData,
        }
    }

    /// The znode the item is about.
    pub const fn path(&self) -> Ustring<'a> {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.path
            }
            Self::CreateTtl(ttl) => ttl.create.path,
            Self::Delete { path, .. }
            | Self::SetData { path, .. }
            | Self::Check { path, .. }
            | Self::GetChildren { path, .. }
            | Self::GetData { path, .. } => *path,
        }
    }

    /// The same item about another znode.
    #[must_use]
    pub fn with_path<'b>(self, path: &'b str) -> MultiOp<'b>
    where
        'a: 'b,
    {
        let mut item: MultiOp<'b> = self;
        let named = match &mut item {
            MultiOp::Create(create)
            | MultiOp::Create2(create)
            | MultiOp::CreateContainer(create)
            | MultiOp::CreateTtl(CreateTtl { create, .. }) => &mut create.path,
            MultiOp::Delete { path, .. }
            | MultiOp::SetData { path, .. }
            | MultiOp::Check { path, .. }
            | MultiOp::GetChildren { path, .. }
            | MultiOp::GetData { path, .. } => path,
        };
        *named = path.into();
        item
    }

    /// The flags of a create; 0 for other items.
    pub const fn flags(&self) -> i32 {
        match self {
            Self::Create(create) | Self::Create2(create) => create.flags,
            Self::CreateTtl(ttl) => ttl.create.flags,
            _ => 0,
        }
    }
}

impl<'a> Item<'a> for MultiOp<'a> {
    fn read(header: MultiHeader, at: usize, r: &mut Reader<'a>) -> Result<Self, WireError> {
        let op = OpCode::from_wire(header.op).ok_or(WireError::BadMulti { at })?;
        Ok(match op {
            OpCode::Create => Self::Create(Create::read(r)?),
            OpCode::Create2 => Self::Create2(Create::read(r)?),
            OpCode::CreateContainer => Self::CreateContainer(Create::read(r)?),
            OpCode::CreateTtl => Self::CreateTtl(CreateTtl::read(r)?),
            OpCode::Delete => Self::Delete { path: r.ustring()?, version: r.int()? },
            OpCode::SetData => {
                Self::SetData { path: r.ustring()?, data: r.buffer()?, version: r.int()? }
            }
            OpCode::Check => Self::Check { path: r.ustring()?, version: r.int()? },
            OpCode::GetChildren => Self::GetChildren { path: r.ustring()?, watch: r.boolean()? },
            OpCode::GetData => Self::GetData { path: r.ustring()?, watch: r.boolean()? },
            _ => return Err(WireError::BadMulti { at }),
        })
    }

    fn write(&self, w: &mut Writer<'_>) {
        MultiHeader { op: self.op().to_wire(), done: false, err: -1 }.write(w);
        match *self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                create.write(w);
            }
            Self::CreateTtl(create) => create.write(w),
            Self::Delete { path, version } | Self::Check { path, version } => {
                w.path(path);
                w.int(version);
            }
            Self::SetData { path, data, version } => {
                w.path(path);
                w.buffer(data);
                w.int(version);
            }
            Self::GetChildren { path, watch } | Self::GetData { path, watch } => {
                w.path(path);
                w.boolean(watch);
            }
        }
    }
}

/// The result of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultiResult<'a> {
    /// The item failed with this code, or (0 and -2) was not carried out because another failed.
    Error(i32),
    /// A create's path.
    Create(Ustring<'a>),
    /// A create's path and `Stat`.
    Create2(Ustring<'a>, Stat),
    /// A delete succeeded.
    Delete,
    /// A check succeeded.
    Check,
    /// A setData's new `Stat`.
    SetData(Stat),
    /// A znode's children.
    Children(Children<'a>),
    /// A znode's data.
    Data(Data<'a>),
}

impl<'a> Item<'a> for MultiResult<'a> {
    fn read(header: MultiHeader, at: usize, r: &mut Reader<'a>) -> Result<Self, WireError> {
        if header.op == -1 {
            return Ok(Self::Error(r.int()?));
        }
        let op = OpCode::from_wire(header.op).ok_or(WireError::BadMulti { at })?;
        Ok(match op {
            OpCode::Create => Self::Create(r.ustring()?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Self::Create2(r.ustring()?, Stat::read(r)?)
            }
            OpCode::Delete => Self::Delete,
            OpCode::Check => Self::Check,
            OpCode::SetData => Self::SetData(Stat::read(r)?),
            OpCode::GetChildren => Self::Children(List::read(r)?),
            OpCode::GetData => Self::Data(Data::read(r)?),
            _ => return Err(WireError::BadMulti { at }),
        })
    }

    fn write(&self, w: &mut Writer<'_>) {
        let (op, err) = match self {
            Self::Error(err) => (-1, *err),
            Self::Create(_) => (OpCode::Create.to_wire(), 0),
            Self::Create2(..) => (OpCode::Create2.to_wire(), 0),
            Self::Delete => (OpCode::Delete.to_wire(), 0),
            Self::Check => (OpCode::Check.to_wire(), 0),
            Self::SetData(_) => (OpCode::SetData.to_wire(), 0),
            Self::Children(_) => (OpCode::GetChildren.to_wire(), 0),
            Self::Data(_) => (OpCode::GetData.to_wire(), 0),
        };
        MultiHeader { op, done: false, err }.write(w);
        match self {
            Self::Error(err) => w.int(*err),
            Self::Create(path) => w.ustring(*path),
            Self::Create2(path, stat) => {
                w.ustring(*path);
                stat.write(w);
            }
            Self::Delete | Self::Check => {}
            Self::SetData(stat) => stat.write(w),
            Self::Children(names) => names.write(w),
            Self::Data(data) => data.write(w),
        }
    }

    fn below(self, chroot: &str) -> Self {
        match self {
            Self::Create(path) => Self::Create(stripped(path, chroot)),
            Self::Create2(path, stat) => Self::Create2(stripped(path, chroot), stat),
            other => other,
        }
    }
}

impl<'a> Multi<'a, MultiResult<'a>> {
    /// The item that made a multi fail: its place and its error code; `None` if the multi succeeded.
    /// (A failed multi is a successful reply: the truth is in its items.) The items of a multiRead
    /// fail one by one; this is the first of them.
    pub fn failure(&self) -> Option<(usize, ErrorCode)> {
        self.iter().enumerate().find_map(|(at, result)| match result {
            MultiResult::Error(err) => ErrorCode::from_wire(err).map(|code| (at, code)),
            _ => None,
        })
    }
}

/// What can stand between a multi header and the next.
pub(crate) trait Item<'a>: Copy {
    fn read(header: MultiHeader, at: usize, r: &mut Reader<'a>) -> Result<Self, WireError>;
    fn write(&self, w: &mut Writer<'_>);

    /// The item as seen from below a chroot; requests are not looked at from there.
    fn below(self, _chroot: &str) -> Self {
        self
    }
}

/// The items of a multi: within a decoded frame, or the caller's slice.
#[derive(Clone, Copy)]
pub struct Multi<'a, T> {
    source: Source<'a, T>,
    /// Cut off the paths of results.
    chroot: &'a str,
}

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Wire(&'a [u8]),
    Slice(&'a [T]),
}

#[expect(private_bounds, reason = "the two kinds of item are fixed by the protocol")]
impl<'a, T: Item<'a>> Multi<'a, T> {
    /// The items of a slice.
    pub const fn from_slice(items: &'a [T]) -> Self {
        Self { source: Source::Slice(items), chroot: "" }
    }

    #[inline(never)]
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        let (bytes, start) = (r.rest(), r.position());
        while read_item::<T>(r)?.is_some() {}
        let used = r.position().saturating_sub(start);
        let source = Source::Wire(bytes.get(..used).unwrap_or_default());
        Ok(Self { source, chroot: "" })
    }

    /// The same items as seen from below a chroot.
    pub(crate) const fn below(self, chroot: &'a str) -> Self {
        Self { chroot, ..self }
    }

    #[inline(never)]
    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        for item in self.iter() {
            item.write(w);
        }
        MultiHeader::TRAILER.write(w);
    }

    /// The items in order.
    pub const fn iter(&self) -> MultiIter<'a, T> {
        let (bytes, slice): (&[u8], &[T]) = match self.source {
            Source::Wire(bytes) => (bytes, &[]),
            Source::Slice(slice) => (&[], slice),
        };
        MultiIter { reader: Reader::new(bytes), slice, chroot: self.chroot }
    }
}

impl<'a, T: Item<'a> + PartialEq> PartialEq for Multi<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a> + Eq> Eq for Multi<'a, T> {}

impl<'a, T: Item<'a> + core::fmt::Debug> core::fmt::Debug for Multi<'a, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The next item, or none at the trailer.
fn read_item<'a, T: Item<'a>>(r: &mut Reader<'a>) -> Result<Option<T>, WireError> {
    let at = r.position();
    let header = MultiHeader::read(r)?;
    if header.done {
        return Ok(None);
    }
    T::read(header, at, r).map(Some)
}

/// Iterates over the items of a [`Multi`].
#[derive(Clone, Debug)]
pub struct MultiIter<'a, T> {
    reader: Reader<'a>,
    slice: &'a [T],
    chroot: &'a str,
}

impl<'a, T: Item<'a>> Iterator for MultiIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Some((first, rest)) = self.slice.split_first() {
            self.slice = rest;
            return Some(first.below(self.chroot));
        }
        // Checked when the multi was read; a slice's reader is empty, which ends it as well.
        read_item(&mut self.reader).ok().flatten().map(|item: T| item.below(self.chroot))
    }
}
