//! Replies that have left the receive buffer: what adapters hand to applications.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::client::{ClientSession, ExportError, RawReply, TicketContents};
use crate::error::ErrorCode;
use crate::wire::{
    Acl, ClientInfo, Data, MultiResult, OpCode, Perms, Reply, Stat, Ustring, WireError, Writer,
};

/// A reply's body, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// No body.
    Empty,
    /// A path: create, sync.
    Path(String),
    /// A path and its metadata: create2 and its kin.
    Created(String, Stat),
    /// Metadata: exists, setData, setACL.
    Stat(Stat),
    /// Data, or null, and metadata: getData, reconfig.
    Data(Option<Vec<u8>>, Stat),
    /// Names or paths: getChildren, getEphemerals.
    Children(Vec<String>),
    /// Names and metadata: getChildren2.
    Children2(Vec<String>, Stat),
    /// A number: getAllChildrenNumber.
    Count(i32),
    /// Who may do what, and metadata: getACL.
    Acl(Vec<AclEntry>, Stat),
    /// One result an item: multi, multiRead.
    Multi(Vec<ItemAnswer>),
    /// Who the connection is: whoAmI.
    WhoAmI(Vec<Identity>),
    /// A reply of a kind that has no owned form: its encoded body.
    Raw(Vec<u8>),
}

/// One entry of an ACL, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// What is allowed.
    pub perms: Perms,
    /// How identities are told: `world`, `digest`, `ip`, `sasl`, `x509`.
    pub scheme: String,
    /// Who.
    pub id: String,
}

impl AclEntry {
    /// The entry as requests take it.
    pub fn as_acl(&self) -> Acl<'_> {
        Acl { perms: self.perms, scheme: self.scheme.as_str().into(), id: self.id.as_str().into() }
    }
}

/// One identity of a connection, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The authentication scheme.
    pub scheme: String,
    /// Who, by that scheme.
    pub user: String,
}

/// What became of one item of a multi or multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ItemAnswer {
    /// A znode was created. Whether its metadata comes along is the release's choice, not the
    /// request's.
    Created(String, Option<Stat>),
    /// A znode was deleted.
    Deleted,
    /// Data was set.
    Stat(Stat),
    /// The version is the expected one.
    Checked,
    /// A znode's data, or null, and its metadata.
    Data(Option<Vec<u8>>, Stat),
    /// The names of a znode's children.
    Children(Vec<String>),
    /// The item failed.
    Failed(ErrorCode),
    /// The item was undone, for another of the multi failed.
    RolledBack,
}

impl Answer {
    /// Copies a reply.
    pub fn from_reply(reply: &Reply<'_>) -> Self {
        match reply {
            Reply::Empty | Reply::AddWatch(_) => Self::Empty,
            Reply::Path(path) => Self::Path(text(*path)),
            Reply::Created(path, stat) => Self::Created(text(*path), *stat),
            Reply::Stat(stat) => Self::Stat(*stat),
            Reply::Data(data) => Self::Data(data.data.map(<[u8]>::to_vec), data.stat),
            Reply::Children(names) => Self::Children(names.iter().map(text).collect()),
            Reply::Ephemerals(paths) => Self::Children(paths.iter().map(text).collect()),
            Reply::Children2(names, stat) => {
                Self::Children2(names.iter().map(text).collect(), *stat)
            }
            Reply::Count(count) => Self::Count(*count),
            Reply::Acl(acl, stat) => Self::Acl(acl.iter().map(entry).collect(), *stat),
            Reply::Multi(results) => Self::Multi(results.iter().map(item).collect()),
            Reply::WhoAmI(identities) => Self::WhoAmI(identities.iter().map(identity).collect()),
            other => Self::Raw(encoded(other)),
        }
    }

    /// Decodes a reply and copies it, the common kinds in one step.
    ///
    /// # Errors
    /// [`WireError`] as the caller's kind of error, if the bytes are not such a body.
    #[inline(always)]
    pub fn from_raw<E: From<WireError>>(reply: &RawReply<'_>) -> Result<Self, E> {
        // Where it is called, lest the commonest answer is moved on its way.
        match reply.op() {
            OpCode::GetData => match reply.data() {
                Ok(Data { data, stat }) => Ok(Self::Data(data.map(<[u8]>::to_vec), stat)),
                Err(error) => Err(error.into()),
            },
            _ => Ok(Self::from_any(reply)?),
        }
    }

    #[inline(never)]
    fn from_any(reply: &RawReply<'_>) -> Result<Self, WireError> {
        Ok(match reply.op() {
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Self::Stat(reply.stat()?),
            OpCode::Create | OpCode::Sync => Self::Path(text(reply.path()?)),
            OpCode::GetChildren => Self::Children(reply.children()?.iter().map(text).collect()),
            OpCode::Delete => Self::Empty,
            _ => Self::from_reply(&reply.decode()?),
        })
    }
}

fn text(from: Ustring<'_>) -> String {
    String::from_utf8_lossy(from.as_bytes().unwrap_or_default()).into_owned()
}

fn entry(acl: Acl<'_>) -> AclEntry {
    AclEntry { perms: acl.perms, scheme: text(acl.scheme), id: text(acl.id) }
}

fn identity(info: ClientInfo<'_>) -> Identity {
    Identity { scheme: text(info.scheme), user: text(info.user) }
}

fn item(result: MultiResult<'_>) -> ItemAnswer {
    match result {
        MultiResult::Create(path) => ItemAnswer::Created(text(path), None),
        MultiResult::Create2(path, stat) => ItemAnswer::Created(text(path), Some(stat)),
        MultiResult::Delete => ItemAnswer::Deleted,
        MultiResult::Check => ItemAnswer::Checked,
        MultiResult::SetData(stat) => ItemAnswer::Stat(stat),
        MultiResult::Data(data) => ItemAnswer::Data(data.data.map(<[u8]>::to_vec), data.stat),
        MultiResult::Children(names) => ItemAnswer::Children(names.iter().map(text).collect()),
        MultiResult::Error(err) => match ErrorCode::from_wire(err) {
            None | Some(ErrorCode::RuntimeInconsistency) => ItemAnswer::RolledBack,
            Some(code) => ItemAnswer::Failed(code),
        },
    }
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut measure = Writer::new(&mut []);
    reply.encode(&mut measure);
    let mut bytes = vec![0; measure.len()];
    reply.encode(&mut Writer::new(&mut bytes));
    bytes
}

/// The session's ticket, with memory of its own.
///
/// # Errors
/// As [`ClientSession::ticket`], and never for want of memory.
pub fn ticket(
    session: &ClientSession<'_>,
    contents: TicketContents,
) -> Result<Vec<u8>, ExportError> {
    let mut memory = Vec::new();
    loop {
        match session.ticket(contents, &mut memory).map(<[u8]>::len) {
            Ok(len) => {
                memory.truncate(len);
                return Ok(memory);
            }
            Err(ExportError::Memory(error)) => memory.resize(error.needed, 0),
            Err(error) => return Err(error),
        }
    }
}
