//! Who reads: the thread that waits, when it can.
//!
//! An answer that its waiter reads from the socket itself needs no other thread to be woken, which
//! takes longer than all the rest. So a thread that waits for an answer or an event reads for
//! everybody until it has what it waits for; the session's own thread does so when nobody waits, and
//! leaves the socket alone for a moment when somebody has, for whoever asks one thing at a time soon
//! asks the next. Whoever reads also tells the session the time.

use std::io::{self, Read};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use zk_session::Machine;
use zk_session::client::Link;

use super::shared::{Inner, Shared, Stream};
use super::socket::{is_wait, read_now};

/// What a read takes that waits for bytes. If that is not all that is there, the rest goes straight
/// to where the session wants it.
const FIRST_BYTES: usize = 2048;

/// How much more is read before what has come is looked at.
const MORE_BYTES: usize = 128 * 1024;

/// How long the session's own thread leaves the socket to application threads that have just read
/// from it: what comes meanwhile and nobody waits for is told that much later.
const GRACE: Duration = Duration::from_millis(1);

/// And while there are requests in flight, for whose answers their threads will come.
const LONGER_GRACE: Duration = Duration::from_millis(5);

/// How many such moments it leaves the socket to threads that ask, and take answers, and read nothing.
const PATIENCE: u8 = 8;

/// What it takes to read; whoever reads has it.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
}

/// Which threads have read.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// How often an application thread has stopped reading.
    stopped: u64,
    /// How often one has asked something.
    asked: u64,
    /// How often the session's own thread still waits for those who have asked to read as well.
    patience: u8,
    /// The session's own thread waits until nobody else reads.
    stands_by: bool,
}

impl Lead {
    /// Those who have been answered may ask again at once, and can then read for themselves.
    pub(super) const fn give_way(&mut self) {
        self.stopped = self.stopped.wrapping_add(1);
        self.patience = PATIENCE;
    }

    fn is_busy(&mut self, (stopped, asked): (u64, u64)) -> bool {
        let waits = self.asked != asked && self.patience > 0;
        self.patience -= u8::from(waits);
        waits || self.stopped != stopped
    }

    /// A request is submitted or its answer waited for: the next wait will probably read.
    #[inline]
    pub(super) const fn asks(&mut self) {
        self.asked = self.asked.wrapping_add(1);
    }
}

impl Shared {
    /// Reads for everybody until there is what the thread waits for. Gives the lock back if another
    /// thread reads, or if there is nothing to read from.
    pub(super) fn lead<'a, T>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        mut done: impl FnMut(&mut Inner) -> Option<T>,
    ) -> Result<T, MutexGuard<'a, Inner>> {
        let Some(mut reader) = inner.reader.take() else { return Err(inner) };
        let found = loop {
            if let Some(found) = done(&mut inner) {
                break Some(found);
            }
            inner = self.deliver(inner);
            let (Link::Up, Some(stream)) = (inner.session.poll_link(), inner.stream.clone()) else {
                break None;
            };
            inner = reader.turn(self, inner, &stream, Duration::MAX);
        };
        inner.reader = Some(reader);
        inner.lead.give_way();
        if inner.lead.stands_by {
            inner.lead.stands_by = false;
            self.standby.notify_one();
        }
        if inner.has_news() || inner.slots.has_waiters() {
            inner = self.step_down(inner);
        }
        found.ok_or(inner)
    }

    /// Whoever has read tells the others what has come, and leaves the socket to them.
    #[cold]
    fn step_down<'a>(&'a self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let inner = self.deliver(inner);
        let heir = inner.slots.next_waiter();
        drop(inner);
        if let Some(heir) = heir {
            heir.unpark();
        }
        self.lock()
    }

    /// The session's own thread leaves the socket alone while others read, and a moment longer;
    /// `seen` is how often they had stopped and asked when it last looked. `None` if it has waited for that,
    /// and things may have changed.
    pub(super) fn stand_by<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        seen: &mut (u64, u64),
    ) -> Option<(Reader, MutexGuard<'a, Inner>)> {
        if inner.lead.is_busy(*seen) {
            // Not to be woken at the end of each of many reads.
            *seen = (inner.lead.stopped, inner.lead.asked);
            let grace = if inner.slots.is_idle() { GRACE } else { LONGER_GRACE };
            let waited = self.standby.wait_timeout(inner, grace);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        } else if inner.reader.is_none() {
            inner.lead.stands_by = true;
            drop(self.standby.wait(inner).unwrap_or_else(PoisonError::into_inner));
        } else {
            return inner.reader.take().map(|reader| (reader, inner));
        }
        None
    }
}

impl Reader {
    /// Reads once, for no longer than the session or the caller can wait. All events have been
    /// pulled before, and are to be pulled again.
    pub(super) fn turn<'a>(
        &mut self,
        shared: &'a Shared,
        inner: MutexGuard<'a, Inner>,
        stream: &Arc<Stream>,
        patience: Duration,
    ) -> MutexGuard<'a, Inner> {
        let Some(wait) = shared.clock.until(inner.session.poll_timeout()) else { return inner };
        if wait.is_zero() {
            return shared.tell_time(inner);
        }
        let wait = wait.min(patience);
        drop(inner);
        if self.buffer.is_empty() {
            self.buffer = vec![0; FIRST_BYTES];
        }
        let read = stream.set_wait(wait).and_then(|()| (&stream.socket).read(&mut self.buffer));
        let mut inner = shared.lock();
        match read {
            Ok(n) if n > 0 => {
                if inner.is_current(stream) {
                    let bytes = self.buffer.get(..n).unwrap_or_default();
                    inner.receive(shared, bytes);
                    if n == self.buffer.len() {
                        inner.receive_more(shared, stream);
                    }
                }
                inner
            }
            Err(error) if is_wait(&error) => {
                // An idle session does without memory for more.
                if inner.slots.is_idle() {
                    self.buffer = Vec::new();
                    inner.give_back();
                }
                inner
            }
            _ => shared.lost(inner, stream),
        }
    }
}

impl Stream {
    /// Keeps the socket's read timeout at or below the wait. It is set a little short, and left
    /// alone while it will do, so that a busy connection costs no system call for it.
    fn set_wait(&self, wait: Duration) -> io::Result<()> {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        let set = self.timeout.load(Relaxed);
        if set != 0 && set <= wait && set >= wait / 4 {
            return Ok(());
        }
        // The first wait, for the handshake, is longer than those that follow it.
        let set = if set == 0 { wait / 4 } else { wait - wait / 4 }.max(1);
        self.socket.set_read_timeout(Some(Duration::from_millis(set)))?;
        self.timeout.store(set, Relaxed);
        Ok(())
    }
}

impl Inner {
    /// Bytes have come.
    fn receive(&mut self, shared: &Shared, mut bytes: &[u8]) {
        let now = shared.clock.now();
        while !bytes.is_empty() && self.session.poll_link() == Link::Up {
            let taken = self.session.handle_bytes(now, bytes);
            if taken < bytes.len() {
                self.pull_events();
            }
            if taken == 0 {
                return;
            }
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// More bytes are probably there.
    fn receive_more(&mut self, shared: &Shared, stream: &Stream) {
        let mut left = MORE_BYTES;
        while left > 0 && self.session.poll_link() == Link::Up {
            let room = self.session.poll_io().recv;
            let wanted = room.len();
            // What ends the stream is found again by the next read that waits.
            let n = match read_now(&stream.socket, room) {
                Ok(n) if n > 0 => n,
                _ => return,
            };
            self.session.handle_received(shared.clock.now(), n);
            if n < wanted {
                return;
            }
            left = left.saturating_sub(n);
        }
    }

    fn give_back(&mut self) {
        self.session.shrink();
        self.slots.shrink();
        self.piece = Vec::new();
    }
}
