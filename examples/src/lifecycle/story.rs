//! The story itself: every step is told only after it has been observed.

use std::fmt;
use std::time::{Duration, Instant};

use zk_session::ErrorCode;
use zk_session::client::{Cause, ExpiryReason, KeeperState};
use zk_session::sim::{Ending, Timeline, What, Who};
use zk_session::wire::{CreateMode, EventType, SessionId};
use zk_session_std::{Client, Error, Events, SessionEvent, Transition};

use super::stage::Stage;

/// What was observed, for those who check more than that the story was played to its end.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The first session.
    pub session_id: SessionId,
    /// Its negotiated timeout.
    pub timeout: Duration,
    /// The states it was told of, in order.
    pub states: Vec<KeeperState>,
    /// The servers it was connected to, in order.
    pub hosts: Vec<String>,
    /// From the kill of its server to its resumption on another.
    pub failover: Duration,
    /// From the cut to the second session's watch event.
    pub expiry: Duration,
    /// From the mended connection to the word that the session has expired.
    pub told: Duration,
    /// Who saw what when; the sessions are its clients.
    pub timeline: Timeline,
}

/// Where the story went otherwise than it must.
#[derive(Debug)]
pub struct StoryError {
    step: &'static str,
    found: String,
}

impl StoryError {
    fn new(step: &'static str, found: impl fmt::Display) -> Self {
        Self { step, found: found.to_string() }
    }
}

impl fmt::Display for StoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.found)
    }
}

impl std::error::Error for StoryError {}

/// Plays the story and tells it line by line.
///
/// # Errors
/// [`StoryError`] with the first step that was not observed.
pub fn play(
    stage: &Stage,
    timeout: Duration,
    tell: &mut dyn FnMut(&str),
) -> Result<Observed, StoryError> {
    let mut timeline =
        Log { start: Instant::now(), tell, seen: Timeline::new(2, stage.relays.len(), usize::MAX) };
    let names = prepare(stage, timeout)?;

    // 1. Two sessions.
    let first = Actor::connect(FIRST, &stage.through_relays(), timeout, &mut timeline)?;
    let second = Actor::connect(SECOND, &stage.directly(), timeout, &mut timeline)?;
    let session_id = first.client.session_id();
    let path = format!("{names}-{:016x}", session_id.0);

    // 2. An ephemeral znode, watched.
    let step = "an ephemeral znode is created and watched";
    first.create_ephemeral(&path).map_err(|error| StoryError::new(step, error))?;
    timeline.line(FIRST, &format!("created the ephemeral znode {path}"));
    // The second session may be on a server that lags behind.
    let see = |client: &Client| client.sync(&path).and_then(|()| client.exists_watched(&path));
    let stat = see(&second.client).map_err(|error| StoryError::new(step, error))?;
    let owner = SessionId(stat.map_or(0, |stat| stat.ephemeral_owner));
    check(step, owner == session_id, || format!("its owner is {owner}"))?;
    timeline.line(SECOND, &format!("watches it; its owner is {owner}"));

    // 3. The first session's server is killed.
    let step = "the session resumes on another server";
    let (server, old_host) = first.client.current_host();
    let relay = stage.relays.get(server).ok_or_else(|| StoryError::new(step, "unknown server"))?;
    let killed = Instant::now();
    stage.faults.kill(server, relay).map_err(|error| StoryError::new(step, error))?;
    timeline.fault(&format!("{}: {}", stage.faults.describe(), old_host));
    timeline.seen_now(Who::Server(server), What::Stopped);
    let lost = first.expect(step, KeeperState::Disconnected, timeout, &mut timeline)?;
    check(step, matches!(lost.cause, Cause::Lost(_)), || format!("{:?}", lost.cause))?;
    let back = first.expect(step, KeeperState::SyncConnected, timeout, &mut timeline)?;
    let failover = back.at.duration_since(killed);
    check(step, back.session_id == session_id, || format!("the id is now {}", back.session_id))?;
    check(step, back.cause == Cause::Resumed, || format!("{:?}", back.cause))?;
    check(step, back.host != old_host, || format!("the host is still {old_host}"))?;
    let step = "the ephemeral znode is still there";
    let stat = first.client.sync(&path).and_then(|()| first.client.exists(&path));
    let stat = stat.map_err(|error| StoryError::new(step, error))?;
    let owner = SessionId(stat.map_or(0, |stat| stat.ephemeral_owner));
    check(step, owner == session_id, || format!("its owner is {owner}"))?;
    second.expect_no_notification(step)?;
    timeline.line(FIRST, &format!("the same session {session_id}, its znode still there"));

    // 4. It is cut off from all servers for longer than its timeout.
    let step = "the ensemble expires the session while it is cut off";
    let cut = Instant::now();
    stage.relays.iter().for_each(zk_session_testkit::Relay::cut);
    timeline.fault("session 1 is cut off from all servers");
    first.expect(step, KeeperState::Disconnected, timeout, &mut timeline)?;
    // A tick late at the most, and a little more through a follower; ticks are at most half of the
    // shortest timeout.
    let patience = first.client.timeout() * 2 + Duration::from_secs(3);
    second.expect_deleted(step, &path, patience)?;
    let expiry = cut.elapsed();
    let gone = second.client.exists(&path).map_err(|error| StoryError::new(step, error))?;
    check(step, gone.is_none(), || "the znode is still there".to_owned())?;
    timeline.line(SECOND, &format!("its watch fired, NodeDeleted {path}"));
    let what = What::Notified { kind: EventType::NodeDeleted, path: path.clone() };
    timeline.seen_now(Who::Client(SECOND), what);
    let ended = What::Ended { session: session_id, how: Ending::Expired };
    timeline.seen_now(Who::World, ended);
    // The last touch can be a ping up to a third of the timeout before the cut.
    let least = first.client.timeout() * 2 / 3 - Duration::from_millis(200);
    check(step, expiry >= least, || format!("already {expiry:?} after the cut"))?;
    let heard = first.events.try_recv();
    check(step, heard.is_none(), || format!("session 1 heard {heard:?}"))?;
    timeline.line(FIRST, "has heard nothing: only the ensemble knows");

    // 5. The connection is back.
    let step = "the session learns that it has expired";
    let mended = Instant::now();
    for relay in &stage.relays {
        relay.mend().map_err(|error| StoryError::new(step, error))?;
    }
    timeline.fault("over: the way to the servers is open again");
    let end = first.expect(step, KeeperState::Expired, timeout * 2, &mut timeline)?;
    let by_server = Cause::Expired(ExpiryReason::ToldByServer);
    check(step, end.cause == by_server, || format!("{:?}", end.cause))?;
    let told = end.at.duration_since(mended);
    check(step, first.client.exists(&path).is_err(), || "it still answers".to_owned())?;

    second.client.close().map_err(|error| StoryError::new("the second session closes", error))?;
    timeline.line(SECOND, "closed");
    if let Some(SessionEvent::State(closed)) = second.events.try_recv() {
        timeline.seen(SECOND, &closed);
    }
    Ok(Observed {
        session_id,
        timeout: back.timeout,
        states: vec![
            first.connected.state,
            lost.state,
            back.state,
            KeeperState::Disconnected,
            end.state,
        ],
        hosts: vec![old_host, back.host],
        failover,
        expiry,
        told,
        timeline: timeline.seen,
    })
}

/// Makes the chroot and returns the start of the znode's name.
fn prepare(stage: &Stage, timeout: Duration) -> Result<&'static str, StoryError> {
    if !stage.chroot.is_empty() {
        let step = "the chroot is there";
        let string = stage.directly();
        let root = string.strip_suffix(&stage.chroot).unwrap_or(&string);
        let fail = |error: Error| StoryError::new(step, error);
        let client = Client::builder(root).timeout(timeout).connect().map_err(fail)?;
        let ends = stage.chroot.match_indices('/').skip(1).map(|(at, _)| at);
        for end in ends.chain([stage.chroot.len()]) {
            let path = stage.chroot.get(..end).unwrap_or_default();
            match client.create(path, b"", CreateMode::Persistent) {
                Err(error) if error.code() != Some(ErrorCode::NodeExists) => {
                    return Err(fail(error));
                }
                _ => {}
            }
        }
        client.close().map_err(fail)?;
    }
    Ok("/zk-session-lifecycle")
}

fn check(
    step: &'static str,
    holds: bool,
    found: impl FnOnce() -> String,
) -> Result<(), StoryError> {
    if holds { Ok(()) } else { Err(StoryError::new(step, found())) }
}

/// The two sessions, as clients of the timeline.
const FIRST: usize = 0;
const SECOND: usize = 1;

/// What is told as it happens, and kept.
struct Log<'t> {
    start: Instant,
    tell: &'t mut dyn FnMut(&str),
    seen: Timeline,
}

impl Log<'_> {
    fn line(&mut self, session: usize, what: &str) {
        self.tell(&format!("session {}", session + 1), what);
    }

    /// Something is done to the servers or to the way to them.
    fn fault(&mut self, what: &str) {
        self.tell("fault", what);
        self.seen_now(Who::World, What::Said(what.to_owned()));
    }

    fn tell(&mut self, who: &str, what: &str) {
        let elapsed = self.start.elapsed().as_secs_f64();
        (self.tell)(&format!("{elapsed:7.3} s  {who:<9}  {what}"));
    }

    fn seen(&mut self, session: usize, change: &Transition) {
        let (state, cause, session_id) = (change.state, change.cause, change.session_id);
        let what = What::State { state, cause, session: session_id };
        self.keep(change.at, Who::Client(session), what);
    }

    fn seen_now(&mut self, who: Who, what: What) {
        self.keep(Instant::now(), who, what);
    }

    fn keep(&mut self, at: Instant, who: Who, what: What) {
        let millis = at.saturating_duration_since(self.start).as_millis();
        let at = u64::try_from(millis).unwrap_or(u64::MAX);
        self.seen.push(zk_session::Instant::from_millis(at), who, what);
    }
}

/// A session with its events.
struct Actor {
    number: usize,
    client: Client,
    events: Events,
    connected: Transition,
}

impl Actor {
    fn connect(
        number: usize,
        connect_string: &str,
        timeout: Duration,
        timeline: &mut Log<'_>,
    ) -> Result<Self, StoryError> {
        let step = "a session is established";
        let fail = |error: Error| StoryError::new(step, error);
        let client = Client::builder(connect_string).timeout(timeout).start().map_err(fail)?;
        let events = client.events();
        client.wait_connected(Duration::from_secs(10)).map_err(fail)?;
        let Some(SessionEvent::State(connected)) = events.recv_timeout(timeout) else {
            return Err(StoryError::new(step, "no state was told"));
        };
        let state = connected.state;
        check(step, state == KeeperState::SyncConnected, || format!("{state:?}"))?;
        timeline.line(number, &describe(&connected));
        timeline.seen(number, &connected);
        Ok(Self { number, client, events, connected })
    }

    fn create_ephemeral(&self, path: &str) -> Result<(), Error> {
        self.client.create(path, b"here", CreateMode::Ephemeral).map(|_| ())
    }

    /// The next event must be this state.
    fn expect(
        &self,
        step: &'static str,
        state: KeeperState,
        timeout: Duration,
        timeline: &mut Log<'_>,
    ) -> Result<Transition, StoryError> {
        match self.events.recv_timeout(timeout.max(Duration::from_secs(2)) * 2) {
            Some(SessionEvent::State(transition)) if transition.state == state => {
                timeline.line(self.number, &describe(&transition));
                timeline.seen(self.number, &transition);
                Ok(transition)
            }
            other => Err(StoryError::new(step, format!("expected {state:?}, found {other:?}"))),
        }
    }

    /// The watch must fire within the patience; the session's own moves may come before.
    fn expect_deleted(
        &self,
        step: &'static str,
        path: &str,
        patience: Duration,
    ) -> Result<(), StoryError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Some(SessionEvent::Notification { kind: EventType::NodeDeleted, path: at })
                    if at == path =>
                {
                    return Ok(());
                }
                Some(SessionEvent::State(transition)) if !transition.state.is_final() => {}
                other => return Err(StoryError::new(step, format!("found {other:?}"))),
            }
        }
    }

    /// No watch may have fired yet.
    fn expect_no_notification(&self, step: &'static str) -> Result<(), StoryError> {
        while let Some(event) = self.events.try_recv() {
            let moved =
                matches!(&event, SessionEvent::State(transition) if !transition.state.is_final());
            check(step, moved, || format!("session {} heard {event:?}", self.number + 1))?;
        }
        Ok(())
    }
}

fn describe(transition: &Transition) -> String {
    format!(
        "{:<13} session {}, timeout {} ms, host {}: {}",
        format!("{:?}", transition.state),
        transition.session_id,
        transition.timeout.as_millis(),
        transition.host,
        transition.cause,
    )
}
