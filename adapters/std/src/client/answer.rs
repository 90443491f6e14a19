//! Replies that have left the receive buffer.

use zk_session::wire::{List, Record, Reply, Stat, Ustring};

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
    /// Data, or null, and metadata: getData.
    Data(Option<Vec<u8>>, Stat),
    /// Names or paths: getChildren, getEphemerals.
    Children(Vec<String>),
    /// Names and metadata: getChildren2.
    Children2(Vec<String>, Stat),
    /// A number: getAllChildrenNumber.
    Count(i32),
    /// A reply for which this adapter has no owned form yet: its encoded body.
    Raw(Vec<u8>),
}

impl Answer {
    /// Copies a reply.
    pub(crate) fn from_reply(reply: &Reply<'_>) -> Self {
        match reply {
            Reply::Empty | Reply::AddWatch(_) => Self::Empty,
            Reply::Path(path) => Self::Path(text(*path)),
            Reply::Created(path, stat) => Self::Created(text(*path), *stat),
            Reply::Stat(stat) => Self::Stat(*stat),
            Reply::Data(data) => Self::Data(data.data.map(<[u8]>::to_vec), data.stat),
            Reply::Children(names) => Self::Children(texts(*names)),
            Reply::Children2(names, stat) => Self::Children2(texts(*names), *stat),
            Reply::Count(count) => Self::Count(*count),
            other => Self::Raw(encoded(other)),
        }
    }
}

fn text(from: Ustring<'_>) -> String {
    String::from_utf8_lossy(from.as_bytes().unwrap_or_default()).into_owned()
}

fn texts<'a>(names: List<'a, Ustring<'a>>) -> Vec<String>
where
    Ustring<'a>: Record<'a>,
{
    names.iter().map(text).collect()
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut measure = zk_session::wire::Writer::new(&mut []);
    reply.encode(&mut measure);
    let mut bytes = vec![0; measure.len()];
    reply.encode(&mut zk_session::wire::Writer::new(&mut bytes));
    bytes
}
