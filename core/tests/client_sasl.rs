//! SASL as a phase: before it is done nothing else leaves, and each way out of it is its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "common/capture.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod capture;
mod support;

use support::{
    Client, Seen, Sent, accepted, deadline, error, frame, handshake_answer, lost, ms, notification,
    pong, refused, reply, reply_header,
};
use zk_session::client::{Cause, ClientConfig, Event, KeeperState, Link, SaslChallenge};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{
    EventType, OpCode, Reply, ReplyHeader, Request, SessionId, Stat, WireError, Xid, Zxid,
};
use zk_session::{DisconnectReason, ErrorCode, Machine, OpError, SubmitError};

const BEGIN: Seen = Seen::Sasl(Err("begin"));
const ESTABLISHED: Seen = Seen::State(KeeperState::SyncConnected, Cause::Established);
const RESUMED: Seen = Seen::State(KeeperState::SyncConnected, Cause::Resumed);

fn config(hosts: &'static str) -> ClientConfig<'static> {
    ClientConfig::new(hosts, 7).timeout(ms(6000)).sasl()
}

/// A session that has been accepted and has yet to authenticate.
fn accepted_client(hosts: &'static str) -> Client<'static> {
    let mut client = Client::of(config(hosts));
    client.open();
    client.receive(&accepted(7, 6000));
    assert_eq!(client.seen(), [BEGIN]);
    client
}

fn token(xid: i32, token: Option<&[u8]>) -> Vec<u8> {
    reply(Xid(xid), 0, &Reply::Sasl(token))
}

/// Goes through an exchange of one token each way.
fn authenticate(client: &mut Client<'_>, xid: i32) {
    assert_eq!(client.seen(), [BEGIN]);
    client.session.submit_sasl(b"me").unwrap();
    client.receive(&token(xid, Some(b"you")));
    assert_eq!(client.seen(), [Seen::Sasl(Ok(b"you".to_vec()))]);
    client.session.sasl_done().unwrap();
    client.pump();
}

fn sasl_tokens(sent: &[Sent]) -> Vec<(i32, Vec<u8>)> {
    sent.iter()
        .map(|sent| match sent.request() {
            Request::Sasl { token } => (sent.xid(), token.unwrap().to_vec()),
            other => panic!("{other:?} in the phase"),
        })
        .collect()
}

/// Refused in this state, and nothing has changed.
fn no_challenge(client: &mut Client<'_>) {
    let before = (client.session.poll_transmit().to_vec(), client.session.poll_timeout());
    assert_eq!(client.session.submit_sasl(b"x"), Err(SubmitError::NoChallenge));
    assert_eq!(client.session.sasl_done(), Err(SubmitError::NoChallenge));
    assert_eq!(client.session.sasl_failed(), Err(SubmitError::NoChallenge));
    let after = (client.session.poll_transmit().to_vec(), client.session.poll_timeout());
    assert_eq!(before, after);
    assert!(!SubmitError::NoChallenge.is_temporary());
}

/// Plays connection `a` of a capture: what the client says must be what was captured, to the byte;
/// tokens are taken from the capture as a mechanism would make them.
fn play(scenario: &str, sasl: bool) -> (Client<'static>, Vec<Seen>) {
    let frames = capture::read(&capture::committed("3.8.0")).unwrap();
    let frames = frames.iter().filter(|frame| frame.scenario == scenario && frame.conn == "a");
    let mut config = ClientConfig::new("h1", 1).timeout(ms(10_000));
    if sasl {
        config = config.sasl();
    }
    let mut client = Client::of(config);
    client.dial();
    client.up();
    let (mut seen, mut in_phase, mut raw) = (Vec::new(), sasl, Vec::new());
    for captured in frames {
        if captured.kind == "connect_response" || captured.kind == "reply" {
            client.session.handle_bytes(client.now, &captured.bytes);
            while let Some(event) = client.session.poll_event() {
                seen.push(Seen::of(&event));
            }
            continue;
        }
        let body = &captured.bytes[12.min(captured.bytes.len())..];
        match captured.decoded["op"].as_str() {
            None => {}
            Some("sasl") => client.session.submit_sasl(&body[4..]).unwrap(),
            Some("ping") => {
                if std::mem::take(&mut in_phase) {
                    client.session.sasl_done().unwrap();
                    seen.extend(client.session.poll_event().iter().map(Seen::of));
                }
                client.now = client.session.poll_timeout().unwrap();
                client.session.handle_timeout(client.now);
            }
            Some("closeSession") => client.session.close(client.now),
            Some(name) => {
                if std::mem::take(&mut in_phase) {
                    client.session.sasl_done().unwrap();
                    seen.extend(client.session.poll_event().iter().map(Seen::of));
                }
                let op = match name {
                    "create" => OpCode::Create,
                    "getData" => OpCode::GetData,
                    "whoAmI" => OpCode::WhoAmI,
                    "delete" => OpCode::Delete,
                    other => panic!("{other}"),
                };
                let request = Request::decode(op, body).unwrap();
                client.session.submit(&request).unwrap();
            }
        }
        raw.clear();
        raw.extend_from_slice(client.session.poll_transmit());
        client.session.handle_transmitted(client.now, raw.len());
        assert_eq!(capture::hex(&raw), capture::hex(&captured.bytes), "{}", captured.origin);
    }
    client.session.handle_disconnected(client.now);
    while let Some(event) = client.session.poll_event() {
        seen.push(Seen::of(&event));
    }
    (client, seen)
}

#[test]
fn golden_digest_md5_is_spoken_to_the_byte() {
    let (_, seen) = play("sasl_digest_md5", true);
    assert_eq!(seen[0], BEGIN);
    assert!(matches!(&seen[1], Seen::Sasl(Ok(challenge)) if challenge.starts_with(b"realm=")));
    assert!(matches!(&seen[2], Seen::Sasl(Ok(last)) if last.starts_with(b"rspauth=")));
    assert_eq!(seen[3], ESTABLISHED);
    assert_eq!(seen[4].reply(OpCode::Create), Reply::Path("/sasl".into()));
    let Reply::WhoAmI(identities) = seen[6].reply(OpCode::WhoAmI) else { panic!() };
    assert_eq!(identities.iter().next().unwrap().user.as_str(), Some("bob"));
    assert_eq!(seen.last(), Some(&Seen::State(KeeperState::Closed, Cause::Closed)));
    assert_eq!(seen.len(), 9);
}

#[test]
fn golden_a_server_without_sasl_has_a_null_token() {
    let (_, seen) = play("sasl_not_configured", true);
    let closed = Seen::State(KeeperState::Closed, Cause::Closed);
    assert_eq!(seen, [BEGIN, Seen::Sasl(Err("null")), ESTABLISHED, closed]);
}

#[test]
fn golden_k7_a_server_that_requires_sasl_ends_a_session_that_has_none() {
    let (client, seen) = play("sasl_required", false);
    let required = Err(OpError::Server(ErrorCode::SessionClosedRequireSaslAuth));
    let over = Seen::State(KeeperState::AuthFailed, Cause::SaslRequired);
    assert_eq!(seen, [ESTABLISHED, Seen::Reply(Xid(1), Zxid(0), required), over]);
    assert_eq!((client.session.poll_timeout(), client.session.poll_link()), (None, Link::Down));
}

#[test]
fn k7_z6_nothing_leaves_before_sasl_is_done_and_then_the_replay_comes_first() {
    let mut client = Client::of(config("h1,h2"));
    client.open();
    client.receive(&accepted(7, 6000));
    authenticate(&mut client, 1);
    assert_eq!(client.seen(), [ESTABLISHED]);
    client.submit(&Request::add_auth("digest", b"u:p"));
    client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    let xid = client.submit(&Request::exists("/a", true));
    client.receive(&reply(xid, 9, &Reply::Stat(Stat::default())));
    client.seen();
    client.lose();
    assert_eq!(client.seen(), [lost(DisconnectReason::TransportClosed)]);
    client.take_sent();

    client.open();
    client.receive(&accepted(7, 6000));
    assert!(client.take_sent().is_empty());
    for millis in [500, 1000, 2000] {
        client.wait(millis);
        assert!(client.take_sent().is_empty(), "no ping, no credential, no watch");
        assert_eq!(client.session.submit(&Request::WhoAmI), Err(SubmitError::NotConnected));
        assert!(!client.session.can_submit());
        assert_eq!(client.session.state(), KeeperState::Disconnected);
    }
    assert_eq!(client.seen(), [BEGIN]);
    client.session.submit_sasl(b"me").unwrap();
    assert_eq!(sasl_tokens(&client.take_sent()), [(4, b"me".to_vec())]);
    client.receive(&token(4, None));
    client.wait(100);
    assert!(client.take_sent().is_empty());
    client.session.sasl_done().unwrap();
    client.pump();
    assert_eq!(client.seen(), [Seen::Sasl(Err("null")), RESUMED]);
    let ops: Vec<_> = client.take_sent().iter().filter_map(Sent::op).collect();
    assert_eq!(ops, [OpCode::Auth, OpCode::SetWatches]);
    client.submit(&Request::WhoAmI);
}

#[test]
fn in_the_phase_any_reply_is_a_token_whatever_its_xid() {
    for xid in [1, 0, 77, -8, -3, i32::MAX, i32::MIN] {
        let mut client = accepted_client("h1");
        client.session.submit_sasl(b"").unwrap();
        client.receive(&pong(5));
        client.receive(&notification(EventType::NodeCreated, "/a"));
        client.receive(&token(xid, Some(b"token")));
        let event = Seen::Notification(EventType::NodeCreated, "/a".to_owned());
        assert_eq!(client.seen(), [event, Seen::Sasl(Ok(b"token".to_vec()))], "{xid}");
        assert_eq!(client.session.last_zxid(), Zxid(0));
    }
}

#[test]
fn answers_are_refused_in_every_state_that_has_not_asked() {
    let mut client = Client::of(config("h1"));
    no_challenge(&mut client); // Backoff
    client.dial();
    no_challenge(&mut client); // Dialling
    client.up();
    no_challenge(&mut client); // Priming
    client.receive_unseen(&accepted(7, 6000));
    no_challenge(&mut client); // the challenge has not been pulled
    client.pump();
    client.session.submit_sasl(b"a").unwrap();
    no_challenge(&mut client); // the server's turn
    client.receive(&token(1, Some(b"b")));
    client.session.sasl_done().unwrap();
    no_challenge(&mut client); // done
    client.pump();
    no_challenge(&mut client); // Connected
    client.session.handle_disconnected(client.now);
    no_challenge(&mut client); // Draining
    client.pump();
    client.open();
    client.receive(&refused());
    no_challenge(&mut client); // Ended
    let mut plain = Client::owned("h1").connected();
    no_challenge(&mut plain);
}

#[test]
fn k7_a_refusal_is_final_with_and_without_a_token_read_before_or_after_the_loss() {
    let failed = ErrorCode::AuthFailed.to_wire();
    for bytes in [
        reply_header(1, 0, failed),
        frame(|w| {
            ReplyHeader { xid: Xid(1), zxid: Zxid(0), err: failed }.write(w);
            w.buffer(None);
        }),
    ] {
        for lost_first in [false, true] {
            let mut client = accepted_client("h1,h2");
            client.session.submit_sasl(b"wrong").unwrap();
            client.pump();
            client.receive_unseen(&bytes);
            if lost_first {
                client.session.handle_disconnected(client.now);
            }
            let over = Seen::State(KeeperState::AuthFailed, Cause::AuthRefused);
            assert_eq!(client.seen(), [over]);
            assert_eq!(client.session.poll_link(), Link::Down);
            assert_eq!(client.session.poll_timeout(), None);
            assert_eq!(client.refused(&Request::WhoAmI), SubmitError::Ended);
            no_challenge(&mut client);
        }
    }
}

#[test]
fn k7_a_loss_is_no_refusal_the_next_host_is_tried_and_sasl_begins_anew() {
    let mut client = Client::of(config("h1,h2,h3"));
    let mut hosts = std::collections::BTreeSet::new();
    for round in 0..12 {
        hosts.insert(client.dial().index());
        let handshake = client.open();
        // The session is known from the first answer on.
        assert_eq!(handshake.session_id, if round == 0 { 0 } else { 7 });
        client.receive(&accepted(7, 6000));
        assert_eq!(client.seen(), [BEGIN], "{round}");
        if round % 3 > 0 {
            client.session.submit_sasl(b"me").unwrap();
        }
        if round % 3 == 2 {
            client.receive(&token(round, Some(b"you")));
            client.seen();
        }
        if round % 4 == 3 && round % 3 != 1 {
            client.session.sasl_done().unwrap();
            client.session.handle_disconnected(client.now);
        } else {
            client.lose();
        }
        assert_eq!(client.seen(), [], "never connected: nothing is told");
        let (_, reason) = client.session.last_disconnect().unwrap();
        assert_eq!(reason, DisconnectReason::TransportClosed);
        client.take_sent();
    }
    assert_eq!(hosts.len(), 3);
    client.open();
    client.receive(&accepted(7, 6000));
    authenticate(&mut client, 999);
    assert_eq!(client.seen(), [RESUMED]);
}

#[test]
fn an_acceptance_that_is_found_after_the_loss_tells_nobody_and_is_resumed() {
    let mut client = Client::of(config("h1"));
    client.dial();
    client.up();
    let mut bytes = accepted(7, 6000);
    bytes.extend(token(1, Some(b"unasked")));
    client.receive_unseen(&bytes);
    client.session.handle_disconnected(client.now);
    assert_eq!(client.seen(), []);
    assert_eq!(client.session.session_id(), SessionId(7));
    client.take_sent();
    assert_eq!(client.open().session_id, 7);
}

#[test]
fn the_exchange_has_two_thirds_of_the_timeout_and_then_the_next_host_is_tried() {
    for answered in [false, true] {
        let mut client = accepted_client("h1,h2");
        assert_eq!(deadline(&client), 4000);
        client.wait(2000);
        if answered {
            // The server is at work, and says nothing.
            client.session.submit_sasl(b"me").unwrap();
            client.pump();
        }
        client.wait(1999);
        assert_eq!(client.session.poll_link(), Link::Up);
        client.wait(1);
        assert_ne!(client.session.poll_link(), Link::Up);
        let (_, reason) = client.session.last_disconnect().unwrap();
        assert_eq!(reason, DisconnectReason::SaslTimeout);
        client.open();
        client.receive(&accepted(7, 6000));
        assert_eq!(client.seen().last(), Some(&BEGIN));
    }
}

#[test]
fn the_connect_deadline_holds_before_the_phase() {
    let mut client = Client::of(config("h1,h2"));
    client.dial();
    client.up();
    client.pump();
    client.wait(3000);
    let (_, reason) = client.session.last_disconnect().unwrap();
    assert_eq!(reason, DisconnectReason::ConnectTimeout);
}

/// Tokens do not keep a session alive: a third of the timeout after the handshake it must be heard
/// of, or as soon as it may.
#[test]
fn the_first_ping_is_due_a_third_of_the_timeout_after_the_handshake_or_when_sasl_is_done() {
    for (elapsed, left) in [(0, 2000), (500, 1500), (1900, 100), (2500, 0), (3900, 0)] {
        let mut client = accepted_client("h1");
        client.wait(elapsed);
        client.session.submit_sasl(b"me").unwrap();
        client.pump();
        client.receive(&token(1, None));
        client.session.sasl_done().unwrap();
        client.pump();
        client.take_sent();
        assert_eq!(deadline(&client), left, "after {elapsed}");
        client.wait(left);
        assert_eq!(client.take_sent()[0].op(), Some(OpCode::Ping));
    }
}

#[test]
fn other_errors_in_the_phase_cost_the_connection() {
    for code in [ErrorCode::Unimplemented, ErrorCode::SystemError, ErrorCode::Unknown(-7777)] {
        let mut client = accepted_client("h1,h2");
        client.session.submit_sasl(b"me").unwrap();
        client.receive(&error(Xid(1), -1, code));
        let (_, reason) = client.session.last_disconnect().unwrap();
        assert_eq!(reason, DisconnectReason::SaslError { code }, "t4");
        assert_eq!(client.seen(), []);
        client.open();
    }
}

#[test]
fn what_is_no_token_costs_the_connection() {
    let reason = |client: &Client<'_>| client.session.last_disconnect().unwrap().1;
    // Nobody asked for one.
    let mut client = accepted_client("h1");
    client.receive(&token(9, Some(b"unasked")));
    assert_eq!(reason(&client), DisconnectReason::UnsolicitedReply { xid: 9 });
    // An auth reply: none was sent.
    let mut client = accepted_client("h1");
    client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    assert_eq!(reason(&client), DisconnectReason::UnsolicitedReply { xid: Xid::AUTH.0 });
    // No body, and one that lies.
    for body in [vec![], vec![0; 3], vec![0, 0, 0, 9, 1]] {
        let mut client = accepted_client("h1");
        client.session.submit_sasl(b"me").unwrap();
        client.receive(&frame(|w| {
            ReplyHeader { xid: Xid(1), zxid: Zxid(0), err: 0 }.write(w);
            w.raw(&body);
        }));
        let malformed = reason(&client);
        assert!(matches!(
            malformed,
            DisconnectReason::Malformed(
                WireError::Truncated { .. } | WireError::BadLength { at: 0, len: 9 }
            )
        ));
    }
    // Larger than the receive buffer.
    let mut memory = Fixed::<100, 300, 0, 1>::new();
    let mut client = Client::with(config("h1"), memory.lend());
    client.open();
    client.receive(&accepted(7, 6000));
    client.session.submit_sasl(b"me").unwrap();
    client.receive(&token(1, Some(&[7; 100])));
    assert_eq!(reason(&client), DisconnectReason::BadFrameLength { len: 120 });
}

#[test]
fn a_token_that_does_not_fit_is_refused_and_the_turn_stays() {
    let mut limits = Limits::default();
    limits.transmit = 100;
    let mut client = Client::with(config("h1"), Storage::owned(limits));
    client.open();
    client.receive(&accepted(7, 6000));
    let most = 100 - 24 - 16;
    let too_large = SubmitError::TooLarge { needed: 77, limit: 76 };
    assert_eq!(client.session.submit_sasl(&vec![7; most + 1]), Err(too_large));
    assert_eq!(client.session.submit_sasl(&vec![7; most]), Ok(()));
    assert_eq!(sasl_tokens(&client.take_sent()), [(1, vec![7; most])]);
}

#[test]
fn the_application_can_end_it_or_go_without() {
    let mut client = accepted_client("h1");
    client.session.sasl_failed().unwrap();
    assert_eq!(client.seen(), [Seen::State(KeeperState::AuthFailed, Cause::SaslFailed)]);
    assert_eq!(client.session.poll_timeout(), None);
    // Another session begins from the beginning.
    client.session.reopen(client.now);
    client.open();
    client.receive(&accepted(8, 6000));
    assert_eq!(client.seen(), [BEGIN]);
    client.session.sasl_done().unwrap();
    assert_eq!(client.seen(), [ESTABLISHED]);
    client.submit(&Request::WhoAmI);
}

#[test]
fn a_read_only_server_is_told_as_one_when_sasl_is_done() {
    let mut client = Client::of(config("h1").allow_read_only());
    client.open();
    client.receive(&handshake_answer(7, 6000, &support::PASSWD, Some(true)));
    authenticate(&mut client, 1);
    let read_only = Seen::State(KeeperState::ConnectedReadOnly, Cause::Established);
    assert_eq!(client.seen(), [read_only]);
}

#[test]
fn a_close_waits_for_sasl_or_for_its_deadline() {
    let mut client = accepted_client("h1");
    client.session.close(client.now);
    client.session.submit_sasl(b"me").unwrap();
    client.receive(&token(1, None));
    client.session.sasl_done().unwrap();
    client.pump();
    let ops: Vec<_> = client.take_sent().iter().filter_map(Sent::op).collect();
    assert_eq!(ops, [OpCode::Sasl, OpCode::CloseSession]);
    client.receive(&reply_header(2, 9, 0));
    let closed = Seen::State(KeeperState::Closed, Cause::Closed);
    assert_eq!(client.seen().last(), Some(&closed));

    let mut client = accepted_client("h1");
    client.session.close(client.now);
    assert_eq!(deadline(&client), 2000, "the close timeout");
    client.wait(2000);
    assert_eq!(client.seen(), [Seen::State(KeeperState::Closed, Cause::ClosedUnconfirmed)]);
}

#[test]
fn k7_a_demand_for_sasl_ends_the_session_whatever_it_answers() {
    let demand = |xid: Xid| error(xid, 0, ErrorCode::SessionClosedRequireSaslAuth);
    let over = Seen::State(KeeperState::AuthFailed, Cause::SaslRequired);
    let required = |xid| {
        let error = OpError::Server(ErrorCode::SessionClosedRequireSaslAuth);
        Seen::Reply(xid, Zxid(0), Err(error))
    };
    // A request, with others in flight; one of them would have armed a watch.
    let mut client = Client::owned("h1,h2").connected();
    let first = client.submit(&Request::get_data("/a", true));
    let second = client.submit(&Request::WhoAmI);
    client.receive(&demand(first));
    let failed = Seen::failed(second, OpError::AuthFailed);
    assert_eq!(client.seen(), [required(first), failed, over.clone()]);
    assert_eq!(client.session.poll_link(), Link::Down);
    // A ping, a setWatches, a credential said again or for the first time.
    for xid in [Xid::PING, Xid::SET_WATCHES, Xid::AUTH] {
        let mut client = Client::owned("h1").connected();
        let waiting = client.submit(&Request::WhoAmI);
        client.receive(&demand(xid));
        assert_eq!(client.seen(), [Seen::failed(waiting, OpError::AuthFailed), over.clone()]);
    }
    let mut client = Client::owned("h1").connected();
    let auth = client.submit(&Request::add_auth("digest", b"u:p"));
    client.receive(&demand(Xid::AUTH));
    assert_eq!(client.seen(), [required(auth), over.clone()]);
    // Behind a SASL that was not enough, or skipped.
    let mut client = accepted_client("h1");
    client.session.sasl_done().unwrap();
    client.pump();
    client.seen();
    client.wait(2000);
    client.receive(&demand(Xid::PING));
    assert_eq!(client.seen(), std::slice::from_ref(&over));
    // Within the phase.
    let mut client = accepted_client("h1");
    client.session.submit_sasl(b"me").unwrap();
    client.receive(&demand(Xid(1)));
    assert_eq!(client.seen(), [over]);
}

#[test]
fn tokens_are_not_shown() {
    let mut client = Client::of(config("h1"));
    client.open();
    client.receive_unseen(&accepted(7, 6000));
    client.pull();
    client.session.submit_sasl(b"SECRET").unwrap();
    client.pump();
    client.receive_unseen(&token(1, Some(b"SECRET")));
    let event = client.session.poll_event().unwrap();
    assert!(matches!(event, Event::SaslChallenge(SaslChallenge::Token(b"SECRET"))));
    let shown = format!("{event:?}");
    assert!(shown.contains("6 bytes") && !shown.contains("SECRET"), "{shown}");
    assert!(!format!("{:?}", client.session).contains("SECRET"));
}
