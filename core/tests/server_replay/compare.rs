//! What counts as the same answer.

use serde_json::Value;
use zk_session::server::zookeeper_passwd;
use zk_session::wire::{
    ClientInfo, ConnectResponse, List, MultiResult, OpCode, Reader, Reply, ReplyHeader, Stat,
    Ustring, WatcherEvent, Xid,
};

use super::{Replay, Step};
use crate::server_common::reply;

impl Replay<'_> {
    pub(super) fn compare_handshakes(&mut self, ours: &[u8], theirs: &[u8]) -> Step {
        let read =
            |bytes| ConnectResponse::read(&mut Reader::new(bytes)).map_err(|e| e.to_string());
        let (ours, theirs) = (read(ours)?, read(theirs)?);
        same("protocol version", ours.protocol_version, theirs.protocol_version)?;
        same("timeout", ours.timeout, theirs.timeout)?;
        same("read-only", ours.read_only, theirs.read_only)?;
        same("session", ours.session_id.is_some(), theirs.session_id.is_some())?;
        let (Some(our_passwd), Some(their_passwd)) = (ours.passwd, theirs.passwd) else {
            return Err("a null password".into());
        };
        if theirs.timeout <= 0 {
            return same("password", our_passwd, their_passwd);
        }
        same("their password", &zookeeper_passwd(theirs.session_id).0[..], their_passwd)?;
        let their_server = theirs.session_id.0.to_be_bytes()[0];
        same("server", ours.session_id.0.to_be_bytes()[0], self.server(their_server).0)?;
        let known = (ours.session_id.0, to_hex(their_passwd), our_passwd.try_into().unwrap());
        match self.sessions.get(&theirs.session_id.0) {
            Some(before) => same("session", before, &known),
            None => {
                self.sessions.insert(theirs.session_id.0, known);
                Ok(())
            }
        }
    }

    pub(super) fn compare_events(&mut self, ours: &[u8], theirs: &[u8]) -> Step {
        let (ours, theirs) = (&mut Reader::new(ours), &mut Reader::new(theirs));
        self.compare_headers(ours, theirs)?;
        let read = |reader: &mut Reader<'_>| WatcherEvent::read(reader).map(|e| format!("{e:?}"));
        same("event", read(ours), read(theirs))
    }

    fn compare_headers(
        &mut self,
        ours: &mut Reader<'_>,
        theirs: &mut Reader<'_>,
    ) -> Result<ReplyHeader, String> {
        let read = |reader: &mut Reader<'_>| ReplyHeader::read(reader).map_err(|e| e.to_string());
        let (ours, theirs) = (read(ours)?, read(theirs)?);
        same("xid", ours.xid, theirs.xid)?;
        same("error", ours.err, theirs.err)?;
        self.same_zxid("zxid", ours.zxid.0, theirs.zxid.0)?;
        Ok(theirs)
    }

    pub(super) fn compare_replies(
        &mut self,
        label: &str,
        ours: &[u8],
        theirs: &[u8],
        line: &Value,
    ) -> Step {
        let (ours, theirs) = (&mut Reader::new(ours), &mut Reader::new(theirs));
        let header = self.compare_headers(ours, theirs)?;
        let paths = &mut self.conns.get_mut(label).unwrap().paths;
        let at = paths.iter().position(|(xid, _)| *xid == header.xid.0 || header.xid == Xid::PING);
        let path = at.and_then(|at| paths.remove(at)).map(|(_, path)| path).unwrap_or_default();
        let name = line["decoded"]["op"].as_str().unwrap();
        let Some(op) = op_of(name) else { return same("body", ours.rest(), theirs.rest()) };
        if header.err != 0 {
            return same("body", ours.rest(), theirs.rest());
        }
        let read = |reader: &mut Reader<'_>| reader.rest().to_vec();
        let (ours, theirs) = (read(ours), read(theirs));
        let (ours, theirs) = (reply(op, &ours), reply(op, &theirs));
        self.compare_bodies(&path, &ours, &theirs)
    }

    fn compare_bodies(&mut self, path: &str, ours: &Reply<'_>, theirs: &Reply<'_>) -> Step {
        match (ours, theirs) {
            (Reply::Path(ours), Reply::Path(theirs)) => same_path(ours.as_str(), theirs.as_str()),
            (Reply::Created(ours, our_stat), Reply::Created(theirs, their_stat)) => {
                same_path(ours.as_str(), theirs.as_str())?;
                self.same_stat(path, our_stat, their_stat)
            }
            (Reply::Stat(ours), Reply::Stat(theirs)) => self.same_stat(path, ours, theirs),
            (Reply::Data(ours), Reply::Data(theirs)) => {
                same("data", ours.data, theirs.data)?;
                self.same_stat(path, &ours.stat, &theirs.stat)
            }
            (Reply::Acl(ours, our_stat), Reply::Acl(theirs, their_stat)) => {
                same("acl", ours, theirs)?;
                self.same_stat(path, our_stat, their_stat)
            }
            (Reply::Children(ours), Reply::Children(theirs)) => {
                same_names(ours.iter(), theirs.iter())
            }
            (Reply::Children2(ours, our_stat), Reply::Children2(theirs, their_stat)) => {
                same_names(ours.iter(), theirs.iter())?;
                self.same_stat(path, our_stat, their_stat)
            }
            (Reply::Multi(ours), Reply::Multi(theirs)) => {
                same("items", ours.iter().count(), theirs.iter().count())?;
                for (ours, theirs) in ours.iter().zip(theirs.iter()) {
                    self.same_result(&ours, &theirs)?;
                }
                Ok(())
            }
            (Reply::WhoAmI(ours), Reply::WhoAmI(theirs)) => {
                let sorted = |list: &List<'_, _>| {
                    let mut all: Vec<String> =
                        list.iter().map(|info: ClientInfo<'_>| format!("{info:?}")).collect();
                    all.sort();
                    all
                };
                same("identities", sorted(ours), sorted(theirs))
            }
            _ => same("body", ours, theirs),
        }
    }

    fn same_result(&mut self, ours: &MultiResult<'_>, theirs: &MultiResult<'_>) -> Step {
        match (ours, theirs) {
            (MultiResult::Create2(ours, our_stat), MultiResult::Create2(theirs, their_stat)) => {
                same_path(ours.as_str(), theirs.as_str())?;
                self.same_stat("an item", our_stat, their_stat)
            }
            (MultiResult::SetData(ours), MultiResult::SetData(theirs)) => {
                self.same_stat("an item", ours, theirs)
            }
            (MultiResult::Data(ours), MultiResult::Data(theirs)) => {
                same("data", ours.data, theirs.data)?;
                self.same_stat("an item", &ours.stat, &theirs.stat)
            }
            (MultiResult::Children(ours), MultiResult::Children(theirs)) => {
                same_names(ours.iter(), theirs.iter())
            }
            _ => same("result", ours, theirs),
        }
    }

    fn same_stat(&mut self, path: &str, ours: &Stat, theirs: &Stat) -> Step {
        self.same_zxid("czxid", ours.czxid.0, theirs.czxid.0)?;
        self.same_zxid("mzxid", ours.mzxid.0, theirs.mzxid.0)?;
        same("version", ours.version, theirs.version)?;
        same("aversion", ours.aversion, theirs.aversion)?;
        same("length", ours.data_length, theirs.data_length)?;
        same("children", ours.num_children, theirs.num_children)?;
        same("created at 0", ours.ctime == 0, theirs.ctime == 0)?;
        same("changed since", ours.mtime > ours.ctime, theirs.mtime > theirs.ctime)
            .or_else(|e| if ours.version > 0 { Ok(()) } else { Err(e) })?;
        match (ours.ephemeral_owner, theirs.ephemeral_owner) {
            (ours, 0) => same("owner", ours, 0)?,
            (ours, theirs) => {
                let known = self.sessions.get(&theirs).map(|(id, ..)| *id);
                same("owner", Some(ours), known)?;
            }
        }
        if path.is_empty() || path == "/" {
            // Of the root, and of what may be it, the history is in these.
            return Ok(());
        }
        self.same_zxid("pzxid", ours.pzxid.0, theirs.pzxid.0)?;
        same("cversion", ours.cversion, theirs.cversion)
    }

    fn same_zxid(&mut self, what: &str, ours: i64, theirs: i64) -> Step {
        if theirs <= 0 {
            return same(what, ours, theirs);
        }
        match self.zxids.get(&theirs) {
            Some(before) => same(what, ours, *before),
            None => {
                self.zxids.insert(theirs, ours);
                Ok(())
            }
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Step {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?} instead of {theirs:?}")) }
}

/// The number of a sequential child of the root depends on what else the root ever had.
fn same_path(ours: Option<&str>, theirs: Option<&str>) -> Step {
    fn stem(path: &str) -> &str {
        let digits = path.len().saturating_sub(10);
        match path.get(digits..) {
            Some(tail)
                if path.rfind('/') == Some(0) && tail.bytes().all(|b| b.is_ascii_digit()) =>
            {
                &path[..digits]
            }
            _ => path,
        }
    }
    same("path", ours.map(stem), theirs.map(stem))
}

fn same_names<'a>(
    ours: impl Iterator<Item = Ustring<'a>>,
    theirs: impl Iterator<Item = Ustring<'a>>,
) -> Step {
    let sorted = |names: Vec<_>| {
        let mut names = names;
        names.sort();
        names
    };
    same("names", sorted(ours.collect()), sorted(theirs.collect()))
}

fn op_of(name: &str) -> Option<OpCode> {
    Some(match name {
        "create" => OpCode::Create,
        "delete" => OpCode::Delete,
        "exists" => OpCode::Exists,
        "getData" => OpCode::GetData,
        "setData" => OpCode::SetData,
        "getACL" => OpCode::GetAcl,
        "setACL" => OpCode::SetAcl,
        "getChildren" => OpCode::GetChildren,
        "sync" => OpCode::Sync,
        "getChildren2" => OpCode::GetChildren2,
        "multi" => OpCode::Multi,
        "create2" => OpCode::Create2,
        "createContainer" => OpCode::CreateContainer,
        "createTTL" => OpCode::CreateTtl,
        "multiRead" => OpCode::MultiRead,
        "sasl" => OpCode::Sasl,
        "getEphemerals" => OpCode::GetEphemerals,
        "getAllChildrenNumber" => OpCode::GetAllChildrenNumber,
        "addWatch" => OpCode::AddWatch,
        "whoAmI" => OpCode::WhoAmI,
        _ => return None,
    })
}

pub(super) fn long(value: &Value) -> i64 {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap().cast_signed()
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
