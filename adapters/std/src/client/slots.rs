//! Answers on their way to the threads that wait for them.
//!
//! The thread that waits decodes its answer where the session has received it. An answer that is in
//! the way of another's is copied as it came, into memory that its slot keeps from one answer to the
//! next, and decoded by its own thread all the same: what an application holds is allocated and freed
//! by one thread, which allocators are quick at, and to read for others takes no longer than a copy.

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

    /// Whether a single request is in flight.
    pub(crate) fn has_one(&self) -> bool {
        self.order.len() == 1
    }

    /// Whether no request is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.order.is_empty()
    }

    /// The place of a request that is answered, and in flight no more.
    #[inline]
    pub(crate) fn answered(&mut self, xid: Xid) -> Option<usize> {
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

    /// Puts an answer into its place, unless nobody will ask for it; returns who waits for it.
    pub(crate) fn fill(
        &mut self,
        place: usize,
        result: Result<RawReply<'_>, OpError>,
    ) -> Option<Thread> {
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
            result => State::Answered(Box::new(decoded(result))),
        };
        thread
    }

    /// Frees a place, for whoever takes its answer from where it has been received.
    #[inline]
    pub(crate) fn release(&mut self, place: usize) {
        if let Some(slot) = self.slots.get_mut(place) {
            if let State::Pending(Some(_)) = std::mem::take(&mut slot.state) {
                self.parked -= 1;
            }
        }
        self.free.push(place);
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
        Some(decoded(Ok(RawReply::new(op, &slot.body, chroot))))
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

    #[inline]
    fn put(&mut self, place: usize, state: State) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.state = state;
        }
    }
}

/// The answer, with memory of its own.
#[inline]
pub(crate) fn decoded(result: Result<RawReply<'_>, OpError>) -> Result<Answer, OpError> {
    Answer::from_raw(&result?).map_err(OpError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        slots: &mut Slots,
        xid: i32,
        result: Result<RawReply<'_>, OpError>,
    ) -> Option<Thread> {
        let place = slots.answered(Xid(xid))?;
        slots.fill(place, result)
    }

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
            assert!(answer(&mut slots, xid.0, raw(OpCode::Sync, &path(letters))).is_none());
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
            answer(&mut slots, n, raw(OpCode::Create, &path(50)));
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
            answer(&mut slots, n, raw(OpCode::Sync, &path(9)));
        }
        for place in &places[50..] {
            slots.abandon(*place);
        }
        assert_eq!(slots.free.len(), 100);
        slots.shrink();
        assert_eq!(slots.slots.len(), 0, "an idle session keeps nothing of a burst");
        let place = slots.open(Xid(101));
        answer(&mut slots, 101, Err(OpError::ConnectionLoss));
        assert_eq!(slots.take(place, ""), Some(Err(OpError::ConnectionLoss)));
    }

    #[test]
    fn the_answer_to_an_auth_packet_overtakes_others_and_a_bad_body_is_named() {
        let mut slots = Slots::default();
        let (get, auth) = (slots.open(Xid(1)), slots.open(Xid(2)));
        answer(&mut slots, 2, raw(OpCode::Auth, &[]));
        assert_eq!(slots.take(auth, ""), Some(Ok(Answer::Empty)));
        answer(&mut slots, 1, raw(OpCode::GetData, &[0, 0, 0, 9]));
        assert!(matches!(slots.take(get, ""), Some(Err(OpError::Malformed(_)))));
        assert_eq!(slots.take(get, ""), Some(Err(OpError::SessionClosed)), "it is taken once");
        assert!(answer(&mut slots, 7, raw(OpCode::Auth, &[])).is_none(), "nobody has asked");
        assert_eq!(slots.free.len(), 2);
    }
}
