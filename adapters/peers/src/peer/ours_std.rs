//! `zk_session_std::Client`.

use std::net::SocketAddr;
use std::time::Duration;

use zk_session::wire::{AddWatchMode, Request};
use zk_session_std::{Client, Events, SessionEvent};

use super::{Peer, Result, Sharing, told};

pub(crate) struct Std {
    client: Client,
    events: Option<Events>,
}

impl Std {
    fn all<'r>(&self, requests: impl Iterator<Item = Request<'r>>) -> Result {
        let mut pipeline = self.client.pipeline();
        let mut pending = Vec::with_capacity(requests.size_hint().0);
        for request in requests {
            pending.push(pipeline.submit(&request).map_err(told)?);
        }
        drop(pipeline);
        pending.into_iter().try_for_each(|answer| answer.wait().map(drop).map_err(told))
    }

    fn take(&mut self, mut count: u64) -> Result {
        let events = self.events.as_ref().ok_or("nobody has subscribed")?;
        while count > 0 {
            match events.recv() {
                Some(SessionEvent::Notification { .. }) => count -= 1,
                Some(SessionEvent::Missed(missed)) => {
                    return Err(format!("{missed} events missed"));
                }
                Some(_) => {}
                None => return Err("the session is over".to_owned()),
            }
        }
        Ok(())
    }
}

impl Peer for Std {
    const SHARING: Sharing = Sharing::Threads;

    async fn open(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let client = Client::builder(addr.to_string()).timeout(timeout).connect().map_err(told)?;
        Ok(Self { client, events: None })
    }

    async fn close(self) -> Result {
        self.client.close().map_err(told)
    }

    async fn get(&self, path: &'static str, times: usize) -> Result {
        if times == 1 {
            return self.client.get_data(path).map(drop).map_err(told);
        }
        self.all((0..times).map(|_| Request::get_data(path, false)))
    }

    async fn set(&self, path: &'static str, value: &'static [u8], times: usize) -> Result {
        self.all((0..times).map(|_| Request::set_data(path, value, -1)))
    }

    async fn rearm(&mut self, paths: &[String]) -> Result {
        self.events.get_or_insert_with(|| self.client.events());
        self.all(paths.iter().map(|path| Request::get_data(path, true)))?;
        self.take(paths.len() as u64)
    }

    async fn watch(&mut self, path: &str) -> Result {
        self.events = Some(self.client.events());
        self.client.add_watch(path, AddWatchMode::Persistent).map_err(told)
    }

    async fn flood(&mut self, path: &str, events: usize) -> Result {
        self.client.exists(path).map_err(told)?;
        self.take(events as u64)
    }

    async fn rest(_sessions: &mut [Self], time: Duration) -> Result {
        std::thread::sleep(time);
        Ok(())
    }
}
