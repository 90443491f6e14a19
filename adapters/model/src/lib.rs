//! Small worlds of the real machines, explored exhaustively.
//!
//! A world is two [`ClientSession`](zk_session::client::ClientSession)s, an
//! [`Engine`](zk_session::server::Engine) with two front-end servers, and the messages between them
//! on their way. [`Small`] lets a model checker choose what happens next, in every order: a message
//! arrives, a machine's deadline comes (messages may be late, and a machine may be late to its
//! own deadline), a connection is reset or goes silent, a server crashes and comes back, the
//! ensemble ends a session, an application does what it wishes. After each step and in each state
//! the [laws](Law) hold.
//!
//! The machines are functions of their inputs. So a state is the history that leads to it, built
//! again whenever it is looked at; and two histories are the same state if every machine has had
//! the same inputs at the same times and the same messages are on their way. Nothing inside the
//! machines is looked at or left out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a model that is not sound itself is to fail loudly"
)]

mod client;
mod law;
mod link;
mod small;
mod truth;
mod world;

pub use client::Wish;
pub use law::Law;
pub use link::Way;
pub use small::{Found, Scene, Small, State, explore};
pub use world::Action;
