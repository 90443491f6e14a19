//! A transport between a client and a server: two directions with latency, pieces and faults.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::rng::Rng;
use crate::server::ConnectionId;
use crate::time::{Duration, Instant};

/// How a network carries bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The way from one end to the other, at least.
    pub latency: Duration,
    /// What is added to it at most, drawn anew for each piece; pieces of one connection stay in
    /// order, those of different connections overtake each other.
    pub jitter: Duration,
    /// The longest piece, in bytes; lengths are drawn. 0: what is written at once arrives at once.
    pub longest_piece: usize,
}

impl Weather {
    /// A millisecond each way, and nothing else.
    pub const FAIR: Self =
        Self { latency: Duration::from_millis(1), jitter: Duration::ZERO, longest_piece: 0 };

    pub(super) fn delay(&self, rng: &mut Rng) -> Duration {
        if self.jitter == Duration::ZERO {
            return self.latency;
        }
        let extra = rng.between(0, self.jitter.as_millis());
        Duration::from_millis(self.latency.as_millis().saturating_add(extra))
    }
}

/// Bytes on their way.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: Instant,
    len: usize,
}

/// One direction of a transport: bytes arrive in order, each piece at its time, then the end.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    bytes: Vec<u8>,
    taken: usize,
    pieces: VecDeque<Piece>,
    end: Option<Instant>,
    /// Nothing comes through for now; nothing is lost either.
    stalled: bool,
}

impl Lane {
    pub(super) fn send(&mut self, now: Instant, bytes: &[u8], weather: &Weather, rng: &mut Rng) {
        if self.end.is_some() || bytes.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let mut left = bytes.len();
        while left > 0 {
            let len = match u64::try_from(weather.longest_piece) {
                Ok(longest @ 1..) => usize::try_from(rng.between(1, longest)).unwrap_or(left),
                _ => left,
            };
            let len = len.min(left);
            let at = self.after_the_last(now.after(weather.delay(rng)));
            self.pieces.push_back(Piece { at, len });
            left = left.saturating_sub(len);
        }
    }

    /// Nothing more is sent.
    pub(super) fn finish(&mut self, at: Instant) {
        if self.end.is_none() {
            self.end = Some(self.after_the_last(at));
        }
    }

    /// When there will be something to read.
    pub fn due(&self) -> Option<Instant> {
        let next = self.pieces.front().map(|piece| piece.at).or(self.end);
        next.filter(|_| !self.stalled)
    }

    /// What has arrived.
    pub fn arrived(&self, now: Instant) -> &[u8] {
        if self.stalled {
            return &[];
        }
        let due = self.pieces.iter().take_while(|piece| piece.at <= now);
        let len = due.fold(0_usize, |sum, piece| sum.saturating_add(piece.len));
        self.bytes.get(self.taken..self.taken.saturating_add(len)).unwrap_or_default()
    }

    /// Whether everything was read and nothing more will come.
    pub fn has_ended(&self, now: Instant) -> bool {
        !self.stalled && self.pieces.is_empty() && self.end.is_some_and(|at| at <= now)
    }

    /// Bytes that were sent and not yet read.
    pub fn in_flight(&self) -> usize {
        self.bytes.len().saturating_sub(self.taken)
    }

    /// The first `n` bytes have been read.
    pub(super) fn take(&mut self, n: usize) {
        self.taken = self.taken.saturating_add(n);
        let mut left = n;
        while let Some(piece) = self.pieces.front_mut().filter(|_| left > 0) {
            let part = piece.len.min(left);
            piece.len = piece.len.saturating_sub(part);
            left = left.saturating_sub(part);
            if piece.len == 0 {
                self.pieces.pop_front();
            }
        }
        if self.pieces.is_empty() {
            self.bytes.clear();
            self.taken = 0;
        }
    }

    /// What has arrived is looked at again later.
    pub(super) fn defer(&mut self, until: Instant) {
        for piece in &mut self.pieces {
            piece.at = piece.at.max(until);
        }
        self.end = self.end.map(|at| at.max(until));
    }

    pub(super) fn stall(&mut self) {
        self.stalled = true;
    }

    /// Things come through again; what waited arrives at `at`.
    pub(super) fn resume(&mut self, at: Instant) {
        if core::mem::take(&mut self.stalled) {
            self.defer(at);
        }
    }

    pub(super) const fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// What is on its way is lost.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        (self.taken, self.end) = (0, None);
    }

    /// Changes one bit of what is on its way; says whether there was anything.
    pub(super) fn garble(&mut self, rng: &mut Rng) -> bool {
        let Some(last) = self.in_flight().checked_sub(1) else { return false };
        let at = usize::try_from(rng.between(0, u64::try_from(last).unwrap_or(0))).unwrap_or(0);
        let bit = 1_u8.rotate_left(u32::try_from(rng.between(0, 7)).unwrap_or(0));
        match self.bytes.get_mut(self.taken.saturating_add(at)) {
            Some(byte) => *byte ^= bit,
            None => return false,
        }
        true
    }

    fn after_the_last(&self, at: Instant) -> Instant {
        self.pieces.back().map_or(at, |last| at.max(last.at))
    }
}

/// One transport connection, as long as either end still has it.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    pub(super) client: usize,
    pub(super) server: usize,
    pub(super) conn: ConnectionId,
    /// No other transport of this world has it.
    pub(super) serial: u64,
    pub(super) up: Lane,
    pub(super) down: Lane,
    /// The client has it open.
    pub(super) near: bool,
    /// The ensemble has it open.
    pub(super) far: bool,
    /// The one entry in the agenda that counts.
    pub(super) due: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn bytes_arrive_in_order_and_complete_however_they_are_cut() {
        let mut rng = Rng::new(3);
        let weather = Weather {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(30),
            longest_piece: 7,
        };
        let mut lane = Lane::default();
        let sent: Vec<u8> = (0..=255).collect();
        for (now, part) in (0..).zip(sent.chunks(40)) {
            lane.send(at(now), part, &weather, &mut rng);
        }
        lane.finish(at(10));
        let (mut got, mut last) = (Vec::new(), at(0));
        while let Some(due) = lane.due() {
            assert!(due >= last && due >= at(5));
            last = due;
            let part = lane.arrived(due).to_vec();
            if part.is_empty() {
                break;
            }
            got.extend_from_slice(&part[..1]);
            lane.take(1);
        }
        assert_eq!(got, sent);
        assert!(lane.has_ended(last) && lane.in_flight() == 0);
    }

    #[test]
    fn a_stalled_lane_loses_nothing() {
        let mut rng = Rng::new(3);
        let mut lane = Lane::default();
        lane.send(at(1), b"abc", &Weather::FAIR, &mut rng);
        lane.stall();
        lane.finish(at(4));
        assert_eq!(
            (lane.due(), lane.arrived(at(9)), lane.has_ended(at(9))),
            (None, &b""[..], false)
        );
        lane.resume(at(20));
        assert_eq!((lane.due(), lane.arrived(at(19))), (Some(at(20)), &b""[..]));
        assert_eq!(lane.arrived(at(20)), b"abc");
        lane.take(3);
        assert!(lane.has_ended(at(20)));
    }

    #[test]
    fn garbling_changes_one_bit() {
        let mut rng = Rng::new(3);
        let mut lane = Lane::default();
        assert!(!lane.garble(&mut rng));
        lane.send(at(1), &[0; 9], &Weather::FAIR, &mut rng);
        assert!(lane.garble(&mut rng));
        let ones: u32 = lane.arrived(at(2)).iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(ones, 1);
    }
}
