//! Sessions, networks and an ensemble in virtual time, and what must be true of them.
//!
//! A [`World`] has any number of clients, each on a host with a clock of its own, the networks
//! between them and the front-end servers, and one ensemble behind these. Nothing in it waits: an
//! hour takes as long as what happens in it. Everything follows from a seed, so that whatever once
//! went wrong goes wrong again.
//!
//! ```text
//!  Clock ─ ClientSession ══ Lane ═══▶ server 0 ┐
//!  Clock ─ ClientSession ◀═ Lane ════ server 1 ├─ Engine
//!    faults: clocks, hosts │ networks, names   │ servers, data
//! ```
//!
//! # Your code in a simulation
//! Code that works by [`Event`](crate::client::Event)s is shown what its session tells, asks for
//! what it wants, and does not notice that there is no network:
//!
//! ```
//! use zk_session::Duration;
//! use zk_session::client::{ClientConfig, Event, KeeperState};
//! use zk_session::sim::{Step, World, WorldConfig};
//! use zk_session::wire::{CreateMode, Request};
//!
//! let mut world = World::new(WorldConfig::new(42));
//! let config = ClientConfig::new("s0,s1,s2", 7).timeout(Duration::from_secs(6));
//! let client = world.join(config).unwrap();
//! let until = world.now().after(Duration::from_secs(60));
//! let mut registered = 0;
//! while let Some(client) = world.advance(until) {
//!     while let Some(seen) = world.poll_seen(client) {
//!         // From here on it is the application that is being simulated.
//!         match seen.event() {
//!             Event::State { state: KeeperState::SyncConnected, .. } if registered == 0 => {
//!                 let here = Request::create("/here", b"", CreateMode::Ephemeral);
//!                 world.submit(client, &here).unwrap();
//!             }
//!             Event::Reply { result: Ok(_), .. } => {
//!                 registered += 1;
//!                 let server = world.server_of(client).unwrap();
//!                 world.apply(&Step::Stop { server }); // and now?
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(world.violation(), None);
//! assert_eq!(registered, 1);
//! assert!(world.engine().stat("/here").is_some());
//! ```
//!
//! [`Step`] is the vocabulary of what can go wrong: latency and jitter, pieces, cuts in both
//! directions or one, resets, servers that stop, isolated and wiped ones, slow readers, changed bits,
//! clocks that go wrong and hosts that sleep, new lists of hosts and names that lead elsewhere.
//! Bytes that are held up by a cut arrive when it is healed, as those of TCP do, also at a server
//! that the client has left since.
//!
//! # What must be true
//! The world tells [`Invariants`] of everything that happens; [`World::violation`] is the first that
//! did not hold. They are [`Invariant`]s over plain [`Fact`]s.
//!
//! # Scripts
//! A [`Script`] is a whole run as data, [made from a seed](Script::random) or by hand. One that
//! breaks an invariant is [made as short as it can be](Script::check), and comes with a
//! [`Timeline`] of what each party saw.
//!
//! ```
//! use zk_session::Duration;
//! use zk_session::sim::Script;
//!
//! let script = Script::random(1, Duration::from_secs(600));
//! let report = script.check().unwrap_or_else(|failure| panic!("{failure}"));
//! assert!(report.connected > 0);
//! ```
//!
//! # Limits
//! There is one state of the ensemble behind all its servers: no server lags behind another, and
//! none is without a quorum. TLS and SASL mechanisms are not simulated.

mod audit;
mod carry;
mod clock;
mod drive;
mod fact;
mod faults;
pub mod invariants;
mod peer;
mod pipe;
mod script;
mod seen;
mod step;
mod svg;
mod timeline;
mod world;

pub use clock::Clock;
pub use fact::{Fact, Truth, View};
pub use invariants::{Invariant, Invariants, Violation};
pub use pipe::{Lane, Weather};
pub use script::{Failure, Report, Script};
pub use seen::Seen;
pub use step::{Asleep, Step, Way, Wish};
pub use timeline::{Ending, Entry, Timeline, What, Who};
pub use world::{World, WorldConfig};
