//! The session as all tasks see it.

use core::cell::RefCell;
use core::fmt;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use zk_session::client::{
    Cause, ClientConfig, ExportError, HostIndex, KeeperState, TicketContents,
};
use zk_session::wire::{SessionId, Zxid};
use zk_session::{ConfigError, DisconnectReason, Duration, Instant, Machine};

use crate::driver::Driver;
use crate::state::{State, Wish};
use crate::{Clock, Dial, DialError, Error, Events, Memory};

/// One ZooKeeper session, shared by all tasks: put it in a `static`, [open](Session::open) it with
/// memory, let one task [drive](Session::driver) it and any others call its methods.
///
/// `M` guards it: `CriticalSectionRawMutex` for tasks on any executors, `ThreadModeRawMutex` or
/// `NoopRawMutex` for those of one executor, which masks no interrupts. The lock is held for one
/// frame's work at a time, never across an `await`.
///
/// All requests wait until a server is connected, go out in the order in which they were first
/// polled, and are never sent twice. Each is safe to drop at any time: what was sent may happen, the
/// answer is stepped over, the place is free again, and the session goes on.
pub struct Session<'b, M: RawMutex> {
    state: Mutex<M, RefCell<Place<State<'b>>>>,
}

/// An option whose nothing is zeros: a `static` session takes no flash for what it begins with, as
/// `None` would if the compiler chose some other number for it.
#[repr(u8)]
enum Place<T> {
    Empty = 0,
    Taken(T) = 1,
}

impl<T> Place<T> {
    const fn as_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Empty => None,
            Self::Taken(value) => Some(value),
        }
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct End {
    /// Its last state.
    pub state: KeeperState,
    /// Why.
    pub cause: Cause,
}

/// Why a session was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OpenError {
    /// It is open already. A new session after the end of this one is
    /// [`Driver::reopen`](crate::Driver::reopen)'s.
    AlreadyOpen,
    /// It cannot be set up as asked.
    Config(ConfigError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyOpen => f.write_str("the session is open already"),
            Self::Config(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for OpenError {}

impl<'b, M: RawMutex> Session<'b, M> {
    /// A session without memory.
    pub const fn new() -> Self {
        Self { state: Mutex::new(RefCell::new(Place::Empty)) }
    }

    /// Sets the session up. It connects as soon as it is [driven](Self::driver).
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed then.
    pub fn open<const R: usize, const T: usize, const G: usize, const Q: usize>(
        &self,
        config: ClientConfig<'b>,
        memory: &'b mut Memory<R, T, G, Q>,
        now: Instant,
    ) -> Result<(), OpenError> {
        self.set_up(|| State::new(config, memory.lend(), None, now))
    }

    /// As [`open`](Self::open), going on with the session of a [ticket](Self::ticket).
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed then.
    pub fn resume<const R: usize, const T: usize, const G: usize, const Q: usize>(
        &self,
        config: ClientConfig<'b>,
        memory: &'b mut Memory<R, T, G, Q>,
        ticket: &[u8],
        now: Instant,
    ) -> Result<(), OpenError> {
        self.set_up(|| State::new(config, memory.lend(), Some(ticket), now))
    }

    fn set_up(
        &self,
        make: impl FnOnce() -> Result<State<'b>, ConfigError>,
    ) -> Result<(), OpenError> {
        self.state.lock(|cell| {
            let mut place = cell.try_borrow_mut().map_err(|_| OpenError::AlreadyOpen)?;
            if place.as_mut().is_some() {
                return Err(OpenError::AlreadyOpen);
            }
            *place = Place::Taken(make().map_err(OpenError::Config)?);
            Ok(())
        })
    }

    /// The one who moves the session's bytes and tells it the time.
    ///
    /// # Errors
    /// [`Error::NotOpen`]; [`Error::NoPlace`] if there is a driver already.
    pub fn driver<'d, D: Dial, C: Clock>(
        &'d self,
        dial: &'d D,
        time: C,
    ) -> Result<Driver<'d, 'b, M, D, C>, Error> {
        let chunk = self.with(|state| state.chunk.take()).ok_or(Error::NotOpen)?;
        Ok(Driver::new(self, dial, time, chunk.ok_or(Error::NoPlace)?))
    }

    /// A subscription to what happens from now on, beginning with the state that is.
    ///
    /// # Errors
    /// [`Error::NotOpen`]; [`Error::NoPlace`] beyond [`SUBSCRIBERS`](crate::SUBSCRIBERS).
    pub fn events(&self) -> Result<Events<'_, 'b, M>, Error> {
        let place = self.with(State::subscribe).ok_or(Error::NotOpen)?.ok_or(Error::NoPlace)?;
        Ok(Events::new(self, place))
    }

    /// Asks for the end of the session: its ephemeral znodes go at once. The driver returns when the
    /// ensemble has confirmed it, or the close timeout has passed.
    pub fn close(&self) {
        self.with(|state| state.wish(Wish::Close));
    }

    /// Leaves the session without closing it, for [`resume`](Self::resume): the ensemble keeps it
    /// until its timeout. Take the [ticket](Self::ticket) first; the driver returns soon.
    pub fn detach(&self) {
        self.with(|state| state.wish(Wish::Detach));
    }

    /// Writes the session as a few bytes into the caller's memory, and returns how many. Whoever
    /// holds them can speak for the session.
    ///
    /// # Errors
    /// [`ExportError::NoSession`] before a server has given a session and after its end, or
    /// [`ExportError::Memory`] with the bytes needed.
    pub fn ticket(
        &self,
        contents: TicketContents,
        memory: &mut [u8],
    ) -> Result<usize, ExportError> {
        self.with(|state| state.session.ticket(contents, memory).map(<[u8]>::len))
            .unwrap_or(Err(ExportError::NoSession))
    }

    /// The state that was last told; [`Disconnected`](KeeperState::Disconnected) before.
    pub fn state(&self) -> KeeperState {
        self.with(|state| state.session.state()).unwrap_or(KeeperState::Disconnected)
    }

    /// The session's id; none before a server has given one.
    pub fn session_id(&self) -> SessionId {
        self.with(|state| state.session.session_id()).unwrap_or(SessionId::NONE)
    }

    /// The timeout that holds: negotiated once connected, requested before.
    pub fn timeout(&self) -> Duration {
        self.with(|state| state.session.timeout()).unwrap_or(Duration::ZERO)
    }

    /// The newest transaction that an answer told of.
    pub fn last_zxid(&self) -> Zxid {
        self.with(|state| state.session.last_zxid()).unwrap_or(Zxid(0))
    }

    /// Which host was lost or could not be used last, and why.
    pub fn last_disconnect(&self) -> Option<(HostIndex, DisconnectReason)> {
        self.with(|state| state.session.last_disconnect()).flatten()
    }

    /// Why the last host that was dialled could not be reached; none once one was.
    pub fn last_dial_error(&self) -> Option<DialError> {
        self.with(|state| state.dial_error).flatten()
    }

    /// Until when the device may sleep lightly, its clock and its network going on: nothing is due
    /// before. None once the session is over.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.with(|state| state.session.poll_timeout()).flatten()
    }

    /// Until when the ensemble cannot have expired the session: a device that sleeps deeply, with a
    /// [ticket](Self::ticket), keeps its ephemeral znodes if it is connected again by then. None
    /// while there is no session.
    pub fn safe_until(&self) -> Option<Instant> {
        self.with(|state| state.session.safe_until()).flatten()
    }

    /// Whatever is done with the state is done under the lock. None if the session is not open.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State<'b>) -> R) -> Option<R> {
        // It is never borrowed twice: nothing that is done here comes back.
        self.state.lock(|cell| cell.try_borrow_mut().ok()?.as_mut().map(act))
    }
}

impl<M: RawMutex> Default for Session<'_, M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: RawMutex> fmt::Debug for Session<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("session_id", &self.session_id()).finish_non_exhaustive()
    }
}
