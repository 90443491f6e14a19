//! Who saw what when, as plain data.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::step::Step;
use crate::client::{Cause, KeeperState};
use crate::error::OpError;
use crate::time::Instant;
use crate::wire::{EventType, OpCode, SessionId, Xid};

/// What a run has shown: one entry for each thing that happened, in the order of time.
///
/// A [`World`](super::World) writes one; so can a program that watches real sessions, to have the
/// same picture of them.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    entries: VecDeque<Entry>,
    /// The most entries that are kept; older ones go.
    limit: usize,
    dropped: u64,
    pub(super) clients: usize,
    servers: usize,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When, by the world's clock.
    pub at: Instant,
    /// To whom.
    pub who: Who,
    /// What.
    pub what: What,
}

/// A lane of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A client, by number.
    Client(usize),
    /// A server, by number.
    Server(usize),
    /// The ensemble as a whole, or the network.
    World,
}

/// What happened to somebody.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A client was told of its session's state.
    State {
        /// The state.
        state: KeeperState,
        /// Its cause.
        cause: Cause,
        /// The session.
        session: SessionId,
    },
    /// A client began an attempt at a server.
    Attempt {
        /// Which; `None`: the host's name leads nowhere.
        server: Option<usize>,
    },
    /// A client gave its transport up, or lost it.
    Down,
    /// A client sent a ping.
    Ping,
    /// An application asked for something.
    Asked {
        /// The request's number.
        xid: Xid,
        /// For what.
        op: OpCode,
    },
    /// A request was answered.
    Answered {
        /// Its number.
        xid: Xid,
        /// The answer.
        error: Option<OpError>,
    },
    /// A watch fired.
    Notified {
        /// What happened.
        kind: EventType,
        /// To which znode.
        path: String,
    },
    /// A session speaks through a server from now on.
    Attached {
        /// Which.
        session: SessionId,
    },
    /// A session is over in the ensemble.
    Ended {
        /// Which.
        session: SessionId,
        /// How.
        how: Ending,
    },
    /// A server is there again.
    Started,
    /// A server went down.
    Stopped,
    /// A step of the script: most are faults.
    Step(Step),
    /// Anything else, in words: what was done to real servers and wires.
    Said(String),
}

/// How a session came to its end in the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its timeout has passed.
    Expired,
    /// Its client closed it.
    Closed,
    /// An administrator ended it, or the ensemble's data was wiped.
    Removed,
}

impl Timeline {
    /// A timeline of so many clients and servers that keeps at most `limit` entries, the newest;
    /// with 0 nothing is kept.
    pub fn new(clients: usize, servers: usize, limit: usize) -> Self {
        Self { limit, clients, servers, ..Self::default() }
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator + '_ {
        self.entries.iter()
    }

    /// How many entries were too many.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The entries of one lane.
    pub fn of(&self, who: Who) -> impl Iterator<Item = &Entry> + '_ {
        self.entries.iter().filter(move |entry| entry.who == who)
    }

    /// How many clients there were.
    pub const fn clients(&self) -> usize {
        self.clients
    }

    /// How many servers there were.
    pub const fn servers(&self) -> usize {
        self.servers
    }

    pub(super) const fn is_kept(&self) -> bool {
        self.limit > 0
    }

    /// Adds an entry, which is not earlier than the last.
    pub fn push(&mut self, at: Instant, who: Who, what: What) {
        if self.limit == 0 {
            return;
        }
        if self.entries.len() >= self.limit {
            self.entries.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.entries.push_back(Entry { at, who, what });
    }

    /// The last `n` entries as text, without pings.
    pub fn tail(&self, n: usize) -> String {
        let told = self.entries.iter().rev().filter(|entry| entry.what != What::Ping).take(n);
        let mut lines: Vec<String> = told.map(|entry| format!("{entry}\n")).collect();
        lines.reverse();
        lines.concat()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_millis();
        let (secs, rest) = (millis.checked_div(1000), millis.checked_rem(1000));
        let who = match self.who {
            Who::Client(n) => format!("client {n}"),
            Who::Server(n) => format!("server {n}"),
            Who::World => String::from("world"),
        };
        let (secs, rest) = (secs.unwrap_or(0), rest.unwrap_or(0));
        write!(f, "{secs:>6}.{rest:03} s  {who:<9} {}", self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { state, cause, session } => {
                write!(f, "{state:?}, session {session}: {cause}")
            }
            Self::Attempt { server: Some(server) } => write!(f, "tries server {server}"),
            Self::Attempt { server: None } => f.write_str("tries a name that leads nowhere"),
            Self::Down => f.write_str("has no transport"),
            Self::Ping => f.write_str("pings"),
            Self::Asked { xid, op } => write!(f, "asks {xid}: {op:?}"),
            Self::Answered { xid, error: None } => write!(f, "is answered {xid}"),
            Self::Answered { xid, error: Some(error) } => write!(f, "is answered {xid}: {error}"),
            Self::Notified { kind, path } => write!(f, "is told {kind:?} {path}"),
            Self::Attached { session } => write!(f, "speaks for session {session}"),
            Self::Ended { session, how } => write!(f, "session {session} is over: {how:?}"),
            Self::Started => f.write_str("runs"),
            Self::Stopped => f.write_str("is down"),
            Self::Step(step) => write!(f, "{step:?}"),
            Self::Said(words) => f.write_str(words),
        }
    }
}
