//! Watches of every kind: what they tell, when they end, and that dropping one removes it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use support::{builder, client, ensemble, soon, until};
use zk_session_tokio::{Client, EventType, KeeperState, Watch, WatchEvent, WatcherType};

/// Waits until all that was asked before has been answered, removals of watches included.
async fn settled(zk: &Client) {
    for _ in 0..2 {
        zk.sync("/").await.unwrap();
    }
}

async fn armed(zk: &Client, path: &str, kind: WatcherType) -> bool {
    zk.check_watches(path, kind).await.unwrap()
}

fn changed(event: Option<WatchEvent>) -> (EventType, String) {
    match event {
        Some(WatchEvent::Changed { kind, path }) => (kind, path.to_string()),
        other => panic!("{other:?}"),
    }
}

async fn next(watch: &mut Watch) -> (EventType, String) {
    changed(soon(watch.next()).await)
}

#[tokio::test]
async fn one_shot_watches_tell_of_one_change_and_end() {
    let ensemble = ensemble(1);
    let (zk, other) = (client(&ensemble).await, client(&ensemble).await);
    let (none, mut comes) = zk.exists("/a").watch().await.unwrap();
    assert_eq!(none, None);
    other.create("/a", b"").await.unwrap();
    assert_eq!(next(&mut comes).await, (EventType::NodeCreated, "/a".to_owned()));
    assert_eq!(soon(comes.next()).await, None);

    let (_, mut data) = zk.get("/a").watch().await.unwrap();
    let (_, mut names) = zk.children("/a").watch().await.unwrap();
    let (there, mut stat) = zk.exists("/a").watch().await.unwrap();
    assert!(there.is_some());
    assert_eq!(zk.watch_count(), 3);
    other.create("/a/b", b"").await.unwrap();
    assert_eq!(next(&mut names).await, (EventType::NodeChildrenChanged, "/a".to_owned()));
    other.set("/a", b"1").await.unwrap();
    other.set("/a", b"2").await.unwrap();
    for watch in [&mut data, &mut stat] {
        assert_eq!(next(watch).await, (EventType::NodeDataChanged, "/a".to_owned()));
        assert_eq!(soon(watch.next()).await, None);
    }
    let (_, mut gone) = zk.children("/a/b").watch().await.unwrap();
    other.delete("/a/b").await.unwrap();
    assert_eq!(next(&mut gone).await, (EventType::NodeDeleted, "/a/b".to_owned()));
    assert_eq!(zk.watch_count(), 0);

    assert!(zk.get("/none").watch().await.unwrap_err().is_no_node());
    assert_eq!(zk.watch_count(), 0);
}

#[tokio::test]
async fn persistent_watches_stay_and_recursive_ones_see_descendants() {
    let ensemble = ensemble(1);
    let (zk, other) = (client(&ensemble).await, client(&ensemble).await);
    let mut stays = zk.watch("/a").await.unwrap();
    let mut tree = zk.watch("/a").recursive().await.unwrap();
    let mut root = zk.watch("/").recursive().await.unwrap();
    other.create("/a", b"").await.unwrap();
    other.create("/a/b", b"").await.unwrap();
    other.set("/a/b", b"x").await.unwrap();
    other.set("/a", b"x").await.unwrap();
    other.delete("/a/b").await.unwrap();
    other.delete("/a").await.unwrap();
    use EventType::*;
    let whole = [
        (NodeCreated, "/a"),
        (NodeCreated, "/a/b"),
        (NodeDataChanged, "/a/b"),
        (NodeDataChanged, "/a"),
        (NodeDeleted, "/a/b"),
        (NodeDeleted, "/a"),
    ];
    for (kind, path) in whole {
        assert_eq!(next(&mut tree).await, (kind, path.to_owned()));
        assert_eq!(next(&mut root).await, (kind, path.to_owned()));
    }
    for kind in
        [NodeCreated, NodeChildrenChanged, NodeDataChanged, NodeChildrenChanged, NodeDeleted]
    {
        assert_eq!(next(&mut stays).await, (kind, "/a".to_owned()));
    }
    assert!([stays, tree, root].iter_mut().all(|watch| watch.try_next().is_none()));
}

#[tokio::test]
async fn dropping_a_watch_removes_it_and_no_other() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    zk.create("/a", b"").await.unwrap();
    let (_, data) = zk.get("/a").watch().await.unwrap();
    let (_, also_data) = zk.exists("/a").watch().await.unwrap();
    let (_, child) = zk.children("/a").watch().await.unwrap();
    let stays = zk.watch("/a").await.unwrap();
    drop(data);
    settled(&zk).await;
    assert!(armed(&zk, "/a", WatcherType::Data).await, "another one listens");
    drop(also_data);
    settled(&zk).await;
    assert!(!armed(&zk, "/a", WatcherType::Data).await);
    assert!(armed(&zk, "/a", WatcherType::Children).await);
    assert!(armed(&zk, "/a", WatcherType::Persistent).await);
    drop(stays);
    settled(&zk).await;
    assert!(!armed(&zk, "/a", WatcherType::Persistent).await);
    drop(child);
    settled(&zk).await;
    assert!(!armed(&zk, "/a", WatcherType::Any).await);
    assert_eq!(zk.watch_count(), 0);

    // A watch that is set just after another was dropped stays.
    for _ in 0..50 {
        let (_, first) = zk.get("/a").watch().await.unwrap();
        let second = zk.get("/a").watch().send();
        drop(first);
        let (_, mut second) = second.await.unwrap();
        zk.set("/a", b"").await.unwrap();
        assert_eq!(next(&mut second).await.0, EventType::NodeDataChanged);
    }
}

#[tokio::test]
async fn a_watch_whose_call_was_given_up_is_removed_too() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    zk.create("/a", b"").await.unwrap();
    drop(zk.get("/a").watch().send());
    let unread = zk.get("/a").watch().send();
    zk.sync("/").await.unwrap();
    assert!(unread.is_ready());
    drop(unread);
    settled(&zk).await;
    assert!(!armed(&zk, "/a", WatcherType::Any).await);
    assert_eq!(zk.watch_count(), 0);
}

#[tokio::test]
async fn a_watch_dropped_without_a_server_is_removed_when_there_is_one() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    let mut transitions = zk.transitions();
    let watch = zk.watch("/a").await.unwrap();
    let mut kept = zk.watch("/b").await.unwrap();
    ensemble.stop(0).unwrap();
    until(&mut transitions, KeeperState::Disconnected).await;
    drop(watch);
    ensemble.start(0).unwrap();
    until(&mut transitions, KeeperState::SyncConnected).await;
    settled(&zk).await;
    assert!(!armed(&zk, "/a", WatcherType::Any).await);
    zk.create("/b", b"").await.unwrap();
    assert_eq!(soon(kept.changed()).await.unwrap().0, EventType::NodeCreated);
}

#[tokio::test]
async fn what_changed_while_disconnected_is_told_afterwards() {
    let ensemble = ensemble(2);
    let zk = builder(ensemble.addr(0).to_string()).connect().await.unwrap();
    let other = builder(ensemble.addr(1).to_string()).connect().await.unwrap();
    zk.create("/a", b"").await.unwrap();
    let (_, mut data) = zk.get("/a").watch().await.unwrap();
    let (_, mut comes) = zk.exists("/b").watch().await.unwrap();
    let mut stays = zk.watch("/c").await.unwrap();
    let mut transitions = zk.transitions();
    ensemble.stop(0).unwrap();
    until(&mut transitions, KeeperState::Disconnected).await;
    other.set("/a", b"missed").await.unwrap();
    other.create("/b", b"").await.unwrap();
    ensemble.start(0).unwrap();
    for (watch, kind) in
        [(&mut data, EventType::NodeDataChanged), (&mut comes, EventType::NodeCreated)]
    {
        assert_eq!(soon(watch.changed()).await.unwrap().0, kind);
    }
    other.create("/c", b"").await.unwrap();
    assert_eq!(soon(stays.changed()).await.unwrap().0, EventType::NodeCreated);
}

#[tokio::test]
async fn k11_a_flood_of_events_holds_nothing_up_and_what_is_kept_is_bounded() {
    const FLOOD: usize = 20_000;
    let ensemble = ensemble(1);
    let (zk, other) = (client(&ensemble).await, client(&ensemble).await);
    zk.create("/a", b"").await.unwrap();
    let mut slow = zk.watch("/a").buffer(100).await.unwrap();
    let mut quick = zk.watch("/a").buffer(FLOOD).await.unwrap();
    let flood = tokio::spawn(async move {
        let sent: Vec<_> = (0..FLOOD).map(|_| other.set("/a", b"x").send()).collect();
        for set in sent {
            set.await.unwrap();
        }
    });
    let mut slowest = Duration::ZERO;
    while !flood.is_finished() {
        let start = std::time::Instant::now();
        zk.get("/a").await.unwrap();
        slowest = slowest.max(start.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    flood.await.unwrap();
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    zk.sync("/a").await.unwrap();
    let all = std::iter::from_fn(|| quick.try_next()).count();
    let mut kept = 0;
    loop {
        match slow.try_next() {
            Some(WatchEvent::Changed { .. }) => kept += 1,
            Some(WatchEvent::Missed(missed)) => {
                assert_eq!((kept, usize::try_from(missed).unwrap()), (100, all - 100));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all, FLOOD);
    // From here on it is told again.
    zk.set("/a", b"y").await.unwrap();
    assert_eq!(next(&mut slow).await.0, EventType::NodeDataChanged);
}

#[tokio::test]
async fn g6_a_slow_reader_still_learns_the_last_state() {
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    let mut watch = zk.watch("/a").buffer(1).await.unwrap();
    let mut transitions = zk.transitions();
    for _ in 0..3 {
        ensemble.drop_connection(zk.session_id()).unwrap();
        until(&mut transitions, KeeperState::SyncConnected).await;
    }
    ensemble.expire(zk.session_id()).unwrap();
    until(&mut transitions, KeeperState::Expired).await;
    assert_eq!(watch.try_next(), Some(WatchEvent::State(KeeperState::Disconnected)));
    assert!(matches!(watch.try_next(), Some(WatchEvent::Missed(_))));
    assert_eq!(soon(watch.next()).await, Some(WatchEvent::State(KeeperState::Expired)));
    assert_eq!(soon(watch.next()).await, None);
}

#[tokio::test]
async fn a_watch_is_a_stream_and_survives_its_client() {
    use futures_core::Stream;
    let ensemble = ensemble(1);
    let zk = client(&ensemble).await;
    let mut watch = zk.watch("/a").await.unwrap();
    drop(zk);
    let first = std::future::poll_fn(|cx| std::pin::Pin::new(&mut watch).poll_next(cx));
    assert_eq!(soon(first).await, Some(WatchEvent::State(KeeperState::Closed)));
    assert_eq!(soon(watch.next()).await, None);
}
