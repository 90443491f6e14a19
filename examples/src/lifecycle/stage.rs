//! The ensemble of the story, and how its servers are hurt.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use zk_session::client::ConnectString;
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::Relay;

/// How a server is killed.
pub trait Faults: fmt::Debug {
    /// Kills the server at this place of the connection string.
    ///
    /// # Errors
    /// Why it could not be killed.
    fn kill(&self, server: usize, relay: &Relay) -> io::Result<()>;

    /// How the timeline names what `kill` does.
    fn describe(&self) -> &'static str;
}

/// Servers of our own, in this process.
#[derive(Debug)]
pub struct Embedded(EmbeddedEnsemble);

impl Embedded {
    /// Three servers that grant timeouts from 1 s on.
    ///
    /// # Errors
    /// What kept them from starting.
    pub fn start() -> io::Result<Self> {
        let tick = Duration::from_millis(500);
        Ok(Self(EmbeddedEnsemble::builder().servers(3).tick(tick).start()?))
    }

    /// Where they listen.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.0.addrs().to_vec()
    }
}

impl Faults for Embedded {
    fn kill(&self, server: usize, _: &Relay) -> io::Result<()> {
        Ok(self.0.stop(server)?)
    }

    fn describe(&self) -> &'static str {
        "embedded server stopped"
    }
}

/// Servers that are not ours to kill: the relay before one is cut instead.
#[derive(Debug)]
pub struct Reachable;

impl Faults for Reachable {
    fn kill(&self, _: usize, relay: &Relay) -> io::Result<()> {
        relay.cut();
        Ok(())
    }

    fn describe(&self) -> &'static str {
        "connection to the server cut"
    }
}

/// An ensemble with a relay before each server, through which the first session goes.
#[derive(Debug)]
pub struct Stage {
    pub(super) relays: Vec<Relay>,
    pub(super) direct: Vec<SocketAddr>,
    pub(super) chroot: String,
    pub(super) faults: Box<dyn Faults>,
}

impl Stage {
    /// Puts relays before these servers.
    ///
    /// # Errors
    /// What kept a relay from starting.
    pub fn new(direct: Vec<SocketAddr>, chroot: &str, faults: Box<dyn Faults>) -> io::Result<Self> {
        let relays = direct.iter().map(|addr| Relay::start(*addr)).collect::<io::Result<_>>()?;
        Ok(Self { relays, direct, chroot: chroot.to_owned(), faults })
    }

    /// Puts relays before the servers of a connection string.
    ///
    /// # Errors
    /// A message that says what is wrong with the string, or which name has no address.
    pub fn reach(connect_string: &str) -> Result<Self, String> {
        let parsed = ConnectString::parse(connect_string).map_err(|error| error.to_string())?;
        let mut direct = Vec::new();
        for host in parsed.hosts() {
            let address = (host.name, host.port).to_socket_addrs();
            let address = address.map_err(|error| format!("{host}: {error}"))?.next();
            direct.push(address.ok_or_else(|| format!("{host}: the name has no address"))?);
        }
        if direct.len() < 2 {
            return Err("the story needs at least two servers".to_owned());
        }
        Self::new(direct, parsed.chroot(), Box::new(Reachable)).map_err(|error| error.to_string())
    }

    pub(super) fn through_relays(&self) -> String {
        self.connect_string(&self.relays.iter().map(Relay::addr).collect::<Vec<_>>())
    }

    pub(super) fn directly(&self) -> String {
        self.connect_string(&self.direct)
    }

    fn connect_string(&self, addrs: &[SocketAddr]) -> String {
        let hosts: Vec<String> = addrs.iter().map(SocketAddr::to_string).collect();
        format!("{}{}", hosts.join(","), self.chroot)
    }
}
