//! What a session knows of its own expiry: the two bounds, and the reasons.
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
use support::{Client, Rng, Seen, accepted, error, lost, ms, pong, refused, reply};
use zk_session::client::{Cause, ClientConfig, ClientSession, ExpiryReason, KeeperState, Link};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{Reply, Request, Stat};
use zk_session::{DisconnectReason, ErrorCode, Instant, Machine};

fn expired(reason: ExpiryReason) -> Seen {
    Seen::State(KeeperState::Expired, Cause::Expired(reason))
}

fn stat() -> Reply<'static> {
    Reply::Stat(Stat::default())
}

#[test]
fn the_safe_bound_counts_from_when_the_answered_request_was_sent() {
    let mut client = Client::owned("h");
    assert_eq!(client.session.safe_until(), None, "no session, no bound");
    client.open();
    let sent = client.now;
    client.wait(300);
    client.receive(&accepted(7, 6000));
    assert_eq!(client.session.safe_until(), Some(sent.after(ms(6000))), "the handshake touches");

    let sent = client.now;
    let xid = client.submit(&Request::exists("/a", false));
    client.wait(400);
    assert!(client.session.safe_until() < Some(sent.after(ms(6000))), "not before the answer");
    client.receive(&reply(xid, 5, &stat()));
    assert_eq!(client.session.safe_until(), Some(sent.after(ms(6000))));

    let sent = client.now;
    let xid = client.submit(&Request::exists("/a", false));
    client.wait(100);
    client.receive(&error(xid, 5, ErrorCode::NoNode));
    assert_eq!(
        client.session.safe_until(),
        Some(sent.after(ms(6000))),
        "a refusal touches as well"
    );

    let sent = client.now;
    client.submit(&Request::add_auth("digest", b"u:p"));
    client.receive(&support::reply_header(-4, 0, 0));
    assert!(client.session.safe_until() < Some(sent.after(ms(6000))), "auth touches nothing");
}

#[test]
fn an_answered_ping_moves_the_safe_bound_to_when_that_ping_was_sent() {
    let mut client = Client::owned("h").connected();
    client.wait(2000);
    let first = client.now;
    client.wait(1900);
    client.receive(&pong(5));
    assert_eq!(client.session.safe_until(), Some(first.after(ms(6000))));
    // Two pings are out and one is answered: it is the older one's answer.
    client.wait(100);
    let second = client.now;
    client.wait(2000);
    client.receive(&pong(5));
    assert_eq!(client.session.safe_until(), Some(second.after(ms(6000))));
    // Answers to no ping at all prove nothing.
    for _ in 0..5 {
        client.receive(&pong(5));
    }
    assert!(client.session.safe_until() < Some(client.now.after(ms(6000))));
}

#[test]
fn a_shorter_grant_on_a_new_connection_shortens_the_safe_bound() {
    let mut client = Client::owned("h").connected();
    client.lose();
    client.open();
    let sent = client.now;
    client.receive(&accepted(7, 2000));
    assert_eq!(client.session.safe_until(), Some(sent.after(ms(2000))));
}

#[test]
fn the_bounds_go_with_the_session() {
    let mut client = Client::owned("h").connected();
    assert!(client.session.safe_until().is_some() && client.session.surely_expired_at().is_some());
    client.lose();
    assert!(client.session.safe_until().is_some(), "a lost connection is not a lost session");
    client.open();
    client.receive(&refused());
    assert_eq!(client.session.safe_until(), None);
    assert_eq!(client.session.surely_expired_at(), None);
}

/// Sessions come and go through faults of every kind, and the ensemble never expires one whose
/// `safe_until` lies in the future, nor keeps one past its `surely_expired_at`.
#[test]
fn the_ensemble_keeps_within_both_bounds_whatever_happens() {
    let (mut expiries, mut told) = (0, 0);
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut world = Play::shaky(3, 1 + seed % 40, seed);
        for n in 0..4 {
            let config = ClientConfig::new("s0,s1,s2", seed * 8 + n).timeout(ms(4000 + n * 1500));
            world.join(config);
        }
        let mut stopped = None;
        let mut alive: Vec<_> = Vec::new();
        for _ in 0..1500 {
            world.wait(50);
            let peer = rng.below(4);
            match rng.below(60) {
                0 => world.blackhole(peer),
                1..=3 => world.heal(peer),
                4 if stopped.is_none() => {
                    let server = rng.below(3);
                    world.stop(server);
                    stopped = Some(server);
                }
                5 => {
                    if let Some(server) = stopped.take() {
                        world.start(server);
                    }
                }
                6..=12 if world.session(peer).can_submit() => {
                    world.submit(peer, &Request::exists("/", false));
                }
                _ => {}
            }
            let known: Vec<_> = world.engine().sessions().map(|info| info.session_id).collect();
            for session in world.sessions() {
                let id = session.session_id();
                if known.contains(&id) {
                    // The engine is asked after its own sweep, so only the bound's allowance counts.
                    let sure = session.surely_expired_at();
                    assert!(sure.is_none_or(|at| at > world.now()), "seed {seed}: kept too long");
                    if !alive.contains(&id) {
                        alive.push(id);
                    }
                } else if alive.contains(&id) {
                    let safe = session.safe_until();
                    assert!(
                        safe.is_none_or(|at| at <= world.now()),
                        "seed {seed}: expired too soon"
                    );
                    told += usize::from(session.state() == KeeperState::Expired);
                }
            }
            expiries += alive.iter().filter(|id| !known.contains(id)).count();
        }
    }
    assert!(expiries > 1000 && told > 100, "{expiries} {told}: the faults were too mild");
}

#[test]
fn j1_k9_silence_ends_a_session_by_policy_between_one_and_four_thirds_of_the_timeout() {
    let config = ClientConfig::new("a,b,c", 3).timeout(ms(6000));
    let mut client = Client::of(config.expiry_allowance(ms(2000)).expire_locally());
    client.connect(7, 6000);
    let waiting = client.submit(&Request::exists("/a", false));
    let heard = client.now;
    // Attempts go nowhere and must not count as a sign of life.
    while client.session.poll_timeout().is_some() && client.now.since(heard) < ms(30_000) {
        client.wait(10);
        if let Link::Dial(_) = client.session.poll_link() {
            client.up();
        }
    }
    let silent = client.now.since(heard).as_millis();
    assert!((6000..=8010).contains(&silent), "{silent}");
    assert_eq!(
        client.seen(),
        [
            Seen::failed(waiting, zk_session::OpError::ConnectionLoss),
            lost(DisconnectReason::ReadTimeout),
            expired(ExpiryReason::LocallyCertain)
        ]
    );
    assert_eq!(client.session.poll_link(), Link::Down);
}

#[test]
fn without_the_policy_only_the_ensemble_ends_a_session() {
    let mut client = Client::owned("a,b,c").connected();
    client.lose();
    client.wait(600_000);
    assert_eq!(client.seen(), [lost(DisconnectReason::TransportClosed)]);
    assert!(client.session.surely_expired_at() < Some(client.now));
    let handshake = client.open();
    assert_eq!(handshake.session_id, 7, "it asks all the same");
    client.receive(&refused());
    assert_eq!(client.seen(), [expired(ExpiryReason::ToldByServer)]);
}

/// Every host closes without an answer until the session is asked about without its zxid.
#[test]
fn k1_g1_a_wiped_ensemble_is_found_out_by_asking_without_the_zxid() {
    let mut client = Client::owned("a,b,c").connected();
    let xid = client.submit(&Request::exists("/", false));
    client.receive(&reply(xid, 100, &stat()));
    client.seen();
    client.lose();
    client.seen();
    let start = client.now;
    let mut shown = Vec::new();
    loop {
        let handshake = client.open();
        assert_eq!(handshake.session_id, 7);
        shown.push(handshake.last_zxid);
        if handshake.last_zxid == 0 {
            break;
        }
        assert_eq!(handshake.last_zxid, 100);
        client.lose();
        assert!(client.now.since(start) < ms(60_000), "never asked");
    }
    assert!(client.now.since(start) >= ms(6000), "not before the timeout has passed");
    assert!(shown.len() > 3, "every host was asked before");
    client.receive(&refused());
    assert_eq!(client.seen(), [expired(ExpiryReason::EnsembleWiped)]);
}

#[test]
fn k1_g1_an_ensemble_that_is_only_not_serving_gets_the_true_zxid_again() {
    let mut client = Client::owned("a,b").connected();
    let xid = client.submit(&Request::exists("/", false));
    client.receive(&reply(xid, 100, &stat()));
    client.lose();
    let start = client.now;
    let (mut bare, mut honest) = (0, 0);
    while client.now.since(start) < ms(60_000) {
        match client.open().last_zxid {
            0 => bare += 1,
            _ => honest += 1,
        }
        client.lose();
    }
    assert!(bare > 5 && honest >= bare, "{bare} {honest}");
    // One that takes the session without its zxid would take it back in time.
    while client.open().last_zxid != 0 {
        client.lose();
    }
    client.seen();
    client.receive(&accepted(7, 6000));
    assert_eq!(client.seen(), []);
    assert_eq!(client.session.last_disconnect().unwrap().1, DisconnectReason::ServerBehind);
    assert_eq!(client.open().last_zxid, 100);
    client.receive(&accepted(7, 6000));
    assert_eq!(client.seen(), [Seen::State(KeeperState::SyncConnected, Cause::Resumed)]);
}

#[test]
fn k1_g1_one_host_that_does_not_answer_at_all_is_no_evidence() {
    let mut client = Client::owned("a,b").connected();
    let xid = client.submit(&Request::exists("/", false));
    client.receive(&reply(xid, 100, &stat()));
    client.lose();
    let start = client.now;
    while client.now.since(start) < ms(60_000) {
        if client.dial().index() == 0 {
            client.lose();
            continue;
        }
        client.up();
        client.pump();
        let Some(support::Sent::Handshake(handshake)) = client.take_sent().pop() else { panic!() };
        assert_eq!(handshake.last_zxid, 100);
        client.lose();
    }
}

#[test]
fn x4_two_holders_of_one_ticket_do_not_evict_each_other_for_ever() {
    let config = ClientConfig::new("a,b,c", 3).timeout(ms(6000)).stolen_after(5);
    let mut client = Client::of(config);
    client.connect(7, 6000);
    client.wait(10_000);
    client.receive(&pong(1));
    client.seen();
    let mut resumed = 0;
    while client.session.poll_timeout().is_some() {
        client.lose();
        if client.session.poll_timeout().is_none() {
            break;
        }
        client.open();
        client.receive(&accepted(7, 6000));
        resumed += 1;
        client.wait(100);
        assert!(resumed < 50);
    }
    assert_eq!(client.seen().last(), Some(&expired(ExpiryReason::Stolen)));
    assert!((4..=6).contains(&resumed), "{resumed}");
}

#[test]
fn x4_a_server_that_restarts_now_and_then_is_no_thief() {
    let config = ClientConfig::new("a,b,c", 3).timeout(ms(6000)).stolen_after(2);
    let mut client = Client::of(config);
    client.connect(7, 6000);
    for _ in 0..20 {
        for _ in 0..3 {
            client.wait(1900);
            client.receive(&pong(1));
        }
        client.lose();
        client.open();
        client.receive(&accepted(7, 6000));
    }
    assert_eq!(client.session.state(), KeeperState::SyncConnected);
}

/// A session that has been evicted once by what looks like another holder of its ticket.
fn evicted_once() -> Client<'static> {
    let config = ClientConfig::new("a,b,c", 3).timeout(ms(6000)).stolen_after(2);
    let mut client = Client::of(config);
    client.connect(7, 6000);
    client.lose();
    client
}

#[test]
fn x4_an_attempt_that_fails_does_not_acquit_the_thief() {
    let mut client = evicted_once();
    client.dial();
    client.lose();
    client.open();
    client.receive(&accepted(7, 6000));
    client.seen();
    client.lose();
    assert_eq!(client.seen().last(), Some(&expired(ExpiryReason::Stolen)));
}

#[test]
fn x4_a_connection_that_lasted_acquits_the_thief() {
    let mut client = evicted_once();
    client.open();
    client.receive(&accepted(7, 6000));
    client.wait(1900);
    client.receive(&pong(1));
    client.wait(1900);
    client.lose();
    client.open();
    client.receive(&accepted(7, 6000));
    client.seen();
    client.lose();
    assert_eq!(client.session.state(), KeeperState::Disconnected);
    client.open();
    client.receive(&accepted(7, 6000));
    client.lose();
    assert_eq!(client.seen().last(), Some(&expired(ExpiryReason::Stolen)));
}

#[test]
fn z2_a_session_that_has_expired_is_followed_by_a_new_one_from_the_same_handle() {
    let now = Instant::from_millis(0);
    let storage = Storage::owned(Limits::default());
    let mut session = ClientSession::new(ClientConfig::new("h", 1), storage, now).unwrap();
    session.reopen(now);
    assert_eq!(session.poll_timeout(), Some(now), "nothing to reopen before the end");
    let mut client = Client::owned("h").connected();
    client.lose();
    client.open();
    client.receive(&refused());
    client.seen();
    let now = client.now;
    client.session.reopen(now);
    let handshake = client.open();
    assert_eq!((handshake.session_id, handshake.last_zxid), (0, 0));
    client.receive(&accepted(8, 6000));
    assert_eq!(client.seen(), [Seen::State(KeeperState::SyncConnected, Cause::Established)]);
}

#[test]
fn a_new_session_knows_nothing_of_the_life_of_the_last_one() {
    let mut client = Client::owned("h1").connected();
    assert!(client.session.safe_until().is_some());
    client.open_after_loss();
    client.receive(&refused());
    assert_eq!(client.session.state(), KeeperState::Expired);
    client.session.reopen(client.now);
    assert_eq!(client.session.safe_until(), None);
    assert_eq!(client.session.surely_expired_at(), None);
}
