//! A session in a bare loop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use std::rc::Rc;

use world::{Net, Time, World};
use zk_session::client::{ClientConfig, ClientSession, Event, KeeperState};
use zk_session::storage::Fixed;
use zk_session::wire::{CreateMode, EventType, Reply, Request};
use zk_session::{Duration, ErrorCode, Instant, OpError, SubmitError};
use zk_session_embedded::blocking::Driver;
use zk_session_embedded::{Clock, DialError, Error};

/// A clock that lets the world go on whenever it is looked at, as time does.
struct Ticking(Rc<World>);

impl Clock for Ticking {
    fn now(&self) -> Instant {
        self.0.tick();
        Time(self.0.clone()).now()
    }
}

type TestDriver = Driver<'static, Net, Ticking>;

fn driver(world: &Rc<World>, hosts: &'static str) -> TestDriver {
    let memory: &mut Fixed<1024, 512, 256, 4> = Box::leak(Box::default());
    let config = ClientConfig::new(hosts, 3).timeout(Duration::from_secs(2));
    let session = ClientSession::new(config, memory.lend(), world.instant()).unwrap();
    Driver::new(session, Net(world.clone()), Ticking(world.clone()))
}

/// Turns for so many milliseconds; returns the states that were told.
fn pass(driver: &mut TestDriver, world: &World, millis: u64) -> Vec<KeeperState> {
    let (end, mut states) = (world.now.get() + millis, Vec::new());
    while world.now.get() < end {
        driver.turn();
        while let Some(event) = driver.session_mut().poll_event() {
            if let Event::State { state, .. } = event {
                states.push(state);
            }
        }
    }
    states
}

fn create(driver: &mut TestDriver, path: &str, mode: CreateMode) -> Result<(), Error> {
    driver.call(&Request::create(path, b"data", mode), |_| Ok(()), |_| {})
}

#[test]
fn a_bare_loop_has_requests_watches_and_an_end() {
    let world = World::new(1);
    let mut driver = driver(&world, "s0");
    create(&mut driver, "/me", CreateMode::Ephemeral).unwrap();
    let data = driver.call(
        &Request::get_data("/me", true),
        |reply| match reply {
            Reply::Data(got) => Ok(got.data.unwrap_or_default().to_vec()),
            _ => Err(Error::UnexpectedReply),
        },
        |_| {},
    );
    assert_eq!(data.unwrap(), b"data");
    assert_eq!(
        create(&mut driver, "/me", CreateMode::Ephemeral),
        Err(Error::Op(OpError::Server(ErrorCode::NodeExists)))
    );
    // Events of other things are not lost while one waits for an answer.
    let mut seen = Vec::new();
    driver
        .call(
            &Request::set_data("/me", b"new", -1),
            |_| Ok(()),
            |event| {
                if let Event::Notification { kind, path } = event {
                    seen.push((kind, path.to_owned()));
                }
            },
        )
        .unwrap();
    assert_eq!(seen, [(EventType::NodeDataChanged, "/me".to_owned())]);
    driver.close();
    assert_eq!(pass(&mut driver, &world, 50), [KeeperState::Closed]);
    assert_eq!(driver.turn(), None);
    assert!(!world.has("/me"));
    let over = create(&mut driver, "/me", CreateMode::Ephemeral);
    assert_eq!(over, Err(Error::Submit(SubmitError::Ended)));
    driver.reopen();
    create(&mut driver, "/me", CreateMode::Ephemeral).unwrap();
    assert_eq!(world.owner("/me"), Some(driver.session().session_id().0));
}

#[test]
fn a_bare_loop_keeps_its_session_through_a_dead_server_and_a_short_cut() {
    let world = World::new(3);
    let mut driver = driver(&world, "s0,s1,s2");
    create(&mut driver, "/me", CreateMode::Ephemeral).unwrap();
    let (id, first) = (driver.session().session_id(), world.connected().unwrap());
    world.stop(first);
    let states = pass(&mut driver, &world, 1_000);
    assert_eq!(states, [KeeperState::Disconnected, KeeperState::SyncConnected]);
    assert_ne!(world.connected(), Some(first));
    world.cut.set(true);
    pass(&mut driver, &world, 1_000);
    world.cut.set(false);
    pass(&mut driver, &world, 1_500);
    assert_eq!((driver.session().session_id(), world.owner("/me")), (id, Some(id.0)));
    world.cut.set(true);
    pass(&mut driver, &world, 4_000);
    world.cut.set(false);
    assert_eq!(pass(&mut driver, &world, 3_000), [KeeperState::Expired]);
}

#[test]
fn a_bare_loop_is_told_why_no_host_can_be_reached() {
    let world = World::new(1);
    world.stop(0);
    let mut driver = driver(&world, "s0,nowhere");
    let mut seen = Vec::new();
    for _ in 0..5_000 {
        assert!(driver.turn().is_some());
        while driver.session_mut().poll_event().is_some() {}
        seen.extend(driver.last_dial_error().filter(|error| !seen.contains(error)));
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.contains(&DialError::NotResolved));
    assert!(world.dials.get() < 100, "tried {} times in five seconds", world.dials.get());
    world.up.borrow_mut()[0] = true;
    create(&mut driver, "/me", CreateMode::Ephemeral).unwrap();
    assert_eq!(driver.last_dial_error(), None);
}
