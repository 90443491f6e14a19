//! Whatever future is dropped, wherever it stands, nothing is lost and nobody gets another's answer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use std::rc::Rc;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_hal_async::delay::DelayNs;
use world::{Net, Task, TestSession, Time, World, both, dropped_after, open};
use zk_session::client::KeeperState;
use zk_session::wire::CreateMode;
use zk_session_embedded::{Error, Events, SessionEvent};

/// Far beyond what any of these takes; each test stops when its future was dropped for the last
/// time before it was done.
const MANY: usize = 10_000;

/// A reluctant world with a connected session, and znodes that hold their own names.
fn set_up(driven: &TestSession, world: &Rc<World>, tasks: &mut [Task<'_>]) {
    world.run(
        5_000,
        async {
            for path in ["/one", "/two", "/three", "/four"] {
                driven.create(path, path.as_bytes(), CreateMode::Persistent).await.unwrap();
            }
        },
        tasks,
    );
    world.reluctant.set(true);
}

async fn expect(session: &TestSession, path: &str) {
    let mut memory = [0; 32];
    let (data, _) = session.get_data(path, &mut memory).await.unwrap();
    assert_eq!(data, path.as_bytes());
}

/// The session goes on: all its four places can be used at once, and each gets its own answer.
async fn expect_all(session: &TestSession) {
    let two = both(expect(session, "/one"), expect(session, "/two"));
    both(two, both(expect(session, "/three"), expect(session, "/four"))).await;
}

/// Drops `victim` after each number of rounds, beside requests that go on, until it is done.
fn drop_everywhere(victim: impl AsyncFn(&TestSession)) {
    for rounds in 0..MANY {
        let world = World::new(1);
        let session = open(&world);
        let net = Net(world.clone());
        let mut driver = session.driver(&net, Time(world.clone())).unwrap();
        let mut tasks = [Task::new(async { _ = driver.run().await })];
        set_up(session, &world, &mut tasks);
        let done = world.run(
            5_000,
            async {
                let siblings = both(expect(session, "/one"), async {
                    expect(session, "/two").await;
                    expect(session, "/three").await;
                });
                let (done, _) = both(dropped_after(rounds, victim(session)), siblings).await;
                expect_all(session).await;
                done
            },
            &mut tasks,
        );
        assert_eq!((session.state(), world.dials.get()), (KeeperState::SyncConnected, 1));
        if done.is_some() {
            assert!(rounds > 5, "there was something to drop");
            return;
        }
    }
    panic!("never done");
}

#[test]
fn a_read_is_dropped_anywhere() {
    drop_everywhere(async |session| expect(session, "/four").await);
}

#[test]
fn a_write_is_dropped_anywhere() {
    drop_everywhere(async |session| {
        session.create("/mine", b"", CreateMode::Ephemeral).await.unwrap();
    });
}

#[test]
fn a_read_with_a_watch_is_dropped_anywhere() {
    drop_everywhere(async |session| {
        let mut memory = [0; 32];
        session.get_data_watched("/four", &mut memory).await.unwrap();
    });
}

#[test]
fn a_refused_request_is_dropped_anywhere() {
    drop_everywhere(async |session| {
        assert!(session.delete("/nothing", None).await.is_err());
    });
}

/// What the tasks beside the driver do in the tests that drop the driver's future.
async fn work(session: &TestSession) {
    expect_all(session).await;
    for n in 0..3_u8 {
        session.set_data("/one", &[n], None).await.unwrap();
        let mut memory = [0; 8];
        let (data, stat) = session.get_data("/one", &mut memory).await.unwrap();
        assert_eq!((data, stat.version), (&[n][..], i32::from(n) + 1));
    }
}

#[test]
fn driving_stops_anywhere_and_goes_on_with_the_same_connection() {
    for rounds in 0..MANY {
        let world = World::new(1);
        let session = open(&world);
        let net = Net(world.clone());
        let mut driver = session.driver(&net, Time(world.clone())).unwrap();
        let mut before = Task::new(async { _ = driver.run().await });
        set_up(session, &world, std::slice::from_mut(&mut before));
        drop(before);
        let mut stopped = false;
        let mut tasks = [Task::new(async {
            stopped = dropped_after(rounds, driver.run()).await.is_none();
            // Time passes, and nobody drives.
            Time(world.clone()).delay_ms(100).await;
            driver.run().await;
        })];
        world.run(10_000, work(session), &mut tasks);
        assert_eq!((session.state(), world.dials.get()), (KeeperState::SyncConnected, 1));
        let id = session.session_id();
        drop(tasks);
        if !stopped {
            assert!(rounds > 50, "there was something to drop");
            assert!(world.is_alive(id));
            return;
        }
    }
    panic!("never done");
}

#[test]
fn a_first_connection_is_made_although_driving_stops_anywhere() {
    for rounds in 0..60 {
        let world = World::new(3);
        world.reluctant.set(true);
        let session = open(&world);
        let net = Net(world.clone());
        let mut driver = session.driver(&net, Time(world.clone())).unwrap();
        let mut tasks = [Task::new(async {
            dropped_after(rounds, driver.run()).await;
            driver.run().await;
        })];
        world.run(10_000, session.create("/one", b"1", CreateMode::Ephemeral), &mut tasks).unwrap();
        assert_eq!(world.sessions(), 1, "no session was begun in vain");
        assert_eq!(world.owner("/one"), Some(session.session_id().0));
    }
}

#[test]
fn another_driver_goes_on_with_the_session_of_one_that_is_gone() {
    for rounds in (0..400).step_by(7) {
        let world = World::new(2);
        let session = open(&world);
        let net = Net(world.clone());
        let mut tasks = [Task::new(async {
            {
                let mut driver = session.driver(&net, Time(world.clone())).unwrap();
                assert_eq!(
                    session.driver(&net, Time(world.clone())).err(),
                    Some(Error::NoPlace),
                    "there is one driver at a time"
                );
                // Connected, and then some.
                dropped_after(rounds, driver.run()).await;
            }
            session.driver(&net, Time(world.clone())).unwrap().run().await;
        })];
        world.run(
            10_000,
            async {
                while session.create("/me", b"", CreateMode::Ephemeral).await.is_err() {
                    // Lost with the connection, which may be before or after it was done.
                    if session.exists("/me").await.is_ok_and(|stat| stat.is_some()) {
                        break;
                    }
                }
                while session.sync("/").await.is_err() {}
            },
            &mut tasks,
        );
        assert_eq!(world.owner("/me"), Some(session.session_id().0));
        assert_eq!(world.sessions(), 1);
    }
}

#[test]
fn no_event_is_lost_when_its_wait_is_dropped() {
    for rounds in 0..60 {
        let world = World::new(1);
        let session = open(&world);
        let net = Net(world.clone());
        let mut driver = session.driver(&net, Time(world.clone())).unwrap();
        let mut tasks = [Task::new(async { _ = driver.run().await })];
        set_up(session, &world, &mut tasks);
        let mut events = session.events().unwrap();
        world.run(
            10_000,
            async {
                for path in ["/one", "/two", "/three"] {
                    assert!(session.exists_watched(path).await.unwrap().is_some());
                }
                let changes = async {
                    for path in ["/one", "/two", "/three"] {
                        session.delete(path, None).await.unwrap();
                    }
                };
                let mut heard = Vec::new();
                both(changes, async {
                    heard.extend(dropped_after(rounds, path_of_next(&mut events)).await.flatten());
                    while heard.len() < 3 {
                        heard.extend(path_of_next(&mut events).await);
                    }
                })
                .await;
                assert_eq!(heard, ["/one", "/two", "/three"]);
            },
            &mut tasks,
        );
    }
}

#[test]
fn an_answer_that_nobody_fetches_holds_the_session_up_only_so_long() {
    let world = World::new(1);
    let session = open(&world);
    let net = Net(world.clone());
    let mut driver = session.driver(&net, Time(world.clone())).unwrap();
    let mut tasks = [Task::new(async { _ = driver.run().await })];
    set_up(session, &world, &mut tasks);
    world.run(
        10_000,
        async {
            let mut memory = [0; 16];
            let mut forgotten = std::pin::pin!(session.get_data("/four", &mut memory));
            // Polled once, and then something else is waited for.
            let polled = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(forgotten.as_mut().poll(cx).is_ready())
            });
            assert!(!polled.await);
            expect_all_but_one(session).await;
            assert_eq!(forgotten.await, Err(Error::NotTaken));
            expect_all(session).await;
        },
        &mut tasks,
    );
    assert_eq!((session.state(), world.dials.get()), (KeeperState::SyncConnected, 1));
    assert!(world.now.get() < 3_000, "no longer than to the next ping");
}

async fn expect_all_but_one(session: &TestSession) {
    both(expect(session, "/one"), both(expect(session, "/two"), expect(session, "/three"))).await;
    // And then there is no place for a fifth.
}

#[test]
fn more_requests_than_places_are_refused_at_once() {
    let world = World::new(1);
    let session = open(&world);
    world.run(
        100,
        async {
            let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(session.sync("/"))).collect();
            for call in &mut waiting {
                assert!(futures_poll(call).await.is_none());
            }
            assert_eq!(session.sync("/").await, Err(Error::NoPlace));
            waiting.pop();
            assert!(futures_poll(&mut Box::pin(session.sync("/"))).await.is_none());
        },
        &mut [],
    );
}

/// Polls once.
async fn futures_poll<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

async fn path_of_next(events: &mut Events<'_, 'static, NoopRawMutex>) -> Option<String> {
    let mut memory = [0; 16];
    match events.next(&mut memory).await.unwrap() {
        SessionEvent::Watch { path, .. } => Some(path.to_owned()),
        event => {
            assert!(matches!(event, SessionEvent::State { .. }));
            None
        }
    }
}
