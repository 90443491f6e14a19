//! A watch: a stream of what happens to what is watched, and to the session meanwhile.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use zk_session::client::KeeperState;
use zk_session::path;
use zk_session::wire::EventType;

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
    waiting: VecDeque<WatchEvent>,
    limit: usize,
    missed: u64,
    /// The last state that came when there was no room. Until it and the count are told nothing else
    /// is queued, so that both keep their place.
    last: Option<KeeperState>,
    ended: bool,
    waker: Option<Waker>,
}

impl Inner {
    fn push(&mut self, event: WatchEvent) -> Option<Waker> {
        if self.waiting.len() < self.limit && self.missed == 0 && self.last.is_none() {
            self.waiting.push_back(event);
        } else if let WatchEvent::State(state) = event {
            self.missed += u64::from(self.last.replace(state).is_some());
        } else {
            self.missed += 1;
        }
        self.waker.take()
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
}

/// What the session and one watch share.
#[derive(Debug)]
pub(crate) struct Queue {
    /// What is watched, as the session names it.
    path: Arc<str>,
    inner: Mutex<Inner>,
}

impl Queue {
    pub(crate) fn new(path: Arc<str>, limit: usize) -> Self {
        let (waiting, missed, last, ended, waker) = (VecDeque::new(), 0, None, false, None);
        Self { path, inner: Mutex::new(Inner { waiting, limit, missed, last, ended, waker }) }
    }

    pub(crate) const fn path(&self) -> &Arc<str> {
        &self.path
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fire(&self, kind: EventType, path: &Arc<str>) -> Option<Waker> {
        self.push(WatchEvent::Changed { kind, path: path.clone() })
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
    pub(crate) const fn new(queue: Arc<Queue>, shared: Weak<Shared>) -> Self {
        Self { queue, shared, view: None }
    }

    /// As seen from below `view`.
    pub(crate) fn seen_from(mut self, view: Option<Arc<str>>) -> Self {
        self.view = view;
        self
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
        if let Some(shared) = self.shared.upgrade() {
            shared.unwatch(&self.queue);
        }
    }
}
