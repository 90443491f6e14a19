//! Pings, deadlines, and how attempts follow each other.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeSet;

use support::{Client, Rng, Seen, Sent, accepted, deadline, lost, ms, notification, pong, refused};
use zk_session::client::{Cause, ClientConfig, KeeperState, Link};
use zk_session::storage::Fixed;
use zk_session::wire::{EventType, OpCode, Request};
use zk_session::{DisconnectReason, Instant, Machine};

fn is_ping(sent: &Sent) -> bool {
    matches!(sent, Sent::Request { xid: -2, op: OpCode::Ping, body } if body.is_empty())
}

#[test]
fn a_ping_leaves_after_a_third_of_the_timeout() {
    let mut client = Client::owned("h1").connected();
    client.take_sent();
    assert_eq!(deadline(&client), 2000);
    client.wait(1999);
    assert!(client.take_sent().is_empty());
    client.wait(1);
    let sent = client.take_sent();
    assert!(sent.len() == 1 && is_ping(&sent[0]), "{sent:?}");
    client.receive(&pong(0));
    assert_eq!(client.seen(), [], "a ping's answer is no event");
    // What else is sent postpones it.
    client.wait(1500);
    client.submit(&Request::delete("/a", -1));
    client.take_sent();
    assert_eq!(deadline(&client), 2000);
}

#[test]
fn a_ping_leaves_after_ten_seconds_however_long_the_timeout() {
    let mut client = Client::owned("h1");
    client.connect(7, i32::MAX);
    assert_eq!(deadline(&client), 10_000);
}

#[test]
fn j4_z4_silence_never_exceeds_a_third_of_the_timeout_for_a_hundred_timeouts() {
    // An alarm may come early as often as it likes; `late` is how late it may come.
    for (timeout, late) in [(4000, 0), (4000, 40), (6000, 0), (6001, 100), (10_000, 250)] {
        let mut rng = Rng::new(timeout);
        let mut client = Client::owned("h1");
        client.connect(7, i32::try_from(timeout).unwrap());
        let (start, mut last) = (client.now, client.now);
        client.take_sent();
        while client.now.since(start).as_millis() < 100 * timeout {
            let wait = deadline(&client);
            let jitter =
                if rng.one_in(3) { 0 } else { u64::try_from(rng.below(1 + late)).unwrap() };
            let step = if rng.one_in(4) { wait / 2 } else { wait + jitter };
            client.now = client.now.after(ms(step));
            client.session.handle_timeout(client.now);
            for (at, sent) in client.take_sent_at() {
                assert!(is_ping(&sent));
                let gap = at.since(last).as_millis();
                assert!(gap <= timeout / 3 + u64::try_from(late).unwrap(), "{gap} ms of silence");
                last = at;
                client.now = client.now.after(ms(1)); // the answer's way
                client.receive(&pong(0));
            }
            assert_eq!(client.session.poll_link(), Link::Up);
        }
        assert_eq!(client.seen(), []);
    }
}

#[test]
fn k4_a_silent_server_is_left_after_two_thirds_of_the_timeout() {
    let mut client = Client::owned("h1").connected();
    let xid = client.submit(&Request::delete("/a", -1));
    client.wait(3999);
    assert_eq!(client.session.poll_link(), Link::Up);
    client.wait(1);
    assert_eq!(client.session.poll_link(), Link::Down);
    assert_eq!(
        client.seen(),
        [
            Seen::failed(xid, zk_session::OpError::ConnectionLoss),
            lost(DisconnectReason::ReadTimeout)
        ]
    );
}

#[test]
fn two_pings_fit_the_read_timeout() {
    let mut client = Client::owned("h1").connected();
    client.take_sent();
    client.wait(4000);
    let pings = client.take_sent();
    assert_eq!(pings.iter().filter(|sent| is_ping(sent)).count(), 1, "the second is due with it");
    // With the way of the answer on top, the second one leaves before the deadline.
    let mut client = Client::owned("h1").connected();
    client.take_sent();
    client.now = client.now.after(ms(1));
    client.receive(&pong(0));
    client.wait(4000);
    assert_eq!(client.take_sent().len(), 2);
    assert_eq!(client.seen(), [lost(DisconnectReason::ReadTimeout)]);
}

#[test]
fn whatever_is_heard_postpones_the_read_deadline() {
    let mut client = Client::owned("h1").connected();
    for _ in 0..10 {
        client.wait(3900);
        client.receive(&notification(EventType::NodeDeleted, "/a"));
        assert_eq!(client.session.poll_link(), Link::Up);
    }
    client.wait(4000);
    assert_eq!(client.session.poll_link(), Link::Down);
}

#[test]
fn t5_an_attempt_may_take_the_timeout_divided_by_the_hosts() {
    for (hosts, time) in [("h1", 6000), ("h1,h2,h3", 2000), ("h1,h2,h3,h4", 1500)] {
        // Dialling.
        let mut client = Client::owned(hosts);
        client.dial();
        assert_eq!(deadline(&client), time);
        client.now = client.now.after(ms(time - 1));
        client.session.handle_timeout(client.now);
        assert!(matches!(client.session.poll_link(), Link::Dial(_)));
        client.wait(1);
        assert_eq!(client.session.poll_link(), Link::Down);
        assert_eq!(client.session.last_disconnect().unwrap().1, DisconnectReason::ConnectTimeout);
        // The handshake has what dialling left.
        client.dial();
        client.now = client.now.after(ms(time / 2));
        client.up();
        client.transmit();
        assert_eq!(deadline(&client), time - time / 2);
        client.wait(time - time / 2);
        assert_eq!(client.session.poll_link(), Link::Down);
        assert_eq!(client.seen(), [], "failures before the first connection are no events");
    }
}

#[test]
fn t5_an_answer_that_drips_does_not_stretch_the_attempt() {
    let mut client = Client::owned("h1");
    client.open();
    for byte in accepted(7, 6000) {
        client.wait(200);
        client.receive(&[byte]);
    }
    assert_eq!(client.session.last_disconnect().unwrap().1, DisconnectReason::ConnectTimeout);
    assert_eq!(client.seen(), []);
}

#[test]
fn after_a_handshake_attempts_are_timed_by_what_was_granted() {
    let mut client = Client::owned("h1,h2");
    client.connect(7, 9000);
    client.lose();
    client.dial();
    assert_eq!(deadline(&client), 4500);
}

#[test]
fn t2_every_host_is_tried_before_any_is_tried_again() {
    for seed in 0..50 {
        let mut client = Client::of(ClientConfig::new("h1,h2,h3,h4,h5", seed).timeout(ms(5000)));
        for _ in 0..4 {
            let mut round = BTreeSet::new();
            for _ in 0..5 {
                round.insert(client.dial().index());
                client.lose();
            }
            assert_eq!(round.len(), 5);
        }
        // A server that is lost is the last to be tried again.
        client.connect(7, 5000);
        let lost = client.session.current_host();
        client.lose();
        for _ in 0..4 {
            assert_ne!(client.dial(), lost);
            client.lose();
        }
        assert_eq!(client.dial(), lost);
    }
}

#[test]
fn first_hosts_are_spread_by_the_seed() {
    let mut firsts = [0; 4];
    for seed in 0..400 {
        let mut client = Client::of(ClientConfig::new("h1,h2,h3,h4", seed));
        firsts[client.dial().index()] += 1;
    }
    assert!(firsts.iter().all(|n| (60..=140).contains(n)), "{firsts:?}");
}

#[test]
fn hosts_are_named_as_in_the_connection_string() {
    let mut client = Client::owned("alpha:1,[::2]:2,beta");
    let mut names = BTreeSet::new();
    for _ in 0..3 {
        let host = client.dial();
        names.insert(client.session.host(host).unwrap().to_string());
        client.lose();
    }
    assert!(names.iter().eq(["[::2]:2", "alpha:1", "beta:2181"]));
}

/// How a server lets an attempt fail.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Refused,
    AcceptedAndClosed,
    AnsweredAndClosed,
    NewSessionRefused,
    Garbled,
    Silent,
}

/// The times of the attempts within a minute.
fn attempts(config: ClientConfig<'static>, failure: Failure, had_session: bool) -> Vec<Instant> {
    let mut client = Client::of(config);
    if had_session {
        client.connect(7, 4000);
        client.lose();
    }
    let (start, mut attempts) = (client.now, Vec::new());
    loop {
        client.dial();
        if client.now.since(start) >= ms(60_000) {
            return attempts;
        }
        attempts.push(client.now);
        if matches!(failure, Failure::Refused) {
            client.lose();
            continue;
        }
        client.open();
        match failure {
            Failure::AnsweredAndClosed => client.receive(&accepted(7, 4000)),
            Failure::NewSessionRefused => client.receive(&refused()),
            Failure::Garbled => client.receive(&[0xff; 64]),
            Failure::Silent => client.wait(3999),
            Failure::Refused | Failure::AcceptedAndClosed => {}
        }
        if !matches!(failure, Failure::Silent) {
            client.lose();
        }
        assert!(client.session.poll_timeout().is_some());
    }
}

#[test]
fn c2_z3_r4_attempts_are_never_hot_whatever_fails() {
    use Failure::*;
    for failure in
        [Refused, AcceptedAndClosed, AnsweredAndClosed, NewSessionRefused, Garbled, Silent]
    {
        for hosts in ["h1", "h1,h2,h3"] {
            for had_session in [false, true] {
                if had_session && matches!(failure, NewSessionRefused) {
                    continue;
                }
                for seed in 0..10 {
                    let config = ClientConfig::new(hosts, seed).timeout(ms(4000));
                    let attempts = attempts(config, failure, had_session);
                    let n = attempts.len();
                    assert!((5..=240).contains(&n), "{failure:?} {hosts}: {n} attempts");
                    for pair in attempts.windows(2) {
                        assert!(pair[1].since(pair[0]) >= ms(50), "{failure:?}: {pair:?}");
                    }
                    // No more than a handful within any second.
                    for window in attempts.windows(13) {
                        assert!(window[12].since(window[0]) > ms(1000), "{failure:?}: {window:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn clients_with_different_seeds_do_not_move_in_step() {
    let config = |seed| ClientConfig::new("h1", seed).timeout(ms(4000));
    let of = |seed| attempts(config(seed), Failure::Refused, false);
    assert_eq!(of(1), of(1), "and one with the same seed does the same again");
    let (one, other) = (BTreeSet::from_iter(of(1)), BTreeSet::from_iter(of(2)));
    assert!(one.intersection(&other).count() < one.len() / 4);
}

#[test]
fn c2_a_thousand_clients_of_an_ensemble_that_returns_do_not_come_at_once() {
    const CLIENTS: u64 = 1000;
    let (timeout, back) = (ms(10_000), Instant::from_millis(61_000));
    let mut accepts = Vec::new();
    for seed in 0..CLIENTS {
        let config = ClientConfig::new("h1,h2,h3", seed).timeout(timeout);
        let mut client = Client::of(config);
        client.connect(7, 10_000);
        client.lose();
        while client.now < back {
            client.dial();
            if client.now < back {
                client.lose();
            }
        }
        accepts.push(client.now.since(back).as_millis());
    }
    accepts.sort_unstable();
    assert!(*accepts.last().unwrap() < timeout.as_millis(), "all are back within the timeout");
    let most = (0..100).map(|n| accepts.iter().filter(|at| **at / 100 == n).count()).max();
    assert!(most.unwrap() < 250, "{most:?} in 100 ms");
}

#[test]
fn a_connection_that_lasted_resets_the_back_off_and_one_that_did_not_does_not() {
    let longest = |lasting: u64| {
        let mut client = Client::owned("h1");
        let mut longest = 0;
        for _ in 0..60 {
            client.connect(7, 6000);
            let end = client.now.after(ms(lasting));
            while client.now < end {
                let step = ms(1000).min(end.since(client.now));
                client.wait(step.as_millis());
                client.receive(&pong(0));
            }
            client.lose();
            longest = longest.max(deadline(&client));
        }
        longest
    };
    assert!(longest(3000) <= 150);
    assert!(longest(0) > 500);
}

#[test]
fn a_timeout_of_a_millisecond_does_not_make_the_session_spin() {
    let mut client = Client::owned("h1");
    let (mut turns, mut attempts) = (0, 0);
    let start = client.now;
    while client.now.since(start) < ms(60_000) {
        turns += 1;
        client.pump();
        match client.session.poll_link() {
            Link::Dial(_) => {
                attempts += 1;
                client.open();
                client.receive(&accepted(7, 1));
            }
            _ => {
                let at = client.session.poll_timeout().unwrap();
                client.now = client.now.max(at);
                client.session.handle_timeout(client.now);
            }
        }
    }
    assert!(turns < 3000, "{turns} turns in a minute");
    assert!((100..=1200).contains(&attempts), "{attempts}");
}

#[test]
fn a_server_that_granted_a_millisecond_does_not_make_every_later_attempt_too_short() {
    let mut client = Client::owned("h1");
    client.connect(7, 1);
    client.wait(1);
    client.seen();
    client.dial();
    assert!(deadline(&client) >= 100, "{} ms to connect", deadline(&client));
    // So that the session's fate can be learnt from a server that is further away than that.
    client.now = client.now.after(ms(40));
    client.up();
    client.now = client.now.after(ms(40));
    client.session.handle_timeout(client.now);
    client.receive(&refused());
    assert!(matches!(client.seen()[..], [Seen::State(KeeperState::Expired, _)]));
}

#[test]
fn a_full_receive_buffer_is_not_the_servers_silence_and_pings_still_leave() {
    let mut memory = Fixed::<128, 128, 0, 1>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend());
    client.connect(7, 6000);
    client.take_sent();
    let event = notification(EventType::NodeDataChanged, "/abcd");
    let mut flood = event.repeat(20);
    while client.session.handle_bytes(client.now, &flood) > 0 {
        let taken = 128.min(flood.len());
        flood.drain(..taken);
    }
    assert!(client.session.poll_io().recv.is_empty());
    // For ten timeouts the application is busy; the adapter is not.
    let start = client.now;
    let mut pings = 0;
    while client.now.since(start) < ms(60_000) {
        client.now = client.session.poll_timeout().unwrap();
        client.session.handle_timeout(client.now);
        assert_eq!(client.session.poll_link(), Link::Up);
        let n = client.session.poll_transmit().len();
        pings += n / 12;
        client.session.handle_transmitted(client.now, n);
    }
    assert_eq!(pings, 30);
    client.pull();
    assert!(!client.seen().is_empty());
    assert_eq!(client.session.poll_link(), Link::Up);
    assert!(!client.session.poll_io().recv.is_empty());
    // From now on silence counts again.
    client.wait(3999);
    assert_eq!(client.session.poll_link(), Link::Up);
    client.wait(1);
    assert_eq!(client.seen(), [lost(DisconnectReason::ReadTimeout)]);
}

#[test]
fn k11_pings_leave_on_time_through_a_flood_of_watch_events() {
    let mut client = Client::owned("h1").connected();
    client.take_sent();
    let event = notification(EventType::NodeDataChanged, "/a");
    let mut pings = Vec::new();
    for _ in 0..6000 {
        client.wait(1);
        client.receive(&event.repeat(3));
        pings.extend(client.take_sent_at());
    }
    assert_eq!(pings.len(), 3);
    assert_eq!(client.seen().len(), 18_000);
}

#[test]
fn bytes_that_were_never_there_do_not_count_as_sent() {
    let mut client = Client::owned("h1").connected();
    client.take_sent();
    client.wait(1500);
    client.session.handle_transmitted(client.now, 10);
    assert_eq!(deadline(&client), 500);
}

#[test]
fn k3_a_clock_that_jumps_is_a_loss_and_then_an_expiry() {
    let mut client = Client::owned("h1").connected();
    client.now = client.now.after(ms(60_000));
    client.session.handle_timeout(client.now);
    assert_eq!(client.seen(), [lost(DisconnectReason::ReadTimeout)]);
    client.open();
    client.receive(&refused());
    assert!(matches!(client.seen()[..], [Seen::State(KeeperState::Expired, Cause::Expired(_))]));
    client.session.close(client.now);
    assert_eq!(client.session.poll_timeout(), None);
}

#[test]
fn a_clock_that_runs_backwards_stands_still() {
    let mut client = Client::owned("h1").connected();
    client.take_sent();
    let due = client.session.poll_timeout();
    for back in [0, 500, 999] {
        client.session.handle_timeout(Instant::from_millis(back));
        client.session.handle_bytes(Instant::from_millis(back), &pong(0));
        client.pull();
        client.session.handle_transmitted(Instant::from_millis(back), 0);
    }
    assert_eq!(client.session.poll_timeout(), due);
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn c6_there_is_at_most_one_transport() {
    // The link asks for a transport only after it has said that the last one is to go.
    let mut client = Client::owned("h1,h2");
    for n in 0..1000 {
        client.dial();
        match n % 4 {
            0 => client.lose(),
            1 => {
                client.up();
                client.wait(3000);
            }
            2 => client.wait(3000),
            _ => {
                client.up();
                client.receive(&accepted(7, 6000));
                client.wait(4000);
            }
        }
        assert_ne!(client.session.poll_link(), Link::Up);
    }
}
