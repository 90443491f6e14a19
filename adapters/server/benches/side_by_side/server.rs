//! The two servers, each started as its users start it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zk_session_testkit::RealEnsemble;

use crate::process;
use crate::wire::Wire;

const TICK_MS: u64 = 2000;
const PATIENCE: Duration = Duration::from_secs(60);
/// A ZooKeeper that has just begun to listen may never answer those who come too early.
const ATTEMPT: Duration = Duration::from_millis(250);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    ZooKeeper,
}

/// How long what is acknowledged lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As long as the process: no disk is waited for.
    Memory,
    /// It is on the disk before it is acknowledged.
    Disk,
}

/// A running server.
pub struct Server {
    pub addr: SocketAddr,
    pub pid: u32,
    /// From the start of the process to the first session.
    pub first_session: Duration,
    /// What of it the process was on a processor.
    pub first_session_cpu: Duration,
    _process: Process,
}

enum Process {
    Ours { _child: Ours, _dir: Option<TempDir> },
    ZooKeeper { _ensemble: RealEnsemble },
}

struct Ours(Child);

impl Server {
    pub fn start(kind: Kind, keep: Keep) -> Self {
        match kind {
            Kind::Ours => Self::ours(keep),
            Kind::ZooKeeper => Self::zookeeper(keep),
        }
    }

    fn ours(keep: Keep) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zk-session-server"));
        command.args(["--listen", "127.0.0.1:0", "--tick", &TICK_MS.to_string()]);
        let dir = (keep == Keep::Disk).then(|| tempfile::tempdir_in(real_disk()).unwrap());
        if let Some(dir) = &dir {
            command.arg("--data").arg(dir.path());
        }
        let start = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.split(' ').nth(2).unwrap().parse().unwrap();
        let wire = Wire::connect(addr, 10_000);
        let first_session = start.elapsed();
        let pid = child.id();
        let first_session_cpu = process::cpu(pid);
        wire.close();
        Self {
            addr,
            pid,
            first_session,
            first_session_cpu,
            _process: Process::Ours { _child: Ours(child), _dir: dir },
        }
    }

    /// As Debian's package, with the virtual machine's own defaults and the heap that ZooKeeper's
    /// own start script gives it; its small log is not on its way.
    fn zookeeper(keep: Keep) -> Self {
        let builder = RealEnsemble::builder()
            .tick_ms(TICK_MS)
            .virtual_machine(["-Xmx1000m"])
            .system_property("org.slf4j.simpleLogger.defaultLogLevel", "warn");
        let builder = match keep {
            Keep::Memory => builder.directory(memory_disk()).property("forceSync", "no"),
            Keep::Disk => builder.directory(real_disk()).property("forceSync", "yes"),
        };
        let ensemble = builder.start().unwrap();
        // It has found a free port: now once more against the clock.
        ensemble.kill(0).unwrap();
        let start = Instant::now();
        ensemble.restart(0).unwrap();
        let addr = ensemble.addr(0);
        let wire = loop {
            match Wire::try_connect(addr, 10_000, ATTEMPT) {
                Ok(wire) => break wire,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let first_session = start.elapsed();
        let pid = ensemble.pid(0).unwrap().unwrap();
        let first_session_cpu = process::cpu(pid);
        wire.close();
        Self {
            addr,
            pid,
            first_session,
            first_session_cpu,
            _process: Process::ZooKeeper { _ensemble: ensemble },
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A disk that is none, if there is one.
fn memory_disk() -> PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() }
}

/// Where the build is: a disk, as a rule.
fn real_disk() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}
