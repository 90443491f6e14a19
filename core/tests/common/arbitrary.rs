//! Arbitrary records: values that own, and the records that borrow from them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use zk_session::wire::{
    Acl, ClientInfo, Create, CreateTtl, Data, List, Multi, MultiOp, MultiResult, OpCode, Paths,
    Perms, Reconfig, Record, Reply, Request, SetWatches, Stat, Ustring, Zxid,
};

use super::exercise::op_codes;

pub(crate) type Bytes = Option<Vec<u8>>;

/// What records borrow from.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) strings: [Bytes; 3],
    data: Bytes,
    /// Null, or the strings of a vector.
    names: Option<Vec<Bytes>>,
    /// Null, or the entries of an ACL.
    acl: Option<Vec<(i32, Bytes, Bytes)>>,
    ints: [i32; 2],
    long: i64,
    flag: bool,
    pub(crate) stat: Stat,
    /// Which operations a multi is made of.
    items: Vec<u8>,
}

/// The first level of what is borrowed: elements of vectors.
pub(crate) struct Elements<'a> {
    owned: &'a Owned,
    names: Option<Vec<Ustring<'a>>>,
    acl: Option<Vec<Acl<'a>>>,
    pub(crate) identities: Option<Vec<ClientInfo<'a>>>,
}

/// The second level: items of a multi.
pub(crate) struct Items<'a> {
    elements: &'a Elements<'a>,
    ops: Vec<MultiOp<'a>>,
    results: Vec<MultiResult<'a>>,
}

pub(crate) fn ustring(bytes: &Bytes) -> Ustring<'_> {
    bytes.as_deref().map_or(Ustring::NULL, Ustring::from_bytes)
}

pub(crate) fn entry((perms, scheme, id): &(i32, Bytes, Bytes)) -> Acl<'_> {
    Acl { perms: Perms(*perms), scheme: ustring(scheme), id: ustring(id) }
}

pub(crate) fn identity((_, scheme, user): &(i32, Bytes, Bytes)) -> ClientInfo<'_> {
    ClientInfo { scheme: ustring(scheme), user: ustring(user) }
}

/// A list of a slice that may be null.
pub(crate) fn list<'a, T: Record<'a>>(items: Option<&'a [T]>) -> List<'a, T> {
    items.map_or(List::NULL, List::from_slice)
}

impl Owned {
    pub(crate) fn elements(&self) -> Elements<'_> {
        let acl = self.acl.as_deref();
        Elements {
            owned: self,
            names: self.names.as_ref().map(|names| names.iter().map(ustring).collect()),
            acl: acl.map(|acl| acl.iter().map(entry).collect()),
            identities: acl.map(|acl| acl.iter().map(identity).collect()),
        }
    }

    fn path(&self) -> Ustring<'_> {
        ustring(&self.strings[0])
    }
}

impl<'a> Elements<'a> {
    pub(crate) fn items(&'a self) -> Items<'a> {
        let ops = self.owned.items.iter().map(|kind| self.op(*kind)).collect();
        let results = self.owned.items.iter().map(|kind| self.result(*kind)).collect();
        Items { elements: self, ops, results }
    }

    pub(crate) fn names(&'a self) -> List<'a, Ustring<'a>> {
        list(self.names.as_deref())
    }

    pub(crate) fn acl(&'a self) -> List<'a, Acl<'a>> {
        list(self.acl.as_deref())
    }

    fn create(&'a self) -> Create<'a> {
        let owned = self.owned;
        let (path, data) = (owned.path(), owned.data.as_deref());
        Create { path, data, acl: self.acl(), flags: owned.ints[0] }
    }

    fn create_ttl(&'a self) -> CreateTtl<'a> {
        CreateTtl { create: self.create(), ttl: self.owned.long }
    }

    fn data(&self) -> Data<'a> {
        Data { data: self.owned.data.as_deref(), stat: self.owned.stat }
    }

    fn op(&'a self, kind: u8) -> MultiOp<'a> {
        let Owned { data, ints: [version, _], flag: watch, .. } = self.owned;
        let (path, data) = (self.owned.path(), data.as_deref());
        let (version, watch) = (*version, *watch);
        match kind % 9 {
            0 => MultiOp::Create(self.create()),
            1 => MultiOp::Create2(self.create()),
            2 => MultiOp::CreateContainer(self.create()),
            3 => MultiOp::CreateTtl(self.create_ttl()),
            4 => MultiOp::Delete { path, version },
            5 => MultiOp::SetData { path, data, version },
            6 => MultiOp::Check { path, version },
            7 => MultiOp::GetChildren { path, watch },
            _ => MultiOp::GetData { path, watch },
        }
    }

    fn result(&'a self, kind: u8) -> MultiResult<'a> {
        let Owned { ints: [err, _], stat, .. } = self.owned;
        match kind % 8 {
            0 => MultiResult::Error(*err),
            1 => MultiResult::Create(self.owned.path()),
            2 => MultiResult::Create2(self.owned.path(), *stat),
            3 => MultiResult::Delete,
            4 => MultiResult::Check,
            5 => MultiResult::SetData(*stat),
            6 => MultiResult::Children(self.names()),
            _ => MultiResult::Data(self.data()),
        }
    }
}

impl<'a> Items<'a> {
    pub(crate) fn request(&'a self, op: OpCode) -> Request<'a> {
        let elements = self.elements;
        let owned = elements.owned;
        let [_, second, third] = &owned.strings;
        let [version, kind] = owned.ints;
        let (path, data, watch) = (owned.path(), owned.data.as_deref(), owned.flag);
        let one_shot = SetWatches {
            relative_zxid: Zxid(owned.long),
            data: elements.names(),
            exist: List::NULL,
            child: elements.names(),
            persistent: List::from_slice(&[]),
            persistent_recursive: List::from_slice(&[]),
        };
        match op {
            OpCode::Create => Request::Create(elements.create()),
            OpCode::Create2 => Request::Create2(elements.create()),
            OpCode::CreateContainer => Request::CreateContainer(elements.create()),
            OpCode::CreateTtl => Request::CreateTtl(elements.create_ttl()),
            OpCode::Delete => Request::Delete { path, version },
            OpCode::Exists => Request::Exists { path, watch },
            OpCode::GetData => Request::GetData { path, watch },
            OpCode::SetData => Request::SetData { path, data, version },
            OpCode::GetAcl => Request::GetAcl { path },
            OpCode::SetAcl => Request::SetAcl { path, acl: elements.acl(), version },
            OpCode::GetChildren => Request::GetChildren { path, watch },
            OpCode::GetChildren2 => Request::GetChildren2 { path, watch },
            OpCode::Sync => Request::Sync { path },
            OpCode::Ping => Request::Ping,
            OpCode::Check => Request::Check { path, version },
            OpCode::Multi => Request::Multi(Multi::from_slice(&self.ops)),
            OpCode::MultiRead => Request::MultiRead(Multi::from_slice(&self.ops)),
            OpCode::Reconfig => Request::Reconfig(Reconfig {
                joining: path,
                leaving: ustring(second),
                new_members: ustring(third),
                current_config: owned.long,
            }),
            OpCode::CheckWatches => Request::CheckWatches { path, kind },
            OpCode::RemoveWatches => Request::RemoveWatches { path, kind },
            OpCode::Auth => Request::Auth { kind, scheme: ustring(second), auth: data },
            OpCode::SetWatches => Request::SetWatches(one_shot),
            OpCode::SetWatches2 => Request::SetWatches2(SetWatches {
                persistent: elements.names(),
                persistent_recursive: List::NULL,
                ..one_shot
            }),
            OpCode::Sasl => Request::Sasl { token: data },
            OpCode::GetEphemerals => Request::GetEphemerals { prefix: path },
            OpCode::GetAllChildrenNumber => Request::GetAllChildrenNumber { path },
            OpCode::AddWatch => Request::AddWatch { path, mode: kind },
            OpCode::WhoAmI => Request::WhoAmI,
            OpCode::CloseSession => Request::CloseSession,
            other => panic!("not written down: a request for {other:?}"),
        }
    }

    pub(crate) fn reply(&'a self, op: OpCode) -> Reply<'a> {
        let elements = self.elements;
        let owned = elements.owned;
        match op {
            OpCode::Create | OpCode::Sync => Reply::Path(owned.path()),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Reply::Created(owned.path(), owned.stat)
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Reply::Stat(owned.stat),
            OpCode::GetData | OpCode::Reconfig => Reply::Data(elements.data()),
            OpCode::GetAcl => Reply::Acl(elements.acl(), owned.stat),
            OpCode::GetChildren => Reply::Children(elements.names()),
            OpCode::GetEphemerals => Reply::Ephemerals(Paths::from_list(elements.names())),
            OpCode::GetChildren2 => Reply::Children2(elements.names(), owned.stat),
            OpCode::Multi | OpCode::MultiRead => Reply::Multi(Multi::from_slice(&self.results)),
            OpCode::GetAllChildrenNumber => Reply::Count(owned.ints[0]),
            OpCode::AddWatch => Reply::AddWatch(owned.ints[0]),
            OpCode::WhoAmI => Reply::WhoAmI(list(elements.identities.as_deref())),
            OpCode::Sasl => Reply::Sasl(owned.data.as_deref()),
            _ => Reply::Empty,
        }
    }
}

/// Null, text, or bytes that need not be UTF-8.
pub(crate) fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        1 => Just(None),
        3 => "(/[a-z]{1,4}){0,3}".prop_map(|text| Some(text.into_bytes())),
        2 => vec(any::<u8>(), 0..12).prop_map(Some),
    ]
}

pub(crate) fn stat() -> impl Strategy<Value = Stat> {
    let longs = any::<[i64; 6]>();
    (longs, any::<[i32; 5]>()).prop_map(
        |([czxid, mzxid, ctime, mtime, ephemeral_owner, pzxid], ints)| {
            let [version, cversion, aversion, data_length, num_children] = ints;
            Stat {
                czxid: Zxid(czxid),
                mzxid: Zxid(mzxid),
                ctime,
                mtime,
                version,
                cversion,
                aversion,
                ephemeral_owner,
                data_length,
                num_children,
                pzxid: Zxid(pzxid),
            }
        },
    )
}

pub(crate) fn owned() -> impl Strategy<Value = Owned> {
    let names = option::weighted(0.9, vec(bytes(), 0..5));
    let acl = option::weighted(0.9, vec((any::<i32>(), bytes(), bytes()), 0..4));
    let strings = [bytes(), bytes(), bytes()];
    let numbers = (any::<[i32; 2]>(), any::<i64>(), any::<bool>(), stat());
    (strings, bytes(), names, acl, numbers, vec(any::<u8>(), 0..6)).prop_map(
        |(strings, data, names, acl, (ints, long, flag, stat), items)| Owned {
            strings,
            data,
            names,
            acl,
            ints,
            long,
            flag,
            stat,
            items,
        },
    )
}

pub(crate) fn op() -> impl Strategy<Value = OpCode> {
    select(op_codes())
}

pub(crate) fn connect_body() -> impl Strategy<Value = (i32, i64, i32, i64, Bytes, Option<bool>)> {
    let passwd = prop_oneof![
        3 => vec(any::<u8>(), 16).prop_map(Some),
        1 => bytes(),
    ];
    (any::<i32>(), any::<i64>(), any::<i32>(), any::<i64>(), passwd, any::<Option<bool>>())
}

/// Mostly the small, the negative and the extreme, so that lengths and counts are often plausible.
pub(crate) fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let int = prop_oneof![
        6 => 0..20_i32,
        2 => -2..0_i32,
        1 => select(op_codes()).prop_map(OpCode::to_wire),
        1 => select(vec![i32::MAX, i32::MIN, 1 << 24]),
    ];
    let piece = prop_oneof![
        3 => int.prop_map(|int| int.to_be_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..5),
        1 => vec(0..2_u8, 1..2),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}
