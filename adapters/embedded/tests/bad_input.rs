//! What a device meets in the field: the driver says what was wrong, and goes on when the world does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use embedded_io_async::ErrorKind;
use embedded_nal_async::{AddrType, Dns, TcpConnect};
use world::{Net, Stream, Task, TestSession, Time, World, memory};
use zk_session::client::{Cause, ClientConfig, Host, KeeperState};
use zk_session::wire::{CreateMode, WireError};
use zk_session::{ConfigError, DisconnectReason, Duration, OpError, SubmitError};
use zk_session_embedded::{Dial, DialError, Error, OpenError, Session, SessionEvent, Tcp, Tiny};

fn config(hosts: &'static str) -> ClientConfig<'static> {
    ClientConfig::new(hosts, 5).timeout(Duration::from_secs(2))
}

fn session(world: &World, hosts: &'static str) -> &'static TestSession {
    let session: &'static TestSession = Box::leak(Box::new(Session::new()));
    session.open(config(hosts), memory::<256, 192, 64, 2>() as &mut Tiny, world.instant()).unwrap();
    session
}

/// Drives with this dialler while `test` runs.
fn driven<D: Dial>(
    world: &Rc<World>,
    session: &TestSession,
    dial: &D,
    test: impl FnOnce(&mut [Task<'_>]),
) {
    let mut driver = session.driver(dial, Time(world.clone())).unwrap();
    test(&mut [Task::new(async { _ = driver.run().await })]);
}

/// A network stack that can be without a cable, and without a name server.
struct Stack(Net);

impl TcpConnect for Stack {
    type Error = ErrorKind;
    type Connection<'a> = Stream;

    async fn connect(&self, remote: SocketAddr) -> Result<Stream, ErrorKind> {
        if self.0.0.cut.get() {
            return Err(ErrorKind::NotConnected);
        }
        assert_eq!((remote.ip(), remote.port()), (IpAddr::from([10, 0, 0, 9]), 2181));
        self.0.dial(Host { name: "s0", port: 2181 }).await.map_err(|_| ErrorKind::ConnectionRefused)
    }
}

struct Names(Rc<World>);

impl Dns for Names {
    type Error = ();

    async fn get_host_by_name(&self, host: &str, kind: AddrType) -> Result<IpAddr, ()> {
        assert!(matches!(kind, AddrType::IPv4 | AddrType::Either));
        match (host, self.0.cut.get()) {
            ("zk.plant.example", false) => Ok([10, 0, 0, 9].into()),
            _ => Err(()),
        }
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, ()> {
        Err(())
    }
}

#[test]
fn without_a_network_it_says_so_and_connects_when_there_is_one() {
    let world = World::new(1);
    let session = session(&world, "10.0.0.9");
    let dial = Tcp::new(Stack(Net(world.clone())));
    world.cut.set(true);
    driven(&world, session, &dial, |tasks| {
        world.pass(3_000, tasks);
        let unreachable = DialError::Refused(ErrorKind::NotConnected);
        assert_eq!(session.last_dial_error(), Some(unreachable));
        assert!(matches!(session.last_disconnect(), Some((_, DisconnectReason::DialFailed))));
        world.cut.set(false);
        world.run(5_000, session.sync("/"), tasks).unwrap();
        assert_eq!(session.last_dial_error(), None);
    });
}

#[test]
fn without_a_name_server_it_says_so_and_connects_when_there_is_one() {
    let world = World::new(1);
    let session = session(&world, "zk.plant.example");
    let dial = Tcp::new(Stack(Net(world.clone()))).resolving(Names(world.clone()));
    world.cut.set(true);
    driven(&world, session, &dial, |tasks| {
        world.pass(3_000, tasks);
        assert_eq!(session.last_dial_error(), Some(DialError::NotResolved));
        world.cut.set(false);
        world.run(5_000, session.sync("/"), tasks).unwrap();
    });
}

#[test]
fn a_name_without_a_resolver_is_an_error_of_its_own() {
    let world = World::new(1);
    let session = session(&world, "zk.plant.example");
    let dial = Tcp::new(Stack(Net(world.clone())));
    driven(&world, session, &dial, |tasks| {
        world.pass(1_000, tasks);
        assert_eq!(session.last_dial_error(), Some(DialError::NoResolver));
    });
}

#[test]
fn a_name_longer_than_the_chunk_is_told_and_the_other_hosts_are_used() {
    let world = World::new(1);
    let hosts: &'static str = Box::leak(format!("{},s0", "x".repeat(129)).into_boxed_str());
    let mut seen = false;
    for seed in 0..8 {
        let session: &'static TestSession = Box::leak(Box::new(Session::new()));
        let config = ClientConfig::new(hosts, seed);
        session.open(config, memory::<256, 192, 64, 2>(), world.instant()).unwrap();
        let mut subject = Vec::new();
        driven(&world, session, &Net(world.clone()), |tasks| {
            for _ in 0..50 {
                world.pass(20, tasks);
                subject.extend(session.last_dial_error());
            }
            world.run(5_000, session.sync("/"), tasks).unwrap();
        });
        seen |= subject.contains(&DialError::NameTooLong { len: 129 });
    }
    assert!(seen, "some session began with the long one");
}

#[test]
fn a_host_list_that_is_all_wrong_costs_little_and_the_device_goes_on() {
    let world = World::new(1);
    let session = session(&world, "nowhere,s9,neither");
    driven(&world, session, &Net(world.clone()), |tasks| {
        world.pass(60_000, tasks);
        assert_eq!(session.last_dial_error(), Some(DialError::NotResolved));
        assert_eq!(session.state(), KeeperState::Disconnected);
        assert!(world.dials.get() < 300, "{} dials in a minute", world.dials.get());
        session.close();
        world.pass(10, tasks);
        assert!(tasks[0].is_done());
    });
}

#[test]
fn nonsense_for_hosts_is_refused_before_anything_runs() {
    for hosts in ["", ",,", "h:99999", "[::1", "h/a//b"] {
        let refused = TestSession::new().open(
            ClientConfig::new(hosts, 1),
            memory::<256, 192, 64, 2>(),
            zk_session::Instant::ORIGIN,
        );
        assert!(
            matches!(refused, Err(OpenError::Config(ConfigError::ConnectString(_)))),
            "{hosts}: {refused:?}"
        );
    }
    let small = TestSession::new().open(
        config("h"),
        memory::<16, 192, 64, 2>(),
        zk_session::Instant::ORIGIN,
    );
    assert!(matches!(small, Err(OpenError::Config(ConfigError::BufferTooSmall { .. }))));
    let torn = TestSession::new().resume(
        config("h"),
        memory::<256, 192, 64, 2>() as &mut Tiny,
        b"ZKS\x01 nothing",
        zk_session::Instant::ORIGIN,
    );
    assert!(matches!(torn, Err(OpenError::Config(ConfigError::Ticket(_)))));
}

#[test]
fn what_is_not_open_says_so_and_what_is_open_is_not_opened_twice() {
    let world = World::new(1);
    let never = TestSession::new();
    assert_eq!(world.run(10, never.sync("/"), &mut []), Err(Error::NotOpen));
    assert_eq!(never.events().err(), Some(Error::NotOpen));
    assert_eq!(never.driver(&Net(world.clone()), Time(world.clone())).err(), Some(Error::NotOpen));
    let session = session(&world, "s0");
    let again = session.open(config("s0"), memory::<256, 192, 64, 2>(), world.instant());
    assert_eq!(again, Err(OpenError::AlreadyOpen));
}

#[test]
fn a_server_that_answers_garbage_is_left_and_the_reason_is_told() {
    type Expected = fn(DisconnectReason) -> bool;
    let cases: [(Vec<u8>, Expected); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), |r| {
            matches!(r, DisconnectReason::BadFrameLength { .. })
        }),
        (vec![0xff; 64], |r| r == DisconnectReason::BadFrameLength { len: -1 }),
        (vec![0; 64], |r| r == DisconnectReason::BadFrameLength { len: 0 }),
        // Too short for what it says it is.
        (vec![0, 0, 0, 5, 1, 2, 3, 4, 5], |r| {
            matches!(r, DisconnectReason::Malformed(WireError::Truncated { .. }))
        }),
        // A handshake's answer that no buffer of the device's holds.
        ([&[0, 0, 1, 0][..], &[7; 256]].concat(), |r| {
            matches!(r, DisconnectReason::BadFrameLength { len: 256 })
        }),
    ];
    for (garbage, expected) in cases {
        let world = World::new(1);
        *world.garbage.borrow_mut() = Some(garbage.clone());
        let session = session(&world, "s0");
        driven(&world, session, &Net(world.clone()), |tasks| {
            world.pass(200, tasks);
            let (_, reason) = session.last_disconnect().unwrap();
            assert!(expected(reason), "{reason:?} of {garbage:?}");
            assert_eq!(session.state(), KeeperState::Disconnected);
            world.garbage.take();
            world.run(10_000, session.sync("/"), tasks).unwrap();
        });
    }
}

#[test]
fn a_reply_larger_than_the_receive_buffer_costs_its_request_alone() {
    let world = World::new(1);
    let (small, large) = (session(&world, "s0"), world::open(&world));
    driven(&world, large, &Net(world.clone()), |tasks| {
        world.run(5_000, large.create("/large", &[7; 300], CreateMode::Persistent), tasks).unwrap();
    });
    driven(&world, small, &Net(world.clone()), |tasks| {
        let mut memory = [0; 512];
        world.run(
            5_000,
            async {
                let refused = small.get_data("/large", &mut memory).await;
                assert!(
                    matches!(refused, Err(Error::Op(OpError::ReplyTooLarge { len: 300.. }))),
                    "{refused:?}"
                );
                // So does a request that is larger than the transmit buffer, and nothing is sent.
                let refused = small.set_data("/large", &[0; 200], None).await;
                assert!(
                    matches!(refused, Err(Error::Submit(SubmitError::TooLarge { .. }))),
                    "{refused:?}"
                );
                assert!(small.exists("/large").await.unwrap().is_some());
            },
            tasks,
        );
        assert_eq!(small.state(), KeeperState::SyncConnected);
    });
}

#[test]
fn watch_events_that_nobody_reads_are_counted_and_the_newest_are_kept() {
    let world = World::new(1);
    let session = session(&world, "s0");
    driven(&world, session, &Net(world.clone()), |tasks| {
        let mut events = session.events().unwrap();
        world.run(
            5_000,
            async {
                let mut memory = [0; 32];
                let first = events.next(&mut memory).await.unwrap();
                assert!(matches!(first, SessionEvent::State { cause: Cause::Established, .. }));
                session.create("/busy", b"", CreateMode::Persistent).await.unwrap();
                let mode = zk_session::wire::AddWatchMode::Persistent;
                session.add_watch("/busy", mode).await.unwrap();
                for n in 0..20 {
                    session.set_data("/busy", &[n], None).await.unwrap();
                }
                // 64 bytes hold eight of eight bytes.
                assert_eq!(events.next(&mut memory).await, Ok(SessionEvent::Missed(12)));
                for _ in 0..8 {
                    let event = events.next(&mut memory).await;
                    assert!(matches!(event, Ok(SessionEvent::Watch { path: "/busy", .. })));
                }
                session.delete("/busy", None).await.unwrap();
                assert!(events.next(&mut memory).await.is_ok());
            },
            tasks,
        );
    });
}
