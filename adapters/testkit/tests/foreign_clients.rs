//! kazoo and zkCli.sh, against a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use zk_session_testkit::{Kazoo, RealEnsemble, Relay, ZkCli};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn kazoo_creates_what_zk_cli_gets() {
    let ensemble = RealEnsemble::builder().property("extendedTypesEnabled", true).start().unwrap();
    let script = r#"
import sys
from kazoo.client import KazooClient
client = KazooClient(hosts=sys.argv[1])
client.start(timeout=20)
client.create("/from-kazoo", sys.argv[2].encode())
print(client.get("/from-kazoo")[0].decode())
client.stop()
"#;
    let kazoo = Kazoo::prepare().unwrap();
    let output =
        kazoo.run(script, &[&ensemble.connect_string(), "hello"], LONG).unwrap().success().unwrap();
    assert_eq!(output.stdout, "hello\n");

    let cli = ZkCli::new(ensemble.addr(0));
    let output = cli.run(&["get", "/from-kazoo"]).unwrap().success().unwrap();
    assert_eq!(output.stdout.lines().last(), Some("hello"), "{output}");

    let output =
        cli.script("create -t 60000 /ttl data-of-a-ttl-node\nget /ttl").unwrap().success().unwrap();
    assert!(output.stdout.contains("data-of-a-ttl-node"), "{output}");

    let output = cli.run(&["get", "/nowhere"]).unwrap();
    assert!(!output.status.success());
    assert!(output.stderr.contains("Node does not exist: /nowhere"), "{output}");
}

#[test]
fn tests_may_race_for_kazoo_and_a_failing_script_shows_why() {
    let racers: Vec<_> = (0..3).map(|_| std::thread::spawn(Kazoo::prepare)).collect();
    for racer in racers {
        let kazoo = racer.join().unwrap().unwrap();
        let output = kazoo
            .run("raise SystemExit('bad ' + __import__('sys').argv[1])", &["luck"], LONG)
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.success().unwrap_err().to_string().contains("bad luck"));
    }
}

#[test]
fn zk_cli_against_a_silent_server_is_killed_in_time() {
    let silent = Relay::start("127.0.0.1:9".parse().unwrap()).unwrap();
    silent.blackhole().unwrap();
    let result = ZkCli::new(silent.addr()).timeout(Duration::from_secs(3)).run(&["ls", "/"]);
    assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}
