//! Who moves when the list of hosts changes, and where to: so that every host ends up with its share
//! of the clients, and as few of them as can be are disturbed.

use crate::rng::Rng;
use crate::time::Number;

/// A set of hosts, by their places in the connection string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HostSet(u64);

impl HostSet {
    pub(super) fn insert(&mut self, host: u8) {
        self.0 |= bit(host);
    }

    fn remove(&mut self, host: u8) {
        self.0 &= !bit(host);
    }

    fn contains(self, host: u8) -> bool {
        self.0 & bit(host) != 0
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn len(self) -> Number {
        Number::from(self.0.count_ones())
    }
}

fn bit(host: u8) -> u64 {
    1_u64.checked_shl(u32::from(host)).unwrap_or(0)
}

/// The session's own host, in the new list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Remains,
    Gone,
}

/// The hosts that a session on the move has still to try, and the odds among them.
#[derive(Clone, Debug)]
pub(super) struct Rebalance {
    newcomers: HostSet,
    stayers: HostSet,
    /// A stayer is tried before a newcomer with this chance, in `of`.
    stayer: u16,
    of: u16,
    /// How to draw; known only to who decides, so that a session whose list never changes has no
    /// code for it.
    next: fn(&mut Self, &[u8], &mut Rng) -> Option<u8>,
}

impl Rebalance {
    /// Whether a session moves when a list of `before` hosts becomes one of `newcomers` and
    /// `stayers`; the chances are such that the load is even if it was even before.
    ///
    /// # Source
    /// `StaticHostProvider.updateServerList`, 3.8.0.
    pub(super) fn decide(
        before: u8,
        newcomers: HostSet,
        stayers: HostSet,
        own: Own,
        rng: &mut Rng,
    ) -> Option<Self> {
        let before = Number::from(before);
        let (old, all) = (stayers.len(), stayers.len().saturating_add(newcomers.len()));
        let (stayer, of) = match own {
            Own::Remains if all > before => {
                // Every host gives up 1 - before/all of its clients.
                let moves = rng.draw(1, all) <= all.saturating_sub(before);
                moves.then_some((0, 1))?
            }
            Own::Remains => return None,
            Own::Gone if all > before => (0, 1),
            Own::Gone => (
                old.saturating_mul(before.saturating_sub(all)),
                all.saturating_mul(before.saturating_sub(old)),
            ),
        };
        let odds = |number: Number| u16::try_from(number).unwrap_or(u16::MAX); // at most 64 * 64
        Some(Self { newcomers, stayers, stayer: odds(stayer), of: odds(of), next: Self::next })
    }

    /// Draws the next host to try, in `order` among its kind; none when all were tried.
    ///
    /// # Source
    /// `StaticHostProvider.nextHostInReconfigMode`, 3.8.0.
    pub(super) fn draw(&mut self, order: &[u8], rng: &mut Rng) -> Option<u8> {
        (self.next)(self, order, rng)
    }

    fn next(&mut self, order: &[u8], rng: &mut Rng) -> Option<u8> {
        let newcomer = rng.draw(1, Number::from(self.of)) > Number::from(self.stayer);
        let newcomer = !self.newcomers.is_empty() && (newcomer || self.stayers.is_empty());
        let from = if newcomer { &mut self.newcomers } else { &mut self.stayers };
        let host = order.iter().copied().find(|host| from.contains(*host))?;
        from.remove(host);
        Some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(hosts: impl IntoIterator<Item = u8>) -> HostSet {
        let mut set = HostSet::default();
        hosts.into_iter().for_each(|host| set.insert(host));
        set
    }

    #[test]
    fn all_64_hosts_have_a_bit() {
        let mut all = set(0..64);
        assert_eq!((all.len(), all.contains(63)), (64, true));
        all.remove(63);
        assert_eq!((all.len(), all.contains(63), all.contains(62)), (63, false, true));
        assert!(!all.contains(64));
    }

    #[test]
    fn odds_are_those_of_the_java_client() {
        let mut rng = Rng::new(1);
        let mut odds = |before, newcomers, stayers, own| {
            let (newcomers, stayers) = (set(0..newcomers), set(10..10_u8 + stayers));
            let drawn = Rebalance::decide(before, newcomers, stayers, own, &mut rng);
            drawn.map(|rebalance| (rebalance.stayer, rebalance.of))
        };
        assert_eq!(odds(3, 2, 1, Own::Remains), None);
        assert_eq!(odds(3, 0, 3, Own::Remains), None);
        assert_eq!(odds(3, 4, 1, Own::Gone), Some((0, 1)));
        assert_eq!(odds(5, 1, 3, Own::Gone), Some((3, 8)), "62.5 % to the newcomer");
        assert_eq!(odds(5, 0, 3, Own::Gone), Some((6, 6)), "all to those that stay");
        assert_eq!(odds(3, 1, 2, Own::Gone), Some((0, 3)), "all to the newcomer");
    }

    #[test]
    fn every_host_is_drawn_once() {
        let mut rng = Rng::new(1);
        let (newcomers, stayers) = (set([0, 3]), set([1, 2]));
        let next = Rebalance::next;
        let mut drawn = Rebalance { newcomers, stayers, stayer: 1, of: 2, next };
        let mut seen = HostSet::default();
        for _ in 0..4 {
            seen.insert(drawn.draw(&[2, 3, 0, 1], &mut rng).unwrap());
        }
        assert_eq!(seen, set(0..4));
        assert_eq!(drawn.draw(&[2, 3, 0, 1], &mut rng), None);
    }
}
