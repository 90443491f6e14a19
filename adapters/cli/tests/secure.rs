//! TLS and SASL: ensembles that demand them, and whatever is refused, by either side.
#![cfg(all(unix, feature = "tls"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;
#[path = "../../tokio/tests/support/tls.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod tls;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Run, Running, Stage, run_with, zks};
use tempfile::TempDir;
use tls::{Authority, Identity, TlsRelay, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::{RealEnsemble, ReservedPort};
use zk_session_tokio::rustls::ServerConfig;

/// An ensemble behind TLS, and files for those who come.
struct Secured {
    _stage: Stage,
    relay: TlsRelay,
    dir: TempDir,
    servers: String,
}

impl Secured {
    async fn new(config: Arc<ServerConfig>) -> Self {
        let stage = Stage::new(1);
        let relay = TlsRelay::start(stage.servers.clone(), config).await;
        let servers = relay.addr.to_string();
        Self { _stage: stage, relay, dir: tempfile::tempdir().unwrap(), servers }
    }

    /// A file with this in it.
    fn file(&self, name: &str, text: &str) -> String {
        file(self.dir.path(), name, text)
    }

    fn run(&self, args: &[&str]) -> Run {
        run_with(zks(&self.servers, args), b"")
    }
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let file = dir.join(name);
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What a certificate is refused for is told at once, not when time is up.
#[track_caller]
fn at_once<T>(run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = run();
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_over_tls() {
    let authority = Authority::new();
    let on = Secured::new(server(&authority.identity(&["127.0.0.1"]), None)).await;
    let ca = on.file("ca.pem", &authority.pem());
    let ok = |args: &[&str]| on.run(&[args, &["--tls-ca", &ca]].concat()).ok();
    assert_eq!(ok(&["create", "/a", "x"]), "/a\n");
    assert_eq!(on.run(&["--tls-ca", &ca, "get", "/a"]).ok(), "x\n");
    let mut by_environment = zks(&on.servers, &["ls"]);
    by_environment.env("ZKS_TLS_CA", &ca);
    assert_eq!(run_with(by_environment, b"").ok(), "a\nzookeeper\n");
    // The command line has the last word.
    let mut both = zks(&on.servers, &["--tls-ca", &ca, "ls"]);
    both.env("ZKS_TLS_CA", "/no/such/file");
    assert_eq!(run_with(both, b"").ok(), "a\nzookeeper\n");

    let shell = zks(&on.servers, &["--tls-ca", &ca, "shell"]);
    assert_eq!(run_with(shell, b"create /a/b\nls /a\n").ok(), "/a/b\nb\n");
    let mut watch = Running::new(zks(&on.servers, &["--tls-ca", &ca, "watch", "-c", "1", "/a"]));
    watch.line();
    ok(&["set", "/a", "y"]);
    assert_eq!(watch.line(), "NodeDataChanged     /a");
    assert_eq!(watch.end().ok(), "");
    let bench = ok(&["--json", "bench", "--ops", "100", "--clients", "2", "--quiet"]);
    let bench: Value = serde_json::from_str(&bench).unwrap();
    assert_eq!((&bench["operations"], &bench["errors"]), (&100.into(), &0.into()));
    assert!(ok(&["top", "--once"]).contains("1 of 1 servers up"));
    assert_eq!(ok(&["word", "ruok"]), "imok\n");

    // A session outlives its connections, and tells what TLS says of their ends.
    let mut session = Running::new(zks(&on.servers, &["--json", "session", "--tls-ca", &ca]));
    let id = session.json()["session"].clone();
    on.relay.cut();
    let lost = session.json();
    assert!(lost["detail"].as_str().is_some_and(|text| text.contains("close_notify")), "{lost}");
    let back = session.json();
    assert_eq!((&back["cause"], &back["session"]), (&"the session was resumed".into(), &id));
    session.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(session.end().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_prove_itself_is_refused_at_once_with_a_code_of_its_own() {
    let (authority, other) = (Authority::new(), Authority::new());
    let on = Secured::new(server(&other.identity(&["127.0.0.1"]), None)).await;
    let ca = on.file("ca.pem", &authority.pem());
    let refused = |with: &str, hint: &str| {
        let run = at_once(|| on.run(&["--tls-ca", &ca, "ls"]));
        run.fails(6, "the server's certificate is refused: ").fails(6, with).fails(6, hint);
    };
    refused("UnknownIssuer", "--tls-ca FILE must hold");
    on.relay.serve(server(&authority.identity_until(&["127.0.0.1"], 2020), None));
    refused("expired", "is the clock of this machine right");
    on.relay.serve(server(&authority.identity(&["zk1.example"]), None));
    refused("zk1.example", "--tls-name NAME");
    let named = ["--tls-ca", &ca, "--tls-name", "zk1.example", "ls"];
    assert_eq!(on.run(&named).ok(), "zookeeper\n");

    on.relay.serve(server(&other.identity(&["127.0.0.1"]), None));
    for args in [&["shell"][..], &["watch", "/"], &["session"], &["bench"], &["word", "ruok"]] {
        let args = [&["--tls-ca", &ca], args].concat();
        at_once(|| on.run(&args)).fails(6, "UnknownIssuer");
    }
    on.run(&["--tls-ca", &ca, "top", "--once"]).fails(6, "UnknownIssuer");
    let run = on.run(&["--json", "--tls-ca", &ca, "ls"]);
    let error: Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!(error["error"]["exit"], 6);
    assert!(error["error"]["hint"].as_str().unwrap().contains("--tls-ca"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whom_the_server_refuses_is_told_so_with_the_same_code() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let on = Secured::new(server(&authority.identity(&["127.0.0.1"]), Some(&clients))).await;
    let ca = on.file("ca.pem", &authority.pem());
    let Identity { certificate, key } = clients.identity(&["me"]);
    let both = on.file("both.pem", &format!("{key}{certificate}"));
    let cert = on.file("cert.pem", &certificate);
    let key = on.file("key.pem", &key);
    let run = |args: &[&str]| on.run(&[&["--tls-ca", &ca], args, &["ls"]].concat());
    run(&["--tls-cert", &cert, "--tls-key", &key]).ok();
    run(&["--tls-cert", &both]).ok();
    at_once(|| run(&[])).fails(6, "the server refuses this client: ").fails(6, "hint: --tls-cert");
    let Identity { certificate, key } = Authority::new().identity(&["me"]);
    let other = on.file("other.pem", &format!("{key}{certificate}"));
    at_once(|| run(&["--tls-cert", &other])).fails(6, "the server refuses this client: ");

    run(&["--tls-cert", &cert, "--tls-key", &other]).fails(1, "is not that of the certificate");
    run(&["--tls-cert", &cert]).fails(1, "no private key");
    run(&["--tls-cert", "/no/such"]).fails(1, "cannot read /no/such");
    run(&["--tls-key", &other]).fails(2, "of no use without --tls-cert");
    run(&["--tls-name", "a b"]).fails(2, "--tls-name: ");
    on.run(&["--tls-ca", &other, "--tls-ca", "/none", "ls"]).fails(1, "/none");
    for option in ["--tls-cert", "--tls-key", "--tls-name"] {
        on.run(&[option, "x", "ls"]).fails(2, "is of no use without --tls-ca");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_or_breaks_off_ends_in_time_without_a_session() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let ca = file(dir.path(), "ca.pem", &authority.pem());
    for (what, answer, exit, says) in [
        ("truncated", &b"\x16\x03\x03\x00\x7a\x02\x00\x00"[..], 3, "handshake eof"),
        ("another protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n", 6, "secureClientPort"),
        ("nothing", b"", 3, "secureClientPort"),
        ("silent", b"-", 3, "no server accepted the session"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = listener.local_addr().unwrap().to_string();
        let serving = tokio::spawn(async move {
            let mut attempts = 0;
            let mut held = Vec::new();
            while let Ok((mut tcp, _)) = listener.accept().await {
                attempts += 1;
                assert!(attempts < 20, "a storm");
                // All of its first flight, so that the end is no reset.
                let _ = tcp.read(&mut [0; 4096]).await;
                match answer {
                    b"-" => held.push(tcp),
                    answer => drop(tcp.write_all(answer).await),
                }
            }
        });
        let args = ["--connect-timeout", "1s", "--tls-ca", &ca, "ls"];
        let run = at_once(|| run_with(zks(&servers, &args), b""));
        assert_eq!(run.code, exit, "{what}: {run:?}");
        run.fails(exit, says);
        assert!(!serving.is_finished(), "{what}");
        serving.abort();
    }
    // And the other way round: who asks in the clear where TLS is spoken.
    let on = Secured::new(server(&authority.identity(&["127.0.0.1"]), None)).await;
    let run = on.run(&["--connect-timeout", "500ms", "ls"]);
    run.fails(3, "hint: the server speaks TLS there: --tls-ca");
}

#[test]
fn a_real_server_that_demands_certificates_is_asked_like_any_other() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let servers = authority.identity(&["localhost"]);
    let both = file(dir.path(), "server.pem", &(servers.key + &servers.certificate));
    let ca = file(dir.path(), "ca.pem", &authority.pem());
    let Identity { certificate, key } = authority.identity(&["me"]);
    let me = file(dir.path(), "me.pem", &(key + &certificate));
    let port = ReservedPort::new().unwrap();
    let builder = RealEnsemble::builder()
        .property("secureClientPort", port.addr().port())
        .property("secureClientPortAddress", "127.0.0.1")
        .property("ssl.keyStore.location", &both)
        .property("ssl.trustStore.location", &ca)
        .system_property(
            "zookeeper.serverCnxnFactory",
            "org.apache.zookeeper.server.NettyServerCnxnFactory",
        );
    let _ensemble = builder.start().unwrap();
    let hosts = format!("localhost:{}", port.addr().port());
    let with = ["--tls-ca", &ca, "--tls-cert", &me, "--connect-timeout", "20s"];
    let run = |args: &[&str]| run_with(zks(&hosts, &[&with, args].concat()), b"");
    assert_eq!(run(&["create", "/a", "x"]).ok(), "/a\n");
    assert!(run(&["whoami"]).ok().contains("x509"));
    assert_eq!(run(&["word", "ruok"]).ok(), "imok\n");
    assert!(run(&["top", "--once"]).ok().contains("1 of 1 servers up"));
    let anonymous = run_with(zks(&hosts, &["--tls-ca", &ca, "ls"]), b"");
    anonymous.fails(6, "the server refuses this client: ");
    let plain = zks(&hosts, &["--connect-timeout", "1s", "ls"]);
    run_with(plain, b"").fails(3, "hint: ");
}

/// Whoever is asked must be bob.
fn users() -> (EmbeddedEnsemble, String) {
    let builder = EmbeddedEnsemble::builder().servers(1).tick(Duration::from_millis(200));
    let ensemble = builder.sasl_user("bob", "bobsecret").start().unwrap();
    let servers = ensemble.connect_string();
    (ensemble, servers)
}

#[test]
fn a_password_of_sasl_comes_from_a_file_or_the_environment_and_nowhere_else() {
    let (_ensemble, servers) = users();
    let dir = tempfile::tempdir().unwrap();
    let right = file(dir.path(), "right", "bobsecret\n");
    let wrong = file(dir.path(), "wrong", "guess66\n");
    let run = |args: &[&str], password: Option<&str>| {
        let mut command = zks(&servers, args);
        password.map(|password| command.env("ZKS_SASL_PASSWORD", password));
        let run = run_with(command, b"");
        for secret in ["bobsecret", "guess66"] {
            assert!(!run.out.contains(secret) && !run.err.contains(secret), "{run:?}");
        }
        run
    };
    let bob = ["--sasl-user", "bob"];
    let from_file = [&bob[..], &["--sasl-password-file", &right, "whoami"]].concat();
    assert!(run(&from_file, None).ok().contains("sasl bob"));
    // The file is the more definite word.
    assert!(run(&from_file, Some("guess66")).ok().contains("sasl bob"));
    let whoami = [&bob[..], &["whoami"]].concat();
    assert!(run(&whoami, Some("bobsecret")).ok().contains("sasl bob"));
    for args in [&["ls"][..], &["shell"], &["watch", "/"], &["session"], &["bench"]] {
        let args = [&bob, args].concat();
        let run = at_once(|| run(&args, Some("guess66")));
        run.fails(5, "refuses the user or the password of SASL").fails(5, "hint: --sasl-user");
    }
    let from_file = ["--sasl-user", "bob", "--sasl-password-file", &wrong, "ls"];
    run(&from_file, None).fails(5, "refuses the user or the password");

    run(&["--sasl-user", "bob:bobsecret", "ls"], None).fails(2, "it was not used");
    run(&["--sasl-user", "", "ls"], None).fails(2, "--sasl-user is empty");
    run(&["--sasl-password-file", &right, "ls"], None).fails(2, "of no use without --sasl-user");
    let missing = ["--sasl-user", "bob", "--sasl-password-file", "/no/such", "ls"];
    run(&missing, None).fails(1, "cannot read /no/such");
    run(&whoami, Some("")).fails(2, "ZKS_SASL_PASSWORD holds no password");
    let lines = file(dir.path(), "lines", "one\ntwo\n");
    let two = ["--sasl-user", "bob", "--sasl-password-file", &lines, "ls"];
    run(&two, None).fails(2, "one line is wanted");
    run(&["demo", "--connect", "a:1,b:1", "--sasl-user", "bob"], None).fails(2, "no SASL");
}

#[test]
fn a_server_without_sasl_is_not_taken_for_one_with() {
    let stage = Stage::new(1);
    let mut command = zks(&stage.servers, &["--sasl-user", "bob", "ls"]);
    command.env("ZKS_SASL_PASSWORD", "bobsecret");
    at_once(|| run_with(command, b"")).fails(5, "SASL");
}

#[tokio::test(flavor = "multi_thread")]
async fn sasl_goes_through_tls() {
    let (_ensemble, servers) = users();
    let authority = Authority::new();
    let relay = TlsRelay::start(servers, server(&authority.identity(&["localhost"]), None)).await;
    let dir = tempfile::tempdir().unwrap();
    let ca = file(dir.path(), "ca.pem", &authority.pem());
    let hosts = format!("localhost:{}", relay.addr.port());
    for (password, code) in [("bobsecret", 0), ("guess66", 5)] {
        let mut command = zks(&hosts, &["--tls-ca", &ca, "--sasl-user", "bob", "whoami"]);
        command.env("ZKS_SASL_PASSWORD", password);
        let run = run_with(command, b"");
        assert_eq!(run.code, code, "{run:?}");
    }
}
