//! A tiny ensemble on memory of its own, and clients that know nothing but bytes.
#![allow(dead_code, reason = "each test uses what it needs")]

#[path = "../server_frames/mod.rs"]
mod frames;

use zk_session::server::tiny::{
    Config, ConnectionId, ConnectionSlot, Ensemble, Memory, NodeSlot, WatchSlot,
};
use zk_session::server::{ServerLink, SessionSlot};
use zk_session::wire::{
    ConnectRequest, ConnectResponse, EventType, Passwd, Reader, Request, SessionId, Stat,
};
use zk_session::{ErrorCode, Instant};

use frames::Inboxes;
#[allow(unused_imports, reason = "each test uses what it needs")]
pub(crate) use frames::{Got, connect_bytes, decode, framed, new_session, request_bytes};

/// How much memory there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) watches: usize,
    pub(crate) sessions: usize,
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    pub(crate) recv: usize,
    pub(crate) transmit: usize,
}

/// For a handful of devices.
pub(crate) const HANDFUL: Size = Size {
    nodes: 32,
    watches: 16,
    sessions: 8,
    connections: 4,
    bytes: 4096,
    recv: 1024,
    transmit: 1024,
};

/// More than any test fills.
pub(crate) const AMPLE: Size = Size {
    nodes: 150,
    watches: 300,
    sessions: 64,
    connections: 24,
    bytes: 60_000,
    recv: 8192,
    transmit: 32_768,
};

/// An ensemble that lives as long as the test: its memory is not given back.
pub(crate) fn ensemble(config: Config, size: Size) -> Ensemble<'static> {
    let buffer = |len: usize| Vec::leak(vec![0; len]);
    let slot = |_| ConnectionSlot::lent(buffer(size.recv), buffer(size.transmit));
    let connections: Vec<_> = (0..size.connections).map(slot).collect();
    let memory = Memory {
        nodes: Vec::leak(vec![NodeSlot::EMPTY; size.nodes]),
        watches: Vec::leak(vec![WatchSlot::EMPTY; size.watches]),
        sessions: Vec::leak(vec![SessionSlot::EMPTY; size.sessions]),
        connections: Vec::leak(connections),
        bytes: buffer(size.bytes),
    };
    Ensemble::new(config, memory, Instant::ORIGIN).unwrap()
}

/// An ensemble with a clock, and the frames that each connection has been sent.
pub(crate) struct World {
    pub(crate) ensemble: Ensemble<'static>,
    pub(crate) now: u64,
    inbox: Inboxes<ConnectionId>,
}

/// A session as its client knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) conn: ConnectionId,
    pub(crate) id: SessionId,
    pub(crate) passwd: Passwd,
    pub(crate) timeout: i32,
}

impl World {
    pub(crate) fn new(size: Size) -> Self {
        Self::with(Config::default(), size)
    }

    pub(crate) fn with(config: Config, size: Size) -> Self {
        Self { ensemble: ensemble(config, size), now: 0, inbox: Inboxes::new() }
    }

    pub(crate) fn at(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    pub(crate) fn open(&mut self) -> ConnectionId {
        let conn = self.ensemble.accept(self.at()).expect("a free slot");
        self.inbox.remove(conn);
        conn
    }

    pub(crate) fn send(&mut self, conn: ConnectionId, bytes: &[u8]) -> usize {
        self.ensemble.handle_bytes(self.at(), conn, bytes)
    }

    /// Lets time pass, with a tick whenever the ensemble asks for one.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(at) = self.ensemble.poll_timeout().filter(|at| at.as_millis() <= end) {
            self.now = self.now.max(at.as_millis());
            self.ensemble.handle_timeout(self.at());
            let later = self.ensemble.poll_timeout().is_none_or(|next| next > at);
            assert!(later, "a deadline that does not pass");
        }
        self.now = end;
    }

    /// Takes the bytes that a connection was sent.
    pub(crate) fn drain(&mut self, conn: ConnectionId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.ensemble.poll_transmit(conn).to_vec();
            if bytes.is_empty() {
                return all;
            }
            self.ensemble.handle_transmitted(self.at(), conn, bytes.len());
            all.extend(bytes);
        }
    }

    /// Takes the next whole frame that a connection was sent, without its length.
    pub(crate) fn frame(&mut self, conn: ConnectionId) -> Option<Vec<u8>> {
        let fresh = self.drain(conn);
        self.inbox.frame(conn, fresh)
    }

    fn connect(&mut self, request: &ConnectRequest<'_>) -> Option<Session> {
        let conn = self.open();
        let bytes = connect_bytes(request);
        assert_eq!(self.send(conn, &bytes), bytes.len());
        let frame = self.frame(conn)?;
        let answer = ConnectResponse::read(&mut Reader::new(&frame)).unwrap();
        let passwd = Passwd(answer.passwd.unwrap().try_into().unwrap());
        Some(Session { conn, id: answer.session_id, passwd, timeout: answer.timeout })
    }

    /// A new session.
    pub(crate) fn session(&mut self, timeout: i32) -> Session {
        self.connect(&new_session(timeout)).expect("an answer")
    }

    /// A session that is asked for and not given.
    pub(crate) fn no_session(&mut self, request: &ConnectRequest<'_>) -> ConnectionId {
        let conn = self.open();
        self.send(conn, &connect_bytes(request));
        assert_eq!(self.frame(conn), None);
        conn
    }

    /// Tries to resume a session on a fresh connection.
    pub(crate) fn resume(&mut self, session: &Session) -> Session {
        let passwd = session.passwd;
        let request = ConnectRequest {
            session_id: session.id,
            passwd: Some(&passwd.0),
            ..new_session(session.timeout)
        };
        self.connect(&request).expect("an answer")
    }

    pub(crate) fn request(&mut self, session: &Session, xid: i32, request: &Request<'_>) {
        let bytes = request_bytes(xid, request);
        assert_eq!(self.send(session.conn, &bytes), bytes.len());
    }

    /// The next frame, as reply or event.
    pub(crate) fn got(&mut self, session: &Session) -> Option<Got> {
        Some(decode(&self.frame(session.conn)?))
    }

    /// Sends a request and takes its reply, which must be the next frame.
    pub(crate) fn call(
        &mut self,
        session: &Session,
        request: &Request<'_>,
    ) -> Result<Vec<u8>, ErrorCode> {
        self.request(session, 77, request);
        match self.got(session) {
            Some(Got::Reply { xid: 77, err: 0, body, .. }) => Ok(body),
            Some(Got::Reply { xid: 77, err, .. }) => Err(ErrorCode::from_wire(err).unwrap()),
            other => panic!("{other:?} instead of the reply to {request:?}"),
        }
    }

    pub(crate) fn stat(&mut self, session: &Session, path: &str) -> Result<Stat, ErrorCode> {
        let body = self.call(session, &Request::exists(path, false))?;
        Ok(Stat::read(&mut Reader::new(&body)).unwrap())
    }

    /// All events that wait for a session's client; nothing else may.
    pub(crate) fn events(&mut self, session: &Session) -> Vec<(EventType, String)> {
        let mut all = Vec::new();
        while let Some(got) = self.got(session) {
            match got {
                Got::Event(kind, path) => all.push((kind, path)),
                other => panic!("{other:?} among events"),
            }
        }
        all
    }

    pub(crate) fn link(&self, conn: ConnectionId) -> ServerLink {
        self.ensemble.poll_link(conn)
    }

    pub(crate) fn lose(&mut self, conn: ConnectionId) {
        self.ensemble.handle_disconnected(self.at(), conn);
    }
}
