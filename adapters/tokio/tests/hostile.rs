//! Servers that accept and do not serve: nothing hangs, nothing storms, nothing is left.
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

use std::io::Write;
use std::thread;
use std::time::Duration;

use hostile::{PING, Server, accepted, played};
use support::{ensemble, soon, until};
use tokio::time::{Instant, sleep};
use zk_session::DisconnectReason;
use zk_session::client::ExpiryReason;
use zk_session_testkit::Relay;
use zk_session_tokio::{Cause, Client, ClientBuilder, ErrorKind, KeeperState, OpError};

const TIMEOUT: Duration = Duration::from_millis(900);
const MILLIS: i32 = 900;

/// What a client that mostly waits may take: it has no business with the processor.
const LITTLE: Duration = Duration::from_millis(400);

fn builder(server: &Server) -> ClientBuilder {
    Client::builder(server.hosts()).timeout(TIMEOUT)
}

/// Waits until the server knows of so many open connections.
async fn open(server: &Server, wanted: usize) {
    soon(async {
        while server.open() != wanted {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[test]
fn a_live_session_whose_server_only_closes_meets_it_at_its_own_pace_until_it_is_surely_expired() {
    let server = Server::start(|peer, before| match before {
        0 => {
            peer.accept(1, MILLIS)?;
            thread::sleep(Duration::from_millis(50));
            Ok(())
        }
        _ => Ok(()),
    });
    played(LITTLE, async || {
        let began = Instant::now();
        let client = builder(&server).expire_locally().connect().await.unwrap();
        let mut transitions = client.transitions();
        let waiting = client.get("/a").send();
        let end = until(&mut transitions, KeeperState::Expired).await;
        // Known without a server: the timeout and four fifths of it after the last word.
        assert_eq!(end.cause, Cause::Expired(ExpiryReason::LocallyCertain));
        let took = began.elapsed();
        assert!(took >= TIMEOUT * 9 / 5 && took < TIMEOUT * 9 / 5 + 2 * TIMEOUT, "{took:?}");
        let error = soon(waiting).await.unwrap_err();
        assert!(error.is_session_over() || error.is_connection_loss(), "{error}");
    });
    let attempts = server.accepted();
    assert!((5..60).contains(&attempts), "{attempts} attempts");
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_left_when_the_attempts_time_is_up() {
    let server = Server::start(|peer, _| peer.wait_for_the_end());
    played(LITTLE, async || {
        let connect_timeout = Duration::from_millis(2500);
        let (client, mut transitions) = builder(&server).start_told().unwrap();
        let error = client.wait_connected(connect_timeout).await.unwrap_err();
        let last = Some((server.hosts(), DisconnectReason::ConnectTimeout));
        assert_eq!(error.kind, ErrorKind::ConnectTimeout { last, detail: None });
        assert!(server.open() <= 1, "{} are open", server.open());
        drop(client);
        assert_eq!(until(&mut transitions, KeeperState::Closed).await.number, 1);
        open(&server, 0).await;
    });
    let attempts = server.accepted();
    assert!((2..=4).contains(&attempts), "{attempts} attempts");
}

#[test]
fn a_handshake_that_drips_gets_no_more_time_than_any_other() {
    let server = Server::start(|peer, _| {
        peer.handshake()?;
        for byte in accepted(1, MILLIS) {
            peer.0.write_all(&[byte])?;
            thread::sleep(Duration::from_millis(40)); // 1,640 ms for all of it
        }
        peer.wait_for_the_end()
    });
    played(LITTLE, async || {
        let client = builder(&server).connect_timeout(Duration::from_millis(1500));
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::ConnectTimeout { last: Some(_), .. }), "{error}");
        open(&server, 0).await;
    });
    assert!((1..=3).contains(&server.accepted()), "{} attempts", server.accepted());
}

#[test]
fn whatever_answers_a_handshake_there_is_a_next_attempt_and_not_too_soon() {
    let answers: Vec<Vec<u8>> = vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0xff; 64],
        vec![0; 64],
        vec![0, 0, 0, 4, 1, 2, 3, 4],
        vec![0x7f, 0xff, 0xff, 0xff],
        accepted(1, MILLIS)[..20].to_vec(),
        // No time, less than none, and a session of nobody.
        accepted(1, 0),
        accepted(1, -1),
        accepted(0, MILLIS),
        // A password that is longer than its frame, and one of no length.
        [&accepted(1, MILLIS)[..20], &[0, 1, 0, 0], &[7; 17]].concat(),
        [&accepted(1, MILLIS)[..20], &[0xff; 4], &[7; 17]].concat(),
    ];
    for answer in answers {
        let told = answer.clone();
        let server = Server::start(move |peer, _| {
            peer.handshake()?;
            peer.0.write_all(&told)
        });
        played(LITTLE, async || {
            let (client, mut transitions) = builder(&server).start_told().unwrap();
            let mut states = Vec::new();
            let until = Instant::now() + Duration::from_millis(600);
            while let Ok(Some(next)) = tokio::time::timeout_at(until, transitions.next()).await {
                states.push(next.state);
            }
            let state = client.state();
            assert!(!matches!(state, KeeperState::Expired | KeeperState::AuthFailed), "{states:?}");
            drop(client);
        });
        let attempts = server.accepted();
        assert!((2..=12).contains(&attempts), "{attempts} attempts, {answer:?}");
    }
}

#[test]
fn a_grant_of_one_millisecond_makes_nobody_spin() {
    let server = Server::start(|peer, _| {
        peer.accept(1, 1)?;
        loop {
            let asked = peer.asked()?;
            if asked.xid == PING {
                peer.reply(PING, 0, 0, &[])?;
            }
        }
    });
    played(LITTLE, async || {
        let client = builder(&server).start().unwrap();
        sleep(Duration::from_secs(1)).await;
        drop(client);
    });
    assert!(server.accepted() < 40, "{} attempts", server.accepted());
}

#[test]
fn a_server_that_reads_nothing_holds_requests_up_no_longer_than_the_read_deadline() {
    let server = Server::start(|peer, _| {
        peer.accept(1, MILLIS)?;
        thread::sleep(2 * TIMEOUT);
        Ok(())
    });
    // To copy 32 MiB into buffers is most of it.
    played(2 * LITTLE, async || {
        let client = builder(&server).connect().await.unwrap();
        let before = support::resident();
        let began = Instant::now();
        let data = vec![7; 512 * 1024];
        let mut sets = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (client, data) = (client.clone(), data.clone());
            sets.spawn(async move { client.set("/a", &data).deadline(TIMEOUT).await });
        }
        let mut lost = 0;
        while let Some(set) = soon(sets.join_next()).await {
            let error = set.unwrap().unwrap_err();
            lost += usize::from(error.kind == ErrorKind::Op(OpError::ConnectionLoss));
            assert!(error.is_connection_loss() || error.is_timeout(), "{error}");
        }
        assert!(lost > 0, "the silence was not noticed");
        assert!(began.elapsed() < TIMEOUT + Duration::from_secs(1), "{:?}", began.elapsed());
        // 32 MiB of what was to be set, and what is under way in a window.
        let grown = support::resident().saturating_sub(before);
        assert!(grown < 100 << 20, "{grown} bytes");
    });
}

#[test]
fn a_server_that_answers_pings_alone_is_left_at_a_requests_deadline() {
    let server = Server::start(|peer, _| {
        peer.accept(1, MILLIS)?;
        loop {
            let asked = peer.asked()?;
            if asked.xid == PING {
                peer.reply(PING, 0, 0, &[])?;
            }
        }
    });
    played(LITTLE, async || {
        let client = builder(&server).connect().await.unwrap();
        let mut transitions = client.transitions();
        let patient = client.get("/patient").send();
        let asked = Instant::now();
        let error = soon(client.get("/a").deadline(2 * TIMEOUT)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Op(OpError::Timeout));
        assert!(asked.elapsed() >= 2 * TIMEOUT && asked.elapsed() < 3 * TIMEOUT);
        let lost = until(&mut transitions, KeeperState::Disconnected).await;
        assert!(matches!(lost.cause, Cause::Lost(DisconnectReason::RequestTimeout { .. })));
        assert_eq!(soon(patient).await.unwrap_err().kind, ErrorKind::Op(OpError::ConnectionLoss));
        assert!(client.pings().answered >= 4, "{:?}", client.pings());
    });
}

#[test]
fn a_session_whose_bytes_come_one_at_a_time_is_a_session() {
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    relay.split(1);
    let hosts = relay.addr().to_string();
    played(Duration::from_secs(2), async || {
        let client =
            Client::builder(hosts).timeout(Duration::from_secs(3)).connect().await.unwrap();
        client.create("/a", b"one").await.unwrap();
        let (node, mut watch) = client.get("/a").watch().await.unwrap();
        assert_eq!(node.data, "one");
        let sets: Vec<_> = (0..20).map(|_| client.set("/a", &[7; 100]).send()).collect();
        assert!(soon(watch.changed()).await.is_some());
        for (version, set) in (1..).zip(sets) {
            assert_eq!(soon(set).await.unwrap().version, version);
        }
        soon(client.close()).await.unwrap();
        assert!(ensemble.sessions().unwrap().is_empty());
        assert_eq!(client.state(), KeeperState::Closed);
    });
}
