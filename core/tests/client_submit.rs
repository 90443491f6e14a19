//! What a session accepts, what it refuses and why, and whose paths it names.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{
    Client, Rng, Seen, accepted, error, handshake_answer, lost, ms, notification, reply,
    reply_header,
};
use zk_session::client::{ClientConfig, KeeperState};
use zk_session::path::PathErrorKind;
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{
    Children, Create, CreateMode, Data, EventType, List, MultiOp, OpCode, Reply, Request,
    SessionId, Stat, Xid, Zxid,
};
use zk_session::{DisconnectReason, ErrorCode, Machine, OpError, SubmitError};

fn config() -> ClientConfig<'static> {
    ClientConfig::new("h1", 1).timeout(ms(6000))
}

fn limited(recv: usize, transmit: usize, registry: usize, requests: usize) -> Client<'static> {
    let mut limits = Limits::default();
    (limits.recv, limits.transmit) = (recv, transmit);
    (limits.registry, limits.requests) = (registry, requests);
    Client::with(config(), Storage::owned(limits))
}

#[test]
fn requests_are_refused_in_every_state_but_connected_and_with_the_right_word() {
    let request = Request::exists("/a", true);
    let mut client = Client::owned("h1,h2");
    // Backoff.
    assert_eq!(client.refused(&request), SubmitError::NotConnected);
    assert!(SubmitError::NotConnected.is_temporary() && !client.session.can_submit());
    // Dialling.
    client.dial();
    assert_eq!(client.refused(&request), SubmitError::NotConnected);
    // Priming.
    client.open();
    assert_eq!(client.refused(&request), SubmitError::NotConnected);
    // Connected, as soon as the event has been pulled.
    client.session.handle_bytes(client.now, &accepted(7, 6000));
    assert_eq!(client.refused(&request), SubmitError::NotConnected);
    client.pull();
    assert!(client.session.can_submit());
    let xid = client.submit(&request);
    // Draining.
    client.seen();
    client.session.handle_disconnected(client.now);
    assert_eq!(client.refused(&request), SubmitError::NotConnected);
    let loss = lost(DisconnectReason::TransportClosed);
    assert_eq!(client.seen(), [Seen::failed(xid, OpError::ConnectionLoss), loss]);
    // Closing, before and after closeSession is answered.
    client.connect(7, 6000);
    client.session.close(client.now);
    assert_eq!(client.refused(&request), SubmitError::Ended);
    assert!(!SubmitError::Ended.is_temporary() && !client.session.can_submit());
    client.receive(&reply_header(2, 9, 0));
    assert_eq!(client.session.state(), KeeperState::Closed);
    assert_eq!(client.refused(&request), SubmitError::Ended);
    // Expired, told or not.
    client.session.reopen(client.now);
    assert_eq!(client.refused(&request), SubmitError::NotConnected);
    client.connect(8, 6000);
    client.lose();
    client.open();
    client.session.handle_bytes(client.now, &handshake_answer(0, 0, &[0; 16], None));
    client.pull();
    assert_eq!(client.session.state(), KeeperState::Expired);
    assert_eq!(client.refused(&request), SubmitError::Ended);
}

#[test]
fn a_full_transmit_buffer_refuses_changes_nothing_and_keeps_room_for_ping_and_close() {
    for lent in [false, true] {
        let mut memory = Fixed::<200, 256, 1000, 100>::new();
        let mut limits = Limits::default();
        (limits.recv, limits.transmit, limits.registry) = (200, 256, 1000);
        let storage = if lent { memory.lend() } else { Storage::owned(limits) };
        let mut client = Client::with(config(), storage).connected();
        let request = Request::get_data("/0123456789", true);
        let mut accepted = 0;
        while client.session.submit(&request).is_ok() {
            accepted += 1;
        }
        let needed = 4 + 8 + 4 + 11 + 1;
        let free = 256 - 24 - accepted * needed;
        assert!(free < needed);
        let full = SubmitError::TransmitFull { needed, free };
        assert!(full.is_temporary());
        assert_eq!(client.refused(&request), full);
        assert_eq!(client.refused(&request), full, "and again");
        // A smaller one may still fit; a ping and a closeSession always do.
        client.now = client.session.poll_timeout().unwrap();
        client.session.handle_timeout(client.now);
        client.session.close(client.now);
        let ops: Vec<_> = client.take_sent().iter().filter_map(support::Sent::op).collect();
        assert_eq!(ops.len(), accepted + 2);
        assert_eq!(ops[accepted..], [OpCode::Ping, OpCode::CloseSession]);
    }
}

#[test]
fn a_request_that_could_never_fit_is_too_large() {
    let mut client = limited(200, 256, 1000, 100).connected();
    let data = [0; 300];
    // Length, header, path, data, version.
    let needed = 4 + 8 + 4 + 2 + 4 + 300 + 4;
    let too_large = SubmitError::TooLarge { needed, limit: 256 - 24 };
    assert!(!too_large.is_temporary());
    assert_eq!(client.refused(&Request::set_data("/a", &data, -1)), too_large);
    // To the byte.
    let least = 4 + 8 + 4 + 2 + 4 + 4;
    client.session.submit(&Request::set_data("/a", &data[..232 - least], -1)).unwrap();
    client.transmit();
    let error = client.refused(&Request::set_data("/a", &data[..233 - least], -1));
    assert_eq!(error, SubmitError::TooLarge { needed: 233, limit: 232 });
}

#[test]
fn a_watch_whose_event_or_replay_could_never_fit_is_too_large() {
    let path = format!("/{}", "x".repeat(99));
    for (recv, transmit) in [(4 + 16 + 12 + 99, 1000), (1000, 24 + 40 + 4 + 99)] {
        let mut client = limited(recv, transmit, 1000, 100).connected();
        let error = client.refused(&Request::get_data(&path, true));
        assert!(matches!(error, SubmitError::TooLarge { .. }), "{error:?}");
        client.submit(&Request::get_data(&path, false));
    }
    let mut client = limited(4 + 16 + 12 + 100, 24 + 40 + 4 + 100, 1000, 100).connected();
    let xid = client.submit(&Request::get_data(&path, true));
    client.receive(&reply_header(xid.0, 5, 0));
    client.lose();
    client.take_sent();
    client.connect(7, 6000);
    assert_eq!(client.take_sent().len(), 1);
    client.receive(&notification(EventType::NodeDeleted, &path));
    assert_eq!(client.seen(), [Seen::Notification(EventType::NodeDeleted, path)]);
}

#[test]
fn a_full_registry_refuses_watches_and_credentials_and_nothing_else() {
    let mut client = limited(200, 1000, 40, 100).connected();
    let held = client.submit(&Request::get_data("/0123456789", true)); // 16 bytes
    let full = SubmitError::RegistryFull { needed: 25, free: 24 };
    assert!(!full.is_temporary());
    assert_eq!(client.refused(&Request::get_data("/0123456789012345678", true)), full);
    let auth = Request::add_auth("digest", b"u:pppp");
    assert!(matches!(client.refused(&auth), SubmitError::RegistryFull { .. }));
    let other = client.submit(&Request::get_data("/0123456789012345678", false));
    client.submit(&Request::get_data("/012345678901234567", true));
    assert!(matches!(
        client.refused(&Request::exists("/", true)),
        SubmitError::RegistryFull { .. }
    ));
    // A watch that is not armed gives its room back; so does one that fires.
    client.receive(&error(held, 5, ErrorCode::NoNode));
    client.receive(&reply_header(other.0, 5, 0));
    client.submit(&Request::get_data("/01234567", true));
}

#[test]
fn as_many_requests_as_there_are_slots_are_in_flight() {
    let mut client = limited(200, 1000, 1000, 3).connected();
    let request = Request::exists("/a", true);
    let xids: Vec<Xid> = (0..3).map(|_| client.submit(&request)).collect();
    assert_eq!(client.refused(&request), SubmitError::InFlightFull);
    assert!(SubmitError::InFlightFull.is_temporary() && !client.session.can_submit());
    client.receive(&reply(xids[0], 5, &Reply::Stat(Stat::default())));
    assert!(client.session.can_submit());
    assert_eq!(client.submit(&request), Xid(4));
}

#[test]
fn answered_credentials_hold_no_slots() {
    let mut client = limited(200, 1000, 1000, 2).connected();
    for n in 0..10 {
        let auth = format!("u:{n}");
        client.submit(&Request::add_auth("digest", auth.as_bytes()));
        client.receive(&reply_header(Xid::AUTH.0, 0, 0));
    }
    assert_eq!(client.seen().len(), 10);
}

#[test]
fn paths_are_checked_before_they_leave() {
    let mut client = Client::owned("h1").connected();
    for (path, kind, at) in [
        ("", PathErrorKind::Empty, 0),
        ("a", PathErrorKind::NotAbsolute, 0),
        ("/a/", PathErrorKind::TrailingSlash, 2),
        ("/a//b", PathErrorKind::EmptyName, 3),
        ("/a/../b", PathErrorKind::RelativeName, 3),
        ("/a\0", PathErrorKind::IllegalCharacter, 2),
    ] {
        for request in [
            Request::exists(path, true),
            Request::get_data(path, false),
            Request::delete(path, -1),
            Request::set_data(path, b"", -1),
            Request::get_children2(path, true),
            Request::sync(path),
            Request::create(path, b"", CreateMode::Ephemeral),
        ] {
            let SubmitError::Path(error) = client.refused(&request) else { panic!("{path:?}") };
            assert_eq!((error.kind, error.at), (kind, at), "{request:?}");
        }
    }
    for path in ["/a/", "/a/."] {
        client.submit(&Request::create(path, b"", CreateMode::PersistentSequential));
    }
    let null = Request::GetData { path: zk_session::wire::Ustring::NULL, watch: false };
    assert!(matches!(client.refused(&null), SubmitError::Path(_)));
    let surrogates = zk_session::wire::Ustring::from_bytes(&[b'/', 0xed, 0xa0, 0xbd]);
    let bad = Request::GetData { path: surrogates, watch: false };
    assert!(matches!(client.refused(&bad), SubmitError::Path(_)));
}

#[test]
fn what_the_session_says_itself_cannot_be_submitted() {
    let mut client = Client::owned("h1").connected();
    for request in [
        Request::Ping,
        Request::CloseSession,
        Request::Check { path: "/a".into(), version: 1 },
        Request::Sasl { token: None },
    ] {
        assert_eq!(client.refused(&request), SubmitError::Reserved, "{request:?}");
    }
    // The smallest request there can be is none of the reserved ones.
    let SubmitError::Reserved = client.refused(&Request::Ping) else { panic!() };
}

/// Every operation of a path, and that path in the frame it sends.
fn sent_path(client: &mut Client<'_>, request: &Request<'_>) -> String {
    client.submit(request);
    let sent = client.take_sent();
    let sent = sent.last().unwrap();
    assert_eq!(sent.op(), Some(request.op()));
    sent.request().path().unwrap().as_str().unwrap().to_owned()
}

#[test]
fn j8_the_chroot_goes_before_the_path_of_every_request() {
    for (connect, root) in [("h1", ""), ("h1/", ""), ("h1/a", "/a"), ("h1,h2/a/b", "/a/b")] {
        let mut client = Client::owned(connect).connected();
        assert_eq!(client.session.chroot(), root);
        for path in ["/", "/x", "/x/y", "/a", "/a/b"] {
            let expected = match (root, path) {
                ("", path) => path.to_owned(),
                (root, "/") => root.to_owned(),
                (root, path) => format!("{root}{path}"),
            };
            for request in [
                Request::create(path, b"d", CreateMode::Persistent),
                Request::Create2(Create {
                    path: path.into(),
                    data: None,
                    acl: List::NULL,
                    flags: CreateMode::EphemeralSequential.to_flags(),
                }),
                Request::delete(path, -1),
                Request::exists(path, true),
                Request::get_data(path, true),
                Request::set_data(path, b"d", -1),
                Request::get_children(path, false),
                Request::get_children2(path, true),
                Request::sync(path),
                Request::GetAcl { path: path.into() },
            ] {
                assert_eq!(sent_path(&mut client, &request), expected, "{request:?}");
            }
        }
    }
}

#[test]
fn j8_the_chroot_is_cut_off_every_path_that_comes_back() {
    for root in ["", "/a", "/app/one"] {
        let connect = format!("h1{root}");
        let config = ClientConfig::new(connect.as_str(), 1).timeout(ms(6000));
        let mut client = Client::with(config, Storage::owned(Limits::default())).connected();
        let mut rng = Rng::new(3);
        for _ in 0..200 {
            let names = rng.below(4);
            let path: String = (0..names)
                .map(|_| format!("/{}", rng.pick(&["a", "app", "one", "x", "é", "app-0000000001"])))
                .collect();
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let sync = client.submit(&Request::sync(&path));
            let sent = client.take_sent();
            let below = sent[0].request().path().unwrap();
            client.receive(&reply(sync, 5, &Reply::Path(below)));
            client.receive(&notification(EventType::NodeDeleted, below.as_str().unwrap()));
            let create = Request::Create2(Create {
                path: path.as_str().into(),
                data: None,
                acl: List::NULL,
                flags: 0,
            });
            let xid = client.submit(&create);
            client.receive(&reply(xid, 6, &Reply::Created(below, Stat::default())));
            client.take_sent();
            let seen = client.seen();
            let named = Reply::Path(path.as_str().into());
            assert_eq!(seen[0].reply(OpCode::Sync), named, "strip(prepend(p)) = p");
            assert_eq!(seen[1], Seen::Notification(EventType::NodeDeleted, path.clone()));
            let created = Reply::Created(path.as_str().into(), Stat::default());
            assert_eq!(seen[2].reply(OpCode::Create2), created);
        }
    }
}

#[test]
fn j8_events_outside_the_chroot_are_nobodys() {
    let mut client = Client::owned("h1/app").connected();
    for path in ["/", "/apple", "/other/app", "/ap", "", "app/x"] {
        client.receive(&notification(EventType::NodeDeleted, path));
    }
    assert_eq!(client.seen(), []);
    client.receive(&notification(EventType::NodeDeleted, "/app"));
    let root = Seen::Notification(EventType::NodeDeleted, "/".to_owned());
    assert_eq!(client.seen(), [root]);
}

#[test]
fn an_event_on_an_empty_path_is_not_one_on_the_root() {
    let mut client = Client::owned("h1").connected();
    let xid = client.submit(&Request::exists("/", true));
    client.receive(&reply(xid, 5, &Reply::Stat(Stat::default())));
    client.seen();
    client.receive(&notification(EventType::NodeDeleted, ""));
    assert_eq!(client.seen(), []);
    assert_eq!(client.session.watches(), 1);
}

#[test]
fn j8_a_multi_names_its_znodes_below_the_chroot() {
    let mut client = Client::owned("h1/app").connected();
    let items = [
        MultiOp::Delete { path: "/x".into(), version: -1 },
        MultiOp::Check { path: "/".into(), version: 0 },
    ];
    client.submit(&Request::Multi(zk_session::wire::Multi::from_slice(&items)));
    let sent = client.take_sent();
    let Request::Multi(sent) = sent[0].request() else { panic!() };
    let paths: Vec<_> = sent.iter().map(|item| item.path().as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, ["/app/x", "/app"]);
}

#[test]
fn names_of_children_and_data_are_left_alone() {
    let mut client = Client::owned("h1/app").connected();
    let list = client.submit(&Request::get_children("/x", false));
    let get = client.submit(&Request::get_data("/x", false));
    let names = ["app".into(), "b".into()];
    client.receive(&reply(list, 5, &Reply::Children(Children::from_slice(&names))));
    let data = Data { data: Some(b"/app/x"), stat: Stat::default() };
    client.receive(&reply(get, 6, &Reply::Data(data)));
    let seen = client.seen();
    let Reply::Children(found) = seen[0].reply(OpCode::GetChildren) else { panic!() };
    assert!(found.iter().eq(names));
    assert_eq!(seen[1].reply(OpCode::GetData), Reply::Data(data));
}

#[test]
fn answers_from_a_read_only_server_are_errors_and_no_loss() {
    let mut client = Client::of(config().allow_read_only());
    client.open();
    client.receive(&handshake_answer(9, 6000, &[1; 16], Some(true)));
    assert_eq!(client.session.session_id(), SessionId(9));
    client.seen();
    let xid = client.submit(&Request::delete("/a", -1));
    client.receive(&error(xid, 5, ErrorCode::NotReadOnly));
    let read_only = Err(OpError::Server(ErrorCode::NotReadOnly));
    assert_eq!(client.seen(), [Seen::Reply(xid, Zxid(5), read_only)]);
    assert_eq!(client.session.state(), KeeperState::ConnectedReadOnly);
}
