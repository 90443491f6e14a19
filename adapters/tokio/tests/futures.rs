//! Requests as futures: their order, their deadlines, what dropping them does, and what becomes of
//! them when the client or its runtime goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use support::{PATIENCE, builder, client, ensemble, resident, soon, until};
use zk_session::storage::Limits;
use zk_session_testkit::{Relay, ReservedPort};
use zk_session_tokio::{Cause, Client, ErrorKind, KeeperState, OpError, SubmitError, WatchEvent};

#[tokio::test]
async fn requests_are_ordered_when_they_are_made() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    zk.create("/q", b"").await.unwrap();
    let made: Vec<_> = (0..1000).map(|_| zk.create("/q/n-", b"").sequential().send()).collect();
    // Awaited in another order than made.
    for (at, request) in made.into_iter().enumerate().rev() {
        assert_eq!(soon(request).await.unwrap(), format!("/q/n-{at:010}"));
    }
    // A call that was made and not polled yet is ahead of one that is made later.
    let first = zk.set("/q", b"1").into_future();
    let second = zk.set("/q", b"2").send();
    assert_eq!(soon(second).await.unwrap().version, 2);
    assert_eq!(soon(first).await.unwrap().version, 1);
    assert_eq!(zk.get("/q").await.unwrap().data, "2");
}

#[tokio::test]
async fn requests_made_without_a_server_keep_their_order() {
    let ensemble = ensemble(1);
    let zk = builder(ensemble.connect_string()).start().unwrap();
    assert_eq!(zk.state(), KeeperState::Disconnected);
    let made: Vec<_> = (0..100).map(|_| zk.create("/n-", b"").sequential().send()).collect();
    let last = zk.create("/last-", b"").sequential();
    assert_eq!(soon(last).await.unwrap(), "/last-0000000100");
    for (at, request) in made.into_iter().enumerate() {
        assert_eq!(soon(request).await.unwrap(), format!("/n-{at:010}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_a_session_and_each_gets_its_own_answer() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    let mut tasks = Vec::new();
    for task in 0..64 {
        let zk = zk.clone();
        tasks.push(tokio::spawn(async move {
            let path = format!("/t{task}");
            zk.create(&path, b"").await.unwrap();
            for round in 0..50_i32 {
                let data = format!("{task} {round}");
                assert_eq!(zk.set(&path, data.as_bytes()).await.unwrap().version, round + 1);
                assert_eq!(zk.get(&path).await.unwrap().data, data.as_bytes());
            }
        }));
    }
    for task in tasks {
        soon(task).await.unwrap();
    }
    assert_eq!(zk.in_flight(), 0);
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Polls a future this often, then drops it. Says whether it was ready.
fn poll_and_drop<F: Future>(future: F, times: usize) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    (0..times).any(|_| future.as_mut().poll(&mut cx).is_ready())
}

#[tokio::test]
async fn dropping_a_future_after_any_number_of_polls_harms_nobody() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    zk.create("/a", b"").await.unwrap();
    for times in 0..4 {
        for _ in 0..20 {
            poll_and_drop(zk.get("/a").into_future(), times);
            poll_and_drop(zk.set("/a", b"x").send(), times);
            poll_and_drop(zk.exists("/b").watch().into_future(), times);
            poll_and_drop(zk.watch("/a").recursive().send(), times);
            poll_and_drop(zk.transaction().check("/a", 99).send(), times);
            poll_and_drop(zk.children("/a").deadline(PATIENCE).into_future(), times);
            poll_and_drop(zk.add_auth("digest", b"u:p").send(), times);
            poll_and_drop(zk.wait_connected(PATIENCE), times);
            poll_and_drop(zk.transitions().next(), times);
            let made = zk.get("/a").send();
            tokio::task::yield_now().await;
            drop(made);
            assert!(soon(zk.get("/a")).await.is_ok());
        }
    }
    // One set a round and a poll each: all of them left, as they were made.
    assert_eq!(zk.get("/a").await.unwrap().stat.version, 80);
    zk.sync("/").await.unwrap();
    zk.sync("/").await.unwrap();
    assert_eq!((zk.watch_count(), zk.in_flight()), (0, 0));
    // Connecting and closing are given up as well.
    for times in 0..4 {
        poll_and_drop(builder(ensemble.connect_string()).connect(), times);
    }
    poll_and_drop(zk.close(), 1);
    let mut states = zk.states();
    let _ = soon(states.wait_for(|state| state.is_final())).await;
    assert_eq!(zk.state(), KeeperState::Closed);
}

#[tokio::test]
async fn a_request_that_has_not_left_does_not_leave_once_its_future_is_dropped() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    let mut transitions = zk.transitions();
    ensemble.stop(0).unwrap();
    until(&mut transitions, KeeperState::Disconnected).await;
    drop(zk.create("/dropped", b"").send());
    let kept = zk.create("/kept", b"").send();
    let polled = zk.create("/polled", b"").into_future();
    assert!(tokio::time::timeout(Duration::from_millis(10), polled).await.is_err());
    ensemble.start(0).unwrap();
    soon(kept).await.unwrap();
    let mut names = zk.children("/").await.unwrap().names;
    names.sort();
    assert_eq!(names, ["kept", "zookeeper"]);
}

#[tokio::test]
async fn deadlines_are_kept_with_a_server_and_without() {
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    let zk = builder(relay.addr().to_string()).connect().await.unwrap();
    let time = Duration::from_millis(200);
    assert!(zk.get("/").deadline(PATIENCE).await.is_ok());

    relay.blackhole().unwrap();
    let start = Instant::now();
    let (late, other) = (zk.get("/").deadline(time).send(), zk.get("/").send());
    let error = soon(late).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Op(OpError::Timeout));
    assert!(error.is_timeout() && error.is_outcome_unknown());
    assert!(start.elapsed() >= time && start.elapsed() < time * 4, "{:?}", start.elapsed());
    assert!(soon(other).await.unwrap_err().is_connection_loss());

    let start = Instant::now();
    let error = soon(zk.get("/").deadline(time)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotSent);
    assert!(error.is_timeout() && !error.is_outcome_unknown());
    assert!(start.elapsed() >= time && start.elapsed() < time * 4, "{:?}", start.elapsed());
    relay.mend().unwrap();
    assert!(soon(zk.get("/").deadline(PATIENCE)).await.is_ok());
    zk.create("/after", b"").deadline(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn callers_wait_where_there_is_no_room() {
    let ensemble = ensemble(1);
    let mut limits = Limits::default();
    (limits.requests, limits.transmit) = (8, 2000);
    let zk = builder(ensemble.connect_string()).limits(limits).start().unwrap();
    let made: Vec<_> = (0..200).map(|_| zk.create("/n-", &[1; 500]).sequential().send()).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for request in made {
        tasks.spawn(request);
    }
    // Some are given up while they wait for room: their turn is the next one's.
    for _ in 0..50 {
        let given_up = zk.get("/").into_future();
        assert!(
            tokio::time::timeout(Duration::ZERO, given_up).await.is_err()
                || zk.state().is_connected()
        );
    }
    let mut paths = Vec::new();
    while let Some(path) = soon(tasks.join_next()).await {
        paths.push(path.unwrap().unwrap());
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 200);
    let error = zk.create("/large", &[0; 4000]).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Submit(SubmitError::TooLarge { .. })), "{error}");
}

#[tokio::test]
async fn a_deadline_holds_for_whoever_waits_for_room_too() {
    let mut limits = Limits::default();
    (limits.requests, limits.transmit) = (8, 2000);
    let zk = builder("127.0.0.1:1").limits(limits).start().unwrap();
    let began = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..100 {
        // The first ones are in the line; of those behind, some will be late before others.
        let time = Duration::from_millis(if i < 8 { 600 } else { 100 + 2 * i });
        tasks.spawn(zk.create("/a", &[1; 200]).deadline(time).send());
    }
    let patient = zk.get("/a").deadline(PATIENCE).send();
    while let Some(late) = soon(tasks.join_next()).await {
        assert_eq!(late.unwrap().unwrap_err().kind, ErrorKind::NotSent);
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(600) && took < Duration::from_millis(1600), "{took:?}");
    // Who waits longer still has its turn.
    let ensemble = ensemble(1);
    zk.update_hosts(ensemble.connect_string()).unwrap();
    assert!(soon(patient).await.unwrap_err().is_no_node());
}

#[tokio::test]
async fn waiting_without_a_server_costs_no_more_memory_than_the_line_has() {
    let dead = ReservedPort::new().unwrap();
    let zk = builder(dead.addr().to_string()).start().unwrap();
    let data = vec![1; 1 << 20];
    let round = |n: usize| {
        for _ in 0..n {
            // As an application does that gives up and tries again.
            poll_and_drop(zk.set("/a", &data).into_future(), 2);
        }
    };
    round(10);
    let before = resident();
    round(500);
    assert!(resident() < before + (16 << 20), "{} after {before}", resident());
}

#[tokio::test]
async fn an_oversize_answer_costs_its_request_only() {
    let ensemble = ensemble(1);
    let mut limits = Limits::default();
    limits.recv = 4096;
    let zk = builder(ensemble.connect_string()).limits(limits).connect().await.unwrap();
    zk.create("/big", &[7; 100_000]).await.unwrap();
    zk.create("/small", b"s").await.unwrap();
    let (big, small) = (zk.get("/big").send(), zk.get("/small").send());
    let error = soon(big).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Op(OpError::ReplyTooLarge { len: 100_000.. })));
    assert_eq!(soon(small).await.unwrap().data, "s");
    assert_eq!(zk.state(), KeeperState::SyncConnected);
}

#[test]
fn a_runtime_that_is_shut_down_leaves_nobody_waiting() {
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.addr(0)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (zk, mut transitions) = runtime.block_on(async {
        let zk = builder(relay.addr().to_string()).connect().await.unwrap();
        let transitions = zk.transitions();
        (zk, transitions)
    });
    let mut watch = runtime.block_on(zk.watch("/a").into_future()).unwrap();
    let mut states = zk.states();
    relay.blackhole().unwrap();
    let under_way: Vec<_> = (0..100).map(|_| zk.get("/").send()).collect();
    let waiting = std::thread::spawn({
        let zk = zk.clone();
        move || {
            let other = current_thread();
            other.block_on(async { soon(zk.get("/")).await })
        }
    });
    std::thread::sleep(Duration::from_millis(100));
    runtime.shutdown_timeout(PATIENCE);

    assert_eq!(waiting.join().unwrap().unwrap_err().kind, ErrorKind::NoRuntime);
    let other = current_thread();
    other.block_on(async {
        for request in under_way {
            assert_eq!(soon(request).await.unwrap_err().kind, ErrorKind::NoRuntime);
        }
        assert_eq!(soon(zk.get("/")).await.unwrap_err().kind, ErrorKind::NoRuntime);
        assert_eq!(soon(zk.close()).await.unwrap_err().kind, ErrorKind::NoRuntime);
        assert_eq!(soon(watch.next()).await, Some(WatchEvent::State(KeeperState::Closed)));
        assert_eq!(soon(watch.next()).await, None);
        assert_eq!(soon(transitions.next()).await.unwrap().cause, Cause::Detached);
        assert_eq!(soon(transitions.next()).await, None);
        assert_eq!(zk.state(), KeeperState::Closed);
        assert_eq!(*states.borrow_and_update(), KeeperState::Closed);
        assert!(soon(states.changed()).await.is_err());
        assert!(soon(zk.states().changed()).await.is_err());
        assert!(soon(zk.wait_connected(PATIENCE)).await.is_err());
    });
    drop(zk);
}

#[test]
fn dropping_clients_in_mid_flight_leaves_no_task_behind() {
    let ensemble = ensemble(1);
    let runtime = current_thread();
    runtime.block_on(async {
        for state in 0..30 {
            let zk = builder(ensemble.connect_string()).start().unwrap();
            if state % 3 > 0 {
                zk.wait_connected(PATIENCE).await.unwrap();
            }
            let requests: Vec<_> = (0..state).map(|_| zk.get("/").send()).collect();
            drop(zk);
            if state % 2 == 0 {
                for request in requests {
                    let _ = soon(request).await;
                }
            }
        }
        let metrics = tokio::runtime::Handle::current().metrics();
        soon(async {
            while metrics.num_alive_tasks() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        soon(async {
            while !ensemble.sessions().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    });
}

#[tokio::test]
async fn a_handle_is_used_from_other_threads_and_runtimes() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    fn is_sent<T: Send + 'static>(value: T) -> T {
        value
    }
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    is_shared(&zk);
    let path = String::from("/a");
    let request = is_sent(zk.create(&path, b"").send());
    drop(path);
    soon(request).await.unwrap();
    let other: Client = zk.clone();
    let there = tokio::task::spawn_blocking(move || {
        let runtime = current_thread();
        runtime.block_on(async { other.get("/a").await.unwrap().stat.version })
    });
    assert_eq!(soon(there).await.unwrap(), 0);
}

#[test]
fn a_ready_answer_is_told() {
    let ensemble = ensemble(1);
    let runtime = current_thread();
    runtime.block_on(async {
        let zk = client(&ensemble).await;
        let request = zk.get("/").send();
        assert!(!request.is_ready());
        zk.sync("/").await.unwrap();
        assert!(request.is_ready());
        let mut request = pin!(request);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(request.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    });
}
