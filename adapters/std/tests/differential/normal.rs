//! What two servers cannot agree on, put into words that they can: zxids count from where the
//! script began, sessions from the first one, the tree's root from how it was found, and lists
//! without an order are sorted. Times become 0 once they have been checked against the zxids.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use zk_session::ErrorCode;
use zk_session::wire::{
    Acl, ClientInfo, ConnectResponse, Data, List, OpCode, Reader, Reply, ReplyHeader, Stat,
    Ustring, WatcherEvent, Writer,
};

use crate::script::encode;

/// Where the fields of a `Stat` lie.
mod at {
    pub(super) const CZXID: usize = 0;
    pub(super) const MZXID: usize = 8;
    pub(super) const CTIME: usize = 16;
    pub(super) const MTIME: usize = 24;
    pub(super) const VERSION: usize = 32;
    pub(super) const CVERSION: usize = 36;
    pub(super) const OWNER: usize = 44;
    pub(super) const CHILDREN: usize = 56;
    pub(super) const PZXID: usize = 60;
}

/// One thing that a connection received, normalised.
#[derive(Clone, PartialEq)]
pub(crate) enum Got {
    Hello(Vec<u8>),
    Event(Vec<u8>),
    /// `op` is what was asked; `None` if nothing was asked with this xid.
    Reply {
        op: Option<i32>,
        frame: Vec<u8>,
    },
    Closed,
    Silence,
    /// A server contradicts itself.
    Odd(String),
}

/// What the numbers of one run count from.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) zxid: i64,
    /// The session ids that were given, in order.
    pub(crate) sessions: Vec<i64>,
    pub(crate) root: Option<Stat>,
    pub(crate) descendants: i32,
    /// The run's own name for the script's znode, without the slash.
    name: String,
    /// When each transaction took place.
    times: BTreeMap<i64, i64>,
}

impl Origin {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A zxid as an offset; 0 for what was there before.
    pub(crate) fn offset(&self, zxid: i64) -> i64 {
        if zxid < 0 { zxid } else { zxid.saturating_sub(self.zxid).max(0) }
    }

    /// What stands for the script's own znode.
    pub(crate) fn root_path(&self) -> String {
        format!("/{}", self.name)
    }

    fn session(&self, id: i64) -> i64 {
        match self.sessions.iter().position(|known| *known == id) {
            Some(at) => at as i64 + 1,
            None => id,
        }
    }

    pub(crate) fn hello(&self, mut frame: Vec<u8>) -> Got {
        let read = ConnectResponse::read(&mut Reader::new(&frame)).ok();
        let Some((id, passwd)) = read.map(|r| (r.session_id.0, r.passwd.map(<[u8]>::to_vec)))
        else {
            return Got::Odd(format!("no handshake: {frame:02x?}"));
        };
        put(&mut frame, 8, self.session(id));
        if let Some(bytes) = passwd.filter(|bytes| bytes.iter().any(|byte| *byte != 0)) {
            frame[20..20 + bytes.len()].fill(b'p');
        }
        Got::Hello(frame)
    }

    /// Normalises a frame behind the handshake. `about_root` tells which of its items are about
    /// the root of the tree.
    pub(crate) fn reply(
        &mut self,
        op: Option<i32>,
        about_root: &[bool],
        mut frame: Vec<u8>,
    ) -> Vec<Got> {
        let Ok(header) = ReplyHeader::read(&mut Reader::new(&frame)) else {
            return vec![Got::Odd(format!("no reply: {frame:02x?}"))];
        };
        put(&mut frame, 4, self.offset(header.zxid.0));
        let mut odd = Vec::new();
        let has_body = header.err == 0 || frame.len() > ReplyHeader::BYTES;
        if let Some(op) = op.and_then(OpCode::from_wire).filter(|_| has_body) {
            if self.body(op, about_root, &mut frame, &mut odd).is_none() {
                odd.push(format!("the body of {op:?} does not decode"));
            }
        }
        let got = Got::Reply { op, frame };
        odd.into_iter().map(Got::Odd).chain([got]).collect()
    }

    fn body(
        &mut self,
        op: OpCode,
        about_root: &[bool],
        frame: &mut Vec<u8>,
        odd: &mut Vec<String>,
    ) -> Option<()> {
        let mut end = ReplyHeader::BYTES;
        if matches!(op, OpCode::Multi | OpCode::MultiRead) {
            for item in 0.. {
                let mut r = Reader::new(frame.get(end..)?);
                let (code, done, _) = (r.int().ok()?, r.boolean().ok()?, r.int().ok()?);
                end += r.position();
                if done {
                    return Some(());
                }
                let root = about_root.get(item).copied().unwrap_or_default();
                end = match OpCode::from_wire(code) {
                    None => end + 4,
                    // In a multi, what is made of a container may be a create's result.
                    Some(op) => self.record(op, root, end, frame, odd)?,
                };
            }
        }
        let root = about_root.first().copied().unwrap_or_default();
        self.record(op, root, end, frame, odd)?;
        Some(())
    }

    /// Normalises the record of one reply at `start`; returns where it ends.
    fn record(
        &mut self,
        op: OpCode,
        root: bool,
        start: usize,
        frame: &mut Vec<u8>,
        odd: &mut Vec<String>,
    ) -> Option<usize> {
        let body = frame.get(start..)?.to_vec();
        let mut r = Reader::new(&body);
        match op {
            OpCode::GetChildren | OpCode::GetChildren2 => {
                let mut names: Vec<_> = List::<Ustring<'_>>::read(&mut r).ok()?.iter().collect();
                names.retain(|name| !self.is_other(*name));
                names.sort();
                replace(frame, start, r.position(), |w| List::from_slice(&names).write(w));
                let end = start + encode(|w| List::from_slice(&names).write(w)).len();
                if op == OpCode::GetChildren {
                    return Some(end);
                }
                return self.stat(end, root, frame, odd);
            }
            OpCode::GetEphemerals => {
                let mut paths: Vec<_> = List::<Ustring<'_>>::read(&mut r).ok()?.iter().collect();
                paths.sort();
                replace(frame, start, r.position(), |w| List::from_slice(&paths).write(w));
                return Some(start + r.position());
            }
            OpCode::WhoAmI => {
                let mut infos: Vec<_> = List::<ClientInfo<'_>>::read(&mut r).ok()?.iter().collect();
                infos.sort_by_key(|info| (info.scheme, info.user));
                replace(frame, start, r.position(), |w| List::from_slice(&infos).write(w));
                return Some(start + r.position());
            }
            OpCode::GetAllChildrenNumber => {
                let count = r.int().ok()?;
                if root {
                    let count = count.wrapping_sub(self.descendants);
                    frame[start..start + 4].copy_from_slice(&count.to_be_bytes());
                }
                return Some(start + 4);
            }
            _ => {}
        }
        let before_stat = match op {
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                r.ustring().ok()?;
                Some(r.position())
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Some(0),
            OpCode::GetData => {
                r.buffer().ok()?;
                Some(r.position())
            }
            OpCode::GetAcl => {
                List::<Acl<'_>>::read(&mut r).ok()?;
                Some(r.position())
            }
            _ => None,
        };
        match before_stat {
            Some(offset) => self.stat(start + offset, root, frame, odd),
            None => {
                Reply::read(op, &mut r).ok()?;
                Some(start + r.position())
            }
        }
    }

    /// Whether a name belongs to another run.
    fn is_other(&self, name: Ustring<'_>) -> bool {
        let bytes = name.as_bytes().unwrap_or_default();
        let of_a_run = bytes.len() == self.name.len()
            && bytes.strip_prefix(b"d").is_some_and(|rest| rest.iter().all(u8::is_ascii_hexdigit));
        of_a_run && bytes != self.name.as_bytes()
    }

    fn stat(
        &mut self,
        start: usize,
        root: bool,
        frame: &mut [u8],
        odd: &mut Vec<String>,
    ) -> Option<usize> {
        let stat = Stat::read(&mut Reader::new(frame.get(start..)?)).ok()?;
        for (zxid, time) in [(stat.czxid.0, stat.ctime), (stat.mzxid.0, stat.mtime)] {
            if self.offset(zxid) > 0 {
                let same = *self.times.entry(zxid).or_insert(time) == time;
                let earlier = self.times.range(..zxid).next_back().is_none_or(|(_, t)| *t <= time);
                if !(same && earlier && time > 1_600_000_000_000) {
                    odd.push(format!("transaction {zxid} took place at {time}, too"));
                }
            }
        }
        put(frame, start + at::CZXID, self.offset(stat.czxid.0));
        put(frame, start + at::MZXID, self.offset(stat.mzxid.0));
        put(frame, start + at::PZXID, self.offset(stat.pzxid.0));
        put(frame, start + at::CTIME, 0);
        put(frame, start + at::MTIME, 0);
        put(frame, start + at::OWNER, self.session(stat.ephemeral_owner));
        if let Some(before) = self.root.filter(|_| root) {
            let counts = [
                (at::VERSION, stat.version, before.version),
                (at::CVERSION, stat.cversion, before.cversion),
                (at::CHILDREN, stat.num_children, before.num_children),
            ];
            for (at, now, before) in counts {
                let bytes = now.wrapping_sub(before).to_be_bytes();
                frame[start + at..start + at + 4].copy_from_slice(&bytes);
            }
        }
        Some(start + Stat::BYTES)
    }
}

fn put(frame: &mut [u8], at: usize, value: i64) {
    frame[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

/// Puts what `write` writes in place of `len` bytes.
fn replace(frame: &mut Vec<u8>, at: usize, len: usize, write: impl FnOnce(&mut Writer<'_>)) {
    frame.splice(at..at + len, encode(write));
}

impl fmt::Debug for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Silence => f.write_str("silence"),
            Self::Odd(what) => write!(f, "ODD: {what}"),
            Self::Hello(frame) => {
                let len = frame.len();
                match ConnectResponse::read(&mut Reader::new(frame)) {
                    Ok(r) => write!(
                        f,
                        "session {} timeout {} read-only {:?} in {len} bytes",
                        r.session_id.0, r.timeout, r.read_only
                    ),
                    Err(error) => write!(f, "{frame:02x?}: {error}"),
                }
            }
            Self::Event(frame) => {
                let body = frame.get(ReplyHeader::BYTES..).unwrap_or_default();
                match WatcherEvent::read(&mut Reader::new(body)) {
                    Ok(WatcherEvent { kind, state, path }) => {
                        write!(f, "event {kind:?} {path:?} state {state}")?;
                        header(f, frame)
                    }
                    Err(error) => write!(f, "{frame:02x?}: {error}"),
                }
            }
            Self::Reply { op, frame } => {
                let body = frame.get(ReplyHeader::BYTES..).unwrap_or_default();
                let op = op.and_then(OpCode::from_wire);
                match (op, body) {
                    (_, []) => f.write_str("reply")?,
                    (Some(op), _) => write!(f, "{}", show(op, body))?,
                    (None, _) => write!(f, "reply {body:02x?}")?,
                }
                header(f, frame)
            }
        }
    }
}

fn header(f: &mut fmt::Formatter<'_>, frame: &[u8]) -> fmt::Result {
    match ReplyHeader::read(&mut Reader::new(frame)) {
        Ok(ReplyHeader { xid, zxid, err }) => {
            write!(f, " (xid {}, zxid {}", xid.0, zxid.0)?;
            match ErrorCode::from_wire(err) {
                Some(code) => write!(f, ", {code:?})"),
                None => f.write_str(")"),
            }
        }
        Err(error) => write!(f, "{frame:02x?}: {error}"),
    }
}

fn show(op: OpCode, body: &[u8]) -> String {
    let mut text = String::new();
    let _ = match Reply::decode(op, body) {
        Ok(Reply::Data(Data { data, stat })) => match data {
            Some(data) => write!(text, "data \"{}\" {stat:?}", data.escape_ascii()),
            None => write!(text, "data null {stat:?}"),
        },
        Ok(reply) => write!(text, "{reply:?}"),
        Err(error) => write!(text, "{op:?} {body:02x?}: {error}"),
    };
    text
}
