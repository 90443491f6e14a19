//! The tests of the ensemble on a thread, on the one on tokio.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unused_imports,
    reason = "tests fail by panicking; each takes its part of the twin"
)]

mod ensemble_twin;
#[path = "../../std/tests/ensemble_durable.rs"]
mod on_tokio;

extern crate self as zk_session_std;

pub(crate) use ensemble_twin::*;
