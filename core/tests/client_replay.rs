//! What a new connection must hear again: credentials, then watches, then the application.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeSet;

use support::{
    Client, Seen, Sent, accepted, data, error, lost, ms, notification, rearmed, reconnect, reply,
    reply_header, stat, watch_children, watch_data,
};
use zk_session::client::{Cause, ClientConfig, KeeperState, Link};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{EventType, OpCode, Request, Xid, Zxid};
use zk_session::{DisconnectReason, ErrorCode, Machine, OpError, SubmitError};

#[test]
fn watches_are_registered_before_any_request_of_the_application_in_chunks_that_fit() {
    let mut memory = Fixed::<200, 128, 3000, 8>::new();
    let config = ClientConfig::new("h1/chroot", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    let mut wanted = BTreeSet::new();
    for n in 0..80 {
        let path = format!("/watched/{n}");
        watch_data(&mut client, &path, 5 + n);
        wanted.insert(format!("/chroot{path}"));
    }
    client.lose();
    client.open();
    client.session.handle_bytes(client.now, &accepted(7, 6000));
    client.pull();
    let (mut found, mut frames, mut refusals) = (BTreeSet::new(), 0, 0);
    loop {
        match client.session.submit(&Request::delete("/a", -1)) {
            Ok(_) => break,
            Err(error) => assert_eq!(error, SubmitError::NotConnected),
        }
        assert!(!client.session.can_submit());
        refusals += 1;
        assert!(client.session.poll_transmit().len() <= 128);
        assert!(client.transmit(), "the replay does not stall");
    }
    for sent in client.take_sent() {
        if sent.op() == Some(OpCode::Delete) {
            break;
        }
        let rearmed = rearmed(&sent);
        assert_eq!(rearmed.zxid, 84, "each chunk says the same zxid");
        for path in &rearmed.lists[0] {
            assert!(found.insert(path.clone()), "{path} comes twice");
        }
        frames += 1;
    }
    assert_eq!(found, wanted);
    assert!(frames >= 30 && refusals > 1, "{frames} frames, {refusals} refusals");
    for _ in 0..frames {
        client.receive(&reply_header(Xid::SET_WATCHES.0, 90, 0));
    }
    assert_eq!(client.session.poll_link(), Link::Up);
    assert_eq!(client.session.watches(), 80);
}

#[test]
fn the_answers_to_the_first_chunks_do_not_hide_changes_from_the_last_ones() {
    // What changed between the old connection's last reply and the new one's first is newer than
    // 5 and older than 90: every chunk must ask for it.
    let mut memory = Fixed::<200, 128, 3000, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for n in 0..30 {
        watch_data(&mut client, &format!("/watched/{n}"), 5);
    }
    client.lose();
    client.open();
    client.session.handle_bytes(client.now, &accepted(7, 6000));
    client.pull();
    let mut frames = 0;
    while !client.session.can_submit() {
        for sent in client.take_sent_one() {
            frames += 1;
            assert_eq!(rearmed(&sent).zxid, 5, "frame {frames}");
            client.session.handle_bytes(client.now, &reply_header(Xid::SET_WATCHES.0, 90, 0));
            client.pull();
        }
    }
    assert!(frames > 5);
    assert_eq!(client.session.last_zxid(), Zxid(90));
}

#[test]
fn a_replay_that_breaks_off_after_its_first_answer_does_not_hide_changes_from_the_next() {
    let mut memory = Fixed::<200, 128, 3000, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for n in 0..30 {
        watch_data(&mut client, &format!("/watched/{n}"), 5);
    }
    client.lose();
    client.open();
    client.session.handle_bytes(client.now, &accepted(7, 6000));
    client.pull();
    client.take_sent_one();
    client.session.handle_bytes(client.now, &reply_header(Xid::SET_WATCHES.0, 90, 0));
    client.pull();
    client.session.handle_disconnected(client.now);
    client.pull();
    assert_eq!(client.connect(7, 6000).last_zxid, 5);
    let sent = client.take_sent();
    assert!(sent.iter().all(|sent| rearmed(sent).zxid == 5));
    for _ in &sent {
        assert_eq!(client.session.last_zxid(), Zxid(5));
        client.receive(&reply_header(Xid::SET_WATCHES.0, 90, 0));
    }
    assert_eq!(client.session.last_zxid(), Zxid(90));
}

#[test]
fn replays_that_are_broken_off_begin_anew() {
    let mut memory = Fixed::<200, 128, 3000, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for n in 0..30 {
        watch_data(&mut client, &format!("/watched/{n}"), 5);
    }
    client.lose();
    for turns in 0..10 {
        client.open();
        client.session.handle_bytes(client.now, &accepted(7, 6000));
        client.pull();
        for _ in 0..turns {
            client.transmit();
        }
        client.session.handle_disconnected(client.now);
        client.pull();
    }
    client.take_sent();
    client.connect(7, 6000);
    let paths: usize = client.take_sent().iter().map(|sent| rearmed(sent).lists[0].len()).sum();
    assert_eq!(paths, 30);
}

#[test]
fn events_during_the_replay_are_events() {
    let mut memory = Fixed::<200, 128, 3000, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for n in 0..30 {
        watch_data(&mut client, &format!("/watched/{n}"), 5);
    }
    client.lose();
    client.open();
    client.session.handle_bytes(client.now, &accepted(7, 6000));
    client.pull();
    // All that is registered fires at once, and so does what is not yet.
    for n in (0..30).rev() {
        client.session.handle_bytes(
            client.now,
            &notification(EventType::NodeDeleted, &format!("/watched/{n}")),
        );
        client.pull();
    }
    assert_eq!(client.session.watches(), 0);
    client.seen();
    client.submit(&Request::delete("/a", -1));
    assert_eq!(client.take_sent().last().unwrap().op(), Some(OpCode::Delete));
}

#[test]
fn j3_c1_twenty_thousand_watches_come_back_in_frames_that_servers_take() {
    // The same two megabytes of paths either way; each armed watch looks at all the others.
    const WATCHES: usize = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
    const LENGTH: usize = 2_000_000 / WATCHES - 1;
    let mut client = Client::owned("h1").connected();
    let path = |n: usize| format!("/{n:0>LENGTH$}");
    // Pipelined, as a service would.
    for start in (0..WATCHES).step_by(1000) {
        let xids: Vec<Xid> = (start..start + 1000)
            .map(|n| client.session.submit(&Request::get_data(&path(n), true)).unwrap())
            .collect();
        client.pump();
        let bytes: Vec<u8> = xids.iter().flat_map(|xid| reply(*xid, 5, &data())).collect();
        client.receive(&bytes);
    }
    assert_eq!(client.session.watches(), WATCHES);
    client.seen();
    let sent = reconnect(&mut client);
    assert!(sent.len() >= 15, "{} frames", sent.len());
    let mut found = BTreeSet::new();
    for sent in &sent {
        let Sent::Request { body, .. } = sent else { panic!("{sent:?}") };
        assert!(body.len() < 256 << 10, "{} bytes", body.len());
        found.extend(rearmed(sent).lists[0].iter().cloned());
    }
    assert!(found.into_iter().eq((0..WATCHES).map(path)));
}

#[test]
fn a_refused_replay_is_told_and_all_watches_are_gone() {
    let mut client = Client::owned("h1").connected();
    watch_data(&mut client, "/a", 5);
    watch_children(&mut client, "/a", 5);
    reconnect(&mut client);
    client.receive(&error(Xid::SET_WATCHES, 9, ErrorCode::Unimplemented));
    let unimplemented = OpError::Server(ErrorCode::Unimplemented);
    assert_eq!(client.seen(), [Seen::WatchesLost(unimplemented)]);
    assert_eq!(client.session.watches(), 0);
    assert_eq!(client.session.poll_link(), Link::Up, "t4");
    assert!(reconnect(&mut client).is_empty());
}

#[test]
fn z6_credentials_are_replayed_before_the_watches_and_the_first_request() {
    let mut client = Client::owned("h1").connected();
    for user in [&b"first:1"[..], b"second:2", b"first:1"] {
        client.submit(&Request::add_auth("digest", user));
        client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    }
    watch_data(&mut client, "/a", 5);
    client.seen();
    client.lose();
    client.connect(7, 6000);
    let xid = client.submit(&Request::exists("/a", false));
    let sent = client.take_sent();
    let ops: Vec<_> = sent.iter().filter_map(Sent::op).collect();
    use OpCode::*;
    assert_eq!(ops, [Auth, Auth, SetWatches, Exists], "what was said twice is replayed once");
    assert!(sent[..2].iter().all(|sent| sent.xid() == Xid::AUTH.0));
    assert_eq!(sent[0].request(), Request::add_auth("digest", b"first:1"));
    assert_eq!(sent[1].request(), Request::add_auth("digest", b"second:2"));
    for bytes in [
        reply_header(Xid::AUTH.0, 0, 0),
        reply_header(Xid::AUTH.0, 0, 0),
        reply_header(Xid::SET_WATCHES.0, 9, 0),
        reply(xid, 9, &stat()),
    ] {
        client.receive(&bytes);
    }
    assert!(matches!(client.seen()[..], [Seen::Reply(answered, _, Ok(_))] if answered == xid));
}

#[test]
fn an_auth_request_lost_with_its_connection_is_replayed_on_the_next() {
    let mut client = Client::owned("h1").connected();
    let auth = client.submit(&Request::add_auth("digest", b"u:p"));
    client.lose();
    let loss = lost(DisconnectReason::TransportClosed);
    assert_eq!(client.seen(), [Seen::failed(auth, OpError::ConnectionLoss), loss]);
    client.take_sent();
    client.connect(7, 6000);
    assert_eq!(client.take_sent()[0].request(), Request::add_auth("digest", b"u:p"));
}

#[test]
fn a_replayed_and_a_new_credential_are_told_apart() {
    let mut client = Client::owned("h1").connected();
    client.submit(&Request::add_auth("digest", b"old:1"));
    client.lose();
    client.connect(7, 6000);
    let auth = client.submit(&Request::add_auth("digest", b"new:2"));
    client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    assert_eq!(client.seen(), [], "the replay's");
    client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    assert_eq!(client.seen(), [Seen::Reply(auth, Zxid(0), Ok(vec![]))]);
}

#[test]
fn auth_refused_is_final_and_fails_everything_with_auth_failed() {
    for replayed in [false, true] {
        let mut client = Client::owned("h1").connected();
        let mut pending = Vec::new();
        let mut auth = client.submit(&Request::add_auth("digest", b"u:p"));
        if replayed {
            client.receive(&reply_header(Xid::AUTH.0, 0, 0));
            client.lose();
            client.connect(7, 6000);
        }
        for _ in 0..2 {
            pending.push(client.submit(&Request::exists("/a", true)));
        }
        if replayed {
            auth = Xid(0);
        }
        client.seen();
        client.receive(&error(Xid::AUTH, 0, ErrorCode::AuthFailed));
        let mut expected = Vec::new();
        if !replayed {
            let refused = OpError::Server(ErrorCode::AuthFailed);
            expected.push(Seen::Reply(auth, Zxid(0), Err(refused)));
        }
        expected.extend(pending.iter().map(|xid| Seen::failed(*xid, OpError::AuthFailed)));
        expected.push(Seen::State(KeeperState::AuthFailed, Cause::AuthRefused));
        assert_eq!(client.seen(), expected);
        assert_eq!(client.session.poll_link(), Link::Down);
        assert_eq!(client.session.poll_timeout(), None);
        let before = client.take_sent().len();
        assert_eq!(client.refused(&Request::exists("/a", false)), SubmitError::Ended);
        client.session.close(client.now);
        assert_eq!(client.seen(), []);
        assert!(client.take_sent().is_empty(), "no closeSession after {before} frames");
        // Another session can be opened, and does not repeat the credential.
        client.session.reopen(client.now);
        client.connect(8, 6000);
        assert!(client.take_sent().is_empty());
    }
}

#[test]
fn another_error_to_an_auth_packet_is_an_error_and_no_end() {
    let mut client = Client::owned("h1").connected();
    let auth = client.submit(&Request::add_auth("digest", b"u:p"));
    client.receive(&error(Xid::AUTH, 0, ErrorCode::SystemError));
    let error = OpError::Server(ErrorCode::SystemError);
    assert_eq!(client.seen(), [Seen::Reply(auth, Zxid(0), Err(error))]);
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn many_auth_packets_in_small_memory_are_all_replayed() {
    let mut limits = Limits::default();
    (limits.recv, limits.transmit, limits.registry, limits.requests) = (100, 80, 2000, 4);
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, Storage::owned(limits)).connected();
    for n in 0..30 {
        client.submit(&Request::add_auth("digest", format!("u:{n}").as_bytes()));
        client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    }
    watch_data(&mut client, "/a", 5);
    client.seen();
    let sent = reconnect(&mut client);
    assert_eq!(sent.iter().filter(|sent| sent.op() == Some(OpCode::Auth)).count(), 30);
    assert_eq!(sent.len(), 31);
}

/// ZooKeeper's own client splits at 128 KiB of paths; less than that would be many frames for
/// nothing, more would be refused by servers of small limits.
#[test]
fn watches_go_in_one_frame_up_to_128_kib_of_paths() {
    let mut client = Client::owned("h1").connected();
    let long = "x".repeat(4000);
    for n in 0..40 {
        watch_data(&mut client, &format!("/{n:02}{long}"), 5 + n);
    }
    let frames: Vec<_> =
        reconnect(&mut client).iter().map(|sent| rearmed(sent).lists[0].len()).collect();
    let sizes: Vec<_> = frames.iter().map(|paths| paths * (4003 + 4)).collect();
    assert_eq!(frames.iter().sum::<usize>(), 40);
    assert_eq!(frames.len(), 2, "{sizes:?}");
    let most = 128 * 1024;
    assert!((most - 4007..=most).contains(&sizes[0]), "{sizes:?}");
}
