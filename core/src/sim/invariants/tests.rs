//! Each invariant can fail: it is shown what must not be.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::client::{Cause, Event, ExpiryReason, KeeperState, Link};
use crate::error::DisconnectReason;
use crate::sim::fact::{Truth, View};
use crate::time::{Duration, Instant};
use crate::wire::{EventType, Reply, Request, SessionId, Stat, Xid, Zxid};

const DEAD: Truth = Truth { is_alive: false, may_outlast_silence: false };
const ALIVE: Truth = Truth { is_alive: true, may_outlast_silence: false };
const UP: Event<'static> =
    Event::State { state: KeeperState::SyncConnected, cause: Cause::Established };
const RESUMED: Event<'static> =
    Event::State { state: KeeperState::SyncConnected, cause: Cause::Resumed };

const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A connected client with session 7 at a time.
const fn view(now: u64) -> View {
    View {
        now: at(now),
        state: KeeperState::SyncConnected,
        session: SessionId(7),
        timeout: Duration::from_millis(6000),
        last_zxid: Zxid(5),
        link: Link::Up,
        deadline: Some(at(now).after(Duration::from_secs(2))),
        watches: 0,
        safe_until: Some(at(now).after(Duration::from_secs(6))),
        transmit: 0,
        is_honest: true,
    }
}

const fn expired(reason: ExpiryReason) -> Event<'static> {
    Event::State { state: KeeperState::Expired, cause: Cause::Expired(reason) }
}

fn answer(xid: i32, zxid: i64) -> Event<'static> {
    let result = Ok(Reply::Stat(Stat::default()));
    Event::Reply { xid: Xid(xid), zxid: Zxid(zxid), result }
}

const fn told<'a>(event: &'a Event<'a>, view: &'a View) -> Fact<'a> {
    Fact::Told { client: 0, event, view, truth: ALIVE }
}

/// What all of the facts but the last bring is fine, and the last is not.
fn fails(invariant: &mut impl Invariant, facts: &[Fact<'_>]) -> String {
    let (last, before) = facts.split_last().unwrap();
    for fact in before {
        assert_eq!(invariant.observe(fact), Ok(()), "{fact:?}");
    }
    invariant.observe(last).expect_err("to be noticed")
}

/// All of it is fine.
fn holds(invariant: &mut impl Invariant, facts: &[Fact<'_>]) {
    for fact in facts {
        assert_eq!(invariant.observe(fact), Ok(()), "{fact:?}");
    }
}

#[test]
fn an_end_that_is_none_is_noticed() {
    let (v, end) = (view(1), expired(ExpiryReason::ToldByServer));
    let other = View { session: SessionId(8), ..v };
    let over = View { state: KeeperState::Expired, deadline: None, ..v };
    let fresh = ExpiryIsFinal::default;
    fails(&mut fresh(), &[told(&UP, &v), told(&end, &v), told(&UP, &v)]);
    fails(&mut fresh(), &[told(&end, &v), Fact::Attempted { client: 0, view: &v }]);
    fails(&mut fresh(), &[told(&end, &v), Fact::Woken { client: 0, view: &v }]);
    fails(&mut fresh(), &[told(&UP, &v), told(&RESUMED, &other)]);
    fails(&mut fresh(), &[told(&UP, &v), told(&UP, &other)]);
    let again = Fact::Renewed { client: 0, watches: 0 };
    let rests = Fact::Woken { client: 0, view: &over };
    holds(&mut fresh(), &[told(&UP, &v), told(&end, &v), rests, again, told(&UP, &other)]);
}

#[test]
fn an_expiry_that_nobody_has_decided_is_noticed() {
    fn told<'a>(event: &'a Event<'a>, truth: Truth, view: &'a View) -> Fact<'a> {
        Fact::Told { client: 0, event, view, truth }
    }
    let v = view(1);
    for reason in [
        ExpiryReason::ToldByServer,
        ExpiryReason::EnsembleWiped,
        ExpiryReason::LocallyCertain,
        ExpiryReason::ResumedAsAnother { got: SessionId(9) },
    ] {
        let event = expired(reason);
        fails(&mut ExpiryIsTrue, &[told(&event, ALIVE, &v)]);
        holds(&mut ExpiryIsTrue, &[told(&event, DEAD, &v)]);
    }
    let closed = Event::State { state: KeeperState::Expired, cause: Cause::Closed };
    fails(&mut ExpiryIsTrue, &[told(&closed, DEAD, &v)]);
    let heard_elsewhere = Truth { is_alive: true, may_outlast_silence: true };
    let certain = expired(ExpiryReason::LocallyCertain);
    holds(&mut ExpiryIsTrue, &[told(&certain, heard_elsewhere, &v)]);
    let word = expired(ExpiryReason::ToldByServer);
    fails(&mut ExpiryIsTrue, &[told(&word, heard_elsewhere, &v)]);
    // Seed 13341: a changed bit in the handshake's answer had been another timeout.
    let garbled = View { is_honest: false, ..v };
    holds(&mut ExpiryIsTrue, &[told(&certain, ALIVE, &garbled)]);
    holds(&mut ExpiryIsTrue, &[told(&expired(ExpiryReason::Stolen), ALIVE, &v)]);
}

#[test]
fn a_session_that_expires_while_its_holder_relies_on_it_is_noticed() {
    let safe = View { safe_until: Some(at(10_001)), ..view(10_000) };
    let outlived = |view, behind| Fact::Outlived { client: 0, view, behind };
    fails(&mut SafeIsSafe, &[outlived(&safe, Some(Duration::ZERO))]);
    holds(&mut SafeIsSafe, &[outlived(&safe, Some(Duration::from_millis(1)))]);
    holds(&mut SafeIsSafe, &[outlived(&safe, None)]);
    let over = View { safe_until: Some(at(10_000)), ..safe };
    holds(&mut SafeIsSafe, &[outlived(&over, Some(Duration::ZERO))]);
}

#[test]
fn a_write_through_an_abandoned_connection_is_noticed() {
    let session = SessionId(7);
    let attached = |connection| Fact::Attached { session, connection };
    let wrote = |connection| Fact::Wrote { session, connection };
    fails(&mut OneSpeaker::default(), &[attached(1), wrote(1), attached(2), wrote(1)]);
    holds(&mut OneSpeaker::default(), &[attached(1), attached(2), wrote(2)]);
}

#[test]
fn an_ephemeral_without_its_session_or_the_other_way_round_is_noticed() {
    let session = SessionId(7);
    let made = Fact::Created { session, path: "/e" };
    let owned = |is_alive, owner| Fact::Owned { path: "/e", session, is_alive, owner };
    let fresh = EphemeralsLiveWithTheirSession::default;
    fails(&mut fresh(), &[made, owned(true, None)]);
    fails(&mut fresh(), &[made, owned(true, Some(SessionId(8)))]);
    fails(&mut fresh(), &[made, owned(false, Some(session))]);
    fails(&mut fresh(), &[Fact::Ended { session, ephemerals: 1 }]);
    let mut model = fresh();
    holds(&mut model, &[made, owned(true, Some(session))]);
    assert_eq!(model.expected().count(), 1);
    holds(&mut model, &[Fact::Doomed { path: "/e" }]);
    assert_eq!(model.expected().count(), 0);
}

#[test]
fn an_answer_lost_doubled_out_of_order_or_too_late_is_noticed() {
    let v = view(1);
    let request = Request::exists("/", false);
    let asked =
        |xid| Fact::Asked { client: 0, xid: Xid(xid), request: &request, chroot: "", now: at(1) };
    let (one, two) = (answer(1, 3), answer(2, 3));
    let end = expired(ExpiryReason::ToldByServer);
    let fresh = || OneAnswerEach::new(2);
    fails(&mut fresh(), &[asked(1), told(&one, &v), told(&one, &v)]);
    fails(&mut fresh(), &[asked(1), asked(2), told(&two, &v)]);
    fails(&mut fresh(), &[asked(1), told(&end, &v)]);
    fails(&mut fresh(), &[asked(1), Fact::Renewed { client: 0, watches: 0 }]);
    fails(&mut fresh(), &[asked(1), asked(2), asked(3)]);
    let late = view(1 + 60_001);
    fails(&mut fresh(), &[asked(1), Fact::Rested { client: 0, view: &late }]);
    holds(&mut fresh(), &[asked(1), asked(2), told(&one, &v), told(&two, &v), told(&end, &v)]);
}

#[test]
fn a_protocol_error_between_honest_peers_is_noticed() {
    let v = view(1);
    let garbled = View { is_honest: false, ..v };
    let lost =
        |reason| Event::State { state: KeeperState::Disconnected, cause: Cause::Lost(reason) };
    for reason in [
        DisconnectReason::UnexpectedXid { expected: 1, got: 2 },
        DisconnectReason::UnsolicitedReply { xid: 2 },
        DisconnectReason::BadFrameLength { len: -1 },
    ] {
        fails(&mut NobodyTalksNonsense, &[told(&lost(reason), &v)]);
        holds(&mut NobodyTalksNonsense, &[told(&lost(reason), &garbled)]);
    }
    holds(&mut NobodyTalksNonsense, &[told(&lost(DisconnectReason::TransportClosed), &v)]);
}

#[test]
fn a_client_that_goes_back_in_time_is_noticed() {
    let v = view(1);
    let back = View { last_zxid: Zxid(4), ..v };
    let fresh = ZxidsGoUp::default;
    fails(&mut fresh(), &[told(&answer(1, 5), &v), told(&answer(2, 4), &v)]);
    fails(&mut fresh(), &[told(&answer(1, 5), &v), told(&UP, &back)]);
    holds(&mut fresh(), &[told(&answer(1, 5), &v), told(&answer(2, 5), &v)]);
}

#[test]
fn a_hasty_or_a_sleepy_client_is_noticed() {
    let tries = |now, lost: &[u64]| {
        let mut invariant = AttemptsAreBounded::default();
        let views: Vec<View> = lost.iter().map(|at| view(*at)).collect();
        for v in &views {
            let failed = Fact::Failed { client: 0, view: v, on_purpose: false };
            assert_eq!(invariant.observe(&failed), Ok(()));
        }
        invariant.observe(&Fact::Attempted { client: 0, view: &view(now) })
    };
    assert!(tries(1049, &[1000]).is_err(), "the first after 50 ms");
    assert!(tries(1050, &[1000]).is_ok());
    assert!(tries(1099, &[900, 1000]).is_err(), "the second after 100 ms");
    assert!(tries(1100, &[900, 1000]).is_ok());
    assert!(tries(1374, &[1, 2, 3, 4, 5, 1000]).is_err(), "a sixteenth of the timeout");
    assert!(tries(1375, &[1, 2, 3, 4, 5, 1000]).is_ok());
    assert!(tries(2501 + 75, &[1000]).is_err(), "a quarter of the timeout, less a clock's step");
}

#[test]
fn a_client_that_pings_at_the_wrong_third_is_noticed() {
    let v = view(1000);
    let spoke = |now| Fact::Spoke { client: 0, now: at(now), timeout: v.timeout };
    let fresh = NobodyFallsSilent::default;
    fails(&mut fresh(), &[told(&UP, &v), spoke(3000), spoke(7000)]);
    holds(&mut fresh(), &[told(&UP, &v), spoke(3000), spoke(5000)]);
    holds(&mut fresh(), &[told(&UP, &v), Fact::Slept { client: 0 }, spoke(9000)]);
}

#[test]
fn more_bytes_than_there_is_room_for_are_noticed() {
    let full = View { transmit: 101, ..view(1) };
    fails(&mut BuffersAreBounded::new(100), &[Fact::Rested { client: 0, view: &full }]);
    holds(&mut BuffersAreBounded::new(101), &[Fact::Rested { client: 0, view: &full }]);
}

#[test]
fn a_deadline_that_stays_in_the_past_is_noticed() {
    let stuck = View { deadline: Some(at(5)), ..view(5) };
    let woken = Fact::Woken { client: 0, view: &stuck };
    fails(&mut TimeGoesOn::default(), &[woken, woken]);
    let moved = View { deadline: Some(at(6)), ..view(5) };
    holds(&mut TimeGoesOn::default(), &[woken, Fact::Woken { client: 0, view: &moved }, woken]);
    let engine = Fact::EngineWoken { now: at(5), deadline: Some(at(5)) };
    fails(&mut TimeGoesOn::default(), &[engine, engine]);
}

#[test]
fn a_session_that_never_comes_back_is_noticed() {
    let away = View { state: KeeperState::Disconnected, ..view(1) };
    fails(&mut AllComeBack, &[Fact::Healed { client: 0, view: &away }]);
    holds(&mut AllComeBack, &[Fact::Healed { client: 0, view: &view(1) }]);
}

/// A client that has armed a data watch of `/w` by transaction 3, and a child watch.
fn watching(invariant: &mut WatchesFireOnce, requests: &[(i32, Request<'_>)]) {
    let v = view(1);
    holds(invariant, &[told(&UP, &v)]);
    for (xid, request) in requests {
        let xid = Xid(*xid);
        let asked = Fact::Asked { client: 0, xid, request, chroot: "", now: at(1) };
        holds(invariant, &[asked, told(&answer(xid.0, 3), &v)]);
    }
}

const fn changed(kind: EventType, zxid: i64) -> Fact<'static> {
    Fact::Changed { path: "/w", kind, from: Zxid(zxid), to: Zxid(zxid) }
}

const CHANGED: Event<'static> =
    Event::Notification { kind: EventType::NodeDataChanged, path: "/w" };

#[test]
fn a_watch_that_is_lost_is_noticed() {
    let (v, data) = (view(1), [(1, Request::get_data("/w", true))]);
    let change = changed(EventType::NodeDataChanged, 4);
    let fresh = || {
        let mut invariant = WatchesFireOnce::default();
        watching(&mut invariant, &data);
        invariant
    };
    fails(&mut fresh(), &[change, told(&answer(2, 4), &v)]);
    holds(&mut fresh(), &[change, told(&CHANGED, &v), told(&answer(2, 4), &v)]);
    // Also across a connection.
    let lost = Event::State {
        state: KeeperState::Disconnected,
        cause: Cause::Lost(DisconnectReason::ReadTimeout),
    };
    fails(&mut fresh(), &[told(&lost, &v), change, told(&RESUMED, &v), told(&answer(2, 5), &v)]);
    // A change that is older than the watch, or newer than the reply, is none of this.
    let (older, newer) =
        (changed(EventType::NodeDataChanged, 3), changed(EventType::NodeDataChanged, 6));
    holds(&mut fresh(), &[older, newer, told(&answer(2, 5), &v)]);
    // A list of watches that is forgotten is noticed before anything changes.
    let (keeps, forgets) = (View { watches: 1, ..v }, v);
    holds(&mut fresh(), &[Fact::Rested { client: 0, view: &keeps }]);
    fails(&mut fresh(), &[Fact::Rested { client: 0, view: &forgets }]);
}

#[test]
fn a_watch_that_fires_twice_is_noticed() {
    let v = view(1);
    let mut invariant = WatchesFireOnce::default();
    watching(&mut invariant, &[(1, Request::get_data("/w", true))]);
    fails(&mut invariant, &[told(&CHANGED, &v), told(&CHANGED, &v)]);
}

#[test]
fn a_persistent_watch_is_told_of_every_change() {
    let v = view(1);
    let add = Request::add_watch("/w", crate::wire::AddWatchMode::Persistent);
    let fresh = || {
        let mut invariant = WatchesFireOnce::default();
        watching(&mut invariant, &[(1, add)]);
        invariant
    };
    let (a, b) = (changed(EventType::NodeDataChanged, 4), changed(EventType::NodeDataChanged, 5));
    fails(&mut fresh(), &[a, b, told(&CHANGED, &v), told(&answer(2, 5), &v)]);
    holds(&mut fresh(), &[a, b, told(&CHANGED, &v), told(&CHANGED, &v), told(&answer(2, 5), &v)]);
}

#[test]
fn the_first_violation_names_its_invariant() {
    let limits = Limits::default();
    let end = expired(ExpiryReason::ToldByServer);
    let violation = Invariants::new(limits).observe(&told(&end, &view(1))).unwrap_err();
    assert_eq!(violation.invariant, "expiry is true");
    assert!(violation.to_string().contains("alive"), "{violation}");
}
