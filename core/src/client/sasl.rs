//! SASL: a phase of every new connection, between the server's acceptance and anything else.
//!
//! ```text
//!             ┌────────── SaslChallenge::Begin
//!  handshake ─┤
//!             │  submit_sasl        ┌──────── SaslChallenge::Token, ::Null
//!             ▼                     ▼
//!  the application's turn ──► the server's turn        sasl_done ──► replay, State, requests
//!             │                     │                  sasl_failed ─► AuthFailed
//!             └─────────────────────┴─ deadline, loss ─► the next host, and from the beginning
//! ```
//!
//! The session carries the tokens; what they mean is the application's, or its adapter's. Nothing
//! else leaves in the phase, no ping either: a server that demands SASL answers any other packet with
//! an error and closes. The phase ends two thirds of the timeout after the handshake at the latest.
//! As tokens do not keep a session alive, the first ping is due a third of the timeout after the
//! handshake all the same, and leaves as soon as the phase is done.
//!
//! # Source
//! `ZooKeeperSaslClient`, `ClientCnxn.SendThread.readResponse`, `ZooKeeperServer.processSasl`; 3.8.0.
//! Other than the Java client, which tells `SyncConnected` before SASL and `SaslAuthenticated` after
//! it, the session tells that it is connected once, when it can be used.

use core::ops::Range;

use super::event::{Cause, KeeperState};
use super::inflight::InFlight;
use super::phase::Phase;
use super::receive::{Found, Step};
use super::session::ClientSession;
use super::submit::TAIL_RESERVE;
use crate::error::{DisconnectReason, ErrorCode, OpError, SubmitError};
use crate::time::Instant;
use crate::wire::{OpCode, Reader, ReplyHeader, Request, RequestHeader, Xid};

/// What the application is to answer in a SASL exchange, with
/// [`submit_sasl`](ClientSession::submit_sasl), [`sasl_done`](ClientSession::sasl_done) or
/// [`sasl_failed`](ClientSession::sasl_failed).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SaslChallenge<'a> {
    /// The exchange begins, on this connection anew: forget any earlier one and answer with the
    /// mechanism's initial response, which is empty for DIGEST-MD5.
    Begin,
    /// The server's token.
    Token(&'a [u8]),
    /// The server has no token: the last word of some mechanisms (GSSAPI), and all that a server
    /// says on which SASL is not configured.
    Null,
}

/// Tokens stay out.
impl core::fmt::Debug for SaslChallenge<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Begin => f.write_str("Begin"),
            Self::Token(token) => write!(f, "Token({} bytes)", token.len()),
            Self::Null => f.write_str("Null"),
        }
    }
}

/// What a session does in the phase: known only to [`ClientConfig::sasl`](super::ClientConfig::sasl),
/// so that a program which does without SASL has no code for it.
#[derive(Debug)]
pub(super) struct Exchanger {
    /// What it does by itself; `None`: it looks at what was received.
    pub(super) next_turn: fn(&mut ClientSession<'_>, Exchange) -> Option<Step>,
    /// What a frame brings, or one that a lost connection left behind.
    pub(super) on_frame: fn(&mut ClientSession<'_>, ReplyHeader, Range<usize>) -> Step,
}

pub(super) static EXCHANGER: Exchanger = Exchanger {
    next_turn: |session, exchange| session.next_turn(exchange),
    on_frame: |session, header, body| session.on_sasl_frame(header, body),
};

/// Where the exchange of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    turn: Turn,
    /// When the session gives the connection up.
    pub(super) deadline: Instant,
    /// What is told when it is done.
    state: KeeperState,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// `Begin` is to be lent.
    Begin,
    /// The application is to answer.
    Application,
    /// The server is to answer.
    Server,
    /// The application has said that it is done.
    Done,
}

/// What became of an event's range in the phase.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Begin,
    Null,
    Some { start: usize, end: usize },
}

impl Exchange {
    pub(super) const fn new(deadline: Instant, state: KeeperState, cause: Cause) -> Self {
        Self { turn: Turn::Begin, deadline, state, cause }
    }
}

impl ClientSession<'_> {
    /// Answers the latest [`SaslChallenge`] with a token, which the server will answer in turn.
    ///
    /// # Errors
    /// [`SubmitError::NoChallenge`] if no challenge waits for an answer, `TransmitFull` or
    /// `TooLarge`; nothing has changed then.
    pub fn submit_sasl(&mut self, token: &[u8]) -> Result<(), SubmitError> {
        let exchange = self.challenged()?;
        let header = RequestHeader { xid: self.next_xid, op: OpCode::Sasl.to_wire() };
        self.outbox
            .frame(TAIL_RESERVE, |w| {
                header.write(w);
                Request::Sasl { token: Some(token) }.encode(w);
            })
            .map_err(|full| self.refusal(full))?;
        self.next_xid = self.next_xid.next();
        self.phase = Phase::Authenticating(Exchange { turn: Turn::Server, ..exchange });
        Ok(())
    }

    /// Answers the latest [`SaslChallenge`] with: the mechanism is complete. The next events are
    /// those of a connected session. Said to the first challenge it goes without SASL; a server that
    /// demands it ends the session as `AuthFailed` then.
    ///
    /// # Errors
    /// [`SubmitError::NoChallenge`] if no challenge waits for an answer.
    pub fn sasl_done(&mut self) -> Result<(), SubmitError> {
        let exchange = self.challenged()?;
        self.phase = Phase::Authenticating(Exchange { turn: Turn::Done, ..exchange });
        Ok(())
    }

    /// Answers the latest [`SaslChallenge`] with: the mechanism has failed on this side, as the server
    /// is not who it claims to be, or there is nothing to answer with. The session ends as
    /// `AuthFailed`.
    ///
    /// # Errors
    /// [`SubmitError::NoChallenge`] if no challenge waits for an answer.
    pub fn sasl_failed(&mut self) -> Result<(), SubmitError> {
        self.challenged()?;
        self.end(KeeperState::AuthFailed, Cause::SaslFailed);
        Ok(())
    }

    fn challenged(&self) -> Result<Exchange, SubmitError> {
        match self.phase {
            Phase::Authenticating(exchange) if exchange.turn == Turn::Application => Ok(exchange),
            _ => Err(SubmitError::NoChallenge),
        }
    }

    /// What the session does by itself in the phase; `None`: it looks at what was received.
    fn next_turn(&mut self, exchange: Exchange) -> Option<Step> {
        match exchange.turn {
            Turn::Begin => {
                self.phase =
                    Phase::Authenticating(Exchange { turn: Turn::Application, ..exchange });
                Some(Step::Event(Found::Sasl(Token::Begin)))
            }
            Turn::Done => {
                (self.established_at, self.changed_at) = (self.clock, self.clock);
                let told = self.tell(exchange.state, exchange.cause);
                self.establish();
                Some(told)
            }
            Turn::Application | Turn::Server => None,
        }
    }

    /// A frame of the phase, or one of it that a lost connection left behind.
    fn on_sasl_frame(&mut self, header: ReplyHeader, body: Range<usize>) -> Step {
        if let Some(code) = ErrorCode::from_wire(header.err) {
            // A token may follow: there is nothing more to say to it.
            return match code {
                ErrorCode::AuthFailed => {
                    self.end(KeeperState::AuthFailed, Cause::AuthRefused);
                    Step::Again
                }
                code => self.garbled(DisconnectReason::SaslError { code }),
            };
        }
        let Phase::Authenticating(exchange) = self.phase else { return Step::Again };
        if exchange.turn != Turn::Server {
            return self.garbled(DisconnectReason::UnsolicitedReply { xid: header.xid.0 });
        }
        let mut reader = Reader::new(self.inbox.frame(body.clone()));
        let token = match reader.buffer() {
            Ok(None) => Token::Null,
            Ok(Some(token)) => {
                let end = body.start.saturating_add(reader.position());
                Token::Some { start: end.saturating_sub(token.len()), end }
            }
            Err(error) => return self.garbled(DisconnectReason::Malformed(error)),
        };
        self.phase = Phase::Authenticating(Exchange { turn: Turn::Application, ..exchange });
        Step::Event(Found::Sasl(token))
    }

    pub(super) fn challenge(&self, token: Token) -> SaslChallenge<'_> {
        match token {
            Token::Begin => SaslChallenge::Begin,
            Token::Null => SaslChallenge::Null,
            Token::Some { start, end } => SaslChallenge::Token(self.inbox.frame(start..end)),
        }
    }

    /// The server demands SASL, and says so to what the session sent by itself: it cannot be used.
    #[cold]
    pub(super) fn sasl_demanded(&mut self, header: ReplyHeader) -> Step {
        let request = match header.xid {
            Xid::AUTH if self.replay.auths == 0 => self.take_auth(),
            _ => None,
        };
        self.end(KeeperState::AuthFailed, Cause::SaslRequired);
        match request.filter(|request| !request.is_cancelled()) {
            Some(InFlight { xid, .. }) => {
                let error = OpError::Server(ErrorCode::SessionClosedRequireSaslAuth);
                Step::Event(Found::Failure { xid, zxid: header.zxid, error })
            }
            None => Step::Again,
        }
    }
}
