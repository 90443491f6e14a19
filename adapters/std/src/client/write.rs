//! Who writes: the thread that has something to send, unless another is at it.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;

use zk_session::Machine;

use super::shared::{Inner, Shared};
use super::socket::{is_wait, write_now};

/// Output that a pipeline gathers before it sends some: more would not stay in the processor's cache
/// until the socket takes it.
const GATHERED: usize = 256 * 1024;

/// How much output is worth to be copied, so that others do not wait for the lock while it is sent.
const PIECE: usize = 16 * 1024;

impl Shared {
    /// Writes what is to be sent. Whoever finds another thread at it leaves the bytes to that one.
    pub(crate) fn flush(&self) {
        drop(self.write_out(self.lock()));
    }

    /// As [`flush`](Self::flush), by whoever holds the lock, which others can have while the socket
    /// is busy.
    pub(crate) fn write_out<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
    ) -> MutexGuard<'a, Inner> {
        loop {
            if inner.session.poll_transmit().len() > PIECE {
                self.write_straight(&mut inner);
            }
            if inner.writing || inner.session.poll_transmit().is_empty() {
                return inner;
            }
            let Some(stream) = inner.stream.clone() else { return inner };
            let mut piece = std::mem::take(&mut inner.piece);
            piece.clear();
            let bytes = inner.session.poll_transmit();
            piece.extend_from_slice(bytes.get(..PIECE).unwrap_or(bytes));
            inner.session.handle_transmitted(self.clock.now(), piece.len());
            inner.writing = true;
            drop(inner);
            let written = (&stream.socket).write_all(&piece);
            inner = self.lock();
            inner.writing = false;
            inner.piece = piece;
            if inner.waiting_for_room > 0 {
                self.changed.notify_all();
            }
            if written.is_err() {
                inner = self.lost(inner, &stream);
            }
        }
    }

    /// Writes at once if a request is the first of those in flight; others follow together with the
    /// next wait or the next answer.
    pub(crate) fn write_first<'a>(&'a self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        if inner.slots.has_one() { self.write_out(inner) } else { inner }
    }

    /// Writes what has gathered, as far as the socket takes it at once.
    #[inline]
    pub(crate) fn write_gathered(&self, inner: &mut Inner) {
        if inner.session.poll_transmit().len() >= GATHERED {
            self.write_straight(inner);
        }
    }

    /// Writes as much as the socket takes at once, without a copy.
    pub(crate) fn write_straight(&self, inner: &mut Inner) {
        while let (false, Some(stream)) = (inner.writing, &inner.stream) {
            let bytes = inner.session.poll_transmit();
            if bytes.is_empty() {
                return;
            }
            match write_now(&stream.socket, bytes) {
                Ok(n) => inner.session.handle_transmitted(self.clock.now(), n),
                Err(error) if is_wait(&error) => return,
                Err(_) => {
                    // Whoever reads is told, after what has still arrived.
                    let _ = stream.socket.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }

    /// Sends what there is, by a thread that has other things to do than to wait for the socket.
    pub(crate) fn write_or_leave(&self, inner: &mut Inner) {
        self.write_straight(inner);
        let left = !inner.session.poll_transmit().is_empty();
        if !left || inner.writing || inner.stream.is_none() {
            return;
        }
        if inner.has_writer {
            self.to_write.notify_one();
        } else if let Some(shared) = self.me.upgrade() {
            let thread = thread::Builder::new().name("zk-session-write".to_owned());
            match thread.spawn(move || write_loop(&shared)) {
                Ok(_) => inner.has_writer = true,
                // It is tried again when there is more to send, or time to.
                Err(error) => log::warn!("no thread to write with: {error}"),
            }
        }
    }
}

/// Writes what other threads leave, until the session is over.
fn write_loop(shared: &Arc<Shared>) {
    let mut inner = shared.lock();
    loop {
        inner = shared.write_out(inner);
        if inner.is_over() {
            return;
        }
        inner = shared.to_write.wait(inner).unwrap_or_else(PoisonError::into_inner);
    }
}
