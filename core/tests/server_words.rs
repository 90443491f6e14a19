//! Four-letter words: what they answer, to whom, and the statistics behind them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{World, new_session, request_bytes};
use zk_session::server::{
    CloseReason, ConnectionId, EngineConfig, FourLetterWords, Release, ServerId, ServerLink,
};
use zk_session::wire::{CreateMode, Request};

/// Midnight of 22 November 2026.
const MIDNIGHT: i64 = 1_795_305_600_000;

fn world(servers: usize, change: impl FnOnce(&mut EngineConfig)) -> (World, Vec<ServerId>) {
    let mut config = EngineConfig::default();
    config.unix_time_at_origin = MIDNIGHT;
    change(&mut config);
    let mut world = World::new(config);
    let servers = (0..servers).map(|_| world.engine.add_server()).collect();
    (world, servers)
}

fn open(world: &mut World, server: ServerId, port: u16) -> ConnectionId {
    world.engine.accept(world.at(), server, ([127, 0, 0, 1], port).into())
}

/// The answer to a word; its connection is closed and forgotten.
fn ask(world: &mut World, server: ServerId, word: &[u8]) -> String {
    let conn = open(world, server, 50_000);
    world.send(conn, word);
    let text = String::from_utf8(world.drain(conn)).unwrap();
    assert_eq!(world.engine.poll_link(conn), ServerLink::Down, "{word:?}");
    world.engine.handle_disconnected(world.at(), conn);
    text
}

/// The number of a line of `mntr`.
fn value(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("zk_{name}\t")));
    line.unwrap_or_else(|| panic!("no zk_{name} in {text}")).into()
}

/// Two sessions as those that ZooKeeper 3.8.0 was asked about: the first with an ephemeral znode,
/// a data watch, a child watch and a recursive one, the second with two data watches.
fn two_sessions(world: &mut World, server: ServerId) -> [String; 2] {
    let mut ids = Vec::new();
    for port in [40_001, 40_002] {
        let conn = open(world, server, port);
        world.connect_with(conn, &new_session(10_000));
        let session = world.connected(conn).unwrap();
        let recursive = Request::AddWatch { path: "/rec".into(), mode: 1 };
        let requests = match port {
            40_001 => vec![
                Request::create("/flw", b"abc", CreateMode::Ephemeral),
                Request::get_data("/flw", true),
                Request::get_children("/", true),
                recursive,
            ],
            _ => vec![Request::get_data("/flw", true), Request::exists("/nope", true)],
        };
        for (xid, request) in (1..).zip(&requests) {
            world.send(conn, &request_bytes(xid, request));
            world.frame(conn).unwrap();
        }
        ids.push(format!("{:#x}", session.id.0));
    }
    ids.try_into().unwrap()
}

#[test]
fn each_word_prints_what_a_3_8_0_prints() {
    let (mut world, servers) = world(1, |config| config.release = Release::V3_8);
    let server = servers[0];
    world.now = 1400;
    let [a, b] = two_sessions(&mut world, server);
    let version = concat!("3.8.0-zk-session-", env!("CARGO_PKG_VERSION"), ", built on rust");
    let ask = |world: &mut World, word: &str| ask(world, server, word.as_bytes());

    assert_eq!(ask(&mut world, "ruok"), "imok");
    assert_eq!(ask(&mut world, "isro"), "rw");
    let tail = "Outstanding: 0\nZxid: 0x3\nMode: standalone\nNode count: 6\n";
    assert_eq!(
        ask(&mut world, "srvr"),
        format!(
            "Zookeeper version: {version}\nLatency min/avg/max: 0/0.0/0\n\
             Received: 11\nSent: 10\nConnections: 3\n{tail}"
        )
    );
    assert_eq!(
        ask(&mut world, "stat"),
        format!(
            "Zookeeper version: {version}\nClients:\n \
             /127.0.0.1:40001[1](queued=0,recved=5,sent=5)\n \
             /127.0.0.1:40002[1](queued=0,recved=3,sent=3)\n \
             /127.0.0.1:50000[0](queued=0,recved=1,sent=0)\n\n\
             Latency min/avg/max: 0/0.0/0\nReceived: 12\nSent: 11\nConnections: 3\n{tail}"
        )
    );
    let times = "est=1795305601400,to=10000";
    let rest = "lresp=1400,llat=0,minlat=0,avglat=0,maxlat=0";
    assert_eq!(
        ask(&mut world, "cons"),
        format!(
            " /127.0.0.1:40001[1](queued=0,recved=5,sent=5,sid={a},lop=ADDW,{times},lcxid=0x4,\
             lzxid=0x2,{rest})\n \
             /127.0.0.1:40002[1](queued=0,recved=3,sent=3,sid={b},lop=EXIS,{times},lcxid=0x2,\
             lzxid=0x3,{rest})\n \
             /127.0.0.1:50000[0](queued=0,recved=1,sent=0)\n\n"
        )
    );
    assert_eq!(
        ask(&mut world, "dump"),
        format!(
            "SessionTracker dump:\nSession Sets (1)/(2):\n\
             2 expire at Sun Nov 22 00:00:12 UTC 2026:\n\t{a}\n\t{b}\n\
             ephemeral nodes dump:\nSessions with Ephemerals (1):\n{a}:\n\t/flw\n\
             Connections dump:\nConnections Sets (1)/(3):\n\
             3 expire at Sun Nov 22 00:00:20 UTC 2026:\n\
             \tip: /127.0.0.1:40001 sessionId: {a}\n\
             \tip: /127.0.0.1:40002 sessionId: {b}\n\
             \tip: /127.0.0.1:50000 sessionId: 0x0\n"
        )
    );
    assert_eq!(ask(&mut world, "wchs"), "2 connections watching 3 paths\nTotal watches:4\n");
    assert_eq!(ask(&mut world, "wchc"), format!("{a}\n\t/flw\n\t/rec\n{b}\n\t/flw\n\t/nope\n\n"));
    assert_eq!(
        ask(&mut world, "wchp"),
        format!("/flw\n\t{a}\n\t{b}\n/nope\n\t{b}\n/rec\n\t{a}\n\n")
    );
    assert_eq!(ask(&mut world, "dirs"), "datadir_size: 0\nlogdir_size: 0\n");
    assert_eq!(ask(&mut world, "hash"), "");
    let mntr = ask(&mut world, "mntr");
    for (name, expected) in [
        ("version", version),
        ("server_state", "standalone"),
        ("ephemerals_count", "1"),
        ("num_alive_connections", "3"),
        ("avg_latency", "0.0"),
        ("outstanding_requests", "0"),
        ("znode_count", "6"),
        ("global_sessions", "2"),
        ("watch_count", "6"),
        ("approximate_data_size", "51"),
        ("packets_received", "20"),
        ("packets_sent", "19"),
        ("connection_request_count", "2"),
        ("min_latency", "0"),
        ("max_latency", "0"),
        ("uptime", "1400"),
    ] {
        assert_eq!(value(&mntr, name), expected, "zk_{name}");
    }
    assert!(mntr.len() < 4096, "some tools read no more");
}

#[test]
fn conf_and_envi_tell_what_they_are_given() {
    let (mut world, servers) = world(1, |config| {
        config.max_client_connections = 60;
        config.environment = vec![("os.name".into(), "Linux".into())];
    });
    world.engine.set_address(servers[0], ([127, 0, 0, 1], 2181).into());
    assert_eq!(
        ask(&mut world, servers[0], b"conf"),
        "clientPort=2181\nsecureClientPort=-1\ndataDir=\ndataDirSize=0\ndataLogDir=\n\
         dataLogSize=0\ntickTime=2000\nmaxClientCnxns=60\nminSessionTimeout=4000\n\
         maxSessionTimeout=40000\nclientPortListenBacklog=-1\nserverId=1\n"
    );
    assert_eq!(ask(&mut world, servers[0], b"dirs"), "datadir_size: 0\nlogdir_size: 0\n");
    world.engine.set_data_dir("/var/lib/zk");
    world.engine.set_data_size(12_345);
    let conf = ask(&mut world, servers[0], b"conf");
    let kept =
        "\ndataDir=/var/lib/zk\ndataDirSize=12345\ndataLogDir=/var/lib/zk\ndataLogSize=12345\n";
    assert!(conf.contains(kept), "{conf}");
    assert_eq!(ask(&mut world, servers[0], b"dirs"), "datadir_size: 12345\nlogdir_size: 12345\n");
    let version = concat!("3.9.5-zk-session-", env!("CARGO_PKG_VERSION"), ", built on rust");
    assert_eq!(
        ask(&mut world, servers[0], b"envi"),
        format!("Environment:\nzookeeper.version={version}\nos.name=Linux\n")
    );
}

#[test]
fn each_server_of_an_ensemble_tells_of_itself() {
    let (mut world, servers) = world(3, |_| {});
    let session = world.session(servers[1], 10_000);
    world.call(&session, &Request::exists("/a", true)).unwrap_err();
    for (server, mode, peer, connections, watches) in [
        (servers[0], "leader", "leading - broadcast", 1, 0),
        (servers[1], "follower", "following - broadcast", 2, 1),
        (servers[2], "follower", "following - broadcast", 1, 0),
    ] {
        let srvr = ask(&mut world, server, b"srvr");
        assert!(srvr.contains(&format!("\nConnections: {connections}\n")), "{srvr}");
        assert!(srvr.contains(&format!("\nMode: {mode}\n")), "{srvr}");
        assert_eq!(srvr.contains("\nProposal sizes last/min/max: "), mode == "leader");
        let mntr = ask(&mut world, server, b"mntr");
        assert_eq!(value(&mntr, "server_state"), mode);
        assert_eq!(value(&mntr, "peer_state"), peer);
        assert_eq!(value(&mntr, "watch_count"), watches.to_string());
        assert_eq!(value(&mntr, "quorum_size"), "3");
        assert_eq!(mntr.contains("zk_synced_followers\t2\n"), mode == "leader");
        let conf = ask(&mut world, server, b"conf");
        assert!(conf.ends_with(&format!("\nserverId={}\n", server.0)), "{conf}");
        let dump = ask(&mut world, server, b"dump");
        let id = session.id.0;
        let start = match mode {
            "leader" => format!(
                "SessionTracker dump:\nSession Sets (1)/(1):\n\
                 1 expire at Sun Nov 22 00:00:12 UTC 2026:\n\t{id:#x}\nephemeral nodes dump:\n"
            ),
            _ => format!(
                "SessionTracker dump:\nGlobal Sessions(1):\n{id:#x}\t10000ms\n\
                 ephemeral nodes dump:\n"
            ),
        };
        assert!(dump.starts_with(&start), "{dump}");
    }
}

#[test]
fn only_words_of_the_list_are_answered() {
    let (mut world, servers) = world(1, |config| {
        config.four_letter_words = FourLetterWords::from_list(" mntr,stat , nonsense");
    });
    let server = servers[0];
    for word in [
        "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "ruok", "srst",
        "wchc", "wchp", "wchs",
    ] {
        let refusal = format!("{word} is not executed because it is not in the whitelist.\n");
        assert_eq!(ask(&mut world, server, word.as_bytes()), refusal);
    }
    let refusal = "stmk is not executed because it is not in the whitelist.\n";
    assert_eq!(ask(&mut world, server, b"stmk\0\0\0\0\0\0\0\x01"), refusal);
    for word in ["mntr", "stat", "srvr"] {
        assert!(ask(&mut world, server, word.as_bytes()).len() > 100, "{word}");
    }
}

#[test]
fn no_word_is_a_frame_that_is_too_long() {
    let (mut world, servers) = world(1, |_| {});
    for letters in [b"zzzz", b"orst", b"kill", b"reqs"] {
        let conn = open(&mut world, servers[0], 1);
        world.send(conn, letters);
        assert!(world.drain(conn).is_empty());
        let len = i32::from_be_bytes(*letters);
        assert_eq!(world.engine.poll_reason(conn), Some(CloseReason::BadFrameLength { len }));
    }
}

#[test]
fn the_trace_mask_is_kept_however_it_arrives() {
    let (mut world, servers) = world(1, |_| {});
    let server = servers[0];
    assert_eq!(ask(&mut world, server, b"gtmk"), "306");
    let conn = open(&mut world, server, 1);
    for byte in b"stmk\0\0\0\0\0\0\x01" {
        world.send(conn, &[*byte]);
        assert!(world.drain(conn).is_empty());
    }
    world.send(conn, b"\x02");
    assert_eq!(world.drain(conn), b"258");
    assert_eq!(ask(&mut world, server, b"gtmk"), "258");
    assert_eq!(ask(&mut world, server, &[&b"stmk"[..], &[0xff; 8]].concat()), "-1");
}

#[test]
fn what_follows_a_word_is_not_looked_at() {
    let (mut world, servers) = world(1, |_| {});
    for line in [&b"ruok\n"[..], b"ruok\r\n", b"ruok\0\0\0\x08\0\0\0\x01\0\0\0\x0b"] {
        assert_eq!(ask(&mut world, servers[0], line), "imok");
    }
}

#[test]
fn resets_forget_the_server_or_the_connections() {
    let (mut world, servers) = world(1, |_| {});
    let server = servers[0];
    let session = world.session(server, 10_000);
    world.call(&session, &Request::exists("/a", false)).unwrap_err();
    assert_eq!(ask(&mut world, server, b"srst"), "Server stats reset.\n");
    let stat = ask(&mut world, server, b"stat");
    assert!(stat.contains("(queued=0,recved=2,sent=2)\n"), "{stat}");
    assert!(stat.contains("\nReceived: 1\nSent: 1\n"), "{stat}");
    assert_eq!(ask(&mut world, server, b"crst"), "Connection stats reset.\n");
    let cons = ask(&mut world, server, b"cons");
    let fresh = format!(
        "(queued=0,recved=0,sent=0,sid={:#x},lop=NA,est=1795305600000,to=10000,\
         lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n",
        session.id.0
    );
    assert!(cons.contains(&fresh), "{cons}");
    let stat = ask(&mut world, server, b"stat");
    assert!(stat.contains("\nReceived: 4\nSent: 4\n"), "{stat}");
}

#[test]
fn a_latency_is_the_time_that_a_client_takes_to_make_room() {
    let (mut world, servers) = world(1, |_| {});
    let server = servers[0];
    let session = world.session(server, 10_000);
    world.call(&session, &Request::create("/a", &[7; 60_000], CreateMode::Persistent)).unwrap();
    let get = request_bytes(9, &Request::get_data("/a", false));
    world.send(session.conn, &get.repeat(10));
    let mntr = ask(&mut world, server, b"mntr");
    let executed: u64 = value(&mntr, "outstanding_requests").parse().unwrap();
    assert!((5..10).contains(&executed), "{mntr}");
    assert_eq!(value(&mntr, "max_latency"), "0");
    world.now += 40;
    while world.frame(session.conn).is_some() {}
    let mntr = ask(&mut world, server, b"mntr");
    assert_eq!(value(&mntr, "max_latency"), "40");
    assert_eq!(value(&mntr, "min_latency"), "0");
    assert_eq!(value(&mntr, "outstanding_requests"), "0");
    let average: f64 = value(&mntr, "avg_latency").parse().unwrap();
    let expected = (10 - executed) as f64 * 40.0 / 12.0;
    assert!((average - expected).abs() < 0.001, "{average} instead of {expected}");
}
