//! A session of its own that looks from outside: which ephemeral znodes are there, and when they go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use zk_session::ErrorCode;
use zk_session::wire::CreateMode;
use zk_session_std::{Client, Error};

use crate::common::{CONFIG, COUNT, Common, LIVE, TIMEOUT};
use crate::tally::Rule;

/// How long an ephemeral znode may outlive its session's end: a new leader grants every session that
/// the old one had not ended in the log a whole timeout, and is elected first.
const GRACE: Duration = Duration::from_secs(30);
/// A server that fails takes along which sessions it has heard of since the leader last asked, and a
/// leader that was paused ends sessions before it hears of them again.
const UNCERTAIN: Duration = Duration::from_secs(20);

/// Looks until the run is over.
#[derive(Debug)]
pub struct Observer {
    client: Client,
    common: Arc<Common>,
    strict: bool,
    seen: BTreeSet<String>,
}

impl Observer {
    /// Connects straight to the servers and lays out the znodes of the run. `strict`: the ensemble
    /// forgets nothing when a server fails.
    ///
    /// # Errors
    /// No server accepts it in time.
    pub fn connect(servers: &str, common: Arc<Common>, strict: bool) -> Result<Self, Error> {
        let client =
            Client::builder(servers).timeout(2 * TIMEOUT).connect_timeout(4 * TIMEOUT).connect()?;
        let parent = LIVE.rsplit_once('/').map_or("/", |(parent, _)| parent);
        for path in [parent, LIVE, COUNT, CONFIG] {
            match client.create(path, b"", CreateMode::Persistent) {
                Err(error) if error.code() != Some(ErrorCode::NodeExists) => return Err(error),
                _ => {}
            }
        }
        Ok(Self { client, common, strict, seen: BTreeSet::new() })
    }

    /// Looks, and changes the config about every second, until the run is over.
    pub fn run(mut self) -> Self {
        let mut changed = Instant::now();
        while !self.common.tally.is_calm() {
            self.look();
            if changed.elapsed() > Duration::from_secs(1) {
                changed = Instant::now();
                let _ = self.client.set_data(CONFIG, b"again", None); // a lost one is made up for
            }
            thread::sleep(Duration::from_millis(100));
        }
        self
    }

    /// Changes the config once more, for sure; returns its version then.
    ///
    /// # Errors
    /// No server takes it in time.
    pub fn change_last(&self) -> Result<i32, Error> {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            match self.client.set_data(CONFIG, b"the last", None) {
                Ok(stat) => return Ok(stat.version),
                Err(error) if Instant::now() > patience => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// The ephemeral znodes that are left.
    ///
    /// # Errors
    /// What the ensemble said.
    pub fn left(&self) -> Result<Vec<String>, Error> {
        self.client.sync(LIVE)?;
        self.client.get_children(LIVE).map(|(names, _)| names)
    }

    /// Compares what is there with what the members know.
    fn look(&mut self) {
        let asked = Instant::now();
        let Ok(names) = self.left() else { return };
        let answered = Instant::now();
        let now: BTreeSet<String> = names.into_iter().collect();
        let tally = &self.common.tally;
        let certain = self.strict || tally.unhurt_for(UNCERTAIN);
        self.common.registry.with(|lives| {
            for (name, life) in lives.iter_mut().filter(|(_, life)| !life.reported) {
                let lingers = life.ended.is_some_and(|ended| asked > ended + GRACE);
                if lingers && now.contains(name) {
                    life.reported = true;
                    tally.violate(Rule::EphemeralGoes, format!("{name} is still there"));
                }
                let vanished = self.seen.contains(name) && !now.contains(name);
                let safe = life.client.as_ref().filter(|_| vanished).and_then(Client::safe_until);
                if let Some(early) = safe.and_then(|safe| safe.checked_duration_since(answered)) {
                    life.reported = true;
                    if certain {
                        tally.violate(
                            Rule::SafeUntil,
                            format!("{name} is gone {early:?} too early"),
                        );
                    } else {
                        tally.session("ended before safe_until while servers failed");
                    }
                }
            }
            lives.retain(|name, life| {
                life.ended.is_none_or(|ended| asked < ended + GRACE) || now.contains(name)
            });
        });
        self.seen = now;
    }
}
