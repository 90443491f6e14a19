//! Reading from a server without a quorum, while looking for one that has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{
    Client, PASSWD, Seen, accepted, deadline, error, handshake_answer, lost, ms, pong, reply,
};
use zk_session::client::{Cause, ClientConfig, HostIndex, KeeperState, Link, ProbeAnswer};
use zk_session::wire::{Reply, Request, Stat};
use zk_session::{DisconnectReason, ErrorCode, Instant, Machine, OpError};

const READ_ONLY: Seen = Seen::State(KeeperState::ConnectedReadOnly, Cause::Established);
const FOUND: DisconnectReason = DisconnectReason::FoundReadWrite;

fn client(hosts: &'static str) -> Client<'static> {
    Client::of(ClientConfig::new(hosts, 7).timeout(ms(6000)).allow_read_only())
}

/// A read-only server accepts with this id.
fn read_only(client: &mut Client<'_>, id: i64) {
    client.open();
    client.receive(&handshake_answer(id, 6000, &PASSWD, Some(true)));
    assert_eq!(client.session.state(), KeeperState::ConnectedReadOnly);
    assert_eq!(client.session.poll_probe(), None);
}

fn in_read_only_mode(hosts: &'static str) -> Client<'static> {
    let mut client = client(hosts);
    read_only(&mut client, 9);
    assert_eq!(client.seen(), [READ_ONLY]);
    client
}

/// Lets time pass until a host is to be asked, with a server that answers pings.
fn probe(client: &mut Client<'_>) -> HostIndex {
    for _ in 0..10_000 {
        if let Some(host) = client.session.poll_probe() {
            return host;
        }
        client.now = client.session.poll_timeout().unwrap();
        client.session.handle_timeout(client.now);
        if !client.take_sent().is_empty() {
            client.receive(&pong(0));
        }
        assert_eq!(client.session.poll_link(), Link::Up);
    }
    panic!("no probe");
}

fn answer(client: &mut Client<'_>, host: HostIndex, answer: ProbeAnswer) {
    client.session.handle_probed(client.now, host, answer);
    client.pump();
}

#[test]
fn u10_reads_are_served_and_writes_refused_without_losing_the_connection() {
    let mut client = in_read_only_mode("h1,h2,h3");
    let read = client.submit(&Request::exists("/a", false));
    client.receive(&reply(read, 5, &Reply::Stat(Stat::default())));
    let write = client.submit(&Request::delete("/a", -1));
    client.receive(&error(write, 5, ErrorCode::NotReadOnly));
    let seen = client.seen();
    assert!(matches!(&seen[0], Seen::Reply(xid, _, Ok(_)) if *xid == read));
    assert!(matches!(&seen[1], Seen::Reply(xid, _, Err(OpError::Server(ErrorCode::NotReadOnly)))
        if *xid == write));
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn u10_hosts_are_asked_in_turn_at_gaps_that_double_to_a_minute() {
    let mut client = in_read_only_mode("h1,h2,h3");
    let (mut last, mut gaps, mut hosts) = (client.now, Vec::new(), Vec::new());
    for n in 0..14 {
        let host = probe(&mut client);
        gaps.push(client.now.since(last).as_millis());
        hosts.push(host);
        last = client.now;
        // Taken at once, after a moment, or too late.
        let patience = [0, 40, 1000][n % 3];
        while client.session.poll_probe() == Some(host) && client.now < last.after(ms(patience)) {
            client.now = client.session.poll_timeout().unwrap().min(last.after(ms(patience)));
            client.session.handle_timeout(client.now);
            if !client.take_sent().is_empty() {
                client.receive(&pong(0));
            }
        }
        answer(&mut client, host, [ProbeAnswer::ReadOnly, ProbeAnswer::Failed][n % 2]);
    }
    // The third probe takes its second, and the next one waits for it.
    assert_eq!(
        gaps,
        [
            100, 200, 400, 1000, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000,
            60_000
        ]
    );
    for round in hosts.windows(3) {
        assert!(round[0] != round[1] && round[1] != round[2] && round[0] != round[2]);
    }
    assert_ne!(hosts[0], client.session.current_host(), "the connected host comes last");
}

#[test]
fn u10_a_probe_is_a_level_that_lasts_a_second() {
    let mut client = in_read_only_mode("h1,h2");
    client.wait(99);
    assert_eq!((client.session.poll_probe(), deadline(&client)), (None, 1));
    client.wait(1);
    let host = client.session.poll_probe().unwrap();
    assert_eq!((client.session.poll_probe(), deadline(&client)), (Some(host), 1000));
    client.wait(999);
    assert_eq!(client.session.poll_probe(), Some(host));
    client.wait(1);
    let next = client.session.poll_probe().expect("the gap is over as well");
    assert_ne!(next, host);
    // What is said of the first one now comes too late.
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    assert_eq!(client.session.poll_link(), Link::Up);
    assert_eq!(client.session.poll_probe(), Some(next));
}

#[test]
fn u10_r5_a_server_that_can_write_is_moved_to_at_once_with_a_new_session() {
    for hosts in ["h1", "h1,h2,h3,h4,h5"] {
        let mut client = in_read_only_mode(hosts);
        let read = client.submit(&Request::exists("/a", false));
        let open = client.submit(&Request::exists("/b", false));
        let host = probe(&mut client);
        answer(&mut client, host, ProbeAnswer::ReadOnly);
        let host = probe(&mut client);
        client.receive_unseen(&reply(read, 5, &Reply::Stat(Stat::default())));
        client.take_sent();
        let found_at = client.now;
        answer(&mut client, host, ProbeAnswer::ReadWrite);
        let seen = client.seen();
        assert!(matches!(&seen[0], Seen::Reply(xid, _, Ok(_)) if *xid == read));
        assert_eq!(seen[1..], [Seen::failed(open, OpError::ConnectionLoss), lost(FOUND)]);
        assert_eq!(client.session.poll_probe(), None);
        assert_eq!(client.dial(), host);
        assert_eq!(client.now, found_at);
        // The id of the read-only server was a throw-away.
        let handshake = client.open();
        assert_eq!((handshake.session_id, &handshake.passwd[..]), (0, &[0; 16][..]));
        assert_eq!(handshake.read_only, Some(true));
        client.receive(&accepted(11, 6000));
        assert_eq!(client.seen(), [Seen::State(KeeperState::SyncConnected, Cause::Established)]);
        client.wait(3000);
        assert_eq!(client.session.poll_probe(), None);
    }
}

#[test]
fn r5_a_session_that_a_server_with_a_quorum_knew_keeps_its_id_on_the_way() {
    // It is read-only for a while, with the real id or not at all: a throw-away never replaces it.
    let mut client = client("h1,h2,h3");
    client.connect(7, 6000);
    client.lose();
    client.seen();
    assert_eq!(client.open().session_id, 7);
    client.receive(&handshake_answer(7, 6000, &PASSWD, Some(true)));
    assert_eq!(client.seen(), [Seen::State(KeeperState::ConnectedReadOnly, Cause::Resumed)]);
    let host = probe(&mut client);
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    assert_eq!(client.dial(), host);
    let handshake = client.open();
    assert_eq!((handshake.session_id, &handshake.passwd[..]), (7, &PASSWD[..]));
    client.receive(&accepted(7, 6000));
    assert_eq!(
        client.seen(),
        [lost(FOUND), Seen::State(KeeperState::SyncConnected, Cause::Resumed)]
    );
}

#[test]
fn r5_a_read_only_server_that_does_not_know_the_session_proves_nothing() {
    let mut client = client("h1,h2");
    client.connect(7, 6000);
    client.lose();
    client.seen();
    assert_eq!(client.open().session_id, 7);
    client.receive(&handshake_answer(0, 0, &[0; 16], Some(true)));
    assert_eq!(client.seen(), []);
    let (_, reason) = client.session.last_disconnect().unwrap();
    assert_eq!(reason, DisconnectReason::RefusedByReadOnly);
    // The next one has a quorum: its word counts.
    assert_eq!(client.open().session_id, 7);
    client.receive(&handshake_answer(0, 0, &[0; 16], Some(false)));
    assert!(matches!(client.seen()[..], [Seen::State(KeeperState::Expired, _)]));
}

#[test]
fn u10_a_read_only_server_without_local_sessions_is_not_fatal() {
    // It answers the handshake with a reply's header.
    let mut client = client("h1,h2");
    client.open();
    client.receive(&support::reply_header(0, 0, ErrorCode::NotReadOnly.to_wire()));
    assert_eq!(client.seen(), []);
    assert_eq!(client.session.poll_link(), Link::Down);
    client.connect(7, 6000);
}

#[test]
fn u10_finding_a_server_makes_the_next_search_quick_again_and_another_one_does_not() {
    let mut client = in_read_only_mode("h1,h2");
    for _ in 0..5 {
        let host = probe(&mut client);
        answer(&mut client, host, ProbeAnswer::Failed);
    }
    client.lose();
    read_only(&mut client, 10);
    let start = client.now;
    let host = probe(&mut client);
    assert_eq!(client.now.since(start), ms(3200), "as before the loss");
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    read_only(&mut client, 11);
    let start = client.now;
    let host = probe(&mut client);
    assert_eq!(client.now.since(start), ms(100));
    answer(&mut client, host, ProbeAnswer::Failed);
    client.lose();
    client.connect(12, 6000);
    client.lose();
    client.open();
    client.receive(&handshake_answer(12, 6000, &PASSWD, Some(true)));
    let start = client.now;
    probe(&mut client);
    assert_eq!(client.now.since(start), ms(100));
}

#[test]
fn u10_a_found_server_that_is_gone_again_is_one_failed_attempt() {
    let mut client = in_read_only_mode("h1,h2,h3");
    let host = probe(&mut client);
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    assert_eq!(client.dial(), host);
    client.lose();
    let mut others = vec![client.dial()];
    client.lose();
    others.push(client.dial());
    assert!(others[0] != others[1] && !others.contains(&host));
    let failed_at = client.now;
    client.lose();
    client.dial();
    assert!(client.now > failed_at, "and the usual back-off follows");
}

#[test]
fn u10_nobody_is_asked_by_a_session_that_can_write_is_closing_or_has_lost_its_server() {
    let mut client = client("h1,h2");
    let host = client.dial();
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    assert_eq!(client.session.poll_probe(), None);
    client.connect(7, 6000);
    for _ in 0..20 {
        client.wait(1000);
        client.receive(&pong(0));
        assert_eq!(client.session.poll_probe(), None);
    }
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    assert_eq!(client.session.poll_link(), Link::Up);

    let mut client = in_read_only_mode("h1,h2");
    let host = probe(&mut client);
    client.lose();
    assert_eq!(client.session.poll_probe(), None);
    client.seen();
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    assert_eq!(client.seen(), []);
    read_only(&mut client, 9);
    let host = probe(&mut client);
    client.session.close(client.now);
    assert_eq!(client.session.poll_probe(), None);
    client.seen();
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn u10_a_driver_that_never_asks_loses_nothing_but_the_search() {
    let mut client = in_read_only_mode("h1,h2");
    let (start, mut turns) = (client.now, 0);
    while client.now.since(start) < ms(600_000) {
        let at = client.session.poll_timeout().unwrap();
        client.now = client.now.max(at);
        client.session.handle_timeout(client.now);
        assert!(client.session.poll_timeout().unwrap() > at, "the deadline moves on");
        turns += 1;
        if !client.take_sent().is_empty() {
            client.receive(&pong(0));
        }
        assert_eq!(client.session.poll_link(), Link::Up);
    }
    assert!(turns < 400, "{turns}");
    assert_eq!(client.seen(), []);
}

#[test]
fn u10_pings_and_the_read_deadline_keep_their_time_beside_probes() {
    let mut client = in_read_only_mode("h1");
    client.take_sent();
    let start = client.now;
    client.wait(4000);
    let sent: Vec<u64> =
        client.take_sent_at().iter().map(|(at, _)| at.since(start).as_millis()).collect();
    assert_eq!(sent, [2000]);
    assert_eq!(client.seen(), [lost(DisconnectReason::ReadTimeout)]);
    client.session.handle_timeout(Instant::ORIGIN);
    assert_eq!(client.session.poll_probe(), None);
}

#[test]
fn r5_a_read_only_server_does_not_prolong_the_session_that_it_lets_in() {
    // Its word touches nothing where a quorum may be, and may expire the session meanwhile.
    let mut client = client("h1,h2");
    client.connect(7, 6000);
    let safe = client.session.safe_until();
    client.lose();
    client.open();
    client.receive(&handshake_answer(7, 6000, &PASSWD, Some(true)));
    let xid = client.submit(&Request::exists("/a", false));
    client.receive(&reply(xid, 5, &Reply::Stat(Stat::default())));
    client.wait(2000);
    client.receive(&pong(0));
    assert_eq!(client.session.safe_until(), safe);
    let host = client.session.poll_probe().unwrap();
    answer(&mut client, host, ProbeAnswer::ReadWrite);
    client.connect(7, 6000);
    assert!(client.session.safe_until() > safe);
    // A throw-away session is none of the ensemble's.
    let throw_away = in_read_only_mode("h1");
    assert_eq!(throw_away.session.safe_until(), None);
}
