//! Answers on their way to the futures that wait for them.
//!
//! An answer is copied as it came, into memory that its slot keeps from one answer to the next, and
//! decoded by whoever takes it: what is made of it is made where it is wanted, and moved no more.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use zk_session::client::{RawReply, WatchKind};
use zk_session::wire::{OpCode, Xid};
use zk_session::{OpError, SubmitError};

use crate::body::Memory;
use crate::error::ErrorKind;
use crate::watch::Queue;

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Op(OpError),
    Submit(SubmitError),
    NotSent,
    NoRuntime,
}

impl From<Failure> for ErrorKind {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Op(error) => Self::Op(error),
            Failure::Submit(error) => Self::Submit(error),
            Failure::NotSent => Self::NotSent,
            Failure::NoRuntime => Self::NoRuntime,
        }
    }
}

/// The longest body that is copied into its slot's memory, and again by whoever takes it.
const SHORT: usize = 1024;

/// How far a request is.
#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    /// Not answered yet.
    Waiting,
    /// Not answered yet, and nobody will ask.
    Abandoned,
    /// Such a request has succeeded; the slot has the body.
    Short(OpCode),
    /// Such a request has succeeded, with a body that is too long to be copied twice.
    Long(OpCode, Bytes),
    Failed(Failure),
}

impl State {
    const fn is_answered(&self) -> bool {
        matches!(self, Self::Short(_) | Self::Long(..) | Self::Failed(_))
    }
}

/// What has become of a request.
#[derive(Debug, Default)]
struct Slot {
    state: State,
    /// The watch that it wishes for and, once it is answered, has armed.
    watch: Option<Arc<Queue>>,
    /// Its number in the line, if the session has not taken it yet.
    queued: Option<NonZeroU64>,
    waker: Option<Waker>,
    /// The body of the answer, if it is a short one; else memory for the next.
    body: Vec<u8>,
}

/// An answer that has been taken.
pub(crate) enum Taken<'s> {
    /// The body of the reply to such a request.
    Short(OpCode, &'s [u8]),
    Long(OpCode, Bytes),
    Failed(Failure),
}

/// Whom an answer is for.
pub(crate) enum Asker<'s> {
    /// Somebody waits or will ask, and would like this watch; it is to be taken out if it is not
    /// armed.
    Somebody(&'s mut Option<Arc<Queue>>),
    /// Nobody: the watch that is armed all the same.
    Nobody(Option<Arc<Queue>>),
}

#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Requests in flight, oldest first.
    order: VecDeque<(Xid, u32)>,
    /// Answers that have been given and not yet been taken.
    untaken: usize,
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl Slots {
    /// A place for the answer to a request; `queued` is its number in the line, if it is there.
    #[inline(always)]
    pub(crate) fn open(&mut self, wish: Option<Arc<Queue>>, queued: Option<NonZeroU64>) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| self.another());
        if let Some(slot) = self.slots.get_mut(index(place)) {
            slot.state = State::Waiting;
            if wish.is_some() {
                slot.watch = wish;
            }
            slot.queued = queued;
        }
        place
    }

    #[cold]
    fn another(&mut self) -> u32 {
        self.slots.push(Slot::default());
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// The session has taken the request.
    #[inline]
    pub(crate) fn sent(&mut self, xid: Xid, place: u32) {
        self.order.push_back((xid, place));
    }

    /// The session has taken a request that was in the line.
    pub(crate) fn sent_from_line(&mut self, xid: Xid, place: u32) {
        if let Some(slot) = self.slots.get_mut(index(place)) {
            slot.queued = None;
        }
        self.sent(xid, place);
    }

    /// How many requests are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.order.len()
    }

    /// Whether answers wait to be taken, so that whoever they are for will run soon.
    pub(crate) const fn has_untaken(&self) -> bool {
        self.untaken > 0
    }

    /// The place of the request that is answered.
    #[inline]
    pub(crate) fn answered(&mut self, xid: Xid) -> Option<u32> {
        // Answers come in order, but for those of auth packets.
        match self.order.front() {
            Some((oldest, place)) if *oldest == xid => {
                let place = *place;
                self.order.pop_front();
                Some(place)
            }
            _ => self.answered_out_of_turn(xid),
        }
    }

    #[cold]
    fn answered_out_of_turn(&mut self, xid: Xid) -> Option<u32> {
        let at = self.order.iter().position(|(open, _)| *open == xid)?;
        Some(self.order.remove(at)?.1)
    }

    /// Whom the answer to come is for.
    #[inline]
    pub(crate) fn asker(&mut self, place: u32) -> Asker<'_> {
        match self.slots.get(index(place)).map(|slot| &slot.state) {
            Some(State::Abandoned) => Asker::Nobody(self.release(place)),
            Some(State::Waiting) => match self.slots.get_mut(index(place)) {
                Some(slot) => Asker::Somebody(&mut slot.watch),
                None => Asker::Nobody(None),
            },
            _ => Asker::Nobody(None),
        }
    }

    /// Puts an answer into its place, which waits for it; returns whom to wake.
    #[inline(always)]
    pub(crate) fn answer(
        &mut self,
        place: u32,
        result: Result<RawReply<'_>, OpError>,
        memory: &mut Memory,
    ) -> Option<Waker> {
        let slot = self.slots.get_mut(index(place))?;
        slot.state = match result {
            Ok(reply) if reply.body().len() <= SHORT => {
                slot.body.clear();
                slot.body.extend_from_slice(reply.body());
                State::Short(reply.op())
            }
            Ok(reply) => State::Long(reply.op(), memory.copy(reply.body())),
            Err(error) => State::Failed(Failure::Op(error)),
        };
        self.untaken += 1;
        slot.waker.take()
    }

    /// There will be no answer to a request; returns whom to wake.
    pub(crate) fn fail(&mut self, place: u32, failure: Failure) -> Option<Waker> {
        let slot = self.slots.get_mut(index(place))?;
        if !matches!(slot.state, State::Waiting) {
            return None;
        }
        slot.state = State::Failed(failure);
        self.untaken += 1;
        slot.waker.take()
    }

    /// The answer and the watch that came with it, if it is there; else the waker is remembered.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        place: u32,
        waker: &Waker,
    ) -> Option<(Taken<'_>, Option<Arc<Queue>>)> {
        let slot = self.slots.get_mut(index(place))?;
        let taken = match &slot.state {
            State::Waiting => {
                match &slot.waker {
                    Some(known) if known.will_wake(waker) => {}
                    _ => slot.waker = Some(waker.clone()),
                }
                return None;
            }
            State::Short(op) => Taken::Short(*op, &slot.body),
            State::Long(op, whole) => Taken::Long(*op, whole.clone()),
            State::Failed(failure) => Taken::Failed(*failure),
            // Its future knows better than to ask.
            State::Free | State::Abandoned => return None,
        };
        slot.state = State::Free;
        self.untaken = self.untaken.saturating_sub(1);
        self.free.push(place);
        Some((taken, slot.watch.take()))
    }

    /// Whether the answer is there.
    pub(crate) fn is_answered(&self, place: u32) -> bool {
        self.slots.get(index(place)).is_some_and(|slot| slot.state.is_answered())
    }

    /// Nobody will ask for the answer. Returns the request's number in the line if it is still
    /// there, or the watch that came with an answer nobody has taken.
    pub(crate) fn abandon(&mut self, place: u32) -> (Option<u64>, Option<Arc<Queue>>) {
        let Some(slot) = self.slots.get_mut(index(place)) else { return (None, None) };
        match slot.state {
            State::Waiting if slot.queued.is_some() => {
                let queued = slot.queued.map(NonZeroU64::get);
                self.release(place);
                (queued, None)
            }
            State::Waiting => {
                (slot.state, slot.waker) = (State::Abandoned, None);
                (None, None)
            }
            State::Free | State::Abandoned => (None, None),
            State::Short(_) | State::Long(..) | State::Failed(_) => {
                self.untaken = self.untaken.saturating_sub(1);
                (None, self.release(place))
            }
        }
    }

    /// Nobody will ask for the answer, but the request is to leave all the same. Says whether it was
    /// still waiting.
    pub(crate) fn forget(&mut self, place: u32) -> bool {
        let Some(slot) = self.slots.get_mut(index(place)) else { return false };
        let waiting = matches!(slot.state, State::Waiting);
        if waiting {
            *slot = Slot { state: State::Abandoned, ..Slot::default() };
        }
        waiting
    }

    /// The kinds of watches that requests on their way wish for at this path.
    pub(crate) fn wishes_at(&self, path: &str) -> Vec<WatchKind> {
        let on_their_way = |slot: &&Slot| matches!(slot.state, State::Waiting | State::Abandoned);
        let wish = |slot: &Slot| {
            let wish = slot.watch.as_ref()?;
            (**wish.path() == *path).then_some(wish.on_success())
        };
        self.slots.iter().filter(on_their_way).filter_map(wish).collect()
    }

    /// Fails whatever waits: there will be no more answers.
    pub(crate) fn fail_all(&mut self, failure: Failure, wakes: &mut Vec<Waker>) {
        self.order.clear();
        for place in 0..self.slots.len() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            if matches!(self.slots.get(index(place)), Some(Slot { state: State::Abandoned, .. })) {
                self.release(place);
            } else {
                wakes.extend(self.fail(place, failure));
            }
        }
    }

    /// Whether nothing is in flight and nothing waits to be taken.
    pub(crate) fn is_unused(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Frees a place; returns the watch that was there.
    fn release(&mut self, place: u32) -> Option<Arc<Queue>> {
        let slot = self.slots.get_mut(index(place))?;
        self.free.push(place);
        (slot.state, slot.queued, slot.waker) = (State::Free, None, None);
        slot.watch.take()
    }
}
