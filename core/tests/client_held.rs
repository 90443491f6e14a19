//! Answers that wait in the receive buffer for whom they are for.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{Client, error, notification, reply};
use zk_session::client::{Event, Held, HeldReply, KeeperState};
use zk_session::wire::{EventType, Reply, Request, Ustring, Xid, Zxid};
use zk_session::{ErrorCode, Instant, Machine, OpError};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn held(client: &mut Client<'_>) -> HeldReply {
    match client.session.poll_held() {
        Some(Held::Reply(reply)) => reply,
        other => panic!("{other:?} instead of an answer"),
    }
}

fn path(name: &str) -> Reply<'_> {
    Reply::Path(Ustring::from(name))
}

#[test]
fn a_held_answer_is_shown_as_often_as_it_is_asked_for_until_the_next_is_pulled() {
    let mut client = Client::owned("h1").connected();
    let first = client.submit(&Request::sync("/a"));
    let second = client.submit(&Request::sync("/b"));
    let mut bytes = reply(first, 11, &path("/a"));
    bytes.extend(notification(EventType::NodeDeleted, "/gone"));
    bytes.extend(error(second, 12, ErrorCode::NoNode));
    client.session.handle_bytes(at(50), &bytes);

    let answer = held(&mut client);
    assert_eq!(answer.xid(), first);
    // Time passes, more is asked for, and bytes leave: the answer stays.
    for n in 0..3 {
        assert_eq!(client.session.reply(&answer), Ok(path("/a")));
        client.session.handle_timeout(at(51 + n));
        client.session.submit(&Request::exists("/c", false)).unwrap();
        let sent = client.session.poll_transmit().len();
        client.session.handle_transmitted(at(51 + n), sent);
    }
    let Some(Held::Event(Event::Notification { kind, path: "/gone" })) = client.session.poll_held()
    else {
        panic!("the notification comes second");
    };
    assert_eq!(kind, EventType::NodeDeleted);
    let refusal = held(&mut client);
    assert_eq!(refusal.xid(), second);
    let refused = Err(OpError::Server(ErrorCode::NoNode));
    assert_eq!(client.session.reply(&refusal).map(|_| ()), refused);
    assert!(client.session.poll_held().is_none());
    assert_eq!(client.session.last_zxid(), Zxid(12));
}

#[test]
fn an_answer_that_was_written_over_is_not_taken_for_another() {
    let mut client = Client::owned("h1").connected();
    let first = client.submit(&Request::sync("/a"));
    let second = client.submit(&Request::sync("/b"));
    client.session.handle_bytes(at(50), &reply(first, 11, &path("/a")));
    let stale = held(&mut client);
    assert!(client.session.poll_held().is_none());
    client.session.handle_bytes(at(51), &reply(second, 12, &path("/b")));
    assert!(matches!(client.session.reply(&stale), Err(OpError::Malformed(_))));
    let answer = held(&mut client);
    assert_eq!(client.session.reply(&answer), Ok(path("/b")));
    assert!(matches!(client.session.reply(&stale), Err(OpError::Malformed(_))));
}

#[test]
fn what_a_lost_connection_leaves_comes_behind_the_answer_that_is_held() {
    let mut client = Client::owned("h1").connected();
    let first = client.submit(&Request::sync("/a"));
    let second = client.submit(&Request::sync("/b"));
    client.session.handle_bytes(at(50), &reply(first, 11, &path("/a")));
    let answer = held(&mut client);
    client.session.handle_disconnected(at(60));
    assert_eq!(client.session.reply(&answer), Ok(path("/a")));
    let lost = |xid: Xid| (xid, Err::<(), _>(OpError::ConnectionLoss));
    match client.session.poll_held() {
        Some(Held::Event(Event::Reply { xid, result, .. })) => {
            assert_eq!((xid, result.map(|_| ())), lost(second));
        }
        other => panic!("{other:?} instead of the loss"),
    }
    assert!(matches!(
        client.session.poll_held(),
        Some(Held::Event(Event::State { state: KeeperState::Disconnected, .. }))
    ));
    assert!(client.session.poll_held().is_none());
}
