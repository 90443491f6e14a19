//! Every operation, on the embedded ensemble.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use zk_session_std::EmbeddedEnsemble;
use zk_session_tokio::{
    Acl, Client, CreateMode, ErrorCode, ErrorKind, EventType, ItemAnswer, KeeperState, Perms,
    WatcherType,
};

fn ensemble() -> EmbeddedEnsemble {
    let tick = Duration::from_millis(500);
    EmbeddedEnsemble::builder().servers(1).tick(tick).extended_types().start().unwrap()
}

async fn client(ensemble: &EmbeddedEnsemble) -> Client {
    Client::builder(ensemble.connect_string())
        .timeout(Duration::from_secs(3))
        .connect()
        .await
        .unwrap()
}

#[tokio::test]
async fn operations_answer_as_zookeeper_does() {
    let ensemble = ensemble();
    let zk = client(&ensemble).await;
    assert_eq!(zk.create("/a", b"one").await.unwrap(), "/a");
    let first = zk.create("/a/n-", b"").sequential().await.unwrap();
    let second = zk.create("/a/e-", b"").ephemeral().sequential().await.unwrap();
    assert_eq!((first.as_str(), second.as_str()), ("/a/n-0000000000", "/a/e-0000000001"));
    let node = zk.get("/a").await.unwrap();
    assert_eq!((&node.data[..], node.stat.num_children), (&b"one"[..], 2));
    assert_eq!(zk.set("/a", b"two").version(0).await.unwrap().version, 1);
    let mut children = zk.children("/a").await.unwrap();
    children.names.sort();
    assert_eq!(children.names, ["e-0000000001", "n-0000000000"]);
    assert_eq!(children.stat.cversion, 2);
    let stat = zk.exists(&second).await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, zk.session_id().0);
    assert_eq!(zk.exists("/nope").await.unwrap(), None);
    zk.sync("/a").await.unwrap();
    assert_eq!(zk.all_children_number("/").await.unwrap(), 3 + 3);
    assert_eq!(zk.ephemerals("/").await.unwrap(), std::slice::from_ref(&second));

    let created = zk.create("/c", b"").container().with_stat().await.unwrap();
    assert_eq!((created.path.as_str(), created.stat.version), ("/c", 0));
    zk.create("/t", b"").ttl(Duration::from_secs(60)).await.unwrap();
    zk.create("/t/s-", b"").sequential().ttl(Duration::from_secs(60)).await.unwrap();
    let stat = zk.create("/plain", b"12").with_stat().await.unwrap().stat;
    assert_eq!(stat.data_length, 2);

    zk.add_auth("digest", b"user:password").await.unwrap();
    let identities = zk.who_am_i().await.unwrap();
    assert!(identities.iter().any(|i| i.scheme == "digest" && i.user == "user"), "{identities:?}");
    zk.create("/mine", b"").acl(Acl::CREATOR_ALL).await.unwrap();
    let acls = zk.acl("/mine").await.unwrap();
    assert_eq!((acls.acl[0].perms, acls.acl[0].scheme.as_str()), (Perms::ALL, "digest"));
    assert_eq!(zk.set_acl("/mine", Acl::READ).version(0).await.unwrap().aversion, 1);
    let other = client(&ensemble).await;
    assert!(other.set("/mine", b"").await.unwrap_err().is_no_auth());
    assert_eq!(zk.config().await.unwrap().stat.ephemeral_owner, 0);

    assert!(zk.create("/a", b"").await.unwrap_err().is_node_exists());
    assert!(zk.delete("/a").await.unwrap_err().is_not_empty());
    assert!(zk.set("/a", b"").version(7).await.unwrap_err().is_bad_version());
    let error = zk.get("/none").await.unwrap_err();
    assert!(error.is_no_node());
    assert_eq!(error.to_string(), "GetData /none: NoNode (-101)");
    let long = format!("/{}", "x".repeat(100));
    assert_eq!(zk.get(&long).await.unwrap_err().path, long);
    let error = zk.create("/e", b"").ephemeral().container().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BadArguments));
    let error = zk.get("relative").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Submit(_)), "{error}");
    assert!(!error.is_outcome_unknown());

    zk.delete(&first).version(0).await.unwrap();
    zk.close().await.unwrap();
    assert_eq!(zk.state(), KeeperState::Closed);
    assert!(zk.get("/a").await.unwrap_err().is_session_over());
    zk.close().await.unwrap();
    assert_eq!(other.children("/a").await.unwrap().names, Vec::<String>::new());
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let ensemble = ensemble();
    let zk = client(&ensemble).await;
    let items = zk
        .transaction()
        .create("/a", b"1", CreateMode::Persistent)
        .create("/a/s-", b"", CreateMode::PersistentSequential)
        .create("/a/c", b"", CreateMode::Container)
        .create_ttl("/a/t", b"", CreateMode::PersistentTtl, Duration::from_secs(60))
        .set("/a", b"2")
        .set_version("/a", b"3", 1)
        .check("/a", 2)
        .delete_version("/a/c", 0)
        .delete("/a/t")
        .await
        .unwrap();
    assert_eq!(items.len(), 9);
    assert!(matches!(&items[1], ItemAnswer::Created(path, _) if path == "/a/s-0000000000"));
    let error = zk.transaction().delete("/a/s-0000000000").check("/a", 9).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Item { at: 1, code: ErrorCode::BadVersion });
    let read = zk.multi_read().get("/a").children("/a").get("/none").await.unwrap();
    assert!(matches!(&read[0], ItemAnswer::Data(Some(data), _) if data == b"3"));
    assert_eq!(read[1], ItemAnswer::Children(vec!["s-0000000000".to_owned()]));
    assert_eq!(read[2], ItemAnswer::Failed(ErrorCode::NoNode));
    assert_eq!(zk.transaction().await.unwrap(), []);
}

#[tokio::test]
async fn a_view_has_names_of_its_own() {
    let ensemble = ensemble();
    let zk = client(&ensemble).await;
    let app = zk.chroot("/app").unwrap();
    assert_eq!(app.create("/", b"").await.unwrap(), "/");
    assert_eq!(app.create("/x-", b"").sequential().await.unwrap(), "/x-0000000000");
    let inner = app.chroot("/in").unwrap();
    assert_eq!((zk.root().as_str(), inner.root().as_str()), ("", "/app/in"));
    assert_eq!(inner.create("/", b"").with_stat().await.unwrap().path, "/");
    inner.create("/e", b"").ephemeral().await.unwrap();
    zk.create("/apple", b"").ephemeral().await.unwrap();
    assert_eq!(app.ephemerals("/").await.unwrap(), ["/in/e"]);
    let mut all = zk.ephemerals("/").await.unwrap();
    all.sort();
    assert_eq!(all, ["/app/in/e", "/apple"]);
    let items = inner
        .transaction()
        .create("/a", b"", CreateMode::Persistent)
        .set("/e", b"now")
        .check("/", 0)
        .await
        .unwrap();
    assert!(matches!(&items[0], ItemAnswer::Created(path, _) if path == "/a"));
    assert_eq!(zk.get("/app/in/e").await.unwrap().data, "now");
    let error = inner.get("/none").await.unwrap_err();
    assert_eq!(error.path, "/none");
    let (_, mut watch) = inner.get("/a").watch().await.unwrap();
    let mut below = app.watch("/").recursive().await.unwrap();
    assert_eq!((watch.path(), below.path()), ("/a", "/"));
    zk.set("/app/in/a", b"").await.unwrap();
    let (kind, path) = watch.changed().await.unwrap();
    assert_eq!((kind, &*path), (EventType::NodeDataChanged, "/a"));
    assert_eq!(&*below.changed().await.unwrap().1, "/in/a");
    assert!(inner.check_watches("/a", WatcherType::Any).await.is_ok_and(|armed| !armed));
    assert!(matches!(app.chroot("/bad/").unwrap_err().kind, ErrorKind::Submit(_)));

    let hosts = format!("{}/app", ensemble.connect_string());
    let rooted = Client::connect(hosts).await.unwrap();
    let view = rooted.chroot("/in").unwrap();
    assert_eq!(view.root(), "/app/in");
    let (_, mut watch) = view.config().watch().await.unwrap();
    assert_eq!(watch.path(), "/zookeeper/config");
    assert_eq!(watch.try_next(), None);
    assert_eq!(view.create("/b", b"").await.unwrap(), "/b");
    assert!(zk.exists("/app/in/b").await.unwrap().is_some());
}

/// Memory of large answers is used again, but not while any of it is still looked at.
#[tokio::test]
async fn data_that_is_kept_stays_what_it_is_whatever_comes_after() {
    const LENGTHS: [usize; 6] = [0, 1, 1_000, 5_000, 40_000, 70_000];
    let ensemble = ensemble();
    let zk = client(&ensemble).await;
    for length in LENGTHS {
        let byte = u8::try_from(length % 251).unwrap();
        zk.create(&format!("/n{length}"), &vec![byte; length]).await.unwrap();
    }
    let mut kept = Vec::new();
    for round in 0..20 {
        let paths = LENGTHS.map(|length| format!("/n{length}"));
        let asked = paths.each_ref().map(|path| zk.get(path).send());
        for (length, answer) in LENGTHS.into_iter().zip(asked) {
            let node = answer.await.unwrap();
            assert_eq!(node.stat.data_length, i32::try_from(length).unwrap());
            // The rest is dropped, in another order every round.
            if (length + round) % 3 == 0 {
                kept.push((length, node.data.slice(length / 2..)));
            }
        }
    }
    for (length, data) in kept {
        let byte = u8::try_from(length % 251).unwrap();
        assert_eq!(data, vec![byte; length - length / 2]);
    }
}
