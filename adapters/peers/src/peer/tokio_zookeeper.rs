//! Crate `tokio-zookeeper`: requests are sent when their futures are polled.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::try_join_all;
use futures::stream::{Stream, StreamExt};
use tokio_zookeeper::{WatchedEvent, ZooKeeper, ZooKeeperBuilder};

use super::{Peer, Result, Sharing, told};

type Events = Pin<Box<dyn Stream<Item = WatchedEvent> + Send>>;

pub(crate) struct Tokio {
    client: ZooKeeper,
    events: Mutex<Events>,
}

impl Peer for Tokio {
    const SHARING: Sharing = Sharing::Tasks;

    async fn open(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let mut builder = ZooKeeperBuilder::default();
        builder.set_timeout(timeout);
        let (client, events) = builder.connect(&addr).await.map_err(told)?;
        Ok(Self { client, events: Mutex::new(Box::pin(events)) })
    }

    /// The session closes when its last handle goes, and its events end then.
    async fn close(self) -> Result {
        let Self { client, events } = self;
        drop(client);
        let mut events = events.into_inner().map_err(told)?;
        while events.next().await.is_some() {}
        Ok(())
    }

    async fn get(&self, path: &'static str, times: usize) -> Result {
        if times == 1 {
            return self.client.get_data(path).await.map(drop).map_err(told);
        }
        try_join_all((0..times).map(|_| self.client.get_data(path))).await.map(drop).map_err(told)
    }

    async fn set(&self, path: &'static str, value: &'static [u8], times: usize) -> Result {
        let one = |_| async move {
            match self.client.set_data(path, None, value).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        };
        try_join_all((0..times).map(one)).await.map(drop)
    }

    async fn rearm(&mut self, paths: &[String]) -> Result {
        let client = &self.client;
        let arm = |path| async move { client.with_watcher().get_data(path).await };
        let armed = try_join_all(paths.iter().map(|path| arm(path))).await.map_err(told)?;
        for watched in armed {
            watched.ok_or("there is no such znode")?.0.await.map_err(told)?;
        }
        Ok(())
    }

    async fn watch(&mut self, _path: &str) -> Result {
        Err("it has no persistent watches".to_owned())
    }

    async fn flood(&mut self, _path: &str, _events: usize) -> Result {
        Err("it has no persistent watches".to_owned())
    }
}
