//! Which host is next.

use super::connect_string::{ConnectString, Host};
use crate::rng::Rng;

/// A host of the session's connection string, counted from 0 in the string's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HostIndex(pub(super) u8);

impl HostIndex {
    /// The host's place in the connection string.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn of<'a>(self, hosts: &ConnectString<'a>) -> Option<Host<'a>> {
        hosts.hosts().nth(self.index())
    }
}

/// The hosts in shuffled order, tried round and round.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    order: [u8; ConnectString::MAX_HOSTS],
    count: u8,
    current: u8,
}

impl Hosts {
    /// Shuffles `count` hosts, so that clients spread over an ensemble.
    pub(super) fn new(count: usize, rng: &mut Rng) -> Self {
        let count = count.min(ConnectString::MAX_HOSTS);
        let mut order = [0; ConnectString::MAX_HOSTS];
        for (place, host) in order.iter_mut().zip(0..) {
            *place = host;
        }
        for last in (1..count).rev() {
            let other = rng.between(0, u64::try_from(last).unwrap_or(0));
            order.swap(last, usize::try_from(other).unwrap_or(last));
        }
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        // The first `advance` lands on the first place.
        Self { order, count, current: count.saturating_sub(1) }
    }

    /// One bit for each host.
    pub(super) fn all(&self) -> u64 {
        u64::MAX.checked_shr(64_u32.saturating_sub(u32::from(self.count))).unwrap_or(0)
    }

    /// The current host's bit.
    pub(super) fn bit(&self) -> u64 {
        1_u64.checked_shl(u32::from(self.current().0)).unwrap_or(0)
    }

    pub(super) fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// The host that is being tried or used.
    pub(super) fn current(&self) -> HostIndex {
        HostIndex(self.order.get(usize::from(self.current)).copied().unwrap_or(0))
    }

    /// Goes on to the next host.
    pub(super) fn advance(&mut self) -> HostIndex {
        self.current = self.current.saturating_add(1);
        if self.current >= self.count {
            self.current = 0;
        }
        self.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_host_comes_once_a_round_and_seeds_differ() {
        let mut firsts = [false; 5];
        for seed in 0..50 {
            let mut hosts = Hosts::new(5, &mut Rng::new(seed));
            let round: Vec<usize> = (0..5).map(|_| hosts.advance().index()).collect();
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            assert_eq!(hosts.advance().index(), round[0]);
            firsts[round[0]] = true;
        }
        assert_eq!(firsts, [true; 5]);
    }
}
