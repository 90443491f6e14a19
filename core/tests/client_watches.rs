//! Watches and credentials: armed, fired, and said again on every new connection.
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
    Client, Seen, Sent, accepted, error, lost, ms, notification, pong, reply, reply_header,
};
use zk_session::client::{Cause, ClientConfig, KeeperState, Link};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{
    AddWatchMode, Children, Data, EventType, OpCode, Reply, Request, SetWatches, Stat, Xid, Zxid,
};
use zk_session::{DisconnectReason, ErrorCode, Machine, OpError, SubmitError};

fn stat() -> Reply<'static> {
    Reply::Stat(Stat::default())
}

fn data() -> Reply<'static> {
    Reply::Data(Data { data: None, stat: Stat::default() })
}

/// Sets a data watch.
fn watch_data(client: &mut Client<'_>, path: &str, zxid: i64) {
    let xid = client.submit(&Request::get_data(path, true));
    client.receive(&reply(xid, zxid, &data()));
}

fn watch_children(client: &mut Client<'_>, path: &str, zxid: i64) {
    let xid = client.submit(&Request::get_children(path, true));
    client.receive(&reply(xid, zxid, &Reply::Children(Children::from_slice(&[]))));
}

/// Sets an exists watch on a znode that is not there.
fn watch_absent(client: &mut Client<'_>, path: &str, zxid: i64) {
    let xid = client.submit(&Request::exists(path, true));
    client.receive(&error(xid, zxid, ErrorCode::NoNode));
}

/// What a setWatches frame asks for: relative zxid, then data, exist, child, persistent, recursive.
#[derive(Debug, PartialEq)]
struct Rearmed {
    zxid: i64,
    lists: [Vec<String>; 5],
}

fn rearmed(sent: &Sent) -> Rearmed {
    let of = |w: SetWatches<'_>| Rearmed {
        zxid: w.relative_zxid.0,
        lists: [w.data, w.exist, w.child, w.persistent, w.persistent_recursive]
            .map(|list| list.iter().map(|path| path.as_str().unwrap().to_owned()).collect()),
    };
    assert_eq!(sent.xid(), Xid::SET_WATCHES.0);
    match sent.request() {
        Request::SetWatches(watches) | Request::SetWatches2(watches) => of(watches),
        other => panic!("not a setWatches: {other:?}"),
    }
}

fn lists<const N: usize>(of: [&[&str]; N]) -> [Vec<String>; 5] {
    let mut lists: [Vec<String>; 5] = Default::default();
    for (list, paths) in lists.iter_mut().zip(of) {
        *list = paths.iter().map(|path| (*path).to_owned()).collect();
    }
    lists
}

/// Loses the connection and gets it back; returns what the session sent by itself.
fn reconnect(client: &mut Client<'_>) -> Vec<Sent> {
    client.lose();
    client.connect(7, 6000);
    client.take_sent()
}

#[test]
fn k2_j8_watches_are_registered_again_with_the_last_zxid() {
    for (connect, root) in [("h1", ""), ("h1/app", "/app")] {
        let mut client = Client::owned(connect).connected();
        watch_data(&mut client, "/data", 11);
        watch_absent(&mut client, "/absent", 12);
        watch_children(&mut client, "/", 13);
        assert_eq!(client.session.watches(), 3);
        let sent = reconnect(&mut client);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].op(), Some(OpCode::SetWatches), "what old servers know");
        let name = |path: &str| format!("{root}{path}");
        let top = if root.is_empty() { "/" } else { root };
        assert_eq!(
            rearmed(&sent[0]),
            Rearmed { zxid: 13, lists: lists([&[&name("/data")], &[&name("/absent")], &[top]]) }
        );
        // The answer is for the session alone; its catch-up events are not.
        client.receive(&notification(EventType::NodeDataChanged, &name("/data")));
        client.receive(&reply_header(Xid::SET_WATCHES.0, 20, 0));
        let changed = Seen::Notification(EventType::NodeDataChanged, "/data".to_owned());
        assert_eq!(client.seen(), [changed]);
        assert_eq!(client.session.watches(), 2);
        assert_eq!(client.session.last_zxid(), Zxid(20));
    }
}

#[test]
fn a_new_connection_without_watches_is_told_nothing() {
    let mut client = Client::owned("h1").connected();
    watch_data(&mut client, "/a", 5);
    client.receive(&notification(EventType::NodeDeleted, "/a"));
    assert!(reconnect(&mut client).is_empty());
}

#[test]
fn a_watch_is_armed_by_the_reply_alone() {
    let mut client = Client::owned("h1").connected();
    let get = client.submit(&Request::get_data("/a", true));
    assert_eq!(client.session.watches(), 0);
    // An event that was on its way before the reply cannot hit it.
    client.receive(&notification(EventType::NodeDataChanged, "/a"));
    client.receive(&reply(get, 5, &data()));
    assert_eq!(client.session.watches(), 1);

    let refusals = [
        Request::get_data("/b", true),
        Request::get_children("/b", true),
        Request::get_children2("/b", true),
    ];
    for request in refusals {
        let xid = client.submit(&request);
        client.receive(&error(xid, 6, ErrorCode::NoNode));
        assert_eq!(client.session.watches(), 1, "{request:?}");
    }
    let exists = client.submit(&Request::exists("/b", true));
    client.receive(&error(exists, 6, ErrorCode::NoAuth));
    assert_eq!(client.session.watches(), 1);
    let unwatched = client.submit(&Request::exists("/b", false));
    client.receive(&error(unwatched, 6, ErrorCode::NoNode));
    assert_eq!(client.session.watches(), 1);
}

#[test]
fn an_exists_watch_is_a_data_watch_if_the_znode_is_there() {
    let mut client = Client::owned("h1").connected();
    let there = client.submit(&Request::exists("/there", true));
    client.receive(&reply(there, 5, &stat()));
    watch_absent(&mut client, "/absent", 6);
    let sent = reconnect(&mut client);
    assert_eq!(rearmed(&sent[0]).lists, lists([&["/there"], &["/absent"]]));
}

#[test]
fn a_reply_that_was_too_large_or_malformed_has_armed_its_watch_all_the_same() {
    let mut memory = Fixed::<200, 300, 100, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    let big = client.submit(&Request::get_data("/big", true));
    let bytes = [0; 300];
    let body = Reply::Data(Data { data: Some(&bytes), stat: Stat::default() });
    client.receive(&reply(big, 5, &body));
    let bad = client.submit(&Request::get_data("/bad", true));
    client.receive(&reply_header(bad.0, 6, 0));
    assert_eq!(client.seen().len(), 2);
    let sent = reconnect(&mut client);
    assert_eq!(rearmed(&sent[0]).lists, lists([&["/big", "/bad"]]));
}

#[test]
fn events_use_up_the_watches_that_they_fire() {
    use EventType::*;
    // After each event: are data, exist and child watch still there?
    for (event, left) in [
        (NodeCreated, [false, false, true]),
        (NodeDataChanged, [false, false, true]),
        (NodeDeleted, [false, false, false]),
        (NodeChildrenChanged, [true, true, false]),
        (Unknown(9), [true, true, true]),
    ] {
        let mut client = Client::owned("h1").connected();
        watch_data(&mut client, "/a", 5);
        watch_absent(&mut client, "/a", 5);
        watch_children(&mut client, "/a", 5);
        watch_children(&mut client, "/other", 5);
        client.receive(&notification(event, "/a"));
        let sent = reconnect(&mut client);
        let expected = left.map(|left| if left { vec!["/a".to_owned()] } else { Vec::new() });
        let found = rearmed(&sent[0]).lists;
        assert_eq!(found[..2], expected[..2], "{event:?}");
        assert_eq!(found[2].contains(&"/a".to_owned()), left[2], "{event:?}");
        assert!(found[2].contains(&"/other".to_owned()));
    }
}

#[test]
fn a_watch_set_twice_is_kept_once() {
    let mut client = Client::owned("h1").connected();
    for _ in 0..3 {
        watch_data(&mut client, "/a", 5);
    }
    assert_eq!(client.session.watches(), 1);
}

#[test]
fn r1_persistent_watches_go_into_setwatches2_with_all_five_lists() {
    let mut client = Client::owned("h1").connected();
    watch_data(&mut client, "/d", 5);
    watch_absent(&mut client, "/e", 5);
    watch_children(&mut client, "/c", 5);
    for (path, mode) in
        [("/p", AddWatchMode::Persistent), ("/r", AddWatchMode::PersistentRecursive)]
    {
        let xid = client.submit(&Request::add_watch(path, mode));
        client.receive(&reply(xid, 6, &Reply::AddWatch(0)));
    }
    for kind in [EventType::NodeCreated, EventType::NodeDeleted, EventType::NodeChildrenChanged] {
        client.receive(&notification(kind, "/p"));
        client.receive(&notification(kind, "/r"));
    }
    let sent = reconnect(&mut client);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].op(), Some(OpCode::SetWatches2));
    assert_eq!(rearmed(&sent[0]).lists, lists([&["/d"], &["/e"], &["/c"], &["/p"], &["/r"]]));
}

#[test]
fn watches_of_requests_that_were_lost_are_dropped_and_their_room_is_free_again() {
    let mut memory = Fixed::<200, 300, 40, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for _ in 0..20 {
        client.submit(&Request::get_data("/0123456789", true));
        client.submit(&Request::get_data("/0123456789", true));
        assert!(reconnect(&mut client).is_empty());
        assert_eq!(client.session.watches(), 0);
    }
}

#[test]
fn a_reply_found_after_the_loss_still_arms_its_watch() {
    let mut client = Client::owned("h1").connected();
    let xid = client.submit(&Request::get_data("/a", true));
    client.receive_unseen(&reply(xid, 5, &data()));
    client.session.handle_disconnected(client.now);
    client.pull();
    let sent = reconnect(&mut client);
    assert_eq!(rearmed(&sent[0]), Rearmed { zxid: 5, lists: lists([&["/a"]]) });
}

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
    const WATCHES: usize = if cfg!(debug_assertions) { 4_000 } else { 20_000 };
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
fn r7_sixty_thousand_paths_watched_one_after_the_other_need_no_more_memory_than_one() {
    let mut memory = Fixed::<200, 200, 64, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for n in 0..60_000 {
        let path = format!("/some/where/{n}");
        watch_data(&mut client, &path, 5);
        client.receive(&notification(EventType::NodeDeleted, &path));
        client.seen();
    }
    assert_eq!(client.session.watches(), 0);
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

#[test]
fn g6_the_holder_of_a_watch_learns_of_the_partition_and_keeps_the_watch() {
    let mut client = Client::owned("h1,h2").connected();
    watch_data(&mut client, "/a", 5);
    client.seen();
    client.wait(4000);
    assert_eq!(client.seen(), [lost(DisconnectReason::ReadTimeout)]);
    client.connect(7, 6000);
    assert_eq!(rearmed(client.take_sent().last().unwrap()).lists, lists([&["/a"]]));
    client.receive(&pong(0));
    assert_eq!(client.session.watches(), 1);
}
