//! What the application's threads and the session's own two threads share.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Thread;
use std::time::Instant;

use zk_session::client::{ClientSession, Event};
use zk_session::owned::Answer;
use zk_session::{Machine, OpError};

use super::events::{Queue, SessionEvent, Transition};
use super::lead::{Lead, Reader};
use super::slots::Slots;
use crate::clock::Clock;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) inner: Mutex<Inner>,
    /// The state, the link or the room for requests has changed.
    pub(crate) changed: Condvar,
    /// There are bytes for the writer, or there is an earlier deadline.
    pub(crate) to_write: Condvar,
    /// No application thread reads any more.
    pub(super) standby: Condvar,
    /// Whoever holds this reads from the socket. Locked before `inner`.
    pub(super) reader: Mutex<Reader>,
    /// Whoever holds this writes to the socket, through this buffer.
    writer: Mutex<Vec<u8>>,
}

pub(crate) struct Inner {
    pub(crate) session: ClientSession<'static>,
    pub(crate) stream: Option<Arc<TcpStream>>,
    /// A host is being asked whether it can write.
    pub(crate) probing: bool,
    pub(crate) slots: Slots,
    pub(super) lead: Lead,
    /// Threads that wait on `changed` for anything but the state.
    pub(crate) waiting_for_room: usize,
    subscribers: Vec<Weak<Queue>>,
    wakes: Vec<Thread>,
}

impl Shared {
    pub(crate) fn new(session: ClientSession<'static>, clock: Clock) -> Self {
        Self {
            clock,
            inner: Mutex::new(Inner {
                session,
                stream: None,
                probing: false,
                slots: Slots::default(),
                lead: Lead::default(),
                waiting_for_room: 0,
                subscribers: Vec::new(),
                wakes: Vec::new(),
            }),
            changed: Condvar::new(),
            to_write: Condvar::new(),
            standby: Condvar::new(),
            reader: Mutex::default(),
            writer: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reader(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers every event there is, then lets go of the lock and wakes whom they concern.
    pub(crate) fn deliver(&self, mut inner: MutexGuard<'_, Inner>) {
        let news = inner.pull_events();
        if inner.waiting_for_room > 0 || news.state {
            self.changed.notify_all();
        }
        if !inner.session.poll_transmit().is_empty() {
            self.to_write.notify_one();
        }
        if inner.session.poll_timeout().is_none() {
            self.to_write.notify_all();
            self.changed.notify_all();
            self.standby.notify_all();
        }
        let wakes = std::mem::take(&mut inner.wakes);
        if !wakes.is_empty() && !inner.slots.has_waiters() {
            inner.lead.give_way();
        }
        drop(inner);
        for thread in wakes {
            thread.unpark();
        }
    }

    /// Writes what is to be sent, without the session's lock while the socket is busy. Whoever finds
    /// another thread at it leaves the bytes to that one.
    pub(crate) fn flush(&self) {
        // Bytes that were queued after the other's last look belong to whoever sees them first.
        while let Ok(mut buffer) = self.writer.try_lock() {
            self.write_out(&mut buffer);
            drop(buffer);
            if !self.has_output() {
                return;
            }
        }
    }

    /// As [`flush`](Self::flush), after whoever is at it: for the thread that has nothing better to
    /// do.
    pub(crate) fn flush_in_turn(&self) {
        let mut buffer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_out(&mut buffer);
    }

    fn write_out(&self, buffer: &mut Vec<u8>) {
        use std::io::Write;
        while let Some(stream) = self.take_output(buffer) {
            if (&*stream).write_all(buffer).is_err() {
                self.lost(&stream);
            }
        }
    }

    fn has_output(&self) -> bool {
        let inner = self.lock();
        inner.stream.is_some() && !inner.session.poll_transmit().is_empty()
    }

    /// Moves the session's output into the buffer; `None` if there is none or nowhere to send it.
    fn take_output(&self, buffer: &mut Vec<u8>) -> Option<Arc<TcpStream>> {
        let mut inner = self.lock();
        let stream = inner.stream.clone()?;
        let bytes = inner.session.poll_transmit();
        if bytes.is_empty() {
            return None;
        }
        buffer.clear();
        buffer.extend_from_slice(bytes);
        let now = self.clock.now();
        inner.session.handle_transmitted(now, buffer.len());
        Some(stream)
    }

    /// The transport has failed; a newer one is not touched.
    pub(crate) fn lost(&self, stream: &Arc<TcpStream>) {
        // It may be gone already: then there is nothing left to shut down.
        let _ = stream.shutdown(Shutdown::Both);
        let mut inner = self.lock();
        if inner.stream.as_ref().is_some_and(|current| Arc::ptr_eq(current, stream)) {
            let now = self.clock.now();
            inner.session.handle_disconnected(now);
            inner.stream = None;
        }
        self.deliver(inner);
    }
}

/// What a round of events brought.
#[derive(Default)]
pub(crate) struct News {
    state: bool,
}

impl Inner {
    /// Pulls every event and hands it to whom it concerns. Never waits for the application.
    pub(crate) fn pull_events(&mut self) -> News {
        let mut news = News::default();
        let mut host = self.session.current_host();
        while let Some(event) = self.session.poll_raw() {
            let told = match event {
                Event::Reply { xid, result, .. } => {
                    if let Some(thread) = self.slots.answer(xid, result) {
                        self.wakes.push(thread);
                    }
                    continue;
                }
                Event::Notification { .. } if self.subscribers.is_empty() => continue,
                Event::Notification { kind, path } => {
                    SessionEvent::Notification { kind, path: path.to_owned() }
                }
                Event::State { state, cause } => {
                    news.state = true;
                    let session = &self.session;
                    let transition = Transition {
                        state,
                        cause,
                        host: session.host(host).map(|h| h.to_string()).unwrap_or_default(),
                        session_id: session.session_id(),
                        timeout: std::time::Duration::from_millis(session.timeout().as_millis()),
                        at: Instant::now(),
                    };
                    log::debug!("session {}: {state:?}, {cause}", transition.session_id);
                    host = session.current_host();
                    SessionEvent::State(transition)
                }
                Event::WatchesLost { .. } => SessionEvent::WatchesLost,
                _ => continue,
            };
            self.publish(told);
        }
        if self.session.poll_timeout().is_none() {
            for queue in self.subscribers.drain(..).filter_map(|weak| weak.upgrade()) {
                queue.end();
            }
        }
        news
    }

    /// The answer in a place, if it is there.
    #[inline]
    pub(crate) fn take(&mut self, place: usize) -> Option<Result<Answer, OpError>> {
        self.slots.take(place, self.session.chroot())
    }

    pub(crate) fn subscribe(&mut self) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        if self.session.poll_timeout().is_none() {
            queue.end();
        }
        self.subscribers.push(Arc::downgrade(&queue));
        queue
    }

    /// Gives an event to all subscribers; the last one gets the original.
    fn publish(&mut self, event: SessionEvent) {
        self.subscribers.retain(|weak| weak.strong_count() > 0);
        let Some((last, others)) = self.subscribers.split_last() else { return };
        for queue in others.iter().filter_map(Weak::upgrade) {
            queue.push(event.clone());
        }
        if let Some(queue) = last.upgrade() {
            queue.push(event);
        }
    }
}
