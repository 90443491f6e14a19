//! The same on a real ZooKeeper ensemble: operations, watches, fail-over, close.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use support::{soon, until};
use zk_session_testkit::RealEnsemble;
use zk_session_tokio::{Client, CreateMode, EventType, ItemAnswer, KeeperState, WatcherType};

#[tokio::test]
async fn a_session_on_real_servers_does_what_it_does_on_embedded_ones() {
    let start = || RealEnsemble::builder().nodes(3).start();
    let ensemble = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let zk = Client::builder(ensemble.connect_string())
        .timeout(Duration::from_secs(8))
        .connect_timeout(Duration::from_secs(30))
        .connect()
        .await
        .unwrap();
    zk.create("/a", b"one").await.unwrap();
    let owner = zk.create("/a/e-", b"").ephemeral().sequential().with_stat().await.unwrap();
    assert_eq!(owner.path, "/a/e-0000000000");
    assert_eq!(owner.stat.ephemeral_owner, zk.session_id().0);
    let items =
        zk.transaction().create("/a/t", b"", CreateMode::Persistent).check("/a", 0).await.unwrap();
    assert!(matches!(&items[0], ItemAnswer::Created(path, _) if path == "/a/t"));
    let view = zk.chroot("/a").unwrap();
    let mut names = view.children("/").await.unwrap().names;
    names.sort();
    assert_eq!(names, ["e-0000000000", "t"]);
    assert_eq!(view.ephemerals("/").await.unwrap(), ["/e-0000000000"]);
    assert!(!zk.config().await.unwrap().data.is_empty());

    let (_, mut once) = view.get("/t").watch().await.unwrap();
    let mut tree = zk.watch("/a").recursive().await.unwrap();
    let dropped = zk.watch("/b").await.unwrap();
    drop(dropped);
    zk.sync("/").await.unwrap();
    zk.sync("/").await.unwrap();
    assert!(!zk.check_watches("/b", WatcherType::Any).await.unwrap());

    let mut transitions = zk.transitions();
    let host = zk.current_host().1;
    let node = ensemble.addrs().iter().position(|addr| addr.to_string() == host).unwrap();
    ensemble.kill(node).unwrap();
    until(&mut transitions, KeeperState::Disconnected).await;
    let set = view.set("/t", b"two").send();
    until(&mut transitions, KeeperState::SyncConnected).await;
    assert_eq!(soon(set).await.unwrap().version, 1);
    let (kind, path) = soon(once.changed()).await.unwrap();
    assert_eq!((kind, &*path), (EventType::NodeDataChanged, "/t"));
    let (kind, path) = soon(tree.changed()).await.unwrap();
    assert_eq!((kind, &*path), (EventType::NodeDataChanged, "/a/t"));
    soon(zk.close()).await.unwrap();
}
