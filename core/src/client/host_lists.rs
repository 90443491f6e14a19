//! The session's connection strings, and how one takes another's place.

use super::connect_string::{ConnectString, Host};
use super::hosts::HostIndex;
use super::phase::Phase;
use super::rebalance::{HostSet, Own, Rebalance};
use super::session::ClientSession;
use crate::error::{ConfigError, DisconnectReason};
use crate::storage::{Rare, Text};
use crate::time::Instant;

/// The connection strings that a [`HostIndex`] can mean, beside the one that the session began
/// with, which also holds the chroot.
#[derive(Clone, Debug, Default)]
pub(super) struct HostLists<'b>(Option<Rare<Lists<'b>>>);

/// There once the list has changed.
#[derive(Clone, Debug)]
struct Lists<'b> {
    /// The one in use.
    newest: Text<'b>,
    /// The one before with its number: the host that is being left may be in there. The session's
    /// first if there is none.
    before: (u16, Option<Text<'b>>),
}

/// What came of a change of the list of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HostsUpdate {
    /// Nothing is dropped: the connected host stays, or none was connected or being tried. The next
    /// attempt goes to a host of the new list.
    Stays,
    /// The connection, or the attempt at one, is dropped with
    /// [`DisconnectReason::HostsChanged`], and the session moves to a host of the new list at once.
    Moves,
}

impl<'b> ClientSession<'b> {
    /// Replaces the list of hosts. The session stays where it is or moves as ZooKeeper's own client
    /// does: at random, with such odds that clients which were spread evenly over the old list are
    /// spread evenly over the new one, and no more of them move than must. What has arrived before a
    /// move is still told; requests in flight fail with `ConnectionLoss`.
    ///
    /// Hosts are the same if their ports are and their names are: regardless of case, or as
    /// addresses. From now on [`Link::Dial`](super::Link::Dial) indexes the new list. The list
    /// before is kept until the next change, so that the indices of
    /// [`current_host`](Self::current_host) and [`last_disconnect`](Self::last_disconnect) go on
    /// naming the host that was left. The chroot cannot change: leave it out or repeat it.
    ///
    /// # Errors
    /// [`ConfigError::ConnectString`] if the string is not valid, [`ConfigError::ChrootChanged`];
    /// nothing has changed then.
    ///
    /// # Source
    /// `ZooKeeper.updateServerList` and `StaticHostProvider`, 3.8.0.
    pub fn update_hosts(
        &mut self,
        connect_string: impl Into<Text<'b>>,
        now: Instant,
    ) -> Result<HostsUpdate, ConfigError> {
        let text = connect_string.into();
        let new = ConnectString::parse(&text).map_err(ConfigError::ConnectString)?;
        if !new.chroot().is_empty() && new.chroot() != self.chroot() {
            return Err(ConfigError::ChrootChanged);
        }
        self.tick(now);
        let in_use = match self.phase {
            Phase::Dialling { .. }
            | Phase::Priming { .. }
            | Phase::Authenticating(_)
            | Phase::Connected => Some(self.hosts.current()),
            Phase::Backoff { .. } | Phase::Draining { .. } | Phase::Ended => None,
        };
        let rebalance = self.decide_to_move(&new, in_use);
        let moves = rebalance.is_some();

        let translate = |host| new_place(self.lists.host(&self.connect_string, host), &new);
        let gone = in_use.is_some_and(|host| translate(host).is_none());
        let list = self.hosts.list();
        self.hosts.replace(new.hosts().count(), rebalance, translate, &mut self.rng);
        self.lists.replace(text, list, self.hosts.current());
        self.prober.restart(&self.hosts);
        self.expiry.hosts_changed();

        // A session that is being closed has no load to spread, only an answer to wait for.
        if in_use.is_none() || self.closing.is_some() || !(moves || gone) {
            return Ok(HostsUpdate::Stays);
        }
        self.lose(DisconnectReason::HostsChanged);
        Ok(HostsUpdate::Moves)
    }

    fn decide_to_move(
        &mut self,
        new: &ConnectString<'_>,
        in_use: Option<HostIndex>,
    ) -> Option<Rebalance> {
        if self.closing.is_some() || self.is_ending() {
            return None;
        }
        let own = self.hosts.own(in_use, &mut self.rng);
        let own = self.lists.host(&self.connect_string, own);
        let own = if new_place(own, new).is_some() { Own::Remains } else { Own::Gone };
        let old = ConnectString::parse(self.lists.newest(&self.connect_string)).ok()?;
        let (mut newcomers, mut stayers) = (HostSet::default(), HostSet::default());
        for (place, host) in (0..).zip(new.hosts()) {
            if old.hosts().any(|other| is_same(host, other)) {
                stayers.insert(place);
            } else {
                newcomers.insert(place);
            }
        }
        Rebalance::decide(self.hosts.count(), newcomers, stayers, own, &mut self.rng)
    }
}

impl<'b> HostLists<'b> {
    /// The connection string in use.
    pub(super) fn newest<'a>(&'a self, first: &'a str) -> &'a str {
        self.0.as_ref().map_or(first, |lists| &lists.newest)
    }

    /// The name and port of a host of the list in use or of the one before.
    pub(super) fn host<'a>(&'a self, first: &'a str, host: HostIndex) -> Option<Host<'a>> {
        let text = match self.0.as_deref().map(|lists| &lists.before) {
            Some((list, before)) if *list == host.list => before.as_deref().unwrap_or(first),
            _ => self.newest(first),
        };
        host.of(&ConnectString::parse(text).ok()?)
    }

    fn replace(&mut self, text: Text<'b>, list: u16, current: HostIndex) {
        let Some(lists) = self.0.as_deref_mut() else {
            self.0 = Some(Rare::new(Lists { newest: text, before: (list, None) }));
            return;
        };
        let old = core::mem::replace(&mut lists.newest, text);
        // While the host that is being left has not been told of, its list stays.
        if current.list != lists.before.0 {
            lists.before = (list, Some(old));
        }
    }
}

/// A host's place in a list.
fn new_place(host: Option<Host<'_>>, list: &ConnectString<'_>) -> Option<u8> {
    let place = list.hosts().position(|other| host.is_some_and(|host| is_same(host, other)))?;
    u8::try_from(place).ok()
}

fn is_same(one: Host<'_>, other: Host<'_>) -> bool {
    let address = |host: Host<'_>| host.name.parse::<core::net::IpAddr>().ok();
    one.port == other.port
        && (one.name.eq_ignore_ascii_case(other.name)
            || address(one).is_some_and(|one| address(other) == Some(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_the_same_by_name_or_address_and_port() {
        let same = |one, other| {
            let host = |text| ConnectString::parse(text).unwrap().hosts().next().unwrap();
            is_same(host(one), host(other))
        };
        assert!(same("zk1.example", "ZK1.Example:2181"));
        assert!(same("[::1]:2181", "[0:0:0:0:0:0:0:1]:2181"));
        assert!(!same("zk1", "zk1:2182"));
        assert!(!same("zk1", "zk2"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
    }
}
