//! What things take, as docs/memory.md has it. The table's columns for a core without `alloc` are
//! checked by `.ci/memory`.
#![cfg(all(feature = "alloc", feature = "server"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::mem::size_of;

use support::Client;
use zk_session::SubmitError;
use zk_session::client::{ClientConfig, ClientSession, Event, InFlight};
use zk_session::server::{ServerConnection, ServerEvent, SessionSlot, SessionTracker};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::Request;

type Small = Fixed<2048, 1024, 512, 8>;

/// The rows of the table that are about a type: the type, and its bytes on 64 bits with and without
/// `alloc`, and on 32 without.
fn rows() -> Vec<(String, [usize; 3])> {
    let table = include_str!("../../docs/memory.md").lines().filter_map(|line| {
        let [_, what, alloc, wide, narrow, _] =
            line.split('|').collect::<Vec<_>>().try_into().ok()?;
        let bytes = |cell: &str| cell.trim().replace(',', "").parse().ok();
        let what = what.split('`').nth(1)?.to_owned();
        Some((what, [bytes(alloc)?, bytes(wide)?, bytes(narrow)?]))
    });
    table.collect()
}

#[test]
#[cfg(target_pointer_width = "64")]
fn each_type_is_as_large_as_the_table_says() {
    let measured = [
        ("client::ClientSession", size_of::<ClientSession<'_>>()),
        ("client::InFlight", size_of::<InFlight>()),
        ("client::Event", size_of::<Event<'_>>()),
        ("storage::Fixed<2048, 1024, 512, 8>", size_of::<Small>()),
        ("server::ServerConnection", size_of::<ServerConnection<'_>>()),
        ("server::ServerEvent", size_of::<ServerEvent<'_>>()),
        ("server::SessionTracker", size_of::<SessionTracker<'_>>()),
        ("server::SessionSlot", size_of::<SessionSlot>()),
    ];
    let table: Vec<_> = rows().into_iter().map(|(what, [alloc, ..])| (what, alloc)).collect();
    assert_eq!(table, measured.map(|(what, bytes)| (what.to_owned(), bytes)));
}

#[test]
fn the_readme_repeats_the_table() {
    let readme = include_str!("../../README.md").replace('\n', " ");
    let table = rows();
    let row = |of: &str| table.iter().find(|(what, _)| what == of).unwrap().1;
    let [alloc, wide, narrow] = row("client::ClientSession");
    let [request, ..] = row("client::InFlight");
    for sentence in [
        format!("takes {narrow} bytes on a Cortex-M3 and {wide} on a 64-bit machine, or {alloc} "),
        format!("a request in flight takes {request}, a watch its path and 5 more"),
    ] {
        assert!(readme.contains(&sentence), "{sentence}");
    }
}

/// What a session that can remember so many bytes says to a request.
fn remembered(request: &Request<'_>, registry: usize) -> Result<(), SubmitError> {
    let mut limits = Limits::default();
    limits.registry = registry;
    let mut client = Client::with(ClientConfig::new("h1", 1), Storage::owned(limits)).connected();
    client.session.submit(request).map(|_| ())
}

#[test]
fn a_watch_takes_its_path_and_5_bytes_and_a_credential_its_text_and_17() {
    let path = "/members/me";
    let watch = Request::get_data(path, true);
    let (scheme, secret) = ("digest", "user:password");
    let credential = Request::add_auth(scheme, secret.as_bytes());
    let text = scheme.len() + secret.len();
    for (request, bytes) in [(watch, path.len() + 5), (credential, text + 17)] {
        assert_eq!(remembered(&request, bytes), Ok(()), "{request:?}");
        let full = SubmitError::RegistryFull { needed: bytes, free: bytes - 1 };
        assert_eq!(remembered(&request, bytes - 1), Err(full));
    }
}
