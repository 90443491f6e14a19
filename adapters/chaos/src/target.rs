//! The ensemble that is hurt: Debian's ZooKeeper, or ours.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::RealEnsemble;

/// The length of a tick; sessions get from 2 to 20 of them.
pub const TICK: Duration = Duration::from_millis(500);
const SERVING: Duration = Duration::from_secs(90);

/// Three servers and how they fail.
#[derive(Debug)]
pub enum Target {
    /// Debian's ZooKeeper, one process a server.
    Real(RealEnsemble),
    /// The embedded ensemble, in this process.
    Embedded(EmbeddedEnsemble),
}

impl Target {
    /// How many servers there are.
    pub const SERVERS: usize = 3;

    /// Starts Debian's ZooKeeper.
    ///
    /// # Errors
    /// It is not installed, or does not serve in time.
    pub fn real() -> io::Result<Self> {
        let builder = RealEnsemble::builder().nodes(Self::SERVERS).tick_ms(TICK.as_millis() as u64);
        builder.property("maxClientCnxns", 0).start().map(Self::Real)
    }

    /// Starts ours.
    ///
    /// # Errors
    /// No port or no thread is left.
    pub fn embedded() -> io::Result<Self> {
        let builder = EmbeddedEnsemble::builder().servers(Self::SERVERS).tick(TICK);
        Ok(Self::Embedded(builder.start()?))
    }

    /// Where the servers listen.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        match self {
            Self::Real(ensemble) => ensemble.addrs().to_vec(),
            Self::Embedded(ensemble) => ensemble.addrs().to_vec(),
        }
    }

    /// Ends a server at once.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&self, server: usize) -> io::Result<()> {
        match self {
            Self::Real(ensemble) => ensemble.kill(server),
            Self::Embedded(ensemble) => Ok(ensemble.stop(server)?),
        }
    }

    /// Starts a server that was killed.
    ///
    /// # Errors
    /// The system refused.
    pub fn restart(&self, server: usize) -> io::Result<()> {
        match self {
            Self::Real(ensemble) => ensemble.restart(server),
            Self::Embedded(ensemble) => Ok(ensemble.start(server)?),
        }
    }

    /// Waits until a server serves.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait(&self, server: usize) -> io::Result<()> {
        match self {
            Self::Real(ensemble) => ensemble.wait_serving(server, SERVING).map(drop),
            Self::Embedded(_) => Ok(()),
        }
    }

    /// Makes a server hold its breath: connections stay open, nobody answers.
    ///
    /// # Errors
    /// The system refused.
    pub fn pause(&self, server: usize) -> io::Result<()> {
        match self {
            Self::Real(ensemble) => ensemble.pause(server),
            Self::Embedded(ensemble) => Ok(ensemble.freeze(server)?),
        }
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// The system refused.
    pub fn resume(&self, server: usize) -> io::Result<()> {
        match self {
            Self::Real(ensemble) => ensemble.resume(server),
            Self::Embedded(ensemble) => Ok(ensemble.thaw(server)?),
        }
    }

    /// Whether sessions are kept in one place that does not fail with a server, so that nothing a
    /// server has taken in can be forgotten by the ensemble.
    pub const fn remembers_all(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }
}
