//! The client's side: one ZooKeeper session, over any number of connections.
//!
//! ```text
//!             poll_timeout            handle_connected           server accepts
//!  ┌─────────┐   over    ┌──────────┐        ┌─────────┐         ┌───────────┐
//!  │ Backoff ├──────────►│ Dialling ├───────►│ Priming ├────────►│ Connected │
//!  └─────────┘           └────┬─────┘        └────┬────┘         └─────┬─────┘
//!       ▲                     │ refused, late     │ closed, late       │ lost, silent, garbled
//!       │                     ▼                   ▼                    ▼
//!       └─────────────────────┴──────────────── Draining ◄─────────────┘
//!                                                 │ expired, closed, auth refused
//!                                                 ▼
//!                                               Ended
//! ```
//!
//! With [`ClientConfig::sasl`] there is one more state, *Authenticating*, between *Priming* and
//! *Connected*: see [`SaslChallenge`].
//!
//! *Backoff* waits; *Dialling* and *Priming* share the connect deadline; *Connected* pings and
//! watches the read deadline; *Draining* tells what the last connection left behind: replies that
//! had arrived, then `ConnectionLoss` for every other request in flight, then the state.
//!
//! # The driver's loop
//! Pull events until there are none, look at the link, move bytes or wait for the deadline, tell the
//! time:
//!
//! ```
//! use zk_session::client::{ClientConfig, ClientSession, Event, KeeperState, Link};
//! use zk_session::storage::Fixed;
//! use zk_session::{Instant, Machine};
//!
//! let mut memory = Fixed::<2048, 1024, 512, 8>::new();
//! let config = ClientConfig::new("10.0.0.1,10.0.0.2/app", 42);
//! let now = Instant::from_millis(0);
//! let mut session = ClientSession::new(config, memory.lend(), now).unwrap();
//!
//! session.handle_timeout(session.poll_timeout().unwrap());
//! let Link::Dial(host) = session.poll_link() else { unreachable!() };
//! assert!(session.host(host).unwrap().name.starts_with("10.0.0."));
//! session.handle_connected(now);
//! assert_eq!(session.poll_transmit().len(), 49); // the handshake, with its length
//! # let answer = [0, 0, 0, 37, 0, 0, 0, 0, 0, 0, 39, 16, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 16,
//! #     1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0];
//! session.handle_bytes(now, &answer); // what the server sent
//! while let Some(event) = session.poll_event() {
//!     assert!(matches!(event, Event::State { state: KeeperState::SyncConnected, .. }));
//! }
//! ```
//!
//! Two more things a driver may do: hand on a changed list of hosts
//! ([`update_hosts`](ClientSession::update_hosts)), and, while a read-only server is connected, ask
//! other hosts whether they can write ([`poll_probe`](ClientSession::poll_probe)).

mod chunk;
mod config;
mod connect_string;
mod credential;
mod deadline;
mod debug;
mod event;
mod expiry;
mod handshake;
mod held;
mod host_lists;
mod hosts;
mod inflight;
mod lend;
mod liveness;
mod operation;
mod phase;
mod probe;
mod quick;
mod raw;
mod rebalance;
mod receive;
mod registry;
mod removal;
mod sasl;
mod session;
mod submit;
mod ticket;
mod transitions;
mod watch_kind;
mod why;

pub use config::ClientConfig;
pub use connect_string::{
    ConnectString, ConnectStringError, ConnectStringErrorKind, DEFAULT_PORT, Host,
};
pub use credential::AddAuth;
pub use event::{Cause, Event, ExpiryReason, KeeperState};
pub use held::{Held, HeldReply};
pub use host_lists::HostsUpdate;
pub use hosts::HostIndex;
pub use inflight::InFlight;
pub use operation::{
    AddWatch, CreateOpen, Delete, Exists, GetChildren, GetData, Operation, RemoveWatches, SetData,
};
pub use phase::Link;
pub use probe::ProbeAnswer;
pub use raw::RawReply;
pub use sasl::SaslChallenge;
pub use session::ClientSession;
pub use ticket::{ExportError, TICKET_BYTES, TicketContents, TicketError, crc32};
pub use watch_kind::{WatchKind, ancestors};
pub use why::Why;
