//! A client session, driven as an adapter would, under a virtual clock.

use zk_session::client::{
    Cause, ClientConfig, ClientSession, Event, HostIndex, KeeperState, Link, SaslChallenge,
};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{
    EncodeError, EventType, OpCode, Reply, Request, SessionId, Writer, Xid, Zxid,
};
use zk_session::{DisconnectReason, Duration, Instant, Machine, OpError, SubmitError};

use super::peer::{Ear, Handshake, Sent, accepted};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What an event said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    State(KeeperState, Cause),
    /// A reply's body as it encodes.
    Reply(Xid, Zxid, Result<Vec<u8>, OpError>),
    Notification(EventType, String),
    WatchesLost(OpError),
    /// A SASL token, or the word for there being none.
    Sasl(Result<Vec<u8>, &'static str>),
}

impl Seen {
    pub(crate) fn of(event: &Event<'_>) -> Self {
        match event {
            Event::State { state, cause } => Self::State(*state, *cause),
            Event::Reply { xid, zxid, result } => {
                Self::Reply(*xid, *zxid, result.map(|reply| encoded(&reply)))
            }
            Event::Notification { kind, path } => Self::Notification(*kind, (*path).to_owned()),
            Event::WatchesLost { error } => Self::WatchesLost(*error),
            Event::SaslChallenge(challenge) => Self::Sasl(match challenge {
                SaslChallenge::Begin => Err("begin"),
                SaslChallenge::Null => Err("null"),
                SaslChallenge::Token(token) => Ok(token.to_vec()),
            }),
            other => panic!("an event that the tests do not know: {other:?}"),
        }
    }

    pub(crate) fn failed(xid: Xid, error: OpError) -> Self {
        Self::Reply(xid, Zxid(0), Err(error))
    }

    /// The body of a successful reply, decoded for its operation.
    pub(crate) fn reply(&self, op: OpCode) -> Reply<'_> {
        match self {
            Self::Reply(_, _, Ok(body)) => Reply::decode(op, body).expect("sound reply"),
            other => panic!("no successful reply: {other:?}"),
        }
    }
}

fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut counter = Writer::new(&mut []);
    reply.encode(&mut counter);
    let needed = match counter.finish() {
        Ok(_) => return Vec::new(),
        Err(EncodeError { needed, .. }) => needed,
    };
    let mut memory = vec![0; needed];
    let mut writer = Writer::new(&mut memory);
    reply.encode(&mut writer);
    writer.finish().unwrap();
    memory
}

/// The state event of a lost connection.
pub(crate) fn lost(reason: DisconnectReason) -> Seen {
    Seen::State(KeeperState::Disconnected, Cause::Lost(reason))
}

/// A session and the transport that it wishes for.
#[derive(Debug)]
pub(crate) struct Client<'b> {
    pub(crate) session: ClientSession<'b>,
    pub(crate) now: Instant,
    ear: Ear,
    seen: Vec<Seen>,
    sent: Vec<(Instant, Sent)>,
}

impl Client<'static> {
    /// A session with the heap at its disposal.
    pub(crate) fn owned(connect_string: &'static str) -> Self {
        Self::of(ClientConfig::new(connect_string, 7).timeout(ms(6000)))
    }

    pub(crate) fn of(config: ClientConfig<'static>) -> Self {
        Self::with(config, Storage::owned(Limits::default()))
    }
}

impl<'b> Client<'b> {
    pub(crate) fn with(config: ClientConfig<'b>, storage: Storage<'b>) -> Self {
        let now = Instant::from_millis(1000);
        Self::adopt(ClientSession::new(config, storage, now).unwrap())
    }

    /// A session that was set up elsewhere.
    pub(crate) fn adopt(session: ClientSession<'b>) -> Self {
        let now = Instant::from_millis(1000);
        Self { session, now, ear: Ear::default(), seen: Vec::new(), sent: Vec::new() }
    }

    /// Loses the connection and waits until the next is asked for.
    pub(crate) fn dial_after_loss(&mut self) {
        self.lose();
        self.dial();
    }

    /// Loses the connection and opens the next; returns the handshake.
    pub(crate) fn open_after_loss(&mut self) -> Handshake {
        self.dial_after_loss();
        self.open()
    }

    /// Pulls all events and takes all bytes, again and again until there are no more.
    pub(crate) fn pump(&mut self) {
        loop {
            self.pull();
            if !self.transmit() {
                return;
            }
        }
    }

    /// Pulls all events, and nothing else.
    pub(crate) fn pull(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.seen.push(Seen::of(&event));
        }
    }

    /// Takes what is to be sent; says whether there was anything.
    pub(crate) fn transmit(&mut self) -> bool {
        let bytes = self.session.poll_transmit().to_vec();
        for sent in self.ear.hear(&bytes) {
            self.sent.push((self.now, sent));
        }
        self.session.handle_transmitted(self.now, bytes.len());
        !bytes.is_empty()
    }

    /// Lets time pass, and tells it at every deadline on the way.
    pub(crate) fn wait(&mut self, millis: u64) {
        let until = self.now.after(ms(millis));
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.pump();
        }
        self.now = until;
        self.session.handle_timeout(self.now);
        self.pump();
    }

    /// Waits until a transport is asked for.
    pub(crate) fn dial(&mut self) -> HostIndex {
        for _ in 0..1000 {
            self.pump();
            if let Link::Dial(host) = self.session.poll_link() {
                return host;
            }
            let at = self.session.poll_timeout().expect("the session lives");
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
        }
        panic!("no dial: {:?}", self.session);
    }

    /// Opens the transport; returns the handshake.
    pub(crate) fn open(&mut self) -> Handshake {
        self.dial();
        self.up();
        self.pump();
        match self.take_sent().pop() {
            Some(Sent::Handshake(handshake)) => handshake,
            other => panic!("no handshake: {other:?}"),
        }
    }

    /// The dialled transport is open.
    pub(crate) fn up(&mut self) {
        self.ear = Ear::default();
        self.session.handle_connected(self.now);
    }

    /// Connects to a server that accepts with this id and timeout; forgets the events.
    pub(crate) fn connect(&mut self, id: i64, timeout: i32) -> Handshake {
        let handshake = self.open();
        self.receive(&accepted(id, timeout));
        assert_eq!(self.session.session_id(), SessionId(id));
        assert_eq!(self.session.state(), KeeperState::SyncConnected);
        self.seen.clear();
        handshake
    }

    /// A client that is connected with session id 7.
    pub(crate) fn connected(mut self) -> Self {
        self.connect(7, 6000);
        self
    }

    /// Hands bytes in, pulling events as they come.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = self.session.handle_bytes(self.now, rest);
            rest = &rest[n..];
            self.pump();
            if n == 0 && self.session.poll_link() != Link::Up {
                return;
            }
        }
    }

    /// Hands bytes in without pulling events.
    pub(crate) fn receive_unseen(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = self.session.handle_bytes(self.now, rest);
            assert!(n > 0, "no room");
            rest = &rest[n..];
        }
    }

    /// The transport is gone.
    pub(crate) fn lose(&mut self) {
        self.session.handle_disconnected(self.now);
        self.pump();
    }

    pub(crate) fn submit(&mut self, request: &Request<'_>) -> Xid {
        let xid = self.session.submit(request).unwrap();
        self.pump();
        xid
    }

    pub(crate) fn refused(&mut self, request: &Request<'_>) -> SubmitError {
        let before = (self.session.poll_transmit().to_vec(), self.session.poll_timeout());
        let watches = self.session.watches();
        let error = self.session.submit(request).expect_err("to be refused");
        assert_eq!(before.0, self.session.poll_transmit(), "a refusal changes nothing");
        assert_eq!(before.1, self.session.poll_timeout(), "a refusal changes nothing");
        assert_eq!(watches, self.session.watches(), "a refusal changes nothing");
        error
    }

    /// The events since the last call.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        self.pump();
        std::mem::take(&mut self.seen)
    }

    /// The frames since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<Sent> {
        self.pump();
        std::mem::take(&mut self.sent).into_iter().map(|(_, sent)| sent).collect()
    }

    /// Lets what is in the transmit buffer leave, but not what the session adds then.
    pub(crate) fn take_sent_one(&mut self) -> Vec<Sent> {
        self.transmit();
        std::mem::take(&mut self.sent).into_iter().map(|(_, sent)| sent).collect()
    }

    /// The frames since the last call and when they left.
    pub(crate) fn take_sent_at(&mut self) -> Vec<(Instant, Sent)> {
        self.pump();
        std::mem::take(&mut self.sent)
    }
}

/// The deadline, from the current time.
pub(crate) fn deadline(client: &Client<'_>) -> u64 {
    client.session.poll_timeout().expect("the session lives").since(client.now).as_millis()
}
