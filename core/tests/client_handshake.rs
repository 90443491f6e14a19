//! How a session begins, is resumed, and is refused.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{
    Client, PASSWD, Seen, accepted, deadline, frame, handshake_answer, lost, ms, refused, reply,
    reply_header,
};
use zk_session::client::{Cause, ClientConfig, ClientSession, ExpiryReason, KeeperState, Link};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{Reply, Request, SessionId, Stat, Zxid};
use zk_session::{ConfigError, DisconnectReason, Duration, Instant, Machine, OpError};

const ESTABLISHED: Seen = Seen::State(KeeperState::SyncConnected, Cause::Established);
const RESUMED: Seen = Seen::State(KeeperState::SyncConnected, Cause::Resumed);
const EXPIRED: Seen = Seen::State(KeeperState::Expired, Cause::Expired(ExpiryReason::ToldByServer));

#[test]
fn a_new_session_is_asked_for_in_49_bytes_and_nothing_else_leaves_before_the_answer() {
    let mut client = Client::owned("h1");
    client.dial();
    client.up();
    let mut bytes = vec![0, 0, 0, 45, 0, 0, 0, 0]; // length, protocol version
    bytes.extend(0_i64.to_be_bytes()); // last zxid seen
    bytes.extend(6000_i32.to_be_bytes()); // timeout
    bytes.extend(0_i64.to_be_bytes()); // session id
    bytes.extend([0, 0, 0, 16]);
    bytes.extend([0; 16]); // password
    bytes.push(0); // read only
    assert_eq!(client.session.poll_transmit(), bytes);
    client.session.handle_transmitted(client.now, bytes.len());
    client.wait(5999);
    assert!(client.take_sent().is_empty(), "not even a ping");
}

#[test]
fn the_read_only_flag_is_sent_if_it_is_allowed() {
    let config = ClientConfig::new("h1", 1).timeout(ms(6000)).allow_read_only();
    assert_eq!(Client::of(config).open().read_only, Some(true));
    assert_eq!(Client::owned("h1").open().read_only, Some(false));
}

#[test]
fn the_negotiated_timeout_is_the_one_that_holds() {
    let mut client = Client::owned("h1");
    assert_eq!(client.session.timeout(), ms(6000));
    client.open();
    client.receive(&accepted(7, 4000));
    assert_eq!(client.seen(), [ESTABLISHED]);
    assert_eq!(client.session.timeout(), ms(4000));
    assert_eq!(client.session.session_id(), SessionId(7));
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn r6_an_answer_without_the_read_only_byte_is_as_good() {
    let bytes = handshake_answer(7, 4000, &PASSWD, None);
    assert_eq!(bytes.len(), 4 + 36);
    let mut client = Client::owned("h1");
    client.open();
    client.receive(&bytes);
    assert_eq!(client.seen(), [ESTABLISHED]);
    // And what follows it is a frame of its own.
    let xid = client.submit(&Request::exists("/a", false));
    client.receive(&reply(xid, 5, &Reply::Stat(Stat::default())));
    assert!(matches!(client.seen()[..], [Seen::Reply(answered, _, Ok(_))] if answered == xid));
}

#[test]
fn g8_t1_a_session_is_resumed_with_its_id_password_and_last_zxid() {
    let mut client = Client::owned("h1,h2").connected();
    let xid = client.submit(&Request::exists("/a", false));
    client.receive(&reply(xid, 0x1_0000_0009, &Reply::Stat(Stat::default())));
    client.lose();
    client.seen();
    let again = client.open();
    assert_eq!((again.session_id, &again.passwd[..]), (7, &PASSWD[..]));
    assert_eq!(again.last_zxid, 0x1_0000_0009);
    client.receive(&accepted(7, 6000));
    assert_eq!(client.seen(), [RESUMED]);
    // The session works.
    let xid = client.submit(&Request::exists("/a", false));
    client.receive(&reply(xid, 10, &Reply::Stat(Stat::default())));
    assert_eq!(client.seen().len(), 1);
}

#[test]
fn x6_an_id_with_the_top_bit_set_is_an_id_like_any_other() {
    let mut client = Client::owned("h1");
    client.connect(i64::MIN, 6000);
    assert_eq!(format!("{}", client.session.session_id()), "0x8000000000000000");
    client.lose();
    assert_eq!(client.open().session_id, i64::MIN);
    client.receive(&accepted(i64::MIN, 6000));
    assert_eq!(client.seen().last(), Some(&RESUMED));
}

#[test]
fn t6_the_requested_timeout_is_sent_again_however_little_was_granted() {
    let mut client = Client::owned("h1");
    for granted in [4000, 100, 1, 5000] {
        assert_eq!(client.connect(7, granted).timeout, 6000);
        client.lose();
    }
}

#[test]
fn every_reattach_may_change_the_timeout() {
    let mut client = Client::owned("h1");
    for granted in [4000, 9000, 3000] {
        client.connect(7, granted);
        assert_eq!(client.session.timeout().as_millis(), u64::try_from(granted).unwrap());
        assert_eq!(deadline(&client), u64::try_from(granted).unwrap() / 3);
        client.lose();
    }
}

#[test]
fn a_refusal_expires_a_session_that_there_was() {
    let mut client = Client::owned("h1").connected();
    client.lose();
    client.open();
    client.seen();
    client.receive(&refused());
    assert_eq!(client.seen(), [EXPIRED]);
    assert_eq!(client.session.poll_link(), Link::Down);
    assert_eq!(client.session.poll_timeout(), None);
    assert_eq!(client.session.session_id(), SessionId(7), "still to be read");
}

#[test]
fn a_refusal_of_a_new_session_is_no_expiry_but_a_failed_attempt() {
    let mut client = Client::owned("h1");
    client.open();
    client.receive(&refused());
    assert_eq!(client.seen(), []);
    let (_, reason) = client.session.last_disconnect().unwrap();
    assert_eq!(reason, DisconnectReason::NewSessionRefused);
    client.connect(7, 6000);
}

#[test]
fn a_negative_timeout_is_a_refusal_too() {
    let mut client = Client::owned("h1").connected();
    client.lose();
    client.open();
    client.seen();
    client.receive(&handshake_answer(7, -1, &PASSWD, Some(false)));
    assert_eq!(client.seen(), [EXPIRED]);
}

#[test]
fn x1_c8_resuming_as_another_session_is_an_expiry_and_then_a_new_session_can_be_had() {
    let mut client = Client::owned("h1").connected();
    client.submit(&Request::exists("/a", true));
    client.lose();
    client.open();
    client.seen();
    client.receive(&accepted(8, 6000));
    let reason = ExpiryReason::ResumedAsAnother { got: SessionId(8) };
    assert_eq!(client.seen(), [Seen::State(KeeperState::Expired, Cause::Expired(reason))]);
    assert_eq!(client.session.session_id(), SessionId(7));
    assert_eq!(client.session.poll_link(), Link::Down);
    client.session.reopen(client.now);
    assert_eq!(client.session.watches(), 0);
    let fresh = client.connect(9, 6000);
    assert_eq!((fresh.session_id, fresh.last_zxid, &fresh.passwd[..]), (0, 0, &[0; 16][..]));
}

#[test]
fn a_refusal_with_the_end_of_the_stream_behind_it_is_still_an_expiry() {
    let mut client = Client::owned("h1").connected();
    client.lose();
    client.open();
    client.seen();
    client.receive_unseen(&refused());
    client.session.handle_disconnected(client.now);
    assert_eq!(client.seen(), [EXPIRED]);
    assert_eq!(client.session.poll_timeout(), None);
}

#[test]
fn an_answer_with_the_end_of_the_stream_behind_it_is_a_session_and_a_loss() {
    let mut client = Client::owned("h1");
    client.open();
    client.receive_unseen(&accepted(7, 6000));
    client.session.handle_disconnected(client.now);
    let reason = DisconnectReason::TransportClosed;
    assert_eq!(client.seen(), [ESTABLISHED, lost(reason)]);
    assert_eq!(client.session.last_disconnect().unwrap().1, reason);
    assert_eq!(client.open().session_id, 7);
}

#[test]
fn half_an_answer_is_none() {
    let mut client = Client::owned("h1").connected();
    client.lose();
    for cut in 0..refused().len() {
        client.open();
        client.seen();
        client.receive_unseen(&refused()[..cut]);
        client.session.handle_disconnected(client.now);
        assert_eq!(client.seen(), [], "cut after {cut} bytes");
        assert_eq!(
            client.session.last_disconnect().unwrap().1,
            DisconnectReason::ClosedInHandshake
        );
    }
}

#[test]
fn an_error_reply_in_place_of_the_answer_is_malformed_and_no_expiry() {
    // What a read-only server sends to a createSession: 16 bytes.
    let mut client = Client::owned("h1").connected();
    client.lose();
    client.open();
    client.seen();
    client.receive(&reply_header(0, 0, -119));
    assert_eq!(client.seen(), []);
    let (_, reason) = client.session.last_disconnect().unwrap();
    assert!(matches!(reason, DisconnectReason::Malformed(_)), "{reason:?}");
    client.connect(7, 6000);
}

#[test]
fn an_answer_with_a_password_of_another_length_or_without_an_id_is_not_believed() {
    for bytes in [
        handshake_answer(7, 6000, &[1; 15], Some(false)),
        handshake_answer(7, 6000, &[], Some(false)),
        handshake_answer(0, 6000, &PASSWD, Some(false)),
        frame(|w| w.raw(&[0; 3])),
    ] {
        let mut client = Client::owned("h1");
        client.open();
        client.receive(&bytes);
        assert_eq!(client.seen(), []);
        assert_eq!(client.session.session_id(), SessionId::NONE);
        client.connect(7, 6000);
    }
}

#[test]
fn c7_impossible_lengths_of_the_answer_end_the_attempt() {
    for len in [i32::MAX, -1, 0, i32::MIN, 17 << 20] {
        let mut client = Client::owned("h1");
        client.open();
        client.receive(&len.to_be_bytes());
        client.receive(&[0; 16]);
        assert_eq!(client.seen(), []);
        assert_eq!(
            client.session.last_disconnect().unwrap().1,
            DisconnectReason::BadFrameLength { len }
        );
        client.connect(7, 6000);
    }
}

#[test]
fn the_id_of_a_read_only_server_is_a_throw_away_but_a_real_session_survives_one() {
    let config = || ClientConfig::new("h1", 1).timeout(ms(6000)).allow_read_only();
    let read_only = Seen::State(KeeperState::ConnectedReadOnly, Cause::Established);
    let mut client = Client::of(config());
    client.open();
    client.receive(&handshake_answer(99, 6000, &PASSWD, Some(true)));
    assert_eq!(client.seen(), [read_only]);
    client.lose();
    assert_eq!(client.open().session_id, 0);
    client.receive(&accepted(7, 6000));
    assert_eq!(client.seen().last(), Some(&ESTABLISHED));

    client.lose();
    assert_eq!(client.open().session_id, 7);
    client.receive(&handshake_answer(7, 6000, &PASSWD, Some(true)));
    let resumed = Seen::State(KeeperState::ConnectedReadOnly, Cause::Resumed);
    assert_eq!(client.seen().last(), Some(&resumed));
    client.lose();
    assert_eq!(client.open().session_id, 7);
}

#[test]
fn z2_an_expired_session_can_be_opened_anew_from_the_same_handle() {
    let mut client = Client::owned("h1").connected();
    let before = client.submit(&Request::exists("/a", true));
    client.lose();
    client.open();
    client.receive(&refused());
    assert_eq!(
        client.seen(),
        [
            Seen::failed(before, OpError::ConnectionLoss),
            lost(DisconnectReason::TransportClosed),
            EXPIRED
        ]
    );
    // Nothing but `reopen` has an effect on a session that is over.
    client.session.handle_connected(client.now);
    client.session.handle_timeout(client.now.after(ms(100_000)));
    assert_eq!(client.session.handle_bytes(client.now, &accepted(7, 6000)), 0);
    assert_eq!(client.session.poll_timeout(), None);

    client.session.reopen(client.now);
    assert_eq!(client.session.state(), KeeperState::Disconnected);
    assert_eq!(client.session.timeout(), ms(6000));
    assert!(client.session.poll_timeout().is_some());
    assert_eq!(client.connect(8, 6000).session_id, 0);
    let after = client.submit(&Request::exists("/a", false));
    assert!(after > before, "numbers go on");
}

#[test]
fn reopen_does_nothing_before_the_end() {
    let mut client = Client::owned("h1").connected();
    client.session.reopen(client.now);
    assert_eq!(client.session.poll_link(), Link::Up);
    client.session.handle_disconnected(client.now);
    client.session.reopen(client.now);
    assert_eq!(client.seen(), [lost(DisconnectReason::TransportClosed)]);
    assert_eq!(client.open().session_id, 7);
}

#[test]
fn g8_passwords_and_credentials_are_in_no_debug_output() {
    let mut memory = Fixed::<512, 512, 512, 4>::new();
    let config = ClientConfig::new("h1", 7).timeout(ms(6000));
    let mut client = Client::with(config.clone(), memory.lend());
    client.connect(7, 6000);
    client.session.submit(&Request::add_auth("digest", b"user:secret!")).unwrap();
    let text = format!("{:?} {config:?}", client.session);
    let io = format!("{:?}", client.session.poll_io());
    client.dial_after_loss();
    client.up();
    let handshake = format!("{:?}", client.session.poll_io());
    drop(client);
    for text in [text, io, handshake, format!("{memory:?}")] {
        for secret in [&PASSWD[..], b"secret!"] {
            let numbers = format!("{secret:?}");
            let numbers = numbers.trim_matches(['[', ']']);
            assert!(!text.contains(numbers), "{text}");
            assert!(!text.contains(std::str::from_utf8(secret).unwrap()), "{text}");
        }
    }
}

#[test]
fn an_idle_sessions_state_is_under_a_kibibyte() {
    let size = size_of::<ClientSession<'static>>();
    assert!(size < 1024, "{size}");
}

#[test]
fn memory_that_could_never_connect_is_refused_at_once() {
    let new = |config, limits| {
        ClientSession::new(config, Storage::owned(limits), Instant::ORIGIN).map(|_| ())
    };
    let mut limits = Limits::default();
    limits.recv = 40;
    let config = || ClientConfig::new("h1", 1);
    let small = |buffer, size, needed| Err(ConfigError::BufferTooSmall { buffer, size, needed });
    assert_eq!(new(config(), limits), small("receive", 40, 41));
    let mut limits = Limits::default();
    limits.transmit = 48;
    assert!(matches!(
        new(config(), limits),
        Err(ConfigError::BufferTooSmall { buffer: "transmit", size: 48, .. })
    ));
    let mut limits = Limits::default();
    limits.requests = 0;
    assert_eq!(new(config(), limits), Err(ConfigError::NoRequestSlots));
    for timeout in [Duration::ZERO, ms(1 << 31), ms(u64::MAX)] {
        let config = config().timeout(timeout);
        assert_eq!(new(config, Limits::default()), Err(ConfigError::Timeout));
    }
    assert!(matches!(
        new(ClientConfig::new("", 1), Limits::default()),
        Err(ConfigError::ConnectString(_))
    ));
}

#[test]
fn the_least_memory_there_can_be_connects_pings_asks_and_closes() {
    let mut limits = Limits::default();
    (limits.recv, limits.transmit, limits.registry, limits.requests) = (41, 64, 0, 1);
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, Storage::owned(limits));
    client.connect(7, 6000);
    assert!(client.session.can_submit(), "a small request is accepted, so this says so");
    let xid = client.submit(&Request::delete("/a", -1));
    client.receive(&reply(xid, 1, &Reply::Empty));
    assert_eq!(client.seen(), [Seen::Reply(xid, Zxid(1), Ok(vec![]))]);
    client.wait(2000);
    client.session.close(client.now);
    assert_eq!(client.take_sent().len(), 3);
}
