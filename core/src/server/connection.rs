//! One transport connection, as the server sees it.
//!
//! ```text
//! Fresh ──ConnectRequest──▶ Handshaking ──accept──▶ Serving ──shut──▶ Closing ──sent──▶ Down
//!   │ four letters              │ refuse               │ bad bytes, cut, peer gone ──────▲
//!   └──────────────────────────▶└──▶ Closing           └─────────────────────────────────┘
//! ```
//!
//! ```
//! use zk_session::server::{ServerConnection, ServerEvent, ServerLink};
//! use zk_session::time::{Duration, Instant};
//! use zk_session::wire::{Passwd, SessionId, Xid, Zxid, Reply};
//! use zk_session::Machine;
//!
//! let (mut recv, mut transmit) = ([0; 512], [0; 512]);
//! let mut connection = ServerConnection::lent(&mut recv, &mut transmit);
//! let mut bytes = vec![0, 0, 0, 45];
//! bytes.extend([0; 12]);
//! bytes.extend(10_000_i32.to_be_bytes());
//! bytes.extend([0; 8]);
//! bytes.extend([0, 0, 0, 16]);
//! bytes.extend([0; 17]);
//! bytes.extend([0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]); // a ping right behind it
//! connection.handle_bytes(Instant::ORIGIN, &bytes);
//!
//! let Some(ServerEvent::Connect(request)) = connection.poll_event() else { panic!() };
//! let timeout = Duration::from_millis(request.timeout.unsigned_abs().into());
//! assert_eq!(connection.poll_event(), None); // the handshake comes first
//! connection.accept(SessionId(7), &Passwd([1; 16]), timeout).unwrap();
//! let Some(ServerEvent::Ping { .. }) = connection.poll_event() else { panic!() };
//! connection.reply(Xid::PING, Zxid(3), Ok(&Reply::Empty)).unwrap();
//! assert_eq!(connection.poll_transmit().len(), 41 + 20);
//! assert_eq!(connection.poll_link(), ServerLink::Up);
//! ```

use super::answers::{Answers, Phase};
use super::event::{Access, CloseReason, ServerEvent, ServerLink, TransmitFull};
use crate::error::ErrorCode;
use crate::machine::{Io, Machine};
use crate::storage::{Buf, Inbox, NextFrame, Outbox};
use crate::time::{Duration, Instant};
use crate::wire::{EventType, Passwd, Reply, SessionId, Xid, Zxid};

/// ZooKeeper's own limit of a frame: `jute.maxbuffer`.
pub(super) const FRAME_LIMIT: usize = 0xf_ffff;

/// One transport connection: bytes in, requests out; answers in, bytes out.
///
/// Replies leave in the order in which they are given; ZooKeeper promises its clients the order
/// of their requests.
pub struct ServerConnection<'b> {
    pub(super) inbox: Inbox<'b>,
    pub(super) answers: Answers<'b>,
}

impl<'b> ServerConnection<'b> {
    /// A connection on lent memory. The longest frame is as long as `recv` less four bytes, at
    /// most ZooKeeper's own limit.
    pub fn lent(recv: &'b mut [u8], transmit: &'b mut [u8]) -> Self {
        Self::new(Buf::Lent(recv), Buf::Lent(transmit), FRAME_LIMIT)
    }

    pub(super) fn new(recv: Buf<'b>, transmit: Buf<'b>, frame_limit: usize) -> Self {
        let (inbox, outbox) = (Inbox::new(recv), Outbox::new(transmit));
        Self { inbox, answers: Answers { outbox, phase: Phase::Fresh, frame_limit } }
    }

    /// The next event in the order of the wire, lent from the receive buffer until the next `&mut`
    /// call. Take what you need, let it go, then answer.
    pub fn poll_event(&mut self) -> Option<ServerEvent<'_>> {
        pull(&mut self.inbox, &mut self.answers)
    }

    /// Says what the server lets its clients do, before a handshake is answered; read and write
    /// unless told otherwise.
    pub fn set_access(&mut self, access: Access) {
        self.answers.set_access(access);
    }

    /// Answers the handshake: the session is established.
    ///
    /// # Errors
    /// [`TransmitFull`]; nothing has changed.
    pub fn accept(
        &mut self,
        session_id: SessionId,
        passwd: &Passwd,
        timeout: Duration,
    ) -> Result<(), TransmitFull> {
        self.answers.accept(session_id, passwd, timeout)
    }

    /// Answers the handshake: the session is over, or the password is wrong. The connection closes
    /// when the answer has left.
    ///
    /// # Errors
    /// [`TransmitFull`]; nothing has changed.
    pub fn refuse(&mut self) -> Result<(), TransmitFull> {
        self.answers.refuse()
    }

    /// Answers the handshake as a read-only server without local sessions does: with an error reply
    /// in the handshake's place. Nothing more is pulled.
    ///
    /// # Errors
    /// [`TransmitFull`]; nothing has changed.
    ///
    /// # Source
    /// `ReadOnlyRequestProcessor.sendErrorResponse`, 3.8.0.
    pub fn refuse_session(&mut self, zxid: Zxid) -> Result<(), TransmitFull> {
        self.answers.refuse_session(zxid)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`TransmitFull`]; nothing has changed.
    pub fn reply(
        &mut self,
        xid: Xid,
        zxid: Zxid,
        result: Result<&Reply<'_>, ErrorCode>,
    ) -> Result<(), TransmitFull> {
        match result {
            Ok(reply) => self.answers.reply(xid, zxid, |w| reply.encode(w)),
            Err(code) => self.answers.error(xid, zxid, code),
        }
    }

    /// Tells the client of a change; `zxid` is -1 up to 3.8, the change's own since 3.9.
    ///
    /// # Errors
    /// [`TransmitFull`]; nothing has changed.
    pub fn notify(&mut self, zxid: Zxid, kind: EventType, path: &str) -> Result<(), TransmitFull> {
        self.answers.notify(zxid, kind, path.as_bytes())
    }

    /// Answers a four-letter word and closes when the answer has left.
    ///
    /// # Errors
    /// [`TransmitFull`]; nothing has changed.
    pub fn text(&mut self, text: &[u8]) -> Result<(), TransmitFull> {
        self.answers.text(text)
    }

    /// Closes when what is pending has left; nothing more is pulled.
    pub fn shut(&mut self, reason: CloseReason) {
        self.answers.shut(reason);
    }

    /// Closes at once; what is pending is lost.
    pub fn cut(&mut self, reason: CloseReason) {
        self.answers.cut(reason);
    }

    /// What is to be done with the transport.
    pub fn poll_link(&self) -> ServerLink {
        self.answers.link()
    }

    /// Why the connection is being closed; `None` while it is up.
    pub fn poll_reason(&self) -> Option<CloseReason> {
        self.answers.reason()
    }
}

/// The next event of a connection whose halves are apart.
pub(super) fn pull<'a>(
    inbox: &'a mut Inbox<'_>,
    answers: &mut Answers<'_>,
) -> Option<ServerEvent<'a>> {
    let fresh = match answers.phase {
        Phase::Fresh => true,
        Phase::Serving => false,
        _ => return None,
    };
    let range = match inbox.next(answers.frame_limit, 0) {
        NextFrame::Partial => return None,
        NextFrame::Whole(range) => range,
        NextFrame::Oversize { len, .. } => {
            answers.bad_length(len);
            return None;
        }
        NextFrame::BadLength(raw) => {
            let word = raw.to_be_bytes();
            if fresh && word == *b"stmk" {
                let mask = inbox.behind_length().first_chunk()?;
                let mask = u64::from_be_bytes(*mask);
                answers.phase = Phase::Handshaking { read_only: None };
                return Some(ServerEvent::SetTraceMask(mask));
            }
            if fresh && word.iter().all(u8::is_ascii_lowercase) {
                answers.phase = Phase::Handshaking { read_only: None };
                return Some(ServerEvent::FourLetterWord(word));
            }
            answers.shut(CloseReason::BadFrameLength { len: raw });
            return None;
        }
    };
    let frame = inbox.frame(range);
    if fresh { answers.connect(frame) } else { answers.request(frame) }
}

impl Machine for ServerConnection<'_> {
    fn handle_received(&mut self, _now: Instant, n: usize) {
        if self.answers.is_open() {
            self.inbox.received(n);
        }
    }

    fn handle_transmitted(&mut self, _now: Instant, n: usize) {
        self.answers.transmitted(n);
    }

    fn handle_disconnected(&mut self, _now: Instant) {
        self.answers.cut(CloseReason::PeerClosed);
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_transmit(&self) -> &[u8] {
        self.answers.pending()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_io(&mut self) -> Io<'_> {
        let recv = if self.answers.is_open() { self.inbox.spare() } else { Default::default() };
        Io { recv, transmit: self.answers.pending() }
    }
}

impl core::fmt::Debug for ServerConnection<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServerConnection")
            .field("phase", &self.answers.phase)
            .field("pending", &self.answers.pending().len())
            .finish_non_exhaustive()
    }
}
