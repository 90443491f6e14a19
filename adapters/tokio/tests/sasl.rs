//! SASL: whom servers let in, and what comes of refusals, on embedded servers and on real ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{builder, ensemble, soon, until};
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::{RealEnsemble, Relay};
use zk_session_tokio::{
    Acl, Cause, Client, ClientBuilder, DigestMd5, ErrorKind, KeeperState, Perms, SaslAnswer,
    SaslChallenge, SaslExchange, SaslMechanism, SubmitError, Transition,
};

/// How a session ends that never gets to connect.
async fn end(client: ClientBuilder) -> Transition {
    let (client, mut transitions) = client.start_told().unwrap();
    let end = soon(transitions.next()).await.unwrap();
    assert_eq!(client.state(), end.state);
    assert_eq!(soon(transitions.next()).await, None);
    end
}

fn users(servers: usize) -> EmbeddedEnsemble {
    let tick = Duration::from_millis(500);
    let builder = EmbeddedEnsemble::builder().servers(servers).tick(tick);
    builder.sasl_user("bob", "bobsecret").sasl_user("ann \"q\\", "häß").start().unwrap()
}

#[tokio::test]
async fn who_knows_the_password_is_who_they_say_on_every_connection() {
    let ensemble = users(1);
    let addr = ensemble.connect_string().parse().unwrap();
    let relay = tokio::task::spawn_blocking(move || Relay::start(addr)).await.unwrap().unwrap();
    for (user, password) in [("bob", "bobsecret"), ("ann \"q\\", "häß")] {
        let client = builder(relay.addr().to_string()).sasl(DigestMd5::new(user, password));
        let client = soon(client.connect()).await.unwrap();
        let (id, mut transitions) = (client.session_id(), client.transitions());
        let owned = [Acl { perms: Perms::ALL, scheme: "auth".into(), id: "".into() }];
        let path = format!("/of-{}", user.len());
        client.create(&path, b"mine").acl(&owned).await.unwrap();
        relay.cut();
        until(&mut transitions, KeeperState::Disconnected).await;
        relay.mend().unwrap();
        let again = until(&mut transitions, KeeperState::SyncConnected).await;
        assert_eq!((again.cause, again.session_id), (Cause::Resumed, id));
        assert_eq!(soon(client.get(&path)).await.unwrap().data, &b"mine"[..]);
        let stranger = builder(ensemble.connect_string()).connect().await.unwrap();
        assert!(stranger.get(&path).await.unwrap_err().is_no_auth());
    }
}

#[tokio::test]
async fn refusals_are_final_and_say_why() {
    let ensemble = users(1);
    for (user, password) in [("bob", "guess"), ("eve", "bobsecret"), ("", "")] {
        let client = builder(ensemble.connect_string()).sasl(DigestMd5::new(user, password));
        let end = end(client).await;
        assert_eq!((end.state, end.cause), (KeeperState::AuthFailed, Cause::AuthRefused));
    }
    let client = builder(ensemble.connect_string()).sasl(DigestMd5::new("bob", "guess"));
    let error = soon(client.connect()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Submit(SubmitError::Ended));
}

#[tokio::test]
async fn a_server_without_sasl_is_not_taken_for_one_with() {
    let ensemble = ensemble(1);
    let client = builder(ensemble.connect_string()).sasl(DigestMd5::new("bob", "bobsecret"));
    let end = end(client).await;
    assert_eq!(end.state, KeeperState::AuthFailed);
    assert!(
        end.cause == Cause::SaslFailed && end.detail.is_some() || end.cause == Cause::AuthRefused
    );
}

#[test]
fn passwords_are_not_shown() {
    let client = builder("h").sasl(DigestMd5::new("bob", "bobsecret"));
    assert!(!format!("{client:?}").contains("bobsecret"));
}

/// Says what it is made to say, and counts how often it was started.
#[derive(Clone)]
struct Saying(SaslAnswer, Arc<AtomicUsize>);

impl SaslMechanism for Saying {
    fn start(&self, host: &str) -> Box<dyn SaslExchange> {
        assert_eq!(host, "127.0.0.1");
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::new(self.clone())
    }
}

impl SaslExchange for Saying {
    fn step(&mut self, challenge: SaslChallenge<'_>) -> SaslAnswer {
        match challenge {
            SaslChallenge::Begin => self.0.clone(),
            _ => SaslAnswer::Failed("enough".into()),
        }
    }
}

#[tokio::test]
async fn mechanisms_of_ones_own_are_heard() {
    let ensemble = users(1);
    let started = Arc::new(AtomicUsize::new(0));
    let session = |answer: SaslAnswer| {
        builder(ensemble.connect_string()).sasl(Saying(answer, started.clone()))
    };
    // Nothing to prove: the session goes on without.
    let client = soon(session(SaslAnswer::Done).connect()).await.unwrap();
    client.exists("/").await.unwrap();
    let refused = end(session(SaslAnswer::Failed("no ticket".into()))).await;
    assert_eq!((refused.cause, refused.detail.as_deref()), (Cause::SaslFailed, Some("no ticket")));
    let refused = end(session(SaslAnswer::Token(Vec::new()))).await;
    assert_eq!((refused.cause, refused.detail.as_deref()), (Cause::SaslFailed, Some("enough")));
    let oversize = end(session(SaslAnswer::Token(vec![0; 64 << 20]))).await;
    assert_eq!(oversize.cause, Cause::SaslFailed);
    assert!(oversize.detail.is_some());
    assert_eq!(started.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_real_server_lets_in_who_knows_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let jaas = directory.path().join("jaas.conf");
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
    let users = "user_bob=\"bobsecret\" user_ann=\"h\u{e4}\u{df}\"";
    std::fs::write(&jaas, format!("Server {{ {module} required {users}; }};")).unwrap();
    let builder = RealEnsemble::builder()
        .property("authProvider.1", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
        .system_property("java.security.auth.login.config", jaas.display())
        .system_property("file.encoding", "UTF-8");
    let ensemble = tokio::task::spawn_blocking(|| builder.start()).await.unwrap().unwrap();
    let session = |user: &str, password: &str| {
        Client::builder(ensemble.connect_string())
            .timeout(Duration::from_secs(8))
            .connect_timeout(Duration::from_secs(30))
            .sasl(DigestMd5::new(user, password))
    };
    for (user, password) in [("bob", "bobsecret"), ("ann", "häß")] {
        let client = session(user, password).connect().await.unwrap();
        let owned = [Acl { perms: Perms::ALL, scheme: "auth".into(), id: "".into() }];
        let path = format!("/of-{user}");
        client.create(&path, b"mine").acl(&owned).await.unwrap();
        assert_eq!(client.get(&path).await.unwrap().data, &b"mine"[..]);
        client.close().await.unwrap();
    }
    let refused = end(session("bob", "guess")).await;
    assert_eq!((refused.state, refused.cause), (KeeperState::AuthFailed, Cause::AuthRefused));
    let anonymous = Client::builder(ensemble.connect_string()).connect().await.unwrap();
    assert!(anonymous.get("/of-bob").await.unwrap_err().is_no_auth());
}
