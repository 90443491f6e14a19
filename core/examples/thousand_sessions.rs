//! A thousand sessions on an ensemble of three servers, through a virtual hour: what it costs.
//!
//! ```sh
//! cargo run --release -p zk-session --features sim --example thousand_sessions
//! ```
//!
//! Each of them asks for 30 s, holds an ephemeral znode, watches its neighbour's, and pings every
//! 10 s over a network of 1 to 5 ms. Once in ten minutes a server is away for half a minute. The first
//! line is with every invariant checked after every event, the second without.
#![allow(clippy::unwrap_used, reason = "an example ends by panicking")]

use cpu_time::ProcessTime;
use zk_session::Duration;
use zk_session::client::{ClientConfig, KeeperState};
use zk_session::sim::{Step, Weather, World, WorldConfig};
use zk_session::wire::{CreateMode, Request};

const SESSIONS: usize = 1000;

fn main() {
    for (title, config) in
        [("checked", WorldConfig::new(1)), ("unchecked", WorldConfig::new(1).unchecked())]
    {
        let begun = ProcessTime::now();
        let world = hour(config);
        let cpu = begun.elapsed();
        let connected = (0..SESSIONS)
            .filter(|client| world.session(*client).unwrap().state() == KeeperState::SyncConnected);
        println!(
            "{title:>9}: {} of {SESSIONS} sessions through a virtual hour in {:.2} s of CPU",
            connected.count(),
            cpu.as_secs_f64(),
        );
        assert_eq!(world.violation(), None);
    }
}

fn hour(config: WorldConfig) -> World {
    let (latency, jitter) = (Duration::from_millis(1), Duration::from_millis(4));
    let mut world = World::new(config.weather(Weather { latency, jitter, longest_piece: 0 }));
    for seed in 0..1000 {
        let config = ClientConfig::new("s0,s1,s2", seed).timeout(Duration::from_secs(30));
        let client = world.join(config).unwrap();
        assert!(world.run_until(client, KeeperState::SyncConnected, Duration::from_secs(10)));
        let own = format!("/session-{client}");
        world.call(client, &Request::create(&own, b"", CreateMode::Ephemeral)).unwrap();
        let neighbour = format!("/session-{}", client.saturating_sub(1));
        world.call(client, &Request::exists(&neighbour, true)).unwrap();
    }
    for round in 0..6 {
        world.run(Duration::from_secs(285));
        world.apply(&Step::Stop { server: round % 3 });
        world.run(Duration::from_secs(30));
        world.apply(&Step::Start { server: round % 3 });
        world.run(Duration::from_secs(285));
    }
    world
}
