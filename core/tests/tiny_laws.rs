//! The laws of style.md for the tiny ensemble: any bytes, any time, any order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(feature = "server")]

mod tiny_common;

use proptest::prelude::*;
use tiny_common::{Size, connect_bytes, ensemble, new_session, request_bytes};
use zk_session::Instant;
use zk_session::server::ServerLink;
use zk_session::server::tiny::{Config, ConnectionId, Ensemble};
use zk_session::wire::{AddWatchMode, CreateMode, Request};

const SIZE: Size =
    Size { nodes: 8, watches: 4, sessions: 3, connections: 3, bytes: 96, recv: 160, transmit: 160 };

#[derive(Clone, Debug)]
enum Step {
    Accept,
    Bytes {
        conn: usize,
        bytes: Vec<u8>,
    },
    /// More bytes than there were, too.
    Sent {
        conn: usize,
        n: usize,
    },
    Gone {
        conn: usize,
    },
    /// The clock may run backwards.
    Time {
        millis: u64,
    },
}

fn good() -> Vec<Vec<u8>> {
    let requests = [
        Request::create("/a", b"0123456789", CreateMode::Persistent),
        Request::create("/a/e-", b"", CreateMode::EphemeralSequential),
        Request::create("/long-name-long-name-long-name", b"", CreateMode::Ephemeral),
        Request::set_data("/a", b"01234567890123456789", -1),
        Request::set_data("/a", b"", -1),
        Request::delete("/a", -1),
        Request::get_data("/a", true),
        Request::exists("/b", true),
        Request::get_children2("/", true),
        Request::get_children("/a", true),
        Request::add_watch("/", AddWatchMode::PersistentRecursive),
        Request::get_ephemerals("/a"),
        Request::CloseSession,
        Request::Ping,
    ];
    let requests = requests.iter().map(|request| request_bytes(3, request));
    let words = [b"ruok".to_vec(), b"srvr".to_vec(), connect_bytes(&new_session(5000))];
    requests.chain(words).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let conn = || 0..SIZE.connections + 1;
    let some = proptest::sample::select(good());
    let noise = proptest::collection::vec(any::<u8>(), 0..24);
    let framed =
        (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..24)).prop_map(|(op, body)| {
            let len = u32::try_from(body.len() + 8).unwrap().to_be_bytes();
            [&len[..], &[0, 0, 0, 4], &[0, 0, 0, op % 24], &body[..]].concat()
        });
    let bytes = prop_oneof![12 => some, 1 => noise, 3 => framed];
    let step = prop_oneof![
        3 => Just(Step::Accept),
        3 => conn().prop_map(|conn| Step::Bytes { conn, bytes: connect_bytes(&new_session(4000)) }),
        20 => (conn(), bytes).prop_map(|(conn, bytes)| Step::Bytes { conn, bytes }),
        20 => (conn(), 0..300_usize).prop_map(|(conn, n)| Step::Sent { conn, n }),
        1 => conn().prop_map(|conn| Step::Gone { conn }),
        2 => (0..20_000_u64).prop_map(|millis| Step::Time { millis }),
    ];
    proptest::collection::vec(step, 0..80)
}

/// The connections that there have been, and one that there may not be.
fn ids(ensemble: &mut Ensemble<'_>) -> Vec<ConnectionId> {
    std::iter::from_fn(|| ensemble.accept(Instant::ORIGIN)).collect()
}

fn views(ensemble: &Ensemble<'_>, conn: ConnectionId) -> (Vec<u8>, ServerLink, bool) {
    let sent = ensemble.poll_transmit(conn).to_vec();
    (sent, ensemble.poll_link(conn), ensemble.poll_reason(conn).is_some())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_it_goes_on(steps in steps()) {
        let mut ensemble = ensemble(Config::default(), SIZE);
        let known = ids(&mut ensemble);
        for conn in &known {
            ensemble.handle_disconnected(Instant::ORIGIN, *conn);
        }
        let mut now = Instant::ORIGIN;
        for step in &steps {
            let at = |conn: usize| known.get(conn).copied().unwrap_or(known[0]);
            match step {
                Step::Accept => _ = ensemble.accept(now),
                Step::Bytes { conn, bytes } => {
                    let taken = ensemble.handle_bytes(now, at(*conn), bytes);
                    prop_assert!(taken <= bytes.len());
                }
                Step::Sent { conn, n } => ensemble.handle_transmitted(now, at(*conn), *n),
                Step::Gone { conn } => ensemble.handle_disconnected(now, at(*conn)),
                Step::Time { millis } => {
                    now = Instant::from_millis(now.as_millis() / 2 + millis);
                    ensemble.handle_timeout(now);
                }
            }
            // Time, when it is told, has passed.
            if let Some(due) = ensemble.poll_timeout() {
                if due <= now {
                    ensemble.handle_timeout(due.max(now));
                    prop_assert!(ensemble.poll_timeout().is_none_or(|next| next > due));
                }
            }
            for conn in &known {
                let before = views(&ensemble, *conn);
                prop_assert_eq!(&before, &views(&ensemble, *conn));
                prop_assert_eq!(&before.0, &ensemble.poll_io(*conn).transmit.to_vec());
                prop_assert!(before.0.len() <= SIZE.transmit);
                // Who takes what is sent can always send more.
                let stuck = before.1 == ServerLink::Up
                    && before.0.is_empty()
                    && ensemble.poll_io(*conn).recv.is_empty();
                prop_assert!(!stuck);
            }
            prop_assert!(ensemble.bytes_used() <= SIZE.bytes);
            prop_assert!(ensemble.watch_count() <= SIZE.watches);
            prop_assert!(ensemble.session_count() <= SIZE.sessions);
            // A driver that serves whoever is ready comes to an end.
            let ready = std::iter::from_fn(|| ensemble.poll_ready()).count();
            prop_assert!(ready <= SIZE.connections);
        }
        // Everyone goes, their time passes, and what they did not make to stay is gone.
        for conn in &known {
            ensemble.handle_disconnected(now, *conn);
        }
        ensemble.handle_timeout(Instant::from_millis(1 << 40));
        prop_assert_eq!((ensemble.session_count(), ensemble.watch_count()), (0, 0));
        prop_assert_eq!((ensemble.connection_count(), ensemble.poll_timeout()), (0, None));
    }
}
