//! Who reads: the thread that waits, when it can.
//!
//! An answer that its waiter reads from the socket itself needs no other thread to be woken, which
//! takes longer than all the rest. So a thread that waits for an answer or an event reads for
//! everybody until it has what it waits for; the session's own reader does so when nobody waits, and
//! leaves the socket alone for a moment when somebody has, for whoever asks one thing at a time soon
//! asks the next.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use zk_session::Machine;
use zk_session::client::Link;

use super::shared::{Inner, Shared};

/// What one read takes at the most.
const READ_BYTES: usize = 64 * 1024;

/// How long the session's own reader leaves the socket to application threads that have just read
/// from it: what comes meanwhile and nobody waits for is told that much later.
const GRACE: Duration = Duration::from_millis(1);

/// Whoever holds it reads.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    /// The socket's read timeout as it stands.
    wait: Option<Duration>,
}

/// Which threads have read.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// An application thread reads.
    reading: bool,
    /// How often one has stopped reading.
    stopped: u64,
    /// The session's own reader waits until nobody else reads.
    stands_by: bool,
}

impl Lead {
    /// Those who have been answered may ask again at once, and can then read for themselves.
    pub(super) const fn give_way(&mut self) {
        self.stopped = self.stopped.wrapping_add(1);
    }
}

impl Shared {
    /// Reads for everybody until there is what the thread waits for; `None` if another thread reads
    /// or there is nothing to read from.
    pub(super) fn lead<T>(&self, mut done: impl FnMut(&mut Inner) -> Option<T>) -> Option<T> {
        let mut reader = self.reader.try_lock().ok()?;
        let mut inner = self.lock();
        inner.lead.reading = true;
        let found = loop {
            let found = done(&mut inner);
            if found.is_some() {
                break found;
            }
            let wait = self.clock.until(inner.session.poll_timeout());
            let (Link::Up, Some(stream), Some(wait)) =
                (inner.session.poll_link(), inner.stream.clone(), wait)
            else {
                break None;
            };
            drop(inner);
            reader.turn(self, &stream, wait);
            inner = self.lock();
        };
        inner.lead.reading = false;
        inner.lead.give_way();
        let stands_by = std::mem::take(&mut inner.lead.stands_by);
        let heir = inner.slots.next_waiter();
        // In this order: a thread that comes to wait from now on finds that it can read itself.
        drop(reader);
        drop(inner);
        if let Some(heir) = heir {
            heir.unpark();
        }
        if stands_by {
            self.standby.notify_one();
        }
        found
    }

    /// The session's own reader leaves the socket alone while others read, and a moment longer;
    /// `seen` is how often they had stopped when it last looked. `None` if it has waited for that,
    /// and things may have changed.
    pub(super) fn stand_by<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        seen: &mut u64,
    ) -> Option<MutexGuard<'a, Inner>> {
        if inner.lead.reading {
            inner.lead.stands_by = true;
            drop(self.standby.wait(inner).unwrap_or_else(PoisonError::into_inner));
        } else if inner.lead.stopped != *seen {
            *seen = inner.lead.stopped;
            let waited = self.standby.wait_timeout(inner, GRACE);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        } else {
            return Some(inner);
        }
        None
    }
}

impl Reader {
    /// There is a new socket.
    pub(super) fn renew(&mut self) {
        self.wait = None;
    }

    /// Reads once, and delivers what that brings.
    pub(super) fn turn(&mut self, shared: &Shared, stream: &Arc<TcpStream>, wait: Duration) {
        if self.set_wait(stream, wait).is_err() {
            return shared.lost(stream);
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; READ_BYTES];
        }
        match (&**stream).read(&mut self.buffer) {
            Ok(0) => shared.lost(stream),
            Ok(n) => receive(shared, stream, self.buffer.get(..n).unwrap_or_default()),
            Err(error) if is_wait(&error) => self.give_back(shared),
            Err(_) => shared.lost(stream),
        }
    }

    /// Nothing has come for a while: an idle session does without memory for more.
    fn give_back(&mut self, shared: &Shared) {
        self.buffer = Vec::new();
        let mut inner = shared.lock();
        if inner.slots.is_idle() {
            inner.session.shrink();
            inner.slots.shrink();
        }
    }

    /// Keeps the socket's timeout at or below the wait. It is set a little short, and left alone
    /// while it will do, so that a busy connection costs no system call for it.
    fn set_wait(&mut self, stream: &TcpStream, wait: Duration) -> io::Result<()> {
        let wait = wait.max(Duration::from_millis(1));
        if self.wait.is_some_and(|set| set <= wait && set >= wait / 4) {
            return Ok(());
        }
        let set = (wait * 3 / 4).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(set))?;
        self.wait = Some(set);
        Ok(())
    }
}

fn receive(shared: &Shared, stream: &Arc<TcpStream>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut inner = shared.lock();
        if !inner.stream.as_ref().is_some_and(|current| Arc::ptr_eq(current, stream)) {
            return;
        }
        let now = shared.clock.now();
        let taken = inner.session.handle_bytes(now, bytes);
        let over = inner.session.poll_link() != Link::Up;
        shared.deliver(inner);
        if over || taken == 0 {
            return;
        }
        bytes = bytes.get(taken..).unwrap_or_default();
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
