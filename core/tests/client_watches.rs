//! Watches: when they are armed, what uses them up, and that they are set again.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{
    Client, Rearmed, Seen, data, error, lists, lost, ms, notification, pong, rearmed, reconnect,
    reply, reply_header, stat, watch_absent, watch_children, watch_data,
};
use zk_session::client::ClientConfig;
use zk_session::storage::Fixed;
use zk_session::wire::{AddWatchMode, Data, EventType, OpCode, Reply, Request, Stat, Xid, Zxid};
use zk_session::{DisconnectReason, ErrorCode, Machine};

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
