//! ZooKeeper sessions on plain threads and `std::net`: a [`Client`] that many threads share, and an
//! [`EmbeddedEnsemble`] that serves in the same process, for tests and development.
//!
//! Both only carry bytes and time for the machines of `zk_session`, which decide everything.

mod client;
mod clock;
mod ensemble;

pub use client::{
    AclEntry, Answer, Client, ClientBuilder, Error, ErrorKind, Events, Identity, ItemAnswer,
    Pending, Pipeline, SessionEvent, Transition,
};
pub use ensemble::*;
