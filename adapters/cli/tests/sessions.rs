//! Sessions that last: watched, held, handed on, lost; and who interrupts them.
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
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Running, Stage, eventually, run_with, zks};

#[test]
fn a_watch_tells_each_change_as_it_happens_and_ends_after_the_count() {
    let stage = Stage::new(1);
    let mut watch = stage.start(&["--json", "watch", "-r", "/a", "--count", "3"]);
    assert_eq!(watch.json(), json!({ "event": "Watching", "path": "/a", "recursive": true }));
    stage.ok(&["create", "/a"]);
    assert_eq!(watch.json(), json!({ "event": "NodeCreated", "path": "/a" }));
    stage.ok(&["create", "/a/b"]);
    assert_eq!(watch.json(), json!({ "event": "NodeCreated", "path": "/a/b" }));
    stage.ok(&["set", "/a/b", "x"]);
    assert_eq!(watch.json(), json!({ "event": "NodeDataChanged", "path": "/a/b" }));
    assert_eq!(watch.end().ok(), "");
}

#[test]
fn a_watch_for_people_tells_the_same() {
    let stage = Stage::new(1);
    stage.ok(&["create", "/a"]);
    let mut watch = stage.start(&["watch", "/a", "--count", "2"]);
    assert_eq!(watch.line(), "watching /a");
    stage.ok(&["create", "/a/b"]);
    assert_eq!(watch.line(), "NodeChildrenChanged /a");
    stage.ok(&["delete", "-r", "/a"]);
    assert_eq!(watch.end().ok(), "NodeChildrenChanged /a\n");
}

#[test]
fn ctrl_c_ends_a_watch_and_closes_its_session() {
    let stage = Stage::new(1);
    let mut watch = stage.start(&["watch", "/a"]);
    watch.line();
    assert_eq!(stage.ensemble.sessions().unwrap().len(), 1);
    watch.signal(Signal::SIGINT);
    let run = watch.end();
    assert_eq!((run.code, run.err.as_str()), (130, "error: interrupted\n"));
    assert_eq!(stage.ensemble.sessions().unwrap(), []);
}

#[test]
fn ctrl_c_ends_a_command_that_waits_for_its_input() {
    let stage = Stage::new(1);
    stage.ok(&["create", "/a"]);
    for args in [&["set", "/a", "-"][..], &["multi"], &["shell"]] {
        let command = stage.start(args);
        eventually("it is connected", || stage.ensemble.sessions().unwrap().len() == 1);
        command.signal(Signal::SIGINT);
        assert_eq!(command.wait(), 130, "{args:?}");
        assert_eq!(stage.ensemble.sessions().unwrap(), []);
    }
}

#[test]
fn a_session_lives_on_while_its_command_waits_for_input() {
    let stage = Stage::new(1);
    stage.ok(&["create", "/a"]);
    let mut set = stage.start(&["--timeout", "400ms", "set", "/a", "-"]);
    eventually("it is connected", || stage.ensemble.sessions().unwrap().len() == 1);
    // Longer than its timeout, twice.
    std::thread::sleep(std::time::Duration::from_millis(1000));
    set.say("late");
    assert_eq!(set.end().ok(), "version 1\n");
}

#[test]
fn a_watch_lives_through_a_lost_server_and_ends_with_an_expired_session() {
    let stage = Stage::new(2);
    let mut watch = stage.start(&["--json", "--timeout", "2s", "watch", "/a"]);
    watch.json();
    let session = stage.ensemble.sessions().unwrap()[0].session_id;
    let server = stage.ensemble.server_of(session).unwrap().unwrap();
    stage.ensemble.stop(server).unwrap();
    assert_eq!(watch.json()["state"], "Disconnected");
    assert_eq!(watch.json()["state"], "SyncConnected");
    stage.ensemble.start(server).unwrap();
    stage.ok(&["create", "/a"]);
    assert_eq!(watch.json(), json!({ "event": "NodeCreated", "path": "/a" }));
    stage.ensemble.expire(session).unwrap();
    watch.until(|line| line.contains("Expired"));
    watch.end().fails(4, "the session has expired");
}

#[test]
fn get_ls_and_stat_can_be_followed() {
    let stage = Stage::new(1);
    stage.ok(&["create", "/a", "one"]);
    let mut get = stage.start(&["get", "-w", "/a"]);
    let mut ls = stage.start(&["ls", "-w", "/a"]);
    assert_eq!(get.line(), "one");
    eventually("both watch", || stage.ensemble.sessions().unwrap().len() == 2);
    stage.ok(&["set", "/a", "two"]);
    assert_eq!((get.line().as_str(), get.line().as_str()), ("NodeDataChanged     /a", "two"));
    assert_eq!(ls.line(), "NodeDataChanged     /a");
    stage.ok(&["create", "/a/b"]);
    assert_eq!(ls.line(), "NodeChildrenChanged /a");
    assert_eq!(ls.line(), "b");
    stage.run(&["get", "-w", "/none"]).fails(10, "/none does not exist");
}

#[test]
fn a_session_tells_each_transition_and_why() {
    let stage = Stage::new(2);
    let mut session = stage.start(&["--json", "--timeout", "2s", "session"]);
    let first = session.json();
    assert_eq!((&first["state"], &first["connected"]), (&json!("SyncConnected"), &json!(true)));
    assert_eq!(first["timeout_ms"], 2000);
    assert!(stage.servers.split(',').any(|host| first["host"] == host), "{first}");
    let id = stage.ensemble.sessions().unwrap()[0].session_id;
    assert_eq!(first["session"], id.to_string());

    let server = stage.ensemble.server_of(id).unwrap().unwrap();
    stage.ensemble.stop(server).unwrap();
    let lost = session.json();
    assert_eq!((&lost["state"], &lost["host"]), (&json!("Disconnected"), &first["host"]));
    assert_eq!(lost["cause"], "connection closed by the peer");
    assert!(lost["heard_ms_before"].is_u64() && lost["attempts"].is_u64(), "{lost}");
    let back = session.json();
    assert_eq!((&back["state"], &back["session"]), (&json!("SyncConnected"), &first["session"]));
    assert_eq!(back["cause"], "the session was resumed");
    assert_ne!(back["host"], first["host"]);

    session.signal(Signal::SIGTERM);
    assert_eq!(session.json()["event"], "Pings");
    assert_eq!(session.json()["state"], "Closed");
    assert_eq!(session.end().ok(), "");
    assert_eq!(stage.ensemble.sessions().unwrap(), []);
}

#[test]
fn a_held_session_shows_its_pings() {
    let stage = Stage::new(1);
    let mut session = stage.start(&["--json", "--timeout", "1s", "session", "--every", "50ms"]);
    assert_eq!(session.json()["state"], "SyncConnected");
    let first = session.json();
    assert_eq!(
        (&first["event"], &first["sent"], &first["answered"], &first["last_ms"]),
        (&json!("Pings"), &json!(0), &json!(0), &Value::Null)
    );
    let answered = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["answered"].as_u64() == Some(2)
    };
    let second: Value = serde_json::from_str(&session.until(answered)).unwrap();
    assert_eq!(second["sent"], 2);
    let (last, heard) = (&second["last_ms"], &second["heard_ms_ago"]);
    assert!(last.as_f64().is_some_and(|ms| ms > 0.0 && ms < 333.0), "{second}");
    assert!(heard.as_f64().is_some_and(|ms| (0.0..333.0).contains(&ms)), "{second}");
    // A server that is silent is heard no more; what was sent to it stays unanswered.
    stage.ensemble.freeze(0).unwrap();
    let lost = session.until(|line| line.contains("Disconnected"));
    assert!(lost.contains("nothing heard within the read deadline"), "{lost}");
    stage.ensemble.thaw(0).unwrap();
    session.until(|line| line.contains("the session was resumed"));
    session.signal(Signal::SIGINT);
    let rest = session.end().json();
    let [.., last, closed] = &rest[..] else { panic!("{rest:?}") };
    assert!(last["sent"].as_u64() > last["answered"].as_u64(), "{last}");
    assert_eq!(closed["state"], "Closed");

    let text = stage.ok(&["--timeout", "1s", "session", "--hold", "400ms"]);
    assert!(text.contains("1 ping sent, 1 answered, the last in "), "{text}");
    assert!(text.contains(" s ago\n"), "{text}");
}

#[test]
fn an_expired_session_says_so_with_its_exit_code() {
    let stage = Stage::new(1);
    let mut session = stage.start(&["session"]);
    session.until(|line| line.contains("SyncConnected"));
    for info in stage.ensemble.sessions().unwrap() {
        stage.ensemble.expire(info.session_id).unwrap();
    }
    session.until(|line| line.contains("the ensemble says that the session has expired"));
    session.end().fails(4, "the session has expired");
}

#[test]
fn a_session_is_probed_and_held_for_a_time() {
    let stage = Stage::new(1);
    let lines = stage.json(&["session", "--hold", "200ms", "--probe", "50ms"]);
    let probes: Vec<_> = lines.iter().filter(|line| line["event"] == "Probe").collect();
    assert!(probes.len() >= 2, "{lines:?}");
    assert!(probes.iter().all(|probe| probe["error"].is_null() && probe["ms"].is_f64()));
    assert_eq!(lines.last().unwrap()["state"], "Closed");
}

#[test]
fn a_ticket_takes_a_session_from_run_to_run() {
    let stage = Stage::new(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ticket");
    let ticket = file.to_str().unwrap();
    let with = |args: &[&str]| stage.run(&[&["--ticket", ticket], args].concat());
    assert_eq!(with(&["create", "-e", "/mine"]).ok(), "/mine\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(stage.ok(&["ls"]), "mine\nzookeeper\n", "it was left, not closed");
    let id = stage.ensemble.sessions().unwrap()[0].session_id.to_string();
    assert_eq!(with(&["ephemerals", "--mine"]).ok(), format!("{id}  /mine\n"));
    assert_eq!(stage.ok(&["ephemerals", "--owner", &id]), format!("{id}  /mine\n"));
    assert_eq!(stage.json(&["ephemerals"]), [json!({ "path": "/mine", "owner": id })]);

    let resumed = with(&["--json", "session", "--hold", "0s", "--detach"]).json();
    assert_eq!(
        (&resumed[0]["cause"], &resumed[0]["session"]),
        (&json!("the session was resumed"), &json!(id))
    );
    assert_eq!(resumed[2]["cause"], "left without closing");
    with(&["session", "--hold", "0s"]).ok();
    assert!(!file.exists(), "a closed session's ticket is worth nothing");
    assert_eq!(stage.ok(&["ls"]), "zookeeper\n");
}

#[test]
fn a_ticket_that_is_none_or_of_an_expired_session_is_told_apart() {
    let stage = Stage::new(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ticket");
    let ticket = file.to_str().unwrap();
    let with = |args: &[&str]| stage.run(&[&["--ticket", ticket], args].concat());
    fs::write(&file, "not a ticket").unwrap();
    with(&["ls"]).fails(2, "not a session ticket");
    assert_eq!(fs::read(&file).unwrap(), b"not a ticket", "it is left alone");
    fs::remove_file(&file).unwrap();
    with(&["ls"]).ok();
    for info in stage.ensemble.sessions().unwrap() {
        stage.ensemble.expire(info.session_id).unwrap();
    }
    with(&["ls"]).fails(4, "the session has expired");
    let nowhere = dir.path().join("no/such/dir");
    stage.run(&["--ticket", nowhere.to_str().unwrap(), "ls"]).fails(1, "cannot write the ticket");
}

#[test]
fn servers_that_are_not_there_are_named() {
    let port = zk_session_testkit::ReservedPort::new().unwrap();
    let servers = port.addr().to_string();
    let run = run_with(zks(&servers, &["--connect-timeout", "200ms", "ls"]), b"");
    run.fails(3, &servers).fails(3, "hint: -s HOST:PORT");
    let run = run_with(zks(&servers, &["--connect-timeout", "200ms", "top", "--once"]), b"");
    run.fails(3, "no server answers");
    let run = run_with(zks(&servers, &["word", "ruok"]), b"");
    run.fails(3, &servers);
}

#[test]
fn a_request_is_given_up_after_its_deadline() {
    let stage = Stage::new(1);
    stage.ok(&["create", "/a"]);
    let mut shell = stage.start(&["--deadline", "200ms", "shell"]);
    shell.say("get /a");
    assert_eq!(shell.line(), "");
    stage.ensemble.freeze(0).unwrap();
    shell.say("get /a");
    shell.say("quit");
    shell.end().fails(3, "no answer before the request's deadline");
}

#[test]
fn secrets_come_from_the_environment_or_a_file_and_are_never_repeated() {
    let stage = Stage::new(1);
    let with_env = |args: &[&str], value: &str| {
        let mut command = zks(&stage.servers, args);
        command.env("SECRET", value);
        run_with(command, b"")
    };
    let mine = ["--auth-env", "SECRET"];
    with_env(
        &[&mine[..], &["create", "--acl", "auth::cdrwa", "/mine"]].concat(),
        "digest:me:pass42",
    )
    .ok();
    stage.run(&["get", "/mine"]).fails(5, "NoAuth");
    assert_eq!(with_env(&[&mine[..], &["get", "/mine"]].concat(), "digest:me:pass42").ok(), "\n");
    let who = with_env(&["--auth-env", "SECRET", "whoami"], "digest:me:pass42").ok();
    assert!(who.contains("digest me") && !who.contains("pass42"), "{who}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("auth");
    fs::write(&file, "# mine\n\ndigest:me:pass42\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(stage.ok(&["--auth-file", file, "get", "/mine"]), "\n");

    // Wherever it is put by mistake, it is not told.
    for run in [
        with_env(&["--auth-env", "SECRET", "ls"], "pass42"),
        stage.run(&["--auth-env", "digest:me:pass42", "ls"]),
        stage.run(&["--auth", "digest:me:pass42", "ls"]),
        stage.run_with(&["shell"], b"auth digest me:pass42\naddauth digest me:pass42\n"),
        with_env(&["--auth-env", "SECRET", "ls"], "nosuchscheme:pass42"),
    ] {
        assert!(run.code == 2 || run.code == 5, "{run:?}");
        assert!(!run.err.contains("pass42") && !run.out.contains("pass42"), "{run:?}");
    }
    stage.run(&["--auth-env", "NOT_THERE", "ls"]).fails(2, "NOT_THERE is not set");
    stage.run(&["--auth-file", "/no/such", "ls"]).fails(1, "cannot read /no/such");
}

#[test]
fn a_reader_who_has_gone_is_no_failure() {
    let stage = Stage::new(1);
    let lines: String = (0..2000).map(|i| format!("create /a/a-rather-long-name-{i}\n")).collect();
    stage.run_with(&["multi"], format!("create /a\n{lines}").as_bytes()).ok();
    let shell = format!(
        "{} -s {} ls -R / | head -n 1; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_zks"),
        stage.servers
    );
    let output = Command::new("bash").args(["-c", &shell]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "/\n0\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    // A stream ends with its first event that nobody hears.
    let mut watch = Running::new(zks(&stage.servers, &["watch", "-r", "/"]));
    watch.line();
    watch.close_output();
    stage.ok(&["create", "/b"]);
    let run = watch.end();
    assert_eq!((run.code, run.err.as_str()), (0, ""));
}
