//! Answers on their way to the threads that wait for them.
//!
//! Whoever reads copies an answer as it came, into memory that its slot keeps from one answer to the
//! next; the thread that waits decodes it. So what an application holds is allocated and freed by the
//! same thread, which allocators are quick at, and reading for others takes no longer than a copy.

use std::collections::VecDeque;
use std::thread::Thread;

use zk_session::OpError;
use zk_session::client::RawReply;
use zk_session::owned::Answer;
use zk_session::wire::{OpCode, Xid};

/// The longest body that is kept undecoded. Of a longer one the copy would cost more than the rest.
const RAW_BYTES: usize = 1024;

/// How many slots an idle session keeps.
const KEPT: usize = 16;

/// Places for the answers to requests, each from its request until its answer is taken.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Requests in flight, oldest first.
    order: VecDeque<(Xid, usize)>,
    /// How many threads are parked for answers.
    parked: usize,
}

#[derive(Default)]
struct Slot {
    state: State,
    /// The body of an answer that is [`State::Raw`]; else memory for the next one.
    body: Vec<u8>,
}

#[derive(Default)]
enum State {
    #[default]
    Free,
    /// Not answered; this thread is parked for it, if any.
    Pending(Option<Thread>),
    /// Nobody will ask.
    Abandoned,
    /// The successful answer to such a request; the slot has its body.
    Raw(OpCode),
    /// Answered with no body, or one that is too long to be copied twice.
    Answered(Box<Result<Answer, OpError>>),
}

impl Slots {
    /// A place for the answer to a request.
    #[inline]
    pub(crate) fn open(&mut self, xid: Xid) -> usize {
        let place = self.free.pop().unwrap_or_else(|| self.grow());
        self.put(place, State::Pending(None));
        self.order.push_back((xid, place));
        place
    }

    #[cold]
    fn grow(&mut self) -> usize {
        self.slots.push(Slot::default());
        self.slots.len() - 1
    }

    /// Whether no request is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.order.is_empty()
    }

    /// Puts an answer into its place, unless nobody will ask for it; returns who waits for it.
    #[inline]
    pub(crate) fn answer(
        &mut self,
        xid: Xid,
        result: Result<RawReply<'_>, OpError>,
    ) -> Option<Thread> {
        let place = self.answered(xid)?;
        let slot = self.slots.get_mut(place)?;
        let State::Pending(thread) = &mut slot.state else {
            self.release(place);
            return None;
        };
        let thread = thread.take();
        self.parked -= usize::from(thread.is_some());
        slot.state = match result {
            Ok(reply) if reply.body().len() <= RAW_BYTES => {
                slot.body.clear();
                slot.body.extend_from_slice(reply.body());
                State::Raw(reply.op())
            }
            result => State::Answered(decoded(result)),
        };
        thread
    }

    /// The place of a request in flight, which it is no more.
    #[inline]
    fn answered(&mut self, xid: Xid) -> Option<usize> {
        match self.order.pop_front() {
            Some((oldest, place)) if oldest == xid => Some(place),
            Some(oldest) => self.answered_early(oldest, xid),
            None => None,
        }
    }

    /// Answers come in order, but for those of auth packets.
    #[cold]
    fn answered_early(&mut self, oldest: (Xid, usize), xid: Xid) -> Option<usize> {
        self.order.push_front(oldest);
        let at = self.order.iter().position(|(open, _)| *open == xid)?;
        self.order.remove(at).map(|(_, place)| place)
    }

    /// The answer, if it is there; `chroot` is the session's.
    #[inline]
    pub(crate) fn take(&mut self, place: usize, chroot: &str) -> Option<Result<Answer, OpError>> {
        let slot = self.slots.get_mut(place)?;
        let op = match slot.state {
            State::Raw(op) => op,
            State::Pending(_) => return None,
            _ => return Some(self.take_answered(place)),
        };
        slot.state = State::Free;
        self.free.push(place);
        Some(Answer::from_raw(&RawReply::new(op, &slot.body, chroot)).map_err(OpError::from))
    }

    #[cold]
    fn take_answered(&mut self, place: usize) -> Result<Answer, OpError> {
        let Some(slot) = self.slots.get_mut(place) else { return Err(OpError::SessionClosed) };
        match std::mem::take(&mut slot.state) {
            State::Answered(answer) => {
                self.free.push(place);
                *answer
            }
            other => {
                slot.state = other;
                Err(OpError::SessionClosed)
            }
        }
    }

    /// Remembers who is parked until the answer is there.
    pub(crate) fn park(&mut self, place: usize, waiter: Thread) {
        if let Some(Slot { state: State::Pending(thread), .. }) = self.slots.get_mut(place) {
            self.parked += usize::from(thread.replace(waiter).is_none());
        }
    }

    /// Who is parked for an answer, and will be the first to have it.
    pub(crate) fn next_waiter(&self) -> Option<Thread> {
        if self.parked == 0 {
            return None;
        }
        self.order.iter().find_map(|(_, place)| match &self.slots.get(*place)?.state {
            State::Pending(thread) => thread.clone(),
            _ => None,
        })
    }

    /// Whether any thread is parked for an answer.
    pub(crate) const fn has_waiters(&self) -> bool {
        self.parked > 0
    }

    /// Whether the answer is there.
    pub(crate) fn is_answered(&self, place: usize) -> bool {
        let state = self.slots.get(place).map(|slot| &slot.state);
        matches!(state, Some(State::Raw(_) | State::Answered(_)))
    }

    /// Nobody will ask for the answer.
    pub(crate) fn abandon(&mut self, place: usize) {
        if self.is_answered(place) {
            self.release(place);
        } else {
            self.put(place, State::Abandoned);
        }
    }

    /// Gives back the memory of answers that have been taken, if no others are awaited.
    pub(crate) fn shrink(&mut self) {
        if self.free.len() == self.slots.len() && self.slots.len() > KEPT {
            *self = Self::default();
        }
    }

    fn release(&mut self, place: usize) {
        self.put(place, State::Free);
        self.free.push(place);
    }

    #[inline]
    fn put(&mut self, place: usize, state: State) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.state = state;
        }
    }
}

#[cold]
fn decoded(result: Result<RawReply<'_>, OpError>) -> Box<Result<Answer, OpError>> {
    Box::new(result.and_then(|reply| Answer::from_raw(&reply).map_err(OpError::from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(op: OpCode, body: &[u8]) -> Result<RawReply<'_>, OpError> {
        Ok(RawReply::new(op, body, ""))
    }

    /// A path of so many letters, encoded.
    fn path(letters: usize) -> Vec<u8> {
        let mut body = u32::try_from(letters).unwrap_or_default().to_be_bytes().to_vec();
        body.resize(4 + letters, b'p');
        body
    }

    #[test]
    fn answers_are_taken_in_any_order_long_beside_short() {
        let mut slots = Slots::default();
        let lengths = [3, RAW_BYTES + 1, 0, 100_000, RAW_BYTES - 4, RAW_BYTES - 3];
        let places: Vec<_> = (1..).map(Xid).zip(lengths).map(|(xid, _)| slots.open(xid)).collect();
        for (xid, letters) in (1..).map(Xid).zip(lengths) {
            assert!(slots.answer(xid, raw(OpCode::Sync, &path(letters))).is_none());
        }
        for at in [4, 0, 5, 3, 1, 2] {
            let answer = slots.take(places[at], "");
            assert_eq!(answer, Some(Ok(Answer::Path("p".repeat(lengths[at])))));
        }
        assert_eq!(slots.free.len(), slots.slots.len());
        assert!(slots.is_idle());
    }

    #[test]
    fn an_answer_is_not_there_before_it_has_come_and_its_memory_serves_the_next() {
        let mut slots = Slots::default();
        for n in 1..100 {
            let place = slots.open(Xid(n));
            assert_eq!(slots.take(place, ""), None);
            assert!(!slots.is_answered(place));
            slots.answer(Xid(n), raw(OpCode::Create, &path(50)));
            assert!(slots.is_answered(place));
            assert_eq!(slots.take(place, ""), Some(Ok(Answer::Path("p".repeat(50)))));
        }
        assert_eq!(slots.slots.len(), 1);
        assert!(slots.slots[0].body.capacity() <= RAW_BYTES);
    }

    #[test]
    fn abandoned_answers_leave_no_place_taken() {
        let mut slots = Slots::default();
        let places: Vec<_> = (1..=100).map(|n| slots.open(Xid(n))).collect();
        for place in &places[..50] {
            slots.abandon(*place);
        }
        for n in 1..=100 {
            slots.answer(Xid(n), raw(OpCode::Sync, &path(9)));
        }
        for place in &places[50..] {
            slots.abandon(*place);
        }
        assert_eq!(slots.free.len(), 100);
        slots.shrink();
        assert_eq!(slots.slots.len(), 0, "an idle session keeps nothing of a burst");
        let place = slots.open(Xid(101));
        slots.answer(Xid(101), Err(OpError::ConnectionLoss));
        assert_eq!(slots.take(place, ""), Some(Err(OpError::ConnectionLoss)));
    }

    #[test]
    fn the_answer_to_an_auth_packet_overtakes_others_and_a_bad_body_is_named() {
        let mut slots = Slots::default();
        let (get, auth) = (slots.open(Xid(1)), slots.open(Xid(2)));
        slots.answer(Xid(2), raw(OpCode::Auth, &[]));
        assert_eq!(slots.take(auth, ""), Some(Ok(Answer::Empty)));
        slots.answer(Xid(1), raw(OpCode::GetData, &[0, 0, 0, 9]));
        assert!(matches!(slots.take(get, ""), Some(Err(OpError::Malformed(_)))));
        assert_eq!(slots.take(get, ""), Some(Err(OpError::SessionClosed)), "it is taken once");
        assert!(slots.answer(Xid(7), raw(OpCode::Auth, &[])).is_none(), "nobody has asked");
        assert_eq!(slots.free.len(), 2);
    }
}
