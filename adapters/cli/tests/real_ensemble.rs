//! The program on a real ZooKeeper: the same commands do the same.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use serde_json::json;
use support::{Running, objects, run_with, zks};
use zk_session_testkit::RealEnsemble;

#[test]
fn a_real_zookeeper_is_read_written_watched_and_looked_at() {
    let ensemble = RealEnsemble::builder()
        .nodes(3)
        .tick_ms(500)
        .property("4lw.commands.whitelist", "*")
        .property("extendedTypesEnabled", "true")
        .system_property("zookeeper.extendedTypesEnabled", "true")
        .start()
        .unwrap();
    let servers = ensemble.connect_string();
    let run = |args: &[&str]| run_with(zks(&servers, args), b"");

    let mut watch = Running::new(zks(&servers, &["--json", "watch", "-r", "/app", "-c", "4"]));
    assert_eq!(watch.json()["event"], "Watching");
    assert_eq!(run(&["create", "-p", "/app/config", "one"]).ok(), "/app/config\n");
    assert_eq!(watch.json(), json!({ "event": "NodeCreated", "path": "/app" }));
    assert_eq!(watch.json(), json!({ "event": "NodeCreated", "path": "/app/config" }));
    assert_eq!(run(&["set", "/app/config", "two", "--version", "0"]).ok(), "version 1\n");
    assert_eq!(watch.json(), json!({ "event": "NodeDataChanged", "path": "/app/config" }));
    run(&["sync"]).ok();
    let got = run(&["--json", "get", "/app/config"]).json();
    assert_eq!((&got[0]["data"], &got[0]["version"]), (&json!("two"), &json!(1)));

    run(&["set", "/app/config", "x", "--version", "7"]).fails(12, "BadVersion");
    run(&["get", "/nothing"]).fails(10, "/nothing does not exist");
    run(&["create", "/app"]).fails(11, "/app exists already");
    run(&["delete", "/app"]).fails(13, "/app has children");
    run(&["create", "--ttl", "1h", "/ttl"]).ok();
    run(&["create", "--container", "/container"]).ok();
    let multi = run(&["multi", "check /app/config 1", "create -s /app/q- 'a b'"]).ok();
    assert!(multi.starts_with("checked /app/config\ncreated /app/q-00000000"), "{multi}");
    assert_eq!(watch.json()["event"], "NodeCreated");
    watch.end().ok();
    let failed = run(&["multi", "create /app/x", "check /app/config 9"]);
    failed.fails(12, "Multi /app/config: item 1: BadVersion");

    let quota = run(&["quota", "set", "/app", "--count", "9"]).ok();
    assert!(quota.contains("count  3 of 9"), "{quota}");
    assert_eq!(run(&["--json", "quota", "list"]).json()[0]["path"], "/app");
    run(&["quota", "delete", "/app"]).ok();
    assert!(run(&["whoami"]).ok().contains("ip 127.0.0.1"));
    let config = run(&["--json", "config"]).json();
    assert_eq!(config[0]["servers"].as_object().unwrap().len(), 3, "{config:?}");
    run(&["reconfig", "--remove", "3"]).fails(1, "reconfigEnabled=true");

    let frame = run(&["top", "--once"]).ok();
    assert!(frame.contains("3 of 3 servers up"), "{frame}");
    assert!(frame.contains("leader") && frame.contains("follower"), "{frame}");
    let sample = &run(&["--json", "top", "--once"]).json()[0];
    assert!(
        sample["servers"].as_array().unwrap().iter().all(|s| s["watches"].is_f64()),
        "{sample}"
    );

    let mut session = Running::new(zks(&servers, &["--json", "--timeout", "3s", "session"]));
    let first = session.json();
    let host = first["host"].as_str().unwrap().to_owned();
    let at = servers.split(',').position(|server| server == host).unwrap();
    ensemble.kill(at).unwrap();
    assert_eq!(session.json()["state"], "Disconnected");
    let back = session.json();
    assert_eq!(
        (&back["cause"], &back["session"]),
        (&json!("the session was resumed"), &first["session"])
    );
    assert_ne!(back["host"], host);
    session.signal(nix::sys::signal::Signal::SIGINT);
    let rest = session.end();
    assert_eq!(
        (rest.code, objects(&rest.out).last().unwrap()["state"].clone()),
        (0, json!("Closed"))
    );

    let bench = run(&["--json", "bench", "--ops", "300", "--creates", "10"]).json();
    assert_eq!((&bench[0]["operations"], &bench[0]["errors"]), (&json!(300), &json!(0)));
    assert_eq!(run(&["delete", "-r", "/app"]).ok(), "/app: 3 znodes deleted\n");
}
