//! Thousands of sessions in one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::frames::{self, ANSWER, Frames, Granted};

/// Handshakes under way while a crowd is set up: fewer than ZooKeeper's backlog of 50.
const GENTLY: usize = 40;
const PATIENCE: Duration = Duration::from_secs(120);

struct Member {
    granted: Granted,
    stream: Option<TcpStream>,
    frames: Frames,
    /// Bytes that could not be written yet.
    unsent: Vec<u8>,
    /// Frames still to come.
    awaited: usize,
}

pub struct Crowd {
    addr: SocketAddr,
    timeout_ms: i32,
    poll: Poll,
    members: Vec<Member>,
}

impl Crowd {
    /// So many new sessions, set up gently.
    pub fn gather(addr: SocketAddr, timeout_ms: i32, size: usize) -> Self {
        let members = (0..size).map(|_| Member {
            granted: Granted::default(),
            stream: None,
            frames: Frames::default(),
            unsent: Vec::new(),
            awaited: 0,
        });
        let members = members.collect();
        let mut crowd = Self { addr, timeout_ms, poll: Poll::new().unwrap(), members };
        crowd.connect(GENTLY);
        crowd
    }

    /// Drops all connections without a word and comes back with the same sessions at once; how long
    /// until the last has been accepted.
    pub fn storm(&mut self) -> Duration {
        self.vanish();
        let start = Instant::now();
        self.connect(usize::MAX);
        start.elapsed()
    }

    /// Drops all connections without a word.
    pub fn vanish(&mut self) {
        for member in &mut self.members {
            member.stream = None;
        }
    }

    /// Each sends what `request` gives it and hears one frame in return.
    pub fn exchange(&mut self, request: impl Fn(usize) -> Vec<u8>) {
        self.ask(0, request);
    }

    /// Ends all sessions but the first so many.
    pub fn keep(&mut self, size: usize) {
        self.ask(size, |_| frames::close());
        self.members.truncate(size);
    }

    /// Everybody hears one frame that `cause` brings about; how long that takes from there.
    pub fn hear(&mut self, cause: impl FnOnce()) -> Duration {
        for member in &mut self.members {
            member.awaited = 1;
        }
        let start = Instant::now();
        cause();
        self.wait();
        start.elapsed()
    }

    fn ask(&mut self, first: usize, request: impl Fn(usize) -> Vec<u8>) {
        for (i, member) in self.members.iter_mut().enumerate().skip(first) {
            member.unsent.extend(request(i));
            member.awaited = 1;
            member.flush();
        }
        self.wait();
    }

    fn connect(&mut self, at_once: usize) {
        let mut events = Events::with_capacity(4096);
        let deadline = Instant::now() + PATIENCE;
        let (mut dialled, mut accepted) = (0, 0);
        while accepted < self.members.len() {
            while dialled < self.members.len() && dialled - accepted < at_once {
                self.dial(dialled);
                dialled += 1;
            }
            assert!(Instant::now() < deadline, "{accepted} of {} came in", self.members.len());
            self.poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
            for event in &events {
                let i = event.token().0;
                self.members[i].flush();
                match self.members[i].accepted() {
                    Handshake::Done => accepted += 1,
                    Handshake::Pending => {}
                    Handshake::Lost => self.dial(i),
                }
            }
        }
    }

    fn dial(&mut self, i: usize) {
        let member = &mut self.members[i];
        let mut stream = TcpStream::connect(self.addr).unwrap();
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(i), interest).unwrap();
        member.stream = Some(stream);
        member.frames = Frames::default();
        member.unsent = frames::handshake(self.timeout_ms, member.granted);
        member.flush();
    }

    /// Reads until nobody awaits anything.
    fn wait(&mut self) {
        let mut events = Events::with_capacity(4096);
        let deadline = Instant::now() + PATIENCE;
        let mut left = self.members.iter().filter(|member| member.awaited > 0).count();
        let mut bytes = vec![0; 4096];
        while left > 0 {
            assert!(Instant::now() < deadline, "{left} still wait");
            self.poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
            for event in &events {
                let member = &mut self.members[event.token().0];
                member.flush();
                if member.awaited > 0 && member.read(&mut bytes) {
                    left -= 1;
                }
            }
        }
    }
}

enum Handshake {
    Done,
    Pending,
    Lost,
}

impl Member {
    /// Writes what it can.
    fn flush(&mut self) {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.unsent.is_empty()) else { return };
        if let Ok(sent) = stream.write(&self.unsent) {
            self.unsent.drain(..sent);
        }
    }

    /// Reads the answer to the handshake if it has come, whole as it always is.
    fn accepted(&mut self) -> Handshake {
        let mut answer = [0; ANSWER];
        let Some(stream) = self.stream.as_mut() else { return Handshake::Pending };
        match stream.read(&mut answer) {
            Ok(ANSWER) => {
                let granted = frames::granted(&answer);
                assert!(self.granted.id == 0 || self.granted.id == granted.id);
                self.granted = granted;
                Handshake::Done
            }
            Ok(_) => Handshake::Lost,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
            {
                Handshake::Pending
            }
            Err(_) => Handshake::Lost,
        }
    }

    /// Reads all there is; whether that was what it awaited.
    fn read(&mut self, bytes: &mut [u8]) -> bool {
        let Some(stream) = self.stream.as_mut() else { return false };
        loop {
            match stream.read(bytes) {
                Ok(0) if self.awaited == 0 => return true, // its session has been ended
                Ok(0) => panic!("the server has closed a connection"),
                Ok(n) => {
                    let awaited = &mut self.awaited;
                    self.frames.feed(&bytes[..n], |_| *awaited = awaited.saturating_sub(1));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.awaited == 0,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
