//! Explores the scenes, as far as the time of a test run reaches.
//!
//! `ZK_MODEL_DEPTH=n` explores all histories of n more actions (each takes about four times as
//! long), `ZK_MODEL_FAULTS=n` and `ZK_MODEL_TIMES=n` with so many more faults and deadlines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Instant;

use zk_session_model::Wish::{Close, Create, Delete, Watch};
use zk_session_model::{Scene, explore};

fn check(mut scene: Scene) {
    for (name, value) in [
        ("ZK_MODEL_DEPTH", &mut scene.depth),
        ("ZK_MODEL_FAULTS", &mut scene.faults),
        ("ZK_MODEL_TIMES", &mut scene.times),
    ] {
        if let Ok(more) = std::env::var(name) {
            *value += more.parse::<usize>().expect("a number");
        }
    }
    let begun = Instant::now();
    let found = explore(scene, 2);
    println!(
        "{}: {} states, {} steps, depth {}, {} faults, {} deadlines, {:.1} s",
        scene.name,
        found.states,
        found.steps,
        found.depth,
        scene.faults,
        scene.times,
        begun.elapsed().as_secs_f64()
    );
    assert!(found.broken.is_empty(), "{}", found.broken.join("\n\n"));
    assert!(found.states > 1000, "nothing was explored");
}

#[test]
fn one_client_watches_what_the_other_holds() {
    check(Scene {
        name: "a holder and a watcher",
        before: &[&[Create("/e")], &[Watch("/e"), Watch("/f")]],
        wishes: &[&[Create("/f"), Close], &[Watch("/e")]],
        shared_ticket: false,
        faults: 1,
        times: 2,
        depth: 7,
    });
}

#[test]
fn two_clients_hold_one_ticket() {
    check(Scene {
        name: "two holders of a ticket",
        before: &[&[Create("/a")], &[]],
        wishes: &[&[Create("/b"), Create("/c")], &[Create("/d"), Watch("/a")]],
        shared_ticket: true,
        faults: 1,
        times: 2,
        depth: 8,
    });
}

#[test]
fn one_client_and_everything_goes_wrong() {
    check(Scene {
        name: "one client alone",
        before: &[&[Watch("/e")]],
        wishes: &[&[Create("/e"), Watch("/e"), Delete("/e"), Close]],
        shared_ticket: false,
        faults: 2,
        times: 4,
        depth: 8,
    });
}
