//! A hand-driven client of an engine: sends bytes, cuts frames, decodes nothing unasked.
#![allow(dead_code, reason = "each test uses what it needs")]

#[path = "../server_frames/mod.rs"]
mod frames;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use zk_session::server::{CloseReason, ConnectionId, Engine, EngineConfig, ServerId, ServerLink};
use zk_session::wire::{
    ConnectRequest, ConnectResponse, EventType, OpCode, Passwd, Reader, Reply, Request, SessionId,
};
use zk_session::{ErrorCode, Instant};

use frames::Inboxes;
#[allow(unused_imports, reason = "each test uses what it needs")]
pub(crate) use frames::{Got, connect_bytes, decode, framed, new_session, request_bytes};

pub(crate) const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 40_000));

/// An engine with a clock, and the frames that each connection has been sent.
pub(crate) struct World {
    pub(crate) engine: Engine,
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
    pub(crate) fn new(config: EngineConfig) -> Self {
        Self { engine: Engine::new(config, Instant::ORIGIN), now: 0, inbox: Inboxes::new() }
    }

    /// A standalone server.
    pub(crate) fn standalone() -> (Self, ServerId) {
        let mut world = Self::new(EngineConfig::default());
        let server = world.engine.add_server();
        (world, server)
    }

    pub(crate) fn at(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    pub(crate) fn open(&mut self, server: ServerId) -> ConnectionId {
        self.engine.accept(self.at(), server, PEER)
    }

    pub(crate) fn send(&mut self, conn: ConnectionId, bytes: &[u8]) -> usize {
        self.engine.handle_bytes(self.at(), conn, bytes)
    }

    /// Lets time pass, with a tick of the engine whenever it asks for one.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(at) = self.engine.poll_timeout().filter(|at| at.as_millis() <= end) {
            self.now = self.now.max(at.as_millis());
            self.engine.handle_timeout(self.at());
            let later = self.engine.poll_timeout().is_none_or(|next| next > at);
            assert!(later, "a deadline that does not pass");
        }
        self.now = end;
    }

    /// Takes the bytes that a connection was sent.
    pub(crate) fn drain(&mut self, conn: ConnectionId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.engine.poll_transmit(conn).to_vec();
            if bytes.is_empty() {
                return all;
            }
            self.engine.handle_transmitted(self.at(), conn, bytes.len());
            all.extend(bytes);
        }
    }

    /// Takes the next whole frame that a connection was sent, without its length.
    pub(crate) fn frame(&mut self, conn: ConnectionId) -> Option<Vec<u8>> {
        let fresh = self.drain(conn);
        self.inbox.frame(conn, fresh)
    }

    /// Takes all that a connection was sent and that is no frame.
    pub(crate) fn text(&mut self, conn: ConnectionId) -> Vec<u8> {
        let fresh = self.drain(conn);
        let mut text = self.inbox.remove(conn);
        text.extend(fresh);
        text
    }

    pub(crate) fn connect_with(&mut self, conn: ConnectionId, request: &ConnectRequest<'_>) {
        let bytes = connect_bytes(request);
        assert_eq!(self.send(conn, &bytes), bytes.len());
    }

    /// The answer to a handshake: id, password and timeout; `None` if there is none.
    pub(crate) fn connected(&mut self, conn: ConnectionId) -> Option<Session> {
        let frame = self.frame(conn)?;
        let answer = ConnectResponse::read(&mut Reader::new(&frame)).unwrap();
        let passwd = Passwd(answer.passwd.unwrap().try_into().unwrap());
        Some(Session { conn, id: answer.session_id, passwd, timeout: answer.timeout })
    }

    /// A new session.
    pub(crate) fn session(&mut self, server: ServerId, timeout: i32) -> Session {
        let conn = self.open(server);
        self.connect_with(conn, &new_session(timeout));
        let session = self.connected(conn).expect("an answer");
        assert!(session.id.is_some());
        session
    }

    /// Tries to resume a session on a fresh connection.
    pub(crate) fn resume(&mut self, server: ServerId, session: &Session) -> Session {
        let conn = self.open(server);
        let passwd = session.passwd;
        self.connect_with(
            conn,
            &ConnectRequest {
                session_id: session.id,
                passwd: Some(&passwd.0),
                ..new_session(session.timeout)
            },
        );
        self.connected(conn).expect("an answer")
    }

    pub(crate) fn request(&mut self, session: &Session, xid: i32, request: &Request<'_>) {
        let bytes = request_bytes(xid, request);
        assert_eq!(self.send(session.conn, &bytes), bytes.len());
    }

    /// The next frame, as reply or event.
    pub(crate) fn got(&mut self, session: &Session) -> Option<Got> {
        let frame = self.frame(session.conn)?;
        Some(decode(&frame))
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

    /// As [`call`](Self::call), for a reply that is a path.
    pub(crate) fn created(&mut self, session: &Session, request: &Request<'_>) -> String {
        let body = self.call(session, request).unwrap();
        Reader::new(&body).ustring().unwrap().as_str().unwrap().into()
    }

    pub(crate) fn stat(
        &mut self,
        session: &Session,
        path: &str,
    ) -> Result<zk_session::wire::Stat, ErrorCode> {
        let body = self.call(session, &Request::exists(path, false))?;
        Ok(zk_session::wire::Stat::read(&mut Reader::new(&body)).unwrap())
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

    pub(crate) fn link(&self, session: &Session) -> ServerLink {
        self.engine.poll_link(session.conn)
    }

    pub(crate) fn reason(&self, session: &Session) -> Option<CloseReason> {
        self.engine.poll_reason(session.conn)
    }

    pub(crate) fn lose(&mut self, session: &Session) {
        self.engine.handle_disconnected(self.at(), session.conn);
    }

    pub(crate) fn ready(&mut self) -> VecDeque<ConnectionId> {
        std::iter::from_fn(|| self.engine.poll_ready()).collect()
    }
}

pub(crate) fn reply(op: OpCode, body: &[u8]) -> Reply<'_> {
    Reply::decode(op, body).unwrap()
}
