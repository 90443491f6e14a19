//! Servers that give a session and then talk nonsense: each answer is right or an error, and the
//! session goes on as long as it can.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "support/hostile.rs"]
mod hostile;
mod support;

use std::io::{ErrorKind as Io, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hostile::{Asked, PING, Peer, Server, event, framed, played, reply};
use support::{resident, soon, until};
use tokio::time::{Instant, sleep};
use zk_session_tokio::{
    Client, CreateMode, Error, ErrorKind, EventType, KeeperState, OpError, WatchEvent,
};

const MILLIS: i32 = 1500;
const TIMEOUT: Duration = Duration::from_millis(1500);

async fn connect(server: &Server) -> Client {
    Client::builder(server.hosts()).timeout(TIMEOUT).connect().await.unwrap()
}

/// A znode's metadata of nothing but zeros.
const STAT: [u8; 68] = [0; 68];

const SYNC: i32 = 9;
const ADD_WATCH: i32 = 106;

/// Answers what needs no thought, and hands over the rest.
fn serve(peer: &mut Peer, mut rest: impl FnMut(&mut Peer, Asked) -> std::io::Result<()>) {
    let served = (|| -> std::io::Result<()> {
        peer.accept(1, MILLIS)?;
        loop {
            let asked = peer.asked()?;
            match (asked.xid, asked.op) {
                (PING, _) => peer.reply(PING, 0, 0, &[])?,
                // The path, which is `/`.
                (xid, SYNC) => peer.reply(xid, 1, 0, &[0, 0, 0, 1, b'/'])?,
                _ => rest(peer, asked)?,
            }
        }
    })();
    drop(served); // the client has closed it
}

#[test]
fn an_answer_with_a_body_of_nonsense_fails_its_request_and_no_other() {
    // Lengths and counts that are null, negative, far too large, or larger than what follows.
    let huge = |n: i32| [&n.to_be_bytes()[..], &[1; 40]].concat();
    let bodies: Arc<Vec<Vec<u8>>> = Arc::new(vec![
        Vec::new(),
        vec![0],
        vec![0xff; 3],
        huge(i32::MAX),
        huge(i32::MIN),
        huge(-2),
        huge(100),
        [&huge(1), &huge(i32::MAX)[..]].concat(),
        [&[0, 0, 0, 1][..], &[0, 0, 0, 1, 0xff], &STAT].concat(),
        vec![0xff; 1000],
    ]);
    let (told, next) = (bodies.clone(), AtomicUsize::new(0));
    let server = Server::start(move |peer, _| {
        serve(peer, |peer, asked| {
            let body = &told[next.fetch_add(1, Ordering::SeqCst) % told.len()];
            peer.reply(asked.xid, 1, 0, body)
        });
        Ok(())
    });
    played(Duration::from_secs(2), async || {
        let client = connect(&server).await;
        let mut failed = 0;
        for _ in 0..bodies.len() {
            // One after the other, so that every body comes to each of the eleven.
            let results: [Result<(), Error>; 11] = [
                client.get("/a").await.map(drop),
                client.exists("/a").await.map(drop),
                client.children("/a").await.map(drop),
                client.acl("/a").await.map(drop),
                client.create("/a", b"").await.map(drop),
                client.create("/a", b"").with_stat().await.map(drop),
                client.set("/a", b"").await.map(drop),
                client.ephemerals("/").await.map(drop),
                client.who_am_i().await.map(drop),
                client.transaction().create("/a", b"", CreateMode::Persistent).await.map(drop),
                client.multi_read().get("/a").children("/a").await.map(drop),
            ];
            for error in results.into_iter().filter_map(Result::err) {
                let malformed = matches!(error.kind, ErrorKind::Op(OpError::Malformed(_)));
                assert!(malformed || error.kind == ErrorKind::UnexpectedAnswer, "{error:?}");
                assert!(error.op.is_some());
                failed += 1;
            }
            soon(client.sync("/")).await.unwrap();
        }
        assert!(failed > 6 * bodies.len(), "{failed} failed");
        assert_eq!(client.state(), KeeperState::SyncConnected);
        assert_eq!(server.accepted(), 1, "on one connection");
    });
}

#[test]
fn what_nobody_asked_for_changes_nothing_that_was_asked_for() {
    let oddities: Vec<(&str, Vec<u8>)> = vec![
        ("an event at a path that nobody watches", event(3, 3, b"/nobody")),
        ("an event of a type that does not exist", event(99, 3, b"/a")),
        ("an event in a state that does not exist", event(3, 99, b"/a")),
        ("an event at no path", event(3, 3, b"")),
        ("an event at what is no path", event(3, 3, b"a//b\0")),
        ("an event at what is no text", event(3, 3, b"/\xff\xfe")),
        ("an event that is cut short", reply(-1, -1, 0, &[0, 0, 0, 3])),
        ("an event of another time", reply(-1, i64::MIN, 0, &event(3, 3, b"/a")[20..])),
        ("a pong that was not pinged", reply(-2, 0, 0, &[])),
        ("many pongs", reply(-2, 0, 0, &[]).repeat(1000)),
        ("a word on watches", reply(-8, 0, 0, &[])),
    ];
    for (what, bytes) in oddities {
        let server = Server::start(move |peer, _| {
            let bytes = bytes.clone();
            serve(peer, |peer, asked| match asked.op {
                ADD_WATCH => peer.reply(asked.xid, 1, 0, &[0; 4]),
                _ => {
                    peer.0.write_all(&bytes)?;
                    let data = [&[0, 0, 0, 1, b'x'][..], &STAT].concat();
                    peer.reply(asked.xid, 1, 0, &data)
                }
            });
            Ok(())
        });
        played(Duration::from_secs(1), async || {
            let client = connect(&server).await;
            let mut transitions = client.transitions();
            let mut watch = client.watch("/mine").await.unwrap();
            let (first, second) = (client.get("/a").send(), client.get("/b").send());
            for answer in [first, second] {
                match soon(answer).await {
                    Ok(node) => assert_eq!(node.data, "x", "{what}"),
                    // What cannot be understood costs the connection, with the answers on it.
                    Err(error) => assert!(error.is_connection_loss(), "{what}: {error}"),
                }
            }
            let lost = tokio::time::timeout(Duration::from_millis(20), transitions.next()).await;
            match lost {
                Err(_) => assert_eq!(watch.try_next(), None, "{what}"),
                Ok(lost) => assert_eq!(lost.unwrap().state, KeeperState::Disconnected, "{what}"),
            }
            assert!(!client.state().is_final(), "{what}");
            let Some(pings) = client.pings().sent.checked_sub(client.pings().answered) else {
                panic!("{what}: more pongs than pings")
            };
            assert!(pings <= 1, "{what}");
        });
    }
}

#[test]
fn an_answer_to_another_request_or_none_is_never_taken_for_the_right_one() {
    type Wrong = fn(i32) -> Vec<u8>;
    let wrong: [(&str, Wrong); 5] = [
        ("the next one's", |xid| reply(xid + 1, 1, 0, &[0, 0, 0, 1, b'x'])),
        ("an old one's", |xid| reply(xid - 1, 1, 0, &[0, 0, 0, 1, b'x'])),
        ("nobody's", |_| reply(i32::MAX, 1, 0, &[0, 0, 0, 1, b'x'])),
        ("nobody's either", |_| reply(i32::MIN, 1, 0, &[0, 0, 0, 1, b'x'])),
        ("the right one twice", |xid| {
            [reply(xid, 1, -101, &[]), reply(xid, 1, -101, &[])].concat()
        }),
    ];
    for (what, answer) in wrong {
        let server = Server::start(move |peer, _| {
            serve(peer, |peer, asked| peer.0.write_all(&answer(asked.xid)));
            Ok(())
        });
        played(Duration::from_secs(1), async || {
            let client = connect(&server).await;
            let mut transitions = client.transitions();
            let error = soon(client.get("/a")).await.unwrap_err();
            assert!(error.is_connection_loss() || error.is_no_node(), "{what}: {error}");
            until(&mut transitions, KeeperState::Disconnected).await;
            until(&mut transitions, KeeperState::SyncConnected).await;
        });
    }
}

/// Marsaglia's xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn random_bytes_in_place_of_answers_end_in_errors() {
    let seed = Arc::new(AtomicUsize::new(1));
    let seeds = seed.clone();
    let server = Server::start(move |peer, _| {
        let seed = seeds.fetch_add(1, Ordering::SeqCst) as u64;
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        peer.accept(1, MILLIS)?;
        loop {
            let asked = peer.asked()?;
            let len = dice.roll() % 200;
            let noise: Vec<u8> = (0..len).map(|_| (dice.roll() >> 32) as u8).collect();
            // Bare, in a frame, or in a frame with the right number.
            peer.0.write_all(&match dice.roll() % 3 {
                0 => noise,
                1 => framed(&noise),
                _ => framed(&[&asked.xid.to_be_bytes()[..], &noise].concat()),
            })?;
        }
    });
    played(Duration::from_secs(3), async || {
        let client = connect(&server).await;
        let (mut asked, until) = (0, Instant::now() + Duration::from_secs(3));
        while Instant::now() < until && !client.state().is_final() {
            let requests = [
                client.get("/a").deadline(TIMEOUT / 4).send(),
                client.get("/b").deadline(TIMEOUT / 4).send(),
            ];
            for request in requests {
                drop(soon(request).await);
                asked += 1;
            }
        }
        assert!(asked > 10, "{asked}");
    });
    assert!(server.accepted() > 3 && server.accepted() < 60, "{}", server.accepted());
}

#[test]
fn k11_a_flood_of_events_holds_up_neither_requests_nor_pings_and_takes_no_memory() {
    // Long, so that a socket's buffer of them is soon seen through, even by a debug build.
    let watched = format!("/watched{}", "x".repeat(200));
    let other = format!("/a/path/that/nobody/has/ever/seen{}", "x".repeat(200));
    let one = [event(3, 3, watched.as_bytes()), event(3, 3, other.as_bytes())].concat();
    let over = Arc::new(AtomicBool::new(false));
    let end = over.clone();
    let server = Server::start(move |peer, _| {
        peer.accept(1, MILLIS)?;
        let flood = one.repeat(200);
        let (mut came, mut bytes) = (Vec::new(), [0; 4096]);
        while !end.load(Ordering::SeqCst) {
            peer.0.write_all(&flood)?;
            peer.0.set_nonblocking(true)?;
            let read = peer.0.read(&mut bytes);
            peer.0.set_nonblocking(false)?;
            match read {
                Ok(0) => return Ok(()),
                Ok(n) => came.extend_from_slice(&bytes[..n]),
                Err(error) if error.kind() == Io::WouldBlock => {}
                Err(error) => return Err(error),
            }
            while let Some(len) = came.first_chunk::<4>() {
                let len = 4 + usize::try_from(u32::from_be_bytes(*len)).unwrap();
                let Some(frame) = came.get(4..len) else { break };
                let number = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                let answer = match (number(0), number(4)) {
                    (PING, _) => reply(PING, 0, 0, &[]),
                    (xid, ADD_WATCH) => reply(xid, 1, 0, &[0; 4]),
                    (xid, _) => reply(xid, 1, 0, &[&[0, 0, 0, 1, b'x'][..], &STAT].concat()),
                };
                peer.0.write_all(&answer)?;
                came.drain(..len);
            }
        }
        peer.wait_for_the_end()
    });
    // It is a flood: it takes a processor for as long as it lasts.
    played(Duration::from_secs(10), async || {
        let client = connect(&server).await;
        let mut watch = client.watch(&watched).buffer(1000).await.unwrap();
        // What is to be held is held by now.
        sleep(Duration::from_millis(300)).await;
        let (before, began) = (resident(), Instant::now());
        let (mut slowest, mut latest) = (Duration::ZERO, Duration::ZERO);
        while began.elapsed() < Duration::from_secs(1) {
            let asked = Instant::now();
            assert_eq!(soon(client.get("/a")).await.unwrap().data, "x");
            slowest = slowest.max(asked.elapsed());
            // Nor does it hold up what else the runtime has to do.
            let due = Instant::now() + Duration::from_millis(1);
            tokio::time::sleep_until(due).await;
            latest = latest.max(due.elapsed());
        }
        assert!(slowest < TIMEOUT && latest < TIMEOUT, "{slowest:?} {latest:?}");
        // Nothing is asked for longer than the session can live without a ping.
        let pinged = client.pings();
        sleep(TIMEOUT * 3 / 2).await;
        let pings = client.pings();
        assert!(pings.answered >= pinged.answered + 3, "{pinged:?} {pings:?}");
        assert!(pings.last_round_trip.unwrap() < TIMEOUT, "{pings:?}");
        let grown = resident().saturating_sub(before);
        assert!(grown < 8 << 20, "{grown} bytes");
        assert_eq!(client.state(), KeeperState::SyncConnected);
        over.store(true, Ordering::SeqCst);
        let mut kept = 0;
        let missed = loop {
            match soon(watch.next()).await.unwrap() {
                WatchEvent::Changed { kind: EventType::NodeDataChanged, path } => {
                    assert_eq!(&*path, watched);
                    kept += 1;
                }
                WatchEvent::Missed(missed) => break missed,
                other => panic!("{other:?}"),
            }
        };
        assert!(kept == 1000 && missed > 10_000, "{kept} kept, {missed} missed");
    });
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_watch_whose_answer_cannot_be_read_is_removed() {
    const GET: i32 = 4;
    const REMOVE_WATCHES: i32 = 18;
    let removed = Arc::new(AtomicUsize::new(0));
    let counted = removed.clone();
    let server = Server::start(move |peer, _| {
        serve(peer, |peer, asked| {
            match asked.op {
                // A success, which arms the watch, with metadata that is cut off.
                GET => return peer.reply(asked.xid, 1, 0, &[0, 0, 0, 1, 7, 0, 0]),
                REMOVE_WATCHES => counted.fetch_add(1, Ordering::SeqCst),
                _ => 0,
            };
            peer.reply(asked.xid, 1, 0, &[])
        });
        Ok(())
    });
    played(Duration::from_millis(400), async || {
        let client = connect(&server).await;
        let error = soon(client.get("/a").watch()).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Op(OpError::Malformed(_))), "{error}");
        soon(async {
            while removed.load(Ordering::SeqCst) == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        soon(client.sync("/")).await.unwrap();
        assert_eq!(removed.load(Ordering::SeqCst), 1);
    });
}
