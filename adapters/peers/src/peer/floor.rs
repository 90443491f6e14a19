//! A hand-written loop on a blocking socket: requests that were encoded before, replies of which
//! only the header is looked at. Nothing that keeps ZooKeeper's protocol can be much cheaper.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use zk_session::wire::{AddWatchMode, Request};

use super::{Peer, Result, Sharing, told};
use crate::server::frames::{connect, int, request};
use crate::work::IDLE_TIMEOUT;

const BUFFER: usize = 1 << 20;

/// Requests, encoded; and frames to skim.
#[derive(Default)]
pub(super) struct Encoded {
    key: (usize, usize),
    pub(super) bytes: Vec<u8>,
    pub(super) buffer: Vec<u8>,
}

impl Encoded {
    /// Encodes once what is asked for again and again.
    pub(super) fn prepare(&mut self, key: (usize, usize), encode: impl FnOnce() -> Vec<u8>) {
        if self.key != key {
            (self.key, self.bytes) = (key, encode());
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER];
        }
    }
}

pub(crate) struct Floor {
    stream: TcpStream,
    encoded: Mutex<Encoded>,
}

impl Floor {
    fn encoded(&self) -> Result<MutexGuard<'_, Encoded>> {
        self.encoded.lock().map_err(told)
    }

    /// Sends what is encoded and waits for so many frames.
    fn round(
        &self,
        key: (usize, usize),
        encode: impl FnOnce() -> Vec<u8>,
        frames: usize,
    ) -> Result {
        let mut encoded = self.encoded()?;
        encoded.prepare(key, encode);
        let Encoded { bytes, buffer, .. } = &mut *encoded;
        (&self.stream).write_all(bytes).map_err(told)?;
        let mut skim = Skim::new(frames);
        while skim.left > 0 {
            let n = (&self.stream).read(&mut buffer[skim.tail..]).map_err(told)?;
            skim.received(buffer, n)?;
        }
        Ok(())
    }
}

/// Counts frames as they come.
pub(super) struct Skim {
    pub(super) left: usize,
    head: usize,
    pub(super) tail: usize,
}

impl Skim {
    pub(super) const fn new(frames: usize) -> Self {
        Self { left: frames, head: 0, tail: 0 }
    }

    pub(super) fn received(&mut self, buffer: &mut [u8], n: usize) -> Result {
        if n == 0 {
            return Err("the server hung up".to_owned());
        }
        self.tail += n;
        while self.tail - self.head >= 20 {
            let len = int(buffer, self.head).unwrap_or_default() as usize;
            if self.tail - self.head < 4 + len {
                break;
            }
            if int(buffer, self.head + 16) != Some(0) {
                return Err("the server refused a request".to_owned());
            }
            self.head += 4 + len;
            self.left -= 1;
        }
        if buffer.len() - self.tail < buffer.len() / 4 || self.head == self.tail {
            buffer.copy_within(self.head..self.tail, 0);
            (self.head, self.tail) = (0, self.tail - self.head);
        }
        Ok(())
    }
}

/// A key of what is encoded: the address and the count of it.
pub(super) fn key<T: ?Sized>(of: &T, times: usize) -> (usize, usize) {
    ((&raw const *of).cast::<u8>() as usize, times)
}

pub(super) fn gets(path: &str, times: usize) -> Vec<u8> {
    request(1, &Request::get_data(path, false)).repeat(times)
}

pub(super) fn sets(path: &str, value: &[u8], times: usize) -> Vec<u8> {
    request(1, &Request::set_data(path, value, -1)).repeat(times)
}

pub(super) fn watched_gets(paths: &[String]) -> Vec<u8> {
    paths.iter().flat_map(|path| request(1, &Request::get_data(path, true))).collect()
}

pub(super) fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

impl Peer for Floor {
    const SHARING: Sharing = Sharing::Alone;

    async fn open(addr: SocketAddr, timeout: Duration) -> Result<Self> {
        let mut stream = TcpStream::connect(addr).map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        stream.write_all(&connect(millis(timeout))).map_err(told)?;
        stream.read_exact(&mut [0; 41]).map_err(told)?;
        Ok(Self { stream, encoded: Mutex::default() })
    }

    async fn close(mut self) -> Result {
        self.stream.write_all(&request(2, &Request::CloseSession)).map_err(told)?;
        self.stream.read_exact(&mut [0; 20]).map_err(told)
    }

    async fn get(&self, path: &'static str, times: usize) -> Result {
        self.round(key(path, times), || gets(path, times), times)
    }

    async fn set(&self, path: &'static str, value: &'static [u8], times: usize) -> Result {
        self.round(key(value, times), || sets(path, value, times), times)
    }

    async fn rearm(&mut self, paths: &[String]) -> Result {
        self.round(key(paths, 0), || watched_gets(paths), 2 * paths.len())
    }

    async fn watch(&mut self, path: &str) -> Result {
        let mode = AddWatchMode::Persistent;
        self.round(key(path, 0), || request(1, &Request::add_watch(path, mode)), 1)
    }

    async fn flood(&mut self, path: &str, events: usize) -> Result {
        self.round(key(path, 1), || request(1, &Request::exists(path, false)), 1 + events)
    }

    /// A ping on each, three times in the sessions' timeout.
    async fn rest(sessions: &mut [Self], time: Duration) -> Result {
        let ping = request(-2, &Request::Ping);
        let (since, mut due) = (Instant::now(), Duration::ZERO);
        while due < time {
            for session in &mut *sessions {
                session.stream.write_all(&ping).map_err(told)?;
                session.stream.read_exact(&mut [0; 20]).map_err(told)?;
            }
            due += IDLE_TIMEOUT / 3;
            std::thread::sleep(due.min(time).saturating_sub(since.elapsed()));
        }
        Ok(())
    }
}
