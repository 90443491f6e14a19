//! Session and watch events, as a queue of their own for each subscriber.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{EventType, SessionId};

use super::shared::{Inner, Shared};
use crate::clock::deadline;

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
    /// Threads that wait for an event without reading themselves.
    waiting_threads: usize,
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

    /// The next event, or that there will be none; `None` if there is none yet.
    fn next(&mut self) -> Option<Option<SessionEvent>> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(Some(event));
        }
        if self.missed > 0 {
            return Some(Some(SessionEvent::Missed(std::mem::take(&mut self.missed))));
        }
        match self.last.take() {
            Some(change) => Some(Some(SessionEvent::State(change))),
            None => self.ended.then_some(None),
        }
    }
}

/// One subscriber's queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Option<SessionEvent>> {
        self.lock().next()
    }

    pub(crate) fn push(&self, event: SessionEvent) {
        let mut state = self.lock();
        state.push(event);
        // To wake nobody is a system call as well.
        if state.waiting_threads > 0 {
            self.arrived.notify_one();
        }
    }

    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.arrived.notify_all();
    }
}

/// A subscription to a session's events, from when it was made.
///
/// [`recv`](Self::recv) reads for itself and has an event as soon as it arrives. Where it is looked for
/// otherwise, the session's own thread reads, which leaves the socket to threads that use the client at
/// that time: a millisecond as a rule, some 40 while requests are submitted and no answer is waited for.
pub struct Events {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { queue: shared.lock().subscribe(), shared: shared.clone() }
    }

    /// The next event, waiting for it as long as the session lives; `None` once it is over and all
    /// has been told.
    pub fn recv(&self) -> Option<SessionEvent> {
        if let Some(told) = self.queue.next() {
            return told;
        }
        // What this thread reads comes to its queue as well.
        let next = |inner: &mut Inner| {
            inner.pull_events();
            self.queue.next()
        };
        match self.shared.lead(self.shared.lock(), next) {
            Ok(told) => return told,
            Err(inner) => drop(inner),
        }
        self.take(None)
    }

    /// The next event, waiting at most this long.
    pub fn recv_timeout(&self, timeout: Duration) -> Option<SessionEvent> {
        self.take(Some(deadline(timeout)))
    }

    /// The next event if it is there already.
    pub fn try_recv(&self) -> Option<SessionEvent> {
        self.queue.next().flatten()
    }

    fn take(&self, deadline: Option<Instant>) -> Option<SessionEvent> {
        let mut state = self.queue.lock();
        state.waiting_threads += 1;
        let told = loop {
            if let Some(told) = state.next() {
                break told;
            }
            let arrived = &self.queue.arrived;
            state = match deadline {
                None => arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                        break None;
                    };
                    let waited = arrived.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        state.waiting_threads -= 1;
        told
    }
}

impl Iterator for Events {
    type Item = SessionEvent;

    fn next(&mut self) -> Option<SessionEvent> {
        self.recv()
    }
}
