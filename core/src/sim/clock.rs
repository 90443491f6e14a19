//! A host's clock, which need not go as the world's does.

use crate::time::{Duration, Instant};

/// The rate of a clock that is in step with the world's.
const IN_STEP: u64 = 1000;

/// A host's monotonic clock: it may run fast or slow, stand still and jump ahead, but never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// A moment of the world and what the clock showed then.
    world: Instant,
    own: Instant,
    /// How far it goes in a second of the world, in milliseconds.
    per_mille: u64,
}

impl Clock {
    /// A clock that shows the world's time.
    pub const fn new() -> Self {
        Self { world: Instant::ORIGIN, own: Instant::ORIGIN, per_mille: IN_STEP }
    }

    /// What the clock shows.
    pub fn read(&self, world: Instant) -> Instant {
        let gone = world.since(self.world);
        if self.per_mille == IN_STEP {
            return self.own.after(gone);
        }
        self.own.after(gone.scaled(self.per_mille, IN_STEP))
    }

    /// The first moment of the world at which the clock shows at least `own`; `None` if it stands
    /// still before.
    pub fn reaches(&self, own: Instant) -> Option<Instant> {
        let ahead = own.since(self.own).as_millis();
        if self.per_mille == IN_STEP || ahead == 0 {
            return Some(self.world.after(Duration::from_millis(ahead)));
        }
        let span = u128::from(ahead)
            .saturating_mul(u128::from(IN_STEP))
            .checked_next_multiple_of(u128::from(self.per_mille))?
            .checked_div(u128::from(self.per_mille))?;
        Some(self.world.after(Duration::from_millis(u64::try_from(span).unwrap_or(u64::MAX))))
    }

    /// From now on it goes this many milliseconds in a second of the world: 1000 is right, 0 stands
    /// still.
    pub fn set_rate(&mut self, world: Instant, per_mille: u32) {
        (self.own, self.world) = (self.read(world), world.max(self.world));
        self.per_mille = per_mille.into();
    }

    /// How far it goes in a second of the world, in milliseconds.
    pub fn rate(&self) -> u32 {
        u32::try_from(self.per_mille).unwrap_or(u32::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_clock_goes_at_its_rate_and_never_back() {
        let mut clock = Clock::new();
        assert_eq!(clock.read(at(500)), at(500));
        clock.set_rate(at(1000), 900);
        assert_eq!(clock.read(at(2000)), at(1900));
        clock.set_rate(at(2000), 1100);
        assert_eq!(clock.read(at(3000)), at(3000));
        clock.set_rate(at(3000), 0);
        assert_eq!(clock.read(at(9000)), at(3000));
        clock.set_rate(at(9000), 1000);
        assert_eq!(clock.read(at(9001)), at(3001));
        assert_eq!(clock.read(at(0)), at(3000), "the past is not told again");
    }

    #[test]
    fn whoever_waits_for_a_time_is_woken_when_the_clock_shows_it_and_no_earlier() {
        for rate in [1, 333, 900, 999, 1000, 1001, 1100, 3000] {
            let mut clock = Clock::new();
            clock.set_rate(at(100), rate);
            for own in 101..400 {
                let world = clock.reaches(at(own)).unwrap();
                assert!(clock.read(world) >= at(own));
                let before = at(world.as_millis() - 1);
                assert!(clock.read(before) < at(own), "rate {rate}, {own}");
            }
        }
        let mut clock = Clock::new();
        clock.set_rate(at(100), 0);
        assert_eq!(clock.reaches(at(101)), None);
        assert_eq!(clock.reaches(at(100)), Some(at(100)));
    }
}
