//! One session over a blocking socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use zk_session::wire::{OpCode, Reply, ReplyHeader, Request, Stat};

use crate::frames::{self, ANSWER, Granted};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Wire {
    stream: TcpStream,
    replies: Vec<u8>,
}

impl Wire {
    /// A new session, granted within so long.
    pub fn try_connect(addr: SocketAddr, timeout_ms: i32, within: Duration) -> io::Result<Self> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(within))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&frames::handshake(timeout_ms, Granted::default()))?;
        let mut answer = [0; ANSWER];
        stream.read_exact(&mut answer)?;
        frames::granted(&answer);
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, replies: vec![0; 1 << 18] })
    }

    pub fn connect(addr: SocketAddr, timeout_ms: i32) -> Self {
        Self::try_connect(addr, timeout_ms, PATIENCE).unwrap()
    }

    /// Sends bytes that are so many requests and reads their replies, all of which must be
    /// successes; notifications and pings are not counted.
    pub fn exchange(&mut self, requests: &[u8], mut replies: usize) {
        self.stream.write_all(requests).unwrap();
        let (mut head, mut tail) = (0, 0);
        while replies > 0 {
            tail += self.stream.read(&mut self.replies[tail..]).unwrap();
            while tail - head >= 20 {
                let at = |i: usize| i32::from_be_bytes(self.replies[i..i + 4].try_into().unwrap());
                let len = usize::try_from(at(head)).unwrap();
                if tail - head < 4 + len {
                    break;
                }
                assert_eq!(at(head + 16), 0, "a request failed");
                head += 4 + len;
                replies -= 1;
            }
            if head > 0 {
                self.replies.copy_within(head..tail, 0);
                (head, tail) = (0, tail - head);
            }
        }
        assert_eq!(tail, 0, "more than was asked for");
    }

    /// A request alone and how long its answer took.
    pub fn round_trip(&mut self, request: &[u8]) -> Duration {
        let start = Instant::now();
        self.exchange(request, 1);
        start.elapsed()
    }

    /// What `exists` says of a znode that is there.
    pub fn stat(&mut self, path: &str) -> Stat {
        self.stream.write_all(&frames::request(&Request::exists(path, false))).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        let mut reader = zk_session::wire::Reader::new(&frame);
        assert_eq!(ReplyHeader::read(&mut reader).unwrap().err, 0);
        match Reply::decode(OpCode::Exists, reader.rest()).unwrap() {
            Reply::Stat(stat) => stat,
            other => panic!("{other:?}"),
        }
    }

    /// Ends the session.
    pub fn close(mut self) {
        self.exchange(&frames::close(), 1);
    }
}
