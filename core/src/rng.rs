//! A small seeded generator for shuffles and jitter. Not for secrets.

use crate::time::Number;

/// SplitMix64: one addition and three multiply-xor rounds a draw, any seed is a good seed.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// As [`between`](Self::between), in numbers that the machine can divide.
    #[cfg(target_pointer_width = "64")]
    pub(crate) fn draw(&mut self, low: Number, high: Number) -> Number {
        self.between(low, high)
    }

    /// A number in `low..=high`; `low` if the range is empty.
    #[cfg(not(target_pointer_width = "64"))]
    pub(crate) fn draw(&mut self, low: Number, high: Number) -> Number {
        let span = high.saturating_sub(low).saturating_add(1);
        let [.., a, b, c, d] = self.next().to_le_bytes();
        let drawn = Number::from_le_bytes([a, b, c, d]);
        low.saturating_add(drawn.checked_rem(span).unwrap_or(0))
    }

    /// A number in `low..=high`; `low` if the range is empty.
    #[cfg(any(target_pointer_width = "64", feature = "sim", test))]
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).saturating_add(1);
        low.saturating_add(self.next().checked_rem(span).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_within_their_range_and_reach_both_ends() {
        let mut rng = Rng::new(7);
        let mut seen = [false; 4];
        for _ in 0..200 {
            let n = rng.between(3, 6);
            assert!((3..=6).contains(&n));
            seen[usize::try_from(n - 3).unwrap()] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(rng.between(9, 2), 9);
    }
}
