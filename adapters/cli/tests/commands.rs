//! Commands on znodes: what they print for people and for programs, and how they end.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::fs;

use serde_json::json;
use support::Stage;

#[test]
fn what_is_created_is_read_changed_and_deleted() {
    let stage = Stage::new(1);
    assert_eq!(stage.ok(&["create", "/a", "one"]), "/a\n");
    assert_eq!(stage.ok(&["get", "/a"]), "one\n");
    assert_eq!(stage.ok(&["set", "/a", "two", "--version", "0"]), "version 1\n");
    assert_eq!(stage.ok(&["get", "/a", "--raw"]), "two");
    assert_eq!(stage.ok(&["ls"]), "a\nzookeeper\n");
    assert_eq!(stage.ok(&["delete", "/a", "--version", "1"]), "");
    assert_eq!(stage.ok(&["ls", "/"]), "zookeeper\n");
}

#[test]
fn programs_read_a_line_with_the_same_fields_each_time() {
    let stage = Stage::new(1);
    let created = stage.json(&["create", "/a", "one"]);
    let got = stage.json(&["get", "/a"]);
    let [created, got] = [&created[0], &got[0]];
    for field in [
        "path",
        "czxid",
        "mzxid",
        "pzxid",
        "ctime",
        "mtime",
        "version",
        "cversion",
        "aversion",
        "ephemeral_owner",
        "data_length",
        "num_children",
    ] {
        assert_eq!(created[field], got[field], "{field}");
        assert!(got.get(field).is_some(), "{field}");
    }
    assert_eq!((&got["data"], &got["encoding"]), (&json!("one"), &json!("utf-8")));
    assert!(got["czxid"].as_str().unwrap().starts_with("0x"));
    assert_eq!(stage.json(&["set", "/a", "two"])[0]["version"], 1);
    assert_eq!(stage.json(&["stat", "/a"])[0]["mzxid"], stage.json(&["get", "/a"])[0]["mzxid"]);
    assert_eq!(stage.json(&["ls"])[0], json!({ "name": "a", "path": "/a" }));
    assert_eq!(stage.json(&["ls", "-l"])[0]["data_length"], 3);
    let deleted = stage.json(&["delete", "/a"]);
    assert_eq!(deleted, [json!({ "path": "/a", "deleted": 1 })]);
}

#[test]
fn data_comes_from_files_and_standard_input_whatever_its_bytes() {
    let stage = Stage::new(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    fs::write(&file, [0, 255, b'a']).unwrap();
    stage.ok(&["create", "/a", "--file", file.to_str().unwrap()]);
    assert_eq!(stage.ok(&["get", "/a"]), "\\x00\\xffa\n");
    let got = stage.json(&["get", "/a"]);
    assert_eq!((&got[0]["data"], &got[0]["encoding"]), (&json!("AP9h"), &json!("base64")));

    stage.run_with(&["set", "/a", "-"], "piped\nlines\n".as_bytes()).ok();
    assert_eq!(stage.ok(&["get", "--raw", "/a"]), "piped\nlines\n");
    stage.run_with(&["create", "/b", "--file", "-"], b"too").ok();
    assert_eq!(stage.ok(&["get", "/b"]), "too\n");
    stage.ok(&["set", "/b", ""]);
    assert_eq!(stage.ok(&["get", "--raw", "/b"]), "");
    stage.run(&["set", "/b"]).fails(2, "no data for /b");
    stage.run(&["set", "/b", "--file", "/no/such/file"]).fails(1, "cannot read /no/such/file");
}

#[test]
fn what_is_stored_does_not_steer_a_terminal() {
    let stage = Stage::new(1);
    stage.ok(&["create", "/a", "red \u{1b}[31m\ttab\nline"]);
    assert_eq!(stage.ok(&["get", "/a"]), "red \\u{1b}[31m\ttab\nline\n");
    assert_eq!(stage.ok(&["get", "--raw", "/a"]), "red \u{1b}[31m\ttab\nline");
}

#[test]
fn colours_are_for_those_who_want_them() {
    let stage = Stage::new(1);
    assert!(!stage.ok(&["ls"]).contains('\u{1b}'));
    assert!(stage.ok(&["--color", "always", "ls"]).contains('\u{1b}'));
    assert!(!stage.ok(&["--json", "--color", "always", "ls"]).contains('\u{1b}'));
}

#[test]
fn each_refusal_has_its_exit_code() {
    let stage = Stage::new(1);
    stage.ok(&["create", "-p", "/a/b"]);
    stage.run(&["get", "/x"]).fails(10, "/x does not exist");
    stage.run(&["stat", "/x"]).fails(10, "/x does not exist");
    stage.run(&["create", "/x/y"]).fails(10, "/x/y");
    stage.run(&["create", "/a"]).fails(11, "/a exists already");
    stage.run(&["multi", "check / 0", "create /a"]).fails(11, "item 1: /a exists already");
    stage.run(&["set", "/a", "v", "--version", "7"]).fails(12, "BadVersion");
    stage.run(&["delete", "/a"]).fails(13, "delete -r");
    stage.run(&["acl", "set", "/a", "ip:nonsense:r"]).fails(1, "InvalidAcl");
    stage.ok(&["acl", "set", "/a", "world:anyone:r"]);
    stage.run(&["set", "/a", "v"]).fails(5, "NoAuth");
    let run = stage.run(&["--json", "get", "/x"]);
    let error: serde_json::Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!((run.code, run.out.as_str()), (10, ""));
    assert_eq!(error["error"]["code"], "NoNode");
    assert_eq!(error["error"]["path"], "/x");
    assert_eq!(error["error"]["op"], "GetData");
    assert_eq!(error["error"]["exit"], 10);
    let run = stage.run(&["--json", "stat", "/x"]);
    let error: serde_json::Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!(error["error"]["code"], "NoNode");
}

#[test]
fn what_makes_no_sense_is_named_with_what_may_have_been_meant() {
    let stage = Stage::new(1);
    stage.run(&["get", "a/b"]).fails(2, "did you mean /a/b?");
    stage.run(&["get", "/a/"]).fails(2, "did you mean /a?");
    stage.run(&["get", "/a/../b"]).fails(2, "relative name");
    stage.run(&["set", "/a", "x", "--version", "one"]).fails(2, "'one'");
    stage.run(&["--deadline", "5", "ls"]).fails(2, "such as 10s");
    stage.run(&["--timeout", "0s", "ls"]).fails(2, "more than nothing");
    stage.run(&["frobnicate"]).fails(2, "frobnicate");
    let run = stage.run(&["--json", "get", "a/b"]);
    let error: serde_json::Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!((run.code, &error["error"]["exit"]), (2, &json!(2)));
    assert!(error["error"]["message"].as_str().unwrap().contains("did you mean /a/b?"), "{error}");
    stage.run(&["--json", "get", "--raw", "/a"]).fails(2, "exclude each other");
    stage.run(&["create", "/a", "--acl", "world:anyone"]).fails(2, "fewer than two colons");
    stage.run(&["create", "/a", "--acl", "world:anyone:rx"]).fails(2, "'x'");
    stage.run(&["create", "/a/"]).fails(2, "--sequential");
    stage.run(&["create", "/a", "-e", "--ttl", "1s"]).fails(2, "--ttl");
    stage.run(&["delete", "-r", "/"]).fails(2, "belongs to the ensemble");
    stage.run(&["delete", "-r", "/zookeeper"]).fails(2, "belongs to the ensemble");
    support::run_with(support::zks("host:port", &["ls"]), b"").fails(2, "port is not a number");
    support::run_with(support::zks("", &["ls"]), b"").fails(2, "names no host");
}

#[test]
fn all_kinds_of_znodes_are_created() {
    let stage = Stage::new(1);
    assert_eq!(stage.ok(&["create", "-s", "/q-"]), "/q-0000000000\n");
    assert_eq!(stage.ok(&["create", "-p", "-s", "/deep/er/"]), "/deep/er/0000000000\n");
    stage.ok(&["create", "--container", "/c"]);
    stage.ok(&["create", "--ttl", "1h", "/t"]);
    assert_eq!(stage.ok(&["create", "-e", "/e"]), "/e\n");
    assert_eq!(stage.ok(&["ls"]), "c\ndeep\nq-0000000000\nt\nzookeeper\n", "/e has gone");
    stage.ok(&["create", "--acl", "world:anyone:r", "--acl", "ip:127.0.0.1:cdrwa", "/acl"]);
    let acl = stage.ok(&["acl", "get", "/acl"]);
    assert_eq!(acl, "/acl  acl version 0\n  world:anyone:r\n  ip:127.0.0.1:cdrwa\n");
}

#[test]
fn subtrees_are_drawn_counted_and_deleted() {
    let stage = Stage::new(1);
    for path in ["/a/b/c", "/a/d", "/a/b/e"] {
        stage.ok(&["create", "-p", path, "xyz"]);
    }
    let tree =
        "/a  0 B\n├── b  0 B\n│   ├── c  3 B\n│   └── e  3 B\n└── d  3 B\n5 znodes, 9 bytes\n";
    assert_eq!(stage.ok(&["tree", "/a", "--sizes"]), tree);
    let cut = "/a\n├── b  … 2 children\n└── d\n3 znodes\n";
    assert_eq!(stage.ok(&["tree", "/a", "--depth", "1"]), cut);
    assert_eq!(stage.ok(&["tree", "/a", "--depth", "0"]), "/a  … 2 children\n1 znode\n");
    let json = stage.json(&["tree", "/a"]);
    let paths: Vec<_> = json.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/a", "/a/b", "/a/b/c", "/a/b/e", "/a/d"]);
    assert_eq!(json[2]["depth"], 2);
    assert_eq!(stage.ok(&["ls", "-R", "/a/b"]), "/a/b\n/a/b/c\n/a/b/e\n");
    assert_eq!(stage.ok(&["count", "/a"]), "4\n");
    stage.run(&["delete", "/a"]).fails(13, "/a has children");
    assert_eq!(stage.ok(&["delete", "-r", "/a"]), "/a: 5 znodes deleted\n");
    stage.run(&["delete", "-r", "/a"]).fails(10, "/a does not exist");
    assert_eq!(stage.ok(&["delete", "-r", "-f", "/a"]), "/a: 0 znodes deleted\n");
    assert_eq!(stage.ok(&["rm", "-f", "/a"]), "");
}

#[test]
fn a_subtree_of_thousands_is_deleted_by_the_window() {
    let stage = Stage::new(1);
    let lines: String = (0..3000).map(|i| format!("create /big/{i}\n")).collect();
    stage.run_with(&["multi"], format!("create /big\n{lines}").as_bytes()).ok();
    assert_eq!(stage.ok(&["count", "/big"]), "3000\n");
    assert_eq!(stage.ok(&["delete", "-r", "/big"]), "/big: 3001 znodes deleted\n");
}

#[test]
fn acls_are_changed_for_one_znode_or_a_subtree() {
    let stage = Stage::new(1);
    stage.ok(&["create", "-p", "/a/b"]);
    let set = stage.ok(&["acl", "set", "/a", "world:anyone:rwa", "--version", "0"]);
    assert_eq!(set, "/a  acl version 1\n  world:anyone:rwa\n");
    stage.run(&["acl", "set", "/a", "world:anyone:r", "--version", "0"]).fails(12, "BadVersion");
    let both = stage.json(&["acl", "set", "-r", "/a", "world:anyone:cdrwa"]);
    let entry = json!([{ "scheme": "world", "id": "anyone", "perms": "cdrwa" }]);
    assert_eq!(both[0], json!({ "path": "/a", "acl": entry, "aversion": 2 }));
    assert_eq!(both[1], json!({ "path": "/a/b", "acl": entry, "aversion": 1 }));
}

#[test]
fn a_multi_is_all_or_nothing() {
    let stage = Stage::new(1);
    let lines =
        b"create /m 'two words'  # a comment\n\nset /m b --version 0\ncheck /m 1\ncreate -s /m/q-";
    let done = stage.run_with(&["multi"], lines).ok();
    assert_eq!(done, "created /m\nset     /m  version 1\nchecked /m\ncreated /m/q-0000000000\n");
    let failed = stage.run(&["multi", "create /n", "delete /m --version 7", "set /m c"]);
    failed.fails(12, "Multi /m: item 1: BadVersion");
    stage.run(&["stat", "/n"]).fails(10, "/n");
    let read = stage.json(&["multi", "get /m", "ls /m", "get /no"]);
    assert_eq!((&read[0]["result"], &read[0]["data"]), (&json!("data"), &json!("b")));
    assert_eq!(read[1], json!({ "path": "/m", "result": "children", "names": ["q-0000000000"] }));
    assert_eq!(read[2], json!({ "path": "/no", "result": "failed", "code": "NoNode" }));
    stage.run(&["multi", "get /m", "set /m c"]).fails(2, "cannot be mixed");
    stage.run(&["multi", "set /m c", "frob /m"]).fails(2, "line 2: unrecognized subcommand");
    stage.run(&["multi", "set /m 'c"]).fails(2, "line 1: a quote is not closed");
    stage.run(&["multi"]).fails(2, "there is no operation");
    let deleted = stage.json(&["multi", "rm /m/q-0000000000", "delete /m"]);
    assert_eq!(deleted[1], json!({ "path": "/m", "result": "deleted" }));
}

#[test]
fn quotas_are_set_shown_and_removed() {
    let stage = Stage::new(1);
    stage.ok(&["create", "-p", "/a/b", "xyz"]);
    let set = stage.ok(&["quota", "set", "/a", "--count", "1", "--hard-bytes", "100"]);
    assert_eq!(set, "/a\n  count  2 of 1, hard none\n  bytes  3 of none, hard 100\n");
    let changed = stage.json(&["quota", "set", "/a", "--bytes", "50"]);
    let wanted = json!({
        "path": "/a", "count": 2, "bytes": 3, "count_limit": 1, "bytes_limit": 50,
        "count_hard_limit": null, "bytes_hard_limit": 100,
    });
    assert_eq!(changed[0], wanted);
    assert_eq!(stage.json(&["quota", "list"])[0], wanted);
    assert_eq!(stage.json(&["quota", "get", "/a"])[0], wanted);
    stage.run(&["quota", "set", "/a/b", "--count", "1"]).fails(2, "/a has a quota already");
    stage.run(&["quota", "set", "/a"]).fails(2, "--count");
    stage.run(&["quota", "set", "/none", "--count", "1"]).fails(10, "/none does not exist");
    assert_eq!(stage.ok(&["quota", "delete", "/a"]), "");
    stage.run(&["quota", "get", "/a"]).fails(10, "/a has no quota");
    assert_eq!(stage.ok(&["ls", "/zookeeper/quota"]), "");
    stage.ok(&["quota", "set", "/a/b", "--count", "1"]);
    stage.run(&["quota", "set", "/a", "--count", "1"]).fails(2, "/a/b has a quota already");
    let below =
        support::run_with(support::zks(&format!("{}/a", stage.servers), &["quota", "list"]), b"");
    below.fails(2, "outside of the chroot");
}

#[test]
fn the_ensemble_tells_of_itself() {
    let stage = Stage::new(2);
    assert_eq!(stage.ok(&["whoami"]), "ip 127.0.0.1\n");
    assert_eq!(stage.json(&["whoami"]), [json!({ "scheme": "ip", "id": "127.0.0.1" })]);
    assert!(stage.ok(&["sync"]).starts_with("in sync, zxid 0x"));
    assert_eq!(stage.json(&["config"])[0]["path"], "/zookeeper/config");
    stage.run(&["reconfig", "--remove", "2"]).fails(1, "Reconfig");
    stage.run(&["reconfig"]).fails(2, "--add");
    let words = stage.json(&["word", "ruok"]);
    let hosts: Vec<_> = stage.servers.split(',').collect();
    assert_eq!(words[0], json!({ "host": hosts[0], "answer": "imok" }));
    assert_eq!(words.len(), 2);
    stage.run(&["word", "hello"]).fails(2, "four letters");
}

#[test]
fn a_chroot_is_where_the_tree_begins() {
    let stage = Stage::new(1);
    stage.ok(&["create", "/app"]);
    let below =
        |args| support::run_with(support::zks(&format!("{}/app", stage.servers), args), b"");
    assert_eq!(below(&["create", "/a", "x"]).ok(), "/a\n");
    assert_eq!(below(&["ls"]).ok(), "a\n");
    assert_eq!(stage.ok(&["get", "/app/a"]), "x\n");
}

#[test]
fn the_servers_come_from_the_environment_too() {
    let stage = Stage::new(1);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_zks"));
    command.arg("ls").env("ZKS_SERVERS", &stage.servers);
    assert_eq!(support::run_with(command, b"").ok(), "zookeeper\n");
}
