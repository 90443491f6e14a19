//! The session tracker against a model that is too simple to be wrong: a list of sessions with the
//! tick that each ends in. On lent memory it needs no heap.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(feature = "server")]

use proptest::prelude::*;
use zk_session::server::{
    AttachError, Granted, Ownership, ServerId, SessionSlot, SessionTracker, TrackerConfig,
    TrackerFull,
};
use zk_session::time::{Duration, Instant};
use zk_session::wire::{Passwd, SessionId};

const TICK: u64 = 2000;
const ROOM: usize = 5;

/// What the model knows of a session.
#[derive(Clone, Copy, Debug)]
struct Life {
    granted: Granted,
    /// The end of the tick that its time ends in.
    end: u64,
    timeout: Duration,
    owner: ServerId,
    closing: bool,
}

/// The next multiple of the tick, and never the one that it stands on.
fn end(now: u64, timeout: Duration) -> u64 {
    ((now + timeout.as_millis()) / TICK + 1) * TICK
}

fn negotiated(requested: i32) -> Duration {
    Duration::from_millis(u64::try_from(requested).unwrap_or(0).clamp(2 * TICK, 20 * TICK))
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Create(u8, i32),
    Touch(usize, u64),
    Attach(usize, u8, i32, bool),
    Own(usize, u8),
    Close(usize),
    /// Lets so much time pass; takes what has expired, and forgets it if told so.
    Expire(u64, bool),
    /// Tells an earlier time.
    Back(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let requested = prop_oneof![Just(i32::MIN), Just(0), Just(i32::MAX), 3000_i32..45_000];
    let step = prop_oneof![
        3 => (0_u8..3, requested.clone()).prop_map(|(server, r)| Step::Create(server, r)),
        4 => (0_usize..8, 0_u64..20_000).prop_map(|(who, timeout)| Step::Touch(who, timeout)),
        3 => (0_usize..8, 0_u8..3, requested, any::<bool>())
            .prop_map(|(who, server, r, right)| Step::Attach(who, server, r, right)),
        1 => (0_usize..8, 0_u8..3).prop_map(|(who, server)| Step::Own(who, server)),
        1 => (0_usize..8).prop_map(Step::Close),
        4 => (0_u64..9000, any::<bool>()).prop_map(|(millis, forget)| Step::Expire(millis, forget)),
        1 => (0_u64..9000).prop_map(Step::Back),
    ];
    proptest::collection::vec(step, 1..100)
}

struct Pair<'b> {
    tracker: SessionTracker<'b>,
    /// All sessions there ever were; those that are forgotten are `None`.
    lives: Vec<(Granted, Option<Life>)>,
    now: u64,
}

impl Pair<'_> {
    fn at(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    fn known(&self, who: usize) -> Option<usize> {
        (!self.lives.is_empty()).then(|| who % self.lives.len())
    }

    fn live(&mut self, who: usize) -> Option<&mut Life> {
        self.lives[who].1.as_mut().filter(|life| !life.closing)
    }

    fn play(&mut self, step: Step) {
        let at = self.at();
        match step {
            Step::Create(server, requested) => self.create(ServerId(server), requested),
            Step::Touch(who, timeout) => {
                let Some(who) = self.known(who) else { return };
                let (now, timeout) = (self.now, Duration::from_millis(timeout));
                let touched = self.tracker.touch(at, self.lives[who].0.session, timeout);
                let life = self.live(who);
                assert_eq!(touched, life.is_some());
                if let Some(life) = life {
                    life.end = end(now, timeout);
                }
            }
            Step::Attach(who, server, requested, right) => {
                self.attach(who, ServerId(server), requested, right);
            }
            Step::Own(who, server) => {
                let Some(who) = self.known(who) else { return };
                self.tracker.set_owner(self.lives[who].0.session, ServerId(server));
                if let Some(life) = self.live(who) {
                    life.owner = ServerId(server);
                }
            }
            Step::Close(who) => {
                let Some(who) = self.known(who) else { return };
                let closed = self.tracker.close(self.lives[who].0.session.id());
                assert_eq!(closed, self.lives[who].1.take().is_some());
            }
            Step::Expire(millis, forget) => {
                self.now += millis;
                self.expire(forget);
            }
            Step::Back(millis) => {
                // The clock is clamped: nothing expires that has not, and nothing comes back.
                let earlier = Instant::from_millis(self.now.saturating_sub(millis));
                if let Some(id) = self.tracker.poll_expired(earlier) {
                    let now = self.now;
                    let due = |life: &Life| life.end <= now && life.granted.session.id() == id;
                    let who = self.lives.iter().position(|(_, life)| life.is_some_and(|l| due(&l)));
                    self.lives[who.expect("it was due before")].1.as_mut().unwrap().closing = true;
                }
            }
        }
    }

    fn create(&mut self, server: ServerId, requested: i32) {
        let created = self.tracker.create(self.at(), server, requested);
        let taken = self.lives.iter().filter(|(_, life)| life.is_some()).count();
        if taken == ROOM {
            assert_eq!(created, Err(TrackerFull));
            return;
        }
        let granted = created.expect("there is room");
        let (id, timeout) = (granted.session.id(), negotiated(requested));
        assert_eq!(granted.timeout, timeout);
        assert_eq!(id.0 >> 56, i64::from(server.0), "the top byte is the server's");
        assert!(id.is_some());
        assert!(self.lives.iter().all(|(other, _)| other.session.id() != id), "{id} comes again");
        assert!(self.lives.iter().all(|(other, _)| other.passwd != granted.passwd));
        let end = end(self.now, timeout);
        let life = Life { granted, end, timeout, owner: server, closing: false };
        self.lives.push((granted, Some(life)));
    }

    fn attach(&mut self, who: usize, server: ServerId, requested: i32, right: bool) {
        let Some(who) = self.known(who) else { return };
        let (granted, _) = self.lives[who];
        let passwd = if right { granted.passwd } else { Passwd([1; 16]) };
        let id = granted.session.id();
        let attached = self.tracker.attach(self.at(), server, id, Some(&passwd.0), requested);
        let (now, timeout) = (self.now, negotiated(requested));
        let expected = match self.live(who) {
            _ if !right => Err(AttachError::WrongPasswd),
            None => Err(AttachError::UnknownSession),
            Some(life) => {
                (life.end, life.timeout, life.owner) = (end(now, timeout), timeout, server);
                Ok(Granted { timeout, ..granted })
            }
        };
        assert_eq!(attached, expected);
    }

    /// Takes what has expired: exactly what is due, the earliest first.
    fn expire(&mut self, forget: bool) {
        let mut last = 0;
        while let Some(id) = self.tracker.poll_expired(self.at()) {
            let who = self.lives.iter().position(|(granted, _)| granted.session.id() == id);
            let who = who.expect("a session that there was");
            let now = self.now;
            let life = self.live(who).expect("a session expires once, while it lives");
            assert!(life.end <= now && life.end >= last, "{life:?} at {now} after {last}");
            last = life.end;
            life.closing = true;
            if forget {
                assert!(self.tracker.close(id));
                assert!(!self.tracker.close(id));
                self.lives[who].1 = None;
            }
        }
    }

    fn check(&self) {
        let now = self.now;
        let alive: Vec<&Life> = self
            .lives
            .iter()
            .filter_map(|(_, life)| life.as_ref())
            .filter(|l| !l.closing)
            .collect();
        let next = alive.iter().map(|life| Instant::from_millis(life.end)).min();
        assert_eq!(self.tracker.poll_timeout(), next, "at {now}");
        let mut sessions: Vec<(SessionId, Duration, ServerId)> = self.tracker.sessions().collect();
        let mut expected: Vec<_> = alive
            .iter()
            .map(|life| (life.granted.session.id(), life.timeout, life.owner))
            .collect();
        sessions.sort();
        expected.sort();
        assert_eq!(sessions, expected);
        for (granted, life) in &self.lives {
            let life = life.filter(|life| !life.closing);
            let session = granted.session;
            assert_eq!(self.tracker.find(session.id()), life.map(|_| session));
            for server in (0..3).map(ServerId) {
                let ownership = match life {
                    None => Ownership::Unknown,
                    Some(life) if life.owner == server => Ownership::Owner,
                    Some(_) => Ownership::Moved,
                };
                assert_eq!(self.tracker.ownership(session, server), ownership);
            }
        }
    }
}

fn run(tracker: SessionTracker<'_>, script: &[Step]) {
    let mut pair = Pair { tracker, lives: Vec::new(), now: 1000 };
    for step in script {
        pair.play(*step);
        pair.check();
    }
}

fn config() -> TrackerConfig {
    let mut config = TrackerConfig::default();
    (config.tick, config.seed) = (Duration::from_millis(TICK), 3);
    config.unix_time_at_origin = 1_700_000_000_000;
    config
}

proptest! {
    #[test]
    fn a_tracker_on_lent_memory_is_as_the_model_says(script in steps()) {
        run(SessionTracker::lent(config(), &mut [SessionSlot::EMPTY; ROOM]), &script);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn a_tracker_on_the_heap_is_as_the_model_says(script in steps()) {
        run(SessionTracker::owned(config(), ROOM), &script);
    }
}

#[test]
fn ids_begin_with_the_time_and_count_on() {
    let mut slots = [SessionSlot::EMPTY; 3];
    let mut tracker = SessionTracker::lent(config(), &mut slots);
    let at = Instant::from_millis(5);
    let ids = [(); 3].map(|()| tracker.create(at, ServerId(1), 5000).unwrap().session.id().0);
    let time = (1_700_000_000_005_i64 << 24).cast_unsigned() >> 8;
    assert_eq!(ids[0], (1 << 56) | time.cast_signed());
    assert_eq!(ids.map(|id| id - ids[0]), [0, 1, 2]);
}

#[test]
fn no_session_has_an_id_that_means_something_else() {
    // Where the time is zero, the first id of one server would be no session, and that of the other
    // the mark of a container.
    for (server, forbidden) in [(0, 0), (128, i64::MIN)] {
        let mut config = config();
        config.unix_time_at_origin = 0;
        let mut slots = [SessionSlot::EMPTY; 2];
        let mut tracker = SessionTracker::lent(config, &mut slots);
        let mut id = || {
            let granted = tracker.create(Instant::ORIGIN, ServerId(server), 5000).unwrap();
            granted.session.id().0 - forbidden
        };
        assert_eq!([id(), id()], [1, 2]);
    }
}

#[test]
fn limits_that_are_set_bound_the_timeout() {
    let mut config = config();
    config.min_session_timeout = Some(Duration::from_millis(700));
    config.max_session_timeout = Some(Duration::from_millis(900));
    let tracker = SessionTracker::lent(config, &mut []);
    let granted = [0, 800, 5000].map(|requested| tracker.negotiate(requested).as_millis());
    assert_eq!(granted, [700, 800, 900]);
}

#[test]
fn errors_say_what_is_wrong_and_a_tracker_how_it_is_set() {
    assert_eq!(AttachError::WrongPasswd.to_string(), "wrong session password");
    assert_eq!(AttachError::UnknownSession.to_string(), "unknown session");
    assert_eq!(TrackerFull.to_string(), "no memory for one more session");
    let tracker = SessionTracker::lent(config(), &mut []);
    let debug = format!("{tracker:?}");
    assert_eq!(debug, format!("SessionTracker {{ config: {:?}, .. }}", config()));
}
