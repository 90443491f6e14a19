//! The session's states: each change with its cause, for whoever wants none of them lost.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::watch;
use tokio::time::Instant;
use zk_session::client::{Cause, KeeperState, Why};
use zk_session::wire::SessionId;

/// A change of the session's state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// Its place among the session's transitions, from 1: a gap tells how many a subscriber missed
    /// that let [more than 4,096](Transitions) wait.
    pub number: u64,
    /// What the state is now.
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
    /// What the operating system, or a layer such as TLS, said when the connection was lost or the
    /// last attempt at one failed; none if it said nothing, or is of no concern any more.
    pub detail: Option<Arc<str>>,
    pub(crate) why: Option<Why>,
}

impl Transition {
    /// The cause with the clocks of that moment; its `Display` is one line for a log.
    pub const fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }
}

/// How many transitions wait for a subscriber.
const KEPT: usize = 4096;

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Transition>,
    waker: Option<Waker>,
    ended: bool,
}

/// What the session and one subscriber share.
#[derive(Debug, Default)]
pub(crate) struct Subscriber(Mutex<Queue>);

impl Subscriber {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a transition, the oldest giving way; returns whom to wake.
    pub(crate) fn push(&self, transition: Transition) -> Option<Waker> {
        let mut queue = self.lock();
        if queue.waiting.len() >= KEPT {
            queue.waiting.pop_front();
        }
        queue.waiting.push_back(transition);
        queue.waker.take()
    }

    pub(crate) fn end(&self) -> Option<Waker> {
        let mut queue = self.lock();
        queue.ended = true;
        queue.waker.take()
    }
}

/// Who is told of the session's states.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    latest: Option<watch::Sender<KeeperState>>,
    subscribers: Vec<Weak<Subscriber>>,
    /// Futures that look at the state themselves, by their numbers.
    lookers: Vec<(u64, Waker)>,
}

impl Listeners {
    /// The latest state, as a channel; `now`: what it is.
    pub(crate) fn watch_state(&mut self, now: KeeperState) -> watch::Receiver<KeeperState> {
        self.latest.get_or_insert_with(|| watch::Sender::new(now)).subscribe()
    }

    pub(crate) fn subscribe(&mut self) -> Arc<Subscriber> {
        let subscriber = Arc::default();
        self.subscribers.retain(|weak| weak.strong_count() > 0);
        self.subscribers.push(Arc::downgrade(&subscriber));
        subscriber
    }

    /// A future is to be woken when the state changes; its number, the one that it has if there is.
    pub(crate) fn look(&mut self, number: Option<u64>, waker: &Waker) -> u64 {
        let known = self.lookers.iter_mut().find(|(known, _)| Some(*known) == number);
        if let Some((number, known)) = known {
            known.clone_from(waker);
            return *number;
        }
        // Some keep theirs that are no longer here.
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        self.lookers.push((number, waker.clone()));
        number
    }

    /// A future waits no longer.
    pub(crate) fn look_away(&mut self, number: u64) {
        self.lookers.retain(|(known, _)| *known != number);
    }

    /// What the state is now; adds whom to wake. Whether there are subscribers to
    /// [tell](Self::tell) more.
    pub(crate) fn show(&mut self, state: KeeperState, wakes: &mut Vec<Waker>) -> bool {
        wakes.extend(self.lookers.drain(..).map(|(_, waker)| waker));
        if let Some(latest) = &self.latest {
            latest.send_replace(state);
        }
        !self.subscribers.is_empty()
    }

    /// Tells the subscribers; adds whom to wake.
    pub(crate) fn tell(&mut self, transition: &Transition, wakes: &mut Vec<Waker>) {
        self.subscribers.retain(|weak| {
            let Some(subscriber) = weak.upgrade() else { return false };
            wakes.extend(subscriber.push(transition.clone()));
            true
        });
    }

    /// Nothing follows; those of the channel learn it from its end.
    pub(crate) fn end(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.lookers.drain(..).map(|(_, waker)| waker));
        for subscriber in self.subscribers.drain(..).filter_map(|weak| weak.upgrade()) {
            wakes.extend(subscriber.end());
        }
    }

    /// Whether nobody listens.
    pub(crate) fn is_unused(&self) -> bool {
        self.lookers.is_empty()
            && self.latest.as_ref().is_none_or(|latest| latest.receiver_count() == 0)
            && self.subscribers.iter().all(|weak| weak.strong_count() == 0)
    }
}

/// Every change of the session's state from the subscription on, in order. A [`Stream`].
///
/// 4,096 transitions wait for a slow reader before the oldest give way; [`Transition::number`] shows
/// the gap.
#[derive(Debug)]
pub struct Transitions(pub(crate) Arc<Subscriber>);

impl Transitions {
    /// The next transition; `None` once the session is over and all has been told. Dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<Transition> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        let mut queue = self.0.lock();
        if let Some(transition) = queue.waiting.pop_front() {
            return Poll::Ready(Some(transition));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Stream for Transitions {
    type Item = Transition;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        self.poll(cx)
    }
}
