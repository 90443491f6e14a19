//! A server that answers anything a client says, well or badly.

use zk_session::ErrorCode;
use zk_session::wire::{
    AddWatchMode, Children, Create, CreateMode, Data, EventType, List, OpCode, Reply, Request,
    Stat, WatcherType, Xid,
};

use super::peer::{
    Ear, PASSWD, Sent, accepted, error, handshake_answer, notification, refused, reply,
};
use super::rng::Rng;

/// The znodes of the scripts; the last one's replies are long.
pub(crate) const PATHS: [&str; 6] = ["/", "/a", "/b", "/a/c", "/é", "/some/longer/path-0000000042"];

/// One connection's server, with what it has said and the client has not yet received.
#[derive(Debug, Default)]
pub(crate) struct Server {
    ear: Ear,
    pub(crate) said: Vec<u8>,
    zxid: i64,
    /// What the last new session was called.
    next_id: i64,
}

impl Server {
    /// Another connection.
    pub(crate) fn reset(&mut self) {
        self.ear = Ear::default();
        self.said.clear();
    }

    /// Hears bytes and says what it has to say about them.
    pub(crate) fn hear(&mut self, bytes: &[u8], chroot: &str, rng: &mut Rng) {
        for sent in self.ear.hear(bytes) {
            let answer = match &sent {
                Sent::Handshake(handshake) => self.greet(handshake.session_id, rng),
                Sent::Request { xid, op, .. } => self.answer(*xid, *op, chroot, rng),
            };
            self.said.extend(answer);
        }
    }

    fn greet(&mut self, id: i64, rng: &mut Rng) -> Vec<u8> {
        let timeout = *rng.pick(&[4000, 4000, 4000, 6000, 6000, 100, 1, i32::MAX]);
        if id == 0 {
            self.next_id += 1;
        }
        let id = if id == 0 { self.next_id } else { id };
        match rng.below(24) {
            0 => refused(),
            1 => accepted(id + 1000, timeout),
            2 => handshake_answer(id, timeout, &PASSWD, Some(true)),
            3 => handshake_answer(id, timeout, &PASSWD, None),
            4 => handshake_answer(id, timeout, &PASSWD[..7], Some(false)),
            5 => handshake_answer(0, timeout, &PASSWD, Some(false)),
            _ => accepted(id, timeout),
        }
    }

    fn answer(&mut self, xid: i32, op: OpCode, chroot: &str, rng: &mut Rng) -> Vec<u8> {
        self.zxid += 1;
        let (zxid, xid) = (self.zxid, Xid(xid));
        if rng.one_in(6) {
            let codes = [
                ErrorCode::NoNode,
                ErrorCode::NoNode,
                ErrorCode::NodeExists,
                ErrorCode::Unimplemented,
                ErrorCode::SessionMoved,
                ErrorCode::AuthFailed,
                ErrorCode::Unknown(-77),
            ];
            return error(xid, zxid, *rng.pick(&codes));
        }
        let mut bytes = Vec::new();
        if rng.one_in(4) {
            bytes.extend(self.event(chroot, rng));
        }
        let stat = Stat { version: rng.next() as i32, ..Stat::default() };
        let len = if rng.one_in(12) { 700 } else { 20 };
        let len = rng.below(len);
        let data = rng.bytes(len);
        let path = format!("{chroot}{}", rng.pick(&PATHS[1..]));
        let names = ["one".into(), "two".into()];
        let body = match op {
            OpCode::Create | OpCode::Sync => Reply::Path(path.as_str().into()),
            OpCode::Create2 => Reply::Created(path.as_str().into(), stat),
            OpCode::Exists | OpCode::SetData => Reply::Stat(stat),
            OpCode::GetData => Reply::Data(Data { data: Some(&data), stat }),
            OpCode::GetChildren => Reply::Children(Children::from_slice(&names)),
            OpCode::GetChildren2 => Reply::Children2(Children::from_slice(&names), stat),
            OpCode::AddWatch => Reply::AddWatch(0),
            OpCode::Sasl => Reply::Sasl(rng.one_in(3).then_some(&data)),
            _ => Reply::Empty,
        };
        bytes.extend(reply(xid, zxid, &body));
        bytes
    }

    /// A watch event, usually one that could be.
    pub(crate) fn event(&self, chroot: &str, rng: &mut Rng) -> Vec<u8> {
        let kind = EventType::from_wire(i32::try_from(rng.below(7)).unwrap() - 1);
        let path = rng.pick(&PATHS);
        let path = if *path == "/" { chroot.to_owned() } else { format!("{chroot}{path}") };
        notification(kind, if path.is_empty() { "/" } else { &path })
    }

    /// Does something to the bytes on their way that no server would.
    pub(crate) fn garble(&mut self, rng: &mut Rng) {
        let at = rng.below(self.said.len() + 1);
        match rng.below(5) {
            0 => {
                let n = rng.below(24);
                let noise = rng.bytes(n);
                self.said.splice(at..at, noise);
            }
            1 => {
                let length = *rng.pick(&[i32::MAX, -1, 0, 3, 17, 600, 20 << 20]);
                self.said.splice(at..at, length.to_be_bytes());
            }
            2 => self.said.truncate(at),
            3 => {
                let again = self.said.clone();
                self.said.extend(again);
            }
            _ => {
                if let Some(byte) = self.said.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
        }
    }
}

/// Hands a random request to `take`.
pub(crate) fn request<T>(rng: &mut Rng, take: impl FnOnce(&Request<'_>) -> T) -> T {
    let path = *rng.pick(&PATHS);
    let watch = rng.one_in(2);
    let len = if rng.one_in(10) { 400 } else { 12 };
    let len = rng.below(len);
    let data = rng.bytes(len);
    let auth = format!("u:{}", rng.below(5));
    let kind = WatcherType::from_wire(1 + i32::try_from(rng.below(5)).unwrap()).unwrap();
    let request = match rng.below(19) {
        0 => Request::create(path, &data, CreateMode::EphemeralSequential),
        1 => Request::Create2(Create { path: path.into(), data: None, acl: List::NULL, flags: 0 }),
        2 => Request::delete(path, -1),
        3..=5 => Request::exists(path, watch),
        6..=8 => Request::get_data(path, watch),
        9 => Request::set_data(path, &data, 3),
        10 => Request::get_children(path, watch),
        11 => Request::get_children2(path, watch),
        12 => Request::sync(path),
        13 => Request::add_auth("digest", auth.as_bytes()),
        14 => Request::add_watch(path, AddWatchMode::Persistent),
        15 | 16 => Request::remove_watches(path, kind),
        17 => Request::get_config(watch),
        _ if watch => Request::Ping,
        _ => Request::exists("not/absolute", true),
    };
    take(&request)
}
