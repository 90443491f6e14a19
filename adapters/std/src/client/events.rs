//! Session and watch events, as a queue of their own for each subscriber.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{EventType, SessionId};

/// Something that happened to the session, or to a watched znode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The session's state has changed.
    State(Transition),
    /// A watch has fired.
    Notification {
        /// What happened.
        kind: EventType,
        /// To which znode, as this client names it.
        path: String,
    },
    /// The server refused to re-register the watches: all of them must be set again.
    WatchesLost,
    /// The subscriber was slow and this many events were dropped here. If there were state changes
    /// among them, the last one was not: it follows.
    Missed(u64),
}

/// A change of the session's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What it is now.
    pub state: KeeperState,
    /// Why.
    pub cause: Cause,
    /// The server it is about, as `name:port`.
    pub host: String,
    /// The session; none before a server gave one.
    pub session_id: SessionId,
    /// The timeout that holds.
    pub timeout: Duration,
    /// When.
    pub at: Instant,
}

/// How many events wait for a subscriber before further ones are counted instead. One-shot watches
/// bound themselves: there are never more events than watches were set.
const QUEUE_LIMIT: usize = 65_536;

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<SessionEvent>,
    missed: u64,
    /// The last state change that came when there was no room. Until it and the count are told
    /// nothing else is queued, so that both keep their place.
    last: Option<Transition>,
    ended: bool,
}

impl State {
    fn push(&mut self, event: SessionEvent) {
        if self.waiting.len() < QUEUE_LIMIT && self.missed == 0 && self.last.is_none() {
            self.waiting.push_back(event);
        } else if let SessionEvent::State(change) = event {
            self.missed += u64::from(self.last.replace(change).is_some());
        } else {
            self.missed += 1;
        }
    }

    fn pop(&mut self) -> Option<SessionEvent> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        if self.missed > 0 {
            return Some(SessionEvent::Missed(std::mem::take(&mut self.missed)));
        }
        self.last.take().map(SessionEvent::State)
    }
}

/// One subscriber's queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Queue {
    pub(crate) fn push(&self, event: SessionEvent) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.arrived.notify_one();
    }

    pub(crate) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.arrived.notify_all();
    }
}

/// A subscription to a session's events, from when it was made.
#[derive(Debug)]
pub struct Events(pub(crate) Arc<Queue>);

impl Events {
    /// The next event, waiting for it as long as the session lives; `None` once it is over and all
    /// has been told.
    pub fn recv(&self) -> Option<SessionEvent> {
        self.take(None)
    }

    /// The next event, waiting at most this long.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<SessionEvent> {
        self.take(Some(Instant::now() + timeout))
    }

    /// The next event if it is there already.
    pub fn try_recv(&self) -> Option<SessionEvent> {
        self.take(Some(Instant::now()))
    }

    fn take(&self, deadline: Option<Instant>) -> Option<SessionEvent> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(event) = state.pop() {
                return Some(event);
            }
            if state.ended {
                return None;
            }
            state = match deadline {
                None => self.0.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now())?;
                    let waited = self.0.arrived.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Iterator for Events {
    type Item = SessionEvent;

    fn next(&mut self) -> Option<SessionEvent> {
        self.recv()
    }
}
