//! Crate `zookeeper-client`: requests are sent when they are called for, answers awaited one by one.

use std::net::SocketAddr;
use std::time::Duration;

use zookeeper_client::{AddWatchMode, Client, EventType, PersistentWatcher, SessionState};

use super::{Peer, Result, Sharing, told};

pub(crate) struct Kezhuw {
    client: Client,
    watcher: Option<PersistentWatcher>,
}

impl Peer for Kezhuw {
    const SHARING: Sharing = Sharing::Tasks;

    async fn open(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let connector = Client::connector().with_session_timeout(timeout);
        let client = connector.connect(&addr.to_string()).await.map_err(told)?;
        Ok(Self { client, watcher: None })
    }

    /// The session closes when its last handle goes.
    async fn close(self) -> Result {
        let mut states = self.client.state_watcher();
        drop(self);
        while states.changed().await != SessionState::Closed {}
        Ok(())
    }

    async fn get(&self, path: &'static str, times: usize) -> Result {
        if times == 1 {
            return self.client.get_data(path).await.map(drop).map_err(told);
        }
        let asked: Vec<_> = (0..times).map(|_| self.client.get_data(path)).collect();
        for answer in asked {
            answer.await.map_err(told)?;
        }
        Ok(())
    }

    async fn set(&self, path: &'static str, value: &'static [u8], times: usize) -> Result {
        let asked: Vec<_> = (0..times).map(|_| self.client.set_data(path, value, None)).collect();
        for answer in asked {
            answer.await.map_err(told)?;
        }
        Ok(())
    }

    async fn rearm(&mut self, paths: &[String]) -> Result {
        let asked: Vec<_> = paths.iter().map(|path| self.client.get_and_watch_data(path)).collect();
        let mut watchers = Vec::with_capacity(paths.len());
        for answer in asked {
            watchers.push(answer.await.map_err(told)?.2);
        }
        for watcher in watchers {
            let event = watcher.changed().await;
            if event.event_type != EventType::NodeDataChanged {
                return Err(format!("{:?}", event.event_type));
            }
        }
        Ok(())
    }

    async fn watch(&mut self, path: &str) -> Result {
        let watcher = self.client.watch(path, AddWatchMode::Persistent).await;
        self.watcher = Some(watcher.map_err(told)?);
        Ok(())
    }

    async fn flood(&mut self, path: &str, events: usize) -> Result {
        self.client.check_stat(path).await.map_err(told)?;
        let watcher = self.watcher.as_mut().ok_or("nothing is watched")?;
        for _ in 0..events {
            watcher.changed().await;
        }
        Ok(())
    }
}
