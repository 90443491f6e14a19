//! The tests of the ensemble on a thread, on the one on tokio.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unused_imports,
    reason = "tests fail by panicking; each takes its part of the twin"
)]

mod ensemble_twin;
#[path = "../../std/tests/ensemble_fault_api.rs"]
mod on_tokio;

extern crate self as zk_session_std;
extern crate zk_session_std as on_a_thread;

pub(crate) use ensemble_twin::*;
pub(crate) use on_a_thread::{Client, Events, SessionEvent, Transition};
