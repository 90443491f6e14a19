//! What an ensemble keeps: over snapshots, restarts, SIGKILL in mid-write and a full disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(feature = "durable")]

mod ensemble_support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ensemble_support::{Granted, PATIENCE, Raw, frame};
use tempfile::TempDir;
use zk_session::wire::{CreateMode, Reader, ReplyHeader, Request, SessionId, Xid};
use zk_session_std::{
    EmbeddedEnsemble, EnsembleBuilder, EnsembleError, Fsync, SnapshotError, StoreError,
};
use zk_session_testkit::four_letter;

fn builder() -> EnsembleBuilder {
    let longest = Duration::from_secs(60);
    EmbeddedEnsemble::builder().tick(Duration::from_millis(500)).max_session_timeout(longest)
}

fn set(path: &str, data: &[u8]) -> Vec<u8> {
    frame(Xid(1), &Request::SetData { path: path.into(), data: Some(data), version: -1 })
}

#[test]
fn a_snapshot_starts_another_ensemble_with_the_same_sessions() {
    let ensemble = builder().servers(2).start().unwrap();
    let (mut raw, session) = Raw::connect(ensemble.addr(0), 10_000);
    raw.create("/a", b"kept", CreateMode::Persistent).unwrap();
    raw.create("/e", b"", CreateMode::Ephemeral).unwrap();
    let mut bytes = Vec::new();
    ensemble.snapshot(&mut bytes).unwrap();
    raw.create("/later", b"", CreateMode::Persistent).unwrap();
    drop(ensemble);
    assert!(raw.is_closed());

    let again = builder().servers(3).start_from(&bytes[..]).unwrap();
    let (mut raw, resumed) = Raw::resume(again.addr(2), &session).unwrap();
    assert_eq!(resumed, session);
    assert_eq!(raw.get("/a").unwrap(), b"kept");
    assert!(raw.exists("/e", false) && !raw.exists("/later", false));
    assert_eq!(again.sessions().unwrap()[0].ephemerals, 1);
    assert_ne!(Raw::connect(again.addr(0), 10_000).1.id, session.id);
}

#[test]
fn what_is_no_snapshot_is_refused_by_name() {
    let mut bytes = Vec::new();
    builder().start().unwrap().snapshot(&mut bytes).unwrap();
    let start = |bytes: &[u8]| match builder().start_from(bytes).unwrap_err() {
        EnsembleError::Snapshot(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(start(b"GET / HTTP/1.1\r\n"), SnapshotError::NotASnapshot));
    assert!(matches!(start(&bytes[..bytes.len() - 1]), SnapshotError::Truncated));
    assert!(matches!(start(b""), SnapshotError::Truncated));
    let mut bad = bytes.clone();
    bad[7] = 9;
    assert!(matches!(start(&bad), SnapshotError::Version(9)));
    let mut bad = bytes.clone();
    bad[14] ^= 1;
    assert!(matches!(start(&bad), SnapshotError::Record { index: 0, .. }));
}

#[test]
fn a_restarted_ensemble_goes_on_where_it_stopped() {
    let dir = TempDir::new().unwrap();
    let start = || builder().durable(dir.path()).start().unwrap();
    let ensemble = start();
    let (mut raw, session) = Raw::connect(ensemble.addr(0), 10_000);
    raw.create("/a", b"one", CreateMode::Persistent).unwrap();
    raw.create("/a/e", b"", CreateMode::Ephemeral).unwrap();
    raw.create("/gone", b"", CreateMode::Persistent).unwrap();
    drop(ensemble);

    let ensemble = start();
    let (mut raw, resumed) = Raw::resume(ensemble.addr(0), &session).unwrap();
    assert_eq!(resumed, session);
    assert_eq!(raw.get("/a").unwrap(), b"one");
    assert!(raw.exists("/a/e", false));
    raw.call(&Request::Delete { path: "/gone".into(), version: -1 }).unwrap();
    let (_other, expired) = Raw::connect(ensemble.addr(0), 10_000);
    assert!(ensemble.expire(expired.id).unwrap());
    drop(ensemble);

    let ensemble = start();
    let (mut raw, _) = Raw::resume(ensemble.addr(0), &session).unwrap();
    assert!(!raw.exists("/gone", false));
    assert_eq!(Raw::resume(ensemble.addr(0), &expired).unwrap().1.id, SessionId::NONE);
    raw.call(&Request::CloseSession).unwrap();
    ensemble.wipe().unwrap();
    drop(ensemble);

    let ensemble = start();
    assert!(ensemble.sessions().unwrap().is_empty());
    assert!(!Raw::connect(ensemble.addr(0), 10_000).0.exists("/a", false));
}

#[test]
fn the_words_tell_where_everything_is_kept_and_how_much_that_is() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("state.redb");
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let ensemble = builder().durable(dir.path()).start().unwrap();
        let addr = ensemble.addr(0);
        let (mut raw, _) = Raw::connect(addr, 10_000);
        for round in 0..2 {
            let size = file.metadata().unwrap().len();
            let (path, conf) = (dir.path().display(), four_letter(addr, "conf").unwrap());
            let kept = format!(
                "\ndataDir={path}\ndataDirSize={size}\ndataLogDir={path}\ndataLogSize={size}\n"
            );
            assert!(conf.contains(&kept), "{conf} without {kept}");
            let dirs = format!("datadir_size: {size}\nlogdir_size: {size}\n");
            assert_eq!(four_letter(addr, "dirs").unwrap(), dirs);
            sizes.push(size);
            for i in 0..8 {
                let path = format!("/{}-{round}-{i}", sizes.len());
                raw.create(&path, &[7; 900_000], CreateMode::Persistent).unwrap();
            }
        }
    }
    assert!(sizes[0] > 0 && sizes[1] > sizes[0] && sizes[3] > sizes[1], "{sizes:?}");
}

#[test]
fn what_a_frozen_server_has_not_read_is_not_kept_and_the_rest_is() {
    let dir = TempDir::new().unwrap();
    let start = || builder().servers(2).durable(dir.path()).start().unwrap();
    let ensemble = start();
    let (mut on_frozen, session) = Raw::connect(ensemble.addr(0), 10_000);
    on_frozen.create("/e", b"", CreateMode::Ephemeral).unwrap();
    ensemble.freeze(0).unwrap();
    on_frozen.send(&Request::create("/unread", b"", CreateMode::Persistent)).unwrap();
    let (mut other, _) = Raw::connect(ensemble.addr(1), 10_000);
    other.create("/read", b"", CreateMode::Persistent).unwrap();
    drop(ensemble);
    assert!(on_frozen.is_closed());

    let ensemble = start();
    let (mut raw, resumed) = Raw::resume(ensemble.addr(0), &session).unwrap();
    assert_eq!(resumed, session);
    assert!(raw.exists("/e", false) && raw.exists("/read", false));
    assert!(!raw.exists("/unread", false));
}

#[test]
fn a_session_is_kept_from_when_all_servers_know_it() {
    let dir = TempDir::new().unwrap();
    let start = || builder().servers(2).local_sessions().durable(dir.path()).start().unwrap();
    let ensemble = start();
    let (mut raw, known) = Raw::connect(ensemble.addr(0), 10_000);
    let (_local, lost) = Raw::connect(ensemble.addr(0), 10_000);
    let refused = ensemble.move_session(lost.id, 1).unwrap_err();
    assert!(matches!(refused, EnsembleError::NoSession(id) if id == lost.id));
    raw.create("/e", b"", CreateMode::Ephemeral).unwrap();
    ensemble.move_session(known.id, 1).unwrap();
    drop(ensemble);

    let ensemble = start();
    assert_eq!(Raw::resume(ensemble.addr(0), &lost).unwrap().1.id, SessionId::NONE);
    let (mut raw, resumed) = Raw::resume(ensemble.addr(1), &known).unwrap();
    assert_eq!(resumed, known);
    assert!(raw.exists("/e", false));
}

#[test]
fn one_directory_serves_one_ensemble() {
    let dir = TempDir::new().unwrap();
    let first = builder().durable(dir.path()).start().unwrap();
    let busy = builder().durable(dir.path()).start().unwrap_err();
    assert!(matches!(&busy, EnsembleError::Store(StoreError::InUse(path)) if path == dir.path()));
    let mut bytes = Vec::new();
    first.snapshot(&mut bytes).unwrap();
    drop(first);
    let full = builder().durable(dir.path()).start_from(&bytes[..]).unwrap_err();
    assert!(matches!(full, EnsembleError::Store(StoreError::NotEmpty(_))));
    let other = TempDir::new().unwrap();
    drop(builder().durable(other.path()).start_from(&bytes[..]).unwrap());
    drop(builder().durable(other.path()).start().unwrap());
    std::fs::write(other.path().join("state.redb"), b"not a database at all").unwrap();
    let damaged = builder().durable(other.path()).start().unwrap_err();
    assert!(matches!(damaged, EnsembleError::Store(StoreError::Damaged(_))), "{damaged}");
}

#[test]
fn another_process_finds_the_directory_in_use() {
    let dir = TempDir::new().unwrap();
    let _ours = builder().durable(dir.path()).start().unwrap();
    let mut theirs = Server::command(dir.path(), any_addr(), Fsync::Always);
    let output = theirs.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("another ensemble keeps its state in"), "{said}");
}

/// A process that serves, killed at the latest when this is dropped.
struct Server {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

/// Tells a test binary that was started by itself what to do.
const DIR: &str = "ZK_SESSION_TEST_DURABLE_DIR";

/// A test of this file, as its binary knows it: the twin on tokio has this file as a module.
fn test_name(name: &str) -> String {
    let module = module_path!().split_once("::").map(|(_, module)| format!("{module}::"));
    module.unwrap_or_default() + name
}

impl Server {
    fn command(dir: &Path, addr: SocketAddr, fsync: Fsync) -> Command {
        Self::command_of(Command::new(std::env::current_exe().unwrap()), dir, addr, fsync)
    }

    fn command_of(mut command: Command, dir: &Path, addr: SocketAddr, fsync: Fsync) -> Command {
        command
            .args(["--exact", &test_name("serves_as_a_child"), "--nocapture"])
            .env(DIR, dir)
            .env("ADDR", addr.to_string())
            .env("FSYNC", if fsync == Fsync::Always { "always" } else { "never" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { child, lines };
        server.wait_for("serving");
        server
    }

    fn wait_for(&mut self, what: &str) -> String {
        let line = self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("the child has ended without {what:?}"))
    }
}

impl Drop for Server {
    /// SIGKILL on Unix.
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// No test of its own: what the tests here start as a process that can be killed.
#[test]
fn serves_as_a_child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let addr = std::env::var("ADDR").unwrap().parse().unwrap();
    let fsync =
        if std::env::var("FSYNC").unwrap() == "always" { Fsync::Always } else { Fsync::Never };
    let ensemble = match builder().bind(0, addr).durable(dir).fsync(fsync).start() {
        Ok(ensemble) => ensemble,
        Err(error) => {
            println!("refused: {error}");
            std::process::exit(1);
        }
    };
    println!("serving on {}", ensemble.connect_string());
    // Until our parent is gone, or has killed us, or the disk is full.
    let parent = std::thread::spawn(|| std::io::stdin().lines().count());
    while !parent.is_finished() {
        if let Some(failure) = ensemble.failure() {
            println!("failed: {failure}");
            println!("told: {}", ensemble.sessions().unwrap_err());
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn any_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A client that writes without waiting, and knows what it was told.
struct Writer {
    session: Granted,
    /// The next znode to create.
    next: u32,
    /// All znodes below this one were acknowledged.
    acknowledged: u32,
}

impl Writer {
    /// Creates numbered znodes, eight at a time, until the connection ends; counts what it is told.
    fn write_until_the_end(&mut self, addr: SocketAddr, told: &AtomicU32) {
        let Ok((mut raw, resumed)) = Raw::resume(addr, &self.session) else { return };
        assert_eq!(resumed, self.session, "a session that was granted must go on");
        self.next = self.acknowledged;
        loop {
            let mut bytes = Vec::new();
            for n in self.next..self.next + 8 {
                let mode = if n % 4 == 0 { CreateMode::Ephemeral } else { CreateMode::Persistent };
                let path = format!("/w{:x}-{n}", self.session.id.0);
                let request = Request::create(&path, path.as_bytes(), mode);
                bytes.extend(frame(Xid(i32::try_from(n).unwrap()), &request));
            }
            self.next += 8;
            if raw.stream.write_all(&bytes).is_err() {
                return;
            }
            for n in self.next - 8..self.next {
                let Ok(answer) = raw.read_frame() else { return };
                let header = ReplyHeader::read(&mut Reader::new(&answer)).unwrap();
                assert_eq!(header.xid, Xid(i32::try_from(n).unwrap()));
                // It may have been kept, but not acknowledged, before the last kill.
                assert!(matches!(header.err, 0 | -110), "{}", header.err);
                self.acknowledged = n + 1;
                told.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn check(&self, raw: &mut Raw, from: u32) {
        for n in from..self.acknowledged {
            let path = format!("/w{:x}-{n}", self.session.id.0);
            assert_eq!(raw.get(&path).as_deref(), Ok(path.as_bytes()), "acknowledged, but lost");
        }
    }
}

/// Kills a server that three clients write to, again and again.
fn kill_rounds(fsync: Fsync, rounds: u32) {
    let dir = TempDir::new().unwrap();
    let addr = any_addr();
    let mut server = Server::start(Server::command(dir.path(), addr, fsync));
    let mut writers: Vec<_> = (0..3)
        .map(|_| {
            let (_, session) = Raw::connect(addr, 60_000);
            Writer { session, next: 0, acknowledged: 0 }
        })
        .collect();
    let (mut total, mut longest) = (0, Duration::ZERO);
    for round in 0..rounds {
        let told = Arc::new(AtomicU32::new(0));
        let before: Vec<_> = writers.iter().map(|writer| writer.acknowledged).collect();
        let threads: Vec<_> = std::mem::take(&mut writers)
            .into_iter()
            .map(|mut writer| {
                let told = Arc::clone(&told);
                std::thread::spawn(move || {
                    writer.write_until_the_end(addr, &told);
                    writer
                })
            })
            .collect();
        // In mid-write, and at another point of it each time.
        let start = Instant::now();
        while told.load(Ordering::Relaxed) < 10 + round * 7 % 40 {
            assert!(start.elapsed() < PATIENCE, "nothing is acknowledged");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(u64::from(round * 7919 % 6000)));
        drop(server);
        writers = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let start = Instant::now();
        server = Server::start(Server::command(dir.path(), addr, fsync));
        longest = longest.max(start.elapsed());
        let (mut reader, _) = Raw::connect(addr, 10_000);
        for (writer, before) in writers.iter().zip(before) {
            // All of it at the end; each time what is new.
            writer.check(&mut reader, if round + 1 == rounds { 0 } else { before });
            total += writer.acknowledged - before;
        }
        reader.call(&Request::CloseSession).unwrap();
    }
    for writer in &writers {
        let (mut raw, resumed) = Raw::resume(addr, &writer.session).unwrap();
        assert_eq!(resumed, writer.session);
        writer.check(&mut raw, 0);
    }
    println!(
        "{fsync:?}: {total} writes acknowledged in {rounds} rounds, longest start {longest:?}"
    );
    assert!(total >= rounds * 10);
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_in_mid_write() {
    kill_rounds(Fsync::Always, 20);
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill_without_fsync_either() {
    kill_rounds(Fsync::Never, 8);
}

/// A limit on the size of files stands for a disk that is full: writes fail in the same way.
#[test]
#[cfg(unix)]
fn what_a_full_disk_cannot_keep_is_never_acknowledged() {
    let dir = TempDir::new().unwrap();
    let addr = any_addr();
    let mut limited = Command::new("bash");
    let script = r#"trap '' XFSZ; ulimit -f 4096; exec "$0" "$@""#; // in KiB
    limited.args(["-c", script]).arg(std::env::current_exe().unwrap());
    let mut server = Server::start(Server::command_of(limited, dir.path(), addr, Fsync::Always));
    let (mut raw, session) = Raw::connect(addr, 60_000);
    raw.create("/big", b"", CreateMode::Persistent).unwrap();
    let mut last = None;
    for n in 0..100_u8 {
        if raw.stream.write_all(&set("/big", &vec![n; 200_000])).is_err() {
            break;
        }
        let Ok(answer) = raw.read_frame() else { break };
        assert_eq!(ReplyHeader::read(&mut Reader::new(&answer)).unwrap().err, 0);
        last = Some(n);
        let path = format!("/n{n}");
        let data = vec![n; 100_000];
        let request = Request::create(&path, &data, CreateMode::Persistent);
        let Ok(Ok(_)) = raw.call_seeing(&request, &mut Vec::new()) else { break };
    }
    let last = last.expect("some fit");
    assert!(last < 99, "the disk was never full");
    assert!(raw.read_to_end().0, "the connection ends");
    let said = server.wait_for("failed: ");
    assert!(said.contains("cannot keep the state"), "{said}");
    let told = server.wait_for("told: ");
    assert!(told.contains("the ensemble has stopped serving"), "{told}");
    drop(server);

    let _again = Server::start(Server::command(dir.path(), addr, Fsync::Always));
    let (mut raw, resumed) = Raw::resume(addr, &session).unwrap();
    assert_eq!(resumed, session);
    let kept = raw.get("/big").unwrap();
    assert!(kept[0] >= last, "{} is there, {last} was acknowledged", kept[0]);
    for n in 0..last {
        assert_eq!(raw.get(&format!("/n{n}")).unwrap(), [n; 100_000]);
    }
}
