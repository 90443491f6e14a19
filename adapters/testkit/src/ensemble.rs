//! Debian's ZooKeeper, one node or a quorum of them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::lock;
use crate::four_letter::Mode;
use crate::node::{JVM, Node};
use crate::port::ReservedPort;
use crate::temp_dir::TempDir;

const POLL: Duration = Duration::from_millis(50);
const ATTEMPTS: u32 = 4;
/// How long a node may take to find and load from its leader, on a machine that has better things
/// to do.
const INIT_MS: u64 = 30_000;
/// How long a follower may be silent; also how long an ensemble takes to give up a paused leader.
const SYNC_MS: u64 = 5_000;

/// A running ensemble of Debian's ZooKeeper servers on 127.0.0.1.
///
/// Every node has ports, a directory and a process of its own, and keeps port and data over a
/// restart. All methods take `&self`: one thread may kill what others talk to. Dropping the
/// ensemble kills the processes and removes the directories; a test that panics prints the ends of
/// the logs as well. If the test process itself is killed, or ends with the ensemble still in a
/// `static`, a small shell beside each node does the same.
#[derive(Debug)]
pub struct RealEnsemble {
    addrs: Vec<SocketAddr>,
    nodes: Vec<Mutex<Node>>, // before the directory that they write to
    _dir: TempDir,
    _ports: Vec<ReservedPort>,
}

/// The shape of a [`RealEnsemble`] to be started.
#[derive(Clone, Debug)]
pub struct RealEnsembleBuilder {
    nodes: usize,
    tick_ms: u64,
    start_timeout: Duration,
    directory: PathBuf,
    virtual_machine: Vec<String>,
    properties: BTreeMap<String, String>,
    system_properties: BTreeMap<String, String>,
}

impl RealEnsemble {
    /// An ensemble of one node with a tick of 500 ms, so far.
    pub fn builder() -> RealEnsembleBuilder {
        RealEnsembleBuilder {
            nodes: 1,
            tick_ms: 500,
            start_timeout: Duration::from_secs(60),
            directory: std::env::temp_dir(),
            virtual_machine: JVM.map(str::to_owned).into(),
            properties: BTreeMap::new(),
            system_properties: BTreeMap::new(),
        }
    }

    /// The client address of node `i`, counted from 0.
    ///
    /// # Panics
    /// There is no node `i`.
    pub fn addr(&self, i: usize) -> SocketAddr {
        self.addrs[i]
    }

    /// The client addresses of all nodes.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The client addresses as ZooKeeper's clients like them: `127.0.0.1:2181,127.0.0.1:2182`.
    pub fn connect_string(&self) -> String {
        self.addrs.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
    }

    /// Kills node `i` (SIGKILL) and waits until it is gone; a paused node dies too, a dead one
    /// stays dead.
    ///
    /// # Errors
    /// There is no node `i`, or the system refused.
    pub fn kill(&self, i: usize) -> io::Result<()> {
        self.node(i)?.kill()
    }

    /// Starts node `i` again with the same ports and data, having killed it if it runs; returns
    /// before it serves.
    ///
    /// # Errors
    /// There is no node `i`, or its process cannot be started.
    pub fn restart(&self, i: usize) -> io::Result<()> {
        self.node(i)?.start()
    }

    /// Stops node `i` in its tracks (SIGSTOP): its connections stay open, the kernel even accepts
    /// new ones, nobody answers.
    ///
    /// # Errors
    /// There is no node `i`, or it does not run.
    pub fn pause(&self, i: usize) -> io::Result<()> {
        self.node(i)?.pause()
    }

    /// Lets a paused node `i` go on (SIGCONT).
    ///
    /// # Errors
    /// There is no node `i`, or it does not run.
    pub fn resume(&self, i: usize) -> io::Result<()> {
        self.node(i)?.resume()
    }

    /// The process id of node `i`; `None` when it does not run.
    ///
    /// # Errors
    /// There is no node `i`.
    pub fn pid(&self, i: usize) -> io::Result<Option<u32>> {
        Ok(self.node(i)?.pid())
    }

    /// What node `i` is right now; `None` while it does not serve, is paused, dead or not there.
    pub fn mode(&self, i: usize) -> Option<Mode> {
        self.node(i).ok()?.mode()
    }

    /// The node that leads right now, or that serves alone.
    ///
    /// It is the first that says so: a leader that was paused may believe it for a moment after it
    /// is resumed.
    pub fn leader(&self) -> Option<usize> {
        (0..self.nodes.len())
            .find(|&i| matches!(self.mode(i), Some(Mode::Leader | Mode::Standalone)))
    }

    /// Waits until node `i` serves, and says in which mode.
    ///
    /// # Errors
    /// There is no node `i`, it does not run, its process ended, or it does not serve in time; the
    /// latter two with the end of its log.
    pub fn wait_serving(&self, i: usize, timeout: Duration) -> io::Result<Mode> {
        let deadline = Instant::now() + timeout;
        loop {
            let mut node = self.node(i)?;
            node.check_alive()?;
            if let Some(mode) = node.mode() {
                return Ok(mode);
            }
            if Instant::now() >= deadline {
                let tail = node.log_tail();
                let message =
                    format!("node {i} does not serve within {timeout:?}; end of its log:\n{tail}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            drop(node);
            thread::sleep(POLL);
        }
    }

    /// Waits until a node leads, or serves alone, and says which.
    ///
    /// # Errors
    /// Nobody leads in time.
    pub fn wait_leader(&self, timeout: Duration) -> io::Result<usize> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(i) = self.leader() {
                return Ok(i);
            }
            if Instant::now() >= deadline {
                let logs = self.log_tails();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("nobody leads within {timeout:?}\n{logs}"),
                ));
            }
            thread::sleep(POLL);
        }
    }

    /// The last lines that node `i` logged.
    ///
    /// # Errors
    /// There is no node `i`.
    pub fn log_tail(&self, i: usize) -> io::Result<String> {
        Ok(self.node(i)?.log_tail())
    }

    fn node(&self, i: usize) -> io::Result<MutexGuard<'_, Node>> {
        let none = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no node {i} among {}", self.nodes.len()),
            )
        };
        self.nodes.get(i).map(lock).ok_or_else(none)
    }

    fn log_tails(&self) -> String {
        let tails = self.nodes.iter().zip(&self.addrs);
        tails
            .map(|(node, addr)| {
                format!("--- end of the log of {addr}\n{}\n", lock(node).log_tail())
            })
            .collect()
    }
}

impl Drop for RealEnsemble {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.log_tails());
        }
    }
}

impl RealEnsembleBuilder {
    /// How many nodes: 1 serves alone, more make a quorum.
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// `tickTime`, in milliseconds; sessions last from 2 to 20 ticks unless a property says
    /// otherwise.
    pub fn tick_ms(mut self, ms: u64) -> Self {
        self.tick_ms = ms;
        self
    }

    /// How long [`start`](Self::start) may take; 60 s unless told.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Where the nodes' directories are made, for a disk of another kind; the system's temporary
    /// directory unless told.
    pub fn directory(mut self, parent: impl Into<PathBuf>) -> Self {
        self.directory = parent.into();
        self
    }

    /// The flags of every node's virtual machine, in place of those for a small one that starts
    /// quickly; for measurements.
    pub fn virtual_machine<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.virtual_machine = flags.into_iter().map(Into::into).collect();
        self
    }

    /// A line of every node's `zoo.cfg`, in place of what the testkit would write;
    /// `extendedTypesEnabled`, say.
    pub fn property(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.properties.insert(key.into(), value.to_string());
        self
    }

    /// A `-Dkey=value` of every node's virtual machine; the key in full, as in
    /// `zookeeper.digest.enabled`.
    pub fn system_property(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.system_properties.insert(key.into(), value.to_string());
        self
    }

    /// Starts the nodes and returns when all of them serve.
    ///
    /// # Errors
    /// No nodes are asked for; ZooKeeper or Java is not installed; a node ends or does not serve in
    /// time, with the end of its log. A port that was taken meanwhile is not an error at first:
    /// the start is repeated with other ports.
    pub fn start(self) -> io::Result<RealEnsemble> {
        if self.nodes == 0 || self.tick_ms == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an ensemble has at least one node, and ticks",
            ));
        }
        let mut attempt = 1;
        loop {
            match self.try_start() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                    attempt += 1
                }
                result => return result,
            }
        }
    }

    fn try_start(&self) -> io::Result<RealEnsemble> {
        let deadline = Instant::now() + self.start_timeout;
        let per_node = if self.nodes == 1 { 1 } else { 3 }; // for clients, the quorum and elections
        let ports = (0..self.nodes * per_node)
            .map(|_| ReservedPort::new())
            .collect::<io::Result<Vec<_>>>()?;
        let dir = TempDir::under(&self.directory)?;
        let shared = self.shared_properties(&ports);

        let mut ensemble =
            RealEnsemble { addrs: Vec::new(), nodes: Vec::new(), _dir: dir, _ports: Vec::new() };
        for (i, port) in ports.iter().step_by(per_node).enumerate() {
            let mut properties = shared.clone();
            properties.insert("clientPort".into(), port.addr().port().to_string());
            let dir = ensemble._dir.path().join((i + 1).to_string());
            let node = Node::lay_out(
                dir,
                i + 1,
                port.addr(),
                &properties,
                self.virtual_machine.clone(),
                self.system_properties.clone(),
            )?;
            ensemble.addrs.push(port.addr());
            ensemble.nodes.push(Mutex::new(node));
        }
        ensemble._ports = ports;

        for i in 0..self.nodes {
            ensemble.restart(i)?;
        }
        for i in 0..self.nodes {
            ensemble.wait_serving(i, deadline.saturating_duration_since(Instant::now()))?;
        }
        Ok(ensemble)
    }

    fn shared_properties(&self, ports: &[ReservedPort]) -> BTreeMap<String, String> {
        let ticks = |ms: u64| ms.div_ceil(self.tick_ms).max(2).to_string();
        let mut properties: BTreeMap<String, String> = [
            ("tickTime", self.tick_ms.to_string()),
            ("initLimit", ticks(INIT_MS)),
            ("syncLimit", ticks(SYNC_MS)),
            ("clientPortAddress", "127.0.0.1".into()),
            ("maxClientCnxns", "0".into()),
            ("admin.enableServer", "false".into()),
            ("4lw.commands.whitelist", "*".into()),
            ("forceSync", "no".into()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if let Some(chunks) = (self.nodes > 1).then(|| ports.chunks_exact(3)) {
            for (i, chunk) in chunks.enumerate() {
                if let [_, quorum, election] = chunk {
                    let value = format!("{}:{}", quorum.addr(), election.addr().port());
                    properties.insert(format!("server.{}", i + 1), value);
                }
            }
        }
        properties.extend(self.properties.clone());
        properties
    }
}
