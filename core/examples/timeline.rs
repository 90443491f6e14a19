//! The life of two sessions on three servers as a picture, by the simulator: an SVG document.
//!
//! ```sh
//! cargo run -p zk-session --features sim --example timeline > docs/timeline.svg
//! ```
#![allow(clippy::unwrap_used, reason = "an example ends by panicking")]

use zk_session::Duration;
use zk_session::client::{ClientConfig, KeeperState};
use zk_session::sim::{Step, Weather, World, WorldConfig};
use zk_session::wire::{CreateMode, Request};

fn main() {
    let (latency, jitter) = (Duration::from_millis(5), Duration::from_millis(20));
    let weather = Weather { latency, jitter, longest_piece: 0 };
    let mut world = World::new(WorldConfig::new(3).weather(weather).timeline(10_000));
    for seed in 0..2 {
        let config = ClientConfig::new("s0,s1,s2", seed).timeout(Duration::from_secs(6));
        let client = world.join(config).unwrap();
        assert!(world.run_until(client, KeeperState::SyncConnected, Duration::from_secs(5)));
    }
    world.call(0, &Request::create("/here", b"", CreateMode::Ephemeral)).unwrap();
    world.call(1, &Request::exists("/here", true)).unwrap();
    world.run(Duration::from_secs(8));
    // Its server goes, and it moves with its session to another one.
    let server = world.server_of(0).unwrap();
    world.apply(&Step::Stop { server });
    world.run(Duration::from_secs(6));
    world.apply(&Step::Start { server });
    world.run(Duration::from_secs(4));
    // Nothing comes through any more: the ensemble lets it expire, and the other one is told.
    (0..3).for_each(|server| world.apply(&Step::Cut { client: 0, server }));
    world.run(Duration::from_secs(16));
    // It hears of it when it is back, and begins anew.
    world.apply(&Step::HealAll);
    assert!(world.run_until(0, KeeperState::Expired, Duration::from_secs(10)));
    world.run(Duration::from_secs(2));
    world.reopen(0);
    world.run(Duration::from_secs(6));
    assert_eq!(world.violation(), None);
    print!("{}", world.timeline().svg());
}
