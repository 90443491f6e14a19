//! ZooKeeper sessions on tokio: a [`Client`] that any number of tasks share. It only carries bytes
//! and time for the machines of `zk_session`, which decide everything.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(3).start()?;
//! # let hosts = ensemble.connect_string();
//! use zk_session_tokio::Client;
//!
//! let client = Client::connect(hosts).await?; // "h1:2181,h2:2181,h3:2181/app"
//! client.create("/config", b"v1").await?;
//! let (node, mut watch) = client.get("/config").watch().await?;
//! client.set("/config", b"v2").version(node.stat.version).await?;
//! let (kind, path) = watch.changed().await.expect("the session lives");
//! println!("{kind:?} {path}");
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Requests
//! Each operation is a method of [`Client`] that returns a [`Call`]: options are added to it, and
//! `.await` or [`send`](Call::send) makes the request. *Making* it is what orders it: requests leave
//! in the order in which `.await` was reached or `send` was called, whichever tasks they come from,
//! and the server answers them in that order. `send` returns a [`Pending`] future that need not be
//! awaited at once, so that one task can have any number of requests under way; `join!` and its kin do
//! the same with calls.
//!
//! *Dropping* the future of a request forgets its answer and nothing else: not the session, not the
//! request, unless it has not left yet, when it never will. [`deadline`](Call::deadline) bounds the
//! wait, and with it the request.
//!
//! *Without a server* requests wait in a line, in order, until one is connected or the session is over.
//! The line holds as many as [`Limits::requests`](zk_session::storage::Limits) and as many bytes as
//! `Limits::transmit`; the futures of further ones wait for room in it, and take their places in the
//! order in which they are polled. Nothing else is queued: while the session is busy, callers wait.
//!
//! *What failed* is an [`Error`] with the operation, the path and an [`ErrorKind`];
//! [`Error::is_outcome_unknown`] says whether a write may have happened all the same. A request is
//! never sent twice.
//!
//! # Watches
//! A read with [`watch()`](Call::watch) arms a one-shot watch; [`Client::watch`] adds a persistent one,
//! or a recursive one. Each is a [`Watch`]: a stream of changes that also tells when the session is
//! disconnected, connected again or over. Watches are armed again after every reconnect, and what was
//! missed meanwhile is told. Dropping one removes it.
//!
//! # The session
//! [`Client::states`] is its latest state as a channel, [`Client::transitions`] every change with its
//! cause and the clocks of that moment. [`Client::ticket`] and [`Client::detach`] leave it to a later
//! process. A session that is over stays over: connect a new one.
//!
//! # Runtime
//! The session's task runs on the runtime in which the client was started, which needs its I/O and time
//! drivers enabled; handles may be used from any other. If that runtime is shut down, whatever waits
//! ends with [`ErrorKind::NoRuntime`], the state is `Closed` by
//! [`Cause::Detached`], and the ensemble keeps the session until its timeout.
//!
//! # TLS
//! With the feature `tls`, [`ClientBuilder::tls`](ClientBuilder) puts TLS 1.2 or 1.3 between TCP and
//! ZooKeeper (`secureClientPort` with `NettyServerCnxnFactory`, or a proxy that ends TLS).
#![cfg_attr(feature = "tls", doc = "```no_run")]
#![cfg_attr(not(feature = "tls"), doc = "```ignore")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use zk_session_tokio::{Client, Tls};
//!
//! let tls = Tls::builder()
//!     .ca_file("/etc/zookeeper/ca.pem") // whom to trust
//!     .identity_files("/etc/app/cert.pem", "/etc/app/key.pem") // if the servers demand it
//!     .build()?;
//! let client = Client::builder("zk1:2281,zk2:2281,zk3:2281").tls(tls.clone()).connect().await?;
//! // When certificates have been renewed; TlsBuilder::reload_on_connect does it by itself.
//! tls.reload()?;
//! # Ok(())
//! # }
//! ```
//! Each server must prove that it is what the connection string calls it, by name or address, unless
//! `server_name` says otherwise. A server that cannot, a client that the server refuses, a server
//! that speaks no TLS, a handshake that is cut off or never ends: each ends the attempt, within the
//! time that the session gives to attempts, and the next comes after its back-off. What was wrong is
//! logged as a warning, and stands in [`ErrorKind::ConnectTimeout`] and [`Transition::detail`].
//!
//! # SASL
//! With the feature `sasl`, a client proves who it is on every connection before anything else, by
//! DIGEST-MD5 or by a `SaslMechanism` of the program's own. Its identity has the scheme `sasl`.
#![cfg_attr(all(feature = "sasl", feature = "ensemble"), doc = "```")]
#![cfg_attr(not(all(feature = "sasl", feature = "ensemble")), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ensemble =
//! #     zk_session_std::EmbeddedEnsemble::builder().sasl_user("bob", "secret").start()?;
//! # let hosts = ensemble.connect_string();
//! use zk_session_tokio::{Client, DigestMd5};
//!
//! let client = Client::builder(hosts).sasl(DigestMd5::new("bob", "secret")).connect().await?;
//! assert!(client.who_am_i().await?.iter().any(|me| me.scheme == "sasl" && me.user == "bob"));
//! # client.close().await?;
//! # Ok(())
//! # }
//! ```
//! A wrong password ends the session as `AuthFailed` with [`Cause::AuthRefused`]; a server that does
//! not know the password either, or has no SASL, as `AuthFailed` with [`Cause::SaslFailed`] and the
//! reason in [`Transition::detail`]. A server that is silent is left for the next.
//!
//! # What can be observed
//! [`Client::transitions`] and [`Client::why`] tell of states, [`Transition::detail`] what the
//! transport said. Without any feature, warnings and debug lines go to the crate `log`.
//!
//! With the feature `metrics`, the recorder of the crate `metrics` that is installed when a session is
//! started gets these, each with the label `client`, the builder's `name`; `op` is a request's type, such as
//! `GetData`.
//!
//! | name | kind | labels | meaning |
//! |---|---|---|---|
//! | `zk_session_requests_total` | counter | `op`, `outcome` | requests that have come to an end |
//! | `zk_session_request_seconds` | histogram | `op` | from a request to its answer or failure |
//! | `zk_session_transitions_total` | counter | `state` | changes of sessions' states |
//! | `zk_session_reconnects_total` | counter | | connections after a session's first |
//! | `zk_session_ping_seconds` | histogram | | from a ping to its answer |
//! | `zk_session_silence_seconds` | gauge | | since bytes last came from the server; of the last of a name's sessions that told |
//! | `zk_session_watches` | gauge | | armed watches |
//!
//! An `outcome` is `ok`, `server_error`, `connection_loss`, `timeout`, `session_over`,
//! `unusable_answer`, `not_accepted` (by the session, before it left), `not_sent` (no server before
//! its deadline) or `dropped` (by its caller, before it left). Gauges are set when the session's task
//! runs, at most once a second, and at least as often as it pings: every third of the timeout, 10 s at the latest.
//!
//! With the feature `tracing`, each session has a span `zk_session` of level `INFO` with `client` and
//! `session_id`, and in it an event for each transition with `state`, `cause`, `host` and `detail`: `INFO`
//! when a server is connected or the session was closed, else `WARN`. Each request has a span
//! `zk_request` of level `DEBUG` with `op`, `path` and `outcome`, below the span of whoever asked, which follows
//! from the session's.
//!
//! A feature that is on and that nobody listens to costs little: with neither recorder nor subscriber
//! `metrics` adds 97 instructions to the 1,554 of a getData among 256 in flight, `tracing` 27.
//! Counters and a histogram that are recorded add 246, and a subscriber that wants `DEBUG` spans 640,
//! beside what it does with them.
#![cfg_attr(all(feature = "metrics", feature = "tracing"), doc = "```")]
#![cfg_attr(not(all(feature = "metrics", feature = "tracing")), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(1).start()?;
//! # let hosts = ensemble.connect_string();
//! use zk_session_tokio::Client;
//!
//! tracing_subscriber::fmt().init(); // and an exporter of metrics, such as Prometheus'
//! let client = Client::builder(hosts).name("orders").connect().await?;
//! # client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! None is on by default. `ensemble`: `EmbeddedEnsemble`, a whole ensemble in a task of the runtime, for
//! tests and development; `durable`: one that keeps its state. `sasl`: [SASL](#sasl). `metrics`,
//! `tracing`: [what can be observed](#what-can-be-observed). `tls`: [TLS](#tls); the only feature
//! that needs a C compiler.

mod ask;
mod body;
mod builder;
mod call;
mod client;
mod clock;
mod dial;
mod driver;
#[cfg(feature = "ensemble")]
mod ensemble;
mod error;
mod lazy;
mod line;
mod lot;
mod observe;
pub mod op;
mod pending;
mod pings;
#[cfg(feature = "sasl")]
mod sasl;
mod shared;
mod slots;
mod states;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod watch;
mod watches;

pub use builder::ClientBuilder;
pub use call::Call;
pub use client::Client;
#[cfg(feature = "ensemble")]
pub use ensemble::*;
pub use error::{Error, ErrorKind};
pub use pending::Pending;
pub use pings::Pings;
#[cfg(feature = "sasl")]
pub use sasl::{DigestMd5, SaslAnswer, SaslExchange, SaslMechanism};
pub use states::{Transition, Transitions};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsBuilder, TlsError, TlsSource};
/// What [`Tls::from_config`] takes its configuration from.
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use transport::{Layer, Layered, Stream};
pub use watch::{Watch, WatchEvent};

#[cfg(feature = "sasl")]
pub use zk_session::client::SaslChallenge;
pub use zk_session::client::{Cause, KeeperState};
pub use zk_session::owned::{AclEntry, Identity, ItemAnswer};
pub use zk_session::storage::Limits;
pub use zk_session::wire::{Acl, CreateMode, EventType, Perms, SessionId, Stat, WatcherType, Zxid};
pub use zk_session::{ErrorCode, OpError, SubmitError};
