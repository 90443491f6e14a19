//! `conf` and `envi`.

use super::{Engine, Page};
use crate::server::tracker::ServerId;

impl Engine {
    /// # Source
    /// `ZooKeeperServerConf`, `ConfCommand`, 3.8.0: the keys of a standalone server, for there are
    /// no elections.
    pub(super) fn list_settings(&self, server: ServerId, page: &mut Page) {
        let config = &self.config;
        let port = self.connections.fronts.get(server).address.map_or(-1, |at| at.port().into());
        let (shortest, longest) = self.tracker.timeouts();
        page.line(format_args!("clientPort={port}"));
        page.line(format_args!("secureClientPort=-1"));
        // Everything is in memory.
        page.line(format_args!("dataDir=\ndataDirSize=0\ndataLogDir=\ndataLogSize=0"));
        page.line(format_args!("tickTime={}", config.tick.as_millis()));
        page.line(format_args!("maxClientCnxns={}", config.max_client_connections));
        page.line(format_args!("minSessionTimeout={}", shortest.as_millis()));
        page.line(format_args!("maxSessionTimeout={}", longest.as_millis()));
        page.line(format_args!("clientPortListenBacklog=-1"));
        page.line(format_args!("serverId={}", server.0));
    }

    /// # Source
    /// `EnviCommand`, `Environment.list`, 3.8.0.
    pub(super) fn list_environment(&self, page: &mut Page) {
        page.line(format_args!("Environment:"));
        page.line(format_args!("zookeeper.version={}", self.version()));
        for (key, value) in &self.config.environment {
            page.line(format_args!("{key}={value}"));
        }
    }
}
