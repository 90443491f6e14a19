//! What every endpoint's byte and clock side has in common, for drivers and for tests.

use core::fmt;

use crate::time::Instant;

/// Both halves of a machine's buffers in one borrow, for a driver that reads and writes at once.
pub struct Io<'a> {
    /// Free room for received bytes. Never empty while the link is up and all events are pulled,
    /// so that a read of 0 bytes means end of stream.
    pub recv: &'a mut [u8],
    /// Bytes to send; empty if there is nothing to send.
    pub transmit: &'a [u8],
}

/// How many bytes there are; not which, for a handshake holds the session's password.
impl fmt::Debug for Io<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recv, transmit } = self;
        f.debug_struct("Io").field("recv", &recv.len()).field("transmit", &transmit.len()).finish()
    }
}

/// The byte and clock methods of an endpoint.
///
/// Inputs (`handle_*`) are total: any bytes, any time, any order. A clock that runs backwards is
/// clamped. Views (`poll_*` with `&self`, and [`poll_io`](Machine::poll_io)) answer the same until
/// the next input, provided that all events have been pulled.
pub trait Machine {
    /// `n` bytes now lie at the start of [`Io::recv`]; more than there is room for is clamped.
    fn handle_received(&mut self, now: Instant, n: usize);
    /// The first `n` bytes of [`poll_transmit`](Machine::poll_transmit) have left.
    fn handle_transmitted(&mut self, now: Instant, n: usize);
    /// End of stream, reset, or a failed dial.
    fn handle_disconnected(&mut self, now: Instant);
    /// It is `now`; calling early or often is harmless.
    fn handle_timeout(&mut self, now: Instant);
    /// Bytes to send; empty if there is nothing to send.
    fn poll_transmit(&self) -> &[u8];
    /// When to call [`handle_timeout`](Machine::handle_timeout) next; `None`: nothing is awaited.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Room for received bytes and bytes to send.
    fn poll_io(&mut self) -> Io<'_>;

    /// Takes received bytes by copy; returns how many fitted. Offer the rest again after pulling
    /// events.
    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let room = self.poll_io().recv;
        let n = room.len().min(bytes.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), bytes.get(..n)) {
            to.copy_from_slice(from);
        }
        self.handle_received(now, n);
        n
    }

    /// Sorts a read into [`Io::recv`] into received bytes, end of stream (`Ok(0)`) or loss.
    fn handle_read<E>(&mut self, now: Instant, read: Result<usize, E>) {
        match read {
            Ok(0) | Err(_) => self.handle_disconnected(now),
            Ok(n) => self.handle_received(now, n),
        }
    }

    /// Sorts a write of [`Io::transmit`] into transmitted bytes or loss.
    fn handle_write<E>(&mut self, now: Instant, write: Result<usize, E>) {
        match write {
            Ok(0) | Err(_) => self.handle_disconnected(now),
            Ok(n) => self.handle_transmitted(now, n),
        }
    }
}
