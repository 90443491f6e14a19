//! Deadlines, cancellation, and why: what a request and a state change can be asked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{Client, Seen, accepted, error, lost, ms, refused, reply};
use zk_session::client::{Cause, ClientConfig, ExpiryReason, KeeperState};
use zk_session::wire::{Reply, Request, Stat, Xid, Zxid};
use zk_session::{DisconnectReason, ErrorCode, Instant, Machine, OpError};

fn stat() -> Reply<'static> {
    Reply::Stat(Stat::default())
}

impl Client<'_> {
    fn submit_within(&mut self, millis: u64) -> Xid {
        let deadline = self.now.after(ms(millis));
        let xid = self.session.submit_before(&Request::exists("/a", false), deadline).unwrap();
        self.pump();
        xid
    }
}

fn is_answered(seen: &[Seen], xid: Xid) -> bool {
    seen.iter().any(|seen| matches!(seen, Seen::Reply(of, _, Ok(_)) if *of == xid))
}

#[test]
fn j7_a_request_whose_deadline_passes_fails_alone_with_timeout_and_ends_the_connection() {
    let mut client = Client::owned("a,b").connected();
    let first = client.submit(&Request::exists("/a", false));
    let late = client.submit_within(500);
    let last = client.submit_within(5000);
    client.wait(400);
    client.receive(&reply(first, 5, &stat()));
    assert!(is_answered(&client.seen(), first));
    client.wait(99);
    assert_eq!(client.seen(), []);
    client.wait(1);
    assert_eq!(
        client.seen(),
        [
            Seen::failed(late, OpError::Timeout),
            Seen::failed(last, OpError::ConnectionLoss),
            lost(DisconnectReason::RequestTimeout { xid: late.0 }),
        ]
    );
    client.connect(7, 6000);
    let next = client.submit(&Request::exists("/a", false));
    client.receive(&reply(next, 6, &stat()));
    assert!(is_answered(&client.seen(), next), "the session goes on");
}

#[test]
fn every_deadline_that_has_passed_is_a_timeout_even_behind_one_without() {
    let mut client = Client::owned("h").connected();
    let patient = client.submit(&Request::exists("/a", false));
    let (one, two) = (client.submit_within(300), client.submit_within(200));
    client.session.handle_timeout(client.now.after(ms(300)));
    assert_eq!(
        client.seen()[..3],
        [
            Seen::failed(patient, OpError::ConnectionLoss),
            Seen::failed(one, OpError::Timeout),
            Seen::failed(two, OpError::Timeout),
        ]
    );
}

#[test]
fn an_answer_in_time_takes_the_deadline_away() {
    let mut client = Client::owned("h").connected();
    for _ in 0..10 {
        let xid = client.submit_within(300);
        client.wait(299);
        client.receive(&error(xid, 5, ErrorCode::NoNode));
        assert_eq!(client.seen().len(), 1);
    }
    client.wait(400);
    assert_eq!(client.seen(), []);
    let deadline = client.session.poll_timeout_far();
    assert!(deadline > client.now.after(ms(1000)), "no stale deadline wakes the driver");
}

#[test]
fn a_cancelled_request_is_told_of_no_more_and_the_stream_stays_in_step() {
    let mut client = Client::owned("h").connected();
    let (gone, kept) = (
        client.submit(&Request::exists("/gone", false)),
        client.submit(&Request::exists("/kept", false)),
    );
    assert!(client.session.cancel(gone));
    assert!(!client.session.cancel(gone), "once");
    client.receive(&reply(gone, 5, &stat()));
    client.receive(&reply(kept, 6, &stat()));
    let seen = client.seen();
    assert!(is_answered(&seen, kept) && seen.len() == 1, "{seen:?}");
    assert!(!client.session.cancel(kept), "answered");
    assert!(!client.session.cancel(Xid(99)), "never submitted");

    let lost_too = client.submit(&Request::exists("/gone", false));
    assert!(client.session.cancel(lost_too));
    client.lose();
    assert_eq!(client.seen(), [lost(DisconnectReason::TransportClosed)]);
}

#[test]
fn a_cancelled_request_has_no_deadline_and_its_watch_is_armed_all_the_same() {
    let mut client = Client::owned("h").connected();
    let deadline = client.now.after(ms(200));
    let xid = client.session.submit_before(&Request::get_data("/a", true), deadline).unwrap();
    assert!(client.session.cancel(xid));
    client.wait(300);
    assert_eq!(client.seen(), []);
    let data = zk_session::wire::Data { data: None, stat: Stat::default() };
    client.receive(&reply(xid, 5, &Reply::Data(data)));
    assert_eq!(client.session.watches(), 1);
}

#[test]
fn cancelled_credentials_are_still_shown_to_the_next_server() {
    let mut client = Client::owned("h").connected();
    let xid = client.submit(&Request::add_auth("digest", b"u:p"));
    assert!(client.session.cancel(xid));
    client.receive(&support::reply_header(-4, 0, 0));
    assert_eq!(client.seen(), []);
    client.take_sent();
    client.connect(7, 6000);
    assert!(client.take_sent().iter().any(|sent| sent.xid() == -4));
}

#[test]
fn why_tells_the_cause_and_the_clocks_of_every_state_change() {
    let mut client = Client::of(ClientConfig::new("a,b", 4).timeout(ms(6000)));
    assert_eq!(client.session.why(), None);
    client.dial();
    client.lose();
    client.open();
    client.wait(30);
    client.receive(&accepted(7, 6000));
    let why = *client.session.why().unwrap();
    assert_eq!((why.state, why.cause), (KeeperState::SyncConnected, Cause::Established));
    assert_eq!((why.attempts, why.at), (2, client.now));

    let heard = client.now;
    client.wait(10_000);
    let why = *client.session.why().unwrap();
    assert_eq!(why.cause, Cause::Lost(DisconnectReason::ReadTimeout));
    assert_eq!((why.last_heard, why.at), (heard, heard.after(ms(4000))));
    assert_eq!(why.last_sent, heard.after(ms(3970)), "the second ping that nobody answered");
    assert_eq!(
        why.to_string(),
        format!(
            "Disconnected: nothing heard within the read deadline; session 0x0000000000000007, \
             host {}, timeout 6000 ms, heard 4000 ms and sent 30 ms before, \
             0 attempts since it was last accepted",
            why.host.index()
        )
    );

    client.open();
    client.receive(&refused());
    let why = client.session.why().unwrap();
    assert_eq!(why.cause, Cause::Expired(ExpiryReason::ToldByServer));
    assert!(why.attempts > 0);
}

trait FarDeadline {
    fn poll_timeout_far(&mut self) -> Instant;
}

impl FarDeadline for zk_session::client::ClientSession<'_> {
    /// The deadline after the one that is due to answered requests has been taken away.
    fn poll_timeout_far(&mut self) -> Instant {
        let at = self.poll_timeout().unwrap();
        self.handle_timeout(at);
        self.poll_timeout().unwrap()
    }
}

#[test]
fn a_reply_keeps_its_zxid() {
    let mut client = Client::owned("h").connected();
    let xid = client.submit(&Request::exists("/a", false));
    client.receive(&error(xid, 77, ErrorCode::NoNode));
    let failed = Seen::Reply(xid, Zxid(77), Err(OpError::Server(ErrorCode::NoNode)));
    assert_eq!(client.seen(), [failed]);
    assert_eq!(client.session.last_zxid(), Zxid(77));
}
