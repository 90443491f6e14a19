//! Where a session's memory comes from.

use core::fmt;

use heapless::deque::Deque;

use super::{buf::Buf, queue::Queue};
use crate::client::InFlight;

/// The memory of one [`ClientSession`](crate::client::ClientSession) in fixed arrays, for a
/// `static` or a stack.
///
/// `RECV` bytes bound the largest reply, `TRANSMIT` bytes the largest request and how much can
/// wait to be sent, `REGISTRY` bytes how many watches (path length + 5 each) and credentials
/// (scheme and secret + 17 each) are remembered, and `REQUESTS` how many requests can be in flight.
pub struct Fixed<
    const RECV: usize,
    const TRANSMIT: usize,
    const REGISTRY: usize,
    const REQUESTS: usize,
> {
    recv: [u8; RECV],
    transmit: [u8; TRANSMIT],
    registry: [u8; REGISTRY],
    requests: Deque<InFlight, REQUESTS>,
}

impl<const RECV: usize, const TRANSMIT: usize, const REGISTRY: usize, const REQUESTS: usize>
    Fixed<RECV, TRANSMIT, REGISTRY, REQUESTS>
{
    /// Empty memory; usable in a `static`.
    pub const fn new() -> Self {
        Self {
            recv: [0; RECV],
            transmit: [0; TRANSMIT],
            registry: [0; REGISTRY],
            requests: Deque::new(),
        }
    }

    /// Lends the memory to a session.
    pub fn lend(&mut self) -> Storage<'_> {
        self.requests.clear();
        Storage {
            recv: Buf::Lent(&mut self.recv),
            transmit: Buf::Lent(&mut self.transmit),
            registry: Buf::Lent(&mut self.registry),
            requests: Queue::Lent(&mut self.requests),
        }
    }
}

impl<const RECV: usize, const TRANSMIT: usize, const REGISTRY: usize, const REQUESTS: usize> Default
    for Fixed<RECV, TRANSMIT, REGISTRY, REQUESTS>
{
    fn default() -> Self {
        Self::new()
    }
}

/// The contents stay out: there are passwords and credentials among them.
impl<const RECV: usize, const TRANSMIT: usize, const REGISTRY: usize, const REQUESTS: usize>
    fmt::Debug for Fixed<RECV, TRANSMIT, REGISTRY, REQUESTS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fixed<{RECV}, {TRANSMIT}, {REGISTRY}, {REQUESTS}>")
    }
}

/// The limits of owned storage, in bytes and requests. Memory is taken as it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest frame received, with its length field.
    pub recv: usize,
    /// Bytes waiting to be sent.
    pub transmit: usize,
    /// Bytes to remember watches and credentials.
    pub registry: usize,
    /// Requests in flight.
    pub requests: usize,
}

impl Default for Limits {
    /// 4 MiB received (ZooKeeper's own default is 1 MiB a frame), 4 MiB to send, 16 MiB of watches,
    /// 65,536 requests.
    fn default() -> Self {
        Self { recv: 4 << 20, transmit: 4 << 20, registry: 16 << 20, requests: 1 << 16 }
    }
}

/// The memory of one session.
pub struct Storage<'b> {
    pub(crate) recv: Buf<'b>,
    pub(crate) transmit: Buf<'b>,
    pub(crate) registry: Buf<'b>,
    pub(crate) requests: Queue<'b, InFlight>,
}

#[cfg(feature = "alloc")]
impl Storage<'static> {
    /// Memory on the heap, taken as needed up to `limits`.
    pub const fn owned(limits: Limits) -> Self {
        Self {
            recv: Buf::owned(limits.recv),
            transmit: Buf::owned(limits.transmit),
            registry: Buf::owned(limits.registry),
            requests: Queue::owned(limits.requests),
        }
    }
}

impl fmt::Debug for Storage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("recv", &self.recv.limit())
            .field("transmit", &self.transmit.limit())
            .field("registry", &self.registry.limit())
            .field("requests", &self.requests.limit())
            .finish()
    }
}
