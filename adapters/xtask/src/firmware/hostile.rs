//! A device in a world that is not as it should be. It says so, keeps running, and is there as soon
//! as the world is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zk_session_chaos::target::TICK;
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::ReservedPort;

use super::Options;
use super::log::{Log, Mark};
use super::observer::{Observer, PATIENCE, Sighting};
use super::qemu::{Qemu, QemuBuilder};
use super::survive::TIMEOUT;

const ID: &str = "thermometer-2";
/// More than the device's receive buffer holds.
const LARGE: usize = 16 << 10;
/// How long a device is watched that cannot do anything yet.
const A_WHILE: Duration = Duration::from_secs(1);

/// Starts without a network, on an ensemble that then sends what makes no sense and what is too large.
pub(crate) fn no_network(program: &Path, options: &Options) -> Result<()> {
    let ensemble = EmbeddedEnsemble::builder().servers(3).tick(TICK).start()?;
    let observer = Observer::start(&ensemble.connect_string(), "period_ms=50")?;
    let ports = ensemble.addrs().iter().map(|addr| format!("10.0.2.2:{}", addr.port()));
    let hosts: Vec<_> = ports.collect();
    let mut qemu = device(program, &hosts.join(","), options).unlinked().start()?;
    let outcome = unlinked(&mut qemu, &observer).and_then(|()| misconfigured(&qemu, &observer));
    outcome.with_context(|| format!("no network; the device's log:\n{}", qemu.log()))
}

fn unlinked(qemu: &mut Qemu, observer: &Observer) -> Result<()> {
    qemu.log().wait_for(Mark::default(), &["no link"], PATIENCE)?;
    thread::sleep(A_WHILE);
    ensure!(observer.look(ID)?.is_none(), "a device without a cable is there");
    qemu.set_link(true)?;
    observer.wait(ID, "it counts", |seen| seen.counter >= 2)?;
    println!("firmware, hostile: it booted without a network, and appeared with it");
    Ok(())
}

/// Settings that make no sense change nothing, and those that do not fit the buffer cost only their
/// own answer.
fn misconfigured(qemu: &Qemu, observer: &Observer) -> Result<()> {
    let before = observer.wait(ID, "it is there", |_| true)?;
    let mark = qemu.log().mark();
    for (settings, reason) in [
        (&b"period_ms=soon"[..], "PeriodIsNoNumber"),
        (b"period_ms=5", "PeriodOutOfRange { period_ms: 5 }"),
        (b"period_ms=70 verbose", "UnknownWord"),
        (b"\xff\xfe", "NotText"),
    ] {
        observer.configure(settings)?;
        qemu.log().wait_for(mark, &["settings refused", reason], PATIENCE)?;
    }
    let version = observer.configure(&vec![b'x'; LARGE])?;
    qemu.log().wait_for(mark, &["ReplyTooLarge", "len: 16"], PATIENCE)?;
    let now = observer.wait(ID, "it counts on", |seen| seen.counter >= before.counter + 3)?;
    ensure!((now.created, now.config, now.period) == (before.created, before.config, 50));
    let good = observer.configure(b"period_ms=100")?;
    ensure!(good > version);
    observer.wait(ID, "it has applied good settings", |seen| seen.config == Some(good))?;
    println!("firmware, hostile: settings too large or senseless were named, and changed nothing");
    Ok(())
}

/// Knows a closed port, a name that nobody resolves and a server that is none; then an ensemble
/// comes up where the closed port was.
pub(crate) fn wrong_hosts(program: &Path, options: &Options) -> Result<()> {
    let closed = ReservedPort::new()?;
    let garbage = Garbage::start()?;
    let (first, last) = (closed.addr().port(), garbage.addr.port());
    let hosts = format!("10.0.2.2:{first},nowhere.invalid:2181,10.0.2.2:{last}");
    let qemu = device(program, &hosts, options).start()?;
    let outcome = among_useless_hosts(qemu.log(), closed);
    outcome.with_context(|| format!("wrong hosts; the device's log:\n{}", qemu.log()))
}

fn among_useless_hosts(log: &Log, closed: ReservedPort) -> Result<()> {
    for words in [
        ["host 0 cannot be reached", "ConnectionReset"],
        ["host 1 cannot be reached", "NoResolver"],
        ["connection to host 2 lost", "BadFrameLength"],
    ] {
        log.wait_for(Mark::default(), &words, PATIENCE)?;
    }
    let addr = closed.addr();
    drop(closed);
    let ensemble = EmbeddedEnsemble::builder().bind(0, addr).tick(TICK).start()?;
    let observer = Observer::start(&ensemble.connect_string(), "period_ms=50")?;
    let before = observer.wait(ID, "it counts", |seen| seen.counter >= 2)?;
    println!("firmware, hostile: it named its useless hosts, and found the one that came up");

    let mark = log.mark();
    ensemble.stop(0)?;
    log.wait_for(mark, &["Disconnected"], PATIENCE)?;
    log.wait_for(mark, &["connection to host 2 lost", "BadFrameLength"], PATIENCE)?;
    ensemble.start(0)?;
    let counted = |seen: &Sighting| seen.counter >= before.counter + 3;
    let now = observer.wait(ID, "it counts on", counted)?;
    ensure!(now.created == before.created, "its znode was gone in between");
    println!("firmware, hostile: garbage from another server did not cost it its session");
    Ok(())
}

/// Has arguments of no use: it names them, and ends.
pub(crate) fn wrong_arguments(program: &Path, options: &Options) -> Result<()> {
    let long = "x".repeat(100);
    let no_port = "10.0.2.2:port,10.0.2.2:2182";
    for (connect, id, timeout, named) in [
        (no_port, ID, 4000, "ConnectString"),
        ("10.0.2.2:2181", long.as_str(), 4000, "IdTooLong"),
        ("10.0.2.2:2181", ID, 0, "Timeout"),
    ] {
        let builder = Qemu::builder(program).verbose(options.verbose);
        let builder = builder.argument("connect", connect).argument("id", id);
        let mut qemu = builder.argument("timeout", timeout).start()?;
        let status = qemu.wait(PATIENCE)?;
        let named = qemu.log().wait_for(Mark::default(), &["cannot start", named], PATIENCE);
        named.with_context(|| format!("wrong arguments; the device's log:\n{}", qemu.log()))?;
        ensure!(status.code() == Some(2), "with wrong arguments it ended with {status}");
    }
    println!("firmware, hostile: it named arguments that it cannot use, and ended");
    Ok(())
}

fn device(program: &Path, connect: &str, options: &Options) -> QemuBuilder {
    Qemu::builder(program)
        .argument("connect", connect)
        .argument("id", ID)
        .argument("timeout", TIMEOUT.as_millis())
        .verbose(options.verbose)
}

/// A server that answers whatever it is asked with bytes that are no answer.
struct Garbage {
    addr: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Garbage {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let mut asked = [0; 64];
                if matches!(stream.read(&mut asked), Ok(1..)) {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                }
            }
        });
        Ok(Self { addr, over })
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.addr); // wakes the thread up
    }
}
