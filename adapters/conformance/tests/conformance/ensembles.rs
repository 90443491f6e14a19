//! What the scenarios run on: servers behind wires that can be cut.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use zk_session::wire::SessionId;
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::{RealEnsemble, Relay};

const SERVERS: usize = 3;
const TICK: Duration = Duration::from_millis(250);

pub(crate) trait Ensemble: Sized {
    fn start() -> Self;

    /// Where the servers listen.
    fn addrs(&self) -> Vec<SocketAddr>;

    /// Expires a session at once, if the ensemble can be made to.
    fn expire(&self, session_id: SessionId) -> bool;
}

/// The embedded ensemble; each test has its own.
pub(crate) struct Ours(EmbeddedEnsemble);

impl Ensemble for Ours {
    fn start() -> Self {
        Self(EmbeddedEnsemble::builder().servers(SERVERS).tick(TICK).start().unwrap())
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.0.addrs().to_vec()
    }

    fn expire(&self, session_id: SessionId) -> bool {
        assert!(self.0.expire(session_id).unwrap());
        true
    }
}

/// ZooKeeper; all tests share one.
pub(crate) struct Real(&'static RealEnsemble);

static REAL: OnceLock<RealEnsemble> = OnceLock::new();

impl Ensemble for Real {
    fn start() -> Self {
        Self(REAL.get_or_init(|| {
            let tick = u64::try_from(TICK.as_millis()).unwrap();
            RealEnsemble::builder().nodes(SERVERS).tick_ms(tick).start().unwrap()
        }))
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.0.addrs().to_vec()
    }

    fn expire(&self, _: SessionId) -> bool {
        false
    }
}

/// A wire to each server.
pub(crate) struct Wires(Vec<Relay>);

impl Wires {
    pub(crate) fn to(ensemble: &impl Ensemble) -> Self {
        Self(ensemble.addrs().into_iter().map(|addr| Relay::start(addr).unwrap()).collect())
    }

    /// Where clients connect.
    pub(crate) fn hosts(&self) -> String {
        let addrs: Vec<_> = self.0.iter().map(|relay| relay.addr().to_string()).collect();
        addrs.join(",")
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Cuts all wires but one, which is mended.
    pub(crate) fn only(&self, wire: usize) {
        self.0[wire].mend().unwrap();
        for (i, relay) in self.0.iter().enumerate() {
            if i != wire {
                relay.cut();
            }
        }
    }

    pub(crate) fn cut(&self) {
        self.0.iter().for_each(Relay::cut);
    }

    pub(crate) fn mend(&self) {
        self.0.iter().for_each(|relay| relay.mend().unwrap());
    }

    /// Nothing passes, and nobody is told.
    pub(crate) fn silence(&self, wire: usize) {
        self.0[wire].blackhole().unwrap();
    }
}
