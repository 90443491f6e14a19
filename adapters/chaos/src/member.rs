//! One member: session after session, each with an ephemeral znode, a counter and a watch.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use zk_session::client::{Cause, ExpiryReason, KeeperState};
use zk_session::wire::{CreateMode, EventType, Request, SessionId};
use zk_session::{ErrorCode, OpError};
use zk_session_std::{Answer, Client, Error, ErrorKind, SessionEvent};

use crate::common::{CONFIG, COUNT, Common, LIVE, TIMEOUT};
use crate::session::{Session, Watch};
use crate::tally::{Rule, Tally};

/// A path where nothing ever is.
const NOWHERE: &str = "/chaos/nowhere";
const HISTORY: usize = 24;
/// How long the change that was made last may take to reach a watcher.
const SOON: Duration = Duration::from_secs(30);
/// How long a server may take to close the connection of a session whose end it has applied.
const PARTING: Duration = Duration::from_secs(8);

/// One member of the crowd.
#[derive(Debug)]
pub struct Member {
    number: usize,
    name: String,
    connect_string: String,
    common: Arc<Common>,
    rng: Rng,
    /// The version of the counter, if it is certain.
    count: Option<i32>,
    /// The newest version of the counter that was acknowledged.
    floor: i32,
    /// The ephemeral znode of a session whose close was not confirmed: while it is there, so is the
    /// session, and what was sent through it may still be carried out.
    limbo: Option<String>,
    /// What this member did and heard of last, for when a rule is broken.
    history: RefCell<VecDeque<String>>,
}

/// The session is over, or its answer did not come.
struct Interrupted;

impl Member {
    /// A member with a name and a seed of its own.
    pub fn new(number: usize, connect_string: String, common: Arc<Common>, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        let name = format!("m{number:03}");
        Self {
            number,
            name,
            connect_string,
            common,
            rng,
            count: None,
            floor: 0,
            limbo: None,
            history: RefCell::default(),
        }
    }

    /// Lives until the run is over; ends with a session that is connected and closes it.
    pub fn run(mut self) {
        let mut session = self.open(None);
        while !self.tally().is_over() || session.end.is_some() {
            self.beat();
            let step =
                if session.end.is_some() { Err(Interrupted) } else { self.step(&mut session) };
            if step.is_err() {
                self.listen(&mut session);
            }
            if session.end.is_some() {
                self.bury(&session);
                session = self.open(None);
                continue;
            }
            if self.rng.u32(..100) == 0 {
                session = self.change(session);
            }
            thread::sleep(Duration::from_millis(self.rng.u64(5..120)));
        }
        self.catch_up(&mut session);
        self.leave(session);
    }

    fn note(&self, what: impl FnOnce() -> String) {
        let mut history = self.history.borrow_mut();
        if history.len() == HISTORY {
            history.pop_front();
        }
        let at = self.tally().elapsed().as_secs_f64();
        history.push_back(format!("    {at:9.3} s  {}", what()));
    }

    /// A rule holds, or the run is told otherwise.
    fn hold(&self, rule: Rule, held: bool, what: impl FnOnce() -> String) {
        if !held {
            let history = Vec::from(std::mem::take(&mut *self.history.borrow_mut()));
            self.tally().violate(rule, format!("{}\n{}", what(), history.join("\n")));
        }
    }

    fn beat(&self) {
        if let Some(beat) = self.common.beats.get(self.number) {
            beat.store(self.tally().elapsed_millis(), Ordering::SeqCst);
        }
    }

    fn tally(&self) -> &Tally {
        &self.common.tally
    }

    /// A session: a new one, or a ticket's.
    fn open(&self, ticket: Option<(Vec<u8>, SessionId)>) -> Session {
        let builder = Client::builder(&self.connect_string).timeout(TIMEOUT);
        let (builder, expected) = match ticket {
            Some((ticket, id)) => (builder.resume(ticket), Some(id)),
            None => (builder, None),
        };
        let client = loop {
            match builder.clone().start() {
                Ok(client) => break client,
                Err(error) => {
                    self.tally().violate(Rule::NothingGrows, format!("{}: {error}", self.name));
                    thread::sleep(Duration::from_secs(1));
                }
            }
        };
        Session {
            events: client.events(),
            id: expected.unwrap_or(SessionId(0)),
            ephemeral: None,
            host: String::new(),
            lost_at: expected.is_some().then(Instant::now),
            watch: Watch::None,
            config: -1,
            end: None,
            client,
        }
    }

    /// Something that a member does.
    fn step(&mut self, session: &mut Session) -> Result<(), Interrupted> {
        session.client.wait_connected(Duration::from_millis(500)).map_err(|_| Interrupted)?;
        self.listen(session);
        if session.ephemeral.is_none() {
            self.register(session)?;
        }
        if !session.is_armed() {
            self.arm(session)?;
        }
        match self.rng.u32(..10) {
            0 => self.look_after_ephemeral(session),
            1 => self.read_config(session),
            _ => self.increment(session),
        }
    }

    /// Creates the session's ephemeral znode, or finds it.
    fn register(&self, session: &mut Session) -> Result<(), Interrupted> {
        session.id = session.client.session_id();
        let name = format!("{}-{}", self.name, session.id);
        let path = format!("{LIVE}/{name}");
        let created = session.client.create(&path, b"here", CreateMode::Ephemeral);
        match self.outcome(created) {
            Ok(_) => {}
            Err(Some(ErrorCode::NodeExists)) => {
                let stat = self.outcome(session.client.exists(&path)).map_err(|_| Interrupted)?;
                let owner = stat.map(|stat| stat.ephemeral_owner);
                let own = owner.is_some_and(|owner| owner == session.id.0);
                self.hold(Rule::EphemeralIsThere, own, || {
                    format!("{path} exists and its owner is {owner:x?}")
                });
            }
            Err(_) => return Err(Interrupted),
        }
        self.common.registry.lives(&name, &session.client);
        session.ephemeral = Some(name);
        Ok(())
    }

    /// A living session's ephemeral znode is there.
    fn look_after_ephemeral(&self, session: &mut Session) -> Result<(), Interrupted> {
        let Some(name) = &session.ephemeral else { return Ok(()) };
        let path = format!("{LIVE}/{name}");
        let found = self.outcome(session.client.exists(&path)).map_err(|_| Interrupted)?;
        match found {
            Some(stat) => {
                let own = stat.ephemeral_owner == session.id.0;
                self.hold(Rule::EphemeralIsThere, own, || {
                    format!("{path} is of {:x}", stat.ephemeral_owner)
                });
            }
            None => {
                // A server that has applied the end of the session closes its connection next.
                let patience = Instant::now() + PARTING;
                while session.end.is_none() && Instant::now() < patience {
                    self.take(session, Duration::from_millis(100));
                }
                self.hold(Rule::EphemeralIsThere, session.end.is_some(), || {
                    format!("{path} is gone and its session lives")
                });
            }
        }
        Ok(())
    }

    /// Increments the counter some times in one piece, each knowing the version before it.
    fn increment(&mut self, session: &mut Session) -> Result<(), Interrupted> {
        let path = format!("{COUNT}/{}", self.name);
        let version = match self.count {
            Some(version) => version,
            None => self.recount(session, &path)?,
        };
        self.count = None;
        let mut sent = Vec::new();
        let mut pipeline = session.client.pipeline();
        for n in 0..self.rng.i32(1..8) {
            let data = (version + n + 1).to_string();
            let request = Request::set_data(&path, data.as_bytes(), version + n);
            let Ok(pending) = pipeline.submit(&request) else { break };
            sent.push(pending);
        }
        drop(pipeline);
        let mut lost = false;
        for (n, pending) in (0..).zip(sent) {
            let expected = version + n + 1;
            match pending.wait() {
                Ok(Answer::Stat(stat)) => {
                    self.tally().request("ok");
                    self.note(|| format!("{} {expected}: ok at {:x}", session.host, stat.mzxid.0));
                    self.hold(Rule::NothingLost, stat.version == expected, || {
                        format!("{path}: version {} instead of {expected}", stat.version)
                    });
                }
                Ok(other) => self.hold(Rule::NothingLost, false, || format!("{path}: {other:?}")),
                Err(error) => {
                    self.tally().request(&error.to_string());
                    self.note(|| format!("{} {expected}: {error}", session.host));
                    // After a loss it depends on whether the lost one was carried out.
                    let refused = error == OpError::Server(ErrorCode::BadVersion);
                    self.hold(Rule::NothingLost, !refused || lost, || {
                        format!("{path}: somebody else has written version {expected}")
                    });
                    lost = true;
                }
            }
            if !lost {
                self.count = Some(expected);
                self.floor = expected;
            }
        }
        if lost {
            self.count = None;
            return Err(Interrupted);
        }
        Ok(())
    }

    /// Reads the counter after what was lost has come to rest.
    fn recount(&mut self, session: &Session, path: &str) -> Result<i32, Interrupted> {
        // Not a sync: a leader answers that at once for its own clients (3.8.0), though what was
        // proposed before may not be committed. A write stands in line, even one that fails.
        match self.outcome(session.client.delete(NOWHERE, None)) {
            Ok(()) | Err(Some(ErrorCode::NoNode)) => {}
            Err(_) => return Err(Interrupted),
        }
        if let Some(name) = &self.limbo {
            let there = self.outcome(session.client.exists(&format!("{LIVE}/{name}")));
            if there.map_err(|_| Interrupted)?.is_some() {
                return Err(Interrupted);
            }
            self.limbo = None;
        }
        let (data, stat) = match self.outcome(session.client.get_data(path)) {
            Ok(found) => found,
            Err(Some(ErrorCode::NoNode)) => {
                let created = session.client.create(path, b"0", CreateMode::Persistent);
                self.outcome(created).map_err(|_| Interrupted)?;
                return Ok(0);
            }
            Err(_) => return Err(Interrupted),
        };
        self.note(|| format!("{} recounts {} at {:x}", session.host, stat.version, stat.mzxid.0));
        let value = std::str::from_utf8(&data).ok().and_then(|text| text.parse::<i32>().ok());
        self.hold(Rule::NothingLost, value == Some(stat.version), || {
            format!("{path}: {value:?} at version {}", stat.version)
        });
        self.hold(Rule::NothingLost, stat.version >= self.floor, || {
            format!("{path}: version {} after {} was acknowledged", stat.version, self.floor)
        });
        Ok(stat.version)
    }

    /// Reads the config and arms a watch on it.
    fn arm(&self, session: &mut Session) -> Result<(), Interrupted> {
        let read = session.client.get_data_watched(CONFIG);
        let (_, stat) = self.outcome(read).map_err(|_| Interrupted)?;
        self.never_back(session, stat.version);
        session.watch = match session.watch {
            Watch::Unsure => Watch::Rearmed(stat.version),
            Watch::Fired(before) => {
                self.hold(Rule::WatchFiresOnce, stat.version > before, || {
                    format!("{}: a watch fired and the config is still {before}", self.name)
                });
                Watch::Armed(stat.version)
            }
            _ => Watch::Armed(stat.version),
        };
        Ok(())
    }

    /// Reads the config; whatever the reply shows has been told before it came.
    fn read_config(&self, session: &mut Session) -> Result<(), Interrupted> {
        let (_, stat) = self.outcome(session.client.get_data(CONFIG)).map_err(|_| Interrupted)?;
        self.never_back(session, stat.version);
        self.drain(session);
        if let Watch::Armed(armed) | Watch::Rearmed(armed) = session.watch {
            self.hold(Rule::WatchBeforeReply, stat.version <= armed, || {
                format!("{} reads config {} with a watch at {armed}", self.name, stat.version)
            });
        }
        Ok(())
    }

    fn never_back(&self, session: &mut Session, version: i32) {
        self.hold(Rule::NeverBack, version >= session.config, || {
            format!("{} reads config {version} after {}", self.name, session.config)
        });
        session.config = version;
    }

    /// Takes all events that are there.
    fn drain(&self, session: &mut Session) {
        while let Some(event) = session.events.try_recv() {
            self.hear(session, &event);
        }
    }

    /// As [`drain`](Self::drain), and waits for the last word of a session that is over.
    fn listen(&self, session: &mut Session) {
        self.drain(session);
        if session.client.state().is_final() {
            while session.end.is_none() && self.take(session, Duration::from_secs(1)) {}
        }
    }

    fn take(&self, session: &mut Session, patience: Duration) -> bool {
        let event = session.events.recv_timeout(patience);
        event.map(|event| self.hear(session, &event)).is_some()
    }

    fn hear(&self, session: &mut Session, event: &SessionEvent) {
        match event {
            SessionEvent::Notification { kind, path } => {
                self.tally().counts().notifications += 1;
                let fits = *kind == EventType::NodeDataChanged && path == CONFIG;
                let before = session.watch;
                session.watch = match before {
                    Watch::Armed(version) => Watch::Fired(version),
                    _ => Watch::None,
                };
                let armed = !matches!(before, Watch::None | Watch::Fired(_));
                self.hold(Rule::WatchFiresOnce, fits && armed, || {
                    format!("{}: {kind:?} {path}, watch was {before:?}", self.name)
                });
            }
            SessionEvent::WatchesLost => {
                self.tally().session("watches lost");
                session.watch = Watch::None;
            }
            SessionEvent::State(change) if change.state.is_connected() => {
                self.note(|| format!("{} {}: {}", change.host, change.session_id, change.cause));
                let gap = session.lost_at.take().map(|at| change.at.saturating_duration_since(at));
                if change.cause == Cause::Resumed {
                    let same = change.session_id == session.id || session.id == SessionId(0);
                    self.hold(Rule::SameSession, same, || {
                        format!("{} was resumed as {}", session.id, change.session_id)
                    });
                    let mut counts = self.tally().counts();
                    let (back, moved) = &mut counts.resumed;
                    *(if change.host == session.host { back } else { moved }) += 1;
                    if let Some(gap) = gap.filter(|gap| *gap > counts.longest_gap.0) {
                        counts.longest_gap = (gap, format!("{} {}", self.name, session.id));
                    }
                }
                session.id = change.session_id;
                session.host.clone_from(&change.host);
            }
            SessionEvent::State(change) if change.state == KeeperState::Disconnected => {
                self.note(|| format!("{} {}: {}", change.host, change.session_id, change.cause));
                session.lost_at.get_or_insert(change.at);
            }
            SessionEvent::State(change) => session.end = Some(change.cause),
            other => self.tally().violate(Rule::NoWatchLost, format!("{}: {other:?}", self.name)),
        }
    }

    /// A session has ended without its member's doing.
    fn bury(&self, session: &Session) {
        let Some(cause) = session.end else { return };
        // Both are a server's refusal; with the second it was not asked for the last zxid.
        let told = matches!(
            cause,
            Cause::Expired(ExpiryReason::ToldByServer | ExpiryReason::EnsembleWiped)
        );
        self.tally().session(cause.to_string());
        self.hold(Rule::ExpiryIsTold, told, || format!("{}: {cause}", session.id));
        if let Some(name) = &session.ephemeral {
            self.common.registry.ended(name);
        }
    }

    /// Closes the session for a new one, or hands it over to another handle.
    fn change(&mut self, mut session: Session) -> Session {
        if self.rng.bool() {
            self.leave(session);
            return self.open(None);
        }
        let Ok(ticket) = session.client.ticket() else { return session };
        if let Some(name) = &session.ephemeral {
            self.common.registry.leaves(name);
        }
        let watch = session.watch;
        session.client.clone().detach();
        while session.end.is_none() && self.take(&mut session, Duration::from_secs(1)) {}
        if session.end != Some(Cause::Detached) {
            return session;
        }
        self.tally().session("handed over by ticket");
        let next = self.open(Some((ticket, session.id)));
        if let Some(name) = &session.ephemeral {
            self.common.registry.lives(name, &next.client);
        }
        // The ticket may have been written before or after the watch fired.
        let watch = if session.watch == watch { watch } else { Watch::Unsure };
        let Session { ephemeral, host, config, .. } = session;
        Session { ephemeral, host, watch, config, ..next }
    }

    /// Ends a session for good.
    fn leave(&mut self, session: Session) {
        let Session { client, ephemeral, .. } = session;
        if let Some(name) = &ephemeral {
            self.common.registry.leaves(name);
        }
        let outcome = match client.close() {
            Ok(()) => "closed",
            Err(Error { kind: ErrorKind::CloseUnconfirmed, .. }) => {
                self.count = None;
                self.limbo.clone_from(&ephemeral);
                "closed unconfirmed"
            }
            Err(_) => "closed with an error",
        };
        self.tally().session(outcome);
        if let Some(name) = &ephemeral {
            self.common.registry.ended(name);
        }
    }

    /// Waits until the last change of the config has been seen, by word of the watch if there is one.
    fn catch_up(&self, session: &mut Session) {
        let last = self.common.last_config.load(Ordering::SeqCst);
        let patience = Instant::now() + SOON;
        while session.config < last && session.end.is_none() && Instant::now() < patience {
            self.beat();
            if !session.is_armed() && self.arm(session).is_ok() {
                continue;
            }
            self.take(session, Duration::from_millis(100));
            self.listen(session);
        }
        let known = session.config >= last || session.end.is_some();
        self.hold(Rule::NoWatchLost, known, || {
            format!(
                "{}: {} has not heard of config {last}: {:?}",
                self.name, session.id, session.watch
            )
        });
    }

    fn outcome<T>(&self, result: Result<T, Error>) -> Result<T, Option<ErrorCode>> {
        match &result {
            Ok(_) => self.tally().request("ok"),
            Err(error) => self.tally().request(&error.kind.to_string()),
        }
        result.map_err(|error| error.code())
    }
}
