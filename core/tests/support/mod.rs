//! A scripted server's side and a client under a virtual clock.
#![allow(dead_code, unused_imports, reason = "every test file uses another part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod client;
mod model;
mod peer;
mod rng;
mod watching;

pub(crate) use client::{Client, Seen, deadline, lost, ms};
pub(crate) use model::{PATHS, Server, request};
pub(crate) use peer::{
    Ear, Handshake, PASSWD, Sent, accepted, error, frame, handshake_answer, notification, pong,
    refused, reply, reply_header,
};
pub(crate) use rng::Rng;
pub(crate) use watching::{
    Rearmed, data, lists, rearmed, reconnect, stat, watch_absent, watch_children, watch_data,
};
