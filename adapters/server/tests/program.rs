//! The program as its users meet it: the line it prints, its configuration, its errors, its end.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zk_session::OpError;
use zk_session::wire::{Acl, CreateMode};
use zk_session_std::Client;
use zk_session_testkit::four_letter;

/// A program that serves.
struct Server {
    child: Child,
    line: String,
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zk-session-server"));
    command.args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    program(args).output().unwrap()
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = program(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        // One line is all that there ever is: nothing is lost in the reader.
        BufReader::new(stdout).read_line(&mut line).unwrap();
        Self { child, line }
    }

    fn connect_string(&self) -> &str {
        let rest =
            self.line.strip_prefix("serving on ").unwrap_or_else(|| panic!("{:?}", self.line));
        rest.split_once(' ').unwrap().0
    }

    fn client(&self) -> Client {
        Client::connect(self.connect_string()).unwrap()
    }

    /// Sends a signal; how it ended, and what it still wrote to stdout and stderr.
    fn stop(mut self, signal: Signal) -> (ExitStatus, String, String) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap(), stdout, stderr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that goes away with its value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("{}-{name}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn it_prints_one_line_and_serves_on_every_address() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
    let version = env!("CARGO_PKG_VERSION");
    assert!(server.line.ends_with(&format!(" (zk-session-server {version})\n")), "{}", server.line);
    let addrs: Vec<_> = server.connect_string().split(',').collect();
    assert_eq!(addrs.len(), 2);
    let [first, second] = [addrs[0], addrs[1]].map(|addr| Client::connect(addr).unwrap());
    first.create("/a", b"one ensemble", CreateMode::Persistent).unwrap();
    second.sync("/a").unwrap();
    assert_eq!(second.get_data("/a").unwrap().0, b"one ensemble");
    drop((first, second));
    let (status, stdout, stderr) = server.stop(Signal::SIGTERM);
    assert_eq!((status.code(), stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn both_signals_stop_it_cleanly_with_clients_connected() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let server = Server::start(&["--listen", "127.0.0.1:0", "--log", "info"]);
        let addr = server.connect_string().to_owned();
        let client = server.client();
        client.create("/a", b"", CreateMode::Ephemeral).unwrap();
        let asked = Instant::now();
        let (status, _, stderr) = server.stop(signal);
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("serves on") && stderr.contains("stopped"), "{stderr}");
        assert!(asked.elapsed() < Duration::from_secs(5));
        TcpListener::bind(addr).expect("the port is free again");
    }
}

#[test]
fn a_configuration_file_is_obeyed_and_what_is_ignored_is_named() {
    let file = File::new(
        "obeyed.cfg",
        "# as Debian ships it, almost\ntickTime=50\ninitLimit=10\nclientPortAddress=127.0.0.1\n\
         clientPort=0\nextendedTypesEnabled=true\nmaxSessionTimeout=300\njute.maxbuffer=2048\n\
         server.1=zoo1:2888:3888\nsecureClientPort=2281\ntickTim=3\n",
    );
    let server = Server::start(&["--config", file.path()]);
    let client = server.client();
    let ttl = Duration::from_secs(60);
    client.create_ttl("/ttl", b"", CreateMode::PersistentTtl, Acl::OPEN, ttl).unwrap();
    assert_eq!(client.timeout(), Duration::from_millis(300));
    let (status, _, stderr) = server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    let warnings: Vec<_> = stderr.lines().filter_map(|line| line.split_once(file.path())).collect();
    let warnings: Vec<_> = warnings.into_iter().map(|(_, warning)| warning).collect();
    assert_eq!(
        warnings,
        [
            ":3: initLimit is ignored: it has no meaning here",
            ":9: server.1 is ignored: it has no meaning here",
            ":10: secureClientPort is ignored: this server does not support it",
            ":11: tickTim is ignored: ZooKeeper has no such key",
        ],
        "{stderr}"
    );
}

#[test]
fn with_a_directory_it_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made");
    let args = ["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    let server = Server::start(&args);
    let client = server.client();
    client.create("/kept", b"as it was", CreateMode::Persistent).unwrap();
    let before = client.set_data("/kept", b"for good", None).unwrap();
    client.create("/other", b"", CreateMode::PersistentSequential).unwrap();
    let killed = server.stop(Signal::SIGKILL).0;
    assert_eq!(killed.code(), None, "no time for a clean end");
    drop(client);

    let server = Server::start(&args);
    let client = server.client();
    assert_eq!(client.get_data("/kept").unwrap(), (b"for good".to_vec(), before));
    assert_eq!(client.get_children("/").unwrap().0, ["kept", "other0000000001", "zookeeper"]);
    assert_eq!(run(&args).status.code(), Some(1), "the directory is in use");
    drop(client);
    assert_eq!(server.stop(Signal::SIGTERM).0.code(), Some(0));

    let text = format!("clientPort=0\nclientPortAddress=127.0.0.1\ndataDir={}\n", data.display());
    let file = File::new("data.cfg", &text);
    let server = Server::start(&["--config", file.path()]);
    assert_eq!(server.client().get_data("/kept").unwrap().0, b"for good");
}

#[test]
fn the_limits_and_words_of_the_file_hold() {
    let file = File::new(
        "limits.cfg",
        "clientPort=0\nclientPortAddress=127.0.0.1\nmaxClientCnxns=2\n\
         4lw.commands.whitelist=ruok\n",
    );
    let server = Server::start(&["--config", file.path()]);
    let addr = server.connect_string().parse().unwrap();
    assert_eq!(four_letter(addr, "ruok").unwrap(), "imok");
    assert!(four_letter(addr, "mntr").unwrap().contains("not in the whitelist"));
    let [_first, _second] = [server.client(), server.client()];
    let mut third = TcpStream::connect(addr).unwrap();
    third.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let end = third.read(&mut [0]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
}

#[test]
fn the_command_line_wins_over_the_file() {
    let file = File::new("wins.cfg", "tickTime=60000\nclientPort=1\nclientPortAddress=127.0.0.1\n");
    let args = ["--config", file.path(), "--tick", "40", "--listen", "127.0.0.1:0"];
    let server = Server::start(&args);
    assert_eq!(server.client().timeout(), Duration::from_millis(800));
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    let file = File::new("bad.cfg", "clientPort=2181\ntickTime = soon\n");
    let output = run(&["--config", file.path()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let expected = "tickTime=soon: expected a number of milliseconds, at least 1";
    let expected = format!("zk-session-server: {}:2: {expected}\n", file.path());
    assert_eq!(text(&output.stderr), expected);

    let file = File::new("timeouts.cfg", "minSessionTimeout=5000\nmaxSessionTimeout=4000\n");
    let output = run(&["--listen", "127.0.0.1:0", "--config", file.path()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let expected = "the shortest session timeout, 5000 ms, is longer than the longest, 4000 ms";
    assert_eq!(text(&output.stderr), format!("zk-session-server: {expected}\n"));

    let output = run(&["--config", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot read /no/such/file: "), "{output:?}");
}

#[test]
fn a_bad_command_line_is_refused() {
    for args in [
        &["--tick", "0"][..],
        &["--listen", "2181"],
        &["--listen", "no.such.host.invalid:2181"],
        &["--log", "loud"],
        &["--frobnicate"],
        &["2181"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).contains(args[args.len() - 1]), "{output:?}");
    }
}

#[test]
fn a_port_in_use_is_an_error_of_its_own() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", "127.0.0.1:0", "--listen", &addr]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&addr) && stderr.contains("in use"), "{stderr}");
}

#[test]
fn an_address_given_twice_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap().to_string();
    drop(free);
    let output = run(&["--listen", &addr, "--listen", &addr]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&addr) && stderr.contains("in use"), "{stderr}");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let file = File::new("no-directory", "");
    let inside = format!("{}/below", file.path());
    for dir in [file.path(), inside.as_str()] {
        let output = run(&["--listen", "127.0.0.1:0", "--data", dir]);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("zk-session-server: cannot keep the state: "), "{stderr}");
        assert!(stderr.contains(dir), "{stderr}");
    }
}

#[test]
fn help_and_version_are_told() {
    let help = text(&run(&["--help"]).stdout);
    for word in ["--listen", "--tick", "--config", "--log", "Exit codes", "SIGTERM"] {
        assert!(help.contains(word), "{help}");
    }
    let version = text(&run(&["--version"]).stdout);
    assert_eq!(version, format!("zk-session-server {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_log_level_is_that_of_the_flag_or_the_environment() {
    let spawn = |flag: &[&str], variable: Option<&str>| {
        let args = [&["--listen", "127.0.0.1:0"], flag].concat();
        let mut command = program(&args);
        command.envs(variable.map(|level| ("RUST_LOG", level)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Server { child, line }.stop(Signal::SIGTERM).2
    };
    assert!(!spawn(&[], None).contains("serves on"));
    assert!(spawn(&[], Some("info")).contains("serves on"));
    assert!(!spawn(&["--log", "error"], Some("info")).contains("serves on"));
    assert!(spawn(&["--log", "debug"], Some("error")).contains("listens on"));
}

#[test]
fn an_oversize_request_costs_its_connection_only() {
    let file =
        File::new("small.cfg", "clientPort=0\nclientPortAddress=127.0.0.1\njute.maxbuffer=2048\n");
    let server = Server::start(&["--config", file.path()]);
    let client = server.client();
    client.create("/fits", &[1; 1500], CreateMode::Persistent).unwrap();
    let error = client.create("/big", &[1; 3000], CreateMode::Persistent).unwrap_err();
    assert_eq!(error.kind, zk_session_std::ErrorKind::Op(OpError::ConnectionLoss), "{error}");
    assert_eq!(client.get_data("/fits").unwrap().0, [1; 1500]);
}
