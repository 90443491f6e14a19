//! Servers that begin SASL and do not mean it.
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

use std::time::Duration;

use hostile::{Server, played, reply};
use support::soon;
use tokio::time::Instant;
use zk_session_tokio::{Cause, Client, DigestMd5, KeeperState};

const MILLIS: i32 = 900;
const TIMEOUT: Duration = Duration::from_millis(900);
const LITTLE: Duration = Duration::from_millis(400);

/// A token in its frame.
fn token(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A challenge as DIGEST-MD5 has it.
const CHALLENGE: &[u8] =
    br#"realm="zk-sasl-md5",nonce="abc",qop="auth",charset=utf-8,algorithm=md5-sess"#;

#[test]
fn whatever_a_server_says_in_place_of_sasl_there_is_an_end_or_another_attempt() {
    type Says = fn(i32, usize) -> Vec<u8>;
    let servers: [(&str, Says); 12] = [
        ("no token", |xid, _| reply(xid, 0, 0, &[])),
        ("a null token", |xid, _| reply(xid, 0, 0, &[0xff; 4])),
        ("a token of less than nothing", |xid, _| reply(xid, 0, 0, &[0x80, 0, 0, 0])),
        ("a token without an end", |xid, _| reply(xid, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 1])),
        ("an empty token", |xid, _| reply(xid, 0, 0, &token(b""))),
        ("noise", |xid, _| reply(xid, 0, 0, &token(&[0xfe; 300]))),
        ("half a challenge", |xid, _| reply(xid, 0, 0, &token(&CHALLENGE[..40]))),
        ("a challenge for ever", |xid, _| reply(xid, 0, 0, &token(CHALLENGE))),
        ("a large challenge", |xid, _| reply(xid, 0, 0, &token(&CHALLENGE.repeat(10_000)))),
        ("a false proof", |xid, turn| match turn {
            0 => reply(xid, 0, 0, &token(CHALLENGE)),
            _ => reply(xid, 0, 0, &token(b"rspauth=00000000000000000000000000000000")),
        }),
        ("an error", |xid, _| reply(xid, 0, -4, &[])),
        ("another one's answer", |xid, _| reply(xid + 7, 0, 0, &token(CHALLENGE))),
    ];
    for (what, says) in servers {
        let server = Server::start(move |peer, _| {
            peer.accept(1, MILLIS)?;
            for turn in 0.. {
                let asked = peer.asked()?;
                std::io::Write::write_all(&mut peer.0, &says(asked.xid, turn))?;
            }
            Ok(())
        });
        played(LITTLE, async || {
            let client = Client::builder(server.hosts()).timeout(TIMEOUT);
            let (client, mut transitions) =
                client.sasl(DigestMd5::new("bob", "bobsecret")).start_told().unwrap();
            let until = Instant::now() + Duration::from_millis(600);
            while let Ok(Some(next)) = tokio::time::timeout_at(until, transitions.next()).await {
                assert!(!next.state.is_connected(), "{what}: {next:?}");
                if next.state == KeeperState::AuthFailed {
                    let told = matches!(next.cause, Cause::SaslFailed | Cause::AuthRefused);
                    assert!(told, "{what}: {}", next.cause);
                    assert!(next.cause == Cause::AuthRefused || next.detail.is_some(), "{what}");
                }
            }
            let state = client.state();
            assert!(state == KeeperState::AuthFailed || !state.is_final(), "{what}: {state:?}");
        });
        // Its close tries for two seconds more.
        assert!((1..40).contains(&server.accepted()), "{what}: {}", server.accepted());
    }
}

#[test]
fn a_server_that_is_silent_in_sasl_is_left_in_time_for_the_next() {
    let silent = Server::start(|peer, _| {
        peer.accept(1, MILLIS)?;
        peer.wait_for_the_end()
    });
    played(LITTLE, async || {
        let began = Instant::now();
        let client = Client::builder(silent.hosts()).timeout(TIMEOUT);
        let client = client.sasl(DigestMd5::new("bob", "bobsecret"));
        let error = soon(client.connect_timeout(3 * TIMEOUT).connect()).await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(began.elapsed() < 4 * TIMEOUT);
    });
    assert!((2..=8).contains(&silent.accepted()), "{} attempts", silent.accepted());
}
