//! The tracker's memory: sessions in slots, chained by the tick they expire in.
//!
//! Over owned memory an id and a tick are found in maps; over lent memory by looking at each slot,
//! which is as good for the few sessions that fit there. The chains are the same.

#[cfg(feature = "alloc")]
use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    vec::Vec,
};

use super::tracker::ServerId;
use crate::wire::SessionId;

/// No slot.
const NIL: u32 = u32::MAX;

/// The memory of one tracked session.
#[derive(Clone, Copy, Debug)]
pub struct SessionSlot {
    pub(super) id: SessionId,
    /// End of the tick it expires in, in milliseconds.
    pub(super) expiry: u64,
    pub(super) timeout: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) owner: ServerId,
    pub(super) state: SlotState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    Free,
    /// In the chain of its tick.
    Live,
    /// Expired or being closed: in no chain.
    Closing,
}

impl SessionSlot {
    /// No session.
    pub const EMPTY: Self = Self {
        id: SessionId::NONE,
        expiry: 0,
        timeout: 0,
        prev: NIL,
        next: NIL,
        owner: ServerId(0),
        state: SlotState::Free,
    };
}

impl Default for SessionSlot {
    fn default() -> Self {
        Self::EMPTY
    }
}

pub(super) enum Slots<'b> {
    Lent(&'b mut [SessionSlot]),
    #[cfg(feature = "alloc")]
    Owned {
        slots: Vec<SessionSlot>,
        limit: usize,
        /// The first free slot, chained by `next`.
        free: u32,
        by_id: BTreeMap<SessionId, u32>,
        /// The first session of each tick that has any.
        ticks: BTreeMap<u64, u32>,
    },
}

impl Slots<'_> {
    #[cfg(feature = "alloc")]
    pub(super) fn owned(limit: usize) -> Self {
        let (by_id, ticks) = (BTreeMap::new(), BTreeMap::new());
        Self::Owned { slots: Vec::new(), limit, free: NIL, by_id, ticks }
    }

    pub(super) fn all(&self) -> &[SessionSlot] {
        match self {
            Self::Lent(slots) => slots,
            #[cfg(feature = "alloc")]
            Self::Owned { slots, .. } => slots,
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&SessionSlot> {
        self.all().get(usize::try_from(slot).ok()?)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut SessionSlot> {
        let slots = match self {
            Self::Lent(slots) => &mut **slots,
            #[cfg(feature = "alloc")]
            Self::Owned { slots, .. } => slots,
        };
        slots.get_mut(usize::try_from(slot).ok()?)
    }

    pub(super) fn find(&self, id: SessionId) -> Option<u32> {
        match self {
            Self::Lent(slots) => position(slots, |s| s.state != SlotState::Free && s.id == id),
            #[cfg(feature = "alloc")]
            Self::Owned { by_id, .. } => by_id.get(&id).copied(),
        }
    }

    /// Takes a slot for a session, in the chain of its tick; `None` if there is no memory left.
    pub(super) fn insert(&mut self, session: SessionSlot) -> Option<u32> {
        let slot = match self {
            Self::Lent(slots) => position(slots, |s| s.state == SlotState::Free)?,
            #[cfg(feature = "alloc")]
            Self::Owned { slots, limit, free, by_id, .. } => {
                let slot = match usize::try_from(*free).ok().and_then(|at| slots.get(at)) {
                    Some(vacant) => core::mem::replace(free, vacant.next),
                    None if slots.len() >= *limit => return None,
                    None => {
                        let slot = u32::try_from(slots.len()).ok().filter(|slot| *slot != NIL)?;
                        slots.push(SessionSlot::EMPTY);
                        slot
                    }
                };
                by_id.insert(session.id, slot);
                slot
            }
        };
        if let Some(place) = self.get_mut(slot) {
            *place = SessionSlot { state: SlotState::Closing, ..session };
        }
        self.link(slot, session.expiry);
        Some(slot)
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let Some(place) = self.get_mut(slot) else { return };
        let _session = core::mem::take(place);
        #[cfg(feature = "alloc")]
        if let Self::Owned { slots, free, by_id, .. } = self {
            by_id.remove(&_session.id);
            let next = core::mem::replace(free, slot);
            if let Some(place) = usize::try_from(slot).ok().and_then(|at| slots.get_mut(at)) {
                place.next = next;
            }
        }
    }

    /// Moves a live session to the chain of another tick.
    pub(super) fn set_expiry(&mut self, slot: u32, expiry: u64) {
        match self.get(slot) {
            Some(session) if session.state == SlotState::Live && session.expiry != expiry => {
                self.unlink(slot);
                self.link(slot, expiry);
            }
            _ => {}
        }
    }

    /// Takes a session out of its chain: it can neither be touched nor expire any more.
    pub(super) fn set_closing(&mut self, slot: u32) {
        self.unlink(slot);
        if let Some(session) = self.get_mut(slot) {
            session.state = SlotState::Closing;
        }
    }

    /// The first tick in which a session expires, and the first such session.
    pub(super) fn earliest(&self) -> Option<(u64, u32)> {
        match self {
            Self::Lent(slots) => {
                let live = slots.iter().filter(|session| is_first(session));
                let expiry = live.map(|session| session.expiry).min()?;
                Some((expiry, self.first(expiry)?))
            }
            #[cfg(feature = "alloc")]
            Self::Owned { ticks, .. } => {
                ticks.first_key_value().map(|(expiry, slot)| (*expiry, *slot))
            }
        }
    }

    /// The first session in the chain of a tick.
    fn first(&self, expiry: u64) -> Option<u32> {
        match self {
            Self::Lent(slots) => position(slots, |s| is_first(s) && s.expiry == expiry),
            #[cfg(feature = "alloc")]
            Self::Owned { ticks, .. } => ticks.get(&expiry).copied(),
        }
    }

    fn link(&mut self, slot: u32, expiry: u64) {
        let next = self.put_first(expiry, slot);
        if let Some(session) = self.get_mut(slot) {
            (session.expiry, session.prev, session.next) = (expiry, NIL, next);
            session.state = SlotState::Live;
        }
        if let Some(behind) = self.get_mut(next) {
            behind.prev = slot;
        }
    }

    /// Makes a session the first of its tick; returns who was it before.
    fn put_first(&mut self, expiry: u64, _slot: u32) -> u32 {
        match self {
            Self::Lent(_) => self.first(expiry).unwrap_or(NIL),
            #[cfg(feature = "alloc")]
            // Searched once: that is a good part of what a touch costs.
            Self::Owned { ticks, .. } => match ticks.entry(expiry) {
                Entry::Occupied(mut first) => first.insert(_slot),
                Entry::Vacant(none) => {
                    none.insert(_slot);
                    NIL
                }
            },
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(&session) = self.get(slot).filter(|slot| slot.state == SlotState::Live) else {
            return;
        };
        let SessionSlot { prev, next, .. } = session;
        if let Some(before) = self.get_mut(prev) {
            before.next = next;
        }
        if let Some(behind) = self.get_mut(next) {
            behind.prev = prev;
        }
        // Until it is linked again it is the first of nothing.
        if let Some(session) = self.get_mut(slot) {
            session.state = SlotState::Closing;
        }
        #[cfg(feature = "alloc")]
        if let Self::Owned { ticks, .. } = self {
            match (prev, next) {
                (NIL, NIL) => _ = ticks.remove(&session.expiry),
                (NIL, next) => _ = ticks.insert(session.expiry, next),
                _ => {}
            }
        }
    }
}

fn is_first(session: &SessionSlot) -> bool {
    session.state == SlotState::Live && session.prev == NIL
}

fn position(slots: &[SessionSlot], test: impl Fn(&SessionSlot) -> bool) -> Option<u32> {
    slots.iter().position(test).and_then(|slot| u32::try_from(slot).ok())
}
