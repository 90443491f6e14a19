//! What the caller decides about a session.

use super::{probe, sasl};
use crate::storage::Text;
use crate::time::Duration;

/// How a [`ClientSession`](super::ClientSession) is to behave.
#[derive(Clone, Debug)]
pub struct ClientConfig<'b> {
    pub(super) connect_string: Text<'b>,
    pub(super) seed: u64,
    pub(super) timeout: Duration,
    /// If it will do, how to look for a better one.
    pub(super) read_only: Option<probe::OnTime>,
    pub(super) close_timeout: Duration,
    pub(super) new_session_deadline: Option<Duration>,
    pub(super) frame_limit: usize,
    pub(super) stolen_after: u32,
    pub(super) expiry_allowance: Option<Duration>,
    pub(super) expires_locally: bool,
    pub(super) sasl: Option<&'static sasl::Exchanger>,
}

impl<'b> ClientConfig<'b> {
    /// A session on the hosts of `connect_string` (`h1:2181,h2:2181/chroot`).
    ///
    /// `seed` feeds host shuffling and back-off jitter: give every client another one, so that a
    /// thousand of them do not move in step.
    pub fn new(connect_string: impl Into<Text<'b>>, seed: u64) -> Self {
        Self {
            connect_string: connect_string.into(),
            seed,
            timeout: Duration::from_secs(10),
            read_only: None,
            close_timeout: Duration::from_secs(2),
            new_session_deadline: None,
            frame_limit: 16 << 20,
            stolen_after: 0,
            expiry_allowance: None,
            expires_locally: false,
            sasl: None,
        }
    }

    /// The session timeout to ask for; the server answers with the one that holds. Default 10 s.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Accepts servers that have lost their quorum and serve reads only. Default: not.
    #[must_use]
    pub const fn allow_read_only(mut self) -> Self {
        self.read_only = Some(probe::Prober::on_time);
        self
    }

    /// Authenticates every connection with SASL before anything else: the session lends
    /// [`Event::SaslChallenge`](super::Event::SaslChallenge)s and the application answers them.
    /// Default: not.
    #[must_use]
    pub const fn sasl(mut self) -> Self {
        self.sasl = Some(&sasl::EXCHANGER);
        self
    }

    /// How long a close may take before the session ends without the server's answer. Default 2 s.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long to look for a server that gives a session at all, before the session ends as
    /// [`Cause::NeverEstablished`](super::Cause::NeverEstablished). Default: for ever. Once there
    /// is a session, this has no say: only the ensemble ends it.
    #[must_use]
    pub const fn new_session_deadline(mut self, deadline: Duration) -> Self {
        self.new_session_deadline = Some(deadline);
        self
    }

    /// The longest frame in bytes that is still taken for a frame, and stepped over if it does not
    /// fit the receive buffer; longer ones end the connection. Default 16 MiB.
    #[must_use]
    pub const fn frame_limit(mut self, limit: usize) -> Self {
        self.frame_limit = limit;
        self
    }

    /// What is added to the timeout until a silent session is surely expired: a tick of the
    /// ensemble's, half a tick for a follower's delay, and the skew of the clocks within the timeout.
    /// Default: four fifths of the timeout, enough where `minSessionTimeout` is two ticks or more.
    #[must_use]
    pub const fn expiry_allowance(mut self, allowance: Duration) -> Self {
        self.expiry_allowance = Some(allowance);
        self
    }

    /// Ends the session by itself, as `Expired`, when it is surely expired. Default: not; only the
    /// ensemble's word ends it, and until then it is `Disconnected`.
    #[must_use]
    pub const fn expire_locally(mut self) -> Self {
        self.expires_locally = true;
        self
    }

    /// Takes the session for stolen, and ends it as `Expired`, when so many times in a row a server
    /// closed the connection within a third of the timeout after it had resumed the session: two
    /// holders of one ticket would evict each other for ever. Default: never.
    #[must_use]
    pub const fn stolen_after(mut self, evictions: u32) -> Self {
        self.stolen_after = evictions;
        self
    }
}
