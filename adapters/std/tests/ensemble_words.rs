//! Four-letter words over real sockets, compared with ZooKeeper 3.8.0 line by line, and read as
//! monitoring tools read them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod ensemble_support;

use std::net::SocketAddr;
use std::time::Duration;

use ensemble_support::Raw;
use zk_session::server::Release;
use zk_session::wire::{CreateMode, Request};
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::{Kazoo, RealEnsemble, four_letter};

/// Numbers behind these are times, ports, ids, or how fast a machine is.
const VOLATILE: [&str; 12] = [
    "127.0.0.1:",
    "sid=0x",
    "est=",
    "lresp=",
    "llat=",
    "minlat=",
    "avglat=",
    "maxlat=",
    "sessionId: 0x",
    "clientPort=",
    "/avg/max: ",
    "Sets (",
];
/// What is different by nature: the build, and where and how files are kept.
const OTHERWISE: [&str; 5] =
    ["Zookeeper version: ", "dataDir", "dataLog", "serverId=", " expire at "];

/// A set of sessions that expire together.
const SOME_EXPIRE: &str = "some expire";

/// Sorted, for ZooKeeper lists connections, sessions and watches in no order.
fn comparable(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().filter_map(line).collect();
    lines.sort();
    // It takes a tick between two sessions to have them in two sets.
    lines.dedup_by(|one, other| one == other && one == SOME_EXPIRE);
    lines
}

fn line(line: &str) -> Option<String> {
    if line.contains(" expire at ") {
        return (!line.starts_with("0 ")).then(|| SOME_EXPIRE.into()); // empty sets
    }
    if let Some(start) = OTHERWISE.iter().find(|start| line.starts_with(**start)) {
        return Some((*start).into());
    }
    let bare = line.trim();
    if bare.starts_with("0x") {
        return Some(line.replace(bare.trim_end_matches(':'), "0x*"));
    }
    let mut line = line.to_owned();
    for start in VOLATILE {
        let Some(at) = line.find(start).map(|at| at + start.len()) else { continue };
        let number = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | '/' | ')' | '(');
        let end = line[at..].find(|c| !number(c)).map_or(line.len(), |len| at + len);
        let end = if line[at..end].ends_with(')') { end - 1 } else { end };
        line.replace_range(at..end, "*");
    }
    Some(line)
}

/// The same for both: two sessions with an ephemeral znode and watches of all kinds; a third one
/// was closed.
fn visit(addr: SocketAddr) -> [Raw; 2] {
    let (mut gone, _) = Raw::connect(addr, 10_000);
    gone.call(&Request::CloseSession).unwrap();
    assert!(gone.is_closed());
    let (mut a, _) = Raw::connect(addr, 10_000);
    let (mut b, _) = Raw::connect(addr, 10_000);
    a.create("/words", b"abc", CreateMode::Persistent).unwrap();
    a.create("/words/e", b"", CreateMode::Ephemeral).unwrap();
    assert!(a.exists("/words/e", true));
    a.call(&Request::get_children("/", true)).unwrap();
    a.call(&Request::AddWatch { path: "/rec".into(), mode: 1 }).unwrap();
    a.call(&Request::AddWatch { path: "/per".into(), mode: 0 }).unwrap();
    assert!(!b.exists("/nope", true));
    b.call(&Request::create("/words", b"", CreateMode::Persistent).clone()).unwrap_err();
    b.ping().unwrap();
    [a, b]
}

fn values(mntr: &str) -> Vec<(&str, &str)> {
    mntr.lines().map(|line| line.split_once('\t').unwrap()).collect()
}

#[test]
fn each_word_answers_as_zookeeper_3_8_0() {
    let real = RealEnsemble::builder().start().unwrap();
    let ours = EmbeddedEnsemble::builder()
        .tick(Duration::from_millis(500))
        .release(Release::V3_8)
        .start()
        .unwrap();
    let (theirs, ours) = (real.addr(0), ours_addr(&ours));
    // Who waited for it to serve has asked it things.
    for addr in [theirs, ours] {
        assert_eq!(four_letter(addr, "srst").unwrap(), "Server stats reset.\n");
    }
    let _theirs = visit(theirs);
    let _ours = visit(ours);
    for word in
        "ruok isro srvr stat cons dump wchs wchc wchp hash gtmk crst cons srst stat".split(' ')
    {
        let (theirs, ours) = (four_letter(theirs, word).unwrap(), four_letter(ours, word).unwrap());
        assert_eq!(comparable(&ours), comparable(&theirs), "{word}: {ours}\ninstead of\n{theirs}");
        let ends = |text: &str| text.len() - text.trim_end_matches('\n').len();
        assert_eq!(ends(&ours), ends(&theirs), "{word}");
    }
    let set = "stmk\0\0\0\0\0\0\u{1}\u{2}";
    assert_eq!(four_letter(ours, set).unwrap(), four_letter(theirs, set).unwrap());
    assert_eq!(four_letter(ours, "gtmk").unwrap(), four_letter(theirs, "gtmk").unwrap());
    for unknown in ["abcd", "orst", "kill"] {
        assert_eq!(four_letter(ours, unknown).unwrap(), four_letter(theirs, unknown).unwrap());
    }
    let keys = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split('=').next().unwrap().to_owned()).collect()
    };
    let (their_conf, our_conf) =
        (four_letter(theirs, "conf").unwrap(), four_letter(ours, "conf").unwrap());
    assert_eq!(keys(&our_conf), keys(&their_conf));
    let same = ["tickTime=500", "minSessionTimeout=1000", "maxSessionTimeout=10000"];
    assert!(same.iter().all(|line| our_conf.contains(line) && their_conf.contains(line)));
    let (their_envi, our_envi) =
        (four_letter(theirs, "envi").unwrap(), four_letter(ours, "envi").unwrap());
    let theirs_has = keys(&their_envi);
    assert!(keys(&our_envi).iter().all(|key| theirs_has.contains(key)), "{our_envi}");
    let dirs = |addr| keys(&four_letter(addr, "dirs").unwrap().replace(": ", "="));
    assert_eq!(dirs(ours), dirs(theirs));
}

fn ours_addr(ensemble: &EmbeddedEnsemble) -> SocketAddr {
    ensemble.addr(0)
}

#[test]
fn the_numbers_of_mntr_are_zookeepers() {
    let real = RealEnsemble::builder().start().unwrap();
    let ours = EmbeddedEnsemble::builder().tick(Duration::from_millis(500)).start().unwrap();
    let (theirs, ours) = (real.addr(0), ours.addr(0));
    let _theirs = visit(theirs);
    let _ours = visit(ours);
    for addr in [theirs, ours] {
        four_letter(addr, "srst").unwrap();
    }
    let (their_text, our_text) =
        (four_letter(theirs, "mntr").unwrap(), four_letter(ours, "mntr").unwrap());
    let (their_values, our_values) = (values(&their_text), values(&our_text));
    let theirs_of = |key: &str| {
        let found = their_values.iter().find(|(name, _)| *name == key);
        found.unwrap_or_else(|| panic!("{key} is no key of ZooKeeper's")).1
    };
    for (key, ours) in &our_values {
        let theirs = theirs_of(key);
        let number = |text: &str| text.parse::<f64>().is_ok();
        assert_eq!(number(ours), number(theirs), "{key}: {ours} instead of {theirs}");
        let differ = ["version", "uptime", "latency", "bytes"];
        if !differ.iter().any(|part| key.contains(part)) {
            assert_eq!(*ours, theirs, "{key}");
        }
    }
    // What tools look for; collectd reads 4 KiB and no more.
    for key in [
        "version",
        "server_state",
        "ephemerals_count",
        "num_alive_connections",
        "avg_latency",
        "outstanding_requests",
        "znode_count",
        "packets_sent",
        "packets_received",
        "watch_count",
        "min_latency",
        "max_latency",
        "approximate_data_size",
    ] {
        assert!(our_values.iter().any(|(name, _)| *name == format!("zk_{key}")), "no zk_{key}");
    }
    assert!(our_text.len() < 4096);
    // Telegraf refuses the whole answer for one line that is not a name and a value, and sends a
    // line's end behind the word.
    for line in four_letter(ours, "mntr\n").unwrap().lines() {
        let word = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            text.chars().next().is_some_and(fits)
        };
        let (name, value) = line.split_once('\t').unwrap();
        assert!(name.strip_prefix("zk_").is_some_and(word) && word(value), "{line:?}");
    }
}

#[test]
fn kazoo_finds_the_version_and_asks_words() {
    let ours = EmbeddedEnsemble::builder().servers(3).start().unwrap();
    let script = r#"
import sys
from kazoo.client import KazooClient
zk = KazooClient(hosts=sys.argv[1])
zk.start(timeout=10)
assert zk.server_version() == (3, 9, 5), zk.server_version()
assert zk.command(b"ruok") == "imok"
values = dict(line.split("\t") for line in zk.command(b"mntr").splitlines())
assert values["zk_server_state"] in ("leader", "follower"), values
assert int(values["zk_num_alive_connections"]) == 2, values
assert int(values["zk_packets_received"]) > 0, values
zk.stop()
"#;
    let kazoo = Kazoo::prepare().unwrap();
    let output = kazoo.run(script, &[&ours.connect_string()], Duration::from_secs(60)).unwrap();
    output.success().unwrap();
}

#[test]
fn words_and_connections_are_limited_by_the_builder() {
    let ensemble = EmbeddedEnsemble::builder()
        .four_letter_words(["ruok"])
        .max_client_cnxns(2)
        .start()
        .unwrap();
    let addr = ensemble.addr(0);
    assert_eq!(four_letter(addr, "ruok").unwrap(), "imok");
    let refusal = "mntr is not executed because it is not in the whitelist.\n";
    assert_eq!(four_letter(addr, "mntr").unwrap(), refusal);
    let (mut first, _) = Raw::connect(addr, 10_000);
    let (mut second, _) = Raw::connect(addr, 10_000);
    assert!(Raw::dial(addr).unwrap().is_closed());
    first.ping().unwrap();
    second.ping().unwrap();
    first.call(&Request::CloseSession).unwrap();
    assert!(first.is_closed());
    let (mut third, _) = Raw::connect(addr, 10_000);
    third.ping().unwrap();
}
