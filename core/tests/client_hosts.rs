//! The list of hosts changes: who stays, who moves, and where to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::{Client, PASSWD, Seen, accepted, handshake_answer, lost, ms, reply};
use zk_session::client::{
    Cause, ClientConfig, ClientSession, ConnectStringErrorKind, HostsUpdate, KeeperState, Link,
};
use zk_session::storage::Fixed;
use zk_session::wire::{Reply, Request, Stat};
use zk_session::{ConfigError, DisconnectReason, Instant, Machine, OpError};

const CLIENTS: u64 = 4000;

const MOVED: DisconnectReason = DisconnectReason::HostsChanged;

fn client(hosts: &'static str, seed: u64) -> Client<'static> {
    Client::of(ClientConfig::new(hosts, seed).timeout(ms(6000)))
}

fn update(client: &mut Client<'static>, hosts: &'static str) -> HostsUpdate {
    let update = client.session.update_hosts(hosts, client.now).unwrap();
    client.pump();
    update
}

/// The host that is dialled, used or was last tried.
fn host(client: &Client<'_>) -> String {
    client.session.host(client.session.current_host()).unwrap().name.to_owned()
}

/// Connects as often as it takes, to any host but those that are down.
fn connect_to_any(client: &mut Client<'_>, down: &[&str]) {
    loop {
        client.dial();
        if !down.contains(&host(client).as_str()) {
            return drop(client.connect(7, 6000));
        }
        client.lose();
    }
}

/// What became of the clients of a list that changed: from which host how many went where.
fn fleet(before: &'static str, after: &'static str) -> BTreeMap<(String, String), u64> {
    let mut moves = BTreeMap::new();
    for seed in 0..CLIENTS {
        let mut client = client(before, seed);
        client.connect(7, 6000);
        let from = host(&client);
        match update(&mut client, after) {
            HostsUpdate::Moves => {
                assert_eq!(client.seen(), [lost(MOVED)]);
                client.connect(7, 6000);
            }
            _ => {
                assert_eq!(client.seen(), []);
                assert_eq!(client.session.poll_link(), Link::Up);
                assert_eq!(client.session.host(client.session.current_host()).unwrap().name, from);
            }
        }
        *moves.entry((from, host(&client))).or_default() += 1;
    }
    moves
}

fn percent(n: u64, of: u64) -> f64 {
    n as f64 * 100.0 / of as f64
}

/// The share of the clients that `pick` picks, in percent of those that `of` picks.
fn share(
    moves: &BTreeMap<(String, String), u64>,
    of: impl Fn(&str, &str) -> bool,
    pick: impl Fn(&str, &str) -> bool,
) -> f64 {
    let sum = |f: &dyn Fn(&str, &str) -> bool| {
        moves.iter().filter(|((from, to), _)| f(from, to)).map(|(_, n)| n).sum::<u64>()
    };
    percent(sum(&|from, to| of(from, to) && pick(from, to)), sum(&of))
}

fn close(percent: f64, to: f64) {
    assert!((percent - to).abs() < 3.0, "{percent:.1} % instead of {to} %");
}

/// Whether every host of `names` has its equal share of all clients.
fn assert_even(moves: &BTreeMap<(String, String), u64>, names: &[&str]) {
    for name in names {
        close(share(moves, |_, _| true, |_, to| to == *name), 100.0 / names.len() as f64);
    }
}

#[test]
fn j6_from_three_hosts_to_five_two_fifths_move_and_only_to_the_newcomers() {
    let moves = fleet("a,b,c", "a,b,c,d,e");
    close(share(&moves, |_, _| true, |from, to| from != to), 40.0);
    assert!(moves.keys().all(|(from, to)| from == to || ["d", "e"].contains(&to.as_str())));
    assert_even(&moves, &["a", "b", "c", "d", "e"]);
}

#[test]
fn j6_from_five_hosts_to_three_survivors_stay_and_the_others_spread_evenly() {
    let moves = fleet("a,b,c,d,e", "e,b,a");
    for gone in ["c", "d"] {
        for to in ["a", "b", "e"] {
            close(share(&moves, |from, _| from == gone, |_, at| at == to), 100.0 / 3.0);
        }
    }
    assert!(moves.keys().all(|(from, to)| from == to || ["c", "d"].contains(&from.as_str())));
    assert_even(&moves, &["a", "b", "e"]);
}

#[test]
fn j6_from_five_hosts_to_four_with_a_newcomer_five_eighths_of_the_displaced_go_there() {
    let moves = fleet("a,b,c,d,e", "a,b,c,f");
    let displaced = |from: &str, _: &str| ["d", "e"].contains(&from);
    close(share(&moves, displaced, |_, to| to == "f"), 62.5);
    for to in ["a", "b", "c"] {
        close(share(&moves, displaced, |_, at| at == to), 12.5);
    }
    assert!(moves.keys().all(|(from, to)| from == to || displaced(from, to)));
    assert_even(&moves, &["a", "b", "c", "f"]);
}

#[test]
fn j6_replacing_one_of_three_sends_its_clients_to_the_newcomer() {
    let moves = fleet("a,b,c", "a,d,b");
    assert_eq!(share(&moves, |from, _| from == "c", |_, to| to == "d"), 100.0);
    assert!(moves.keys().all(|(from, to)| from == to || from == "c"));
    assert_even(&moves, &["a", "b", "d"]);
}

#[test]
fn j6_more_hosts_of_which_none_is_mine_send_everybody_to_a_newcomer() {
    let moves = fleet("a,b", "b,c,d,e");
    assert!(moves.keys().all(|(from, to)| from == to || ["c", "d", "e"].contains(&to.as_str())));
    assert_eq!(share(&moves, |from, _| from == "a", |from, to| from != to), 100.0);
    close(share(&moves, |from, _| from == "b", |from, to| from != to), 50.0);
}

#[test]
fn j6_the_same_hosts_in_another_order_or_spelling_move_nobody() {
    for after in ["c:2181,a,b", "A,B:2181,C", ",a,,b,c ,"] {
        for seed in 0..20 {
            let mut client = client("a,b,c", seed);
            client.connect(7, 6000);
            let name = host(&client);
            assert_eq!(update(&mut client, after), HostsUpdate::Stays);
            assert_eq!(host(&client).to_lowercase(), name);
            assert_eq!(client.seen(), []);
            // The others are tried before the lost one.
            client.lose();
            let others: BTreeSet<String> = (0..2)
                .map(|_| {
                    client.dial();
                    client.lose();
                    host(&client)
                })
                .collect();
            assert_eq!(others.len(), 2);
            assert!(!others.contains(&name) && !others.contains(&name.to_uppercase()));
        }
    }
}

#[test]
fn j6_k8_a_new_address_is_used_within_one_pass() {
    // Connected to a host that dies after the list has changed, or before.
    for seed in 0..200 {
        for connected in [true, false] {
            let mut client = client("a,b,c", seed);
            client.connect(7, 6000);
            if !connected {
                client.lose();
                client.dial();
                client.lose();
            }
            update(&mut client, "a,b,new");
            if client.session.poll_link() == Link::Up {
                client.lose();
            }
            let mut tried = BTreeSet::new();
            for _ in 0..3 {
                client.dial();
                tried.insert(host(&client));
                client.lose();
            }
            assert!(tried.contains("new"), "{tried:?}");
        }
    }
}

#[test]
fn j6_g5_k8_names_are_asked_for_afresh_at_every_attempt() {
    // The resolver is the adapter's: `zk` first has no address, then a dead one, then a live one.
    let mut client = client("zk", 1);
    let start = client.now;
    let resolve = |now: Instant| match now.since(start).as_millis() {
        0..20_000 => None,
        20_000..40_000 => Some("10.0.0.1"),
        _ => Some("10.0.0.2"),
    };
    loop {
        let index = client.dial();
        assert_eq!(client.session.host(index).unwrap().name, "zk");
        if resolve(client.now) == Some("10.0.0.2") {
            break;
        }
        client.lose();
    }
    assert!(client.now.since(start) < ms(40_000 + 1500), "one pass of one host");
    client.connect(7, 6000);
}

#[test]
fn j6_a_list_of_none_of_the_old_hosts_is_taken_while_none_is_connected() {
    // Before the first attempt, while dialling, in the handshake, and between attempts.
    for stage in 0..4 {
        for seed in 0..50 {
            let mut client = client("a,b,c", seed);
            if stage > 0 {
                client.dial();
            }
            match stage {
                2 => client.up(),
                3 => client.lose(),
                _ => {}
            }
            let dropped = [1, 2].contains(&stage);
            let expected = if dropped { HostsUpdate::Moves } else { HostsUpdate::Stays };
            let old = client.session.current_host();
            assert_eq!(update(&mut client, "x,y"), expected);
            assert_eq!(client.session.poll_link(), Link::Down);
            if dropped {
                assert_eq!(client.session.last_disconnect(), Some((old, MOVED)));
            }
            assert_eq!(client.seen(), [], "failures before the first connection are no events");
            let mut tried = BTreeSet::new();
            for _ in 0..2 {
                client.dial();
                tried.insert(host(&client));
                client.lose();
            }
            assert!(tried.iter().eq(["x", "y"]));
            connect_to_any(&mut client, &[]);
        }
    }
}

#[test]
fn j6_a_move_is_made_at_once_and_without_a_failure_counted() {
    let mut client = client("a", 1);
    client.connect(7, 6000);
    client.wait(1000);
    let moved_at = client.now;
    assert_eq!(update(&mut client, "b"), HostsUpdate::Moves);
    client.dial();
    assert_eq!(client.now, moved_at);
    let handshake = client.connect(7, 6000);
    assert_eq!(handshake.session_id, 7, "the session moves along");
}

#[test]
fn j6_what_had_arrived_before_a_move_is_told_and_the_rest_is_a_connection_loss() {
    let mut client = client("a", 1).connected();
    let answered = client.submit(&Request::exists("/a", false));
    let open = client.submit(&Request::delete("/a", -1));
    client.receive_unseen(&reply(answered, 5, &Reply::Stat(Stat::default())));
    assert_eq!(update(&mut client, "b"), HostsUpdate::Moves);
    let seen = client.seen();
    assert!(matches!(&seen[0], Seen::Reply(xid, _, Ok(_)) if *xid == answered));
    assert_eq!(seen[1..], [Seen::failed(open, OpError::ConnectionLoss), lost(MOVED)]);
}

#[test]
fn j6_a_handshake_answered_before_a_move_is_not_a_session_thrown_away() {
    let mut client = client("a", 1);
    client.open();
    client.receive_unseen(&accepted(9, 6000));
    assert_eq!(update(&mut client, "b"), HostsUpdate::Moves);
    assert_eq!(
        client.seen(),
        [Seen::State(KeeperState::SyncConnected, Cause::Established), lost(MOVED)]
    );
    assert_eq!(client.open().session_id, 9);
}

#[test]
fn a_move_tries_every_host_once_before_it_ends_and_newcomers_first_if_there_are_more() {
    for seed in 0..200 {
        let mut client = client("a,b", seed);
        client.connect(7, 6000);
        assert_eq!(update(&mut client, "c,d,e,f"), HostsUpdate::Moves);
        let mut first = Vec::new();
        for _ in 0..4 {
            client.dial();
            first.push(host(&client));
            client.lose();
        }
        assert_eq!(BTreeSet::from_iter(&first).len(), 4);
        // Then round and round.
        let mut round = Vec::new();
        for _ in 0..8 {
            client.dial();
            round.push(host(&client));
            client.lose();
        }
        assert_eq!(round[..4], round[4..]);
        assert_eq!(BTreeSet::from_iter(&round).len(), 4);
    }
}

#[test]
fn a_move_prefers_the_newcomers_until_a_server_accepts() {
    for seed in 0..200 {
        let mut client = client("a,b,c", seed);
        client.connect(7, 6000);
        if update(&mut client, "a,b,c,d,e") == HostsUpdate::Stays {
            continue;
        }
        let mut tried = Vec::new();
        for _ in 0..5 {
            client.dial();
            tried.push(host(&client));
            client.lose();
        }
        assert!(tried[..2].iter().all(|name| ["d", "e"].contains(&name.as_str())), "{tried:?}");
        assert_eq!(BTreeSet::from_iter(&tried).len(), 5);
    }
}

#[test]
fn a_second_change_while_moving_counts_the_next_candidate_as_the_sessions_own() {
    for seed in 0..100 {
        let mut client = client("a", seed);
        client.connect(7, 6000);
        update(&mut client, "b");
        // `b` remains, so nothing has to be dropped or drawn any more.
        assert_eq!(update(&mut client, "b"), HostsUpdate::Stays);
        client.dial();
        assert_eq!(host(&client), "b");
        // Under way to `b`, which is gone now.
        assert_eq!(update(&mut client, "c,d"), HostsUpdate::Moves);
        connect_to_any(&mut client, &["c"]);
        assert_eq!(host(&client), "d");
    }
}

#[test]
fn the_host_that_was_left_can_be_named_until_the_loss_is_told() {
    let mut client = client("alpha,beta,gamma", 3);
    client.connect(7, 6000);
    let (left, name) = (client.session.current_host(), host(&client));
    client.session.update_hosts("one,two", client.now).unwrap();
    client.session.update_hosts("three", client.now).unwrap();
    // Not told yet.
    assert_eq!(client.session.current_host(), left);
    assert_eq!(host(&client), name);
    assert_eq!(client.session.last_disconnect(), Some((left, MOVED)));
    client.pump();
    assert_eq!(client.seen(), [lost(MOVED)]);
    let new = client.dial();
    assert_eq!((new.index(), host(&client).as_str()), (0, "three"));
    assert_ne!(new, left);
    assert_eq!(client.session.host(left).unwrap().name, name);
    client.connect(7, 6000);
    assert_eq!(client.session.current_host(), new);
}

#[test]
fn the_chroot_stays_what_it_was() {
    let mut client = client("a/app", 1).connected();
    for hosts in ["b/apple", "b/ap", "b/app/x"] {
        let error = client.session.update_hosts(hosts, client.now).unwrap_err();
        assert_eq!(error, ConfigError::ChrootChanged, "{hosts}");
    }
    for hosts in ["b", "b/", "b,c/app", "d"] {
        update(&mut client, hosts);
        assert_eq!(client.session.chroot(), "/app", "{hosts}");
    }
    connect_to_any(&mut client, &[]);
    client.take_sent();
    client.submit(&Request::exists("/x", false));
    let sent = client.take_sent();
    assert_eq!(sent[0].request(), Request::exists("/app/x", false));

    let mut client = self::client("a", 1);
    let error = client.session.update_hosts("a/app", client.now).unwrap_err();
    assert_eq!(error, ConfigError::ChrootChanged);
}

#[test]
fn a_list_that_is_not_valid_changes_nothing() {
    let mut client = client("a,b", 1).connected();
    let before = (client.session.current_host(), client.session.poll_timeout());
    for (hosts, kind) in [
        ("", ConnectStringErrorKind::NoHosts),
        (",", ConnectStringErrorKind::NoHosts),
        ("c:x", ConnectStringErrorKind::BadPort),
    ] {
        let later = client.now.after(ms(500));
        match client.session.update_hosts(hosts, later) {
            Err(ConfigError::ConnectString(error)) => assert_eq!(error.kind, kind),
            other => panic!("{other:?}"),
        }
    }
    let many = "h,".repeat(65);
    assert!(client.session.update_hosts(many, client.now).is_err());
    assert_eq!(before, (client.session.current_host(), client.session.poll_timeout()));
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn a_session_that_is_being_closed_is_not_moved() {
    let mut client = client("a", 1).connected();
    client.session.close(client.now);
    assert_eq!(update(&mut client, "b"), HostsUpdate::Stays);
    assert_eq!(client.session.poll_link(), Link::Up);
    assert_eq!(host(&client), "a");
    let close = client.take_sent().pop().unwrap();
    client.receive(&support::reply_header(close.xid(), 9, 0));
    assert_eq!(client.seen(), [Seen::State(KeeperState::Closed, Cause::Closed)]);
    // One that is over takes the list for its next life.
    assert_eq!(update(&mut client, "c"), HostsUpdate::Stays);
    client.session.reopen(client.now);
    client.dial();
    assert_eq!(host(&client), "c");
}

#[test]
fn sixty_four_hosts_are_moved_among_without_a_heap() {
    let hosts =
        |prefix: &str| (0..64).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>().join(",");
    let (before, after) = (hosts("old"), hosts("new"));
    let mut memory = Fixed::<128, 128, 0, 1>::new();
    let config = ClientConfig::new(before.as_str(), 1).timeout(ms(6000));
    let now = Instant::from_millis(0);
    let mut session = ClientSession::new(config, memory.lend(), now).unwrap();
    session.handle_timeout(now);
    assert!(matches!(session.poll_link(), Link::Dial(_)));
    assert_eq!(session.update_hosts(after.as_str(), now), Ok(HostsUpdate::Moves));
    let (mut now, mut tried) = (now, BTreeSet::new());
    for _ in 0..64 {
        while !matches!(session.poll_link(), Link::Dial(_)) {
            while session.poll_event().is_some() {}
            now = now.max(session.poll_timeout().unwrap());
            session.handle_timeout(now);
        }
        let Link::Dial(host) = session.poll_link() else { unreachable!() };
        tried.insert(session.host(host).unwrap().to_string());
        session.handle_disconnected(now);
        while session.poll_event().is_some() {}
    }
    assert_eq!(tried.len(), 64);
    assert!(tried.iter().all(|name| name.starts_with("new")));
}

#[test]
fn a_read_only_connection_moves_like_any_other() {
    let mut client = Client::of(ClientConfig::new("a", 1).timeout(ms(6000)).allow_read_only());
    client.open();
    client.receive(&handshake_answer(9, 6000, &PASSWD, Some(true)));
    client.seen();
    client.wait(100);
    assert!(client.session.poll_probe().is_some());
    assert_eq!(update(&mut client, "a:2182"), HostsUpdate::Moves);
    assert_eq!(client.session.poll_probe(), None);
    assert_eq!(client.seen(), [lost(MOVED)]);
    assert_eq!(client.open().session_id, 0);
}

#[test]
fn k1_what_old_hosts_did_is_no_evidence_against_new_ones() {
    // Hosts that turn the session's zxid away for a timeout are asked without it; new ones are not.
    for changes in [false, true] {
        let mut client = client("a,b", 1).connected();
        let xid = client.submit(&Request::exists("/a", false));
        client.receive(&reply(xid, 100, &Reply::Stat(Stat::default())));
        client.lose();
        let silent_from = client.now;
        while client.now.since(silent_from) < ms(10_000) {
            client.open();
            client.lose();
            if changes {
                update(&mut client, "c,d");
                assert_eq!(update(&mut client, "a,b"), HostsUpdate::Stays);
            }
        }
        let shown: BTreeSet<i64> = (0..2)
            .map(|_| {
                let shown = client.open().last_zxid;
                client.lose();
                shown
            })
            .collect();
        assert_eq!(shown.contains(&0), !changes, "{shown:?}");
    }
}
