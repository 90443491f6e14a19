//! A device that is the ensemble, seen by its clients.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use zk_session::wire::CreateMode;
use zk_session_std::Client;
use zk_session_testkit::{Kazoo, ReservedPort, four_letter};

use super::Options;
use super::observer::PATIENCE;
use super::qemu::Qemu;

const SCRIPT: &str = include_str!("clients.py");
/// ZooKeeper's own.
const PORT: u16 = 2181;
/// What the ensemble's sessions expire at multiples of.
const TICK: Duration = Duration::from_millis(200);
/// The timeout of the client that is killed.
const DOOMED: Duration = Duration::from_secs(2);
/// What a machine that has other things to do may add.
const SLACK: Duration = Duration::from_secs(2);
/// Shorter than the timeout of any session that is to live.
const CUT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// kazoo and our own client live on it, die on it, and lose it for a while.
pub(crate) fn serve(program: &Path, options: &Options) -> Result<()> {
    let port = ReservedPort::new()?;
    let kazoo = Kazoo::prepare()?;
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let qemu = Qemu::builder(program).forward(port.addr(), PORT).verbose(options.verbose);
    let qemu = qemu.argument("unix", unix).argument("seed", 4711);
    let mut qemu = qemu.argument("tick", TICK.as_millis()).start()?;
    let outcome = play(&mut qemu, &kazoo, &port);
    outcome.with_context(|| format!("the device's log:\n{}", qemu.log()))
}

fn play(qemu: &mut Qemu, kazoo: &Kazoo, port: &ReservedPort) -> Result<()> {
    let addr = port.addr();
    let hosts = addr.to_string();
    qemu.log().wait_for(Default::default(), &["serving"], PATIENCE)?;
    let client = Client::builder(&hosts).timeout(Duration::from_secs(4));
    let client = client.connect_timeout(PATIENCE).connect()?;
    ensure!(four_letter(addr, "ruok")? == "imok");
    let srvr = four_letter(addr, "srvr")?;
    ensure!(srvr.contains("Mode: standalone") && srvr.contains("Node count: 5"), "{srvr}");

    let output = kazoo.run(SCRIPT, &[&hosts, "live"], PATIENCE.saturating_mul(3))?.success()?;
    ensure!(output.stdout.contains("done"), "{}", output.stdout);
    println!(
        "firmware, ensemble: kazoo's znodes, watches, lock and reconnect are as they should be"
    );

    let dir = tempfile::tempdir()?;
    let path = dir.path().join("clients.py");
    std::fs::write(&path, SCRIPT)?;
    let mut doomed = Doomed::start(kazoo, &path, &hosts)?;
    let there = || client.exists("/doomed").map(|stat| stat.is_some());
    ensure!(there()?, "an ephemeral is not there");
    doomed.0.kill()?;
    let killed = Instant::now();
    while there()? {
        if killed.elapsed() > DOOMED + TICK + SLACK {
            bail!("the ephemeral of a client that was killed is still there");
        }
        thread::sleep(POLL);
    }
    println!("firmware, ensemble: a killed client's ephemeral went after {:?}", killed.elapsed());

    let session = client.session_id();
    client.create("/ours", b"", CreateMode::Ephemeral)?;
    qemu.set_link(false)?;
    thread::sleep(CUT);
    qemu.set_link(true)?;
    client.wait_connected(PATIENCE)?;
    let stat = client.exists("/ours")?.context("an ephemeral went in a short cut")?;
    ensure!((client.session_id(), stat.ephemeral_owner) == (session, session.0));
    client.close()?;
    let srvr = four_letter(addr, "srvr")?;
    ensure!(srvr.contains("Node count: 5"), "something was left behind: {srvr}");
    println!("firmware, ensemble: our client's session outlived a cut, and left nothing behind");
    Ok(())
}

/// A client that is going to be killed.
struct Doomed(Child);

impl Doomed {
    /// It has a session, and an ephemeral znode.
    fn start(kazoo: &Kazoo, script: &Path, hosts: &str) -> Result<Self> {
        let mut python = Command::new(kazoo.python());
        let child = python.arg("-u").arg(script).args([hosts, "die"]).stdout(Stdio::piped());
        let mut doomed = Self(child.spawn().context("cannot start kazoo's Python")?);
        let output = doomed.0.stdout.take().context("Python has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == "ready", "the client that was to be killed said {line:?}");
        Ok(doomed)
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
