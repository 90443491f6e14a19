//! Which host is next.

use super::connect_string::{ConnectString, Host};
use super::rebalance::Rebalance;
use crate::rng::Rng;
use crate::storage::Rare;
use crate::time::Number;

/// A host of one of the session's connection strings, counted from 0 in the string's order.
///
/// It remembers which string that was: after
/// [`update_hosts`](super::ClientSession::update_hosts) the indices of the string before still name
/// their hosts in [`host`](super::ClientSession::host), and are equal to none of the new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HostIndex {
    place: u8,
    /// The number of the connection string.
    pub(super) list: u16,
}

impl HostIndex {
    /// The host's place in its connection string.
    pub fn index(self) -> usize {
        usize::from(self.place)
    }

    pub(super) fn of<'a>(self, hosts: &ConnectString<'a>) -> Option<Host<'a>> {
        hosts.hosts().nth(self.index())
    }
}

/// The hosts in shuffled order, tried round and round; after a change of the list first as
/// [`Rebalance`] draws them.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// What the order is drawn with whenever it is looked at, which is seldom.
    shuffle: Rng,
    count: u8,
    /// Where in the order the host is that is tried or used.
    cursor: u8,
    /// That host.
    place: u8,
    list: u16,
    /// The host that is used, or was tried last, if it is none of this list.
    left: Option<HostIndex>,
    /// The host that accepted the session last.
    accepted: Option<u8>,
    /// The host that must come next.
    preferred: Option<u8>,
    rebalance: Option<Rare<Rebalance>>,
}

impl Hosts {
    /// Shuffles `count` hosts, so that clients spread over an ensemble.
    pub(super) fn new(count: usize, list: u16, rng: &mut Rng) -> Self {
        let count = count.min(ConnectString::MAX_HOSTS);
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        let mut hosts = Self {
            shuffle: Rng::new(rng.next()),
            count,
            cursor: 0,
            place: 0,
            list,
            left: None,
            accepted: None,
            preferred: None,
            rebalance: None,
        };
        // The first `advance` lands on the first place.
        hosts.go_to(count.saturating_sub(1));
        hosts
    }

    /// The hosts in shuffled order.
    fn order(&self) -> [u8; ConnectString::MAX_HOSTS] {
        let mut order = [0; ConnectString::MAX_HOSTS];
        for (place, host) in order.iter_mut().zip(0..) {
            *place = host;
        }
        let mut rng = self.shuffle.clone();
        for last in (1..self.count).rev() {
            let other = rng.draw(0, Number::from(last));
            let other = usize::try_from(other).unwrap_or(0);
            // One host alone is disjoint from nothing, and stays.
            if let Ok([one, other]) = order.get_disjoint_mut([usize::from(last), other]) {
                core::mem::swap(one, other);
            }
        }
        order
    }

    fn go_to(&mut self, cursor: u8) {
        self.cursor = cursor;
        self.place = self.order().get(usize::from(cursor)).copied().unwrap_or(0);
    }

    /// One bit for each host.
    pub(super) fn all(&self) -> u64 {
        u64::MAX.checked_shr(64_u32.saturating_sub(u32::from(self.count))).unwrap_or(0)
    }

    /// The current host's bit; none if it is not in the list any more.
    pub(super) fn bit(&self) -> u64 {
        let host = self.current();
        let bit = 1_u64.checked_shl(u32::from(host.place)).unwrap_or(0);
        if host.list == self.list { bit } else { 0 }
    }

    pub(super) fn count(&self) -> u8 {
        self.count
    }

    /// The number of the connection string that is in use.
    pub(super) fn list(&self) -> u16 {
        self.list
    }

    /// The host that is being tried or used, or was last.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn current(&self) -> HostIndex {
        self.left.unwrap_or(self.index(self.place))
    }

    pub(super) fn cursor(&self) -> u8 {
        self.cursor
    }

    /// The host at a place of the shuffled order.
    pub(super) fn at(&self, cursor: u8) -> HostIndex {
        self.index(self.order().get(usize::from(cursor)).copied().unwrap_or(0))
    }

    /// The place after another in the shuffled order.
    pub(super) fn after(&self, cursor: u8) -> u8 {
        let next = cursor.saturating_add(1);
        if next < self.count { next } else { 0 }
    }

    /// Goes on to the next host.
    pub(super) fn advance(&mut self, rng: &mut Rng) -> HostIndex {
        self.left = None;
        match self.preferred.take().or_else(|| self.draw(rng)) {
            Some(host) => self.point_at(host),
            None => self.go_to(self.after(self.cursor)),
        }
        self.current()
    }

    /// The host that is tried has accepted the session: the load is where it is to be.
    pub(super) fn accepted(&mut self) {
        self.rebalance = None;
        let host = self.current();
        self.accepted = (host.list == self.list).then_some(host.place);
    }

    /// This host is the next, whatever the order says.
    pub(super) fn prefer(&mut self, host: HostIndex) {
        self.preferred = (host.list == self.list).then_some(host.place);
    }

    /// The host that counts as the session's own when the list changes: while rebalancing the next
    /// candidate, else the one in use, else the one that accepted last, else the first.
    pub(super) fn own(&mut self, in_use: Option<HostIndex>, rng: &mut Rng) -> HostIndex {
        match self.draw(rng) {
            Some(candidate) => self.index(candidate),
            None => {
                in_use.or(self.accepted.map(|host| self.index(host))).unwrap_or_else(|| self.at(0))
            }
        }
    }

    /// Another list takes this one's place. `translate` says which host of the new list is a host
    /// of this one.
    pub(super) fn replace(
        &mut self,
        count: usize,
        rebalance: Option<Rebalance>,
        translate: impl Fn(HostIndex) -> Option<u8>,
        rng: &mut Rng,
    ) {
        let current = self.current();
        let old = |host: u8| translate(self.index(host));
        let (accepted, preferred) = (self.accepted.and_then(old), self.preferred.and_then(old));
        *self = Self::new(count, self.list.wrapping_add(1), rng);
        (self.accepted, self.preferred) = (accepted, preferred);
        match translate(current).filter(|_| rebalance.is_none()) {
            Some(host) => self.point_at(host),
            None => self.left = Some(current),
        }
        self.rebalance = rebalance.map(Rare::new);
    }

    /// The next host that the rebalancing draws; it is over when all were tried.
    fn draw(&mut self, rng: &mut Rng) -> Option<u8> {
        let order = if self.rebalance.is_some() { self.order() } else { return None };
        let order = order.get(..usize::from(self.count)).unwrap_or_default();
        let host = self.rebalance.as_mut()?.draw(order, rng);
        if host.is_none() {
            self.rebalance = None;
        }
        host
    }

    fn point_at(&mut self, host: u8) {
        let cursor = self.order().iter().position(|at| *at == host).unwrap_or(0);
        self.go_to(u8::try_from(cursor).unwrap_or(0));
    }

    fn index(&self, place: u8) -> HostIndex {
        HostIndex { place, list: self.list }
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
            let mut rng = Rng::new(seed);
            let mut hosts = Hosts::new(5, 0, &mut rng);
            let round: Vec<usize> = (0..5).map(|_| hosts.advance(&mut rng).index()).collect();
            let mut sorted = round.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            assert_eq!(hosts.advance(&mut rng).index(), round[0]);
            firsts[round[0]] = true;
        }
        assert_eq!(firsts, [true; 5]);
    }

    #[test]
    fn a_preferred_host_comes_next_and_the_round_goes_on_behind_it() {
        let mut rng = Rng::new(1);
        let mut hosts = Hosts::new(4, 0, &mut rng);
        let round: Vec<HostIndex> = (0..4).map(|_| hosts.advance(&mut rng)).collect();
        hosts.prefer(round[2]);
        assert_eq!(hosts.advance(&mut rng), round[2]);
        assert_eq!(hosts.advance(&mut rng), round[3]);
        assert_eq!(hosts.advance(&mut rng), round[0]);
    }
}
