//! One ZooKeeper server process, its configuration and its directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::while_doing;
use crate::four_letter::{Mode, four_letter};
use crate::reaper::Reaper;
use crate::run::{not_started, signal};

pub(crate) const INSTALL_ZOOKEEPER: &str = "on Debian: apt-get install zookeeper";

const JARS: &str = "/usr/share/java";
const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
/// Debian's jars name most of these in their manifests, though not the one that writes the log nor
/// those of Netty that `NettyServerCnxnFactory` needs.
const CLASSPATH: [&str; 10] = [
    "zookeeper",
    "zookeeper-jute",
    "slf4j-api",
    "slf4j-simple",
    "netty-all",
    "netty-codec",
    "netty-handler",
    "metrics-core",
    "snappy-java",
    "commons-cli",
];
/// A small virtual machine that starts quickly.
pub(crate) const JVM: [&str; 7] = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dzookeeper.jmx.log4j.disable=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
];
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 30;

/// A node that was laid out on disk once and is started as often as its ensemble likes.
#[derive(Debug)]
pub(crate) struct Node {
    addr: SocketAddr,
    dir: PathBuf,
    virtual_machine: Vec<String>,
    system_properties: BTreeMap<String, String>,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    reaper: Reaper,
    child: Child,
    paused: bool,
}

/// Debian's ZooKeeper and all it needs, as a virtual machine's class path.
pub(crate) fn classpath() -> io::Result<String> {
    if !Path::new(JARS).join("zookeeper.jar").exists() {
        let message = format!("there is no {JARS}/zookeeper.jar; {INSTALL_ZOOKEEPER}");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    Ok(CLASSPATH.map(|jar| format!("{JARS}/{jar}.jar")).join(":"))
}

impl Node {
    /// Writes `zoo.cfg` and `myid` under `dir`, which must not exist yet.
    pub(crate) fn lay_out(
        dir: PathBuf,
        id: usize,
        addr: SocketAddr,
        properties: &BTreeMap<String, String>,
        virtual_machine: Vec<String>,
        system_properties: BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let data = dir.join("data");
        let mut config = format!("dataDir={}\n", data.display());
        for (key, value) in properties {
            config.push_str(&format!("{key}={value}\n"));
        }
        fs::create_dir_all(&data)
            .and_then(|()| fs::write(data.join("myid"), format!("{id}\n")))
            .and_then(|()| fs::write(dir.join("zoo.cfg"), config))
            .map_err(while_doing(format_args!("cannot lay out a node in {}", dir.display())))?;
        Ok(Self { addr, dir, virtual_machine, system_properties, process: None })
    }

    /// Starts the process and returns at once; a process that still runs is killed before.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        self.kill()?;
        let classpath = classpath()?;
        let path = self.log_path();
        let open = || File::options().create(true).append(true).open(&path);
        let both = open().and_then(|log| Ok((log.try_clone()?, log)));
        let (stdout, stderr) =
            both.map_err(while_doing(format_args!("cannot open {}", path.display())))?;

        let mut java = Command::new("java");
        java.args(&self.virtual_machine);
        java.args(self.system_properties.iter().map(|(key, value)| format!("-D{key}={value}")));
        java.args(["-cp", &classpath, MAIN]);
        java.arg(self.dir.join("zoo.cfg")).current_dir(&self.dir);
        java.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let mut child =
            java.spawn().map_err(|error| not_started("java", INSTALL_ZOOKEEPER, error))?;
        match Reaper::watch(child.id(), &self.dir) {
            Ok(reaper) => self.process = Some(Process { reaper, child, paused: false }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The process, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// SIGKILL, and waits for the end; nothing to do for a node that does not run.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        let Some(Process { reaper, mut child, .. }) = self.process.take() else { return Ok(()) };
        drop(reaper); // first, as it must not signal a process id that is free again
        child
            .kill()
            .and_then(|()| child.wait().map(drop))
            .map_err(while_doing("cannot kill a node"))
    }

    /// SIGSTOP: connections stay open, nobody answers.
    pub(crate) fn pause(&mut self) -> io::Result<()> {
        self.signal("STOP", true)
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) -> io::Result<()> {
        self.signal("CONT", false)
    }

    /// The mode that the node reports; `None` while it does not serve, is paused or does not run.
    pub(crate) fn mode(&self) -> Option<Mode> {
        let running = self.process.as_ref().is_some_and(|process| !process.paused);
        if !running {
            return None;
        }
        Mode::find(&four_letter(self.addr, "srvr").ok()?)
    }

    /// An error with the end of the log when the process does not run (any more).
    pub(crate) fn check_alive(&mut self) -> io::Result<()> {
        let ended = match self.process.as_mut() {
            Some(process) => {
                process.child.try_wait().map_err(while_doing("cannot look after a node"))?
            }
            None => {
                return Err(io::Error::other(format!("the node at {} does not run", self.addr)));
            }
        };
        match ended {
            None => Ok(()),
            Some(status) => {
                self.process = None;
                let tail = self.log_tail();
                let message = format!(
                    "the node at {} ended by itself ({status}); end of its log:\n{tail}",
                    self.addr
                );
                // Java words it "Address already in use", in both of its network stacks.
                let taken = tail.contains("Address already in use");
                let kind = if taken { io::ErrorKind::AddrInUse } else { io::ErrorKind::Other };
                Err(io::Error::new(kind, message))
            }
        }
    }

    /// The last lines of what the node logged, over all its starts.
    pub(crate) fn log_tail(&self) -> String {
        let read = || {
            let mut log = File::open(self.log_path())?;
            let start = log.metadata()?.len().saturating_sub(TAIL_BYTES);
            log.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        match read() {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let lines: Vec<&str> = text.lines().collect();
                lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
            }
            Err(error) => format!("(no log: {error})"),
        }
    }

    fn signal(&mut self, name: &str, paused: bool) -> io::Result<()> {
        self.check_alive()?;
        if let Some(process) = self.process.as_mut() {
            signal(name, process.child.id().into())?;
            process.paused = paused;
        }
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
