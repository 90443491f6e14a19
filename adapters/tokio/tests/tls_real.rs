//! The same on a real ZooKeeper, which speaks TLS by Netty and demands certificates of its clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;
#[path = "support/tls.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod tls;

use std::time::Duration;

use support::{soon, until};
use tls::{Authority, Identity};
use zk_session_testkit::{RealEnsemble, ReservedPort};
use zk_session_tokio::{Cause, Client, ErrorKind, KeeperState, Tls};

#[tokio::test]
async fn a_session_with_a_real_server_over_tls() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let servers = authority.identity(&["localhost"]);
    std::fs::write(file("server.pem"), servers.key.clone() + &servers.certificate).unwrap();
    std::fs::write(file("ca.pem"), authority.pem()).unwrap();
    let port = ReservedPort::new().unwrap();
    let builder = RealEnsemble::builder()
        .property("secureClientPort", port.addr().port())
        .property("secureClientPortAddress", "127.0.0.1")
        .property("ssl.keyStore.location", file("server.pem").display())
        .property("ssl.trustStore.location", file("ca.pem").display())
        .system_property(
            "zookeeper.serverCnxnFactory",
            "org.apache.zookeeper.server.NettyServerCnxnFactory",
        );
    let ensemble = tokio::task::spawn_blocking(|| builder.start()).await.unwrap().unwrap();

    let hosts = format!("localhost:{}", port.addr().port());
    let Identity { certificate, key } = authority.identity(&["me"]);
    let anonymous = Tls::builder().ca_file(file("ca.pem"));
    let tls = anonymous.clone().identity_pem(certificate, key).build().unwrap();
    let builder = Client::builder(hosts).timeout(Duration::from_secs(8));
    let client = builder.clone().tls(tls).connect_timeout(Duration::from_secs(30));
    let client = client.connect().await.unwrap();
    let data = vec![7; 900_000];
    client.create("/large", &data).await.unwrap();
    let (node, mut watch) = client.get("/large").watch().await.unwrap();
    assert_eq!(node.data, data);
    client.set("/large", b"small").await.unwrap();
    assert_eq!(&*soon(watch.changed()).await.unwrap().1, "/large");
    // Whom the certificate is for is an identity that ACLs can name.
    let identities = client.who_am_i().await.unwrap();
    assert!(identities.iter().any(|identity| identity.scheme == "x509"), "{identities:?}");

    // On the same session after the server was killed and is back.
    let id = client.session_id();
    let mut transitions = client.transitions();
    ensemble.kill(0).unwrap();
    until(&mut transitions, KeeperState::Disconnected).await;
    ensemble.restart(0).unwrap();
    let again = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let next = transitions.next().await.unwrap();
            if next.state == KeeperState::SyncConnected {
                return next;
            }
        }
    });
    let again = again.await.unwrap();
    assert_eq!((again.cause, again.session_id), (Cause::Resumed, id));
    soon(client.close()).await.unwrap();

    let client = builder.tls(anonymous.build().unwrap()).connect_timeout(Duration::from_secs(2));
    let error = soon(client.connect()).await.unwrap_err();
    let ErrorKind::ConnectTimeout { detail: Some(detail), .. } = &error.kind else {
        panic!("{error}")
    };
    assert!(detail.contains("BadCertificate") || detail.contains("alert"), "{error}");
}
