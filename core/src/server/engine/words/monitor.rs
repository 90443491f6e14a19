//! `mntr`: names and numbers for monitoring tools.

use core::fmt::Display;

use super::{Engine, Page, Role};
use crate::server::tracker::ServerId;

impl Engine {
    /// The names are ZooKeeper's, in its order; those without a meaning here (queues, snapshots,
    /// elections, TLS, file descriptors) are left out. What tools ask for most comes first: some
    /// read no more than 4 KiB.
    ///
    /// # Source
    /// `MonitorCommand`, `ZooKeeperServer.dumpMonitorValues`, `LeaderZooKeeperServer`, 3.8.0.
    pub(super) fn monitor(&self, server: ServerId, page: &mut Page) {
        let mut put = |name: &str, value: &dyn Display| {
            page.line(format_args!("zk_{name}\t{value}"));
        };
        let (front, role) = (self.connections.fronts.get(server), self.role(server));
        let (stats, counters) = (&front.stats, &front.counters);
        put("version", &self.version());
        put("server_state", &role.name());
        match role {
            Role::Standalone | Role::ReadOnly => {}
            Role::Leader => put("peer_state", &"leading - broadcast"),
            Role::Follower => put("peer_state", &"following - broadcast"),
        }
        let ephemerals = self.tree.owners().map(|(_, nodes)| nodes.len());
        put("ephemerals_count", &ephemerals.fold(0, usize::saturating_add));
        put("num_alive_connections", &front.connections);
        put("avg_latency", &stats.latency.average());
        put("outstanding_requests", &front.outstanding);
        put("znode_count", &self.znode_count());
        let sessions = self.tracker.sessions().count();
        put("global_sessions", &sessions.saturating_sub(self.local.len()));
        put("packets_sent", &stats.sent);
        put("packets_received", &stats.received);
        let learners = self.servers.len().saturating_sub(1);
        if role == Role::Leader {
            put("synced_followers", &learners);
        }
        put("connection_drop_probability", &"0.0");
        let watches = self.connections.of(server).map(|(id, _)| self.watches.count(id));
        put("watch_count", &watches.fold(0, usize::saturating_add));
        if role == Role::Leader {
            put("synced_non_voting_followers", &0);
            put("synced_observers", &0);
        }
        put("auth_failed_count", &counters.auth_failed);
        put("min_latency", &stats.latency.least());
        put("approximate_data_size", &self.tree.approximate_size());
        let uptime = self.now.since(front.started.unwrap_or(self.now)).as_millis();
        if role == Role::Leader {
            put("pending_syncs", &0);
            put("leader_uptime", &uptime);
        }
        put("local_sessions", &self.local.len());
        put("uptime", &uptime);
        put("max_latency", &stats.latency.most);
        if role == Role::Leader {
            put("learners", &learners);
        }
        if role != Role::Standalone {
            put("quorum_size", &self.servers.len());
        }
        put("large_requests_rejected", &counters.large_rejected);
        put("connection_rejected", &counters.rejected);
        put("sessionless_connections_expired", &counters.sessionless_expired);
        put("connection_drop_count", &counters.throttled);
        put("bytes_received_count", &counters.bytes_received);
        put("connection_request_count", &counters.handshakes);
        put("response_bytes", &counters.bytes_sent);
        put("connection_revalidate_count", &counters.revalidations);
        put("stale_sessions_expired", &counters.sessions_expired);
    }
}
