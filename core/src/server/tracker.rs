//! Who lives until when, and through which server it speaks.
//!
//! ```text
//! (none) ──create──▶ live ──touch, attach──▶ live ──its tick ends, or close──▶ closing ──▶ (none)
//! ```
//!
//! ```
//! use zk_session::server::{ServerId, SessionSlot, SessionTracker, TrackerConfig};
//! use zk_session::time::{Duration, Instant};
//!
//! let mut memory = [SessionSlot::EMPTY; 8];
//! let at = Instant::from_millis;
//! let mut tracker = SessionTracker::lent(TrackerConfig::default(), &mut memory);
//! let granted = tracker.create(at(100), ServerId(1), 5000).unwrap();
//! assert_eq!(tracker.poll_timeout(), Some(at(6000))); // the end of the tick that 5100 lies in
//! assert!(tracker.touch(at(1500), granted.session, granted.timeout));
//! assert_eq!(tracker.poll_expired(at(7999)), None);
//! assert_eq!(tracker.poll_expired(at(8000)), Some(granted.session.id()));
//! assert!(!tracker.touch(at(8000), granted.session, granted.timeout));
//! assert!(tracker.close(granted.session.id()));
//! ```

use core::fmt;

use super::passwd::{PasswdScheme, Passwds};
use super::slots::{SessionSlot, SlotState, Slots};
use crate::time::{Duration, Instant};
use crate::wire::{Passwd, SessionId};

/// One front-end server of the ensemble; its number is the top byte of the session ids it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ServerId(pub u8);

/// How sessions are timed and named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackerConfig {
    /// The tick: sessions expire at multiples of it.
    pub tick: Duration,
    /// The least timeout granted; `None`: two ticks.
    pub min_session_timeout: Option<Duration>,
    /// The greatest timeout granted; `None`: twenty ticks.
    pub max_session_timeout: Option<Duration>,
    /// Keys the passwords: from a good source of randomness, and never told to anyone.
    pub seed: u64,
    /// How passwords are made.
    pub passwds: PasswdScheme,
    /// Milliseconds since 1970 (or any other origin) at [`Instant::ORIGIN`]: a restarted tracker
    /// makes other ids than its predecessor.
    pub unix_time_at_origin: i64,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(2000),
            min_session_timeout: None,
            max_session_timeout: None,
            seed: 0,
            passwds: PasswdScheme::default(),
            unix_time_at_origin: 0,
        }
    }
}

/// Names a tracked session and finds it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    id: SessionId,
    slot: u32,
}

impl SessionRef {
    /// The session's id.
    pub const fn id(self) -> SessionId {
        self.id
    }
}

/// A session created or resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The session.
    pub session: SessionRef,
    /// Its password.
    pub passwd: Passwd,
    /// The timeout granted.
    pub timeout: Duration,
}

/// Why a session cannot be resumed; clients are not told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AttachError {
    /// The password is not the session's.
    WrongPasswd,
    /// There is no such session, or it is being closed.
    UnknownSession,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongPasswd => "wrong session password",
            Self::UnknownSession => "unknown session",
        })
    }
}

impl core::error::Error for AttachError {}

/// There is no memory for one more session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TrackerFull;

impl fmt::Display for TrackerFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory for one more session")
    }
}

impl core::error::Error for TrackerFull {}

/// Whether a server speaks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ownership {
    /// It does.
    Owner,
    /// Another server does.
    Moved,
    /// There is no such session, or it is being closed.
    Unknown,
}

/// Tracks sessions: creates, resumes, touches, expires and closes them.
pub struct SessionTracker<'b> {
    config: TrackerConfig,
    passwds: Passwds,
    slots: Slots<'b>,
    /// The lower 56 bits of the next id.
    next_id: Option<u64>,
    now: Instant,
}

const ID_BITS: u32 = 56;
const ID_MASK: u64 = u64::MAX >> 8;

impl<'b> SessionTracker<'b> {
    /// A tracker of as many sessions as there are slots; what they hold is forgotten.
    pub fn lent(config: TrackerConfig, slots: &'b mut [SessionSlot]) -> Self {
        slots.fill(SessionSlot::EMPTY);
        Self::new(config, Slots::Lent(slots))
    }

    fn new(mut config: TrackerConfig, slots: Slots<'b>) -> Self {
        config.tick = config.tick.max(Duration::from_millis(1));
        let passwds = Passwds::new(config.passwds, config.seed);
        Self { config, passwds, slots, next_id: None, now: Instant::ORIGIN }
    }

    /// The timeout granted to a client that asks for `requested` milliseconds.
    ///
    /// # Source
    /// `ZooKeeperServer.processConnectRequest`, 3.8.0.
    pub fn negotiate(&self, requested: i32) -> Duration {
        let (min, max) = self.timeouts();
        let granted = Duration::from_wire_millis(requested).max(min).min(max);
        Duration::from_wire_millis(granted.as_wire_millis())
    }

    /// The least and the greatest timeout that is granted.
    pub(super) fn timeouts(&self) -> (Duration, Duration) {
        let TrackerConfig { tick, min_session_timeout, max_session_timeout, .. } = self.config;
        let min = min_session_timeout.unwrap_or(tick.scaled(2, 1));
        let max = max_session_timeout.unwrap_or(tick.scaled(20, 1));
        (min, max)
    }

    /// Starts a session that speaks through `server`. Its time runs from now.
    ///
    /// # Errors
    /// [`TrackerFull`].
    ///
    /// # Source
    /// `SessionTrackerImpl.createSession`, `.initializeNextSessionId`, 3.8.0.
    pub fn create(
        &mut self,
        now: Instant,
        server: ServerId,
        requested: i32,
    ) -> Result<Granted, TrackerFull> {
        let now = self.advance(now);
        let timeout = self.negotiate(requested);
        let id = self.next_session_id(server);
        let slot = self.slots.insert(SessionSlot {
            id,
            expiry: self.bucket(now, timeout),
            timeout: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            owner: server,
            ..SessionSlot::EMPTY
        });
        let session = SessionRef { id, slot: slot.ok_or(TrackerFull)? };
        Ok(Granted { session, passwd: self.passwds.of(id), timeout })
    }

    /// Resumes a session through `server`, which speaks for it from now on.
    ///
    /// # Errors
    /// [`AttachError`].
    ///
    /// # Source
    /// `ZooKeeperServer.reopenSession`, `.revalidateSession`, 3.8.0.
    pub fn attach(
        &mut self,
        now: Instant,
        server: ServerId,
        id: SessionId,
        passwd: Option<&[u8]>,
        requested: i32,
    ) -> Result<Granted, AttachError> {
        if !self.passwds.verify(id, passwd) {
            return Err(AttachError::WrongPasswd);
        }
        let slot = self.slots.find(id).ok_or(AttachError::UnknownSession)?;
        let (session, timeout) = (SessionRef { id, slot }, self.negotiate(requested));
        if !self.touch(now, session, timeout) {
            return Err(AttachError::UnknownSession);
        }
        self.set_owner(session, server);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        }
        Ok(Granted { session, passwd: self.passwds.of(id), timeout })
    }

    /// A session was heard from: it lives for at least `timeout` more. False if it is over.
    pub fn touch(&mut self, now: Instant, session: SessionRef, timeout: Duration) -> bool {
        let now = self.advance(now);
        let expiry = self.bucket(now, timeout);
        if self.live(session).is_none() {
            return false;
        }
        self.slots.set_expiry(session.slot, expiry);
        true
    }

    /// Lets another server speak for a session.
    pub fn set_owner(&mut self, session: SessionRef, server: ServerId) {
        if self.live(session).is_some() {
            if let Some(slot) = self.slots.get_mut(session.slot) {
                slot.owner = server;
            }
        }
    }

    /// Whether `server` speaks for a session.
    pub fn ownership(&self, session: SessionRef, server: ServerId) -> Ownership {
        match self.live(session) {
            Some(slot) if slot.owner == server => Ownership::Owner,
            Some(_) => Ownership::Moved,
            None => Ownership::Unknown,
        }
    }

    /// Finds a session that is alive.
    pub fn find(&self, id: SessionId) -> Option<SessionRef> {
        let session = SessionRef { id, slot: self.slots.find(id)? };
        self.live(session).map(|_| session)
    }

    /// Ends a session and forgets it; false if there is none.
    pub fn close(&mut self, id: SessionId) -> bool {
        let Some(slot) = self.slots.find(id) else { return false };
        self.slots.remove(slot);
        true
    }

    /// When the next session expires unless it is touched.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.slots.earliest().map(|(expiry, _)| Instant::from_millis(expiry))
    }

    /// The next session whose time is over. It can no longer be touched or resumed, and is
    /// forgotten with [`close`](Self::close).
    pub fn poll_expired(&mut self, now: Instant) -> Option<SessionId> {
        let now = self.advance(now);
        let (expiry, slot) = self.slots.earliest()?;
        if expiry > now.as_millis() {
            return None;
        }
        self.slots.set_closing(slot);
        self.slots.get(slot).map(|session| session.id)
    }

    /// The sessions that are alive: id, timeout and the server that speaks for each.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, Duration, ServerId)> + '_ {
        let live = self.slots.all().iter().filter(|slot| slot.state == SlotState::Live);
        live.map(|slot| (slot.id, Duration::from_millis(slot.timeout.into()), slot.owner))
    }

    /// The sessions that are alive, and the end of the tick that each expires in.
    #[cfg(feature = "alloc")]
    pub(super) fn expiries(&self) -> impl Iterator<Item = (SessionId, Instant)> + '_ {
        let live = self.slots.all().iter().filter(|slot| slot.state == SlotState::Live);
        live.map(|slot| (slot.id, Instant::from_millis(slot.expiry)))
    }

    fn live(&self, session: SessionRef) -> Option<&SessionSlot> {
        let slot = self.slots.get(session.slot)?;
        (slot.id == session.id && slot.state == SlotState::Live).then_some(slot)
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn bucket(&self, now: Instant, timeout: Duration) -> u64 {
        bucket(now.after(timeout), self.config.tick).as_millis()
    }

    /// The lower 56 bits of an id that is new as long as time does not go back.
    fn first_id(&self) -> u64 {
        let unix = self.config.unix_time_at_origin.wrapping_add_unsigned(self.now.as_millis());
        (unix.cast_unsigned() << 24) >> 8
    }

    fn next_session_id(&mut self, server: ServerId) -> SessionId {
        let mut low = self.next_id.unwrap_or_else(|| self.first_id());
        loop {
            let bits = (low & ID_MASK) | (u64::from(server.0) << ID_BITS);
            low = low.wrapping_add(1) & ID_MASK;
            self.next_id = Some(low);
            let id = SessionId(bits.cast_signed());
            // ZooKeeper marks containers with the least of all numbers; zero is no session.
            if id.is_some() && id.0 != i64::MIN && self.slots.find(id).is_none() {
                return id;
            }
        }
    }
}

#[cfg(feature = "alloc")]
impl SessionTracker<'static> {
    /// A tracker on the heap, of at most `limit` sessions.
    pub fn owned(config: TrackerConfig, limit: usize) -> Self {
        Self::new(config, Slots::owned(limit))
    }

    /// The lower 56 bits of the next id, if there has been any.
    pub(super) fn next_id(&self) -> Option<u64> {
        self.next_id
    }

    /// Ids go on from a predecessor's. Where the clock is ahead of them it is believed: the
    /// predecessor may have made more than it is remembered by.
    pub(super) fn restore_next_id(&mut self, now: Instant, next: Option<u64>) {
        self.advance(now);
        self.next_id = next.map(|next| (next & ID_MASK).max(self.first_id()));
    }

    /// A predecessor's session lives on, with all of its timeout.
    pub(super) fn restore(
        &mut self,
        now: Instant,
        id: SessionId,
        timeout: Duration,
    ) -> Result<(), TrackerFull> {
        let now = self.advance(now);
        let [creator, ..] = id.0.to_be_bytes();
        let slot = self.slots.insert(SessionSlot {
            id,
            expiry: self.bucket(now, timeout),
            timeout: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            owner: ServerId(creator),
            ..SessionSlot::EMPTY
        });
        slot.map(drop).ok_or(TrackerFull)
    }

    /// The timeout of a session that is alive.
    pub(super) fn timeout(&self, id: SessionId) -> Option<Duration> {
        self.granted(id).map(|(timeout, _)| timeout)
    }

    /// The timeout of a session that is alive, and the server that speaks for it.
    pub(super) fn granted(&self, id: SessionId) -> Option<(Duration, ServerId)> {
        let slot = self.live(self.find(id)?)?;
        Some((Duration::from_millis(slot.timeout.into()), slot.owner))
    }
}

impl fmt::Debug for SessionTracker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTracker").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The end of the tick that `at` lies in; a point between two ticks belongs to the later one.
///
/// # Source
/// `ExpiryQueue.roundToNextInterval`, 3.8.0.
pub(super) fn bucket(at: Instant, tick: Duration) -> Instant {
    let (at, tick) = (at.as_millis(), tick.as_millis());
    let ticks = at.checked_div(tick).unwrap_or(at).saturating_add(1);
    Instant::from_millis(ticks.saturating_mul(tick.max(1)))
}
