//! SASL: proves who the client is on every new connection, before anything else.

mod digest_md5;

use std::fmt;
use std::sync::Arc;

use zk_session::client::{ClientSession, SaslChallenge};

pub use digest_md5::DigestMd5;

/// A SASL mechanism, on the client's side.
///
/// [`DigestMd5`] is one. Others, such as GSSAPI, are made by whoever has a library for them; what is
/// said to a server comes from an exchange, which is started anew for every connection.
pub trait SaslMechanism: Send + Sync {
    /// Starts with a server: the name or address that the connection string has for it.
    fn start(&self, host: &str) -> Box<dyn SaslExchange>;
}

/// What a mechanism knows of one connection.
pub trait SaslExchange: Send {
    /// Takes what the server says and tells what to answer. It is first asked with
    /// [`SaslChallenge::Begin`], for the initial response. It must not block: it runs in the
    /// session's task.
    fn step(&mut self, challenge: SaslChallenge<'_>) -> SaslAnswer;
}

/// What follows from a server's word.
#[derive(Clone, PartialEq, Eq)]
pub enum SaslAnswer {
    /// The server is told this, and will answer.
    Token(Vec<u8>),
    /// Both sides have proved who they are.
    Done,
    /// They have not: the session ends as `AuthFailed`, with this reason in
    /// [`Transition::detail`](crate::Transition::detail).
    Failed(String),
}

/// Tokens stay out.
impl fmt::Debug for SaslAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => write!(f, "Token({} bytes)", token.len()),
            Self::Done => f.write_str("Done"),
            Self::Failed(reason) => f.debug_tuple("Failed").field(reason).finish(),
        }
    }
}

/// A session's mechanism, and its exchange with the server that is connected.
pub(crate) struct Authenticator {
    mechanism: Arc<dyn SaslMechanism>,
    exchange: Option<Box<dyn SaslExchange>>,
}

impl Authenticator {
    pub(crate) const fn new(mechanism: Arc<dyn SaslMechanism>) -> Self {
        Self { mechanism, exchange: None }
    }

    /// What to say to a server first.
    pub(crate) fn begin(&mut self, host: &str) -> SaslAnswer {
        self.exchange = Some(self.mechanism.start(host));
        self.answer(SaslChallenge::Begin)
    }

    /// What to say next.
    pub(crate) fn answer(&mut self, challenge: SaslChallenge<'_>) -> SaslAnswer {
        let Some(exchange) = &mut self.exchange else {
            return SaslAnswer::Failed("the exchange was over".into());
        };
        let answer = exchange.step(challenge);
        if !matches!(answer, SaslAnswer::Token(_)) {
            self.exchange = None;
        }
        answer
    }
}

/// Says it; why the exchange has failed on this side, if it has.
pub(crate) fn say(session: &mut ClientSession<'_>, answer: SaslAnswer) -> Option<String> {
    let (said, failure) = match answer {
        SaslAnswer::Token(token) => (session.submit_sasl(&token), None),
        SaslAnswer::Done => (session.sasl_done(), None),
        SaslAnswer::Failed(reason) => (session.sasl_failed(), Some(reason)),
    };
    let Err(error) = said else { return failure };
    // No room for the token, nor will there be: nothing else is on its way.
    let _ = session.sasl_failed();
    Some(error.to_string())
}
