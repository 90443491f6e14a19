//! What a person at a terminal sees: prompts, completion, history, colour, the live view.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use support::{Stage, zks};
use zk_session_std::EmbeddedEnsemble;

/// A program on a terminal.
struct Terminal {
    child: Child,
    keys: File,
    seen: Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    fn new(mut command: Command) -> Self {
        let size = Winsize { ws_row: 40, ws_col: 140, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        let child =
            command.env("TERM", "xterm").stdin(slave()).stdout(slave()).stderr(slave()).spawn();
        let (give, seen) = channel();
        let mut screen = File::from(pty.master.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The terminal ends with the program.
            while let Ok(n @ 1..) = screen.read(&mut bytes) {
                if give.send(bytes[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child: child.unwrap(), keys: File::from(pty.master), seen, text: String::new() }
    }

    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen, after what was waited for before.
    #[track_caller]
    fn shows(&mut self, wanted: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.text.find(wanted) {
                self.text.drain(..at + wanted.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.seen.recv_timeout(left) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{wanted:?} is not shown: {:?}", self.text)
                }
            }
        }
    }

    /// Waits for its end, but not for ever.
    #[track_caller]
    fn end(mut self) -> i32 {
        let mut code = None;
        support::eventually("it ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_shell_completes_commands_and_paths_and_keeps_a_history_without_secrets() {
    let stage = Stage::new(1);
    stage.ok(&["create", "-p", "/application/configuration", "found"]);
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join("history");
    let mut command = zks(&stage.servers, &[]);
    command.env("ZKS_HISTORY", &history);
    let mut shell = Terminal::new(command);
    shell.shows("> ");
    shell.type_in("whoa\t\r");
    shell.shows("ip");
    shell.shows("127.0.0.1");
    shell.shows("> ");
    shell.type_in("get /appl\t/con\t\r");
    shell.shows("/application/configuration");
    shell.shows("found");
    shell.shows("> ");
    shell.type_in("ac\t g\t /appl\t\r");
    shell.shows("acl get /application");
    shell.shows("world:anyone:cdrwa");
    shell.shows("> ");
    shell.type_in("get --ra\t /appl\t/con\t\r");
    shell.shows("get --raw /application/configuration");
    shell.shows("found");
    shell.shows("> ");
    shell.type_in("auth digest me:pass42\r");
    shell.shows("auth takes no credential");
    shell.shows("> ");
    let session = stage.ensemble.sessions().unwrap()[0].session_id;
    stage.ensemble.drop_connection(session).unwrap();
    shell.shows("Disconnected: ");
    shell.shows("SyncConnected: the session was resumed");
    shell.shows("> ");
    shell.type_in("quit\r");
    assert_eq!(shell.end(), 0);
    let kept = fs::read_to_string(&history).unwrap();
    assert!(kept.contains("whoami") && kept.contains("get /application/configuration"), "{kept}");
    assert!(!kept.contains("auth"), "{kept}");
}

#[test]
fn ctrl_c_at_a_prompt_ends_what_runs_and_not_the_shell() {
    let stage = Stage::new(1);
    let mut shell = Terminal::new(zks(&stage.servers, &["shell"]));
    shell.shows("> ");
    shell.type_in("watch /a\r");
    shell.shows("watching /a");
    // The terminal is not the controlling one of the program, so that keys send no signal.
    let pid = nix::unistd::Pid::from_raw(shell.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    shell.shows("interrupted");
    shell.shows("> ");
    shell.type_in("count\r");
    shell.shows("\n3\r\n");
    shell.shows("> ");
    shell.type_in("\u{4}");
    assert_eq!(shell.end(), 0);
}

#[test]
fn the_live_view_is_drawn_until_q_or_a_signal() {
    let stage = Stage::new(1);
    let mut top = Terminal::new(zks(&stage.servers, &["top", "-i", "50ms"]));
    top.shows("1 of 1 servers up");
    top.shows("standalone");
    top.type_in("q");
    assert_eq!(top.end(), 0);
    let mut top = Terminal::new(zks(&stage.servers, &["top", "-i", "60s"]));
    top.shows("standalone");
    let pid = nix::unistd::Pid::from_raw(top.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(top.end(), 0);
}

#[test]
fn a_held_sessions_pings_are_on_the_last_line_all_the_time() {
    let stage = Stage::new(1);
    let mut session = Terminal::new(zks(&stage.servers, &["--timeout", "1s", "session"]));
    session.shows("SyncConnected");
    session.shows("no ping was due yet; heard 0.");
    session.shows("1 ping sent, 1 answered, the last in ");
    session.shows("2 pings sent, 2 answered");
    let pid = nix::unistd::Pid::from_raw(session.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    session.shows("Closed");
    assert_eq!(session.end(), 0);
}

#[test]
fn a_password_is_asked_for_once_and_not_echoed() {
    let builder = EmbeddedEnsemble::builder().servers(1).tick(Duration::from_millis(200));
    let ensemble = builder.sasl_user("bob", "pass42").start().unwrap();
    let servers = ensemble.connect_string();
    // Passwords are asked for on the controlling terminal, which is what setsid makes of its own.
    let on_a_terminal = |args: &[&str]| {
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_zks"), "-s", &servers]).args(args);
        command.env("ZKS_HISTORY", "").env_remove("ZKS_SASL_PASSWORD");
        Terminal::new(command)
    };
    let mut shell = on_a_terminal(&["--sasl-user", "bob"]);
    shell.shows("password of bob: ");
    shell.type_in("pass42\r");
    shell.shows("> ");
    assert!(!shell.text.contains("pass42"), "{}", shell.text);
    // The shell's next session is bob's without a question.
    let session = ensemble.sessions().unwrap()[0].session_id;
    ensemble.expire(session).unwrap();
    shell.shows("Expired: ");
    shell.type_in("whoami\r");
    shell.shows("this is done in a new one");
    shell.shows("sasl");
    shell.shows(" bob\r\n");
    shell.type_in("quit\r");
    assert_eq!(shell.end(), 0);
    // Nor is it asked for each session of a bench.
    let mut bench = on_a_terminal(&["--sasl-user", "bob", "bench", "--clients", "3", "--ops", "9"]);
    bench.shows("password of bob: ");
    bench.type_in("pass42\r");
    bench.shows("operations");
    assert_eq!(bench.end(), 0);
    let mut refused = on_a_terminal(&["--sasl-user", "bob", "ls"]);
    refused.shows("password of bob: ");
    refused.type_in("guess\r");
    refused.shows("refuses the user or the password");
    assert_eq!(refused.end(), 5);
}

#[test]
fn a_terminal_has_colours_unless_they_are_not_wanted() {
    let stage = Stage::new(1);
    let mut ls = Terminal::new(zks(&stage.servers, &["ls"]));
    ls.shows("\u{1b}[1m");
    ls.shows("zookeeper");
    assert_eq!(ls.end(), 0);
    let mut command = zks(&stage.servers, &["ls"]);
    command.env("NO_COLOR", "1");
    let mut ls = Terminal::new(command);
    ls.shows("zookeeper\r\n");
    assert_eq!(ls.end(), 0);
}
