//! `zk_session_tokio::Client`.

use std::net::SocketAddr;
use std::time::Duration;

use zk_session_tokio::{Client, Watch, WatchEvent};

use super::{Peer, Result, Sharing, told};

pub(crate) struct OursTokio {
    client: Client,
    watch: Option<Watch>,
}

impl Peer for OursTokio {
    const SHARING: Sharing = Sharing::Tasks;

    async fn open(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let builder = Client::builder(addr.to_string()).timeout(timeout);
        Ok(Self { client: builder.connect().await.map_err(told)?, watch: None })
    }

    async fn close(self) -> Result {
        self.client.close().await.map_err(told)
    }

    async fn get(&self, path: &'static str, times: usize) -> Result {
        if times == 1 {
            return self.client.get(path).await.map(drop).map_err(told);
        }
        let asked: Vec<_> = (0..times).map(|_| self.client.get(path).send()).collect();
        for answer in asked {
            answer.await.map_err(told)?;
        }
        Ok(())
    }

    async fn set(&self, path: &'static str, value: &'static [u8], times: usize) -> Result {
        let asked: Vec<_> = (0..times).map(|_| self.client.set(path, value).send()).collect();
        for answer in asked {
            answer.await.map_err(told)?;
        }
        Ok(())
    }

    async fn rearm(&mut self, paths: &[String]) -> Result {
        let asked: Vec<_> = paths.iter().map(|path| self.client.get(path).watch().send()).collect();
        let mut watches = Vec::with_capacity(paths.len());
        for answer in asked {
            watches.push(answer.await.map_err(told)?.1);
        }
        for mut watch in watches {
            watch.changed().await.ok_or("the session is over")?;
        }
        Ok(())
    }

    async fn watch(&mut self, path: &str) -> Result {
        self.watch = Some(self.client.watch(path).await.map_err(told)?);
        Ok(())
    }

    async fn flood(&mut self, path: &str, mut events: usize) -> Result {
        self.client.exists(path).await.map_err(told)?;
        let watch = self.watch.as_mut().ok_or("nothing is watched")?;
        while events > 0 {
            match watch.next().await {
                Some(WatchEvent::Changed { .. }) => events -= 1,
                Some(WatchEvent::Missed(missed)) => return Err(format!("{missed} events missed")),
                Some(_) => {}
                None => return Err("the session is over".to_owned()),
            }
        }
        Ok(())
    }
}
