//! The embedded ensemble over real sockets: what stop, start, cut and expire do, and that a bad
//! client costs only its own connection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by failing")]

mod ensemble_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ensemble_support::{Granted, PATIENCE, Raw, frame};
use zk_session::wire::{CreateMode, Reader, ReplyHeader, Request, SessionId, Xid};
use zk_session_std::EmbeddedEnsemble;

const DELETED: i32 = 2;

fn start(servers: usize) -> EmbeddedEnsemble {
    let tick = Duration::from_millis(500);
    EmbeddedEnsemble::builder().servers(servers).tick(tick).start().unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not so within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_session_creates_and_gets_through_any_server() {
    let ensemble = start(3);
    let (mut first, granted) = Raw::connect(ensemble.addr(0), 4000);
    assert_eq!(granted.timeout, 4000);
    assert_ne!(granted.passwd, [0; 16]);
    first.create("/a", b"hello", CreateMode::Persistent).unwrap();
    assert_eq!(first.create("/a", b"", CreateMode::Persistent), Err(-110));
    for i in 0..3 {
        let (mut other, _) = Raw::connect(ensemble.addr(i), 4000);
        assert_eq!(other.get("/a").unwrap(), b"hello");
        assert_eq!(other.get("/b"), Err(-101));
        other.ping().unwrap();
    }
    assert_eq!(ensemble.server_of(granted.id).unwrap(), Some(0));
    assert_eq!(ensemble.sessions().unwrap().len(), 4);
}

#[test]
fn timeouts_are_granted_within_the_bounds_asked_for() {
    let ensemble = start(1);
    assert_eq!(Raw::connect(ensemble.addr(0), 1).1.timeout, 1000);
    assert_eq!(Raw::connect(ensemble.addr(0), 60_000).1.timeout, 10_000);
    let ensemble = EmbeddedEnsemble::builder()
        .min_session_timeout(Duration::from_millis(50))
        .max_session_timeout(Duration::from_millis(70))
        .start()
        .unwrap();
    assert_eq!(Raw::connect(ensemble.addr(0), 1).1.timeout, 50);
    assert_eq!(Raw::connect(ensemble.addr(0), 60_000).1.timeout, 70);
}

#[test]
fn a_session_moves_to_another_server_when_its_own_is_stopped() {
    let ensemble = start(3);
    let (mut raw, granted) = Raw::connect(ensemble.addr(0), 10_000);
    raw.create("/e", b"", CreateMode::Ephemeral).unwrap();
    ensemble.stop(0).unwrap();
    assert!(raw.is_closed());
    assert_eq!(ensemble.server_of(granted.id).unwrap(), None);
    assert!(Raw::dial(ensemble.addr(0)).is_err(), "connects are refused");

    let (mut raw, resumed) = Raw::resume(ensemble.addr(1), &granted).unwrap();
    assert_eq!(resumed, granted);
    assert!(raw.exists("/e", false));
    assert_eq!(ensemble.server_of(granted.id).unwrap(), Some(1));
    let session = ensemble.sessions().unwrap()[0];
    assert_eq!((session.ephemerals, session.timeout), (1, Duration::from_secs(10)));

    ensemble.start(0).unwrap();
    let (mut back, resumed) = Raw::resume(ensemble.addr(0), &granted).unwrap();
    assert_eq!(resumed.id, granted.id);
    assert!(back.exists("/e", false));
    assert_eq!(ensemble.server_of(granted.id).unwrap(), Some(0));
}

#[test]
fn a_server_stops_and_starts_again_and_again_on_the_same_port() {
    let ensemble = start(2);
    let addr = ensemble.addr(0);
    for _ in 0..20 {
        let clients: Vec<_> = (0..5).map(|_| Raw::connect(addr, 4000)).collect();
        ensemble.stop(0).unwrap();
        ensemble.stop(0).unwrap();
        assert!(TcpStream::connect(addr).is_err());
        for (mut raw, _) in clients {
            assert!(raw.is_closed());
        }
        ensemble.start(0).unwrap();
        ensemble.start(0).unwrap();
        assert_eq!(ensemble.addr(0), addr);
    }
    assert_eq!(ensemble.sessions().unwrap().len(), 100);
    for bad in [ensemble.stop(2), ensemble.start(2), ensemble.cut(usize::MAX)] {
        assert_eq!(bad.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_cut_drops_connections_and_lets_them_come_back_at_once() {
    let ensemble = start(2);
    let (mut cut, granted) = Raw::connect(ensemble.addr(0), 4000);
    let (mut other, _) = Raw::connect(ensemble.addr(1), 4000);
    let mut silent = Raw::dial(ensemble.addr(0)).unwrap();
    ensemble.cut(0).unwrap();
    assert!(cut.is_closed());
    assert!(silent.is_closed());
    other.ping().unwrap();
    let (mut raw, resumed) = Raw::resume(ensemble.addr(0), &granted).unwrap();
    assert_eq!(resumed, granted);
    raw.ping().unwrap();
    ensemble.stop(0).unwrap();
    ensemble.cut(0).unwrap();
    assert!(Raw::dial(ensemble.addr(0)).is_err(), "a cut does not start a stopped server");
}

#[test]
fn an_expired_session_loses_its_connection_and_its_ephemerals() {
    let ensemble = start(2);
    let (mut owner, granted) = Raw::connect(ensemble.addr(0), 10_000);
    let (mut watcher, _) = Raw::connect(ensemble.addr(1), 10_000);
    owner.create("/e", b"", CreateMode::Ephemeral).unwrap();
    assert!(watcher.exists("/e", true));
    assert!(ensemble.expire(granted.id).unwrap());
    assert_eq!(watcher.event(), (DELETED, "/e".into()));
    assert!(!watcher.exists("/e", false));
    assert!(owner.is_closed());
    assert!(!ensemble.expire(granted.id).unwrap());
    assert!(!ensemble.expire(SessionId(42)).unwrap());
    let (mut raw, refused) = Raw::resume(ensemble.addr(1), &granted).unwrap();
    assert_eq!((refused.timeout, refused.id), (0, SessionId::NONE));
    assert!(raw.is_closed(), "and closed after the refusal");
}

#[test]
fn a_silent_session_expires_and_a_pinging_one_does_not() {
    let ensemble = EmbeddedEnsemble::builder()
        .tick(Duration::from_millis(50))
        .min_session_timeout(Duration::from_millis(100))
        .start()
        .unwrap();
    let (mut owner, granted) = Raw::connect(ensemble.addr(0), 100);
    owner.create("/e", b"", CreateMode::Ephemeral).unwrap();
    let (mut watcher, _) = Raw::connect(ensemble.addr(0), 400);
    assert!(watcher.exists("/e", true));
    let start = Instant::now();
    for _ in 0..10 {
        owner.ping().unwrap();
        std::thread::sleep(Duration::from_millis(30));
    }
    assert!(watcher.exists("/e", false));
    owner.ping().unwrap();
    let silent = Instant::now();
    assert_eq!(watcher.event(), (DELETED, "/e".into()));
    let lived = silent.elapsed();
    assert!(lived >= Duration::from_millis(99), "{lived:?}");
    assert!(lived < Duration::from_millis(400), "{lived:?}");
    assert!(start.elapsed() > Duration::from_millis(300));
    assert!(owner.is_closed());
    assert_eq!(ensemble.server_of(granted.id).unwrap(), None);
}

#[test]
fn closing_a_session_answers_before_the_connection_ends() {
    let ensemble = start(1);
    for _ in 0..200 {
        let (mut raw, _) = Raw::connect(ensemble.addr(0), 4000);
        raw.create("/e", b"", CreateMode::Ephemeral).unwrap();
        // What follows a closeSession is never read; that must not destroy its answer.
        let mut bytes = frame(Xid(7), &Request::CloseSession);
        bytes.extend(frame(Xid(8), &Request::exists("/e", false)).repeat(2000));
        let _ = raw.stream.write_all(&bytes);
        let answer = raw.read_frame().unwrap();
        let header = ReplyHeader::read(&mut Reader::new(&answer)).unwrap();
        assert_eq!((header.xid, header.err), (Xid(7), 0));
        assert!(raw.read_to_end().0);
    }
    assert_eq!(ensemble.sessions().unwrap().len(), 0);
}

#[test]
fn garbage_costs_only_its_own_connection() {
    let ensemble = start(1);
    let (mut good, _) = Raw::connect(ensemble.addr(0), 10_000);
    good.create("/a", b"x", CreateMode::Persistent).unwrap();
    let noise: Vec<u8> =
        (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let frames: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xff; 64],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0, 0, 0, 0],
        &[0, 0, 0, 4, 1, 2, 3, 4],
        &noise,
    ];
    for bytes in frames {
        let mut before = Raw::dial(ensemble.addr(0)).unwrap();
        let _ = before.stream.write_all(bytes); // it may be closed half way
        assert!(before.read_to_end().0, "{:02x?}", &bytes[..4]);
        good.ping().unwrap();
    }
    for bytes in [&[0xff; 64][..], &[0, 0, 0, 0], &[0, 0, 0, 2, 1, 1], &noise] {
        let (mut after, granted) = Raw::connect(ensemble.addr(0), 10_000);
        let _ = after.stream.write_all(bytes);
        assert!(after.read_to_end().0, "{:02x?}", &bytes[..4]);
        assert_eq!(good.get("/a").unwrap(), b"x");
        assert_eq!(ensemble.server_of(granted.id).unwrap(), None);
        let (mut again, resumed) = Raw::resume(ensemble.addr(0), &granted).unwrap();
        assert_eq!(resumed.id, granted.id, "the session outlives its bad connection");
        again.ping().unwrap();
    }
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let ensemble = start(1);
    let (mut raw, _) = Raw::connect(ensemble.addr(0), 10_000);
    for byte in frame(Xid(1), &Request::create("/a", b"slow", CreateMode::Persistent)) {
        raw.stream.write_all(&[byte]).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    raw.read_frame().unwrap();
    assert_eq!(raw.get("/a").unwrap(), b"slow");
}

#[test]
fn two_hundred_connections_at_once() {
    let ensemble = start(3);
    let addrs = ensemble.addrs().to_vec();
    let clients: Vec<_> = (0..200)
        .map(|i| {
            let addr = addrs[i % 3];
            std::thread::spawn(move || {
                let (mut raw, granted) = Raw::connect(addr, 10_000);
                let path = format!("/n{i}");
                raw.create(&path, path.as_bytes(), CreateMode::Ephemeral).unwrap();
                assert_eq!(raw.get(&path).unwrap(), path.as_bytes());
                (raw, granted)
            })
        })
        .collect();
    let clients: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let sessions = ensemble.sessions().unwrap();
    assert_eq!(sessions.len(), 200);
    assert!(sessions.iter().all(|session| session.server.is_some() && session.ephemerals == 1));
    for i in 0..3 {
        ensemble.cut(i).unwrap();
    }
    assert!(ensemble.sessions().unwrap().iter().all(|session| session.server.is_none()));
    for (i, (mut raw, granted)) in clients.into_iter().enumerate() {
        assert!(raw.is_closed());
        let (mut raw, resumed) = Raw::resume(addrs[(i + 1) % 3], &granted).unwrap();
        assert_eq!(resumed.id, granted.id);
        assert!(raw.exists(&format!("/n{i}"), false));
    }
}

#[test]
fn dropping_it_frees_the_ports_and_closes_the_connections() {
    let ensemble = start(3);
    let addrs: Vec<SocketAddr> = ensemble.addrs().to_vec();
    let mut clients: Vec<_> = addrs.iter().map(|addr| Raw::connect(*addr, 4000).0).collect();
    ensemble.stop(2).unwrap();
    drop(ensemble);
    for client in &mut clients {
        assert!(client.is_closed());
    }
    for addr in addrs {
        assert!(TcpStream::connect(addr).is_err());
        drop(TcpListener::bind(addr).unwrap());
        EmbeddedEnsemble::builder().bind(0, addr).start().unwrap().shutdown();
    }
}

#[test]
fn a_port_in_use_is_an_error_and_so_is_nonsense() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let builder = EmbeddedEnsemble::builder().bind(1, taken.local_addr().unwrap());
    assert_eq!(builder.start().unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let builder = EmbeddedEnsemble::builder;
    let hour = Duration::from_secs(3600);
    for bad in [
        builder().servers(0),
        builder().servers(256),
        builder().tick(Duration::ZERO),
        builder().min_session_timeout(hour),
    ] {
        assert_eq!(bad.start().unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_client_that_never_reads_costs_only_itself() {
    let ensemble = start(1);
    let (mut good, _) = Raw::connect(ensemble.addr(0), 10_000);
    good.create("/big", &vec![7; 500_000], CreateMode::Persistent).unwrap();
    let (bad, granted) = Raw::connect(ensemble.addr(0), 1000);
    bad.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let many = frame(Xid(1), &Request::get_data("/big", false)).repeat(1000);
    let writer = std::thread::spawn(move || {
        let mut stream = bad.stream;
        while stream.write_all(&many).is_ok() {}
        stream
    });
    for _ in 0..50 {
        let asked = Instant::now();
        good.ping().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(10));
    }
    let stream = writer.join().unwrap();
    wait_until("the bad client's session has no connection", || {
        good.ping().unwrap();
        ensemble.server_of(granted.id).unwrap().is_none()
    });
    assert_eq!(good.get("/big").unwrap().len(), 500_000);
    drop(stream);
}

#[test]
fn a_busy_connection_does_not_starve_another() {
    let ensemble = start(1);
    let (mut quiet, _) = Raw::connect(ensemble.addr(0), 10_000);
    quiet.create("/a", &[1; 128], CreateMode::Persistent).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stop = std::sync::Arc::new(stop);
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let (raw, _) = Raw::connect(ensemble.addr(0), 10_000);
            let many = frame(Xid(1), &Request::get_data("/a", false)).repeat(2000);
            let mut reader = raw.stream.try_clone().unwrap();
            let reading = std::thread::spawn(move || {
                let (mut chunk, mut total) = ([0; 65536], 0);
                while let Ok(n @ 1..) = reader.read(&mut chunk) {
                    total += n;
                }
                total
            });
            let (mut stream, stop) = (raw.stream, stop.clone());
            let writing = std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    stream.write_all(&many).unwrap();
                }
                stream.shutdown(std::net::Shutdown::Both).unwrap();
            });
            (reading, writing)
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..30 {
        let asked = Instant::now();
        quiet.ping().unwrap();
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for (reading, writing) in busy {
        writing.join().unwrap();
        let bytes = reading.join().unwrap();
        assert!(bytes > 100_000, "{bytes} bytes of replies");
    }
    println!("slowest of 30 pings beside two flooding connections: {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[test]
fn a_peer_that_ends_its_stream_still_gets_its_replies() {
    let ensemble = start(1);
    let (mut raw, granted) = Raw::connect(ensemble.addr(0), 10_000);
    let bytes = frame(Xid(1), &Request::create("/a", b"", CreateMode::Persistent));
    raw.stream.write_all(&bytes).unwrap();
    raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = raw.read_frame().unwrap();
    assert_eq!(ReplyHeader::read(&mut Reader::new(&answer)).unwrap().err, 0);
    assert!(raw.is_closed());
    wait_until("the connection is forgotten", || ensemble.server_of(granted.id).unwrap().is_none());
}

#[test]
fn nobody_guesses_a_password_unless_the_seed_is_known() {
    let granted = |seed: Option<u64>| -> Granted {
        let builder = EmbeddedEnsemble::builder();
        let builder = match seed {
            Some(seed) => builder.seed(seed),
            None => builder,
        };
        let ensemble = builder.start().unwrap();
        Raw::connect(ensemble.addr(0), 10_000).1
    };
    assert_ne!(granted(None).passwd, granted(None).passwd);
    let ensemble = start(1);
    let (_raw, session) = Raw::connect(ensemble.addr(0), 10_000);
    let forged = Granted { passwd: [1; 16], ..session };
    let (mut raw, refused) = Raw::resume(ensemble.addr(0), &forged).unwrap();
    assert_eq!(refused.timeout, 0);
    assert!(raw.is_closed());
}
