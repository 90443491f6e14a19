//! A bench for integration tests: the real thing to talk to, and a way to pull its plug.
//!
//! - [`RealEnsemble`] runs Debian's ZooKeeper, one node or a quorum, and kills, pauses and restarts
//!   its nodes;
//! - [`Relay`] stands between a client and a server, and cuts or silences what passes through it;
//! - [`Kazoo`] and [`ZkCli`] are foreign clients, Python's and Java's, to try against a server of
//!   ours;
//! - [`Program`] is a client written for a test, in Java, C or Python, that tells what it finds line
//!   by line and asks for faults.
//!
//! Everything binds to 127.0.0.1, cleans up after itself in `Drop`, and reports what is missing on
//! the machine as an error that names the Debian package to install. Nothing is skipped silently.
//!
//! ```no_run
//! use std::time::Duration;
//! use zk_session_testkit::{RealEnsemble, Relay};
//!
//! # fn main() -> std::io::Result<()> {
//! let builder = RealEnsemble::builder().nodes(3).property("extendedTypesEnabled", true);
//! let ensemble = builder.start()?;
//! let relay = Relay::start(ensemble.addr(0))?;
//! // … a client connects to relay.addr() …
//! relay.cut();
//! relay.mend()?;
//! let leader = ensemble.wait_leader(Duration::from_secs(30))?;
//! ensemble.kill(leader)?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "a bench for real processes lives by the real clock")]

mod cache;
mod ensemble;
mod error;
mod four_letter;
mod kazoo;
mod node;
mod port;
mod program;
mod reaper;
mod relay;
mod run;
mod temp_dir;
mod zkcli;

pub use ensemble::{RealEnsemble, RealEnsembleBuilder};
pub use four_letter::{Mode, four_letter};
pub use kazoo::{KAZOO_PYTHON_VARIABLE, Kazoo};
pub use port::ReservedPort;
pub use program::Program;
pub use relay::Relay;
pub use run::Output;
pub use zkcli::ZkCli;
