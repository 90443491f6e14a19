//! The session through cuts, moves, expiry, close and restarts, on the embedded ensemble.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{PATIENCE, builder, client, ensemble, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zk_session::client::ExpiryReason;
use zk_session::{ConfigError, DisconnectReason};
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::{Relay, ReservedPort};
use zk_session_tokio::{
    Cause, Client, ErrorCode, ErrorKind, KeeperState, OpError, SubmitError, WatchEvent,
};

const LOST: Cause = Cause::Lost(DisconnectReason::TransportClosed);

#[tokio::test]
async fn a_session_fails_over_with_its_ephemerals_and_watches() {
    let ensemble = ensemble(3);
    let zk = client(&ensemble).await;
    let mut transitions = zk.transitions();
    zk.create("/a", b"").await.unwrap();
    zk.create("/e", b"").ephemeral().await.unwrap();
    let (_, mut once) = zk.get("/a").watch().await.unwrap();
    let mut stays = zk.watch("/a").await.unwrap();
    let id = zk.session_id();
    for round in 0..3 {
        let at = ensemble.server_of(id).unwrap().unwrap();
        ensemble.stop(at).unwrap();
        let lost = until(&mut transitions, KeeperState::Disconnected).await;
        assert_eq!((lost.cause, lost.number), (LOST, 2 * round + 2));
        let found = until(&mut transitions, KeeperState::SyncConnected).await;
        assert_eq!((found.cause, found.session_id), (Cause::Resumed, id));
        assert_ne!(found.host, lost.host);
        let why = found.why().unwrap();
        assert!(why.attempts >= 1 && why.to_string().contains("resumed"), "{why}");
        ensemble.start(at).unwrap();
        assert!(zk.exists("/e").await.unwrap().is_some());
    }
    zk.set("/a", b"x").await.unwrap();
    for watch in [&mut once, &mut stays] {
        for _ in 0..3 {
            let told = [soon(watch.next()).await, soon(watch.next()).await];
            let states = [KeeperState::Disconnected, KeeperState::SyncConnected];
            assert_eq!(told, states.map(|state| Some(WatchEvent::State(state))));
        }
        assert!(matches!(soon(watch.next()).await, Some(WatchEvent::Changed { .. })));
    }
    assert_eq!(soon(once.next()).await, None);
    zk.close().await.unwrap();
    assert_eq!(soon(stays.next()).await, Some(WatchEvent::State(KeeperState::Closed)));
    assert_eq!(soon(stays.next()).await, None);
    assert_eq!(until(&mut transitions, KeeperState::Closed).await.cause, Cause::Closed);
    assert_eq!(soon(transitions.next()).await, None);
}

#[tokio::test]
async fn an_expired_session_says_so_to_everybody_and_stays_over() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    zk.create("/a", b"").await.unwrap();
    let (mut states, mut transitions) = (zk.states(), zk.transitions());
    let (_, mut watch) = zk.exists("/none").watch().await.unwrap();
    assert!(ensemble.expire(zk.session_id()).unwrap());
    let expired = until(&mut transitions, KeeperState::Expired).await;
    assert_eq!(expired.cause, Cause::Expired(ExpiryReason::ToldByServer));
    assert_eq!(soon(watch.changed()).await, None);
    soon(states.wait_for(|state| *state == KeeperState::Expired)).await.unwrap();
    let error = soon(zk.get("/a")).await.unwrap_err();
    assert!(error.is_session_over() && !error.is_outcome_unknown(), "{error:?}");
    assert_eq!(zk.watch_count(), 0);
    assert!(zk.why().unwrap().to_string().contains("expired"));
    assert!(matches!(zk.ticket().unwrap_err().kind, ErrorKind::NoSession));
    soon(zk.close()).await.unwrap();
}

#[tokio::test]
async fn requests_under_way_at_a_cut_fail_once_and_those_behind_wait_for_the_next_server() {
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    let zk = builder(relay.addr().to_string()).connect().await.unwrap();
    zk.create("/n", b"").await.unwrap();
    relay.lag(Duration::from_millis(300));
    let under_way: Vec<_> = (0..50).map(|_| zk.set("/n", b"x").send()).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut transitions = zk.transitions();
    relay.cut();
    until(&mut transitions, KeeperState::Disconnected).await;
    let waiting: Vec<_> = (0..50).map(|_| zk.set("/n", b"y").send()).collect();
    relay.lag(Duration::ZERO);
    relay.mend().unwrap();
    for request in under_way {
        let error = soon(request).await.unwrap_err();
        assert!(error.is_connection_loss() && error.is_outcome_unknown());
        assert_eq!(error.to_string(), "SetData /n: connection lost before the answer");
    }
    let mut versions = Vec::new();
    for request in waiting {
        versions.push(soon(request).await.unwrap().version);
    }
    assert!(versions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{versions:?}");
}

#[tokio::test]
async fn a_ticket_carries_the_session_to_another_client() {
    let ensemble = ensemble(3);
    let zk = client(&ensemble).await;
    zk.create("/e", b"").ephemeral().await.unwrap();
    let (_, mut watch) = zk.get("/e").watch().await.unwrap();
    let (id, ticket) = (zk.session_id(), zk.ticket().unwrap());
    let waiting = zk.transitions();
    zk.detach();
    let mut waiting = waiting;
    assert_eq!(until(&mut waiting, KeeperState::Closed).await.cause, Cause::Detached);
    assert_eq!(soon(watch.changed()).await, None);

    let resumed =
        builder(ensemble.connect_string()).resume(ticket.clone()).connect().await.unwrap();
    assert_eq!(resumed.session_id(), id);
    assert_eq!(resumed.exists("/e").await.unwrap().unwrap().ephemeral_owner, id.0);
    soon(resumed.close()).await.unwrap();

    let late = builder(ensemble.connect_string()).resume(ticket).connect().await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::Submit(SubmitError::Ended));
    let error = builder("h").resume(b"nonsense".to_vec()).start().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Config(ConfigError::Ticket(_))), "{error}");
}

#[tokio::test]
async fn connecting_fails_in_time_with_the_reason() {
    let dead = ReservedPort::new().unwrap();
    let zk = builder(dead.addr().to_string()).connect_timeout(Duration::from_millis(300));
    let start = Instant::now();
    let error = zk.connect().await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(3));
    let last = Some((dead.addr().to_string(), DisconnectReason::DialFailed));
    assert!(error.to_string().contains("refused ("), "the system's own words: {error}");
    let ErrorKind::ConnectTimeout { last: got, detail: Some(_) } = &error.kind else { panic!() };
    assert_eq!(*got, last);
    assert!(error.is_timeout());

    let error = Client::connect("h1:bad").await.unwrap_err();
    assert_eq!(error.to_string(), "port is not a number of 0..=65535, at byte 3");
    let zk = builder("no.such.host.invalid").new_session_deadline(Duration::from_millis(300));
    let error = soon(zk.connect()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Submit(SubmitError::Ended));
}

#[test]
fn without_a_runtime_starting_is_an_error() {
    let error = builder("localhost").start().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoRuntime);
}

#[tokio::test]
async fn names_are_resolved_and_every_address_of_one_is_tried() {
    // `localhost` has an address of each family here or only the old one; the server listens on one.
    let addr: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let ensemble = EmbeddedEnsemble::builder().servers(1).bind(0, addr).start().unwrap();
    let port = ensemble.addr(0).port();
    let zk = builder(format!("localhost:{port}")).connect().await.unwrap();
    assert_eq!(zk.current_host(), (0, format!("localhost:{port}")));
    zk.close().await.unwrap();
}

#[tokio::test]
async fn ipv6_addresses_are_dialled() {
    let addr: SocketAddr = "[::1]:0".parse().unwrap();
    let ensemble = EmbeddedEnsemble::builder().servers(1).bind(0, addr).start().unwrap();
    let host = format!("[::1]:{}", ensemble.addr(0).port());
    let zk = builder(host.clone()).connect().await.unwrap();
    assert_eq!(zk.current_host(), (0, host));
}

#[tokio::test]
async fn hosts_can_be_replaced_while_the_session_lives() {
    let ensemble = ensemble(2);
    let zk = builder(ensemble.addr(0).to_string()).connect().await.unwrap();
    let mut transitions = zk.transitions();
    zk.update_hosts(ensemble.addr(1).to_string()).unwrap();
    let lost = until(&mut transitions, KeeperState::Disconnected).await;
    assert_eq!(lost.cause, Cause::Lost(DisconnectReason::HostsChanged));
    assert_eq!(until(&mut transitions, KeeperState::SyncConnected).await.cause, Cause::Resumed);
    assert_eq!(zk.current_host().1, ensemble.addr(1).to_string());
    assert!(zk.update_hosts("h/other").is_err());
}

#[tokio::test]
async fn the_last_handle_closes_the_session_and_answers_what_is_under_way() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    zk.create("/e", b"").ephemeral().await.unwrap();
    let mut transitions = zk.transitions();
    let view = zk.chroot("/e").unwrap();
    drop(zk);
    assert!(view.exists("/").await.unwrap().is_some());
    let last = view.set("/", b"last").send();
    drop(view);
    assert_eq!(soon(last).await.unwrap().version, 1);
    assert_eq!(until(&mut transitions, KeeperState::Closed).await.cause, Cause::Closed);
    assert_eq!(ensemble.sessions().unwrap().len(), 0);
}

#[tokio::test]
async fn a_close_that_nobody_confirms_ends_in_time() {
    let ensemble = ensemble(1);
    let close_timeout = Duration::from_millis(300);
    let zk = builder(ensemble.connect_string()).close_timeout(close_timeout).connect();
    let zk = zk.await.unwrap();
    ensemble.freeze(0).unwrap();
    let unanswered = zk.get("/").send();
    let start = Instant::now();
    assert_eq!(soon(zk.close()).await.unwrap_err().kind, ErrorKind::CloseUnconfirmed);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(soon(unanswered).await.unwrap_err().kind, ErrorKind::Op(OpError::SessionClosed));
    ensemble.thaw(0).unwrap();
}

#[tokio::test]
async fn credentials_are_shown_on_every_connection_and_a_refused_one_ends_the_session() {
    let ensemble = ensemble(2);
    let zk = builder(ensemble.connect_string()).auth("digest", b"u:p".to_vec()).connect();
    let zk = zk.await.unwrap();
    zk.create("/mine", b"").acl(zk_session_tokio::Acl::CREATOR_ALL).await.unwrap();
    let mut transitions = zk.transitions();
    ensemble.drop_connection(zk.session_id()).unwrap();
    until(&mut transitions, KeeperState::SyncConnected).await;
    zk.set("/mine", b"again").await.unwrap();

    let bad = builder(ensemble.connect_string()).auth("nonsense", b"x".to_vec()).start().unwrap();
    let mut transitions = bad.transitions();
    assert_eq!(until(&mut transitions, KeeperState::AuthFailed).await.cause, Cause::AuthRefused);
}

#[tokio::test]
async fn a_read_only_server_serves_reads_until_one_that_writes_is_found() {
    let builds = EmbeddedEnsemble::builder().servers(2).tick(Duration::from_millis(500));
    let ensemble = builds.local_sessions().start().unwrap();
    ensemble.read_only(0).unwrap();
    ensemble.stop(1).unwrap();
    let zk = builder(ensemble.connect_string()).allow_read_only().connect().await.unwrap();
    assert_eq!(zk.state(), KeeperState::ConnectedReadOnly);
    assert!(zk.children("/").await.is_ok());
    let error = zk.create("/a", b"").await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NotReadOnly));
    let mut transitions = zk.transitions();
    ensemble.start(1).unwrap();
    until(&mut transitions, KeeperState::SyncConnected).await;
    zk.create("/a", b"").await.unwrap();
}

/// A server that does to every connection what it is told.
async fn scripted<F, R>(script: F) -> SocketAddr
where
    F: Fn(tokio::net::TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = Option<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    addr
}

/// Accepts a session with this id.
async fn accept(stream: &mut tokio::net::TcpStream, id: u8) -> Option<()> {
    let mut handshake = [0; 49];
    stream.read_exact(&mut handshake).await.ok()?;
    let mut answer = vec![0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 11, 184, 0, 0, 0, 0, 0, 0, 0, id];
    answer.extend([0, 0, 0, 16]);
    answer.extend([7; 16]);
    answer.push(0);
    stream.write_all(&answer).await.ok()
}

#[tokio::test]
async fn a_server_that_accepts_and_closes_meets_no_storm() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let addr = scripted(move |stream| {
        seen.fetch_add(1, Ordering::Relaxed);
        async move {
            drop(stream);
            None
        }
    })
    .await;
    let _zk = builder(addr.to_string()).start().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let attempts = count.load(Ordering::Relaxed);
    assert!((1..40).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn hostile_bytes_cost_the_connection_and_nothing_else() {
    for garbage in [
        vec![0xff; 16],
        vec![0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4],
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 16, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        [&[0, 0, 0, 20, 0, 0, 0, 1][..], &[0; 12], &[0x7f, 0xff, 0xff, 0xf0]].concat(),
    ] {
        let told = garbage.clone();
        let addr = scripted(move |mut stream| {
            let told = told.clone();
            async move {
                accept(&mut stream, 7).await?;
                let mut request = [0; 20];
                stream.read_exact(&mut request).await.ok()?;
                stream.write_all(&told).await.ok()?;
                // Whoever hangs up is the client.
                stream.read_to_end(&mut Vec::new()).await.map(drop).ok()
            }
        })
        .await;
        let zk = builder(addr.to_string()).connect().await.unwrap();
        let error = soon(zk.get("/a")).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Op(_)), "{garbage:?}: {error:?}");
        assert!(!zk.state().is_final());
    }
}

#[tokio::test]
async fn x1_another_sessions_id_ends_the_session() {
    use std::sync::atomic::{AtomicU8, Ordering};
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let addr = scripted(|mut stream| async move {
        accept(&mut stream, NEXT.fetch_add(1, Ordering::Relaxed)).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        None
    })
    .await;
    let zk = builder(addr.to_string()).connect().await.unwrap();
    let mut transitions = zk.transitions();
    let expired = until(&mut transitions, KeeperState::Expired).await;
    assert!(matches!(expired.cause, Cause::Expired(ExpiryReason::ResumedAsAnother { .. })));
}

#[tokio::test]
async fn silence_is_noticed_before_the_session_can_expire() {
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    let zk = builder(relay.addr().to_string()).connect().await.unwrap();
    let mut transitions = zk.transitions();
    relay.blackhole().unwrap();
    let start = Instant::now();
    let lost = until(&mut transitions, KeeperState::Disconnected).await;
    assert_eq!(lost.cause, Cause::Lost(DisconnectReason::ReadTimeout));
    assert!(start.elapsed() < zk.timeout().mul_f32(0.8), "{:?}", start.elapsed());
    relay.mend().unwrap();
    assert_eq!(until(&mut transitions, KeeperState::SyncConnected).await.cause, Cause::Resumed);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn an_idle_session_lives_by_its_pings() {
    let ensemble =
        EmbeddedEnsemble::builder().servers(1).tick(Duration::from_millis(100)).start().unwrap();
    let zk = builder(ensemble.connect_string()).timeout(Duration::from_millis(300)).connect();
    let zk = zk.await.unwrap();
    let mut transitions = zk.transitions();
    let quiet = tokio::time::timeout(Duration::from_secs(2), transitions.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(zk.state(), KeeperState::SyncConnected);
}

/// The session's own thread may be faster than whoever wants to be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_first_transition_is_told_however_fast_it_comes() {
    let ensemble = ensemble(1);
    let (zk, mut transitions) = builder(ensemble.connect_string()).start_told().unwrap();
    zk.wait_connected(PATIENCE).await.unwrap();
    let first = soon(transitions.next()).await.unwrap();
    assert_eq!((first.number, first.cause), (1, Cause::Established));
}
