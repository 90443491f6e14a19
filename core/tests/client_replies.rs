//! What a session makes of what it hears: replies, losses, and bytes that no server means.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{
    Client, Rng, Seen, accepted, error, frame, lost, ms, notification, pong, refused, reply,
    reply_header,
};
use zk_session::client::{Cause, ClientConfig, KeeperState, Link};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{
    Data, EventType, OpCode, Reply, ReplyHeader, Request, Stat, WireError, Xid, Zxid,
};
use zk_session::{DisconnectReason, ErrorCode, Machine, OpError};

const STAT: Stat = Stat { version: 3, ..ZERO };
const ZERO: Stat = Stat {
    czxid: Zxid(0),
    mzxid: Zxid(0),
    ctime: 0,
    mtime: 0,
    version: 0,
    cversion: 0,
    aversion: 0,
    ephemeral_owner: 0,
    data_length: 0,
    num_children: 0,
    pzxid: Zxid(0),
};

fn asked(client: &mut Client<'_>, n: usize) -> Vec<Xid> {
    (0..n).map(|_| client.submit(&Request::exists("/a", false))).collect()
}

fn reason(client: &Client<'_>) -> DisconnectReason {
    client.session.last_disconnect().unwrap().1
}

#[test]
fn replies_come_in_order_with_their_numbers_zxids_and_bodies() {
    let mut client = Client::owned("h1").connected();
    let get = client.submit(&Request::get_data("/a", false));
    let set = client.submit(&Request::set_data("/a", b"new", 2));
    let del = client.submit(&Request::delete("/b", -1));
    client.receive(&reply(get, 11, &Reply::Data(Data { data: Some(b"old"), stat: STAT })));
    client.receive(&reply(set, 12, &Reply::Stat(STAT)));
    client.receive(&error(del, 13, ErrorCode::NoNode));
    let seen = client.seen();
    let data = Data { data: Some(&b"old"[..]), stat: STAT };
    assert_eq!(seen[0].reply(OpCode::GetData), Reply::Data(data));
    assert_eq!(seen[1].reply(OpCode::SetData), Reply::Stat(STAT));
    assert_eq!(seen[2], Seen::Reply(del, Zxid(13), Err(OpError::Server(ErrorCode::NoNode))));
    assert_eq!(client.session.last_zxid(), Zxid(13));
}

#[test]
fn requests_leave_in_order_with_rising_numbers_that_go_on_across_connections() {
    let mut client = Client::owned("h1").connected();
    assert_eq!(asked(&mut client, 3), [Xid(1), Xid(2), Xid(3)]);
    assert!(client.take_sent().iter().map(support::Sent::xid).eq(1..=3));
    client.lose();
    client.connect(7, 6000);
    assert_eq!(asked(&mut client, 2), [Xid(4), Xid(5)]);
}

#[test]
fn z5_a_reply_with_another_number_ends_the_connection_and_fails_the_requests() {
    let mut client = Client::owned("h1").connected();
    let xids = asked(&mut client, 2);
    client.receive(&reply(xids[1], 5, &Reply::Stat(STAT)));
    let wrong = DisconnectReason::UnexpectedXid { expected: 1, got: 2 };
    assert_eq!(
        client.seen(),
        [
            Seen::failed(xids[0], OpError::ConnectionLoss),
            Seen::failed(xids[1], OpError::ConnectionLoss),
            lost(wrong)
        ]
    );
    assert_eq!(client.session.last_zxid(), Zxid(0), "what it said is not believed");
    assert_eq!(client.session.poll_link(), Link::Down);
    assert_eq!(client.connect(7, 6000).session_id, 7);
}

#[test]
fn a_reply_that_nobody_asked_for_ends_the_connection() {
    for xid in [0, 1, 9, i32::MIN, Xid::AUTH.0, Xid::SET_WATCHES.0] {
        let mut client = Client::owned("h1").connected();
        client.receive(&reply_header(xid, 5, 0));
        assert_eq!(client.seen(), [lost(DisconnectReason::UnsolicitedReply { xid })]);
        client.connect(7, 6000);
    }
}

#[test]
fn c5_k2_pings_answered_before_between_and_after_replies_are_never_an_error() {
    let mut client = Client::owned("h1").connected();
    let xids = asked(&mut client, 2);
    let mut bytes = pong(1);
    for xid in &xids {
        bytes.extend(reply(*xid, 5, &Reply::Stat(STAT)));
        bytes.extend(pong(99));
    }
    client.receive(&bytes);
    assert_eq!(client.seen().len(), 2);
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn the_last_zxid_is_moved_by_replies_alone_error_replies_included() {
    let mut client = Client::owned("h1").connected();
    let xids = asked(&mut client, 4);
    client.receive(&reply(xids[0], 5, &Reply::Stat(STAT)));
    client.receive(&pong(100));
    client.receive(&frame(|w| {
        ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(101), err: 0 }.write(w);
        w.int(3);
        w.int(3);
        w.ustring("/a".into());
    }));
    assert_eq!(client.session.last_zxid(), Zxid(5));
    client.receive(&error(xids[1], 6, ErrorCode::NoNode));
    assert_eq!(client.session.last_zxid(), Zxid(6));
    client.receive(&error(xids[2], -1, ErrorCode::Unimplemented));
    client.receive(&error(xids[3], 0, ErrorCode::NoNode));
    assert_eq!(client.session.last_zxid(), Zxid(6));
    client.submit(&Request::add_auth("digest", b"u:p"));
    client.receive(&reply_header(Xid::AUTH.0, 102, 0));
    assert_eq!(client.session.last_zxid(), Zxid(6));
    client.lose();
    assert_eq!(client.open().last_zxid, 6);
}

#[test]
fn k2_an_auth_reply_may_overtake_the_replies_before_it() {
    let mut client = Client::owned("h1").connected();
    let first = asked(&mut client, 1)[0];
    let auth = client.submit(&Request::add_auth("digest", b"u:p"));
    let last = asked(&mut client, 1)[0];
    client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    client.receive(&reply(first, 5, &Reply::Stat(STAT)));
    client.receive(&reply(last, 6, &Reply::Stat(STAT)));
    let order: Vec<Xid> = client
        .seen()
        .iter()
        .map(|seen| match seen {
            Seen::Reply(xid, _, Ok(_)) => *xid,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, [auth, first, last]);
}

#[test]
fn c4_what_had_arrived_is_delivered_then_the_rest_is_lost_then_the_state_changes() {
    let mut client = Client::owned("h1").connected();
    let xids = asked(&mut client, 4);
    let mut bytes = reply(xids[0], 5, &Reply::Stat(STAT));
    bytes.extend(notification(EventType::NodeDeleted, "/a"));
    bytes.extend(error(xids[1], 6, ErrorCode::NoAuth));
    bytes.extend(&reply(xids[2], 7, &Reply::Stat(STAT))[..30]);
    client.receive_unseen(&bytes);
    client.session.handle_disconnected(client.now);
    assert_eq!(client.session.poll_link(), Link::Down);
    let seen = client.seen();
    assert_eq!(seen[0].reply(OpCode::Exists), Reply::Stat(STAT));
    assert_eq!(
        seen[1..],
        [
            Seen::Notification(EventType::NodeDeleted, "/a".to_owned()),
            Seen::Reply(xids[1], Zxid(6), Err(OpError::Server(ErrorCode::NoAuth))),
            Seen::failed(xids[2], OpError::ConnectionLoss),
            Seen::failed(xids[3], OpError::ConnectionLoss),
            lost(DisconnectReason::TransportClosed),
        ]
    );
    assert_eq!(client.session.last_zxid(), Zxid(6));
}

#[test]
fn c4_each_request_is_answered_once_at_whatever_byte_the_connection_breaks() {
    let mut whole = reply(Xid(1), 5, &Reply::Stat(STAT));
    whole.extend(error(Xid(2), 6, ErrorCode::NoNode));
    whole.extend(reply(Xid(3), 7, &Reply::Stat(STAT)));
    for cut in 0..=whole.len() {
        for pull_first in [false, true] {
            let mut client = Client::owned("h1").connected();
            let xids = asked(&mut client, 3);
            client.receive_unseen(&whole[..cut]);
            if pull_first {
                client.pull();
            }
            client.session.handle_disconnected(client.now);
            let seen = client.seen();
            assert_eq!(seen.last(), Some(&lost(DisconnectReason::TransportClosed)));
            let answered: Vec<Xid> = seen
                .iter()
                .filter_map(|seen| match seen {
                    Seen::Reply(xid, ..) => Some(*xid),
                    _ => None,
                })
                .collect();
            assert_eq!(answered, xids, "cut at {cut}");
        }
    }
}

#[test]
fn what_a_loss_left_behind_waits_for_the_application_and_nothing_overtakes_it() {
    let mut client = Client::owned("h1").connected();
    let xids = asked(&mut client, 2);
    client.session.handle_disconnected(client.now);
    // A busy application: time goes by, the session waits.
    for _ in 0..100 {
        client.now = client.session.poll_timeout().unwrap();
        client.session.handle_timeout(client.now);
        assert_eq!(client.session.poll_link(), Link::Down);
        assert!(client.session.poll_timeout().unwrap() > client.now);
    }
    assert_eq!(client.session.state(), KeeperState::SyncConnected, "what was last told");
    assert_eq!(
        client.seen(),
        [
            Seen::failed(xids[0], OpError::ConnectionLoss),
            Seen::failed(xids[1], OpError::ConnectionLoss),
            lost(DisconnectReason::TransportClosed)
        ]
    );
}

#[test]
fn t3_a_loss_is_told_once_however_many_attempts_fail_after_it() {
    let mut client = Client::owned("h1,h2").connected();
    client.lose();
    for _ in 0..10 {
        client.dial();
        client.lose();
    }
    assert_eq!(client.seen(), [lost(DisconnectReason::TransportClosed)]);
    assert_eq!(reason(&client), DisconnectReason::DialFailed);
    client.open();
    client.receive(&accepted(7, 6000));
    assert_eq!(client.seen(), [Seen::State(KeeperState::SyncConnected, Cause::Resumed)]);
}

#[test]
fn an_expiry_fails_what_is_left() {
    // The refusal comes on a connection that has nothing in flight; requests cannot be pending
    // then. What is in flight at an auth failure or a close is covered elsewhere.
    let mut client = Client::owned("h1").connected();
    let xid = asked(&mut client, 1)[0];
    client.lose();
    client.open();
    client.receive(&refused());
    let seen = client.seen();
    assert_eq!(seen[0], Seen::failed(xid, OpError::ConnectionLoss));
    assert_eq!(seen.len(), 3);
}

#[test]
fn c7_impossible_lengths_end_the_connection_before_a_byte_is_kept_for_them() {
    for len in [i32::MAX, -1, 0, i32::MIN, (16 << 20) + 1] {
        let mut client = Client::owned("h1").connected();
        let xid = asked(&mut client, 1)[0];
        client.receive(&len.to_be_bytes());
        assert_eq!(
            client.seen(),
            [
                Seen::failed(xid, OpError::ConnectionLoss),
                lost(DisconnectReason::BadFrameLength { len })
            ]
        );
        client.connect(7, 6000);
    }
}

#[test]
fn c7_a_frame_too_short_for_its_header_ends_the_connection() {
    for len in 1..ReplyHeader::BYTES {
        let mut client = Client::owned("h1").connected();
        client.receive(&frame(|w| w.raw(&vec![0; len])));
        let len = i32::try_from(len).unwrap();
        assert_eq!(client.seen(), [lost(DisconnectReason::BadFrameLength { len })]);
    }
}

#[test]
fn nothing_behind_garbage_is_believed() {
    let mut client = Client::owned("h1").connected();
    let xids = asked(&mut client, 2);
    let mut bytes = reply(xids[0], 5, &Reply::Stat(STAT));
    bytes.extend([0xff; 4]);
    bytes.extend(reply(xids[1], 6, &Reply::Stat(STAT)));
    client.receive_unseen(&bytes);
    let seen = client.seen();
    assert_eq!(
        seen[1..],
        [
            Seen::failed(xids[1], OpError::ConnectionLoss),
            lost(DisconnectReason::BadFrameLength { len: -1 })
        ]
    );
}

#[test]
fn r8_a_body_that_is_not_one_costs_its_request_alone() {
    let mut client = Client::owned("h1").connected();
    let get = client.submit(&Request::get_data("/a", false));
    let next = asked(&mut client, 1)[0];
    client.receive(&frame(|w| {
        ReplyHeader { xid: get, zxid: Zxid(5), err: 0 }.write(w);
        w.int(0x7fff_fff0); // the data's length
    }));
    client.receive(&reply(next, 6, &Reply::Stat(STAT)));
    let seen = client.seen();
    let bad = WireError::BadLength { at: 0, len: 0x7fff_fff0 };
    assert_eq!(seen[0], Seen::Reply(get, Zxid(5), Err(OpError::Malformed(bad))));
    assert_eq!(seen[1].reply(OpCode::Exists), Reply::Stat(STAT));
}

#[test]
fn surplus_bytes_after_an_error_are_ignored() {
    let mut client = Client::owned("h1").connected();
    let xid = asked(&mut client, 1)[0];
    client.receive(&frame(|w| {
        ReplyHeader { xid, zxid: Zxid(5), err: -101 }.write(w);
        w.raw(&[0xee; 9]);
    }));
    let no_node = Err(OpError::Server(ErrorCode::NoNode));
    assert_eq!(client.seen(), [Seen::Reply(xid, Zxid(5), no_node)]);
}

#[test]
fn unknown_error_codes_survive_as_they_are() {
    let mut client = Client::owned("h1").connected();
    let xid = asked(&mut client, 1)[0];
    client.receive(&reply_header(xid.0, 5, -12_345));
    let unknown = Err(OpError::Server(ErrorCode::Unknown(-12_345)));
    assert_eq!(client.seen(), [Seen::Reply(xid, Zxid(5), unknown)]);
}

#[test]
fn an_oversize_reply_costs_only_its_request_and_the_stream_goes_on() {
    let mut rng = Rng::new(5);
    for lent in [false, true] {
        for chunk in [1, 3, 16, 19, 20, 64, 1000] {
            let mut memory = Fixed::<100, 300, 0, 8>::new();
            let mut limits = Limits::default();
            (limits.recv, limits.transmit, limits.requests) = (100, 300, 8);
            let storage = if lent { memory.lend() } else { Storage::owned(limits) };
            let config = ClientConfig::new("h1", 1).timeout(ms(6000));
            let mut client = Client::with(config, storage).connected();
            let big = client.submit(&Request::get_data("/a", false));
            let failed = client.submit(&Request::get_data("/b", false));
            let next = asked(&mut client, 1)[0];
            let data = rng.bytes(900);
            let big_reply = reply(big, 5, &Reply::Data(Data { data: Some(&data), stat: STAT }));
            let len = big_reply.len() - 4;
            let mut bytes = big_reply;
            bytes.extend(frame(|w| {
                ReplyHeader { xid: failed, zxid: Zxid(6), err: -101 }.write(w);
                w.raw(&[7; 200]);
            }));
            bytes.extend(reply(next, 7, &Reply::Stat(STAT)));
            for part in bytes.chunks(chunk) {
                client.receive(part);
            }
            let seen = client.seen();
            let too_large = OpError::ReplyTooLarge { len };
            assert_eq!(seen[0], Seen::Reply(big, Zxid(5), Err(too_large)));
            let no_node = Err(OpError::Server(ErrorCode::NoNode));
            assert_eq!(seen[1], Seen::Reply(failed, Zxid(6), no_node), "the server's word counts");
            assert_eq!(seen[2].reply(OpCode::Exists), Reply::Stat(STAT));
            assert_eq!(seen.len(), 3);
            assert_eq!(client.session.last_zxid(), Zxid(7));
        }
    }
}

#[test]
fn the_largest_reply_that_fits_is_delivered_and_one_byte_more_is_not() {
    for (extra, fits) in [(0, true), (1, false)] {
        let mut memory = Fixed::<200, 300, 0, 8>::new();
        let config = ClientConfig::new("h1", 1).timeout(ms(6000));
        let mut client = Client::with(config, memory.lend()).connected();
        let xid = client.submit(&Request::get_data("/a", false));
        let data = vec![9; 200 - 4 - 16 - 4 - 68 + extra];
        client.receive(&reply(xid, 5, &Reply::Data(Data { data: Some(&data), stat: STAT })));
        let seen = client.seen();
        assert!(matches!(seen[..], [Seen::Reply(_, _, Ok(_))] if fits) || !fits);
        let too_large = OpError::ReplyTooLarge { len: 197 };
        assert!(fits || seen == [Seen::Reply(xid, Zxid(5), Err(too_large))]);
    }
}

#[test]
fn an_oversize_reply_out_of_turn_ends_the_connection_too() {
    let mut memory = Fixed::<100, 300, 0, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    let xid = client.submit(&Request::get_data("/a", false));
    let data = [0; 300];
    client.receive(&reply(Xid(9), 5, &Reply::Data(Data { data: Some(&data), stat: STAT })));
    let wrong = DisconnectReason::UnexpectedXid { expected: 1, got: 9 };
    assert_eq!(client.seen(), [Seen::failed(xid, OpError::ConnectionLoss), lost(wrong)]);
    client.connect(7, 6000);
    client.receive(&notification(EventType::NodeDeleted, &format!("/{}", "x".repeat(300))));
    let len = 16 + 8 + 4 + 301;
    assert_eq!(client.seen(), [lost(DisconnectReason::NotificationTooLarge { len })]);
}

#[test]
fn j5_session_moved_fails_its_request_and_ends_that_connection_alone() {
    let mut client = Client::owned("h1,h2").connected();
    let xids = asked(&mut client, 2);
    client.receive(&error(xids[0], 5, ErrorCode::SessionMoved));
    assert_eq!(
        client.seen(),
        [
            Seen::Reply(xids[0], Zxid(5), Err(OpError::Server(ErrorCode::SessionMoved))),
            Seen::failed(xids[1], OpError::ConnectionLoss),
            lost(DisconnectReason::SessionMoved)
        ]
    );
    assert_eq!(client.connect(7, 6000).session_id, 7);
}

#[test]
fn a_watch_event_without_a_readable_path_is_stepped_over() {
    let mut client = Client::owned("h1").connected();
    for path in [&[0xff, 0xfe][..], &[0xed, 0xa0, 0xbd]] {
        client.receive(&frame(|w| {
            ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(-1), err: 0 }.write(w);
            w.int(1);
            w.int(3);
            w.buffer(Some(path));
        }));
    }
    client.receive(&notification(EventType::Unknown(77), "/a"));
    let unknown = EventType::Unknown(77);
    assert_eq!(client.seen(), [Seen::Notification(unknown, "/a".to_owned())], "r2");
    client.receive(&frame(|w| {
        ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid(-1), err: 0 }.write(w);
        w.int(1);
    }));
    assert!(matches!(reason(&client), DisconnectReason::Malformed(_)));
}

#[test]
fn a_pipeline_of_thousands_is_numbered_without_gaps() {
    let mut client = Client::owned("h1").connected();
    for n in 1..=2000 {
        let xid = client.submit(&Request::sync("/"));
        assert_eq!(xid, Xid(n));
        client.receive(&reply(xid, i64::from(n), &Reply::Path("/".into())));
    }
    assert_eq!(client.seen().len(), 2000);
}
