//! The client on the embedded ensemble: shared, pipelined, failed over, hurt and closed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use zk_session::client::{Cause, ConnectStringErrorKind, KeeperState};
use zk_session::wire::{CreateMode, EventType, Request};
use zk_session::{ConfigError, DisconnectReason, ErrorCode, OpError, SubmitError};
use zk_session_std::{
    Answer, Client, EmbeddedEnsemble, Error, ErrorKind, SessionEvent, Transition,
};
use zk_session_testkit::{Relay, ReservedPort};

const PATIENCE: Duration = Duration::from_secs(10);

fn ensemble(servers: usize) -> EmbeddedEnsemble {
    EmbeddedEnsemble::builder().servers(servers).tick(Duration::from_millis(500)).start().unwrap()
}

fn client(ensemble: &EmbeddedEnsemble) -> Client {
    Client::builder(ensemble.connect_string()).timeout(Duration::from_secs(3)).connect().unwrap()
}

#[test]
fn operations_answer_as_zookeeper_does() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble);
    assert_eq!(zk.create("/a", b"one", CreateMode::Persistent).unwrap(), "/a");
    let first = zk.create("/a/n-", b"", CreateMode::PersistentSequential).unwrap();
    let second = zk.create("/a/e-", b"", CreateMode::EphemeralSequential).unwrap();
    assert_eq!((first.as_str(), second.as_str()), ("/a/n-0000000000", "/a/e-0000000001"));
    let (data, stat) = zk.get_data("/a").unwrap();
    assert_eq!((data.as_slice(), stat.num_children, stat.cversion), (&b"one"[..], 2, 2));
    assert_eq!(zk.set_data("/a", b"two", Some(0)).unwrap().version, 1);
    let (mut names, _) = zk.get_children("/a").unwrap();
    names.sort();
    assert_eq!(names, ["e-0000000001", "n-0000000000"]);
    assert_eq!(zk.exists(&second).unwrap().unwrap().ephemeral_owner, zk.session_id().0);
    assert_eq!(zk.exists("/nope").unwrap(), None);
    zk.sync("/a").unwrap();
    zk.add_auth("digest", b"user:password").unwrap();

    let code = |error: Error| error.code().unwrap();
    assert_eq!(
        code(zk.create("/a", b"", CreateMode::Persistent).unwrap_err()),
        ErrorCode::NodeExists
    );
    assert_eq!(
        code(zk.create("/x/y", b"", CreateMode::Persistent).unwrap_err()),
        ErrorCode::NoNode
    );
    assert_eq!(code(zk.delete("/a", None).unwrap_err()), ErrorCode::NotEmpty);
    assert_eq!(code(zk.set_data("/a", b"", Some(7)).unwrap_err()), ErrorCode::BadVersion);
    let error = zk.create(&format!("{second}/x"), b"", CreateMode::Persistent).unwrap_err();
    assert_eq!(code(error.clone()), ErrorCode::NoChildrenForEphemerals);
    assert_eq!(error.to_string(), "Create /a/e-0000000001/x: NoChildrenForEphemerals (-108)");

    zk.delete(&first, Some(0)).unwrap();
    zk.close().unwrap();
    assert_eq!(zk.state(), KeeperState::Closed);
    let watcher = client(&ensemble);
    assert_eq!(watcher.get_children("/a").unwrap().0, Vec::<String>::new());
}

#[test]
fn many_threads_share_one_session_and_each_gets_its_own_answer() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble);
    zk.create("/t", b"", CreateMode::Persistent).unwrap();
    thread::scope(|scope| {
        for n in 0..16 {
            let zk = zk.clone();
            scope.spawn(move || {
                let path = format!("/t/{n}");
                zk.create(&path, path.as_bytes(), CreateMode::Ephemeral).unwrap();
                for _ in 0..200 {
                    assert_eq!(zk.get_data(&path).unwrap().0, path.as_bytes());
                }
            });
        }
    });
    assert_eq!(zk.get_children("/t").unwrap().0.len(), 16);
}

#[test]
fn a_pipeline_is_answered_in_order_and_dropped_answers_harm_nobody() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble);
    zk.create("/p", b"", CreateMode::Persistent).unwrap();
    let mut pending = Vec::new();
    let mut pipeline = zk.pipeline();
    for n in 0..1000_u32 {
        let data = n.to_be_bytes();
        pending.push(pipeline.submit(&Request::set_data("/p", &data, -1)).unwrap());
    }
    drop(pipeline);
    for (n, answer) in (0..).zip(pending) {
        if n % 3 == 0 {
            drop(answer);
            continue;
        }
        let Answer::Stat(stat) = answer.wait().unwrap() else { panic!("not a stat") };
        assert_eq!(stat.version, n + 1);
    }
    assert_eq!(zk.get_data("/p").unwrap().0, 999_u32.to_be_bytes());
}

#[test]
fn t3_watches_fire_once_and_survive_a_fail_over() {
    let ensemble = ensemble(2);
    let (zk, other) = (client(&ensemble), client(&ensemble));
    let events = zk.events();
    let next = || events.recv_timeout(PATIENCE).expect("an event");
    let fired = |kind, path: &str| SessionEvent::Notification { kind, path: path.to_owned() };

    assert_eq!(zk.exists_watched("/w").unwrap(), None);
    other.create("/w", b"", CreateMode::Persistent).unwrap();
    assert_eq!(next(), fired(EventType::NodeCreated, "/w"));
    other.set_data("/w", b"1", None).unwrap();
    zk.sync("/w").unwrap();
    assert_eq!(events.try_recv(), None, "a one-shot watch fires once");

    zk.get_data_watched("/w").unwrap();
    zk.get_children_watched("/w").unwrap();
    ensemble.stop(ensemble.server_of(zk.session_id()).unwrap().unwrap()).unwrap();
    let lost = next();
    assert!(matches!(
        lost,
        SessionEvent::State(Transition {
            state: KeeperState::Disconnected,
            cause: Cause::Lost(DisconnectReason::TransportClosed),
            ..
        })
    ));
    let back = next();
    assert!(
        matches!(back, SessionEvent::State(Transition { cause: Cause::Resumed, .. })),
        "{back:?}"
    );
    other.set_data("/w", b"2", None).unwrap();
    assert_eq!(next(), fired(EventType::NodeDataChanged, "/w"));
    other.create("/w/c", b"", CreateMode::Persistent).unwrap();
    assert_eq!(next(), fired(EventType::NodeChildrenChanged, "/w"));
}

#[test]
fn a_chroot_is_invisible_in_both_directions() {
    let ensemble = ensemble(1);
    let root = client(&ensemble);
    root.create("/app", b"", CreateMode::Persistent).unwrap();
    let string = format!("{}/app", ensemble.connect_string());
    let zk = Client::builder(string).timeout(Duration::from_secs(3)).connect().unwrap();
    let events = zk.events();
    assert_eq!(zk.create("/a", b"x", CreateMode::Persistent).unwrap(), "/a");
    assert_eq!(root.get_data("/app/a").unwrap().0, b"x");
    zk.get_data_watched("/a").unwrap();
    zk.get_children_watched("/").unwrap();
    root.delete("/app/a", None).unwrap();
    let told: Vec<_> = (0..2).filter_map(|_| events.recv_timeout(PATIENCE)).collect();
    for (kind, path) in [(EventType::NodeDeleted, "/a"), (EventType::NodeChildrenChanged, "/")] {
        assert!(told.contains(&SessionEvent::Notification { kind, path: path.to_owned() }));
    }
}

#[test]
fn requests_in_flight_end_with_connection_loss_and_later_ones_wait_for_the_next_server() {
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    let zk = Client::builder(relay.addr().to_string())
        .timeout(Duration::from_secs(4))
        .connect()
        .unwrap();
    let events = zk.events();
    let session_id = zk.session_id();
    relay.blackhole().unwrap();
    let lost = zk.submit(&Request::get_data("/", false)).unwrap();
    thread::sleep(Duration::from_millis(100));
    relay.cut();
    assert_eq!(lost.wait(), Err(OpError::ConnectionLoss));
    let waiting = {
        let zk = zk.clone();
        thread::spawn(move || zk.get_data("/"))
    };
    assert!(matches!(
        events.recv_timeout(PATIENCE),
        Some(SessionEvent::State(Transition { state: KeeperState::Disconnected, .. }))
    ));
    relay.mend().unwrap();
    assert!(waiting.join().unwrap().is_ok());
    assert_eq!(zk.session_id(), session_id);
}

#[test]
fn a_silent_server_is_given_up_within_two_thirds_of_the_timeout() {
    let ensemble = ensemble(2);
    let relays: Vec<Relay> = ensemble.addrs().iter().map(|a| Relay::start(*a).unwrap()).collect();
    let string: Vec<String> = relays.iter().map(|relay| relay.addr().to_string()).collect();
    let zk = Client::builder(string.join(",")).timeout(Duration::from_secs(3)).connect().unwrap();
    let events = zk.events();
    let session_id = zk.session_id();
    let start = Instant::now();
    relays[zk.current_host().0].blackhole().unwrap();
    let Some(SessionEvent::State(lost)) = events.recv_timeout(PATIENCE) else { panic!() };
    assert_eq!(lost.cause, Cause::Lost(DisconnectReason::ReadTimeout));
    let silence = start.elapsed();
    assert!(
        silence > Duration::from_millis(900) && silence < Duration::from_secs(3),
        "{silence:?}"
    );
    let Some(SessionEvent::State(back)) = events.recv_timeout(PATIENCE) else { panic!() };
    assert_eq!((back.cause, back.session_id), (Cause::Resumed, session_id));
}

#[test]
fn expiry_ends_every_waiting_call_and_the_event_stream() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble);
    let events = zk.events();
    ensemble.expire(zk.session_id()).unwrap();
    let states: Vec<KeeperState> = events
        .filter_map(|event| match event {
            SessionEvent::State(transition) => Some(transition.state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [KeeperState::Disconnected, KeeperState::Expired]);
    let error = zk.get_data("/").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Submit(SubmitError::Ended));
    assert_eq!(zk.close(), Ok(()));
}

#[test]
fn wrong_arguments_are_named() {
    let error = Client::connect("h1:2181,h2:port").unwrap_err();
    let ErrorKind::Config(ConfigError::ConnectString(wrong)) = error.kind else { panic!() };
    assert_eq!((wrong.kind, wrong.at), (ConnectStringErrorKind::BadPort, 11));

    let ensemble = ensemble(1);
    let zk = client(&ensemble);
    let error = zk.get_data("no/slash").unwrap_err();
    assert_eq!(error.to_string(), "GetData no/slash: path does not start with a slash at byte 0");
    let error = zk.create("/big", &vec![0; 5 << 20], CreateMode::Persistent).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Submit(SubmitError::TooLarge { .. })), "{error}");
    assert!(zk.exists("/").unwrap().is_some(), "the session is none the worse");
}

#[test]
fn a_port_where_nobody_listens_is_named_in_the_error() {
    let port = ReservedPort::new().unwrap();
    let error = Client::builder(port.addr().to_string())
        .connect_timeout(Duration::from_millis(600))
        .connect()
        .unwrap_err();
    let last = Some((port.addr().to_string(), DisconnectReason::DialFailed));
    assert_eq!(error.kind, ErrorKind::ConnectTimeout { last });
}

#[test]
fn a_server_that_talks_nonsense_costs_a_bounded_number_of_attempts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let attempts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = attempts.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = Client::builder(addr.to_string())
        .timeout(Duration::from_secs(4))
        .connect_timeout(Duration::from_secs(2))
        .connect()
        .unwrap_err();
    let ErrorKind::ConnectTimeout { last: Some((_, reason)) } = error.kind else { panic!() };
    let http = i32::from_be_bytes(*b"HTTP");
    assert_eq!(reason, DisconnectReason::BadFrameLength { len: http });
    let attempts = attempts.load(std::sync::atomic::Ordering::Relaxed);
    assert!((2..=20).contains(&attempts), "{attempts} attempts in 2 s");
}

#[test]
fn close_without_a_server_ends_at_its_deadline() {
    let ensemble = ensemble(1);
    let zk = Client::builder(ensemble.connect_string())
        .timeout(Duration::from_secs(4))
        .close_timeout(Duration::from_millis(500))
        .connect()
        .unwrap();
    ensemble.stop(0).unwrap();
    let start = Instant::now();
    assert_eq!(zk.close().unwrap_err().kind, ErrorKind::CloseUnconfirmed);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn dropping_the_last_handle_closes_the_session() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble);
    let other = client(&ensemble);
    zk.create("/gone", b"", CreateMode::Ephemeral).unwrap();
    let events = other.events();
    other.exists_watched("/gone").unwrap();
    drop(zk.clone());
    assert!(other.exists("/gone").unwrap().is_some(), "a clone is not the last handle");
    drop(zk);
    let gone = events.recv_timeout(Duration::from_secs(1));
    assert!(matches!(gone, Some(SessionEvent::Notification { kind: EventType::NodeDeleted, .. })));
    assert_eq!(ensemble.sessions().unwrap().len(), 1);
}

/// Whoever waits reads for all: threads that wait for answers, one that waits for events, and the
/// session's own when nobody does.
#[test]
fn threads_that_share_a_client_are_all_served_whoever_of_them_reads() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble);
    zk.create("/shared", b"", CreateMode::Persistent).unwrap();
    zk.add_watch("/shared", zk_session::wire::AddWatchMode::Persistent).unwrap();
    let events = zk.events();
    let listener = thread::spawn(move || {
        let changed = |event| {
            matches!(event, SessionEvent::Notification { kind: EventType::NodeDataChanged, .. })
        };
        events.filter(|event| changed(event.clone())).take(400).count()
    });
    let start = Instant::now();
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let zk = zk.clone();
            thread::spawn(move || {
                for n in 0..50 {
                    zk.set_data("/shared", b"", None).unwrap();
                    if n % 10 == 0 {
                        thread::sleep(Duration::from_millis(3));
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(listener.join().unwrap(), 400);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(zk.get_data("/shared").unwrap().1.version, 400);
}
