//! A watch: a stream of what happens to what is watched, and to the session meanwhile.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use zk_session::client::{KeeperState, WatchKind};
use zk_session::path;
use zk_session::wire::EventType;
use zk_session::{ErrorCode, OpError};

use crate::shared::Shared;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// What is watched has changed.
    Changed {
        /// What happened.
        kind: EventType,
        /// To which znode, as the client that set the watch names it.
        path: Arc<str>,
    },
    /// The session's state has changed. While it is `Disconnected` changes are not told; once it is
    /// `SyncConnected` again the watch is armed again, and what was missed is told. A final state
    /// (`Expired`, `Closed`, `AuthFailed`) is the watch's last event.
    State(KeeperState),
    /// So many events were not kept, as too many waited to be read: look at the znodes again. The
    /// last state among them follows.
    Missed(u64),
    /// The server refused to register the watch again after a reconnect: it is gone, and must be
    /// set again. The last event.
    Lost,
}

#[derive(Debug)]
struct Inner {
    /// The oldest event, unless it is among those behind it. A one-shot watch has hardly ever more.
    first: Option<WatchEvent>,
    behind: Option<Box<Behind>>,
    limit: usize,
    ended: bool,
    waker: Option<Waker>,
}

/// The events behind the first, and those that were not kept.
#[derive(Debug, Default)]
struct Behind {
    waiting: VecDeque<WatchEvent>,
    missed: u64,
    /// The last state that came when there was no room. Until it and the count are told nothing else
    /// is queued, so that both keep their place.
    last: Option<KeeperState>,
}

impl Behind {
    fn push(&mut self, event: WatchEvent, room: usize) {
        if self.waiting.len() < room && self.missed == 0 && self.last.is_none() {
            self.waiting.push_back(event);
        } else if let WatchEvent::State(state) = event {
            self.missed += u64::from(self.last.replace(state).is_some());
        } else {
            self.missed += 1;
        }
    }

    fn pop(&mut self) -> Option<WatchEvent> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        if self.missed > 0 {
            return Some(WatchEvent::Missed(std::mem::take(&mut self.missed)));
        }
        self.last.take().map(WatchEvent::State)
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.missed == 0 && self.last.is_none()
    }
}

impl Inner {
    fn push(&mut self, event: WatchEvent) -> Option<Waker> {
        if self.first.is_none() && self.behind.as_ref().is_none_or(|behind| behind.is_empty()) {
            self.first = Some(event);
        } else {
            let room = self.limit.saturating_sub(usize::from(self.first.is_some()));
            self.behind.get_or_insert_default().push(event, room);
        }
        self.waker.take()
    }

    fn pop(&mut self) -> Option<WatchEvent> {
        self.first.take().or_else(|| self.behind.as_mut()?.pop())
    }
}

/// What the session and one watch share, from when it is wished for.
#[derive(Debug)]
pub(crate) struct Queue {
    /// What is watched, as the session names it.
    path: Arc<str>,
    /// Armed by success.
    on_success: WatchKind,
    /// Armed by the server's word that there is no such znode.
    on_no_node: Option<WatchKind>,
    inner: Mutex<Inner>,
}

impl Queue {
    /// At most `limit` events wait, and at least one.
    pub(crate) fn new(
        path: Arc<str>,
        (on_success, on_no_node): (WatchKind, Option<WatchKind>),
        limit: usize,
    ) -> Self {
        let inner = Inner { first: None, behind: None, limit, ended: false, waker: None };
        Self { path, on_success, on_no_node, inner: Mutex::new(inner) }
    }

    pub(crate) const fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// The kind of watch that success arms.
    pub(crate) const fn on_success(&self) -> WatchKind {
        self.on_success
    }

    /// The kind of watch that such an answer arms.
    pub(crate) const fn armed<T>(&self, result: &Result<T, OpError>) -> Option<WatchKind> {
        match result {
            Ok(_) => Some(self.on_success),
            Err(OpError::Server(ErrorCode::NoNode)) => self.on_no_node,
            Err(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is watched has changed; `last`: that uses the watch up.
    pub(crate) fn fire(&self, kind: EventType, path: &Arc<str>, last: bool) -> Option<Waker> {
        let mut inner = self.lock();
        inner.ended |= last;
        inner.push(WatchEvent::Changed { kind, path: path.clone() })
    }

    pub(crate) fn push(&self, event: WatchEvent) -> Option<Waker> {
        self.lock().push(event)
    }

    pub(crate) fn end(&self) -> Option<Waker> {
        let mut inner = self.lock();
        inner.ended = true;
        inner.waker.take()
    }
}

/// A watch that is armed: a [`Stream`] of [`WatchEvent`]s in the order in which they happened.
///
/// A one-shot watch ends after the change it waits for, a persistent one with the session. Dropping
/// a watch removes it, on the server too. A watch does not keep the session open.
///
/// At most [1,024](crate::Call::buffer) events wait for a slow reader, further ones are counted
/// ([`WatchEvent::Missed`]); a flood of events holds nothing else up.
#[derive(Debug)]
pub struct Watch {
    queue: Arc<Queue>,
    shared: Weak<Shared>,
    /// What the client that set the watch calls `/`.
    view: Option<Arc<str>>,
}

impl Watch {
    /// As seen from below `view`.
    pub(crate) const fn new(
        queue: Arc<Queue>,
        shared: Weak<Shared>,
        view: Option<Arc<str>>,
    ) -> Self {
        Self { queue, shared, view }
    }

    /// The path that is watched, as the client that set the watch names it.
    pub fn path(&self) -> &str {
        let view = self.view.as_deref().unwrap_or_default();
        path::below(&self.queue.path, view).unwrap_or(&self.queue.path)
    }

    /// The next event; `None` once the watch is over and all has been told. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Option<WatchEvent> {
        let event = self.queue.lock().pop();
        event.map(|event| self.seen(event))
    }

    /// Waits for the next change of what is watched, whatever happens to the connection meanwhile.
    /// `None` if there will be none: the session is over, or the watch is.
    pub async fn changed(&mut self) -> Option<(EventType, Arc<str>)> {
        loop {
            if let WatchEvent::Changed { kind, path } = self.next().await? {
                return Some((kind, path));
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        let mut inner = self.queue.lock();
        if let Some(event) = inner.pop() {
            drop(inner);
            return Poll::Ready(Some(self.seen(event)));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        match &mut inner.waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            other => *other = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn seen(&self, event: WatchEvent) -> WatchEvent {
        match (event, &self.view) {
            (WatchEvent::Changed { kind, path: whole }, Some(view)) => {
                let own = path::below(&whole, view).map_or_else(|| whole.clone(), Arc::from);
                WatchEvent::Changed { kind, path: own }
            }
            (event, _) => event,
        }
    }
}

impl Stream for Watch {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.poll(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.queue.lock().ended {
            // Used up: nothing is to be removed.
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().unwatch(&self.queue);
        }
    }
}
