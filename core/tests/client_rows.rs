//! Scenarios that other clients got wrong, each as it was reported.
#![cfg(all(feature = "server", feature = "alloc"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/play.rs"]
mod play;
mod support;

use play::Play;
use support::{
    Client, Rearmed, Seen, Sent, accepted, data, error, lists, lost, ms, notification, rearmed,
    refused, reply, reply_header, stat, watch_children, watch_data,
};
use zk_session::client::{Cause, ClientConfig, ExpiryReason, KeeperState, Link};
use zk_session::wire::{
    Children, CreateMode, EventType, OpCode, Reply, Request, Stat, Ustring, Xid, Zxid,
};
use zk_session::{DisconnectReason, ErrorCode, Machine, OpError, SubmitError};

fn answered(seen: &[Seen]) -> Vec<Xid> {
    let xids = seen.iter().filter_map(|seen| match seen {
        Seen::Reply(xid, ..) => Some(*xid),
        _ => None,
    });
    xids.collect()
}

fn event(kind: EventType, path: &str) -> Seen {
    Seen::Notification(kind, path.to_owned())
}

#[test]
fn k2_z1_the_answer_to_setwatches_comes_between_replies_and_confuses_none() {
    // Before, between and after the replies to what was asked meanwhile.
    for place in 0..=3 {
        let mut client = Client::owned("h1").connected();
        watch_data(&mut client, "/a", 5);
        watch_children(&mut client, "/a", 6);
        client.lose();
        client.connect(7, 6000);
        let xids: Vec<Xid> = (0..3).map(|_| client.submit(&Request::exists("/b", false))).collect();
        let sent = client.take_sent();
        assert_eq!(rearmed(&sent[0]), Rearmed { zxid: 6, lists: lists([&["/a"], &[], &["/a"]]) });
        let mut frames: Vec<Vec<u8>> = xids.iter().map(|xid| reply(*xid, 7, &stat())).collect();
        frames.insert(place, reply_header(Xid::SET_WATCHES.0, 7, 0));
        client.receive(&frames.concat());
        let seen = client.seen();
        assert_eq!(answered(&seen), xids, "at {place}");
        assert_eq!(seen.len(), 3);
        assert_eq!((client.session.poll_link(), client.session.watches()), (Link::Up, 2));
        client.receive(&notification(EventType::NodeDataChanged, "/a"));
        client.receive(&notification(EventType::NodeChildrenChanged, "/a"));
        assert_eq!(
            client.seen(),
            [event(EventType::NodeDataChanged, "/a"), event(EventType::NodeChildrenChanged, "/a")]
        );
    }
}

#[test]
fn k5_whoever_is_told_of_the_end_may_call_the_session_at_once() {
    let mut client = Client::owned("h1").connected();
    client.submit(&Request::exists("/a", true));
    client.session.handle_disconnected(client.now);
    let mut told = Vec::new();
    // Every event is answered with every call there is, before the next one is pulled.
    for _ in 0..100 {
        while let Some(event) = client.session.poll_event() {
            told.push(Seen::of(&event));
            let refused = client.session.submit(&Request::exists("/a", true));
            let state = client.session.state();
            let word = match state {
                KeeperState::Expired => SubmitError::Ended,
                _ => SubmitError::NotConnected,
            };
            assert_eq!(refused, Err(word), "while {told:?} was told");
            client.session.handle_timeout(client.now);
            assert!(client.session.last_disconnect().is_some());
            assert!(client.session.poll_transmit().is_empty());
            if state == KeeperState::Expired {
                client.session.reopen(client.now);
            }
        }
        if let Link::Dial(_) = client.session.poll_link() {
            if told.iter().any(|seen| matches!(seen, Seen::State(KeeperState::Expired, _))) {
                break;
            }
            client.up();
            client.transmit();
            client.session.handle_bytes(client.now, &refused());
        } else if let Some(at) = client.session.poll_timeout() {
            client.now = client.now.max(at);
            client.session.handle_timeout(client.now);
        }
    }
    assert_eq!(
        told,
        [
            Seen::failed(Xid(1), OpError::ConnectionLoss),
            lost(DisconnectReason::TransportClosed),
            Seen::State(KeeperState::Expired, Cause::Expired(ExpiryReason::ToldByServer)),
        ]
    );
    assert_eq!(client.connect(8, 6000).session_id, 0, "reopened from within");
}

#[test]
fn g2_a_write_that_fails_while_credentials_are_replayed_loses_no_request_and_stops_nothing() {
    let mut client = Client::owned("h1,h2").connected();
    for user in [&b"first:1"[..], b"second:2"] {
        client.submit(&Request::add_auth("digest", user));
        client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    }
    client.seen();
    let (mut accepted_xids, mut answers) = (Vec::new(), Vec::new());
    for cut in 0..120 {
        accepted_xids.push(client.submit(&Request::exists("/a", false)));
        client.lose();
        client.open();
        client.session.handle_bytes(client.now, &accepted(7, 6000));
        client.pull();
        // The transport takes so many bytes of the replay and of the next request, and breaks.
        accepted_xids.push(client.session.submit(&Request::exists("/b", false)).unwrap());
        let there = client.session.poll_transmit().len();
        client.session.handle_transmitted(client.now, cut.min(there));
        client.session.handle_disconnected(client.now);
        let seen = client.seen();
        answers.extend(answered(&seen));
        assert_eq!(seen.last(), Some(&lost(DisconnectReason::TransportClosed)), "cut at {cut}");
        // The next attempt says all of it, and the session works.
        client.take_sent();
        client.connect(7, 6000);
        let xid = client.submit(&Request::exists("/c", false));
        let ops: Vec<_> = client.take_sent().iter().filter_map(Sent::op).collect();
        assert_eq!(ops, [OpCode::Auth, OpCode::Auth, OpCode::Exists]);
        for _ in 0..2 {
            client.receive(&reply_header(Xid::AUTH.0, 0, 0));
        }
        client.receive(&reply(xid, 9, &stat()));
        accepted_xids.push(xid);
        answers.extend(answered(&client.seen()));
    }
    assert_eq!(answers, accepted_xids, "each once, in order");
}

#[test]
fn r8_no_byte_of_a_reply_can_be_changed_so_that_the_session_breaks() {
    let names = [Ustring::from("one"), Ustring::from("two")];
    let data_reply = data();
    let replies: [(Request<'_>, Reply<'_>); 6] = [
        (Request::exists("/a", false), stat()),
        (Request::get_data("/a", true), data_reply),
        (Request::get_children("/a", true), Reply::Children(Children::from_slice(&names))),
        (
            Request::get_children2("/a", false),
            Reply::Children2(Children::from_slice(&names), Stat::default()),
        ),
        (Request::create("/a", b"", CreateMode::Persistent), Reply::Path("/a".into())),
        (Request::sync("/a"), Reply::Path("/a".into())),
    ];
    let (mut malformed, mut ended, mut cases) = (0, 0, 0);
    for (request, body) in &replies {
        let whole = reply(Xid(1), 5, body);
        for at in 0..whole.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xf0, 0xff] {
                let mut bytes = whole.clone();
                if bytes[at] == value {
                    continue;
                }
                bytes[at] = value;
                let mut client = Client::owned("h1").connected();
                let first = client.submit(request);
                let second = client.submit(&Request::exists("/b", false));
                client.receive(&bytes);
                if client.session.poll_link() == Link::Up {
                    client.receive(&reply(second, 6, &stat()));
                }
                if client.session.poll_link() == Link::Up {
                    client.lose();
                }
                let seen = client.seen();
                assert_eq!(answered(&seen), [first, second], "{request:?} byte {at} = {value}");
                let Seen::State(KeeperState::Disconnected, Cause::Lost(reason)) =
                    seen.last().unwrap()
                else {
                    panic!("{seen:?}")
                };
                ended += u32::from(*reason != DisconnectReason::TransportClosed);
                let bad =
                    |seen: &Seen| matches!(seen, Seen::Reply(_, _, Err(OpError::Malformed(_))));
                malformed += u32::from(seen.iter().any(bad));
                // Whatever it was, the session goes on.
                client.connect(7, 6000);
                cases += 1;
            }
        }
    }
    assert!(cases > 1000 && malformed > 50 && ended > 100, "{cases} {malformed} {ended}");
}

#[test]
fn u9_an_expiry_that_races_with_a_reconnect_is_never_told_of_a_connected_session() {
    let (mut expired, mut resumed) = (0, 0);
    for offset in 0..=20 {
        for clock_first in [false, true] {
            let config = ClientConfig::new("h1", 3).timeout(ms(6000)).expire_locally();
            let mut client = Client::of(config);
            client.connect(7, 6000);
            client.lose();
            let certain = client.session.surely_expired_at().unwrap();
            // A handshake is under way when the bound passes.
            loop {
                client.dial();
                client.up();
                client.pump();
                if certain.since(client.now) < ms(1000) {
                    break;
                }
                client.wait(900);
                if client.session.poll_link() == Link::Up {
                    client.lose();
                }
            }
            client.seen();
            let answer_at = certain.after(ms(offset));
            let left = answer_at.since(client.now).as_millis() - 10;
            client.wait(left);
            if clock_first {
                client.session.handle_timeout(client.now);
            }
            client.receive(&accepted(7, 6000));
            client.session.handle_timeout(client.now);
            let seen = client.seen();
            let gone =
                Seen::State(KeeperState::Expired, Cause::Expired(ExpiryReason::LocallyCertain));
            let back = Seen::State(KeeperState::SyncConnected, Cause::Resumed);
            if seen == [gone.clone()] {
                expired += 1;
                assert_eq!(client.session.state(), KeeperState::Expired);
                assert_eq!(client.session.poll_link(), Link::Down);
                client.wait(100_000);
                assert_eq!(client.seen(), [], "and nothing after it");
            } else {
                resumed += 1;
                assert_eq!(seen, [back], "{offset} {clock_first}");
                assert_eq!(client.session.poll_link(), Link::Up);
                assert!(client.session.surely_expired_at() > Some(client.now.after(ms(6000))));
                // The old bound passes while the session is connected.
                client.wait(1000);
                assert_eq!(client.seen(), []);
                assert_eq!(client.session.state(), KeeperState::SyncConnected);
            }
        }
    }
    assert!(expired > 10 && resumed > 10, "{expired} {resumed}");
}

#[test]
fn x2_a_new_session_tells_its_own_lingering_node_from_another_ones() {
    const HOSTS: &str = "s0,s1,s2";
    let mut world = Play::new(3, 5);
    let config = |seed| ClientConfig::new(HOSTS, seed).timeout(ms(6000));
    let a = world.connect(config(1));
    let b = world.connect(config(2));
    let old = world.session(a).session_id();
    let other = world.session(b).session_id();
    for (peer, path) in [(a, "/mine"), (b, "/theirs")] {
        world.call(peer, &Request::create(path, b"", CreateMode::Ephemeral));
    }
    // The session is given up while the ensemble still holds it.
    world.world.detach(a);
    world.until(a, KeeperState::Closed);
    world.reopen(a);
    world.until(a, KeeperState::SyncConnected);
    let new = world.session(a).session_id();
    assert!(new != old && new != other);
    world.seen(a);
    let owner = |seen: &Seen| match seen.reply(OpCode::Exists) {
        Reply::Stat(stat) => stat.ephemeral_owner,
        other => panic!("{other:?}"),
    };
    for (path, whose) in [("/mine", old), ("/theirs", other)] {
        let taken = world.call(a, &Request::create(path, b"", CreateMode::Ephemeral));
        let Seen::Reply(_, _, Err(error)) = taken else { panic!("{path} is there: {taken:?}") };
        assert_eq!(error, OpError::Server(ErrorCode::NodeExists));
        let found = world.call(a, &Request::exists(path, true));
        assert_eq!(owner(&found), whose.0, "the owner of {path} tells whether to wait for it");
    }
    // The own one goes by itself; the other one stays.
    assert_eq!(world.until_told(a, 20_000), [event(EventType::NodeDeleted, "/mine")]);
    world.call(a, &Request::create("/mine", b"", CreateMode::Ephemeral));
    let found = world.call(a, &Request::exists("/mine", false));
    assert_eq!(owner(&found), new.0);
    let theirs = world.call(a, &Request::exists("/theirs", false));
    assert_eq!(owner(&theirs), other.0);
}

#[test]
fn z4_a_session_with_one_watch_lives_through_ten_idle_timeouts() {
    let mut world = Play::shaky(1, 20, 3);
    let a = world.connect(ClientConfig::new("s0", 1).timeout(ms(6000)));
    let b = world.connect(ClientConfig::new("s0", 2).timeout(ms(6000)));
    let id = world.session(a).session_id();
    world.call(b, &Request::create("/w", b"", CreateMode::Persistent));
    world.call(a, &Request::get_data("/w", true));
    world.seen(a);
    world.wait(60_000);
    assert_eq!(world.seen(a), [], "nothing has happened");
    assert_eq!(world.session(a).state(), KeeperState::SyncConnected);
    assert_eq!(world.session(a).session_id(), id);
    assert!(world.engine().sessions().any(|info| info.session_id == id));
    world.call(b, &Request::set_data("/w", b"x", -1));
    world.wait(100);
    assert_eq!(world.seen(a), [event(EventType::NodeDataChanged, "/w")]);
}

#[test]
fn g3_a_slow_reader_is_told_every_change_and_the_last_one_last() {
    let mut client = Client::owned("h1,h2").connected();
    let mut expected = Vec::new();
    // Seven changes, of which none is pulled before the session can go no further without it.
    client.session.handle_disconnected(client.now);
    for n in 0..3 {
        expected.push(lost(DisconnectReason::TransportClosed));
        while !matches!(client.session.poll_link(), Link::Dial(_)) {
            client.now = client.session.poll_timeout().unwrap().max(client.now);
            client.session.handle_timeout(client.now);
            client
                .session
                .poll_event()
                .inspect(|event| assert_eq!(Seen::of(event), expected[n * 2]));
        }
        client.up();
        client.transmit();
        client.receive_unseen(&accepted(7, 6000));
        expected.push(Seen::State(KeeperState::SyncConnected, Cause::Resumed));
        if n < 2 {
            client.session.handle_disconnected(client.now);
            let event = client.session.poll_event().map(|event| Seen::of(&event));
            assert_eq!(event.as_ref(), expected.last(), "an answer that came is told");
        }
    }
    assert_eq!(client.seen(), expected[5..]);
    assert_eq!(client.session.state(), KeeperState::SyncConnected);
    assert_eq!(client.session.last_zxid(), Zxid(0));
    let xid = client.submit(&Request::exists("/a", false));
    client.receive(&error(xid, 9, ErrorCode::NoNode));
    assert_eq!(answered(&client.seen()), [xid]);
}
