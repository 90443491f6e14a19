//! ZooKeeper sessions as pure state machines.
//!
//! Bytes and clock ticks go in, frames and events come out: no sockets, no clock, no threads, no
//! heap. [`ClientSession`](client::ClientSession) is one session of a ZooKeeper client, from the
//! first connection over any number of fail-overs to its end; `server` (feature `server`) is the
//! ensemble's side of the same story.
//!
//! | module | holds |
//! | --- | --- |
//! | [`wire`] | bytes ⇄ records: no state, no time |
//! | [`client`] | the client's session |
//! | `server` | connections, session tracker and, with `alloc`, a whole ensemble's state |
//! | `owned` | replies on the heap, for applications (feature `alloc`) |
//! | `sim` | sessions, networks and an ensemble in virtual time (feature `sim`) |
//! | [`storage`] | the caller's memory: lent arrays or, with `alloc`, an owned heap with limits |
//!
//! # Features
//! None is on by default, all are additive: `alloc` (owned storage), `std` (implies `alloc`),
//! `server`, `sim` (implies `alloc` and `server`), `log` and `defmt` (diagnostics).
#![no_std]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod trace;

pub mod client;
pub mod error;
pub mod machine;
#[cfg(feature = "alloc")]
pub mod owned;
pub mod path;
mod rng;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "sim")]
pub mod sim;
pub mod storage;
pub mod time;
pub mod wire;

pub use error::{ConfigError, DisconnectReason, ErrorCode, OpError, SubmitError};
pub use machine::{Io, Machine};
pub use time::{Duration, Instant};
