//! A firmware in QEMU, with a cable that can be pulled.

use std::fmt::Display;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::log::Log;

const POLL: Duration = Duration::from_millis(10);
/// How long QEMU may take for a command to its monitor.
const MONITOR: Duration = Duration::from_secs(10);
const PROMPT: &[u8] = b"(qemu) ";

/// A running firmware; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Child,
    monitor: UnixStream,
    log: Log,
    _dir: TempDir,
}

/// What to run, and how.
#[derive(Clone, Debug)]
pub(crate) struct QemuBuilder {
    program: PathBuf,
    arguments: String,
    network: String,
    linked: bool,
    verbose: bool,
}

impl Qemu {
    /// A firmware with its cable in, and no arguments so far.
    pub(crate) fn builder(program: &Path) -> QemuBuilder {
        QemuBuilder {
            program: program.to_owned(),
            arguments: "enable=on,target=native,arg=firmware".to_owned(),
            network: "user,id=n0,model=lan9118".to_owned(),
            linked: true,
            verbose: false,
        }
    }

    /// Puts the cable in, or pulls it.
    pub(crate) fn set_link(&mut self, up: bool) -> Result<()> {
        self.command(if up { "set_link n0 on" } else { "set_link n0 off" })
    }

    /// Holds all frames back, or lets them go on: the link stays up, and nobody is told.
    pub(crate) fn set_silent(&mut self, silent: bool) -> Result<()> {
        self.command(if silent {
            // Microseconds: longer than anybody waits.
            "object_add filter-buffer,id=f0,netdev=n0,interval=600000000,queue=all"
        } else {
            "object_del f0"
        })
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It goes on for longer than `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("the firmware does not end within {patience:?}; its log:\n{}", self.log);
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for its end, however long that takes.
    pub(crate) fn wait_for_end(&mut self) -> Result<ExitStatus> {
        self.child.wait().context("QEMU")
    }

    /// What it has logged.
    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }

    fn command(&mut self, line: &str) -> Result<()> {
        let done = self.monitor.write_all(format!("{line}\n").as_bytes());
        done.and_then(|()| self.skip_prompt()).with_context(|| format!("QEMU's monitor: {line}"))
    }

    /// Reads up to the monitor's next prompt: what was asked is done then.
    fn skip_prompt(&mut self) -> std::io::Result<()> {
        let mut tail = Vec::new();
        let mut byte = [0];
        while !tail.ends_with(PROMPT) {
            self.monitor.read_exact(&mut byte)?;
            tail.extend(byte);
        }
        Ok(())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

impl QemuBuilder {
    /// A word `name=value` of the firmware's command line.
    pub(crate) fn argument(mut self, name: &str, value: impl Display) -> Self {
        let word = format!("{name}={value}").replace(',', ",,"); // a single one ends QEMU's option
        self.arguments.push_str(",arg=");
        self.arguments.push_str(&word);
        self
    }

    /// Lets the host connect to a port of the firmware by an address of its own.
    pub(crate) fn forward(mut self, from: SocketAddr, to: u16) -> Self {
        self.network.push_str(&format!(",hostfwd=tcp:{from}-:{to}"));
        self
    }

    /// Starts with the cable out.
    pub(crate) fn unlinked(mut self) -> Self {
        self.linked = false;
        self
    }

    /// Whether to print the log as it comes.
    pub(crate) fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// QEMU is not installed or does not start; the program cannot be read.
    pub(crate) fn start(self) -> Result<Qemu> {
        let dir = tempfile::Builder::new().prefix("zk-session-xtask-").tempdir()?;
        let socket = dir.path().join("monitor");
        let mut qemu = Command::new("qemu-system-arm");
        qemu.args(["-machine", "mps2-an385", "-cpu", "cortex-m3", "-S"]);
        qemu.args(["-display", "none", "-serial", "none", "-nic", &self.network]);
        qemu.arg("-monitor").arg(format!("unix:{},server=on,wait=off", socket.display()));
        qemu.args(["-semihosting-config", &self.arguments]).arg("-kernel").arg(&self.program);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = qemu.spawn();
        let mut child = child.context("cannot start `qemu-system-arm` (qemu-system-arm)")?;
        let prepared = child.stdout.take().context("QEMU has no output").and_then(|output| {
            let log = Log::follow(&self.program, output, self.verbose)?;
            Ok((connect(&socket)?, log))
        });
        let (monitor, log) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut qemu = Qemu { child, monitor, log, _dir: dir };
        qemu.skip_prompt()?;
        if !self.linked {
            qemu.set_link(false)?;
        }
        qemu.command("cont")?;
        Ok(qemu)
    }
}

/// Connects to the monitor as soon as QEMU listens there.
fn connect(socket: &Path) -> Result<UnixStream> {
    let deadline = Instant::now() + MONITOR;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => {
                stream.set_read_timeout(Some(MONITOR))?;
                return Ok(stream);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
                    && Instant::now() < deadline =>
            {
                thread::sleep(POLL);
            }
            Err(error) => return Err(error).context("QEMU's monitor"),
        }
    }
}
