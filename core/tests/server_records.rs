//! The state as records: stored at once or by its changes, as bytes, and started from again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use server_common::{Session, World};
use zk_session::server::{
    Change, Engine, EngineConfig, HeaderRecord, Record, RecordError, RecordKey, Restore,
    RestoreError, ServerId, ServerLink, SessionRecord, ZnodeKind, ZnodeRecord,
};
use zk_session::wire::{
    Acl, Create, CreateMode, CreateTtl, List, Multi, MultiOp, Perms, Request, SessionId, Ustring,
    Zxid,
};
use zk_session::{Duration, ErrorCode, Instant};

fn config() -> EngineConfig {
    let mut config = EngineConfig::default();
    config.extended_types = true;
    config.seed = 0x5eed;
    config.unix_time_at_origin = 1_700_000_000_000;
    config
}

fn world() -> (World, ServerId) {
    let mut world = World::new(config());
    let server = world.engine.add_server();
    (world, server)
}

/// The records as a store would hold them.
type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(key: &RecordKey<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

fn bytes(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

fn stored(engine: &Engine) -> Stored {
    engine.records().map(|record| (key(&record.key()), bytes(&record))).collect()
}

/// Brings a store up to date by the engine's changes; how many there were.
fn store(engine: &mut Engine, into: &mut Stored) -> usize {
    let mut count = 0;
    for change in engine.poll_changes() {
        count += 1;
        match change {
            Change::Put(record) => _ = into.insert(key(&record.key()), bytes(&record)),
            Change::Remove(gone) => {
                assert!(into.remove(&key(&gone)).is_some(), "{gone:?} was never stored");
            }
        }
    }
    engine.handle_stored();
    assert_eq!(engine.poll_changes().count(), 0);
    count
}

fn restore(from: &Stored, config: EngineConfig, now: Instant) -> Engine {
    let records = from.values().map(|bytes| Record::decode(bytes).unwrap());
    Engine::restore(config, records, now).unwrap()
}

fn create<'a>(path: &'a str, data: &'a [u8], mode: CreateMode) -> Request<'a> {
    Request::create(path, data, mode)
}

/// One step of a script.
#[derive(Clone, Debug)]
enum Step {
    Create {
        node: u8,
        mode: CreateMode,
        who: u8,
    },
    Ttl {
        node: u8,
    },
    Delete {
        node: u8,
    },
    Set {
        node: u8,
        len: u8,
    },
    Acl {
        node: u8,
        perms: i32,
    },
    /// Creates, deletes and sets; the last item fails if it is to.
    Multi {
        node: u8,
        fails: bool,
    },
    Close {
        who: u8,
    },
    Open {
        timeout: u16,
    },
    Resume {
        who: u8,
        timeout: u16,
    },
    Pass {
        millis: u16,
    },
    Wipe,
    Store,
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0_u8..8;
    let mode = prop_oneof![
        Just(CreateMode::Persistent),
        Just(CreateMode::Ephemeral),
        Just(CreateMode::PersistentSequential),
        Just(CreateMode::Container),
    ];
    prop_oneof![
        8 => (node.clone(), mode, 0_u8..3).prop_map(|(node, mode, who)| Step::Create { node, mode, who }),
        1 => node.clone().prop_map(|node| Step::Ttl { node }),
        4 => node.clone().prop_map(|node| Step::Delete { node }),
        3 => (node.clone(), any::<u8>()).prop_map(|(node, len)| Step::Set { node, len }),
        2 => (node.clone(), 16..32_i32).prop_map(|(node, perms)| Step::Acl { node, perms }),
        3 => (node, any::<bool>()).prop_map(|(node, fails)| Step::Multi { node, fails }),
        1 => (0_u8..3).prop_map(|who| Step::Close { who }),
        2 => (4000_u16..9000).prop_map(|timeout| Step::Open { timeout }),
        1 => (0_u8..3, 4000_u16..9000).prop_map(|(who, timeout)| Step::Resume { who, timeout }),
        1 => any::<u16>().prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Wipe),
        4 => Just(Step::Store),
    ]
}

/// Paths that lie within each other.
fn path(node: u8) -> &'static str {
    let quota = "/zookeeper/quota/a/zookeeper_limits";
    let all = ["/a", "/a/b", "/a/b/c", "/a-b", "/d", "/d/e-", "/zookeeper/quota/a", quota];
    all[usize::from(node)]
}

struct Play {
    world: World,
    server: ServerId,
    sessions: Vec<Session>,
}

impl Play {
    /// Sends a request, whatever comes of it.
    fn ask(&mut self, who: u8, request: &Request<'_>) {
        if self.sessions.is_empty() {
            return;
        }
        let session = self.sessions[usize::from(who) % self.sessions.len()];
        self.world.send(session.conn, &server_common::request_bytes(1, request));
        self.world.drain(session.conn);
    }

    fn step(&mut self, step: &Step, into: &mut Stored) {
        match *step {
            Step::Create { node, mode: CreateMode::Container, who } => {
                let flags = CreateMode::Container.to_flags();
                let acl = List::from_slice(Acl::OPEN);
                let create = Create { path: path(node).into(), data: None, acl, flags };
                self.ask(who, &Request::CreateContainer(create));
            }
            Step::Create { node, mode, who } => {
                self.ask(who, &create(path(node), b"count=9,bytes=99", mode));
                let stats = "/zookeeper/quota/a/zookeeper_stats";
                self.ask(who, &create(stats, b"", CreateMode::Persistent));
            }
            Step::Ttl { node } => {
                let flags = CreateMode::PersistentTtl.to_flags();
                let acl = List::from_slice(Acl::OPEN);
                let create = Create { path: path(node).into(), data: Some(b""), acl, flags };
                self.ask(0, &Request::CreateTtl(CreateTtl { create, ttl: 30_000 }));
            }
            Step::Delete { node } => {
                self.ask(0, &Request::Delete { path: path(node).into(), version: -1 });
            }
            Step::Set { node, len } => {
                let data = vec![len; len.into()];
                let path = path(node).into();
                self.ask(0, &Request::SetData { path, data: Some(&data), version: -1 });
            }
            Step::Acl { node, perms } => {
                let entry =
                    [Acl { perms: Perms(perms), scheme: "ip".into(), id: "127.0.0.0/8".into() }];
                let (path, acl) = (path(node).into(), List::from_slice(&entry));
                self.ask(0, &Request::SetAcl { path, acl, version: -1 });
            }
            Step::Multi { node, fails } => {
                let of = |path: &'static str| Create {
                    path: path.into(),
                    data: Some(b"multi"),
                    acl: List::from_slice(Acl::OPEN),
                    flags: 0,
                };
                let items = [
                    MultiOp::Create(of("/m")),
                    MultiOp::Create(of("/m/n")),
                    MultiOp::Delete { path: "/m/n".into(), version: -1 },
                    MultiOp::SetData { path: "/m".into(), data: Some(b"x"), version: -1 },
                    MultiOp::Delete { path: "/m".into(), version: -1 },
                    MultiOp::Delete { path: path(node).into(), version: -1 },
                    MultiOp::Check { path: "/".into(), version: if fails { 99 } else { -1 } },
                ];
                self.ask(0, &Request::Multi(Multi::from_slice(&items)));
            }
            Step::Close { who } => self.ask(who, &Request::CloseSession),
            Step::Open { timeout } => {
                self.sessions.push(self.world.session(self.server, timeout.into()));
            }
            Step::Resume { who, timeout } if !self.sessions.is_empty() => {
                let which = usize::from(who) % self.sessions.len();
                let known = Session { timeout: timeout.into(), ..self.sessions[which] };
                let resumed = self.world.resume(self.server, &known);
                self.sessions[which].conn = resumed.conn;
            }
            Step::Resume { .. } => {}
            Step::Pass { millis } => self.world.pass(millis.into()),
            Step::Wipe => self.world.engine.wipe(self.world.at()),
            Step::Store => _ = store(&mut self.world.engine, into),
        }
    }
}

fn of_records(engine: &Engine) -> Vec<String> {
    engine.records().map(|record| format!("{record:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_stored_by_changes_is_the_state(steps in prop::collection::vec(step(), 1..60)) {
        let (world, server) = world();
        let mut play = Play { world, server, sessions: Vec::new() };
        let mut mirror = stored(&play.world.engine);
        play.world.engine.track_changes();
        play.sessions.push(play.world.session(server, 5000));
        for step in &steps {
            play.step(step, &mut mirror);
            let most = mirror.len() + play.world.engine.records().count();
            prop_assert!(play.world.engine.poll_changes().count() <= most);
        }
        store(&mut play.world.engine, &mut mirror);
        prop_assert_eq!(&mirror, &stored(&play.world.engine));
        let again = restore(&mirror, config(), Instant::ORIGIN);
        prop_assert_eq!(of_records(&again).len(), of_records(&play.world.engine).len());
        // What the clock knew better may be further on: the next session id.
        let mut after = stored(&again);
        let header = key(&RecordKey::Header);
        prop_assert!(after.remove(&header).is_some());
        mirror.remove(&header);
        prop_assert_eq!(after, mirror);
        prop_assert_eq!(again.last_zxid(), play.world.engine.last_zxid());
    }
}

/// The parts of any record.
type Parts = (u8, String, Option<Vec<u8>>, Vec<(i32, Vec<u8>, Vec<u8>)>, [i64; 7], [i32; 3]);

fn with_record<R>(parts: &Parts, f: impl FnOnce(&Record<'_>) -> R) -> R {
    let (kind, path, data, acl, longs, ints) = parts;
    let acl: Vec<_> = acl
        .iter()
        .map(|(perms, scheme, id)| Acl {
            perms: Perms(*perms),
            scheme: Ustring::from_bytes(scheme),
            id: Ustring::from_bytes(id),
        })
        .collect();
    let seed = longs[1].cast_unsigned();
    let record = match kind {
        0 => Record::Header(HeaderRecord {
            zxid: Zxid(longs[0]),
            seed,
            next_session: (seed % 2 == 0).then_some(seed >> 8),
        }),
        1 => Record::Session(SessionRecord {
            session_id: SessionId(longs[0]),
            timeout: Duration::from_millis(seed),
        }),
        _ => Record::Znode(ZnodeRecord {
            path: Cow::Borrowed(path),
            data: data.as_deref(),
            acl: if *kind == 2 { Acl::OPEN.to_vec() } else { acl },
            kind: match kind {
                2 => ZnodeKind::Persistent,
                3 => ZnodeKind::Ephemeral(SessionId(longs[5])),
                4 => ZnodeKind::Container,
                _ => ZnodeKind::Ttl(longs[6]),
            },
            czxid: Zxid(longs[0]),
            mzxid: Zxid(longs[1]),
            pzxid: Zxid(longs[2]),
            ctime: longs[3],
            mtime: longs[4],
            version: ints[0],
            aversion: ints[1],
            creations: ints[2],
        }),
    };
    f(&record)
}

fn parts() -> impl Strategy<Value = Parts> {
    let some = || prop::collection::vec(any::<u8>(), 0..9);
    let long = || prop_oneof![any::<i64>(), -3..300_i64, Just(i64::MIN), Just(i64::MAX)];
    let int = prop_oneof![any::<i32>(), -3..3_i32, Just(i32::MIN), Just(i32::MAX)];
    (
        0_u8..6,
        ".{0,20}",
        prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
        prop::collection::vec((any::<i32>(), some(), some()), 0..4),
        [long(), long(), long(), long(), long(), long(), long()],
        prop::array::uniform3(int),
    )
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written_and_in_no_other_way(
        parts in parts(),
        (at, flip) in (any::<prop::sample::Index>(), 1_u8..),
        before in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        with_record(&parts, |record| {
            let mut all = before.clone();
            record.encode(&mut all);
            let written = all.split_off(before.len());
            assert_eq!(all, before, "it is appended");
            assert_eq!(Record::decode(&written).as_ref(), Ok(record));
            for end in 0..written.len() {
                assert!(Record::decode(&written[..end]).is_err(), "cut off at {end}");
            }
            let mut longer = written.clone();
            longer.push(0);
            assert!(Record::decode(&longer).is_err());
            let mut bad = written.clone();
            bad[at.index(written.len())] ^= flip;
            assert_eq!(Record::decode(&bad), Err(RecordError::Checksum));
        });
    }

    #[test]
    fn bytes_that_pass_the_checksum_are_a_record_or_an_error(
        tag in 0_u8..6,
        body in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff), 0..6_u8], 0..80),
    ) {
        let sealed = seal(&[&[tag], &body[..]].concat());
        match Record::decode(&sealed) {
            Ok(record) => assert_eq!(Record::decode(&bytes(&record)), Ok(record)),
            Err(RecordError::Unknown(unknown)) => assert!(unknown == tag && !(1..=3).contains(&tag)),
            Err(RecordError::Malformed { at }) => assert!(at <= body.len() + 1),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(any in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Record::decode(&any);
    }
}

/// Body with its checksum behind, as the format says.
fn seal(body: &[u8]) -> Vec<u8> {
    use core::hash::Hasher;
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(body);
    [body, &hasher.finish().to_be_bytes()[4..]].concat()
}

#[test]
fn a_plain_znode_takes_few_bytes_beyond_its_path_and_data() {
    let (mut world, server) = world();
    let session = world.session(server, 5000);
    world.call(&session, &create("/plain", b"0123456789", CreateMode::Persistent)).unwrap();
    let znode = world.engine.records().last().map(|record| bytes(&record).len()).unwrap();
    assert!(znode <= 6 + 10 + 26, "{znode}");
}

/// An engine with a session that has an ephemeral and two sequential znodes.
fn lived() -> (World, ServerId, Session) {
    let (mut world, server) = world();
    let session = world.session(server, 8000);
    world.call(&session, &create("/q", b"data", CreateMode::Persistent)).unwrap();
    world.call(&session, &create("/e", b"", CreateMode::Ephemeral)).unwrap();
    for _ in 0..2 {
        world.created(&session, &create("/q/n-", b"", CreateMode::PersistentSequential));
    }
    world.call(&session, &Request::Delete { path: "/q/n-0000000001".into(), version: -1 }).unwrap();
    (world, server, session)
}

fn restarted(world: &World, passed: u64) -> (World, ServerId) {
    let mut other = config();
    other.seed = 12345; // the stored one counts
    other.unix_time_at_origin += i64::try_from(passed).unwrap();
    let engine = restore(&stored(&world.engine), other, Instant::ORIGIN);
    let mut world = World::new(config());
    world.engine = engine;
    let server = world.engine.add_server();
    (world, server)
}

#[test]
fn a_session_goes_on_after_a_restart_with_all_of_its_timeout() {
    let (mut world, _, session) = lived();
    world.pass(7000);
    let before = world.stat(&session, "/q").unwrap();
    let (mut world, server) = restarted(&world, 7000);
    world.pass(7999);
    let resumed = world.resume(server, &session);
    assert_eq!((resumed.id, resumed.passwd, resumed.timeout), (session.id, session.passwd, 8000));
    assert_eq!(world.stat(&resumed, "/q").unwrap(), before);
    assert_eq!(world.stat(&resumed, "/e").unwrap().ephemeral_owner, session.id.0);
    let next = world.created(&resumed, &create("/q/n-", b"", CreateMode::PersistentSequential));
    assert_eq!(next, "/q/n-0000000002", "numbers are never used twice");
    let forged = Session { passwd: zk_session::wire::Passwd([9; 16]), ..session };
    assert_eq!(world.resume(server, &forged).id, SessionId::NONE);
}

#[test]
fn a_session_that_does_not_come_back_after_a_restart_expires_in_its_tick() {
    let (world, _, session) = lived();
    let (mut world, server) = restarted(&world, 60_000);
    let other = world.session(server, 40_000);
    world.pass(9999);
    assert!(world.stat(&other, "/e").is_ok());
    world.pass(1);
    assert_eq!(world.stat(&other, "/e"), Err(ErrorCode::NoNode));
    assert_eq!(world.resume(server, &session).id, SessionId::NONE);
}

#[test]
fn zxids_go_on_after_a_restart_and_no_session_id_is_used_twice() {
    let (world, _, session) = lived();
    let zxid = world.engine.last_zxid();
    for passed in [0, 1, 1_000_000] {
        let (mut world, server) = restarted(&world, passed);
        assert_eq!(world.engine.last_zxid(), zxid);
        let fresh = world.session(server, 8000);
        assert_eq!(world.engine.last_zxid(), Zxid(zxid.0 + 1));
        assert!(fresh.id.0 > session.id.0, "{passed}");
        assert_ne!(fresh.passwd, session.passwd);
    }
}

#[test]
fn a_failed_write_is_a_change_too_and_reads_are_none() {
    let (mut world, _, session) = lived();
    let mut mirror = stored(&world.engine);
    world.engine.track_changes();
    assert!(world.stat(&session, "/q").is_ok());
    world.request(&session, 5, &Request::Ping);
    assert!(world.got(&session).is_some());
    assert_eq!(store(&mut world.engine, &mut mirror), 0);
    assert!(world.call(&session, &create("/q", b"", CreateMode::Persistent)).is_err());
    assert_eq!(store(&mut world.engine, &mut mirror), 1, "its zxid must never come again");
    world.call(&session, &Request::SetData { path: "/q".into(), data: None, version: -1 }).unwrap();
    world.call(&session, &Request::SetData { path: "/q".into(), data: None, version: -1 }).unwrap();
    assert_eq!(store(&mut world.engine, &mut mirror), 2, "the header and one znode");
}

#[test]
fn nothing_is_remembered_unless_asked() {
    let (world, ..) = lived();
    assert_eq!(world.engine.poll_changes().count(), 0);
}

#[test]
fn changes_that_could_not_be_stored_are_still_there() {
    let (mut world, _, session) = lived();
    let mut mirror = stored(&world.engine);
    world.engine.track_changes();
    world.call(&session, &create("/more", b"", CreateMode::Persistent)).unwrap();
    let first: Vec<_> = world.engine.poll_changes().map(|change| format!("{change:?}")).collect();
    let again: Vec<_> = world.engine.poll_changes().map(|change| format!("{change:?}")).collect();
    assert_eq!(first, again);
    assert_eq!(store(&mut world.engine, &mut mirror), 3, "header, / and /more");
    assert_eq!(mirror, stored(&world.engine));
}

#[test]
fn what_is_no_state_is_refused_by_name() {
    let (world, ..) = lived();
    let whole: Vec<_> = world.engine.records().collect();
    let try_with = |edit: &dyn Fn(&mut Vec<Record<'_>>)| {
        let mut records = whole.clone();
        edit(&mut records);
        Engine::restore(config(), records, Instant::ORIGIN).map(drop)
    };
    assert_eq!(try_with(&|_| {}), Ok(()));
    assert_eq!(try_with(&|r| r.clear()), Err(RestoreError::NoHeader));
    assert_eq!(try_with(&|r| drop(r.remove(0))), Err(RestoreError::NoHeader));
    let twice = |i: usize| try_with(&move |r| r.insert(i + 1, r[i].clone()));
    assert_eq!(twice(0), Err(RestoreError::Duplicate(RecordKey::Header)));
    let Record::Session(session) = whole[1] else { panic!("{:?}", whole[1]) };
    assert_eq!(twice(1), Err(RestoreError::Duplicate(RecordKey::Session(session.session_id))));
    for (i, path) in [(2, "/"), (whole.len() - 1, "/zookeeper/quota")] {
        assert_eq!(twice(i), Err(RestoreError::Duplicate(RecordKey::Znode(path.into()))));
    }
    let at = |path: &str| {
        let found = whole.iter().position(|r| r.key() == RecordKey::Znode(path.into()));
        found.unwrap_or_else(|| panic!("no {path}"))
    };
    let without = |path: &str| try_with(&|r| drop(r.remove(at(path))));
    assert_eq!(without("/zookeeper/config"), Err(RestoreError::Missing("/zookeeper/config")));
    assert_eq!(without("/q"), Err(RestoreError::NoParent("/q/n-0000000000".into())));
    let owner = session.session_id;
    assert_eq!(
        try_with(&|r| drop(r.remove(1))),
        Err(RestoreError::NoOwner { path: "/e".into(), owner })
    );
    let edited = |path: &str, edit: &dyn Fn(&mut ZnodeRecord<'_>)| {
        try_with(&|r| match &mut r[at(path)] {
            Record::Znode(znode) => edit(znode),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(edited("/e", &|z| z.path = "/e/".into()), Err(RestoreError::BadPath("/e/".into())));
    assert_eq!(edited("/e", &|z| z.path = "".into()), Err(RestoreError::BadPath("".into())));
    assert_eq!(edited("/", &|z| z.path = "/x".into()), Err(RestoreError::NoParent("/x".into())));
    assert_eq!(
        edited("/q", &|z| z.kind = ZnodeKind::Ephemeral(owner)),
        Err(RestoreError::EphemeralParent("/q/n-0000000000".into()))
    );
    assert_eq!(
        edited("/q", &|z| z.mzxid = Zxid(i64::MAX)),
        Err(RestoreError::ZxidAhead("/q".into()))
    );
    let id = SessionId(i64::MIN);
    let bad = try_with(&|r| r[1] = Record::Session(SessionRecord { session_id: id, ..session }));
    assert_eq!(bad, Err(RestoreError::BadSession(id)));
    let mut none = config();
    none.session_limit = 0;
    let full = Engine::restore(none, whole.clone(), Instant::ORIGIN).map(drop);
    assert_eq!(full, Err(RestoreError::TrackerFull(owner)));
    let mut restore = Restore::new(config(), Instant::ORIGIN);
    restore.add(&whole[0]).unwrap();
    assert_eq!(restore.finish().map(drop), Err(RestoreError::Missing("/")));
}

#[test]
fn a_wiped_ensemble_knows_nobody_and_refuses_who_has_seen_more() {
    let (mut world, server, session) = lived();
    let watcher = world.session(server, 8000);
    world.call(&watcher, &Request::exists("/q", true)).unwrap();
    let empty = Engine::new(config(), Instant::ORIGIN);
    world.engine.wipe(world.at());
    assert_eq!(world.link(&session), ServerLink::Down);
    assert_eq!(world.link(&watcher), ServerLink::Down);
    assert_eq!((world.engine.last_zxid(), world.engine.sessions().count()), (Zxid(0), 0));
    assert!(world.engine.records().skip(1).eq(empty.records().skip(1)), "all but the header");
    assert_eq!(world.resume(server, &session).id, SessionId::NONE);
    let ahead = world.open(server);
    let request = zk_session::wire::ConnectRequest {
        last_zxid_seen: Zxid(1),
        ..server_common::new_session(8000)
    };
    world.connect_with(ahead, &request);
    assert!(world.connected(ahead).is_none());
    let fresh = world.session(server, 8000);
    assert!(fresh.id.0 > watcher.id.0, "ids go on");
    assert_eq!(world.engine.last_zxid(), Zxid(1));
    world.call(&fresh, &create("/q", b"", CreateMode::Persistent)).unwrap();
    assert_eq!(world.events(&watcher), [], "nobody watches any more");
}

#[test]
fn a_moved_session_has_its_stale_connection_closed_as_its_server_would() {
    for (from, closes_on_read) in [(0, true), (1, false)] {
        let mut world = World::new(config());
        let servers: Vec<_> = (0..3).map(|_| world.engine.add_server()).collect();
        let session = world.session(servers[from], 8000);
        assert!(world.engine.move_session(world.at(), session.id, servers[2]));
        let read = world
            .send(session.conn, &server_common::request_bytes(1, &Request::exists("/", false)));
        assert!(read > 0);
        assert_eq!(world.link(&session) == ServerLink::Down, closes_on_read);
        if !closes_on_read {
            assert!(world.got(&session).is_some());
            let write = create("/x", b"", CreateMode::Persistent);
            world.send(session.conn, &server_common::request_bytes(2, &write));
            assert_eq!(world.link(&session), ServerLink::Down);
            assert!(world.got(&session).is_none());
        }
        let back = world.resume(servers[2], &session);
        assert_eq!(world.stat(&back, "/x"), Err(ErrorCode::NoNode));
    }
    let (mut world, server, session) = lived();
    assert!(!world.engine.move_session(world.at(), SessionId(1), server));
    assert!(!world.engine.move_session(world.at(), session.id, ServerId(9)));
    assert_eq!(world.link(&session), ServerLink::Up);
    assert!(world.engine.move_session(world.at(), session.id, server));
    assert_eq!(world.link(&session), ServerLink::Down, "as if it had been resumed there");
}

/// Nothing but a key's bytes decides the order in which a store gives records back.
#[test]
fn keys_as_bytes_are_in_an_order_that_can_be_restored() {
    let (world, ..) = lived();
    let stored = stored(&world.engine);
    assert!(stored.len() > 8);
    assert!(restore(&stored, config(), Instant::ORIGIN).records().count() == stored.len());
}
