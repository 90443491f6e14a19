//! The bodies of the fuzz targets: stable code, so that they are compiled and replayed in every
//! test run.
//!
//! | target | the fuzzer plays |
//! | --- | --- |
//! | `wire_client` | what a client reads: records, and a peer of its session |
//! | `wire_server` | what a server reads: records, and a peer of a connection and of an ensemble |
//! | `script` | network, clock and application of a client's session |
//! | `pair` | the network between a session and an ensemble, and the clock |
//! | `connect_string` | a connection string |
//! | `ticket` | a ticket |
//! | `four_letter` | a fresh connection's first bytes |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod connect_string;
mod four_letter;
mod input;
mod pair;
mod records;
mod script;
mod seeds;
mod seen;
mod ticket;
mod wire_client;
mod wire_server;

pub use connect_string::connect_string;
pub use four_letter::four_letter;
pub use pair::pair;
pub use script::script;
pub use seeds::seeds;
pub use ticket::ticket;
pub use wire_client::wire_client;
pub use wire_server::wire_server;

/// A target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 7] = [
    ("wire_client", wire_client),
    ("wire_server", wire_server),
    ("script", script),
    ("pair", pair),
    ("connect_string", connect_string),
    ("ticket", ticket),
    ("four_letter", four_letter),
];
