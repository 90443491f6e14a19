//! What the engine keeps of each front-end server: how much it has, has done, and may do.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::EngineConfig;
use super::stats::{ServerCounters, ServerStats};
use super::throttle::TokenBucket;
use crate::server::event::CloseReason;
use crate::server::tracker::ServerId;
use crate::time::Instant;

/// One front-end server.
#[derive(Debug, Default)]
pub(super) struct Front {
    /// Where clients reach it.
    pub(super) address: Option<SocketAddr>,
    pub(super) started: Option<Instant>,
    /// Its connections, those refused for being too many apart.
    pub(super) connections: usize,
    /// Requests whose answers have not left.
    pub(super) outstanding: usize,
    /// Bytes of large requests that are on their way in.
    pub(super) large_bytes: usize,
    pub(super) throttle: TokenBucket,
    pub(super) stats: ServerStats,
    pub(super) counters: ServerCounters,
}

impl Front {
    fn reject(&mut self) {
        self.counters.rejected = self.counters.rejected.wrapping_add(1);
    }
}

/// All front-end servers by their numbers.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    all: Vec<Front>,
    by_address: BTreeMap<(ServerId, IpAddr), usize>,
    /// What a server that was never heard of has done.
    none: Front,
}

impl Fronts {
    pub(super) fn get(&self, server: ServerId) -> &Front {
        self.all.get(usize::from(server.0)).unwrap_or(&self.none)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, server: ServerId) -> &mut Front {
        let at = usize::from(server.0);
        if at >= self.all.len() {
            self.all.resize_with(at.saturating_add(1), Front::default);
        }
        self.all.get_mut(at).unwrap_or(&mut self.none)
    }

    /// Counts a connection, unless there are too many.
    ///
    /// # Source
    /// `NIOServerCnxnFactory.AcceptThread.doAccept`, `ServerCnxnFactory.limitTotalNumberOfCnxns`,
    /// 3.8.0.
    pub(super) fn admit(
        &mut self,
        server: ServerId,
        peer: IpAddr,
        config: &EngineConfig,
    ) -> Result<(), CloseReason> {
        let full = |limit: usize, count: usize| limit > 0 && count >= limit;
        let of_peer = self.by_address.entry((server, peer)).or_default();
        let (count, limit) = (*of_peer, config.max_client_connections);
        if full(limit, count) {
            self.get_mut(server).reject();
            return Err(CloseReason::TooManyFromAddress { limit });
        }
        let limit = config.max_connections;
        if full(limit, self.get(server).connections) {
            self.forget_if_none(server, peer);
            self.get_mut(server).reject();
            return Err(CloseReason::TooManyConnections { limit });
        }
        if let Some(of_peer) = self.by_address.get_mut(&(server, peer)) {
            *of_peer = of_peer.saturating_add(1);
        }
        let front = self.get_mut(server);
        front.connections = front.connections.saturating_add(1);
        Ok(())
    }

    /// A connection that was admitted is gone.
    pub(super) fn dismiss(&mut self, server: ServerId, peer: IpAddr) {
        if let Some(of_peer) = self.by_address.get_mut(&(server, peer)) {
            *of_peer = of_peer.saturating_sub(1);
        }
        self.forget_if_none(server, peer);
        let front = self.get_mut(server);
        front.connections = front.connections.saturating_sub(1);
    }

    fn forget_if_none(&mut self, server: ServerId, peer: IpAddr) {
        if self.by_address.get(&(server, peer)) == Some(&0) {
            self.by_address.remove(&(server, peer));
        }
    }
}
