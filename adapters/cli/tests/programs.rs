//! What runs by itself: the shell, an ensemble, the bench, the live view, the story; and what is
//! generated from the command line's description.
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

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Running, Stage, objects, run_with, zks};
use zk_session_std::EmbeddedEnsemble;

#[test]
fn a_shell_does_its_lines_on_one_session() {
    let stage = Stage::new(1);
    let lines = b"create -e /mine x\nget /mine\n\nephemerals --mine\nsession\nquit\nls\n";
    let out = stage.run_with(&["shell"], lines).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["/mine", "x"]);
    let (id, path) = lines[2].split_once("  ").unwrap();
    assert_eq!(path, "/mine");
    assert_eq!(lines[3], format!("{id}  SyncConnected"));
    let names = lines[4..].iter().map(|line| line.split_whitespace().next().unwrap());
    let shown: Vec<_> = names.collect();
    assert_eq!(shown, ["timeout", "server", "heard", "pings"], "nothing after quit: {out}");
    assert_eq!(stage.ensemble.sessions().unwrap(), []);
}

#[test]
fn a_shell_goes_on_after_a_failure_and_ends_with_its_code() {
    let stage = Stage::new(1);
    let run = stage.run_with(&[], b"get /x\nfrob\nls 'a\nls\nhelp get\n");
    assert_eq!(run.code, 10);
    assert!(run.out.starts_with("zookeeper\n"), "{run:?}");
    assert!(run.out.contains("Read data"), "{run:?}");
    assert!(run.err.contains("/x does not exist"), "{run:?}");
    assert!(run.err.contains("unrecognized subcommand 'frob'\nhint: help tells"), "{run:?}");
    assert!(run.err.contains("a quote is not closed"), "{run:?}");
    let run = stage.run_with(&["shell", "-e"], b"get /x\nls\n");
    assert_eq!((run.code, run.out.as_str()), (10, ""));
    let run = stage.run_with(&["--json", "shell"], b"ls\nget /x\n");
    assert_eq!(objects(&run.out)[0]["path"], "/zookeeper");
    assert_eq!(objects(&run.err)[0]["error"]["code"], "NoNode");
}

#[test]
fn a_shell_whose_session_has_expired_opens_another_and_says_so() {
    let stage = Stage::new(1);
    let mut shell = stage.start(&["shell"]);
    shell.say("ls");
    assert_eq!(shell.line(), "zookeeper");
    let old = stage.ensemble.sessions().unwrap()[0].session_id;
    stage.ensemble.expire(old).unwrap();
    // The first line may be what the session learns its end by.
    shell.say("sync");
    shell.say("sync");
    shell.say("count");
    assert_eq!(shell.until(|line| line.bytes().all(|byte| byte.is_ascii_digit())), "3");
    assert_ne!(stage.ensemble.sessions().unwrap()[0].session_id, old);
    let run = shell.end();
    assert!(run.err.contains("this is done in a new one"), "{run:?}");
    assert!([0, 3, 4].contains(&run.code), "{run:?}");
}

#[test]
fn an_ensemble_is_served_and_hurt_line_by_line() {
    let mut serve = Running::new(zks("unused:1", &["serve", "--number", "2", "--tick", "200ms"]));
    let line = serve.line();
    let servers = line.strip_prefix("serving on ").unwrap().to_owned();
    let mut session = Running::new(zks(&servers, &["--json", "session"]));
    let id = session.json()["session"].as_str().unwrap().to_owned();
    serve.say("sessions");
    let told = serve.line();
    assert!(told.starts_with(&id), "{told}");
    let server: usize = told.split("server ").nth(1).unwrap()[..1].parse().unwrap();
    serve.say(&format!("stop {server}"));
    assert_eq!(serve.line(), format!("stopped {server}"));
    assert_eq!(session.json()["state"], "Disconnected");
    assert_eq!(session.json()["cause"], "the session was resumed");
    for (say, told) in [
        (format!("start {server}"), format!("started {server}")),
        ("delay 0 1ms".to_owned(), "delayed 0 by 1ms".to_owned()),
        ("delay 0 0s".to_owned(), "delayed 0 by 0s".to_owned()),
        (format!("freeze {server}"), format!("froze {server}")),
        (format!("thaw {server}"), format!("thawed {server}")),
        ("sleep 1ms\nservers".to_owned(), format!("0  {}", servers.split(',').next().unwrap())),
    ] {
        serve.say(&say);
        assert_eq!(serve.line(), told);
    }
    serve.line();
    serve.say(&format!("expire {id}"));
    assert_eq!(serve.line(), format!("expired {id}"));
    session.until(|line| line.contains("Expired"));
    assert_eq!(session.end().code, 4);
    serve.say("wipe");
    assert_eq!(serve.line(), "wiped");
    for wrong in ["stop 7", "frob", "expire 0x77", "stop one"] {
        serve.say(wrong);
    }
    serve.say("quit");
    let run = serve.end();
    assert_eq!(run.code, 0);
    for told in ["no server 7", "'frob'", "no session 0x0000000000000077", "'one'"] {
        assert!(run.err.contains(told), "{told}: {run:?}");
    }
}

#[test]
fn an_ensemble_serves_on_after_its_input_has_ended_and_keeps_what_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let start = || {
        let mut serve =
            Running::new(zks("unused:1", &["--json", "serve", "-n", "1", "--data", data]));
        drop(serve.stdin.take());
        let servers = serve.json()["servers"].as_str().unwrap().to_owned();
        (serve, servers)
    };
    let (serve, servers) = start();
    run_with(zks(&servers, &["create", "/kept", "x"]), b"").ok();
    serve.signal(Signal::SIGTERM);
    assert_eq!(serve.end().ok(), "");
    let (serve, servers) = start();
    assert_eq!(run_with(zks(&servers, &["get", "/kept"]), b"").ok(), "x\n");
    serve.signal(Signal::SIGINT);
    assert_eq!(serve.end().ok(), "");
    let run = run_with(zks("unused:1", &["serve", "--listen", "nowhere"]), b"");
    run.fails(2, "cannot listen on \"nowhere\"");
}

#[test]
fn a_bench_counts_what_it_did_and_leaves_nothing() {
    let stage = Stage::new(1);
    let mix = ["--gets", "2", "--sets", "1", "--creates", "1", "--size", "10", "--keys", "5"];
    let args = [
        &["bench", "--ops", "1000", "--tasks", "3", "--clients", "2", "--in-flight", "7"],
        &mix[..],
    ]
    .concat();
    let report = &stage.json(&args)[0];
    assert_eq!((&report["operations"], &report["errors"]), (&json!(1000), &json!(0)));
    let counts =
        ["get", "set", "create"].map(|kind| report["latency"][kind]["count"].as_u64().unwrap());
    assert_eq!(counts.iter().sum::<u64>(), 1000);
    assert!(counts[0] > counts[1] && counts[1] > 100 && counts[2] > 100, "{counts:?}");
    let get = &report["latency"]["get"];
    let of = |name: &str| get[name].as_f64().unwrap();
    assert!(
        of("min_us") <= of("p50_us")
            && of("p50_us") <= of("p99_us")
            && of("p99_us") <= of("max_us")
    );
    assert!(report["processor_us_per_operation"].as_f64().unwrap() > 0.0);
    assert_eq!(stage.ok(&["ls"]), "zookeeper\n");
    assert_eq!(stage.ensemble.sessions().unwrap(), []);

    let out = stage.ok(&["bench", "--seconds", "1", "--threads", "2", "--tasks", "2"]);
    assert!(out.contains("operations in 1.") && out.contains("p99.9"), "{out}");
    stage.run(&["bench", "--gets", "0", "--sets", "0"]).fails(2, "are all 0");
}

#[test]
fn an_interrupted_bench_leaves_nothing_either() {
    let stage = Stage::new(1);
    let bench = stage.start(&["bench", "--seconds", "60"]);
    support::eventually("it works", || stage.run(&["ls"]).out.contains("zks-bench"));
    bench.signal(Signal::SIGINT);
    assert_eq!(bench.end().code, 130);
    assert_eq!(stage.ok(&["ls"]), "zookeeper\n");
}

#[test]
fn the_live_view_shows_servers_sessions_and_watches() {
    let stage = Stage::new(2);
    let mut watch = stage.start(&["watch", "/a"]);
    watch.line();
    let id = stage.ensemble.sessions().unwrap()[0].session_id;
    stage.ok(&["create", "/x"]);
    let frame = stage.ok(&["top", "--once"]);
    for wanted in ["2 of 2 servers up", "leader", "follower", "1 sessions", "1 watches"] {
        assert!(frame.contains(wanted), "{wanted}: {frame}");
    }
    assert!(stage.servers.split(',').all(|host| frame.contains(host)), "{frame}");
    assert!(frame.contains(&format!("{:#x}", id.0)), "{frame}");

    let sample = &stage.json(&["top", "--once"])[0];
    let servers = sample["servers"].as_array().unwrap();
    assert_eq!(servers[0]["mode"], "leader");
    assert_eq!(servers[0]["znodes"], servers[1]["znodes"]);
    let sum = |name: &str| servers.iter().map(|server| server[name].as_f64().unwrap()).sum::<f64>();
    assert_eq!(sum("watches"), 1.0);
    let clients = servers.iter().flat_map(|server| server["clients"].as_array().unwrap());
    let sessions: Vec<&Value> = clients.filter(|c| !c["session"].is_null()).collect();
    assert_eq!(sessions.len(), 1);

    let frames = stage.json(&["top", "--count", "2", "--interval", "50ms"]);
    assert!(frames[0]["servers"][0]["requests_per_second"].is_null());
    assert!(frames[1]["servers"][0]["requests_per_second"].is_f64());
    stage.ensemble.stop(1).unwrap();
    let frame = stage.ok(&["top", "--once"]);
    assert!(frame.contains("1 of 2 servers up") && frame.contains("refused"), "{frame}");
}

#[test]
fn the_live_view_says_which_words_are_not_answered() {
    let ensemble = EmbeddedEnsemble::builder().four_letter_words(["srvr"]).start().unwrap();
    let servers = ensemble.connect_string();
    let frame = run_with(zks(&servers, &["top", "--once"]), b"").ok();
    assert!(frame.contains("standalone") && frame.contains("no mntr cons"), "{frame}");
    let json = run_with(zks(&servers, &["--json", "top", "--once"]), b"").json();
    assert_eq!(json[0]["servers"][0]["refused_words"], json!(["mntr", "cons", "wchs"]));
    assert!(json[0]["servers"][0]["watches"].is_null());
    let run = run_with(zks(&servers, &["word", "mntr"]), b"");
    run.fails(1, "4lw.commands.whitelist");
}

#[test]
fn the_story_is_told_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let svg = dir.path().join("story.svg");
    let args = ["--json", "demo", "--session-timeout", "1s", "--svg", svg.to_str().unwrap()];
    let lines = run_with(zks("unused:1", &args), b"").json();
    let last = lines.last().unwrap();
    assert!(last["failover_ms"].is_f64() && last["expiry_seconds"].is_f64(), "{last}");
    assert!(lines.iter().any(|line| line["line"].as_str().is_some_and(|l| l.contains("Expired"))));
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
}

#[test]
fn completions_and_manual_pages_come_from_the_same_description() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = run_with(zks("unused:1", &["completions", shell]), b"").ok();
        assert!(text.contains("zks") && text.contains("ephemerals"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zks.bash");
    let bash = run_with(zks("unused:1", &["completions", "bash"]), b"").ok();
    fs::write(&file, bash).unwrap();
    let status = std::process::Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(status.success());

    let page = run_with(zks("unused:1", &["man"]), b"").ok();
    for wanted in [".TH zks 1", "EXIT STATUS", "ZKS_SERVERS", "the session has expired"] {
        assert!(page.contains(wanted), "{wanted}");
    }
    let pages = dir.path().join("man");
    run_with(zks("unused:1", &["man", "--dir", pages.to_str().unwrap()]), b"").ok();
    let get = fs::read_to_string(pages.join("zks-get.1")).unwrap();
    assert!(get.contains("zks\\-get") && get.contains("\\-\\-raw"), "{get}");
    assert!(pages.join("zks.1").exists() && pages.join("zks-bench.1").exists());
}

#[test]
fn the_help_tells_all_exit_codes() {
    let help = run_with(zks("unused:1", &["--help"]), b"").ok();
    for line in
        ["  0  done", "  4  the session has expired", " 10  the znode does not exist", "130"]
    {
        assert!(help.contains(line), "{line}: {help}");
    }
}
