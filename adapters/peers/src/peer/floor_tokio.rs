//! The floor's loop on a tokio socket: what a runtime costs by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use zk_session::wire::{AddWatchMode, Request};

use super::floor::{Encoded, Skim, gets, key, millis, sets, watched_gets};
use super::{Peer, Result, Sharing, told};
use crate::server::frames::{connect, request};
use crate::work::IDLE_TIMEOUT;

pub(crate) struct FloorTokio(Mutex<(TcpStream, Encoded)>);

impl FloorTokio {
    async fn round(
        &self,
        key: (usize, usize),
        encode: impl FnOnce() -> Vec<u8>,
        frames: usize,
    ) -> Result {
        let mut inner = self.0.lock().await;
        let (stream, encoded) = &mut *inner;
        encoded.prepare(key, encode);
        let Encoded { bytes, buffer, .. } = encoded;
        let (mut reader, mut writer) = stream.split();
        let write = async { writer.write_all(bytes).await.map_err(told) };
        let read = async {
            let mut skim = Skim::new(frames);
            while skim.left > 0 {
                let n = reader.read(&mut buffer[skim.tail..]).await.map_err(told)?;
                skim.received(buffer, n)?;
            }
            Ok(())
        };
        tokio::try_join!(write, read).map(|_| ())
    }
}

impl Peer for FloorTokio {
    const SHARING: Sharing = Sharing::Alone;

    async fn open(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let mut stream = TcpStream::connect(addr).await.map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        stream.write_all(&connect(millis(timeout))).await.map_err(told)?;
        stream.read_exact(&mut [0; 41]).await.map_err(told)?;
        Ok(Self(Mutex::new((stream, Encoded::default()))))
    }

    async fn close(self) -> Result {
        let (mut stream, _) = self.0.into_inner();
        stream.write_all(&request(2, &Request::CloseSession)).await.map_err(told)?;
        stream.read_exact(&mut [0; 20]).await.map(|_| ()).map_err(told)
    }

    async fn get(&self, path: &'static str, times: usize) -> Result {
        self.round(key(path, times), || gets(path, times), times).await
    }

    async fn set(&self, path: &'static str, value: &'static [u8], times: usize) -> Result {
        self.round(key(value, times), || sets(path, value, times), times).await
    }

    async fn rearm(&mut self, paths: &[String]) -> Result {
        self.round(key(paths, 0), || watched_gets(paths), 2 * paths.len()).await
    }

    async fn watch(&mut self, path: &str) -> Result {
        let mode = AddWatchMode::Persistent;
        self.round(key(path, 0), || request(1, &Request::add_watch(path, mode)), 1).await
    }

    async fn flood(&mut self, path: &str, events: usize) -> Result {
        self.round(key(path, 1), || request(1, &Request::exists(path, false)), 1 + events).await
    }

    /// A ping on each, three times in the sessions' timeout.
    async fn rest(sessions: &mut [Self], time: Duration) -> Result {
        let ping = request(-2, &Request::Ping);
        let (since, mut due) = (Instant::now(), Duration::ZERO);
        while due < time {
            for session in &mut *sessions {
                let (stream, _) = session.0.get_mut();
                stream.write_all(&ping).await.map_err(told)?;
                stream.read_exact(&mut [0; 20]).await.map_err(told)?;
            }
            due += IDLE_TIMEOUT / 3;
            tokio::time::sleep(due.min(time).saturating_sub(since.elapsed())).await;
        }
        Ok(())
    }
}
