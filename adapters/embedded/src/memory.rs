//! Memory that the caller lends to a session.

use core::fmt;

use embassy_sync::waitqueue::WakerRegistration;
use zk_session::OpError;
use zk_session::storage::{Fixed, Storage};
use zk_session::wire::Xid;

/// How many [`Events`](crate::Events) there can be at once.
pub const SUBSCRIBERS: usize = 4;

/// The most that is moved to or from a transport at once, in bytes, and the longest name of a host.
pub const CHUNK: usize = 128;

/// For a sensor: replies to 252 bytes, requests to about 160, watches of four short paths, two
/// requests at once.
pub type Tiny = Memory<256, 192, 64, 2>;

/// For most devices: replies to 1,020 bytes, requests to about 480, watches of eight paths of 27
/// bytes, four requests at once.
pub type Small = Memory<1024, 512, 256, 4>;

/// For gateways: replies to 2,044 bytes, requests to about 990, 512 bytes of watches, eight requests
/// at once.
pub type Std = Memory<2048, 1024, 512, 8>;

/// All memory of one session beside the [`Session`](crate::Session) itself, for a `static`.
///
/// The numbers are those of [`Fixed`]: `RECV` bytes bound the largest reply, `TRANSMIT` bytes the
/// largest request and how much can wait to be sent, `REGISTRY` bytes how many watches (path length
/// + 5 each) and credentials are remembered, and `REQUESTS` how many requests can wait at once.
///
/// Beside them it holds [`CHUNK`] bytes on their way to or from the transport, and `REGISTRY` bytes of
/// watch events that are not yet told: enough for one of each one-shot watch that fits the registry.
pub struct Memory<
    const RECV: usize,
    const TRANSMIT: usize,
    const REGISTRY: usize,
    const REQUESTS: usize,
> {
    fixed: Fixed<RECV, TRANSMIT, REGISTRY, REQUESTS>,
    slots: [Slot; REQUESTS],
    subscribers: [Subscriber; SUBSCRIBERS],
    events: [u8; REGISTRY],
    chunk: [u8; CHUNK],
}

/// The same, taken apart.
pub(crate) struct Lent<'b> {
    pub(crate) storage: Storage<'b>,
    pub(crate) slots: &'b mut [Slot],
    pub(crate) subscribers: &'b mut [Subscriber],
    pub(crate) events: &'b mut [u8],
    pub(crate) chunk: &'b mut [u8],
}

impl<const RECV: usize, const TRANSMIT: usize, const REGISTRY: usize, const REQUESTS: usize>
    Memory<RECV, TRANSMIT, REGISTRY, REQUESTS>
{
    /// Empty memory.
    pub const fn new() -> Self {
        Self {
            fixed: Fixed::new(),
            slots: [const { Slot::new() }; REQUESTS],
            subscribers: [const { Subscriber::new() }; SUBSCRIBERS],
            events: [0; REGISTRY],
            chunk: [0; CHUNK],
        }
    }

    pub(crate) fn lend(&mut self) -> Lent<'_> {
        self.slots.fill_with(Slot::new);
        self.subscribers.fill_with(Subscriber::new);
        Lent {
            storage: self.fixed.lend(),
            slots: &mut self.slots,
            subscribers: &mut self.subscribers,
            events: &mut self.events,
            chunk: &mut self.chunk,
        }
    }
}

impl<const RECV: usize, const TRANSMIT: usize, const REGISTRY: usize, const REQUESTS: usize> Default
    for Memory<RECV, TRANSMIT, REGISTRY, REQUESTS>
{
    fn default() -> Self {
        Self::new()
    }
}

/// The contents stay out: there are passwords and credentials among them.
impl<const RECV: usize, const TRANSMIT: usize, const REGISTRY: usize, const REQUESTS: usize>
    fmt::Debug for Memory<RECV, TRANSMIT, REGISTRY, REQUESTS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory<{RECV}, {TRANSMIT}, {REGISTRY}, {REQUESTS}>")
    }
}

/// A place for one request that somebody waits for.
pub(crate) struct Slot {
    pub(crate) wait: Wait,
    pub(crate) waker: WakerRegistration,
}

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nobody's.
    Free,
    /// Not yet taken by the session.
    Queued,
    /// Taken, and not answered.
    InFlight(Xid),
    /// Answered; the answer lies in the receive buffer.
    Held,
    /// It has no answer.
    Failed(OpError),
    /// The answer had to make room before it was fetched.
    NotTaken,
}

impl Slot {
    pub(crate) const fn new() -> Self {
        Self { wait: Wait::Free, waker: WakerRegistration::new() }
    }

    pub(crate) fn settle(&mut self, wait: Wait) {
        self.wait = wait;
        self.waker.wake();
    }
}

/// A place for one who listens to events.
pub(crate) struct Subscriber {
    /// What it was told so far; none if the place is nobody's.
    pub(crate) told: Option<Told>,
    pub(crate) waker: WakerRegistration,
}

/// What a subscriber was told so far.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    /// The number of the latest change of state.
    pub(crate) state: u16,
    /// How many new sessions there had been.
    pub(crate) sessions: u16,
    /// The number of the next event of the log.
    pub(crate) next: u32,
}

impl Subscriber {
    pub(crate) const fn new() -> Self {
        Self { told: None, waker: WakerRegistration::new() }
    }
}
