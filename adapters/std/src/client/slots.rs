//! Answers on their way to the threads that wait for them.
//!
//! The thread that waits decodes its answer where the session has received it. An answer that is in
//! the way of another's is copied as it came, into memory that is kept from one answer to the next,
//! and decoded by its own thread all the same: what an application holds is allocated and freed by
//! one thread, which allocators are quick at, and to read for others takes no longer than a copy.

use std::collections::{BTreeMap, VecDeque};
use std::thread::Thread;

use zk_session::OpError;
use zk_session::client::RawReply;
use zk_session::owned::Answer;
use zk_session::wire::{OpCode, Xid};

/// The longest body that is kept undecoded. Of a longer one the copy would cost more than the rest.
const RAW_BYTES: usize = 1024;

/// How many slots there are at the most before answers that nobody takes are put aside.
const MANY: usize = 4096;

/// Places for the answers to requests, each from its request until its answer is taken.
///
/// A place is the number of the request. Answers come in the order of the requests and are mostly
/// taken so: all that is not taken lies in one row, with the requests in flight at its end.
#[derive(Default)]
pub(crate) struct Slots {
    row: VecDeque<Slot>,
    /// The place of the row's first slot.
    first: u64,
    /// The place of the oldest request in flight.
    oldest: u64,
    /// How many requests behind that one are answered already.
    early: usize,
    /// Answers that were not taken for so long that the row has gone on without them.
    aside: BTreeMap<u64, State>,
    /// Memory for the bodies of answers.
    bodies: Vec<Vec<u8>>,
    /// How many threads are parked for answers.
    parked: usize,
}

struct Slot {
    xid: Xid,
    state: State,
}

enum State {
    /// Not answered; this thread is parked for it, if any.
    Pending(Option<Thread>),
    /// Not answered, and nobody will ask.
    Abandoned,
    /// The successful answer to such a request: its body.
    Raw(OpCode, Vec<u8>),
    /// Answered with no body, or one that is too long to be copied twice.
    Answered(Box<Result<Answer, OpError>>),
    /// Answered and taken.
    Taken,
}

impl State {
    const fn is_in_flight(&self) -> bool {
        matches!(self, Self::Pending(_) | Self::Abandoned)
    }
}

impl Slots {
    /// A place for the answer to a request.
    #[inline]
    pub(crate) fn open(&mut self, xid: Xid) -> u64 {
        if self.row.len() == self.row.capacity() {
            self.make_room();
        }
        self.row.push_back(Slot { xid, state: State::Pending(None) });
        self.end() - 1
    }

    /// The place of the next request.
    #[inline]
    fn end(&self) -> u64 {
        self.first + self.row.len() as u64
    }

    /// Before the row grows far, answers that nobody takes are put aside.
    #[cold]
    fn make_room(&mut self) {
        if self.row.len() >= MANY {
            while self.first < self.oldest {
                let Some(slot) = self.row.pop_front() else { break };
                if !matches!(slot.state, State::Taken) {
                    self.aside.insert(self.first, slot.state);
                }
                self.first += 1;
            }
        }
    }

    /// Whether no request is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.oldest == self.end()
    }

    /// Whether a single request is in flight.
    #[inline]
    pub(crate) fn has_one(&self) -> bool {
        self.oldest + 1 == self.end()
    }

    #[inline]
    fn slot(&mut self, place: u64) -> Option<&mut Slot> {
        let at = place.checked_sub(self.first)?;
        self.row.get_mut(usize::try_from(at).ok()?)
    }

    /// Whether this is the place of the oldest request of all, and it is in flight.
    #[inline]
    pub(crate) const fn is_next(&self, place: u64) -> bool {
        place == self.first && place == self.oldest && self.early == 0
    }

    /// Says whether the request that is answered is the oldest one of all and this the place where
    /// its answer is wanted: then both are done with.
    #[inline(always)]
    pub(crate) fn answered_to(&mut self, xid: Xid, place: u64) -> bool {
        let is_it = self.is_next(place)
            && self
                .row
                .front()
                .is_some_and(|slot| slot.xid == xid && matches!(slot.state, State::Pending(None)));
        if is_it {
            // There is nothing in it to drop.
            std::mem::forget(self.row.pop_front());
            self.first += 1;
            self.oldest += 1;
        }
        is_it
    }

    /// The place of a request that is answered, and in flight no more.
    fn answered(&mut self, xid: Xid) -> Option<u64> {
        let place = self.oldest;
        if self.slot(place)?.xid != xid {
            return self.answered_early(xid);
        }
        self.oldest += 1;
        while self.early > 0 && !self.is_in_flight(self.oldest) {
            self.early -= 1;
            self.oldest += 1;
        }
        Some(place)
    }

    fn is_in_flight(&mut self, place: u64) -> bool {
        self.slot(place).is_some_and(|slot| slot.state.is_in_flight())
    }

    /// Answers come in order, but for those of auth packets.
    #[cold]
    fn answered_early(&mut self, xid: Xid) -> Option<u64> {
        let from = usize::try_from(self.oldest - self.first).ok()?;
        let is_it = |slot: &Slot| slot.xid == xid && slot.state.is_in_flight();
        let at = self.row.iter().skip(from).position(is_it)?;
        self.early += 1;
        Some(self.oldest + at as u64)
    }

    /// Puts an answer into its place, unless nobody will ask for it; returns who waits for it.
    pub(crate) fn answer(
        &mut self,
        xid: Xid,
        result: Result<RawReply<'_>, OpError>,
    ) -> Option<Thread> {
        let place = self.answered(xid)?;
        if !matches!(self.slot(place)?.state, State::Pending(_)) {
            self.release(place);
            return None;
        }
        let state = match result {
            Ok(reply) if reply.body().len() <= RAW_BYTES => {
                let mut body = self.bodies.pop().unwrap_or_default();
                body.extend_from_slice(reply.body());
                State::Raw(reply.op(), body)
            }
            result => State::Answered(Box::new(decoded(result))),
        };
        match std::mem::replace(&mut self.slot(place)?.state, state) {
            State::Pending(Some(thread)) => {
                self.parked -= 1;
                Some(thread)
            }
            _ => None,
        }
    }

    /// Frees the place of an answer that is taken, or that nobody will take.
    fn release(&mut self, place: u64) {
        if let Some(slot) = self.slot(place) {
            if let State::Pending(Some(_)) = std::mem::replace(&mut slot.state, State::Taken) {
                self.parked -= 1;
            }
        }
        while self.first < self.oldest {
            let Some(Slot { state: State::Taken, .. }) = self.row.front() else { return };
            self.row.pop_front();
            self.first += 1;
        }
    }

    /// The answer in a place where there is one; `chroot` is the session's.
    #[inline(never)]
    pub(crate) fn take(&mut self, place: u64, chroot: &str) -> Result<Answer, OpError> {
        let state = match self.slot(place) {
            Some(slot) => {
                let state = std::mem::replace(&mut slot.state, State::Taken);
                self.release(place);
                state
            }
            None => self.aside.remove(&place).unwrap_or(State::Taken),
        };
        match state {
            State::Raw(op, mut body) => {
                let answer = decoded(Ok(RawReply::new(op, &body, chroot)));
                body.clear();
                self.bodies.push(body);
                answer
            }
            State::Answered(answer) => *answer,
            _ => Err(OpError::SessionClosed),
        }
    }

    /// Remembers who is parked until the answer is there.
    pub(crate) fn park(&mut self, place: u64, waiter: Thread) {
        if let Some(Slot { state: State::Pending(thread), .. }) = self.slot(place) {
            if thread.replace(waiter).is_none() {
                self.parked += 1;
            }
        }
    }

    /// Who is parked for an answer, and will be the first to have it.
    pub(crate) fn next_waiter(&self) -> Option<Thread> {
        if self.parked == 0 {
            return None;
        }
        // What lies before is answered.
        let from = usize::try_from(self.oldest - self.first).ok()?;
        self.row.iter().skip(from).find_map(|slot| match &slot.state {
            State::Pending(thread) => thread.clone(),
            _ => None,
        })
    }

    /// Whether any thread is parked for an answer.
    #[inline]
    pub(crate) const fn has_waiters(&self) -> bool {
        self.parked > 0
    }

    /// Whether the answer is there.
    #[inline]
    pub(crate) fn is_answered(&mut self, place: u64) -> bool {
        place != self.oldest && place < self.end() && !self.is_in_flight(place)
    }

    /// Nobody will ask for the answer.
    pub(crate) fn abandon(&mut self, place: u64) {
        match self.slot(place) {
            Some(slot) if slot.state.is_in_flight() => slot.state = State::Abandoned,
            Some(_) => self.release(place),
            None => drop(self.aside.remove(&place)),
        }
    }

    /// Gives back memory that is for answers.
    pub(crate) fn shrink(&mut self) {
        self.row.shrink_to_fit();
        self.bodies = Vec::new();
    }
}

/// The answer, with memory of its own.
#[inline(always)]
pub(crate) fn decoded(result: Result<RawReply<'_>, OpError>) -> Result<Answer, OpError> {
    match result {
        Ok(reply) => Answer::from_raw(&reply),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(
        slots: &mut Slots,
        xid: i32,
        result: Result<RawReply<'_>, OpError>,
    ) -> Option<Thread> {
        slots.answer(Xid(xid), result)
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

    fn paths(letters: usize) -> Result<Answer, OpError> {
        Ok(Answer::Path("p".repeat(letters)))
    }

    #[test]
    fn answers_are_taken_in_any_order_long_beside_short() {
        let mut slots = Slots::default();
        let lengths = [3, RAW_BYTES + 1, 0, 100_000, RAW_BYTES - 4, RAW_BYTES - 3];
        let places: Vec<_> = (1..).map(Xid).zip(lengths).map(|(xid, _)| slots.open(xid)).collect();
        for (xid, letters) in (1..).zip(lengths) {
            assert!(answer(&mut slots, xid, raw(OpCode::Sync, &path(letters))).is_none());
        }
        for at in [4, 0, 5, 3, 1, 2] {
            assert_eq!(slots.take(places[at], ""), paths(lengths[at]));
        }
        assert!(slots.row.is_empty() && slots.is_idle());
    }

    #[test]
    fn an_answer_is_not_there_before_it_has_come_and_its_memory_serves_the_next() {
        let mut slots = Slots::default();
        for n in 1..100 {
            let place = slots.open(Xid(n));
            assert!(slots.has_one());
            assert!(!slots.is_answered(place));
            answer(&mut slots, n, raw(OpCode::Create, &path(50)));
            assert!(slots.is_answered(place) && slots.is_idle());
            assert_eq!(slots.take(place, ""), paths(50));
        }
        assert_eq!(slots.bodies.len(), 1);
        assert!(slots.bodies[0].capacity() <= RAW_BYTES);
        assert!(slots.row.capacity() < 16);
    }

    #[test]
    fn an_answer_that_is_taken_where_it_was_received_frees_its_place() {
        let mut slots = Slots::default();
        let places: Vec<_> = (1..=3).map(|n| slots.open(Xid(n))).collect();
        for (xid, place) in (1..).zip(places) {
            let next = place + 1;
            assert!(!slots.answered_to(Xid(xid), next) && !slots.answered_to(Xid(9), place));
            assert!(slots.answered_to(Xid(xid), place));
        }
        assert!(slots.row.is_empty() && slots.is_idle());
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
        assert_eq!(slots.row.len(), 50);
        for place in &places[50..] {
            slots.abandon(*place);
        }
        assert!(slots.row.is_empty());
        slots.shrink();
        assert_eq!((slots.row.capacity(), slots.bodies.len()), (0, 0), "nothing is kept of it");
        let place = slots.open(Xid(101));
        answer(&mut slots, 101, Err(OpError::ConnectionLoss));
        assert_eq!(slots.take(place, ""), Err(OpError::ConnectionLoss));
    }

    #[test]
    fn answers_that_nobody_takes_do_not_make_the_row_grow_with_those_that_are_taken() {
        let mut slots = Slots::default();
        let kept: Vec<_> = (0..5)
            .map(|turn| {
                let kept = slots.open(Xid(1));
                answer(&mut slots, 1, raw(OpCode::Sync, &path(turn)));
                for xid in 2..20_000 {
                    let place = slots.open(Xid(xid));
                    answer(&mut slots, xid, raw(OpCode::Sync, &path(3)));
                    assert_eq!(slots.take(place, ""), paths(3));
                }
                kept
            })
            .collect();
        assert!(slots.row.capacity() <= 2 * MANY, "{}", slots.row.capacity());
        slots.abandon(kept[4]);
        for (letters, place) in kept[..4].iter().enumerate().rev() {
            assert!(slots.is_answered(*place));
            assert_eq!(slots.take(*place, ""), paths(letters));
        }
        assert!(slots.aside.is_empty());
    }

    #[test]
    fn the_answer_to_an_auth_packet_overtakes_others_and_a_bad_body_is_named() {
        let mut slots = Slots::default();
        let (get, auth) = (slots.open(Xid(1)), slots.open(Xid(2)));
        answer(&mut slots, 2, raw(OpCode::Auth, &[]));
        assert!(slots.is_answered(auth) && !slots.is_answered(get));
        assert_eq!(slots.take(auth, ""), Ok(Answer::Empty));
        answer(&mut slots, 1, raw(OpCode::GetData, &[0, 0, 0, 9]));
        assert!(slots.is_idle());
        assert!(matches!(slots.take(get, ""), Err(OpError::Malformed(_))));
        assert_eq!(slots.take(get, ""), Err(OpError::SessionClosed), "it is taken once");
        assert!(answer(&mut slots, 7, raw(OpCode::Auth, &[])).is_none(), "nobody has asked");
        assert!(slots.row.is_empty());
    }
}
