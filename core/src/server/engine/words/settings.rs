//! `conf` and `envi`.

use alloc::string::String;

use super::{Engine, Page};
use crate::server::tracker::ServerId;

/// Where everything is kept, and how many bytes that takes; empty for in memory only. Snapshots and
/// log are one here, as for a ZooKeeper without a `dataLogDir`, whose directory is shown as both.
#[derive(Debug, Default)]
pub(in crate::server::engine) struct DataDir {
    path: String,
    size: u64,
}

impl Engine {
    /// Tells in which directory the [records](Self::records) are kept, for the four-letter word
    /// `conf`; unless told, in memory only.
    pub fn set_data_dir(&mut self, path: impl Into<String>) {
        self.data.path = path.into();
    }

    /// Tells how many bytes what is kept takes, for the four-letter words `conf` and `dirs`.
    pub fn set_data_size(&mut self, bytes: u64) {
        self.data.size = bytes;
    }

    /// # Source
    /// `DirsCommand`, 3.8.0.
    pub(super) fn list_dirs(&self, page: &mut Page) {
        let size = self.data.size;
        page.line(format_args!("datadir_size: {size}\nlogdir_size: {size}"));
    }

    /// # Source
    /// `ZooKeeperServerConf`, `ConfCommand`, 3.8.0: the keys of a standalone server, for there are
    /// no elections.
    pub(super) fn list_settings(&self, server: ServerId, page: &mut Page) {
        let config = &self.config;
        let port = self.connections.fronts.get(server).address.map_or(-1, |at| at.port().into());
        let (shortest, longest) = self.tracker.timeouts();
        page.line(format_args!("clientPort={port}"));
        page.line(format_args!("secureClientPort=-1"));
        let DataDir { path, size } = &self.data;
        page.line(format_args!("dataDir={path}\ndataDirSize={size}"));
        page.line(format_args!("dataLogDir={path}\ndataLogSize={size}"));
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
