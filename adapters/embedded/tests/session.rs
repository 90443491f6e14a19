//! A session used by several tasks, driven by one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use world::{Net, Task, Time, World, open};
use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{CreateMode, EventType};
use zk_session::{ErrorCode, OpError};
use zk_session_embedded::{Error, SessionEvent};

#[test]
fn any_task_may_ask_while_one_drives() {
    let world = World::new(1);
    let session = open(&world);
    let net = Net(world.clone());
    let mut driver = session.driver(&net, Time(world.clone())).unwrap();
    let mut tasks = [Task::new(async { _ = driver.run().await })];
    world.run(
        5_000,
        async {
            session.create("/config", b"v1", CreateMode::Persistent).await.unwrap();
            session.create("/devices", b"", CreateMode::Persistent).await.unwrap();
            session.create("/devices/7", b"up", CreateMode::Ephemeral).await.unwrap();
            let mut memory = [0; 64];
            let (data, stat) = session.get_data("/config", &mut memory).await.unwrap();
            assert_eq!((data, stat.version), (&b"v1"[..], 0));
            let stat = session.set_data("/config", b"v2", Some(0)).await.unwrap();
            assert_eq!(stat.version, 1);
            assert_eq!(
                session.set_data("/config", b"v3", Some(0)).await,
                Err(Error::Op(OpError::Server(ErrorCode::BadVersion)))
            );
            let children = session.get_children("/devices", &mut memory).await.unwrap();
            assert_eq!(children.iter().collect::<Vec<_>>(), ["7"]);
            assert_eq!(
                session.get_children("/devices", &mut memory[..2]).await,
                Err(Error::BufferTooSmall { needed: 3 })
            );
            let path = session
                .create_sequential("/job-", b"", CreateMode::EphemeralSequential, &mut memory)
                .await
                .unwrap();
            assert!(path.starts_with("/job-00000000"), "{path}");
            session.sync("/").await.unwrap();
            assert!(session.exists("/config").await.unwrap().is_some());
            session.delete("/config", None).await.unwrap();
            assert_eq!(session.exists("/config").await, Ok(None));
            session.add_auth("digest", b"me:secret").await.unwrap();
        },
        &mut tasks,
    );
    assert_eq!(session.state(), KeeperState::SyncConnected);
    assert!(world.has("/devices/7"));
    session.close();
    world.pass(100, &mut tasks);
    assert!(tasks[0].is_done() && !world.has("/devices/7"));
}

#[test]
fn each_subscriber_is_told_of_states_and_watches() {
    let world = World::new(1);
    let session = open(&world);
    let net = Net(world.clone());
    let mut driver = session.driver(&net, Time(world.clone())).unwrap();
    let mut tasks = [Task::new(async { _ = driver.run().await })];
    let (mut one, mut other) = (session.events().unwrap(), session.events().unwrap());
    world.run(
        5_000,
        async {
            let mut path = [0; 16];
            let connected = SessionEvent::State {
                state: KeeperState::SyncConnected,
                cause: Cause::Established,
            };
            assert_eq!(one.next(&mut path).await, Ok(connected));
            assert_eq!(session.exists_watched("/config").await, Ok(None));
            session.create("/config", b"v1", CreateMode::Persistent).await.unwrap();
            let created = SessionEvent::Watch { kind: EventType::NodeCreated, path: "/config" };
            assert_eq!(one.next(&mut path[..3]).await, Err(Error::BufferTooSmall { needed: 7 }));
            assert_eq!(one.next(&mut path).await, Ok(created));
            assert_eq!(other.next(&mut path).await, Ok(connected));
            assert_eq!(other.next(&mut path).await, Ok(created));
        },
        &mut tasks,
    );
}

#[test]
fn the_same_session_goes_on_at_another_server() {
    let world = World::new(3);
    let session = open(&world);
    let net = Net(world.clone());
    let mut driver = session.driver(&net, Time(world.clone())).unwrap();
    let mut tasks = [Task::new(async { _ = driver.run().await })];
    world.run(5_000, session.create("/me", b"", CreateMode::Ephemeral), &mut tasks).unwrap();
    let id = session.session_id();
    let first = world.connected().unwrap();
    world.stop(first);
    world.pass(100, &mut tasks);
    world.run(5_000, session.sync("/"), &mut tasks).unwrap();
    assert_ne!(world.connected(), Some(first));
    assert_eq!((session.session_id(), world.owner("/me")), (id, Some(id.0)));
}

#[test]
fn a_session_that_was_lost_and_resumed_before_anybody_looked_is_new_to_them() {
    let world = World::new(3);
    let session = open(&world);
    let net = Net(world.clone());
    let mut driver = session.driver(&net, Time(world.clone())).unwrap();
    let mut tasks = [Task::new(async { _ = driver.run().await })];
    let mut early = session.events().unwrap();
    let state = |cause| SessionEvent::State { state: KeeperState::SyncConnected, cause };
    let fail_over = |tasks: &mut [Task<'_>]| {
        world.run(5_000, session.sync("/"), tasks).unwrap();
        world.stop(world.connected().unwrap());
        world.pass(100, tasks);
        world.run(5_000, session.sync("/"), tasks).unwrap();
    };
    fail_over(&mut tasks);
    let mut path = [0; 16];
    let mut late = session.events().unwrap();
    for events in [&mut early, &mut late] {
        let told = world.run(100, events.next(&mut path), &mut tasks);
        assert_eq!(told, Ok(state(Cause::Established)));
    }
    fail_over(&mut tasks);
    assert_eq!(world.run(100, early.next(&mut path), &mut tasks), Ok(state(Cause::Resumed)));
}

#[test]
fn a_cut_shorter_than_the_timeout_leaves_the_session_and_a_longer_one_ends_it() {
    let world = World::new(1);
    let session = open(&world);
    let net = Net(world.clone());
    let mut driver = session.driver(&net, Time(world.clone())).unwrap();
    let mut ends = Vec::new();
    let mut tasks = [Task::new(async {
        loop {
            ends.push(driver.run().await);
            driver.reopen();
        }
    })];
    world.run(5_000, session.create("/me", b"", CreateMode::Ephemeral), &mut tasks).unwrap();
    let id = session.session_id();

    world.cut.set(true);
    world.pass(1_000, &mut tasks);
    world.cut.set(false);
    world.run(5_000, session.sync("/"), &mut tasks).unwrap();
    assert_eq!((session.session_id(), world.owner("/me")), (id, Some(id.0)));

    world.cut.set(true);
    world.pass(4_000, &mut tasks);
    assert!(!world.is_alive(id));
    world.cut.set(false);
    world.pass(3_000, &mut tasks);
    assert!(!world.has("/me"));
    world.run(5_000, session.create("/me", b"", CreateMode::Ephemeral), &mut tasks).unwrap();
    assert_ne!(session.session_id(), id);
    drop(tasks);
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].state, KeeperState::Expired);
}
