//! Answers on their way to the futures that wait for them.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::Waker;

use zk_session::client::WatchKind;
use zk_session::wire::Xid;
use zk_session::{OpError, SubmitError};

use crate::body::Body;
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

/// How far a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Free,
    /// Not answered yet.
    Waiting,
    /// Not answered yet, and nobody will ask.
    Abandoned,
    /// Answered, and not asked yet.
    Answered,
}

/// What has become of a request.
#[derive(Debug, Default)]
struct Slot {
    stage: Stage,
    /// The watch that it wishes for and, once it is answered, has armed.
    watch: Option<Arc<Queue>>,
    /// Its number in the line, if the session has not taken it yet.
    queued: Option<NonZeroU64>,
    waker: Option<Waker>,
    /// There once it is answered.
    result: Option<Result<Body, Failure>>,
}

/// An answer, and the watch that came with it.
pub(crate) type Taken = (Result<Body, Failure>, Option<Arc<Queue>>);

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
    #[inline]
    pub(crate) fn open(&mut self, wish: Option<Arc<Queue>>, queued: Option<NonZeroU64>) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| self.another());
        if let Some(slot) = self.slots.get_mut(index(place)) {
            slot.stage = Stage::Waiting;
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
        match self.slots.get(index(place)).map(|slot| slot.stage) {
            Some(Stage::Abandoned) => Asker::Nobody(self.release(place)),
            Some(Stage::Waiting) => match self.slots.get_mut(index(place)) {
                Some(slot) => Asker::Somebody(&mut slot.watch),
                None => Asker::Nobody(None),
            },
            Some(Stage::Free | Stage::Answered) | None => Asker::Nobody(None),
        }
    }

    /// Puts an answer into its place; returns whom to wake.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        place: u32,
        result: impl FnOnce() -> Result<Body, Failure>,
    ) -> Option<Waker> {
        let slot = self.slots.get_mut(index(place))?;
        if slot.stage != Stage::Waiting {
            return None;
        }
        slot.stage = Stage::Answered;
        // There is none yet; said like this, nothing is looked at that would have to be dropped.
        slot.result.get_or_insert_with(result);
        self.untaken += 1;
        slot.waker.take()
    }

    /// The answer and the watch that came with it, if it is there; else the waker is remembered.
    #[inline]
    pub(crate) fn take(&mut self, place: u32, waker: &Waker) -> Option<Taken> {
        let slot = self.slots.get_mut(index(place))?;
        if slot.stage == Stage::Waiting {
            match &slot.waker {
                Some(known) if known.will_wake(waker) => {}
                _ => slot.waker = Some(waker.clone()),
            }
            return None;
        }
        slot.stage = Stage::Free;
        let watch = slot.watch.take();
        self.untaken = self.untaken.saturating_sub(1);
        self.free.push(place);
        Some((slot.result.take().unwrap_or(Err(Failure::Op(OpError::SessionClosed))), watch))
    }

    /// Whether the answer is there.
    pub(crate) fn is_answered(&self, place: u32) -> bool {
        self.slots.get(index(place)).is_some_and(|slot| slot.stage == Stage::Answered)
    }

    /// Nobody will ask for the answer. Returns the request's number in the line if it is still
    /// there, or the watch that came with an answer nobody has taken.
    pub(crate) fn abandon(&mut self, place: u32) -> (Option<u64>, Option<Arc<Queue>>) {
        let Some(slot) = self.slots.get_mut(index(place)) else { return (None, None) };
        match slot.stage {
            Stage::Waiting if slot.queued.is_some() => {
                let queued = slot.queued.map(NonZeroU64::get);
                self.release(place);
                (queued, None)
            }
            Stage::Waiting => {
                (slot.stage, slot.waker) = (Stage::Abandoned, None);
                (None, None)
            }
            Stage::Answered => {
                self.untaken = self.untaken.saturating_sub(1);
                (None, self.release(place))
            }
            Stage::Free | Stage::Abandoned => (None, None),
        }
    }

    /// Nobody will ask for the answer, but the request is to leave all the same. Says whether it was
    /// still waiting.
    pub(crate) fn forget(&mut self, place: u32) -> bool {
        let Some(slot) = self.slots.get_mut(index(place)) else { return false };
        let waiting = slot.stage == Stage::Waiting;
        if waiting {
            *slot = Slot { stage: Stage::Abandoned, ..Slot::default() };
        }
        waiting
    }

    /// The kinds of watches that requests on their way wish for at this path.
    pub(crate) fn wishes_at(&self, path: &str) -> Vec<WatchKind> {
        let on_their_way = |slot: &&Slot| matches!(slot.stage, Stage::Waiting | Stage::Abandoned);
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
            match self.slots.get(index(place)).map(|slot| slot.stage) {
                Some(Stage::Waiting) => {
                    wakes.extend(self.settle(place, || Err(failure)));
                }
                Some(Stage::Abandoned) => drop(self.release(place)),
                _ => {}
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
        std::mem::take(slot).watch
    }
}
