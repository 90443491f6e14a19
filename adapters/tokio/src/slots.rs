//! Answers on their way to the futures that wait for them.

use std::collections::VecDeque;
use std::task::Waker;

use zk_session::client::WatchKind;
use zk_session::owned::Answer;
use zk_session::wire::Xid;
use zk_session::{OpError, SubmitError};

use crate::error::ErrorKind;
use crate::watch::Watch;
use crate::watches::Wish;

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

/// What has become of a request.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) result: Result<Answer, Failure>,
    /// The watch that it has armed.
    pub(crate) watch: Option<Watch>,
}

#[derive(Debug)]
enum Slot {
    Free,
    /// Not answered yet.
    Waiting {
        waker: Option<Waker>,
        wish: Option<Box<Wish>>,
        /// Its number in the line, if the session has not taken it yet.
        queued: Option<u64>,
    },
    /// Not answered yet, and nobody will ask.
    Abandoned(Option<Box<Wish>>),
    Done(Box<Done>),
    Answered(Result<Answer, Failure>),
}

/// Whom an answer is for.
pub(crate) enum Asker {
    /// Somebody waits or will ask, and would like the watch.
    Somebody(Option<Box<Wish>>),
    /// Nobody: the watch that is armed all the same.
    Nobody(Option<Box<Wish>>),
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
    pub(crate) fn open(&mut self, wish: Option<Box<Wish>>, queued: Option<u64>) -> u32 {
        let slot = Slot::Waiting { waker: None, wish, queued };
        match self.free.pop() {
            Some(place) => {
                self.put(place, slot);
                place
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    /// The session has taken the request.
    pub(crate) fn sent(&mut self, xid: Xid, place: u32) {
        if let Some(Slot::Waiting { queued, .. }) = self.slots.get_mut(index(place)) {
            *queued = None;
        }
        self.order.push_back((xid, place));
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
    pub(crate) fn answered(&mut self, xid: Xid) -> Option<u32> {
        // Answers come in order, but for those of auth packets.
        match self.order.front() {
            Some((oldest, place)) if *oldest == xid => {
                let place = *place;
                self.order.pop_front();
                Some(place)
            }
            _ => {
                let at = self.order.iter().position(|(open, _)| *open == xid)?;
                Some(self.order.remove(at)?.1)
            }
        }
    }

    /// Whom the answer to come is for; takes the wish along.
    pub(crate) fn asker(&mut self, place: u32) -> Asker {
        match self.slots.get_mut(index(place)) {
            Some(Slot::Waiting { wish, .. }) => Asker::Somebody(wish.take()),
            Some(Slot::Abandoned(wish)) => {
                let wish = wish.take();
                self.release(place);
                Asker::Nobody(wish)
            }
            _ => Asker::Nobody(None),
        }
    }

    /// Puts an answer into its place; returns whom to wake.
    pub(crate) fn settle(
        &mut self,
        place: u32,
        result: Result<Answer, Failure>,
        watch: Option<Watch>,
    ) -> Option<Waker> {
        let slot = self.slots.get_mut(index(place))?;
        let Slot::Waiting { waker, .. } = slot else { return None };
        let waker = waker.take();
        *slot = match watch {
            None => Slot::Answered(result),
            watch => Slot::Done(Box::new(Done { result, watch })),
        };
        self.untaken += 1;
        waker
    }

    /// The answer, if it is there; else the waker is remembered.
    pub(crate) fn take(&mut self, place: u32, waker: &Waker) -> Option<Done> {
        let slot = self.slots.get_mut(index(place))?;
        if let Slot::Waiting { waker: waiting, .. } = slot {
            match waiting {
                Some(known) if known.will_wake(waker) => {}
                other => *other = Some(waker.clone()),
            }
            return None;
        }
        let done = match std::mem::replace(slot, Slot::Free) {
            Slot::Done(done) => *done,
            Slot::Answered(result) => Done { result, watch: None },
            _ => Done { result: Err(Failure::Op(OpError::SessionClosed)), watch: None },
        };
        self.untaken = self.untaken.saturating_sub(1);
        self.free.push(place);
        Some(done)
    }

    /// Whether the answer is there.
    pub(crate) fn is_answered(&self, place: u32) -> bool {
        matches!(self.slots.get(index(place)), Some(Slot::Answered(_) | Slot::Done(_)))
    }

    /// Nobody will ask for the answer. Returns the request's number in the line if it is still
    /// there, or the watch that came with an answer nobody has taken.
    pub(crate) fn abandon(&mut self, place: u32) -> (Option<u64>, Option<Watch>) {
        let Some(slot) = self.slots.get_mut(index(place)) else { return (None, None) };
        match std::mem::replace(slot, Slot::Free) {
            Slot::Waiting { queued: Some(number), .. } => {
                self.free.push(place);
                (Some(number), None)
            }
            Slot::Waiting { wish, .. } => {
                *slot = Slot::Abandoned(wish);
                (None, None)
            }
            Slot::Done(done) => {
                self.untaken = self.untaken.saturating_sub(1);
                self.free.push(place);
                (None, done.watch)
            }
            Slot::Answered(_) => {
                self.untaken = self.untaken.saturating_sub(1);
                self.free.push(place);
                (None, None)
            }
            Slot::Free | Slot::Abandoned(_) => (None, None),
        }
    }

    /// Nobody will ask for the answer, but the request is to leave all the same. Says whether it was
    /// still waiting.
    pub(crate) fn forget(&mut self, place: u32) -> bool {
        let Some(slot @ Slot::Waiting { .. }) = self.slots.get_mut(index(place)) else {
            return false;
        };
        *slot = Slot::Abandoned(None);
        true
    }

    /// The kinds of watches that requests on their way wish for at this path.
    pub(crate) fn wishes_at(&self, path: &str) -> Vec<WatchKind> {
        let wish = |slot: &Slot| match slot {
            Slot::Waiting { wish: Some(wish), .. } | Slot::Abandoned(Some(wish)) => {
                (&*wish.path == path).then_some(wish.on_success)
            }
            _ => None,
        };
        self.slots.iter().filter_map(wish).collect()
    }

    /// Fails whatever waits: there will be no more answers.
    pub(crate) fn fail_all(&mut self, failure: Failure, wakes: &mut Vec<Waker>) {
        self.order.clear();
        for place in 0..self.slots.len() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            match self.slots.get(index(place)) {
                Some(Slot::Waiting { .. }) => wakes.extend(self.settle(place, Err(failure), None)),
                Some(Slot::Abandoned(_)) => self.release(place),
                _ => {}
            }
        }
    }

    /// Gives memory back while nothing is in flight and nothing waits to be taken.
    pub(crate) fn shrink(&mut self) {
        if self.free.len() == self.slots.len() && !self.slots.is_empty() {
            *self = Self::default();
        }
    }

    fn release(&mut self, place: u32) {
        self.put(place, Slot::Free);
        self.free.push(place);
    }

    fn put(&mut self, place: u32, slot: Slot) {
        if let Some(old) = self.slots.get_mut(index(place)) {
            *old = slot;
        }
    }
}
