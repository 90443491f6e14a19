//! What the application's threads and the session's own share.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use zk_session::client::{Cause, ClientSession, Event, HostIndex, KeeperState, Link, RawReply};
use zk_session::owned::Answer;
use zk_session::{Machine, OpError};

use super::driver;
use super::events::{Queue, SessionEvent, Transition};
use super::keeper;
use super::lead::{Lead, Reader};
use super::probe;
use super::slots::{Slots, decoded};
use crate::clock::{Clock, deadline};

pub(crate) struct Shared {
    pub(super) me: Weak<Self>,
    pub(crate) clock: Clock,
    inner: Mutex<Inner>,
    /// The state, the link or the room for requests has changed.
    pub(super) changed: Condvar,
    /// There are bytes for the writer.
    pub(super) to_write: Condvar,
    /// No application thread reads any more.
    pub(super) standby: Condvar,
}

pub(crate) struct Inner {
    pub(crate) session: ClientSession<'static>,
    pub(crate) stream: Option<Arc<Stream>>,
    /// A host is being asked whether it can write.
    pub(crate) probing: bool,
    pub(crate) slots: Slots,
    /// For whoever reads; `None` while somebody does.
    pub(super) reader: Option<Reader>,
    pub(super) lead: Lead,
    /// A thread writes what lies in the piece, and then what there is to write.
    pub(super) writing: bool,
    pub(super) piece: Vec<u8>,
    /// The session's own threads: one dials and reads, one writes.
    pub(super) has_thread: bool,
    pub(super) has_writer: bool,
    /// The application wants the session to end.
    pub(super) closing: bool,
    /// Threads that wait on `changed`.
    pub(super) watching: usize,
    /// Those of them that wait for anything but the state.
    pub(super) waiting_for_room: usize,
    /// When the keeper looks in, at the latest.
    kept: Option<Instant>,
    pub(super) audience: Audience,
}

/// Who is told what happens.
#[derive(Default)]
pub(super) struct Audience {
    subscribers: Vec<Weak<Queue>>,
    /// There is a new state, of which those who wait for it do not know yet.
    state_changed: bool,
    /// Threads whose answers have come, and that do not know yet.
    wakes: Vec<Thread>,
}

/// A connection.
pub(crate) struct Stream {
    pub(super) socket: TcpStream,
    /// Its read timeout in milliseconds, as it stands; 0 for none.
    pub(super) timeout: AtomicU64,
}

impl Shared {
    pub(crate) fn new(session: ClientSession<'static>, clock: Clock) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            clock,
            inner: Mutex::new(Inner {
                session,
                stream: None,
                probing: false,
                slots: Slots::default(),
                reader: Some(Reader::default()),
                lead: Lead::default(),
                writing: false,
                piece: Vec::new(),
                has_thread: false,
                has_writer: false,
                closing: false,
                watching: 0,
                waiting_for_room: 0,
                kept: None,
                audience: Audience::default(),
            }),
            changed: Condvar::new(),
            to_write: Condvar::new(),
            standby: Condvar::new(),
        })
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed, or so long.
    pub(crate) fn wait<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        wait: Duration,
    ) -> MutexGuard<'a, Inner> {
        inner.watching += 1;
        let waited = self.changed.wait_timeout(inner, wait);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        inner.watching -= 1;
        inner
    }

    /// Gives the session a thread of its own, unless it has one.
    pub(crate) fn adopt(&self) -> io::Result<()> {
        let mut inner = self.lock();
        let Some(shared) = self.me.upgrade().filter(|_| !inner.has_thread) else { return Ok(()) };
        let thread = thread::Builder::new().name("zk-session".to_owned());
        thread.spawn(move || driver::run(&shared))?;
        inner.has_thread = true;
        Ok(())
    }

    /// Has the keeper look in when the session's next deadline has come, for whoever tells the time
    /// may have gone to sleep before there was this deadline.
    pub(crate) fn keep_time(&self, inner: &mut Inner) {
        let Some(wait) = self.clock.until(inner.session.poll_timeout()) else { return };
        if let Err(error) = self.look_in_at(inner, deadline(wait)) {
            log::warn!("no thread to keep the time with: {error}");
        }
    }

    /// Has the keeper look in at that time.
    pub(crate) fn look_in_at(&self, inner: &mut Inner, at: Instant) -> io::Result<()> {
        if inner.kept.is_none_or(|kept| at < kept) {
            if let Some(shared) = self.me.upgrade() {
                keeper::look_after(shared, at)?;
                inner.kept = Some(at);
            }
        }
        Ok(())
    }

    /// The keeper looks in; it does not wait.
    pub(super) fn look_in(&self) {
        let mut inner = self.lock();
        inner.kept = None;
        if inner.is_over() {
            return;
        }
        if !inner.has_thread {
            drop(inner);
            let adopted = self.adopt();
            inner = self.lock();
            if let Err(error) = adopted {
                log::warn!("no thread for a session: {error}");
                let again = Instant::now() + Duration::from_millis(100);
                let _ = self.look_in_at(&mut inner, again); // there is a keeper: this is it
            }
        }
        inner = self.tell_time(inner);
        if inner.closing || !inner.slots.is_idle() {
            self.keep_time(&mut inner);
        }
    }

    /// Tells the session the time.
    pub(crate) fn tell_time<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
    ) -> MutexGuard<'a, Inner> {
        inner.session.handle_timeout(self.clock.now());
        probe::ask(self, &mut inner);
        self.deliver(inner)
    }

    /// Delivers every event there is, wakes whom they concern and sends what they have led to.
    pub(crate) fn deliver<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        inner.pull_events();
        if inner.session.poll_link() == Link::Down {
            // Whoever reads wakes up when the stream is shut down under it.
            hang_up(inner.stream.take());
        }
        if !inner.session.poll_transmit().is_empty() {
            self.write_or_leave(&mut inner);
        }
        let over = inner.session.state().is_final();
        let changed =
            std::mem::take(&mut inner.audience.state_changed) || inner.waiting_for_room > 0;
        if (changed || over) && inner.watching > 0 {
            self.changed.notify_all();
        }
        // To wake nobody is a system call as well.
        if over && inner.has_writer {
            self.to_write.notify_all();
        }
        if over && inner.has_thread {
            self.standby.notify_all();
        }
        if inner.audience.wakes.is_empty() {
            return inner;
        }
        let wakes = std::mem::take(&mut inner.audience.wakes);
        if !inner.slots.has_waiters() {
            inner.lead.give_way();
        }
        drop(inner);
        for thread in wakes {
            thread.unpark();
        }
        self.lock()
    }

    /// The transport has failed; a newer one is not touched.
    pub(crate) fn lost<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        stream: &Arc<Stream>,
    ) -> MutexGuard<'a, Inner> {
        if inner.is_current(stream) {
            inner.session.handle_disconnected(self.clock.now());
            hang_up(inner.stream.take());
        }
        self.deliver(inner)
    }
}

/// Ends a transport, under whoever uses it still.
pub(super) fn hang_up(stream: Option<Arc<Stream>>) {
    if let Some(Err(stream)) = stream.map(Arc::try_unwrap) {
        // It may be gone already: then there is nothing left to shut down.
        let _ = stream.socket.shutdown(Shutdown::Both);
    }
}

impl Inner {
    /// Whether the session is over: nothing follows, and no thread of its own stays.
    pub(super) fn is_over(&self) -> bool {
        self.session.poll_timeout().is_none()
    }

    /// Whether this is the session's transport.
    pub(crate) fn is_current(&self, stream: &Arc<Stream>) -> bool {
        self.stream.as_ref().is_some_and(|current| Arc::ptr_eq(current, stream))
    }

    /// Pulls every event and hands it to whom it concerns. Never waits for the application.
    pub(crate) fn pull_events(&mut self) {
        while self.pull_one() {}
        if self.session.state().is_final() {
            for queue in self.audience.subscribers.drain(..).filter_map(|weak| weak.upgrade()) {
                queue.end();
            }
        }
    }

    /// Pulls an event and hands it to whom it concerns; says whether there was one.
    fn pull_one(&mut self) -> bool {
        let host = self.session.current_host();
        match self.session.poll_raw() {
            None => return false,
            Some(Event::State { state, cause }) => self.changed(state, cause, host),
            Some(event) => self.audience.hear(event, &mut self.slots),
        }
        true
    }

    /// The state has changed; `host` is the one that was current before.
    #[cold]
    pub(super) fn changed(&mut self, state: KeeperState, cause: Cause, host: HostIndex) {
        let session = &self.session;
        let transition = Transition {
            state,
            cause,
            host: session.host(host).map(|h| h.to_string()).unwrap_or_default(),
            session_id: session.session_id(),
            timeout: Duration::from_millis(session.timeout().as_millis()),
            at: Instant::now(),
        };
        log::debug!("session {}: {state:?}, {cause}", transition.session_id);
        self.audience.state_changed = true;
        self.audience.publish(SessionEvent::State(transition));
    }

    /// The answer in a place, if it has come: then it is the caller's. What has come behind it is
    /// left where it will be decoded, unless others are to be told.
    pub(crate) fn take(&mut self, place: u64) -> Option<Result<Answer, OpError>> {
        loop {
            if self.slots.is_answered(place) {
                return Some(self.slots.take(place, self.session.chroot()));
            }
            let host = self.session.current_host();
            match self.session.poll_raw()? {
                Event::Reply { xid, result, .. } if self.slots.answered_to(xid, place) => {
                    let answer = decoded(result);
                    if self.is_watched() {
                        self.pull_events();
                    }
                    return Some(answer);
                }
                Event::State { state, cause } => self.changed(state, cause, host),
                event => self.audience.hear(event, &mut self.slots),
            }
        }
    }

    /// Whether anybody else waits for what comes.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        !self.audience.subscribers.is_empty() || self.slots.has_waiters() || self.watching > 0
    }

    /// Whether what has been pulled is still to be told to others.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.audience.state_changed || !self.audience.wakes.is_empty()
    }

    pub(crate) fn subscribe(&mut self) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        if self.is_over() {
            queue.end();
        }
        self.audience.subscribers.retain(|weak| weak.strong_count() > 0);
        self.audience.subscribers.push(Arc::downgrade(&queue));
        queue
    }
}

impl Audience {
    /// Tells whom it concerns.
    pub(super) fn hear(&mut self, event: Event<'_, RawReply<'_>>, slots: &mut Slots) {
        let told = match event {
            Event::Reply { xid, result, .. } => {
                self.wakes.extend(slots.answer(xid, result));
                return;
            }
            Event::Notification { kind, path } if !self.subscribers.is_empty() => {
                SessionEvent::Notification { kind, path: path.to_owned() }
            }
            Event::WatchesLost { .. } => SessionEvent::WatchesLost,
            _ => return,
        };
        self.publish(told);
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
