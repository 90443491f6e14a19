//! The Java client, through Debian's own script.

use std::io;
use std::process::Command;
use std::time::Duration;

use crate::node::INSTALL_ZOOKEEPER;
use crate::run::{Output, run};

const SCRIPT: &str = "/usr/share/zookeeper/bin/zkCli.sh";
const JVM: &str = "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData";

/// Debian's `zkCli.sh`, headless, against one server or several.
#[derive(Clone, Debug)]
pub struct ZkCli {
    server: String,
    timeout: Duration,
}

impl ZkCli {
    /// A client of the server at an address, or of those in a connect string
    /// (`host:port,host:port/chroot`).
    ///
    /// A run is killed after 30 seconds, unless [`timeout`](Self::timeout) says otherwise.
    pub fn new(server: impl ToString) -> Self {
        Self { server: server.to_string(), timeout: Duration::from_secs(30) }
    }

    /// How long a run may take, the start of the virtual machine (about a second) included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs a single command given as arguments: `["create", "-e", "/path", "data"]`.
    ///
    /// Standard output begins with chatter about the connection; the command's answer comes last.
    /// What the server refuses is told on standard error, with exit status 1.
    ///
    /// # Errors
    /// The script is not installed, or had to be killed; then with what it wrote so far.
    pub fn run(&self, command: &[&str]) -> io::Result<Output> {
        self.invoke(command, "")
    }

    /// Feeds commands, one a line, to an interactive client, all in one session; `quit` is added at
    /// the end.
    ///
    /// # Errors
    /// The script is not installed, or had to be killed; then with what it wrote so far.
    pub fn script(&self, commands: &str) -> io::Result<Output> {
        self.invoke(&[], &format!("{}\nquit\n", commands.trim_end()))
    }

    fn invoke(&self, command: &[&str], input: &str) -> io::Result<Output> {
        let mut script = Command::new(SCRIPT);
        script.env("CLIENT_JVMFLAGS", JVM).args(["-server", &self.server]).args(command);
        run(&mut script, input, self.timeout, INSTALL_ZOOKEEPER)
    }
}
