//! Every operation of the one path: what leaves, whose names it uses, and what comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{Client, Seen, Sent, error, frame, lost, ms, notification, reply, reply_header};
use zk_session::client::{ClientConfig, ClientSession, Event, Link};
use zk_session::path::PathErrorKind;
use zk_session::storage::Fixed;
use zk_session::wire::{
    Acl, AddWatchMode, CONFIG_NODE, ClientInfo, Create, CreateMode, CreateTtl, Data, EventType,
    List, Multi, MultiOp, MultiResult, OpCode, Paths, Reconfig, Reply, Request, SetWatches, Stat,
    Ustring, WatcherType, Xid, Zxid,
};
use zk_session::{DisconnectReason, ErrorCode, OpError, SubmitError};

const STAT: Stat = Stat {
    czxid: Zxid(1),
    mzxid: Zxid(2),
    ctime: 3,
    mtime: 4,
    version: 5,
    cversion: 6,
    aversion: 7,
    ephemeral_owner: 8,
    data_length: 9,
    num_children: 10,
    pzxid: Zxid(11),
};

/// Submits, answers and decodes what the application is told.
fn call<T>(
    client: &mut Client<'_>,
    request: &Request<'_>,
    answer: &Reply<'_>,
    take: impl FnOnce(&Reply<'_>) -> T,
) -> T {
    let xid = client.submit(request);
    client.receive(&reply(xid, 5, answer));
    take(&client.seen()[0].reply(request.op()))
}

/// The body that the last request had on the wire.
fn sent(client: &mut Client<'_>) -> Sent {
    client.take_sent().pop().expect("a request")
}

fn create<'a>(path: &'a str, mode: CreateMode) -> Create<'a> {
    Create::open(path, b"data", mode)
}

#[test]
fn every_operation_has_an_answer_of_its_own_type() {
    let mut client = Client::owned("h1/app").connected();
    let path = |reply: &Reply<'_>| match reply {
        Reply::Path(path) | Reply::Created(path, STAT) => path.as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    let created = Reply::Created("/app/new".into(), STAT);
    let container = create("/new", CreateMode::Container);
    for request in [
        Request::Create2(create("/new", CreateMode::Ephemeral)),
        Request::CreateContainer(container),
        Request::CreateTtl(CreateTtl { create: create("/new", CreateMode::PersistentTtl), ttl: 7 }),
    ] {
        assert_eq!(call(&mut client, &request, &created, path), "/new");
        let sent = sent(&mut client);
        assert_eq!(sent.op(), Some(request.op()));
        assert_eq!(sent.request().path(), Some("/app/new".into()));
    }
    let plain = Request::create("/n-", b"", CreateMode::EphemeralSequential);
    let answer = Reply::Path("/app/n-0000000007".into());
    assert_eq!(call(&mut client, &plain, &answer, path), "/n-0000000007");
    assert_eq!(call(&mut client, &Request::sync("/"), &Reply::Path("/app".into()), path), "/");

    let acl = Acl::READ;
    let get = Request::GetAcl { path: "/".into() };
    let answer = Reply::Acl(List::from_slice(acl), STAT);
    call(&mut client, &get, &answer, |reply| assert_eq!(*reply, answer));
    let set = Request::SetAcl { path: "/a".into(), acl: acl.into(), version: 3 };
    call(&mut client, &set, &Reply::Stat(STAT), |reply| assert_eq!(*reply, Reply::Stat(STAT)));
    let count = Request::GetAllChildrenNumber { path: "/".into() };
    call(&mut client, &count, &Reply::Count(42), |reply| assert_eq!(*reply, Reply::Count(42)));
    assert_eq!(sent(&mut client).request().path(), Some("/app".into()));
    let identities = [ClientInfo { scheme: "ip".into(), user: "127.0.0.1".into() }];
    let answer = Reply::WhoAmI(List::from_slice(&identities));
    call(&mut client, &Request::WhoAmI, &answer, |reply| assert_eq!(*reply, answer));
    let check = Request::check_watches("/a", WatcherType::Any);
    call(&mut client, &check, &Reply::Empty, |reply| assert_eq!(*reply, Reply::Empty));
    assert_eq!(sent(&mut client).request().path(), Some("/app/a".into()));
}

#[test]
fn j8_multi_names_its_znodes_as_the_session_does_both_ways() {
    for (connect, root) in [("h1", ""), ("h1/app", "/app")] {
        let mut client = Client::owned(connect).connected();
        let ops = [
            MultiOp::create("/a", b"1", CreateMode::Persistent),
            MultiOp::Create2(create("/b", CreateMode::Persistent)),
            MultiOp::check("/", 3),
            MultiOp::set_data("/a", b"2", -1),
            MultiOp::delete("/a", -1),
        ];
        let xid = client.submit(&Request::multi(&ops));
        let sent = sent(&mut client);
        let Request::Multi(items) = sent.request() else { panic!() };
        let paths: Vec<_> =
            items.iter().map(|item| item.path().as_str().unwrap().to_owned()).collect();
        let top = if root.is_empty() { "/" } else { root };
        let name = |path: &str| format!("{root}{path}");
        assert_eq!(paths, [&name("/a"), &name("/b"), top, &name("/a"), &name("/a")]);

        let (a, b) = (name("/a"), name("/b"));
        let results = [
            MultiResult::Create(a.as_str().into()),
            MultiResult::Create2(b.as_str().into(), STAT),
            MultiResult::Create(top.into()),
            MultiResult::Check,
            MultiResult::SetData(STAT),
            MultiResult::Delete,
        ];
        client.receive(&reply(xid, 5, &Reply::Multi(Multi::from_slice(&results))));
        let seen = client.seen();
        let Reply::Multi(told) = seen[0].reply(OpCode::Multi) else { panic!() };
        let own = [
            MultiResult::Create("/a".into()),
            MultiResult::Create2("/b".into(), STAT),
            MultiResult::Create("/".into()),
            MultiResult::Check,
            MultiResult::SetData(STAT),
            MultiResult::Delete,
        ];
        assert_eq!(told.iter().collect::<Vec<_>>(), own);
        assert_eq!(told.failure(), None);
    }
}

#[test]
fn a_failed_multi_is_a_reply_that_says_which_item_failed() {
    let mut client = Client::owned("h1/app").connected();
    let ops = [MultiOp::delete("/a", -1), MultiOp::check("/b", 3), MultiOp::delete("/c", -1)];
    let results = [0, -103, -2].map(MultiResult::Error);
    let answer = Reply::Multi(Multi::from_slice(&results));
    call(&mut client, &Request::multi(&ops), &answer, |reply| {
        let Reply::Multi(results) = reply else { panic!() };
        assert_eq!(results.failure(), Some((1, ErrorCode::BadVersion)));
    });
    let reads = [MultiOp::get_data("/a"), MultiOp::get_children("/b")];
    let names = ["x".into(), "y".into()];
    let results = [MultiResult::Error(-101), MultiResult::Children(List::from_slice(&names))];
    let answer = Reply::Multi(Multi::from_slice(&results));
    call(&mut client, &Request::multi_read(&reads), &answer, |reply| {
        let Reply::Multi(told) = reply else { panic!() };
        assert_eq!(told.iter().collect::<Vec<_>>(), results);
        assert_eq!(told.failure(), Some((0, ErrorCode::NoNode)));
    });
}

#[test]
fn paths_of_every_operation_are_checked_before_they_leave() {
    let mut client = Client::owned("h1").connected();
    let bad = "/a//b";
    let acl: List<'_, Acl<'_>> = Acl::OPEN.into();
    let item = [MultiOp::check("/fine", -1), MultiOp::delete(bad, -1)];
    for request in [
        Request::Create2(create(bad, CreateMode::Persistent)),
        Request::CreateContainer(create(bad, CreateMode::Container)),
        Request::CreateTtl(CreateTtl { create: create(bad, CreateMode::PersistentTtl), ttl: 1 }),
        Request::GetAcl { path: bad.into() },
        Request::SetAcl { path: bad.into(), acl, version: -1 },
        Request::GetAllChildrenNumber { path: bad.into() },
        Request::add_watch(bad, AddWatchMode::Persistent),
        Request::remove_watches(bad, WatcherType::Any),
        Request::check_watches(bad, WatcherType::Any),
        Request::multi(&item),
        Request::multi_read(&item),
    ] {
        let SubmitError::Path(error) = client.refused(&request) else { panic!("{request:?}") };
        assert_eq!((error.kind, error.at), (PathErrorKind::EmptyName, 3), "{request:?}");
    }
    let SubmitError::Path(error) = client.refused(&Request::get_ephemerals("a")) else { panic!() };
    assert_eq!(error.kind, PathErrorKind::NotAbsolute);
    // Digits follow: only sequential creates may end with a slash, in a multi too.
    for (mode, fine) in
        [(CreateMode::PersistentSequentialTtl, true), (CreateMode::PersistentTtl, false)]
    {
        let ttl = CreateTtl { create: create("/a/", mode), ttl: 1 };
        assert_eq!(client.session.submit(&Request::CreateTtl(ttl)).is_ok(), fine);
        let items = [MultiOp::CreateTtl(ttl)];
        assert_eq!(client.session.submit(&Request::multi(&items)).is_ok(), fine);
    }
}

#[test]
fn j8_ephemerals_outside_the_chroot_are_not_listed_and_the_others_have_own_names() {
    let all = ["/app/a", "/apple", "/app", "/app/b/c", "/other"].map(Ustring::from);
    let answer = Reply::Ephemerals(Paths::from_list(List::from_slice(&all)));
    let list = |reply: &Reply<'_>| match reply {
        Reply::Ephemerals(paths) => {
            paths.iter().map(|path| path.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    for (connect, prefix, asked, told) in [
        ("h1/app", "/", "/app", vec!["/a", "/", "/b/c"]),
        ("h1/app", "", "/app", vec!["/a", "/", "/b/c"]),
        ("h1/app", "/b", "/app/b", vec!["/a", "/", "/b/c"]),
        ("h1", "/", "/", vec!["/app/a", "/apple", "/app", "/app/b/c", "/other"]),
    ] {
        let mut client = Client::owned(connect).connected();
        let got = call(&mut client, &Request::get_ephemerals(prefix), &answer, list);
        assert_eq!(got, told);
        let sent = sent(&mut client);
        let Request::GetEphemerals { prefix } = sent.request() else { panic!() };
        assert_eq!(prefix, Ustring::from(asked));
    }
}

/// The lists of a setWatches frame, data watches first.
fn rearmed(sent: &Sent) -> [Vec<String>; 5] {
    let (Request::SetWatches(w) | Request::SetWatches2(w)) = sent.request() else { panic!() };
    let SetWatches { data, exist, child, persistent, persistent_recursive, .. } = w;
    [data, exist, child, persistent, persistent_recursive]
        .map(|list| list.iter().map(|path| path.as_str().unwrap().to_owned()).collect())
}

#[test]
fn j8_the_configuration_is_read_and_watched_outside_the_chroot_across_reconnects() {
    for (connect, sibling) in [("h1", "/a"), ("h1/app", "/app/a"), ("h1/zookeeper", "/zookeeper/a")]
    {
        let mut client = Client::owned(connect).connected();
        let answer = Reply::Data(Data { data: Some(b"server.1=.."), stat: STAT });
        let get = Request::get_config(true);
        call(&mut client, &get, &answer, |reply| assert_eq!(*reply, answer));
        call(&mut client, &Request::get_data("/a", true), &answer, |_| ());
        let asked: Vec<_> = client.take_sent();
        assert_eq!(asked[0].request(), Request::get_data(CONFIG_NODE, true));
        assert_eq!(client.session.watches(), 2);
        for _ in 0..2 {
            client.lose();
            client.connect(7, 6000);
            let sent = client.take_sent();
            assert_eq!(rearmed(&sent[0])[0], [CONFIG_NODE, sibling], "{connect}");
            client.receive(&reply_header(Xid::SET_WATCHES.0, 9, 0));
        }
        client.seen();
        client.receive(&notification(EventType::NodeDataChanged, CONFIG_NODE));
        let changed = Seen::Notification(EventType::NodeDataChanged, CONFIG_NODE.to_owned());
        assert_eq!(client.seen(), [changed], "{connect}");
        assert_eq!((client.session.watches(), client.session.odd_events()), (1, 0));
    }
}

#[test]
fn j8_r2_events_outside_the_chroot_or_of_unknown_types_are_counted_and_harm_nobody() {
    let mut client = Client::owned("h1/app").connected();
    let answer = Reply::Data(Data { data: None, stat: STAT });
    call(&mut client, &Request::get_data("/a", true), &answer, |_| ());
    for path in ["/apple", "/a", "/", CONFIG_NODE, "app/a", ""] {
        client.receive(&notification(EventType::NodeDeleted, path));
    }
    assert_eq!((client.seen(), client.session.odd_events()), (vec![], 6));
    for code in [0, -1, 5, 6, 7, 8, 99, i32::MAX, i32::MIN] {
        let kind = EventType::from_wire(code);
        client.receive(&notification(kind, "/app/a"));
        assert_eq!(client.seen(), [Seen::Notification(kind, "/a".to_owned())]);
    }
    assert_eq!(client.session.odd_events(), 6 + 5, "0, 8, 99 and the extremes are unknown");
    assert_eq!(client.session.watches(), 1, "none of them is for a watch");
    assert_eq!(client.session.poll_link(), Link::Up);
}

#[test]
fn reconfig_has_no_znode_of_the_session_in_it() {
    let mut client = Client::owned("h1/app").connected();
    let request = Request::Reconfig(Reconfig {
        joining: Ustring::NULL,
        leaving: "3".into(),
        new_members: Ustring::NULL,
        current_config: -1,
    });
    let answer = Reply::Data(Data { data: Some(b"server.1=.."), stat: STAT });
    call(&mut client, &request, &answer, |reply| assert_eq!(*reply, answer));
    assert_eq!(sent(&mut client).request(), request);
    let xid = client.submit(&request);
    client.receive(&error(xid, 6, ErrorCode::ReconfigDisabled));
    let disabled = OpError::Server(ErrorCode::ReconfigDisabled);
    assert_eq!(client.seen(), [Seen::Reply(xid, Zxid(6), Err(disabled))]);
}

#[test]
fn t4_an_operation_that_the_server_lacks_costs_its_request_and_the_session_resumes() {
    for request in [
        Request::add_watch("/a", AddWatchMode::Persistent),
        Request::remove_watches("/w", WatcherType::Any),
        Request::multi_read(&[]),
        Request::get_ephemerals("/"),
        Request::GetAllChildrenNumber { path: "/".into() },
        Request::WhoAmI,
    ] {
        let mut client = Client::owned("h1,h2").connected();
        let answer = Reply::Data(Data { data: None, stat: STAT });
        call(&mut client, &Request::get_data("/w", true), &answer, |_| ());
        let before = client.submit(&Request::exists("/b", false));
        let xid = client.submit(&request);
        let behind = client.submit(&Request::exists("/c", false));
        client.receive(&error(before, 6, ErrorCode::NoNode));
        client.receive(&error(xid, -1, ErrorCode::Unimplemented));
        client.lose();
        assert_eq!(
            client.seen(),
            [
                Seen::Reply(before, Zxid(6), Err(OpError::Server(ErrorCode::NoNode))),
                Seen::Reply(xid, Zxid(-1), Err(OpError::Server(ErrorCode::Unimplemented))),
                Seen::failed(behind, OpError::ConnectionLoss),
                lost(DisconnectReason::TransportClosed),
            ]
        );
        client.take_sent();
        let handshake = client.connect(7, 6000);
        assert_eq!((handshake.session_id, handshake.last_zxid), (7, 6));
        assert_eq!(rearmed(&sent(&mut client))[0], ["/w"], "what was watched still is");
        client.submit(&Request::exists("/a", false));
    }
}

#[test]
fn r8_a_multi_or_a_list_that_is_cut_off_costs_its_request_alone() {
    let whole = reply(
        Xid(1),
        5,
        &Reply::Multi(Multi::from_slice(&[
            MultiResult::Create2("/app/a".into(), STAT),
            MultiResult::Error(-2),
        ])),
    );
    let body = &whole[4 + 16..];
    for end in 0..body.len() {
        let mut memory = Fixed::<512, 256, 0, 4>::new();
        let config = ClientConfig::new("h1/app", 1).timeout(ms(6000));
        let mut client = Client::with(config, memory.lend()).connected();
        let ops = [MultiOp::delete("/a", -1)];
        client.submit(&Request::multi(&ops));
        client.receive(&frame(|w| {
            w.int(1);
            w.long(5);
            w.int(0);
            w.raw(&body[..end]);
        }));
        let seen = client.seen();
        assert!(matches!(seen[..], [Seen::Reply(_, _, Err(OpError::Malformed(_)))]), "{seen:?}");
        client.submit(&Request::exists("/a", false));
    }
}

/// The reply borrows from the session; its paths are no copies.
#[test]
fn results_are_lent_with_the_chroot_cut_off_in_place() {
    fn first<'a>(session: &'a mut ClientSession<'_>) -> &'a str {
        let Some(Event::Reply { result: Ok(Reply::Multi(results)), .. }) = session.poll_event()
        else {
            panic!()
        };
        match results.iter().next() {
            Some(MultiResult::Create(path)) => path.as_str().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let mut client = Client::owned("h1/app").connected();
    let ops = [MultiOp::create("/a", b"", CreateMode::Persistent)];
    let xid = client.submit(&Request::multi(&ops));
    let results = [MultiResult::Create("/app/a".into())];
    client.receive_unseen(&reply(xid, 5, &Reply::Multi(Multi::from_slice(&results))));
    assert_eq!(first(&mut client.session), "/a");
}
