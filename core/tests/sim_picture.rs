//! The picture in the README is what the simulator draws: `ZK_PICTURES=write` draws it anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(feature = "sim")]

use std::path::Path;

use zk_session::Duration;
use zk_session::client::{ClientConfig, KeeperState};
use zk_session::sim::{Asleep, Step, World, WorldConfig};
use zk_session::wire::{CreateMode, Request};

/// A minute of four sessions with a timeout of 6 s: two servers fail, one session is cut off for
/// longer than that and one for less, one host sleeps.
fn minute() -> World {
    let secs = Duration::from_secs;
    let mut world = World::new(WorldConfig::new(3).timeline(10_000));
    for seed in 0..4 {
        let config = ClientConfig::new("s0,s1,s2", seed).timeout(secs(6));
        let client = world.join(config).unwrap();
        assert!(world.run_until(client, KeeperState::SyncConnected, secs(5)));
        let path = format!("/member-{client}");
        world.call(client, &Request::create(&path, b"", CreateMode::Ephemeral)).unwrap();
    }
    world.call(3, &Request::exists("/member-1", true)).unwrap();
    let cut = |world: &mut World, client| {
        (0..3).for_each(|server| world.apply(&Step::Cut { client, server }));
    };
    let heal = |world: &mut World, client| {
        (0..3).for_each(|server| world.apply(&Step::Heal { client, server }));
    };
    world.run(secs(6));
    world.apply(&Step::Stop { server: 0 });
    world.run(secs(6));
    cut(&mut world, 1);
    world.run(secs(4));
    world.apply(&Step::Start { server: 0 });
    world.run(secs(9));
    heal(&mut world, 1);
    world.run(secs(4));
    world.apply(&Step::Reopen { client: 1 });
    world.run(secs(3));
    cut(&mut world, 0);
    world.run(secs(3));
    heal(&mut world, 0);
    world.run(secs(4));
    world.apply(&Step::Stop { server: 2 });
    world.apply(&Step::Suspend { client: 2, span: secs(10), clock: Asleep::ClockRuns });
    world.run(secs(16));
    world.apply(&Step::Start { server: 2 });
    world.apply(&Step::Close { client: 3 });
    world.run(secs(4));
    world
}

#[test]
fn the_picture_in_the_readme_is_what_the_simulator_draws() {
    let world = minute();
    assert_eq!(world.violation(), None);
    let svg = world.timeline().svg();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures/minute.svg");
    if std::env::var("ZK_PICTURES").is_ok_and(|what| what == "write") {
        std::fs::write(&file, &svg).unwrap();
    }
    let drawn = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(drawn == svg, "{} is another picture; draw it anew: ZK_PICTURES=write", file.display());
}
