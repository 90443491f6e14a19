//! The ensemble's side of a session.
//!
//! | type | knows |
//! | --- | --- |
//! | [`ServerConnection`] | one transport: frames, handshake, replies, notifications |
//! | [`SessionTracker`] | who lives until when, and who speaks for whom |
//! | [`tiny::Ensemble`] | a whole ensemble of one server in lent memory: for a device |
//! | `Engine` (feature `alloc`) | a whole ensemble: n front-end servers over one tree of znodes |
//!
//! The first two need no heap and do not know each other: their owner passes values between them,
//! for in a quorum the leader expires sessions that other servers connect. `Engine` is such an
//! owner.
#![cfg_attr(
    feature = "alloc",
    doc = r#"
```
use zk_session::server::{Engine, EngineConfig, ServerLink};
use zk_session::time::Instant;

let now = Instant::ORIGIN;
let mut engine = Engine::new(EngineConfig::default(), now);
let server = engine.add_server();
let conn = engine.accept(now, server, ([127, 0, 0, 1], 40_000).into());
engine.handle_bytes(now, conn, b"ruok");
assert_eq!(engine.poll_ready(), Some(conn));
assert_eq!(engine.poll_transmit(conn), b"imok");
engine.handle_transmitted(now, conn, 4);
assert_eq!(engine.poll_link(conn), ServerLink::Down);
```
"#
)]

#[cfg(feature = "alloc")]
mod acl;
mod answers;
mod connection;
#[cfg(feature = "alloc")]
mod engine;
mod event;
mod modes;
mod passwd;
#[cfg(feature = "alloc")]
mod record;
mod rules;
#[cfg(feature = "alloc")]
mod sasl;
mod slots;
#[cfg(feature = "alloc")]
mod text;
pub mod tiny;
mod tracker;
#[cfg(feature = "alloc")]
mod tree;
#[cfg(feature = "alloc")]
mod watches;

pub use connection::ServerConnection;
#[cfg(feature = "alloc")]
pub use engine::{
    ConnectionId, ConnectionInfo, Engine, EngineConfig, FourLetterWords, Release, Restore,
    RestoreError, SessionInfo,
};
pub use event::{Access, CloseReason, ServerEvent, ServerLink, TransmitFull};
pub use passwd::{PasswdScheme, zookeeper_passwd};
#[cfg(feature = "alloc")]
pub use record::{
    Change, HeaderRecord, Record, RecordError, RecordKey, SessionRecord, ZnodeRecord,
};
#[cfg(feature = "alloc")]
pub use sasl::{DigestMd5, SaslExchange, SaslMechanism, SaslStep};
pub use slots::SessionSlot;
pub use tracker::{
    AttachError, Granted, Ownership, ServerId, SessionRef, SessionTracker, TrackerConfig,
    TrackerFull,
};
#[cfg(feature = "alloc")]
pub use tree::Kind as ZnodeKind;
