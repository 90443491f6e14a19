//! Requests that the session cannot take yet, in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use zk_session::storage::Limits;
use zk_session::wire::{OpCode, Request, Writer};
use zk_session::{Instant, SubmitError};

use crate::watch::Queue;

/// A request that has left its caller's memory, with what belongs to it.
#[derive(Debug)]
pub(crate) struct Parcel {
    op: OpCode,
    body: Vec<u8>,
    /// It is about the ensemble's configuration, which its opcode does not tell.
    config: bool,
    /// When it is given up.
    pub(crate) deadline: Option<Instant>,
    /// The watch that it wishes for.
    pub(crate) wish: Option<Arc<Queue>>,
}

impl Parcel {
    pub(crate) fn new(
        request: &Request<'_>,
        deadline: Option<Instant>,
        wish: Option<Arc<Queue>>,
    ) -> Self {
        let mut measure = Writer::new(&mut []);
        request.encode(&mut measure);
        let mut body = vec![0; measure.len()];
        request.encode(&mut Writer::new(&mut body));
        let config = matches!(request, Request::GetConfig { .. });
        Self { op: request.op(), body, config, deadline, wish }
    }

    /// What is asked.
    pub(crate) const fn op(&self) -> OpCode {
        self.op
    }

    /// Bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The request again.
    pub(crate) fn request(&self) -> Result<Request<'_>, SubmitError> {
        match Request::decode(self.op, &self.body) {
            Ok(Request::GetData { watch, .. }) if self.config => Ok(Request::GetConfig { watch }),
            Ok(request) => Ok(request),
            // It was encoded above, and reads as it was written.
            Err(_) => Err(SubmitError::Reserved),
        }
    }
}

/// The line: first come, first served.
#[derive(Debug, Default)]
pub(crate) struct Line {
    waiting: BTreeMap<u64, (u32, Parcel)>,
    bytes: usize,
    /// No deadline in the line or outside of it lies before this.
    earliest: Option<Instant>,
    /// Futures that wait for room in the line, and until when.
    outside: BTreeMap<u64, (Waker, Option<Instant>)>,
}

impl Line {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nobody is in line, nor waits to be.
    pub(crate) fn is_unused(&self) -> bool {
        self.waiting.is_empty() && self.outside.is_empty()
    }

    /// Whether another request may join.
    pub(crate) fn has_room(&self, limits: &Limits, bytes: usize) -> bool {
        self.waiting.is_empty()
            || (self.waiting.len() < limits.requests
                && self.bytes.saturating_add(bytes) <= limits.transmit)
    }

    /// The number that the next request in line will get. Such as wait outside keep theirs while there
    /// is no line.
    pub(crate) fn number(&self) -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn join(&mut self, number: u64, place: u32, parcel: Parcel) {
        self.bytes = self.bytes.saturating_add(parcel.len());
        self.earliest = [self.earliest, parcel.deadline].into_iter().flatten().min();
        self.waiting.insert(number, (place, parcel));
    }

    /// The request at the head of the line.
    pub(crate) fn first(&self) -> Option<(u64, u32, &Parcel)> {
        self.waiting.first_key_value().map(|(number, (place, parcel))| (*number, *place, parcel))
    }

    pub(crate) fn leave(&mut self, number: u64) {
        if let Some((_, parcel)) = self.waiting.remove(&number) {
            self.bytes = self.bytes.saturating_sub(parcel.len());
            if self.waiting.is_empty() {
                self.bytes = 0;
                if self.outside.is_empty() {
                    self.earliest = None;
                }
            }
        }
    }

    /// Takes everybody out: their places.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = u32> + use<> {
        (self.bytes, self.earliest) = (0, None);
        std::mem::take(&mut self.waiting).into_values().map(|(place, _)| place)
    }

    /// When the line is to be looked at again for a deadline.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.earliest
    }

    /// Takes out those whose deadline has passed: their places. Those outside are woken, to see for
    /// themselves.
    pub(crate) fn expired(&mut self, now: Instant, wakes: &mut Vec<Waker>) -> Vec<u32> {
        if self.earliest.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let late = |parcel: &Parcel| parcel.deadline.is_some_and(|at| at <= now);
        let numbers: Vec<(u64, u32)> = self
            .waiting
            .iter()
            .filter(|(_, (_, parcel))| late(parcel))
            .map(|(number, (place, _))| (*number, *place))
            .collect();
        for (number, _) in &numbers {
            self.leave(*number);
        }
        self.outside.retain(|_, (waker, deadline)| {
            let stays = deadline.is_none_or(|at| at > now);
            if !stays {
                wakes.push(std::mem::replace(waker, Waker::noop().clone()));
            }
            stays
        });
        let inside = self.waiting.values().filter_map(|(_, parcel)| parcel.deadline);
        let outside = self.outside.values().filter_map(|(_, deadline)| *deadline);
        self.earliest = inside.chain(outside).min();
        numbers.into_iter().map(|(_, place)| place).collect()
    }

    /// A future waits for room; the earlier its number, the earlier its turn. Says whether the line
    /// is to be looked at earlier now.
    pub(crate) fn wait_outside(
        &mut self,
        number: u64,
        waker: Waker,
        deadline: Option<Instant>,
    ) -> bool {
        self.outside.insert(number, (waker, deadline));
        let before = self.earliest;
        self.earliest = [before, deadline].into_iter().flatten().min();
        self.earliest != before
    }

    /// The future waits no longer.
    pub(crate) fn gone_outside(&mut self, number: u64) {
        self.outside.remove(&number);
    }

    /// Wakes as many of those outside as there is room for.
    pub(crate) fn call_in(&mut self, limits: &Limits, wakes: &mut Vec<Waker>) {
        let mut room = limits.requests.saturating_sub(self.waiting.len());
        if self.bytes >= limits.transmit {
            return;
        }
        while room > 0 {
            let Some((_, (waker, _))) = self.outside.pop_first() else { return };
            wakes.push(waker);
            room -= 1;
        }
    }

    /// Wakes all of those outside.
    pub(crate) fn call_all_in(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(std::mem::take(&mut self.outside).into_values().map(|(waker, _)| waker));
    }
}
