//! How long a session that no server has given yet is waited for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{Client, PASSWD, Seen, accepted, handshake_answer, lost, ms};
use zk_session::client::{
    Cause, ClientConfig, ClientSession, KeeperState, Link, TICKET_BYTES, TicketContents,
};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{Request, SessionId};
use zk_session::{DisconnectReason, Machine, SubmitError};

const NEVER: Seen = Seen::State(KeeperState::Closed, Cause::NeverEstablished);

fn config(hosts: &'static str) -> ClientConfig<'static> {
    ClientConfig::new(hosts, 7).timeout(ms(6000))
}

fn with_deadline() -> Client<'static> {
    Client::of(config("h1,h2").new_session_deadline(ms(30_000)))
}

#[test]
fn j2_without_a_deadline_a_session_is_looked_for_without_end() {
    let mut client = Client::of(config("h1,h2"));
    let start = client.now;
    let mut attempts = 0;
    while client.now.since(start) < ms(3_600_000) {
        client.dial();
        client.lose();
        attempts += 1;
    }
    assert!(attempts > 1000);
    assert_eq!(client.seen(), []);
    client.connect(7, 6000);
}

#[test]
fn j2_a_session_that_no_server_gives_ends_at_the_deadline_and_not_before() {
    let mut client = with_deadline();
    let end = client.now.after(ms(30_000));
    while client.now < end {
        assert_eq!(client.seen(), []);
        client.pump();
        match client.session.poll_link() {
            Link::Dial(_) => client.lose(),
            _ => {
                let at = client.session.poll_timeout().unwrap();
                assert!(at <= end);
                client.now = client.now.max(at);
                client.session.handle_timeout(client.now);
            }
        }
    }
    assert_eq!(client.now, end);
    assert_eq!(client.seen(), [NEVER]);
    assert_eq!(client.session.poll_timeout(), None);
    assert_eq!(client.session.poll_link(), Link::Down);
    assert_eq!(client.refused(&Request::exists("/", false)), SubmitError::Ended);
}

#[test]
fn j2_the_deadline_also_ends_an_attempt_under_way() {
    // While dialling, and while the handshake is on its way.
    for up in [false, true] {
        let mut client = Client::of(config("h1").new_session_deadline(ms(500)));
        client.dial();
        if up {
            client.up();
        }
        client.wait(499);
        assert_ne!(client.session.poll_link(), Link::Down);
        client.wait(1);
        assert_eq!(client.session.poll_link(), Link::Down);
        assert_eq!(client.seen(), [NEVER]);
        client.session.handle_connected(client.now);
        client.receive(&accepted(7, 6000));
        assert_eq!(client.seen(), []);
        assert_eq!(client.session.session_id(), SessionId::NONE);
    }
}

#[test]
fn j2_the_end_is_told_even_if_the_application_pulls_late() {
    let mut client = with_deadline();
    client.now = client.now.after(ms(100_000));
    client.session.handle_timeout(client.now);
    for _ in 0..3 {
        let at = client.session.poll_timeout().unwrap();
        client.session.handle_timeout(at);
        assert!(client.session.poll_timeout().unwrap() > at, "the deadline moves on");
    }
    assert_eq!(client.seen(), [NEVER]);
}

#[test]
fn j2_once_there_is_a_session_the_deadline_has_no_say() {
    let mut client = with_deadline();
    client.connect(7, 6000);
    client.lose();
    assert_eq!(client.seen(), [lost(DisconnectReason::TransportClosed)]);
    let start = client.now;
    while client.now.since(start) < ms(60_000) {
        client.dial();
        client.lose();
    }
    assert_eq!(client.seen(), []);
    assert_eq!(client.open().session_id, 7);
}

#[test]
fn j2_a_read_only_servers_session_is_one() {
    let mut client = Client::of(config("h1").allow_read_only().new_session_deadline(ms(30_000)));
    client.open();
    client.receive(&handshake_answer(9, 6000, &PASSWD, Some(true)));
    client.seen();
    client.lose();
    client.wait(60_000);
    assert_ne!(client.session.poll_timeout(), None);
}

#[test]
fn j2_a_session_that_is_opened_again_has_the_whole_time_again() {
    let mut client = with_deadline();
    client.wait(30_000);
    assert_eq!(client.seen(), [NEVER]);
    client.wait(100_000);
    client.session.reopen(client.now);
    client.wait(29_999);
    assert_eq!(client.seen(), []);
    client.wait(1);
    assert_eq!(client.seen(), [NEVER]);
    client.session.reopen(client.now);
    client.connect(8, 6000);
    client.session.close(client.now);
    assert_eq!(client.session.state(), KeeperState::SyncConnected);
}

#[test]
fn j2_a_session_that_is_resumed_from_a_ticket_was_given_once() {
    let mut memory = [0; TICKET_BYTES];
    let client = Client::owned("h1").connected();
    let ticket = client.session.ticket(TicketContents::Session, &mut memory).unwrap();
    let (config, storage) = (config("h1"), Storage::owned(Limits::default()));
    let config = config.new_session_deadline(ms(1000));
    let mut session = ClientSession::resume(config, storage, ticket, client.now).unwrap();
    session.handle_timeout(client.now.after(ms(60_000)));
    assert_ne!(session.poll_timeout(), None);
    assert_eq!(session.poll_event(), None);
}
