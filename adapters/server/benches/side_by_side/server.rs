//! The two servers, each started as its users start it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
    Ours { _child: Ours },
    ZooKeeper { _ensemble: RealEnsemble },
}

struct Ours(Child);

impl Server {
    pub fn start(kind: Kind) -> Self {
        match kind {
            Kind::Ours => Self::ours(),
            Kind::ZooKeeper => Self::zookeeper(),
        }
    }

    fn ours() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zk-session-server"));
        command.args(["--listen", "127.0.0.1:0", "--tick", &TICK_MS.to_string()]);
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
            _process: Process::Ours { _child: Ours(child) },
        }
    }

    /// As Debian's package, with the virtual machine's own defaults and the heap that ZooKeeper's
    /// own start script gives it; its small log is not on its way.
    fn zookeeper() -> Self {
        let builder = RealEnsemble::builder()
            .tick_ms(TICK_MS)
            .virtual_machine(["-Xmx1000m"])
            .directory(memory_disk())
            .property("forceSync", "no")
            .system_property("org.slf4j.simpleLogger.defaultLogLevel", "warn");
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
