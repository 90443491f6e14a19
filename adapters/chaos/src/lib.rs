//! Many sessions on one ensemble while its servers and wires fail all the time.
//!
//! ```text
//!  members ──▶ relays (group × server) ──▶ servers          observer: a session of its own,
//!  sessions     cut, silent, slow, choppy   killed, paused   straight to the servers
//! ```
//! Each member holds a session with an ephemeral znode, a counter that only it writes, and a watch on
//! a znode that changes all the time; the [observer] sees from outside which ephemerals
//! are there. What none of them may ever see is listed in [`tally::Rule`].

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "real sessions on real sockets live by the real clock"
)]

pub mod common;
pub mod faults;
pub mod gauge;
pub mod member;
pub mod observer;
pub mod registry;
pub mod run;
mod session;
pub mod tally;
pub mod target;
pub mod wires;
