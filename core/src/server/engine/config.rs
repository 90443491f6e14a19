//! How an engine behaves, and what it tells of itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{ConnectionId, FourLetterWords};
use crate::server::connection::FRAME_LIMIT;
use crate::server::passwd::PasswdScheme;
use crate::server::tracker::{ServerId, TrackerConfig};
use crate::time::Duration;
use crate::wire::SessionId;

/// Whose behaviour an engine shows where ZooKeeper's releases differ.
///
/// | | `V3_8` (3.8.0) | `V3_9` (3.9.5) |
/// | --- | --- | --- |
/// | zxid of a notification | -1 | that of the change, -1 for catch-up events |
/// | exists on a znode without READ | allowed | `NoAuth` |
/// | create2 within a multi | answered by its flags, as create | answered as create2 |
/// | unknown flags within a multi | that item fails | the whole multi is `MarshallingError` |
/// | flags of a time to live in a create within a multi | the whole multi fails | answered by itself |
/// | checkWatches | anyone's watch will do | only one of the connection's own |
/// | watcher types 4 and 5 | `MarshallingError`; 1 and 2 mean persistent watches too | known |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Release {
    /// As 3.8.0, with the later fix that keeps events from those who may not read the znode.
    V3_8,
    /// As 3.9.5.
    #[default]
    V3_9,
}

/// The settings of an [`Engine`](super::Engine); the names are those of `zoo.cfg` where it has any.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineConfig {
    /// `tickTime`: sessions expire at multiples of it. 2 s.
    pub tick: Duration,
    /// `minSessionTimeout`; `None`: two ticks.
    pub min_session_timeout: Option<Duration>,
    /// `maxSessionTimeout`; `None`: twenty ticks.
    pub max_session_timeout: Option<Duration>,
    /// `jute.maxbuffer`: the longest frame, in bytes. 1,048,575.
    pub frame_limit: usize,
    /// Keys the session passwords: give it from a good source of randomness.
    pub seed: u64,
    /// How passwords are made.
    pub passwds: PasswdScheme,
    /// Milliseconds since 1970 at [`Instant::ORIGIN`](crate::Instant::ORIGIN): for the times in
    /// `Stat`, and so that a restarted ensemble makes other session ids than before.
    pub unix_time_at_origin: i64,
    /// Bytes that may wait for a client that does not read, before it loses its connection. 16 MiB.
    pub outbox_limit: usize,
    /// `zookeeper.nio.sessionlessCnxnTimeout`: how long a connection may take for its handshake, in
    /// all (ZooKeeper: since its last byte), and the step in which idle connections are closed.
    /// 10 s.
    pub sessionless_timeout: Duration,
    /// Sessions at most.
    pub session_limit: usize,
    /// Whose behaviour to show where releases differ.
    pub release: Release,
    /// `zookeeper.extendedTypesEnabled`: whether znodes can have a time to live.
    pub extended_types: bool,
    /// `localSessionsEnabled`: whether a new session is known to its server only. Such a session
    /// costs no transaction, cannot be resumed on another server, is lost when its server stops,
    /// and owns no ephemeral znodes. Off.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: whether a local session becomes one like any other when it
    /// asks for an ephemeral znode; otherwise it is refused with `EphemeralOnLocalSession`. Off.
    pub local_sessions_upgrading: bool,
    /// `zookeeper.enforceQuota`: whether a hard limit of a quota refuses what goes beyond it.
    /// Without, quotas count and warn. Off.
    pub enforce_quota: bool,
    /// `zookeeper.DigestAuthenticationProvider.superDigest`: `user:digest` of an identity to which
    /// no ACL applies.
    pub super_digest: Option<String>,
    /// `zookeeper.superUser`: the SASL authorization id to which no ACL applies.
    pub super_user: Option<String>,
    /// `zookeeper.sessionRequireClientSASLAuth`: whether a client must have proved itself by SASL
    /// before it asks for anything; who has not is told so once and loses its connection. Off.
    pub require_sasl: bool,
    /// `znode.container.checkIntervalMs`: how often containers and times to live are looked
    /// after. 60 s.
    pub container_check_interval: Duration,
    /// `znode.container.maxNeverUsedIntervalMs`: how long a container that never had a child stays;
    /// `None`: for ever.
    pub container_never_used: Option<Duration>,
    /// `4lw.commands.whitelist`: the four-letter words that are answered. All of them, as for tests
    /// and tools; ZooKeeper answers `srvr` alone unless told otherwise.
    pub four_letter_words: FourLetterWords,
    /// What `envi` tells beside the version: names and values. None.
    pub environment: Vec<(String, String)>,
    /// `maxClientCnxns`: connections to each server from one address; 0: any number. Any, for all
    /// clients of an embedded server come from the same address; ZooKeeper's default is 60.
    pub max_client_connections: usize,
    /// `maxCnxns`: connections to each server; 0: any number. Any.
    pub max_connections: usize,
    /// `connection_throttle_tokens`: handshakes that each server answers at once before it drops
    /// them; 0: any number. Any.
    pub connection_throttle_tokens: u32,
    /// `connection_throttle_fill_time`: the span after which tokens come back. 1 ms.
    pub connection_throttle_fill_time: Duration,
    /// `connection_throttle_fill_count`: how many tokens come back in that span. 1.
    pub connection_throttle_fill_count: u32,
    /// `connection_throttle_weight_enabled`: whether a new session takes three tokens and a resumed
    /// one two, instead of one each. No.
    pub connection_throttle_weights: bool,
    /// `globalOutstandingLimit`: requests to each server whose answers have not left, above which it
    /// reads only from clients who have taken all of theirs. Requests are executed as they arrive;
    /// what can pile up is answers that nobody takes. 1,000.
    pub global_outstanding_limit: usize,
    /// `largeRequestThreshold`: bytes above which a request is large; `None`: none is. None.
    pub large_request_threshold: Option<usize>,
    /// `largeRequestMaxBytes`: bytes of large requests that may be on their way to a server at the
    /// same time; the connection of one more is closed. 100 MiB.
    pub large_request_max_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(2000),
            min_session_timeout: None,
            max_session_timeout: None,
            frame_limit: FRAME_LIMIT,
            seed: 0,
            passwds: PasswdScheme::default(),
            unix_time_at_origin: 0,
            outbox_limit: 16 << 20,
            sessionless_timeout: Duration::from_secs(10),
            session_limit: usize::MAX,
            release: Release::default(),
            extended_types: false,
            local_sessions: false,
            local_sessions_upgrading: false,
            enforce_quota: false,
            super_digest: None,
            super_user: None,
            require_sasl: false,
            container_check_interval: Duration::from_secs(60),
            container_never_used: None,
            four_letter_words: FourLetterWords::ALL,
            environment: Vec::new(),
            max_client_connections: 0,
            max_connections: 0,
            connection_throttle_tokens: 0,
            connection_throttle_fill_time: Duration::from_millis(1),
            connection_throttle_fill_count: 1,
            connection_throttle_weights: false,
            global_outstanding_limit: 1000,
            large_request_threshold: None,
            large_request_max_bytes: 100 << 20,
        }
    }
}

impl EngineConfig {
    pub(super) fn tracker(&self) -> TrackerConfig {
        TrackerConfig {
            tick: self.tick,
            min_session_timeout: self.min_session_timeout,
            max_session_timeout: self.max_session_timeout,
            seed: self.seed,
            passwds: self.passwds,
            unix_time_at_origin: self.unix_time_at_origin,
        }
    }

    /// Bytes waiting to be sent above which a connection's requests wait, too.
    pub(super) fn pause_above(&self) -> usize {
        (256 << 10).min(self.outbox_limit.checked_div(4).unwrap_or(0))
    }
}

/// A connection, as an administrator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The server it leads to.
    pub server: ServerId,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The session it speaks for.
    pub session_id: Option<SessionId>,
}

/// A session, as an administrator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its id.
    pub session_id: SessionId,
    /// Its timeout.
    pub timeout: Duration,
    /// The server that speaks for it.
    pub owner: ServerId,
    /// Its connection to that server.
    pub connection: Option<ConnectionId>,
    /// How many ephemeral znodes it has.
    pub ephemerals: usize,
    /// Whether only its owner knows it; see [`EngineConfig::local_sessions`].
    pub is_local: bool,
}
