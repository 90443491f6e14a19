//! Time as the machines see it: milliseconds, ZooKeeper's own unit, handed in by the caller.

use core::fmt;

/// A point on the caller's monotonic clock, in milliseconds from an origin of the caller's choice.
///
/// There is no `now()`: the core never reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

/// What spans and draws are counted in: the machine's own numbers, for 64 bits are dear on 32.
#[cfg(target_pointer_width = "64")]
pub(crate) type Number = u64;
#[cfg(not(target_pointer_width = "64"))]
pub(crate) type Number = u32;

/// A span of time in milliseconds; on machines of less than 64 bits at most 2^32 - 1 of them, which
/// are 49 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Duration(Number);

impl Instant {
    /// The origin of the clock.
    pub const ORIGIN: Instant = Instant(0);

    /// Names the point `millis` after the clock's origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's origin.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later of the two.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The point `span` later; the far end of the clock if it would lie beyond.
    #[must_use]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_millis()))
    }
}

/// A point in time, or none, in no more memory than the one takes: the far end of the clock, which
/// does not come, stands for none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maybe(Instant);

impl Maybe {
    pub(crate) const NONE: Self = Self(Instant(u64::MAX));

    pub(crate) const fn at(at: Instant) -> Self {
        Self(at)
    }

    pub(crate) fn get(self) -> Option<Instant> {
        (self.0 < Self::NONE.0).then_some(self.0)
    }
}

/// A span of time, or none, in the same way: the longest stands for none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaybeSpan(Duration);

impl MaybeSpan {
    pub(crate) const fn of(span: Option<Duration>) -> Self {
        match span {
            Some(span) => Self(span),
            None => Self(Duration(Number::MAX)),
        }
    }

    pub(crate) const fn get(self) -> Option<Duration> {
        if self.0.0 < Number::MAX { Some(self.0) } else { None }
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// A span of `millis` milliseconds.
    #[cfg(target_pointer_width = "64")]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A span of `millis` milliseconds, or the longest there is.
    #[cfg(not(target_pointer_width = "64"))]
    pub const fn from_millis(millis: u64) -> Self {
        match millis.to_le_bytes() {
            [a, b, c, d, 0, 0, 0, 0] => Self(Number::from_le_bytes([a, b, c, d])),
            _ => Self(Number::MAX),
        }
    }

    pub(crate) const fn from_number(millis: Number) -> Self {
        Self(millis)
    }

    /// The span in milliseconds.
    pub(crate) const fn number(self) -> Number {
        self.0
    }

    /// A span of `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }

    /// The span in milliseconds.
    #[cfg(target_pointer_width = "64")]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The span in milliseconds.
    #[cfg(not(target_pointer_width = "64"))]
    pub const fn as_millis(self) -> u64 {
        let [a, b, c, d] = self.0.to_le_bytes();
        u64::from_le_bytes([a, b, c, d, 0, 0, 0, 0])
    }

    /// The span in milliseconds as the wire's signed 32-bit field, capped at its maximum.
    pub(crate) fn as_wire_millis(self) -> i32 {
        i32::try_from(self.0).unwrap_or(i32::MAX)
    }

    /// A span from the wire's signed 32-bit field; negative values are zero.
    pub(crate) fn from_wire_millis(millis: i32) -> Self {
        Self(Number::try_from(millis).unwrap_or(0))
    }

    /// `self × numerator / denominator`, saturating; a zero denominator yields the numerator's
    /// product unchanged.
    #[must_use]
    pub const fn scaled(self, numerator: u64, denominator: u64) -> Self {
        let product = self.as_millis().saturating_mul(numerator);
        match product.checked_div(denominator) {
            Some(quotient) => Self::from_millis(quotient),
            None => Self::from_millis(product),
        }
    }

    /// As [`scaled`](Self::scaled) by small numbers, without a division of 64 bits.
    #[must_use]
    #[cfg(target_pointer_width = "64")]
    pub(crate) fn share(self, numerator: u8, denominator: u8) -> Self {
        self.scaled(numerator.into(), denominator.into())
    }

    /// As [`scaled`](Self::scaled) by small numbers, without a division of 64 bits.
    #[must_use]
    #[cfg(not(target_pointer_width = "64"))]
    pub(crate) fn share(self, numerator: u8, denominator: u8) -> Self {
        let (numerator, denominator) = (Number::from(numerator), Number::from(denominator));
        let whole = self.0.checked_div(denominator).unwrap_or(self.0);
        let rest = self.0.wrapping_sub(whole.wrapping_mul(denominator));
        let rest = rest.wrapping_mul(numerator).checked_div(denominator).unwrap_or(0);
        Self(whole.saturating_mul(numerator).saturating_add(rest))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = Instant::from_millis(u64::MAX);
        assert_eq!(end.after(Duration::from_millis(5)), end);
        assert_eq!(Instant::ORIGIN.since(end), Duration::ZERO);
        assert_eq!(Duration::from_millis(u64::MAX).as_wire_millis(), i32::MAX);
        assert_eq!(Duration::from_wire_millis(-7), Duration::ZERO);
        assert_eq!(Duration::from_millis(4000).scaled(2, 3), Duration::from_millis(2666));
        assert_eq!(Duration::from_millis(3).scaled(2, 0), Duration::from_millis(6));
    }
}
