//! Whose memory it is: lent storage never allocates, owned storage settles down and never passes
//! its limits.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::{AllocationInfo, measure};
use support::{accepted, error, frame, ms, notification, pong, refused, reply, reply_header};
use zk_session::client::{ClientConfig, ClientSession, Event, InFlight, KeeperState, Link};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{Data, EventType, Reply, ReplyHeader, Request, Stat, Xid, Zxid};
use zk_session::{ErrorCode, Instant, Machine};

/// Takes and drops all events; how many there were.
fn pull(session: &mut ClientSession<'_>) -> usize {
    let mut events = 0;
    while let Some(event) = session.poll_event() {
        events += usize::from(!matches!(event, Event::WatchesLost { .. }));
    }
    events
}

fn transmit(session: &mut ClientSession<'_>, now: Instant) -> usize {
    let mut bytes = 0;
    while !session.poll_transmit().is_empty() {
        let n = session.poll_transmit().len();
        session.handle_transmitted(now, n);
        bytes += n;
    }
    bytes
}

fn dial(session: &mut ClientSession<'_>) -> Instant {
    loop {
        pull(session);
        let now = session.poll_timeout().unwrap();
        session.handle_timeout(now);
        if let Link::Dial(_) = session.poll_link() {
            session.handle_connected(now);
            transmit(session, now);
            return now;
        }
    }
}

/// What a server says in the course of [`life`], prepared beforehand.
struct Lines {
    accepted: Vec<u8>,
    refused: Vec<u8>,
    data: Vec<u8>,
    stat: Vec<u8>,
    absent: Vec<u8>,
    auth: Vec<u8>,
    event: Vec<u8>,
    pong: Vec<u8>,
    rearmed: Vec<u8>,
    oversize: Vec<u8>,
    closed: Vec<u8>,
}

impl Lines {
    fn new() -> Self {
        let data = Data { data: Some(b"128 bytes or so"), stat: Stat::default() };
        Self {
            accepted: accepted(7, 6000),
            refused: refused(),
            data: reply(Xid(1), 5, &Reply::Data(data)),
            stat: reply(Xid(2), 6, &Reply::Stat(Stat::default())),
            absent: error(Xid(3), 6, ErrorCode::NoNode),
            auth: reply_header(Xid::AUTH.0, 0, 0),
            event: notification(EventType::NodeDataChanged, "/app/a"),
            pong: pong(0),
            rearmed: reply_header(Xid::SET_WATCHES.0, 6, 0),
            oversize: frame(|w| {
                ReplyHeader { xid: Xid(5), zxid: Zxid(7), err: 0 }.write(w);
                w.raw(&[0; 5000]);
            }),
            closed: reply_header(6, 9, 0),
        }
    }
}

/// Everything that a session goes through.
fn life(session: &mut ClientSession<'_>, lines: &Lines) {
    let mut now = dial(session);
    session.handle_bytes(now, &lines.accepted);
    assert_eq!(pull(session), 1);
    for request in [
        Request::get_data("/a", true),
        Request::set_data("/a", b"new", -1),
        Request::exists("/b", true),
        Request::add_auth("digest", b"u:p"),
    ] {
        session.submit(&request).unwrap();
    }
    assert!(session.submit(&Request::exists("no path", true)).is_err());
    transmit(session, now);
    for line in [&lines.data, &lines.auth, &lines.stat, &lines.absent, &lines.event] {
        session.handle_bytes(now, line);
        assert_eq!(pull(session), 1);
    }
    // An oversize answer, in pieces.
    session.submit(&Request::get_data("/a", false)).unwrap();
    transmit(session, now);
    for part in lines.oversize.chunks(100) {
        session.handle_bytes(now, part);
        pull(session);
    }
    now = session.poll_timeout().unwrap();
    session.handle_timeout(now);
    assert_eq!(transmit(session, now), 12);
    session.handle_bytes(now, &lines.pong);
    pull(session);
    // Silence, and back again with what is to be said again.
    now = now.after(ms(4000));
    session.handle_timeout(now);
    assert_eq!(pull(session), 1);
    now = dial(session);
    session.handle_bytes(now, &lines.accepted);
    assert_eq!(pull(session), 1);
    assert!(transmit(session, now) > 12);
    session.handle_bytes(now, &lines.auth);
    session.handle_bytes(now, &lines.rearmed);
    assert_eq!((pull(session), session.watches()), (0, 1));
    session.handle_disconnected(now);
    now = dial(session);
    session.handle_bytes(now, &lines.refused);
    assert_eq!((pull(session), session.state()), (1, KeeperState::Expired));
    // A second life, closed.
    session.reopen(now);
    now = dial(session);
    session.handle_bytes(now, &lines.accepted);
    pull(session);
    session.close(now);
    transmit(session, now);
    session.handle_bytes(now, &lines.closed);
    assert_eq!((pull(session), session.state()), (1, KeeperState::Closed));
}

#[test]
fn a_whole_life_over_lent_memory_allocates_nothing() {
    let lines = Lines::new();
    let mut memory = Fixed::<512, 256, 128, 8>::new();
    let info = measure(|| {
        let config = ClientConfig::new("h1,h2,h3:2182/app", 1).timeout(ms(6000));
        let mut session =
            ClientSession::new(config, memory.lend(), Instant::from_millis(5)).unwrap();
        life(&mut session, &lines);
    });
    assert_eq!(info, AllocationInfo::default());
}

/// One round of a busy service.
fn round(session: &mut ClientSession<'_>, now: Instant, bytes: &[u8]) {
    for n in 0..16 {
        let path = if n % 2 == 0 { "/a" } else { "/some/longer/path" };
        session.submit(&Request::get_data(path, n % 3 == 0)).unwrap();
    }
    transmit(session, now);
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = session.handle_bytes(now, rest);
        rest = &rest[n..];
        pull(session);
    }
}

#[test]
fn owned_memory_settles_down() {
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let storage = Storage::owned(Limits::default());
    let mut session = ClientSession::new(config, storage, Instant::ORIGIN).unwrap();
    let greeting = accepted(7, 6000);
    let mut xid = Xid(1);
    let (mut rounds, mut now) = (Vec::new(), Instant::ORIGIN);
    for _ in 0..200 {
        let mut bytes = Vec::new();
        for n in 0..16 {
            let data = vec![7; 128 * n];
            let body = Reply::Data(Data { data: Some(&data), stat: Stat::default() });
            bytes.extend(reply(xid, 5, &body));
            xid = xid.next();
        }
        bytes.extend(notification(EventType::NodeDataChanged, "/a"));
        rounds.push(bytes);
    }
    let (warm_up, measured) = rounds.split_at(40);
    let mut run = |rounds: &[Vec<u8>]| {
        for (n, bytes) in rounds.iter().enumerate() {
            if n % 20 == 0 {
                session.handle_disconnected(now);
                now = dial(&mut session);
                session.handle_bytes(now, &greeting);
                pull(&mut session);
                transmit(&mut session, now);
            }
            round(&mut session, now, bytes);
        }
    };
    run(warm_up);
    assert_eq!(measure(|| run(measured)).count_total, 0);
}

#[test]
fn an_idle_owned_session_that_has_not_connected_has_no_heap() {
    let info = measure(|| {
        let config = ClientConfig::new("h1", 1);
        let storage = Storage::owned(Limits::default());
        let session = ClientSession::new(config, storage, Instant::ORIGIN).unwrap();
        assert!(session.poll_transmit().is_empty());
    });
    assert_eq!(info.count_total, 0);
}

/// A connected session with these limits lives through `script`; what it holds then, beside what
/// it may hold.
fn held(limits: [usize; 4], script: impl Fn(&mut ClientSession<'_>, Instant)) -> (usize, usize) {
    let [recv, transmit, registry, requests] = limits;
    let most = recv + transmit + registry + requests * size_of::<InFlight>();
    let mut limits = Limits::default();
    (limits.recv, limits.transmit) = (recv, transmit);
    (limits.registry, limits.requests) = (registry, requests);
    let greeting = accepted(7, 6000);
    let mut session = None;
    let info = measure(|| {
        let config = ClientConfig::new("h1", 1).timeout(ms(6000));
        let storage = Storage::owned(limits);
        let it = session.insert(ClientSession::new(config, storage, Instant::ORIGIN).unwrap());
        let now = dial(it);
        it.handle_bytes(now, &greeting);
        pull(it);
        script(it, now);
    });
    drop(session);
    (usize::try_from(info.bytes_current).unwrap(), most)
}

#[test]
fn owned_memory_never_passes_its_limits() {
    let flood = notification(EventType::Unknown(9), "/flood").repeat(400);
    let (held_by_replies, most) = held([5000, 49, 0, 1], |session, now| {
        let mut taken = 0;
        loop {
            let n = session.handle_bytes(now, &flood[taken..]);
            taken += n;
            if n == 0 {
                break;
            }
        }
        assert_eq!(taken, 5000);
    });
    assert!((5000..=most).contains(&held_by_replies), "{held_by_replies} of {most} bytes");

    let (held_by_requests, most) = held([41, 3001, 0, 100], |session, now| {
        let mut accepted = 0;
        while session.submit(&Request::get_data("/some/path", false)).is_ok() {
            accepted += 1;
        }
        assert!(accepted == 100 && session.poll_transmit().len() == 2700);
        session.handle_timeout(now.after(ms(2000)));
        session.close(now);
    });
    assert!((3000..=most).contains(&held_by_requests), "{held_by_requests} of {most} bytes");

    let answer = reply_header(Xid::AUTH.0, 0, 0);
    let secrets: Vec<Vec<u8>> = (10..60).map(|n| vec![b'x'; n]).collect();
    let (held_by_credentials, most) = held([49, 200, 1111, 1], |session, now| {
        for secret in &secrets {
            let _ = session.submit(&Request::add_auth("digest", secret));
            transmit(session, now);
            session.handle_bytes(now, &answer);
            pull(session);
            session.handle_bytes(now, &[]);
        }
    });
    assert!((1000..=most).contains(&held_by_credentials), "{held_by_credentials} of {most} bytes");
}

#[test]
fn a_claim_alone_takes_no_memory_that_its_bytes_do_not_need() {
    // Twenty bytes that promise 16 MiB must not make the session take all that it may.
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let storage = Storage::owned(Limits::default());
    let mut session = ClientSession::new(config, storage, Instant::ORIGIN).unwrap();
    let now = dial(&mut session);
    session.handle_bytes(now, &accepted(7, 6000));
    pull(&mut session);
    for claim in [i32::MAX, -1, 10 << 20] {
        let info = measure(|| {
            session.handle_bytes(now, &claim.to_be_bytes());
            pull(&mut session);
            if session.poll_link() == Link::Up {
                assert!(!session.poll_io().recv.is_empty());
            }
        });
        assert!(info.bytes_max < 64 << 10, "{} bytes for a length of {claim}", info.bytes_max);
        session.handle_disconnected(now);
        let now = dial(&mut session);
        session.handle_bytes(now, &accepted(7, 6000));
        pull(&mut session);
    }
}
