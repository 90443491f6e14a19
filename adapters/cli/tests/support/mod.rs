//! The program, run as its users run it, on an ensemble in this process.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use zk_session_std::EmbeddedEnsemble;

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// It did what it was told, and had nothing to complain of.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// It failed in this way, and said so.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, with: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(with), "{self:?}");
        self
    }

    /// Its lines, as objects.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        objects(&self.ok())
    }
}

#[track_caller]
pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The program with nothing of the tester's own environment.
pub(crate) fn zks(servers: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zks"));
    command
        .args(["-s", servers])
        .args(args)
        .env_remove("ZKS_SERVERS")
        .env_remove("ZKS_TLS_CA")
        .env_remove("ZKS_TLS_CERT")
        .env_remove("ZKS_TLS_KEY")
        .env_remove("ZKS_TLS_NAME")
        .env_remove("ZKS_SASL_USER")
        .env_remove("ZKS_SASL_PASSWORD")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("ZKS_HISTORY", "")
        .stdin(Stdio::null());
    command
}

/// Runs a command with this on its standard input.
pub(crate) fn run_with(mut command: Command, input: &[u8]) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It need not read all of it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An ensemble and the program on it.
pub(crate) struct Stage {
    pub(crate) ensemble: EmbeddedEnsemble,
    pub(crate) servers: String,
}

impl Stage {
    pub(crate) fn new(servers: usize) -> Self {
        let builder = EmbeddedEnsemble::builder().servers(servers).extended_types();
        let ensemble = builder.tick(Duration::from_millis(200)).start().unwrap();
        let servers = ensemble.connect_string();
        Self { ensemble, servers }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Run {
        run_with(zks(&self.servers, args), input)
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok()
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        self.run(&[&["--json"], args].concat()).json()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::new(zks(&self.servers, args))
    }
}

/// How long a program may run on: a test that waits for it in vain is to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs on.
pub(crate) struct Running {
    child: Child,
    ended: Arc<AtomicBool>,
    pub(crate) stdin: Option<ChildStdin>,
    out: Option<BufReader<ChildStdout>>,
    err: ChildStderr,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (pid, known) = (Pid::from_raw(child.id().try_into().unwrap()), ended.clone());
        std::thread::spawn(move || {
            std::thread::sleep(PATIENCE);
            if !known.load(Ordering::SeqCst) {
                let _ = kill(pid, Signal::SIGKILL); // it may just have ended
            }
        });
        Self {
            ended,
            stdin: child.stdin.take(),
            out: child.stdout.take().map(BufReader::new),
            err: child.stderr.take().unwrap(),
            child,
        }
    }

    /// Its next line, without the end; empty at the end of all.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Its next line, as an object.
    #[track_caller]
    pub(crate) fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).expect(&line)
    }

    /// Lines until one is as wanted.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.line();
            assert_ne!(line, "", "it has ended");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Reads no more.
    pub(crate) fn close_output(&mut self) {
        self.out = None;
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end with its input open; its exit code.
    pub(crate) fn wait(mut self) -> i32 {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        self.ended.store(true, Ordering::SeqCst);
        code
    }

    /// Ends its input and waits for its end.
    pub(crate) fn end(mut self) -> Run {
        drop(self.stdin.take());
        let (mut out, mut err) = (String::new(), String::new());
        if let Some(mut rest) = self.out.take() {
            rest.read_to_string(&mut out).unwrap();
        }
        self.err.read_to_string(&mut err).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        self.ended.store(true, Ordering::SeqCst);
        Run { code, out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
