//! Crate `zookeeper-async`: requests are sent when their futures are polled.

use std::net::SocketAddr;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::try_join_all;
use zookeeper_async::{WatchedEvent, ZooKeeper};

use super::{Peer, Result, Sharing, told};

pub(crate) struct Krojew(ZooKeeper);

impl Peer for Krojew {
    const SHARING: Sharing = Sharing::Tasks;

    async fn open(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let unheard = |_: WatchedEvent| {};
        let client = ZooKeeper::connect(&addr.to_string(), timeout, unheard).await.map_err(told)?;
        // It returns before it is connected, and tells only listeners, who may come too late: the
        // first answer tells it as well.
        client.exists("/", false).await.map_err(told)?;
        Ok(Self(client))
    }

    async fn close(self) -> Result {
        self.0.close().await.map_err(told)
    }

    async fn get(&self, path: &'static str, times: usize) -> Result {
        if times == 1 {
            return self.0.get_data(path, false).await.map(drop).map_err(told);
        }
        let all = try_join_all((0..times).map(|_| self.0.get_data(path, false)));
        all.await.map(drop).map_err(told)
    }

    async fn set(&self, path: &'static str, value: &'static [u8], times: usize) -> Result {
        let all = try_join_all((0..times).map(|_| self.0.set_data(path, value.to_vec(), None)));
        all.await.map(drop).map_err(told)
    }

    async fn rearm(&mut self, paths: &[String]) -> Result {
        let client = &self.0;
        let arm = |path: String| async move {
            let (fired, has_fired) = oneshot::channel();
            // Nobody waits any more if another answer was an error.
            let watcher = move |_: WatchedEvent| fired.send(()).unwrap_or_default();
            client.get_data_w(&path, watcher).await.map(|_| has_fired)
        };
        let armed = try_join_all(paths.iter().cloned().map(arm)).await.map_err(told)?;
        for has_fired in armed {
            has_fired.await.map_err(told)?;
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
