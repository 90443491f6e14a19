//! The relay, against an echo server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use zk_session_testkit::{Relay, ReservedPort};

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(150);

/// Echoes on any number of connections until the test process ends.
fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    addr
}

fn connect(relay: &Relay) -> TcpStream {
    let stream = TcpStream::connect(relay.addr()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn echoes(mut stream: &TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.write_all(b"ping").and_then(|()| stream.read_exact(&mut answer)).is_ok()
        && answer == *b"ping"
}

/// Whether the stream ended or was reset, rather than being merely silent.
fn is_over(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(LONG)).unwrap();
    match stream.read(&mut [0]) {
        Ok(n) => n == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

fn is_silent(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let error =
        stream.write_all(b"hey?").and_then(|()| stream.read(&mut [0])).expect_err("something came");
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn eventually(what: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if what() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn bytes_pass_both_ways_and_so_does_the_end_of_either() {
    let relay = Relay::start(echo_server()).unwrap();
    let mut stream = connect(&relay);
    let sent: Vec<u8> = (0..2_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        (&stream).read_to_end(&mut received).unwrap();
    });
    assert_eq!(sent.len(), received.len());
    assert!(sent == received);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(eventually(|| relay.connections() == 0));
}

#[test]
fn a_cut_closes_and_refuses_until_mended_on_the_same_port() {
    let relay = Relay::start(echo_server()).unwrap();
    for _ in 0..20 {
        let streams: Vec<TcpStream> = (0..5).map(|_| connect(&relay)).collect();
        assert!(streams.iter().all(echoes));
        assert_eq!(relay.connections(), 5);
        relay.cut();
        assert_eq!(relay.connections(), 0);
        assert!(streams.iter().all(is_over));
        let error = TcpStream::connect(relay.addr()).expect_err("it is cut");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        relay.mend().unwrap();
        assert!(echoes(&connect(&relay)));
        relay.cut();
        relay.cut();
        relay.mend().unwrap();
    }
}

#[test]
fn the_server_side_is_closed_by_a_cut_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::start(listener.local_addr().unwrap()).unwrap();
    let _client = connect(&relay);
    let (server, _) = listener.accept().unwrap();
    relay.cut();
    assert!(is_over(&server));
}

#[test]
fn a_black_hole_is_silent_and_mending_closes_what_was_silenced() {
    let relay = Relay::start(echo_server()).unwrap();
    let old = connect(&relay);
    assert!(echoes(&old));
    relay.blackhole().unwrap();
    assert!(is_silent(&old));
    let new = connect(&relay);
    assert!(is_silent(&new));
    assert_eq!(relay.connections(), 2);
    relay.mend().unwrap();
    assert!(is_over(&old) && is_over(&new));
    assert!(echoes(&connect(&relay)));
}

#[test]
fn closing_is_not_heard_through_a_black_hole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::start(listener.local_addr().unwrap()).unwrap();
    let client = connect(&relay);
    let (mut server, _) = listener.accept().unwrap();
    assert!(eventually(|| relay.connections() == 1));
    relay.blackhole().unwrap();
    drop(client);
    server.set_read_timeout(Some(SHORT)).unwrap();
    assert!(server.read(&mut [0]).is_err(), "the end came through");
    relay.mend().unwrap();
    assert!(is_over(&server));
}

#[test]
fn a_black_hole_can_follow_a_cut_and_a_cut_a_black_hole() {
    let relay = Relay::start(echo_server()).unwrap();
    relay.cut();
    relay.blackhole().unwrap();
    let stream = connect(&relay);
    assert!(is_silent(&stream));
    relay.cut();
    assert!(is_over(&stream));
    assert!(TcpStream::connect(relay.addr()).is_err());
}

#[test]
fn a_dead_target_closes_the_client() {
    let nobody = ReservedPort::new().unwrap();
    let relay = Relay::start(nobody.addr()).unwrap();
    assert!(is_over(&connect(&relay)));
    assert!(eventually(|| relay.connections() == 0));
}

#[test]
fn a_cut_does_not_wait_for_a_peer_that_does_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::start(listener.local_addr().unwrap()).unwrap();
    let mut client = connect(&relay);
    let (_server, _) = listener.accept().unwrap();
    client.set_write_timeout(Some(SHORT)).unwrap();
    while client.write_all(&[0; 65_536]).is_ok() {} // until every buffer on the way is full
    let started = Instant::now();
    relay.cut();
    assert!(started.elapsed() < LONG);
    assert!(eventually(|| relay.connections() == 0));
}

#[test]
fn dropping_closes_everything() {
    let relay = Relay::start(echo_server()).unwrap();
    let (addr, stream) = (relay.addr(), connect(&relay));
    assert!(echoes(&stream));
    drop(relay);
    assert!(is_over(&stream));
    assert!(TcpStream::connect(addr).is_err());
}

/// Runs alone in its process, as it counts the process' threads.
#[test]
fn no_thread_is_left() {
    const ALONE: &str = "ZK_SESSION_TESTKIT_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let exe = std::env::current_exe().unwrap();
        let mut alone = std::process::Command::new(exe);
        let status = alone.args(["--exact", "no_thread_is_left"]).env(ALONE, "1").output().unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let before = threads();
    let relay = Relay::start(listener.local_addr().unwrap()).unwrap();
    for _ in 0..50 {
        let _pair = (connect(&relay), listener.accept().unwrap());
        relay.blackhole().unwrap();
        let _silent = connect(&relay);
        relay.mend().unwrap();
    }
    drop(relay);
    // One that was joined may linger in /proc.
    assert!(eventually(|| threads() == before), "{} threads, {before} before", threads());
}

#[test]
fn a_lag_holds_both_directions_back() {
    let relay = Relay::start(echo_server()).unwrap();
    let stream = connect(&relay);
    assert!(echoes(&stream));
    let lag = Duration::from_millis(60);
    relay.lag(lag);
    let start = Instant::now();
    assert!(echoes(&stream));
    assert!(start.elapsed() >= 2 * lag, "{:?}", start.elapsed());
    relay.lag(Duration::ZERO);
    assert!(echoes(&stream) && echoes(&stream));
}

#[test]
fn split_bytes_arrive_whole() {
    let relay = Relay::start(echo_server()).unwrap();
    let mut stream = connect(&relay);
    relay.split(3);
    let said: Vec<u8> = (0..1000_u32).map(|n| (n % 251) as u8).collect();
    stream.write_all(&said).unwrap();
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, said);
    relay.split(0);
    assert!(echoes(&stream));
}
