//! Relays between groups of members and the servers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use zk_session_testkit::Relay;

/// One relay for each group and server: a group's members share their way to a server.
#[derive(Debug)]
pub struct Wires {
    groups: Vec<Vec<Relay>>,
}

/// What is done to a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Connections are closed and refused.
    Cut,
    /// Connections stay open, nothing passes.
    Silence,
    /// Everything passes later.
    Lag(Duration),
    /// Everything passes in small pieces.
    Split(usize),
}

impl Wires {
    /// Relays for `groups` groups to each server.
    ///
    /// # Errors
    /// No port or no thread is left.
    pub fn new(groups: usize, servers: &[SocketAddr]) -> io::Result<Self> {
        let group = |_| servers.iter().map(|addr| Relay::start(*addr)).collect();
        (0..groups).map(group).collect::<io::Result<_>>().map(|groups| Self { groups })
    }

    /// How many groups there are.
    pub const fn groups(&self) -> usize {
        self.groups.len()
    }

    /// What a group's members connect to.
    pub fn connect_string(&self, group: usize) -> String {
        let addrs: Vec<_> = self.of(group, None).map(|relay| relay.addr().to_string()).collect();
        addrs.join(",")
    }

    /// Harms a group's wire to one server, or to all.
    ///
    /// # Errors
    /// A relay cannot listen again.
    pub fn harm(&self, group: usize, server: Option<usize>, harm: Harm) -> io::Result<()> {
        self.of(group, server).try_for_each(|relay| match harm {
            Harm::Cut => {
                relay.cut();
                Ok(())
            }
            Harm::Silence => relay.blackhole(),
            Harm::Lag(lag) => {
                relay.lag(lag);
                Ok(())
            }
            Harm::Split(bytes) => {
                relay.split(bytes);
                Ok(())
            }
        })
    }

    /// Makes a group's wires whole again.
    ///
    /// # Errors
    /// A relay cannot listen again.
    pub fn mend(&self, group: usize) -> io::Result<()> {
        self.of(group, None).try_for_each(|relay| {
            relay.lag(Duration::ZERO);
            relay.split(0);
            relay.mend()
        })
    }

    /// How many connections pass now.
    pub fn connections(&self) -> usize {
        self.groups.iter().flatten().map(Relay::connections).sum()
    }

    fn of(&self, group: usize, server: Option<usize>) -> impl Iterator<Item = &Relay> {
        let relays = self.groups.get(group).into_iter().flatten().enumerate();
        relays.filter(move |(at, _)| server.is_none_or(|server| server == *at)).map(|(_, r)| r)
    }
}
