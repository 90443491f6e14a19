//! Sessions over TLS: who is trusted, and what comes of whatever is not as it should be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::time::Duration;

use support::{builder, ensemble, soon, until};
use tls::{Authority, Identity, TlsRelay, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zk_session_tokio::{Cause, Client, ErrorKind, KeeperState, Tls, Transition};

fn trusting(authority: &Authority) -> Tls {
    Tls::builder().ca_pem(authority.pem()).build().unwrap()
}

/// Tries for a while to connect, in vain: what the transport said last.
async fn refusal(hosts: String, tls: Tls) -> String {
    let client = builder(hosts).tls(tls).connect_timeout(Duration::from_secs(1));
    let error = soon(client.connect()).await.unwrap_err();
    let text = error.to_string();
    let ErrorKind::ConnectTimeout { last: Some(_), detail } = error.kind else { panic!("{text}") };
    let detail = detail.unwrap_or_else(|| panic!("{text}"));
    assert!(text.contains(&*detail), "{text}");
    detail.to_string()
}

/// Attempts come at the pace of the session's back-off.
fn assert_no_storm(attempts: usize) {
    assert!((1..=12).contains(&attempts), "{attempts} attempts in a second");
}

#[tokio::test]
async fn a_session_over_tls_does_what_it_does_without() {
    let ensemble = ensemble(1);
    let authority = Authority::new();
    let config = server(&authority.identity(&["localhost"]), None);
    let relay = TlsRelay::start(ensemble.connect_string(), config).await;
    // The connection string's name is the one that the server must have.
    let hosts = format!("localhost:{}", relay.addr.port());
    let client = builder(hosts).tls(trusting(&authority)).connect().await.unwrap();
    let data = vec![7; 900_000];
    client.create("/large", &data).await.unwrap();
    let (node, mut watch) = client.get("/large").watch().await.unwrap();
    assert_eq!(node.data, data);
    client.set("/large", b"small").await.unwrap();
    assert_eq!(&*soon(watch.changed()).await.unwrap().1, "/large");
    let many: Vec<_> = (0..500).map(|_| client.get("/large").send()).collect();
    for pending in many {
        assert_eq!(soon(pending).await.unwrap().data, "small");
    }
    soon(client.close()).await.unwrap();
}

#[tokio::test]
async fn a_cut_in_mid_stream_is_a_lost_connection_and_the_session_goes_on() {
    let ensemble = ensemble(1);
    let authority = Authority::new();
    let config = server(&authority.identity(&["127.0.0.1"]), None);
    let relay = TlsRelay::start(ensemble.connect_string(), config).await;
    let client = builder(relay.addr.to_string()).tls(trusting(&authority)).connect().await.unwrap();
    let id = client.session_id();
    let mut transitions = client.transitions();
    relay.cut();
    let lost = until(&mut transitions, KeeperState::Disconnected).await;
    // TLS knows an end that nobody announced from one that was.
    let detail = lost.detail.expect("a reason");
    assert!(detail.contains("close_notify"), "{detail}");
    let again = until(&mut transitions, KeeperState::SyncConnected).await;
    assert_eq!((again.cause, again.session_id, again.detail), (Cause::Resumed, id, None));
}

#[tokio::test]
async fn servers_without_a_certificate_to_trust_are_refused_with_a_reason() {
    let ensemble = ensemble(1);
    let (authority, other) = (Authority::new(), Authority::new());
    let config = server(&other.identity(&["127.0.0.1"]), None);
    let relay = TlsRelay::start(ensemble.connect_string(), config).await;
    let hosts = relay.addr.to_string();
    let detail = refusal(hosts.clone(), trusting(&authority)).await;
    assert!(detail.contains("UnknownIssuer"), "{detail}");
    assert_no_storm(relay.accepted());

    relay.serve(server(&authority.identity(&["zk1.example"]), None));
    let detail = refusal(hosts.clone(), trusting(&authority)).await;
    assert!(detail.contains("127.0.0.1") && detail.contains("zk1.example"), "{detail}");

    relay.serve(server(&authority.identity_until(&["127.0.0.1"], 2020), None));
    let detail = refusal(hosts.clone(), trusting(&authority)).await;
    assert!(detail.contains("expired"), "{detail}");
    relay.serve(server(&authority.identity(&["zk1.example"]), None));

    let tls = Tls::builder().ca_pem(other.pem()).ca_pem(authority.pem());
    let tls = tls.server_name("zk1.example").build().unwrap();
    let client = builder(hosts).tls(tls).connect().await.unwrap();
    client.exists("/").await.unwrap();
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_it_or_says_why_not() {
    let ensemble = ensemble(1);
    let (authority, clients) = (Authority::new(), Authority::new());
    let config = server(&authority.identity(&["127.0.0.1"]), Some(&clients));
    let relay = TlsRelay::start(ensemble.connect_string(), config).await;
    let hosts = relay.addr.to_string();
    let Identity { certificate, key } = clients.identity(&["me"]);
    let tls = Tls::builder().ca_pem(authority.pem()).identity_pem(certificate, key);
    let client = builder(hosts.clone()).tls(tls.build().unwrap()).connect().await.unwrap();
    client.exists("/").await.unwrap();

    // TLS 1.3 tells after the client has done its part.
    let before = relay.accepted();
    let detail = refusal(hosts.clone(), trusting(&authority)).await;
    assert!(detail.to_lowercase().contains("certificate"), "{detail}");
    assert_no_storm(relay.accepted() - before);

    let Identity { certificate, key } = Authority::new().identity(&["me"]);
    let tls = Tls::builder().ca_pem(authority.pem()).identity_pem(certificate, key);
    let detail = refusal(hosts, tls.build().unwrap()).await;
    assert!(detail.contains("alert"), "{detail}");
}

#[tokio::test]
async fn servers_that_speak_no_tls_are_left_with_a_reason() {
    let authority = Authority::new();
    let plain = ensemble(1);
    let detail = refusal(plain.connect_string(), trusting(&authority)).await;
    assert!(detail.contains("TLS with 127.0.0.1"), "{detail}");

    for (what, answer) in [
        ("truncated", &b"\x16\x03\x03\x00\x7a\x02\x00\x00"[..]),
        ("an alert", b"\x15\x03\x03\x00\x02\x02\x28"),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("nothing", b""),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hosts = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move {
            let mut attempts = 0;
            let until = tokio::time::Instant::now() + Duration::from_millis(1100);
            while let Ok(Ok((mut tcp, _))) = tokio::time::timeout_at(until, listener.accept()).await
            {
                attempts += 1;
                // All of its first flight, so that the end is no reset.
                let _ = tcp.read(&mut [0; 4096]).await;
                let _ = tcp.write_all(answer).await;
            }
            attempts
        });
        let detail = refusal(hosts, trusting(&authority)).await;
        assert!(detail.contains("TLS with 127.0.0.1"), "{what}: {detail}");
        assert_no_storm(serving.await.unwrap());
    }
}

#[tokio::test]
async fn a_server_that_is_silent_in_the_handshake_is_left_in_time_for_the_next() {
    let ensemble = ensemble(1);
    let authority = Authority::new();
    let config = server(&authority.identity(&["127.0.0.1"]), None);
    let relay = TlsRelay::start(ensemble.connect_string(), config).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = format!("{},{}", silent.local_addr().unwrap(), relay.addr);
    for seed in 0..3 {
        let client = builder(hosts.clone()).seed(seed).tls(trusting(&authority));
        let client = soon(client.connect()).await.unwrap();
        client.exists("/").await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_is_dropped_in_the_handshake_leaves_nothing_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = silent.local_addr().unwrap().to_string();
    let client = builder(hosts).tls(trusting(&Authority::new())).start().unwrap();
    let (mut tcp, _) = soon(silent.accept()).await.unwrap();
    let mut hello = [0; 4096];
    assert!(soon(tcp.read(&mut hello)).await.unwrap() > 0);
    drop(client);
    assert_eq!(soon(tcp.read(&mut hello)).await.unwrap(), 0, "the connection is closed");
    tokio::time::timeout(Duration::from_secs(1), silent.accept()).await.expect_err("another one");
}

/// A session whose server is given a certificate of another authority: what it said of it.
async fn estranged(relay: &TlsRelay, client: &Client, other: &Authority) -> Transition {
    let mut transitions = client.transitions();
    relay.serve(server(&other.identity(&["127.0.0.1"]), None));
    relay.cut();
    until(&mut transitions, KeeperState::Disconnected).await
}

#[tokio::test]
async fn reloaded_certificates_are_used_by_the_next_connection() {
    let ensemble = ensemble(1);
    let (old, new) = (Authority::new(), Authority::new());
    let config = server(&old.identity(&["127.0.0.1"]), None);
    let relay = TlsRelay::start(ensemble.connect_string(), config).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, old.pem()).unwrap();
    for by_itself in [false, true] {
        let [now, next] = if by_itself { [&new, &old] } else { [&old, &new] };
        let tls = Tls::builder().ca_file(&file);
        let tls = if by_itself { tls.reload_on_connect() } else { tls }.build().unwrap();
        let client =
            builder(relay.addr.to_string()).timeout(Duration::from_secs(8)).tls(tls.clone());
        let client = client.connect().await.unwrap();
        let id = client.session_id();
        let mut transitions = client.transitions();
        estranged(&relay, &client, next).await;
        // Half written: what was loaded stays.
        std::fs::write(&file, &now.pem()[..100]).unwrap();
        tls.reload().unwrap_err();
        std::fs::write(&file, next.pem()).unwrap();
        if !by_itself {
            tls.reload().unwrap();
        }
        let again = until(&mut transitions, KeeperState::SyncConnected).await;
        assert_eq!((again.cause, again.session_id), (Cause::Resumed, id));
        soon(client.close()).await.unwrap();
    }
}
