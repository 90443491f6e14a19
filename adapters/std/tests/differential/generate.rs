//! Scripts at random, over few paths, so that sessions get in each other's way.

use std::ops::Range;

use zk_session::wire::{Acl, Create, CreateTtl, List, MultiOp, Request, SetWatches, Ustring, Zxid};

use crate::alphabet::{ACLS, DATA, PATHS, PREFIXES, RECONFIG, STRANGE, USERS, USUAL_ACLS};
use crate::peer::SUPER;
use crate::play::CONNECTIONS;
use crate::script::{Call, Hello, Password, Seen, Step, What, Who, encode};

/// Draws scripts.
pub(crate) struct Generator {
    state: u64,
    /// How many sessions the script has asked for.
    sessions: usize,
    /// Decides which paths the script watches how.
    salt: usize,
}

/// How a connection watches a path. 3.8.0 keeps one mode for each connection, path and table, and a
/// recursive watch in both tables (see `known.rs`): no connection watches a path in two ways, and a
/// path that one watches recursively is watched so by all.
#[derive(Clone, Copy, PartialEq)]
enum Watching {
    Once,
    Persistent,
    Recursive,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, sessions: 0, salt: 0 }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.draw() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A script of so many steps.
    pub(crate) fn script(&mut self, steps: Range<usize>) -> Vec<Step> {
        self.sessions = 0;
        self.salt = self.below(1_000);
        let mut script = Vec::new();
        for conn in 0..CONNECTIONS {
            script.push(self.open_new(conn));
        }
        let steps = steps.start + self.below(steps.len());
        while script.len() < steps {
            let conn = self.below(CONNECTIONS);
            let step = match self.below(100) {
                0..2 => Step::HangUp { conn },
                2..7 => self.open(conn),
                7..23 => self.batch(conn),
                _ => Step::Send { conn, calls: vec![self.call(conn)] },
            };
            script.push(step);
        }
        script
    }

    fn open_new(&mut self, conn: usize) -> Step {
        self.sessions += 1;
        let hello = Hello {
            who: Who::New,
            timeout: 100_000,
            read_only: Some(false),
            seen: Seen::Nothing,
            surplus: 0,
        };
        Step::Open { conn, hello }
    }

    fn open(&mut self, conn: usize) -> Step {
        if self.chance(20) {
            return self.open_new(conn);
        }
        let session = self.below(self.sessions);
        let who = match self.below(10) {
            0 => Who::New,
            1 => Who::Stranger,
            2 => {
                let password = self.pick(&[Password::Wrong, Password::Short, Password::Null]);
                Who::Session(session, password)
            }
            _ => Who::Session(session, Password::Right),
        };
        self.sessions += usize::from(who == Who::New);
        let hello = Hello {
            who,
            timeout: self.pick(&[-5, 0, 1, 59_999, 60_000, 60_001, 100_000, 600_001, i32::MAX]),
            read_only: self.pick(&[None, Some(false), Some(false), Some(true)]),
            seen: self.pick(&[Seen::Nothing, Seen::Last, Seen::Last, Seen::Last, Seen::Future]),
            surplus: self.pick(&[0, 0, 0, 5]),
        };
        Step::Open { conn, hello }
    }

    /// Several requests at once; what the network layer answers comes first, what ends the
    /// connection last.
    fn batch(&mut self, conn: usize) -> Step {
        let mut calls = Vec::new();
        let count = 2 + self.below(6);
        while calls.len() < count {
            let call = self.call(conn);
            if call.overtakes() && (!calls.is_empty() || call.ends_connection()) {
                continue;
            }
            let ends = call.ends_connection();
            calls.push(call);
            if ends {
                break;
            }
        }
        Step::Send { conn, calls }
    }

    fn call(&mut self, conn: usize) -> Call {
        let mut call =
            if self.chance(4) { self.malformed() } else { Call::request(self.request(conn)) };
        if self.chance(2) {
            call.xid = Some(self.pick(&[0, 1, -3, -8, i32::MAX, i32::MIN]));
        }
        if call.code() == 100 && self.chance(90) {
            call.xid = Some(-4);
        }
        call
    }

    /// A path to work with, seldom none.
    fn path(&mut self) -> Ustring<'static> {
        match self.below(100) {
            0..92 => self.pick(PATHS).into(),
            92..99 => Ustring::from_bytes(self.pick(STRANGE)),
            _ => Ustring::NULL,
        }
    }

    /// A path that may be changed for good, which is why it is not one of ZooKeeper's own.
    fn own_path(&mut self) -> Ustring<'static> {
        loop {
            let path = self.path();
            if path.as_bytes().is_none_or(is_own) {
                return path;
            }
        }
    }

    /// A path where a null is one of the things in `known.rs`: in an item of a multi, and to be
    /// watched persistently.
    fn named_path(&mut self) -> Ustring<'static> {
        let path = self.path();
        if path.is_null() { PATHS[1].into() } else { path }
    }

    fn version(&mut self) -> i32 {
        self.pick(&[-1, -1, -1, -1, 0, 0, 0, 1, 1, 2, 3, -2, i32::MAX, i32::MIN])
    }

    fn data(&mut self) -> Option<&'static [u8]> {
        self.pick(DATA)
    }

    fn acl(&mut self) -> List<'static, Acl<'static>> {
        match self.below(100) {
            0..70 => List::from_slice(ACLS[0]),
            70..90 => List::from_slice(self.pick(&ACLS[..USUAL_ACLS])),
            90..99 => List::from_slice(self.pick(ACLS)),
            _ => List::NULL,
        }
    }

    fn create(&mut self) -> Create<'static> {
        let flags = match self.below(100) {
            0..45 => 0,
            45..65 => 1,
            65..80 => 2,
            80..92 => 3,
            _ => self.pick(&[4, 5, 6, 7, -1, 100]),
        };
        let path = match flags {
            2 | 3 | 6 if self.chance(80) => self.pick(PREFIXES).into(),
            _ => self.own_path(),
        };
        let (data, acl) = (self.data(), self.acl());
        with_flags(Create { path, data, acl, flags }, flags)
    }

    /// As an item of a multi; with the flags of a time to live it is in `known.rs`.
    fn create_without_ttl(&mut self) -> Create<'static> {
        let create = self.create();
        if matches!(create.flags, 5 | 6) { with_flags(create, 4) } else { create }
    }

    fn create_ttl(&mut self) -> CreateTtl<'static> {
        let mut create = self.create();
        if self.chance(80) {
            create = with_flags(create, self.pick(&[5, 6]));
        }
        let mut ttl = self.pick(&[i64::MAX, 1 << 40, (1 << 40) - 1, 1_000_000, 1_000_000, 0, -1]);
        if !matches!(create.flags, 5 | 6) {
            ttl = ttl.max(0); // see `known.rs`
        }
        CreateTtl { create, ttl }
    }

    fn watching(&self, conn: usize, path: Ustring<'_>) -> Watching {
        let bytes = path.as_bytes().unwrap_or_default();
        let sum =
            bytes.iter().fold(self.salt, |sum, byte| (sum * 31 + usize::from(*byte)) % 10_007);
        match (sum % 5, (sum + conn) % 3) {
            (0, _) => Watching::Recursive,
            (_, 0) => Watching::Persistent,
            _ => Watching::Once,
        }
    }

    /// A path and a watcher type for checkWatches and removeWatches; of a recursive watch only both
    /// halves. Only below the script's own znode: 3.8.0 answers for the watches of all
    /// connections.
    fn watcher(&mut self, conn: usize) -> (Ustring<'static>, i32) {
        loop {
            let (path, kind) = (self.path(), self.pick(&[1, 2, 3, 3, 0, 4, 5, -1]));
            let recursive = self.watching(conn, path) == Watching::Recursive;
            let below = path.as_bytes().is_some_and(|bytes| bytes.starts_with(PATHS[0].as_bytes()));
            if below && !(recursive && matches!(kind, 1 | 2)) {
                return (path, kind);
            }
        }
    }

    /// Whether to watch a path once.
    fn watch(&mut self, conn: usize, path: Ustring<'_>) -> bool {
        self.chance(50) && self.watching(conn, path) == Watching::Once
    }

    fn request(&mut self, conn: usize) -> Request<'static> {
        let path = self.path();
        let own = self.own_path();
        let watch = self.watch(conn, path);
        match self.below(100) {
            0..14 => Request::Create(self.create()),
            14..19 => Request::Create2(self.create()),
            19..21 => {
                let flags = self.pick(&[4, 4, 4, 0, 1, 2, 3, 5, 9]);
                Request::CreateContainer(with_flags(self.create(), flags))
            }
            21..23 => Request::CreateTtl(self.create_ttl()),
            23..33 => Request::Delete { path, version: self.version() },
            33..42 => {
                let (data, version) = (self.data(), self.version());
                Request::SetData { path: own, data, version }
            }
            42..48 => Request::GetData { path, watch },
            48..54 => Request::Exists { path, watch },
            54..58 => Request::GetChildren { path, watch },
            58..63 => Request::GetChildren2 { path, watch },
            63..66 => Request::GetAcl { path },
            66..69 => {
                let (acl, version) = (self.acl(), self.version());
                Request::SetAcl { path: own, acl, version }
            }
            69..70 => Request::Sync { path },
            70..77 => Request::multi(self.items(false)),
            77..79 => Request::multi_read(self.items(true)),
            79..81 => Request::GetEphemerals { prefix: self.prefix() },
            81..83 => Request::GetAllChildrenNumber { path },
            83..87 => self.add_watch(conn),
            87..89 => {
                let (path, kind) = self.watcher(conn);
                Request::RemoveWatches { path, kind }
            }
            89..91 => {
                let (path, kind) = self.watcher(conn);
                Request::CheckWatches { path, kind }
            }
            91..93 => Request::SetWatches(self.set_watches(conn, false)),
            93..95 => Request::SetWatches2(self.set_watches(conn, true)),
            95..97 => self.auth(),
            97..98 => Request::WhoAmI,
            98..99 => self.pick(&[
                Request::Ping,
                Request::Sasl { token: Some(b"token") },
                Request::Sasl { token: None },
                RECONFIG,
            ]),
            _ => Request::CloseSession,
        }
    }

    fn prefix(&mut self) -> Ustring<'static> {
        match self.below(10) {
            0 => Ustring::NULL,
            1 => self.pick(&["", " ", "/", " / ", "\u{a0}", "/ROOT"]).into(),
            _ => self.pick(PATHS).into(),
        }
    }

    fn auth(&mut self) -> Request<'static> {
        let (scheme, auth): (Ustring<'_>, _) = match self.below(30) {
            0 => ("ip".into(), Some(&b"anything"[..])),
            1 => ("world".into(), Some(&b"anyone"[..])),
            2 => ("none".into(), Some(&b""[..])),
            3 => (Ustring::NULL, Some(&b"x"[..])),
            4 => ("sasl".into(), Some(&b"x"[..])),
            5 => ("digest".into(), Some(SUPER.as_bytes())),
            6 => ("super".into(), Some(&b""[..])),
            7..10 => ("digest".into(), Some(self.pick(USERS))),
            _ => ("digest".into(), Some(USERS[0])),
        };
        Request::Auth { kind: 0, scheme, auth }
    }

    fn add_watch(&mut self, conn: usize) -> Request<'static> {
        for _ in 0..20 {
            let path = self.named_path();
            match self.watching(conn, path) {
                Watching::Once => {}
                Watching::Persistent => return Request::AddWatch { path, mode: 0 },
                Watching::Recursive => return Request::AddWatch { path, mode: 1 },
            }
        }
        Request::AddWatch { path: "/".into(), mode: self.pick(&[2, -1]) }
    }

    fn set_watches(&mut self, conn: usize, persistent: bool) -> SetWatches<'static> {
        let paths = |this: &mut Self, wanted: Watching| {
            if this.chance(2) {
                return List::NULL;
            }
            let count = this.below(4);
            let mut paths: Vec<_> = (0..count).map(|_| this.path()).collect();
            // A null among those that are watched once ends the request there.
            let may_be = |path: &Ustring<'_>| wanted == Watching::Once || !path.is_null();
            paths.retain(|path| may_be(path) && this.watching(conn, *path) == wanted);
            List::from_slice(Vec::leak(paths))
        };
        let relative_zxid = Zxid(self.pick(&[0, -1, -2, -5, -20, -1_000_000, 5]));
        SetWatches {
            relative_zxid,
            data: paths(self, Watching::Once),
            exist: paths(self, Watching::Once),
            child: paths(self, Watching::Once),
            persistent: match persistent {
                true => paths(self, Watching::Persistent),
                false => List::from_slice(&[]),
            },
            persistent_recursive: match persistent {
                true => paths(self, Watching::Recursive),
                false => List::from_slice(&[]),
            },
        }
    }

    /// Items of a multi or multiRead; they live as long as the test.
    fn items(&mut self, reads: bool) -> &'static [MultiOp<'static>] {
        let count = self.pick(&[0, 1, 2, 2, 3, 3, 4, 6]);
        let items = std::iter::repeat_with(|| self.item(reads));
        let is_named = |item: &MultiOp<'_>| reads || !item.path().is_null();
        Vec::leak(items.filter(is_named).take(count).collect())
    }

    fn item(&mut self, reads: bool) -> MultiOp<'static> {
        let path = if reads { self.path() } else { self.named_path() };
        let own = self.named_path();
        let own = if own.as_bytes().is_some_and(is_own) { own } else { PATHS[0].into() };
        let version = if self.chance(70) { -1 } else { self.version() };
        let reads = if self.chance(1) { !reads } else { reads };
        if reads {
            let watch = self.chance(20);
            return match self.below(2) {
                0 => MultiOp::GetChildren { path, watch },
                _ => MultiOp::GetData { path, watch },
            };
        }
        match self.below(12) {
            0..4 => MultiOp::Create(self.create_without_ttl()),
            4 => MultiOp::Create2(self.create_without_ttl()),
            5 => MultiOp::CreateContainer(with_flags(self.create(), 4)),
            6 => MultiOp::CreateTtl(self.create_ttl()),
            7..9 => MultiOp::Delete { path, version },
            9..11 => MultiOp::SetData { path: own, data: self.data(), version },
            _ => MultiOp::Check { path, version },
        }
    }

    /// Requests that are none.
    fn malformed(&mut self) -> Call {
        let what = match self.below(12) {
            // Not one that is known, nor ZooKeeper's own (see `known.rs`).
            0 => {
                let code = self.pick(&[0, 10, 23, 99, 108, -1, -2, -12, 1_000, i32::MAX, i32::MIN]);
                What::Raw { code, body: Vec::new() }
            }
            1 => What::Bytes(
                self.pick(&[
                    &b"\0\0\0\0"[..],
                    b"\0\0\0\x04\0\0\0\x01",
                    b"\0\0\0\x07\0\0\0\x01\0\0\0",
                    b"\xff\xff\xff\xff",
                    b"\x7f\xff\xff\xff",
                    b"\0\x10\0\0",
                    b"ruok",
                ])
                .to_vec(),
            ),
            n => {
                let request = loop {
                    let request = self.request(0);
                    if request.op().to_wire() != -11 {
                        break request;
                    }
                };
                let mut body = encode(|w| request.encode(w));
                match n {
                    2..8 if !body.is_empty() => body.truncate(self.below(body.len())),
                    8 if body.len() >= 4 => {
                        let len = self.pick(&[-2, i32::MIN, i32::MAX, 100_000_000, 2_000]);
                        body[..4].copy_from_slice(&len.to_be_bytes());
                    }
                    _ => body.extend(b"surplus"),
                }
                What::Raw { code: request.op().to_wire(), body }
            }
        };
        Call { xid: None, what }
    }
}

/// A create with other flags. None makes a sequential child of the tree's root, whose counter depends
/// on all that was there before.
fn with_flags(create: Create<'static>, flags: i32) -> Create<'static> {
    let path = match create.path == *PATHS[0] && flags != 0 {
        true => PATHS[1].into(),
        false => create.path,
    };
    Create { path, flags, ..create }
}

fn is_own(path: &[u8]) -> bool {
    !(path == b"/" || path.is_empty() || path.starts_with(b"/zookeeper"))
}
