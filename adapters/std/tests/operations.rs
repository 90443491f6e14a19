//! Every operation, its success and its errors, on the embedded ensemble and on a real ZooKeeper
//! 3.8.0: the same checks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use zk_session::ErrorCode::{self, *};
use zk_session::path::PathErrorKind;
use zk_session::server::Release;
use zk_session::wire::{
    Acl, AddWatchMode, CONFIG_NODE, Create, CreateMode, CreateTtl, EventType, MultiOp, Perms,
    Reconfig, Request, Ustring, WatcherType,
};
use zk_session::{OpError, SubmitError};
use zk_session_std::{
    AclEntry, Answer, Client, EmbeddedEnsemble, Error, ErrorKind, Events, Identity, ItemAnswer,
    SessionEvent,
};
use zk_session_testkit::RealEnsemble;

const PATIENCE: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(3600);

/// Where the checks run.
struct Place {
    connect_string: String,
    release: Release,
}

impl Place {
    fn client(&self, chroot: &str) -> Client {
        let string = format!("{}{chroot}", self.connect_string);
        Client::builder(string).timeout(Duration::from_secs(8)).connect().unwrap()
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorCode {
    let error = result.expect_err("an error");
    error.code().unwrap_or_else(|| panic!("not the server's: {error}"))
}

fn persistent(zk: &Client, path: &str) {
    zk.create(path, b"", CreateMode::Persistent).unwrap();
}

fn told(events: &Events) -> (EventType, String) {
    match events.recv_timeout(PATIENCE) {
        Some(SessionEvent::Notification { kind, path }) => (kind, path),
        other => panic!("{other:?}"),
    }
}

/// No event is on its way: a reply would have come behind it.
fn quiet(zk: &Client, events: &Events) {
    zk.sync("/").unwrap();
    assert_eq!(events.try_recv(), None);
}

fn creates(place: &Place) {
    let zk = place.client("");
    let (path, stat) = zk.create2("/c", b"12", CreateMode::Ephemeral, Acl::OPEN).unwrap();
    assert_eq!((path.as_str(), stat.data_length, stat.version), ("/c", 2, 0));
    assert_eq!(stat.ephemeral_owner, zk.session_id().0);
    assert_eq!(code(zk.create2("/c", b"", CreateMode::Persistent, Acl::OPEN)), NodeExists);
    assert_eq!(
        code(zk.create2("/c/x", b"", CreateMode::Persistent, Acl::OPEN)),
        NoChildrenForEphemerals
    );
    assert_eq!(code(zk.create2("/no/x", b"", CreateMode::Persistent, Acl::OPEN)), NoNode);
    assert_eq!(code(zk.create2("/d", b"", CreateMode::Persistent, &[])), InvalidAcl);
    zk.delete("/c", None).unwrap();

    persistent(&zk, "/seq");
    for (mode, n) in [(CreateMode::PersistentSequential, 0), (CreateMode::EphemeralSequential, 1)] {
        let (path, _) = zk.create2("/seq/n-", b"", mode, Acl::OPEN).unwrap();
        assert_eq!(path, format!("/seq/n-{n:010}"));
    }

    let (path, stat) = zk.create2("/box", b"", CreateMode::Container, Acl::OPEN).unwrap();
    assert_eq!((path.as_str(), stat.ephemeral_owner), ("/box", 0));
    assert_eq!(code(zk.create("/box", b"", CreateMode::Container)), NodeExists);
    assert_eq!(zk.create("/box2", b"", CreateMode::Container).unwrap(), "/box2");

    let ttl = |path, mode, ttl| zk.create_ttl(path, b"", mode, Acl::OPEN, ttl);
    assert_eq!(ttl("/ttl", CreateMode::PersistentTtl, TTL).unwrap().0, "/ttl");
    let (path, _) = ttl("/ttl/n-", CreateMode::PersistentSequentialTtl, TTL).unwrap();
    assert_eq!(path, "/ttl/n-0000000000");
    assert_eq!(code(ttl("/ttl", CreateMode::PersistentTtl, TTL)), NodeExists);
    assert_eq!(code(ttl("/t0", CreateMode::PersistentTtl, Duration::ZERO)), BadArguments);
    assert_eq!(
        code(ttl("/t1", CreateMode::PersistentTtl, Duration::from_secs(1 << 40))),
        BadArguments
    );
    assert_eq!(code(ttl("/t2", CreateMode::Persistent, TTL)), BadArguments);
}

fn acls(place: &Place) {
    let (zk, other) = (place.client(""), place.client(""));
    persistent(&zk, "/acl");
    let (acl, stat) = zk.get_acl("/acl").unwrap();
    let anyone =
        AclEntry { perms: Perms::ALL, scheme: "world".to_owned(), id: "anyone".to_owned() };
    assert_eq!((acl.as_slice(), stat.aversion), (&[anyone][..], 0));
    zk.add_auth("digest", b"bob:secret").unwrap();
    assert_eq!(code(zk.set_acl("/acl", Acl::CREATOR_ALL, Some(7))), BadVersion);
    assert_eq!(zk.set_acl("/acl", Acl::CREATOR_ALL, Some(0)).unwrap().aversion, 1);
    let (acl, _) = zk.get_acl("/acl").unwrap();
    assert_eq!((acl.len(), acl[0].scheme.as_str()), (1, "digest"));
    assert!(acl[0].id.starts_with("bob:"), "{acl:?}");
    assert_eq!(zk.set_acl("/acl", &[acl[0].as_acl()], None).unwrap().aversion, 2);
    assert_eq!(code(other.get_acl("/acl")), NoAuth);
    assert_eq!(code(other.set_acl("/acl", Acl::OPEN, None)), NoAuth);
    assert_eq!(code(zk.get_acl("/nope")), NoNode);
    assert_eq!(code(zk.set_acl("/nope", Acl::OPEN, None)), NoNode);
    assert_eq!(code(zk.set_acl("/acl", &[], None)), InvalidAcl);

    let mut identities = zk.who_am_i().unwrap();
    identities.sort_by(|a, b| a.scheme.cmp(&b.scheme));
    let identity = |scheme: &str, user: &str| Identity { scheme: scheme.into(), user: user.into() };
    assert_eq!(identities, [identity("digest", "bob"), identity("ip", "127.0.0.1")]);
    assert_eq!(other.who_am_i().unwrap(), [identity("ip", "127.0.0.1")]);
}

fn counts_and_ephemerals(place: &Place) {
    let root = place.client("");
    persistent(&root, "/app");
    persistent(&root, "/app/sub");
    assert_eq!(root.get_all_children_number("/app").unwrap(), 1);
    assert_eq!(code(root.get_all_children_number("/nope")), NoNode);
    let zk = place.client("/app");
    assert_eq!(zk.get_all_children_number("/").unwrap(), 1);
    for path in ["/a", "/ab", "/sub/c"] {
        zk.create(path, b"", CreateMode::Ephemeral).unwrap();
    }
    let sorted = |mut paths: Vec<String>| {
        paths.sort();
        paths
    };
    assert_eq!(sorted(zk.get_ephemerals("/").unwrap()), ["/a", "/ab", "/sub/c"]);
    assert_eq!(sorted(zk.get_ephemerals("/a").unwrap()), ["/a", "/ab"]);
    assert_eq!(zk.get_ephemerals("/sub").unwrap(), ["/sub/c"]);
    assert_eq!(zk.get_ephemerals("/none").unwrap(), Vec::<String>::new());
    assert_eq!(root.get_ephemerals("/").unwrap(), Vec::<String>::new(), "of this session only");
    // The server compares plain text; what is beside the chroot is nobody's business.
    let beside = root.create("/apple", b"", CreateMode::Ephemeral).unwrap();
    assert_eq!(root.get_ephemerals("/app").unwrap(), [beside]);
    let ErrorKind::Submit(SubmitError::Path(error)) = zk.get_ephemerals("a").unwrap_err().kind
    else {
        panic!()
    };
    assert_eq!(error.kind, PathErrorKind::NotAbsolute);
}

fn multis(place: &Place) {
    let root = place.client("");
    persistent(&root, "/m");
    let zk = place.client("/m");
    let create2 = Create::open("/two", b"2", CreateMode::Persistent);
    let results = zk
        .multi(&[
            MultiOp::create("/one", b"1", CreateMode::Persistent),
            MultiOp::Create2(create2),
            MultiOp::create("/s-", b"", CreateMode::PersistentSequential),
            MultiOp::check("/one", 0),
            MultiOp::set_data("/one", b"11", 0),
            MultiOp::delete("/two", -1),
            MultiOp::check("/", -1),
        ])
        .unwrap();
    let name = |at: usize| match &results[at] {
        ItemAnswer::Created(path, stat) => (path.as_str(), stat.is_some()),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(0), ("/one", false));
    assert_eq!(name(1), ("/two", place.release == Release::V3_9));
    assert_eq!(name(2), ("/s-0000000002", false));
    assert_eq!(results[3], ItemAnswer::Checked);
    assert!(matches!(results[4], ItemAnswer::Stat(stat) if stat.version == 1));
    assert_eq!(results[5..], [ItemAnswer::Deleted, ItemAnswer::Checked]);
    assert_eq!(root.get_data("/m/one").unwrap().0, b"11");

    let typed = zk
        .multi(&[
            MultiOp::CreateContainer(Create::open("/box", b"", CreateMode::Container)),
            MultiOp::CreateTtl(CreateTtl {
                create: Create::open("/ttl", b"", CreateMode::PersistentTtl),
                ttl: 3_600_000,
            }),
        ])
        .unwrap();
    assert!(matches!(&typed[0], ItemAnswer::Created(path, _) if path == "/box"), "{typed:?}");
    assert!(matches!(&typed[1], ItemAnswer::Created(path, _) if path == "/ttl"), "{typed:?}");

    // All or nothing, and the one to blame is named.
    let items = [
        MultiOp::set_data("/one", b"never", -1),
        MultiOp::check("/one", 99),
        MultiOp::delete("/one", -1),
    ];
    let error = zk.multi(&items).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Item { at: 1, code: BadVersion });
    assert_eq!(error.to_string(), "Multi /one: item 1: BadVersion (-103)");
    assert_eq!(zk.get_data("/one").unwrap().0, b"11");
    let Answer::Multi(raw) = zk.submit(&Request::multi(&items)).unwrap().wait().unwrap() else {
        panic!()
    };
    let undone = ItemAnswer::RolledBack;
    assert_eq!(raw, [undone.clone(), ItemAnswer::Failed(BadVersion), undone]);
    for (item, expected) in [
        (MultiOp::create("/one", b"", CreateMode::Persistent), NodeExists),
        (MultiOp::create("/no/x", b"", CreateMode::Persistent), NoNode),
        (MultiOp::delete("/nope", -1), NoNode),
        (MultiOp::set_data("/one", b"", 77), BadVersion),
    ] {
        assert_eq!(code(zk.multi(&[item])), expected);
    }
    // A read has no place among writes, and the reverse.
    assert_eq!(code(zk.multi(&[MultiOp::get_data("/one")])), MarshallingError);
    assert_eq!(code(zk.multi_read(&[MultiOp::delete("/one", -1)])), MarshallingError);

    let mut read = zk
        .multi_read(&[
            MultiOp::get_data("/one"),
            MultiOp::get_children("/"),
            MultiOp::get_data("/nope"),
        ])
        .unwrap();
    if let ItemAnswer::Children(names) = &mut read[1] {
        names.sort();
    }
    assert!(matches!(&read[0], ItemAnswer::Data(Some(data), _) if data == b"11"));
    let names = ["box", "one", "s-0000000002", "ttl"].map(str::to_owned).to_vec();
    assert_eq!(read[1..], [ItemAnswer::Children(names), ItemAnswer::Failed(NoNode)]);
}

fn watches(place: &Place) {
    let (root, zk) = (place.client(""), place.client("/w"));
    persistent(&root, "/w");
    let events = zk.events();
    zk.add_watch("/p", AddWatchMode::Persistent).unwrap();
    zk.add_watch("/r", AddWatchMode::PersistentRecursive).unwrap();
    for path in ["/p", "/r"] {
        let server = format!("/w{path}");
        persistent(&root, &server);
        assert_eq!(told(&events), (EventType::NodeCreated, path.to_owned()));
        root.set_data(&server, b"1", None).unwrap();
        assert_eq!(told(&events), (EventType::NodeDataChanged, path.to_owned()));
    }
    persistent(&root, "/w/p/c");
    assert_eq!(told(&events), (EventType::NodeChildrenChanged, "/p".to_owned()));
    persistent(&root, "/w/r/c");
    assert_eq!(told(&events), (EventType::NodeCreated, "/r/c".to_owned()));
    root.delete("/w/r/c", None).unwrap();
    assert_eq!(told(&events), (EventType::NodeDeleted, "/r/c".to_owned()));
    quiet(&zk, &events);

    assert!(zk.check_watches("/p", WatcherType::Any).unwrap());
    assert!(!zk.check_watches("/p/c", WatcherType::Any).unwrap());
    let kinds = [WatcherType::Persistent, WatcherType::PersistentRecursive];
    if place.release == Release::V3_8 {
        for kind in kinds {
            assert_eq!(code(zk.check_watches("/p", kind)), MarshallingError);
            assert_eq!(code(zk.remove_watches("/p", kind)), MarshallingError);
        }
        zk.remove_watches("/p", WatcherType::Any).unwrap();
    } else {
        assert_eq!(code(zk.remove_watches("/p", kinds[1])), NoWatcher);
        zk.remove_watches("/p", kinds[0]).unwrap();
    }
    zk.remove_watches("/r", WatcherType::Any).unwrap();
    assert_eq!(code(zk.remove_watches("/r", WatcherType::Any)), NoWatcher);
    zk.get_data_watched("/p").unwrap();
    zk.get_children_watched("/p").unwrap();
    zk.remove_watches("/p", WatcherType::Data).unwrap();
    assert!(!zk.check_watches("/p", WatcherType::Data).unwrap());
    assert!(zk.check_watches("/p", WatcherType::Children).unwrap());
    root.set_data("/w/p", b"2", None).unwrap();
    root.set_data("/w/r", b"2", None).unwrap();
    quiet(&zk, &events);
    root.delete("/w/p/c", None).unwrap();
    assert_eq!(told(&events), (EventType::NodeChildrenChanged, "/p".to_owned()));
}

/// Data of a quota's znode.
fn quota_text(zk: &Client, path: &str) -> String {
    String::from_utf8(zk.get_data(path).unwrap().0).unwrap()
}

fn quotas(place: &Place) {
    const LIMITS: &str = "/zookeeper/quota/q/sub/zookeeper_limits";
    const STATS: &str = "/zookeeper/quota/q/sub/zookeeper_stats";
    let zk = place.client("");
    let create = |path: &str, data: &str| zk.create(path, data.as_bytes(), CreateMode::Persistent);
    let stats = || quota_text(&zk, STATS);
    for path in ["/q", "/q/sub", "/zookeeper/quota/q", "/zookeeper/quota/q/sub"] {
        create(path, "12").unwrap();
    }
    create("/q/sub/a", "345").unwrap();
    // Without limits nothing is counted but what is there when the statistics come.
    create(STATS, "count=77,bytes=77").unwrap();
    assert_eq!(stats(), "count=2,bytes=5");
    create("/q/sub/b", "").unwrap();
    assert_eq!(stats(), "count=2,bytes=5");
    zk.delete("/q/sub/b", None).unwrap();
    create(LIMITS, "count=-1,bytes=-1;byteHardLimit=10;countHardLimit=4").unwrap();

    // The znode itself and all below it count; what is beside it does not.
    create("/q/sub/a/c", "6").unwrap();
    create("/q/subway", "123456789").unwrap();
    assert_eq!(stats(), "count=3,bytes=6");
    let before = zk.get_data(STATS).unwrap().1;
    zk.set_data("/q/sub", b"1", None).unwrap();
    zk.set_data("/q/sub/a/c", b"", None).unwrap();
    assert_eq!(stats(), "count=3,bytes=4");
    // Statistics change without a version, a zxid, or an event.
    assert_eq!((before.version, before.mzxid), {
        let after = zk.get_data(STATS).unwrap().1;
        (after.version, after.mzxid)
    });

    // Hard limits: of bytes before the version is looked at, of both in the order of the checks.
    assert_eq!(code(zk.set_data("/q/sub/a", b"0123456789", Some(9))), QuotaExceeded);
    assert_eq!(code(zk.set_data("/q/sub/a", b"", Some(9))), BadVersion);
    assert_eq!(code(create("/q/sub/d", "0123456789")), QuotaExceeded);
    assert_eq!(code(create("/q/sub/a", "0123456789")), NodeExists);
    create("/q/sub/d", "012345").unwrap();
    assert_eq!(stats(), "count=4,bytes=10");
    assert_eq!(code(create("/q/sub/e", "")), QuotaExceeded);
    zk.set_data("/q/sub/d", b"x", None).unwrap();
    zk.set_data("/q/sub/d", b"yz3456", None).unwrap();
    assert_eq!(code(zk.set_data("/q/sub/d", b"yz34567", None)), QuotaExceeded);

    // Refused items and those undone do not count.
    zk.delete("/q/sub/d", None).unwrap();
    assert_eq!(stats(), "count=3,bytes=4");
    let open = |path: &'static str| Create::open(path, b"7", CreateMode::Persistent);
    let undone = [
        MultiOp::Create(open("/q/sub/m")),
        MultiOp::SetData { path: "/q/sub".into(), data: None, version: -1 },
        MultiOp::delete("/q/sub/a/c", -1),
        MultiOp::check("/q/sub", 99),
    ];
    assert!(zk.multi(&undone).is_err());
    assert_eq!(stats(), "count=3,bytes=4");
    // Within a multi the limits see what was there before it: one more than allowed gets in.
    let two = [MultiOp::Create(open("/q/sub/m")), MultiOp::Create(open("/q/sub/n"))];
    zk.multi(&two).unwrap();
    assert_eq!(stats(), "count=5,bytes=6");
    let third = [MultiOp::Create(open("/q/sub/o"))];
    assert!(zk.multi(&third).is_err());
    for path in ["/q/sub/m", "/q/sub/n"] {
        zk.delete(path, None).unwrap();
    }

    // Ephemerals count, and go with their session.
    let owner = place.client("");
    owner.create("/q/sub/e", b"8", CreateMode::Ephemeral).unwrap();
    assert_eq!(stats(), "count=4,bytes=5");
    owner.close().unwrap();
    assert_eq!(stats(), "count=3,bytes=4");

    // A quota within a quota: the nearest counts alone, and starts with what there is.
    create("/zookeeper/quota/q/sub/a", "").unwrap();
    create("/zookeeper/quota/q/sub/a/zookeeper_limits", "count=0,bytes=0").unwrap();
    create("/zookeeper/quota/q/sub/a/zookeeper_stats", "").unwrap();
    let inner = || quota_text(&zk, "/zookeeper/quota/q/sub/a/zookeeper_stats");
    assert_eq!((inner().as_str(), stats().as_str()), ("count=2,bytes=3", "count=3,bytes=4"));
    create("/q/sub/a/f", "more than soft limits allow").unwrap();
    assert_eq!((inner().as_str(), stats().as_str()), ("count=3,bytes=30", "count=3,bytes=4"));

    // Statistics are texts like any other: what they say is what counts.
    zk.set_data(STATS, b"count=4,bytes=1;byteHardLimit=-1", None).unwrap();
    assert_eq!(code(create("/q/sub/g", "")), QuotaExceeded);
    zk.delete("/q/sub/a/f", None).unwrap();
    zk.delete("/q/sub/a/c", None).unwrap();
    zk.delete("/q/sub/a", None).unwrap();
    // Limits that are gone limit nothing.
    assert_eq!(stats(), "count=4,bytes=1;byteHardLimit=-1");
    zk.delete(LIMITS, None).unwrap();
    create("/q/sub/g", "a long text that would be too long").unwrap();
    assert_eq!(stats(), "count=4,bytes=1;byteHardLimit=-1");
    zk.close().unwrap();
}

fn configuration(place: &Place) {
    let zk = place.client("/nowhere");
    let (_, stat) = zk.get_config().unwrap();
    assert_eq!(zk.get_config_watched().unwrap().1, stat);
    let nobody = Reconfig {
        joining: Ustring::NULL,
        leaving: "9".into(),
        new_members: Ustring::NULL,
        current_config: -1,
    };
    assert_eq!(code(zk.reconfig(nobody)), ReconfigDisabled);
    // Nothing of the chroot is needed for any of it.
    assert_eq!(code(zk.get_data("/")), NoNode);
}

fn refusals(place: &Place) {
    let zk = place.client("");
    for error in [
        zk.get_acl("a").unwrap_err(),
        zk.add_watch("/a/", AddWatchMode::Persistent).unwrap_err(),
        zk.remove_watches("/a//b", WatcherType::Any).unwrap_err(),
        zk.multi(&[MultiOp::delete("", -1)]).unwrap_err(),
        zk.get_all_children_number("/..").unwrap_err(),
    ] {
        assert!(matches!(error.kind, ErrorKind::Submit(SubmitError::Path(_))), "{error}");
    }
    let check = Request::Check { path: "/".into(), version: -1 };
    let refused = zk.submit(&check).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Submit(SubmitError::Reserved));
    let unknown = Request::RemoveWatches { path: "/".into(), kind: 77 };
    let answer = zk.submit(&unknown).unwrap().wait();
    assert_eq!(answer, Err(OpError::Server(MarshallingError)));
    zk.close().unwrap();
}

fn all(place: &Place) {
    creates(place);
    acls(place);
    counts_and_ephemerals(place);
    multis(place);
    watches(place);
    quotas(place);
    configuration(place);
    refusals(place);
}

#[test]
fn every_operation_on_the_embedded_ensemble() {
    for release in [Release::V3_8, Release::V3_9] {
        let ensemble =
            EmbeddedEnsemble::builder().release(release).extended_types().enforce_quota();
        let ensemble = ensemble.start().unwrap();
        all(&Place { connect_string: ensemble.connect_string(), release });
    }
}

#[test]
fn every_operation_on_a_real_zookeeper() {
    let ensemble = RealEnsemble::builder()
        .property("extendedTypesEnabled", true)
        .property("enforceQuota", true)
        .start()
        .unwrap();
    all(&Place { connect_string: ensemble.connect_string(), release: Release::V3_8 });
}

#[test]
fn t4_a_server_without_times_to_live_says_so_and_the_session_goes_on() {
    let ensemble = EmbeddedEnsemble::builder().start().unwrap();
    let zk = Client::connect(ensemble.connect_string()).unwrap();
    let ttl = zk.create_ttl("/t", b"", CreateMode::PersistentTtl, Acl::OPEN, TTL);
    assert_eq!(code(ttl), Unimplemented);
    assert!(zk.exists("/t").unwrap().is_none());
}

#[test]
fn j8_a_membership_is_changed_and_its_watcher_below_a_chroot_is_told() {
    // sha1 of `super:secret`.
    const SUPER: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";
    let ensemble = RealEnsemble::builder()
        .nodes(3)
        .property("reconfigEnabled", true)
        .system_property("zookeeper.DigestAuthenticationProvider.superDigest", SUPER)
        .start()
        .unwrap();
    // A follower leaves, and the session is on one of the others: nobody has to be elected.
    let leader = ensemble.leader().unwrap();
    let gone = (0..3).rfind(|i| *i != leader).unwrap();
    let others: Vec<_> = (0..3).filter(|i| *i != gone).map(|i| ensemble.addr(i)).collect();
    let string = format!("{},{}/below", others[0], others[1]);
    let zk = Client::builder(string).timeout(Duration::from_secs(8)).connect().unwrap();
    let (id, line) = ((gone + 1).to_string(), format!("server.{}=", gone + 1));
    let third = Reconfig {
        joining: Ustring::NULL,
        leaving: id.as_str().into(),
        new_members: Ustring::NULL,
        current_config: -1,
    };
    assert_eq!(code(zk.reconfig(third)), NoAuth);
    zk.add_auth("digest", b"super:secret").unwrap();
    let events = zk.events();
    let (before, _) = zk.get_config_watched().unwrap();
    assert!(String::from_utf8_lossy(&before).contains(&line));
    let stale = Reconfig { current_config: 1, ..third };
    assert_eq!(code(zk.reconfig(stale)), BadVersion);
    let (after, _) = zk.reconfig(third).unwrap();
    let after = String::from_utf8_lossy(&after).into_owned();
    assert!(after.contains("server.") && !after.contains(&line), "{after}");
    let changed = events
        .into_iter()
        .find(|event| matches!(event, SessionEvent::Notification { .. }))
        .unwrap();
    let kind = EventType::NodeDataChanged;
    assert_eq!(changed, SessionEvent::Notification { kind, path: CONFIG_NODE.to_owned() });
    assert_eq!(zk.get_config().unwrap().0, after.as_bytes());
}
