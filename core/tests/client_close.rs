//! How a session ends by the application's wish.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{
    Client, PASSWD, Seen, Sent, accepted, deadline, handshake_answer, lost, ms, pong, refused,
    reply, reply_header,
};
use zk_session::client::{Cause, ClientConfig, KeeperState, Link};
use zk_session::storage::Fixed;
use zk_session::wire::{OpCode, Reply, Request, Stat};
use zk_session::{DisconnectReason, Machine, OpError};

const CONFIRMED: Seen = Seen::State(KeeperState::Closed, Cause::Closed);
const UNCONFIRMED: Seen = Seen::State(KeeperState::Closed, Cause::ClosedUnconfirmed);

fn closes(sent: &[Sent]) -> usize {
    sent.iter().filter(|sent| sent.op() == Some(OpCode::CloseSession)).count()
}

fn over(client: &Client<'_>) -> bool {
    client.session.poll_timeout().is_none() && client.session.poll_link() == Link::Down
}

#[test]
fn c3_close_is_confirmed_by_its_reply() {
    let mut client = Client::owned("h1").connected();
    client.session.close(client.now);
    let sent = client.take_sent();
    assert!(
        matches!(&sent[..], [Sent::Request { xid: 1, op: OpCode::CloseSession, body }] if body.is_empty())
    );
    client.session.close(client.now);
    assert!(client.take_sent().is_empty(), "asking twice says it once");
    client.receive(&reply_header(1, 9, 0));
    assert_eq!(client.seen(), [CONFIRMED]);
    assert!(over(&client));
    client.session.close(client.now);
    client.wait(100_000);
    assert_eq!(client.seen(), []);
}

#[test]
fn requests_in_flight_are_still_answered_before_the_close() {
    let mut client = Client::owned("h1").connected();
    let xid = client.submit(&Request::exists("/a", false));
    client.session.close(client.now);
    client.receive(&pong(0));
    client.receive(&reply(xid, 5, &Reply::Stat(Stat::default())));
    client.receive(&reply_header(2, 9, 0));
    let seen = client.seen();
    assert!(matches!(seen[0], Seen::Reply(answered, _, Ok(_)) if answered == xid));
    assert_eq!(seen[1..], [CONFIRMED]);
}

#[test]
fn a_confirmation_with_the_end_of_the_stream_behind_it_is_a_confirmation() {
    // Servers close the transport right after the reply.
    let mut client = Client::owned("h1").connected();
    let xid = client.submit(&Request::exists("/a", false));
    client.session.close(client.now);
    client.take_sent();
    client.receive_unseen(&reply(xid, 5, &Reply::Stat(Stat::default())));
    client.receive_unseen(&reply_header(2, 9, 0));
    client.session.handle_disconnected(client.now);
    let seen = client.seen();
    assert!(matches!(seen[0], Seen::Reply(answered, _, Ok(_)) if answered == xid));
    assert_eq!(seen[1..], [CONFIRMED]);
    assert!(over(&client));
}

#[test]
fn a_confirmation_that_lies_unread_at_the_deadline_is_a_confirmation() {
    let mut client = Client::owned("h1").connected();
    client.session.close(client.now);
    client.take_sent();
    client.receive_unseen(&reply_header(1, 9, 0));
    client.now = client.now.after(ms(2000));
    client.session.handle_timeout(client.now);
    assert_eq!(client.seen(), [CONFIRMED]);
}

#[test]
fn c3_j10_without_a_reply_the_session_ends_at_the_deadline() {
    let config = ClientConfig::new("h1", 1).timeout(ms(60_000)).close_timeout(ms(1500));
    let mut client = Client::of(config);
    client.connect(7, 60_000);
    let xid = client.submit(&Request::exists("/a", true));
    client.session.close(client.now);
    client.take_sent();
    assert_eq!(deadline(&client), 1500);
    client.wait(1499);
    assert_eq!(client.seen(), []);
    client.wait(1);
    assert_eq!(client.seen(), [Seen::failed(xid, OpError::SessionClosed), UNCONFIRMED]);
    assert!(over(&client));
}

#[test]
fn a_close_that_may_have_arrived_is_unconfirmed_when_the_connection_breaks() {
    let mut client = Client::owned("h1").connected();
    let xid = client.submit(&Request::exists("/a", false));
    client.session.close(client.now);
    client.take_sent();
    client.lose();
    assert_eq!(client.seen(), [Seen::failed(xid, OpError::SessionClosed), UNCONFIRMED]);
    assert!(over(&client));
}

#[test]
fn c3_close_while_disconnected_tries_to_deliver_until_the_deadline() {
    let mut client = Client::owned("h1,h2").connected();
    client.lose();
    client.seen();
    client.session.close(client.now);
    assert_eq!(client.seen(), []);
    let handshake = client.open();
    assert_eq!((handshake.session_id, &handshake.passwd[..]), (7, &PASSWD[..]));
    client.receive(&accepted(7, 6000));
    assert_eq!(closes(&client.take_sent()), 1);
    client.receive(&reply_header(1, 9, 0));
    let resumed = Seen::State(KeeperState::SyncConnected, Cause::Resumed);
    assert_eq!(client.seen(), [resumed, CONFIRMED]);

    // And if no server is to be had.
    let mut client = Client::owned("h1,h2").connected();
    client.lose();
    let start = client.now;
    client.session.close(client.now);
    let mut attempts = 0;
    while client.session.poll_timeout().is_some() {
        if let Link::Dial(_) = client.session.poll_link() {
            attempts += 1;
            client.lose();
        }
        let Some(at) = client.session.poll_timeout() else { break };
        client.now = client.now.max(at);
        client.session.handle_timeout(client.now);
        client.pump();
    }
    assert_eq!(client.now.since(start), ms(2000));
    assert!(attempts > 2);
    assert_eq!(client.seen().last(), Some(&UNCONFIRMED));
}

#[test]
fn close_during_the_handshake_is_said_as_soon_as_the_session_is_there() {
    let mut client = Client::owned("h1").connected();
    client.lose();
    client.open();
    client.seen();
    client.session.close(client.now);
    assert!(client.take_sent().is_empty());
    client.receive(&accepted(7, 6000));
    assert_eq!(closes(&client.take_sent()), 1);
    client.receive(&reply_header(1, 9, 0));
    assert_eq!(client.seen().last(), Some(&CONFIRMED));
}

#[test]
fn close_before_any_connection_needs_no_server() {
    let mut client = Client::owned("h1");
    client.session.close(client.now);
    assert_eq!(client.seen(), [CONFIRMED]);
    assert!(over(&client));
    let mut client = Client::owned("h1");
    client.dial();
    client.session.close(client.now);
    assert_eq!(client.session.poll_link(), Link::Down);
    assert_eq!(client.seen(), [CONFIRMED]);
}

#[test]
fn close_during_the_first_handshake_makes_no_second_session_in_order_to_close_it() {
    // A server may have given a session that it could not tell of: nobody can close that one.
    let mut client = Client::owned("h1,h2");
    client.open();
    client.session.close(client.now);
    client.lose();
    assert_eq!(client.seen(), [UNCONFIRMED]);
    assert!(over(&client));
    // If the answer comes, the session is closed.
    let mut client = Client::owned("h1,h2");
    client.open();
    client.session.close(client.now);
    client.receive(&accepted(7, 6000));
    assert_eq!(closes(&client.take_sent()), 1);
    client.receive(&reply_header(1, 9, 0));
    assert_eq!(client.seen().last(), Some(&CONFIRMED));
    // If it is refused, there is nothing to close.
    let mut client = Client::owned("h1,h2");
    client.open();
    client.session.close(client.now);
    client.receive(&refused());
    assert!(over(&client));
}

#[test]
fn the_throw_away_session_of_a_read_only_server_is_not_replaced_in_order_to_close_it() {
    let config = ClientConfig::new("h1", 1).timeout(ms(6000)).allow_read_only();
    let mut client = Client::of(config);
    client.open();
    client.receive(&handshake_answer(9, 6000, &PASSWD, Some(true)));
    client.lose();
    client.seen();
    client.session.close(client.now);
    assert_eq!(client.seen().len(), 1);
    assert!(over(&client));
}

#[test]
fn a_session_found_expired_while_it_closes_is_over() {
    let mut client = Client::owned("h1").connected();
    client.lose();
    client.session.close(client.now);
    client.open();
    client.seen();
    client.receive(&refused());
    assert_eq!(client.seen().len(), 1);
    assert!(over(&client));
    assert!(client.session.state().is_final());
}

#[test]
fn close_while_a_loss_is_being_told_comes_after_it() {
    let mut client = Client::owned("h1").connected();
    let xid = client.submit(&Request::exists("/a", false));
    client.session.handle_disconnected(client.now);
    client.session.close(client.now);
    let loss = lost(DisconnectReason::TransportClosed);
    assert_eq!(client.seen(), [Seen::failed(xid, OpError::ConnectionLoss), loss]);
    client.open();
    client.receive(&accepted(7, 6000));
    assert_eq!(closes(&client.take_sent()), 1);
}

#[test]
fn close_goes_before_a_replay_that_has_not_finished() {
    let mut memory = Fixed::<200, 128, 3000, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for n in 0..30 {
        let path = format!("/watched/{n}");
        let xid = client.submit(&Request::exists(&path, true));
        client.receive(&reply(xid, 5, &Reply::Stat(Stat::default())));
    }
    client.lose();
    client.open();
    client.session.handle_bytes(client.now, &accepted(7, 6000));
    client.pull();
    client.take_sent_one();
    client.session.close(client.now);
    let sent = client.take_sent();
    assert_eq!(closes(&sent), 1);
    assert_eq!(sent.last().unwrap().op(), Some(OpCode::CloseSession));
    // The replies to what had left still come.
    let mut chunks = sent.len() - 1;
    while chunks > 0 {
        client.receive(&reply_header(-8, 5, 0));
        chunks -= 1;
    }
    client.receive(&reply_header(sent.last().unwrap().xid(), 9, 0));
    assert_eq!(client.seen().last(), Some(&CONFIRMED));
}

#[test]
fn a_close_timeout_of_zero_ends_at_once() {
    let config = ClientConfig::new("h1", 1).timeout(ms(6000)).close_timeout(ms(0));
    let mut client = Client::of(config);
    client.connect(7, 6000);
    client.session.close(client.now);
    client.session.handle_timeout(client.now);
    assert_eq!(client.seen(), [UNCONFIRMED]);
}

#[test]
fn g7_a_lost_connection_is_never_a_closed_session() {
    let mut client = Client::owned("h1,h2,h3");
    for n in 0..50 {
        assert_eq!(client.connect(7, 6000).session_id, if n == 0 { 0 } else { 7 });
        match n % 3 {
            0 => client.lose(),
            1 => client.receive(&[0xff; 4]),
            _ => client.wait(4000),
        }
    }
    assert_eq!(closes(&client.take_sent()), 0);
}

#[test]
fn the_same_handle_closes_and_opens_again_and_again() {
    let mut client = Client::owned("h1");
    for n in 1..20 {
        let handshake = client.connect(n, 6000);
        assert_eq!((handshake.session_id, handshake.last_zxid), (0, 0));
        client.session.close(client.now);
        let xid = client.take_sent().last().unwrap().xid();
        client.receive(&reply_header(xid, 9, 0));
        assert_eq!(client.seen(), [CONFIRMED]);
        client.session.reopen(client.now);
    }
}
