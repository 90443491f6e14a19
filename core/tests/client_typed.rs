//! Operations with types of their own, and replies that are decoded when they are looked at: the
//! same on the wire and for the session as any other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{Client, accepted, error, frame, ms, notification, reply};
use zk_session::client::{
    AddAuth, AddWatch, CreateOpen, Delete, Event, Exists, GetChildren, GetData, KeeperState,
    Operation, RawReply, RemoveWatches, SetData,
};
use zk_session::path::PathErrorKind;
use zk_session::wire::{
    AddWatchMode, Create, CreateMode, Data, EventType, List, Multi, MultiOp, MultiResult, OpCode,
    Reply, ReplyHeader, Request, Stat, Ustring, WatcherType, WireError, Xid, Zxid,
};
use zk_session::{ErrorCode, Machine, OpError, SubmitError};

const PATH: &str = "/devices/1";
const DATA: &[u8] = b"on";

/// Each typed operation, the request that it stands for, and an answer to both.
fn pairs() -> Vec<(Box<dyn Operation>, Request<'static>, Reply<'static>)> {
    let open = Create::open(PATH, DATA, CreateMode::Ephemeral);
    let (stat, data) = (Stat { version: 3, ..Stat::default() }, Some(DATA));
    let (path, sequential) = (PATH, CreateMode::PersistentSequential);
    const NAMES: &[Ustring<'static>] = &[Ustring::from_bytes(b"a"), Ustring::from_bytes(b"b")];
    let created = Reply::Path(PATH.into());
    let mut pairs: Vec<(Box<dyn Operation>, Request<'static>, Reply<'static>)> = vec![
        (
            Box::new(SetData { path, data: DATA, version: 7 }),
            Request::set_data(PATH, DATA, 7),
            Reply::Stat(stat),
        ),
        (
            Box::new(CreateOpen { path, data: DATA, mode: CreateMode::Ephemeral }),
            Request::create(PATH, DATA, CreateMode::Ephemeral),
            created,
        ),
        (
            Box::new(CreateOpen { path: "/queue/", data: DATA, mode: sequential }),
            Request::create("/queue/", DATA, sequential),
            Reply::Path("/queue/0000000001".into()),
        ),
        (Box::new(open), Request::Create(open), created),
        (Box::new(Delete { path, version: -1 }), Request::delete(PATH, -1), Reply::Empty),
    ];
    for mode in [AddWatchMode::Persistent, AddWatchMode::PersistentRecursive] {
        pairs.push((
            Box::new(AddWatch { path, mode }),
            Request::add_watch(PATH, mode),
            Reply::AddWatch(0),
        ));
    }
    const ITEMS: &[MultiOp<'static>] = &[
        MultiOp::Check { path: Ustring::from_bytes(b"/a"), version: 1 },
        MultiOp::Delete { path: Ustring::from_bytes(b"/a"), version: 1 },
    ];
    pairs.push((
        Box::new(Multi::from_slice(ITEMS)),
        Request::multi(ITEMS),
        Reply::Multi(Multi::from_slice(&[MultiResult::Check, MultiResult::Delete])),
    ));
    for watch in [false, true] {
        pairs.push((
            Box::new(GetData { path, watch }),
            Request::get_data(PATH, watch),
            Reply::Data(Data { data, stat }),
        ));
        pairs.push((
            Box::new(Exists { path, watch }),
            Request::exists(PATH, watch),
            Reply::Stat(stat),
        ));
        pairs.push((
            Box::new(GetChildren { path, watch }),
            Request::get_children(PATH, watch),
            Reply::Children(List::from_slice(NAMES)),
        ));
    }
    pairs
}

/// Pulls one event undecoded and shows it to `look`.
fn raw<T>(client: &mut Client<'_>, look: impl FnOnce(Event<'_, RawReply<'_>>) -> T) -> T {
    look(client.session.poll_raw().expect("an event"))
}

#[test]
fn a_typed_operation_leaves_and_is_remembered_as_its_request_would_be() {
    for connect_string in ["h1", "h1/app"] {
        for (operation, request, answer) in pairs() {
            let mut typed = Client::owned(connect_string).connected();
            let mut other = Client::owned(connect_string).connected();
            let xid = typed.session.submit_operation(&*operation).unwrap();
            assert_eq!(other.session.submit(&request), Ok(xid));
            assert_eq!(typed.session.poll_transmit(), other.session.poll_transmit(), "{request:?}");
            let (bytes, now) = (reply(xid, 5, &answer), typed.now);
            for client in [&mut typed, &mut other] {
                client.transmit();
                client.session.handle_bytes(now, &bytes);
            }
            let chroot = typed.session.chroot().to_owned();
            let decoded = raw(&mut typed, |event| match event {
                Event::Reply { xid, zxid, result: Ok(reply) } => {
                    assert_eq!(reply.op(), request.op());
                    let kept = (reply.op(), reply.body().to_vec());
                    assert_eq!(RawReply::new(kept.0, &kept.1, &chroot), reply);
                    format!("{xid} {zxid} {:?}", reply.decode().unwrap())
                }
                event => panic!("{event:?}"),
            });
            match other.session.poll_event() {
                Some(Event::Reply { xid, zxid, result: Ok(reply) }) => {
                    assert_eq!(decoded, format!("{xid} {zxid} {reply:?}"));
                }
                event => panic!("{event:?}"),
            }
            assert_eq!(typed.session.watches(), other.session.watches(), "{request:?}");
            assert_eq!(typed.session.poll_timeout(), other.session.poll_timeout());
        }
    }
}

/// What both sessions send when they are connected again.
fn replayed(client: &mut Client<'_>) -> Vec<u8> {
    client.pull();
    client.dial_after_loss();
    client.up();
    client.transmit();
    client.session.handle_bytes(client.now, &accepted(7, 6000));
    client.pull();
    client.session.poll_transmit().to_vec()
}

#[test]
fn typed_credentials_and_removals_are_remembered_as_their_requests_would_be() {
    let mut typed = Client::owned("h1").connected();
    let mut other = Client::owned("h1").connected();
    let steps: [(&dyn Operation, Request<'_>, Reply<'_>); 4] = [
        (
            &AddAuth { scheme: "digest", auth: b"u:p" },
            Request::add_auth("digest", b"u:p"),
            Reply::Empty,
        ),
        (
            &GetData { path: PATH, watch: true },
            Request::get_data(PATH, true),
            Reply::Data(Data { data: None, stat: Stat::default() }),
        ),
        (
            &Exists { path: PATH, watch: true },
            Request::exists(PATH, true),
            Reply::Stat(Stat::default()),
        ),
        (
            &RemoveWatches { path: PATH, kind: WatcherType::Data },
            Request::remove_watches(PATH, WatcherType::Data),
            Reply::Empty,
        ),
    ];
    for (operation, request, answer) in steps {
        let xid = typed.session.submit_operation(operation).unwrap();
        assert_eq!(other.session.submit(&request), Ok(xid));
        assert_eq!(typed.session.poll_transmit(), other.session.poll_transmit(), "{request:?}");
        let on_wire = if request.op() == OpCode::Auth { Xid::AUTH } else { xid };
        for client in [&mut typed, &mut other] {
            client.transmit();
            client.session.handle_bytes(client.now, &reply(on_wire, 5, &answer));
            client.pull();
        }
        assert_eq!(typed.session.watches(), other.session.watches(), "{request:?}");
        let (one, two) = (replayed(&mut typed), replayed(&mut other));
        assert!(!one.is_empty());
        assert_eq!(one, two, "{request:?}");
        for client in [&mut typed, &mut other] {
            client.transmit();
            let set_watches = reply(Xid::SET_WATCHES, 5, &Reply::Empty);
            client.session.handle_bytes(client.now, &reply(Xid::AUTH, 0, &Reply::Empty));
            if client.session.watches() > 0 {
                client.session.handle_bytes(client.now, &set_watches);
            }
            client.pull();
        }
    }
}

#[test]
fn a_raw_reply_is_decoded_as_what_it_is_and_as_nothing_else() {
    for (operation, _, answer) in pairs() {
        let mut client = Client::owned("h1").connected();
        let xid = client.session.submit_operation(&*operation).unwrap();
        client.transmit();
        client.session.handle_bytes(client.now, &reply(xid, 5, &answer));
        raw(&mut client, |event| {
            let Event::Reply { result: Ok(reply), .. } = event else { panic!("{event:?}") };
            let other = WireError::BadOpCode { op: reply.op().to_wire() };
            let path = reply.path().map(Reply::Path);
            let stat = reply.stat().map(Reply::Stat);
            let data = reply.data().map(Reply::Data);
            let children = reply.children().map(Reply::Children);
            let multi = reply.multi().map(Reply::Multi);
            let decoded = [path, stat, data, children, multi];
            let expected = usize::from(!matches!(answer, Reply::Empty | Reply::AddWatch(_)));
            assert_eq!(decoded.iter().filter(|it| **it == Ok(answer)).count(), expected);
            assert_eq!(decoded.iter().filter(|it| **it == Err(other)).count(), 5 - expected);
        });
    }
}

#[test]
fn a_raw_reply_that_is_cut_off_says_so_when_it_is_decoded() {
    let mut client = Client::owned("h1").connected();
    let operation = Exists { path: PATH, watch: false };
    let xid = client.session.submit_operation(&operation).unwrap();
    client.transmit();
    let cut_off = frame(|w| {
        ReplyHeader { xid, zxid: Zxid(5), err: 0 }.write(w);
        w.int(1);
    });
    client.session.handle_bytes(client.now, &cut_off);
    raw(&mut client, |event| {
        let Event::Reply { result: Ok(reply), .. } = event else { panic!("{event:?}") };
        assert_eq!((reply.op(), reply.body()), (OpCode::Exists, &[0, 0, 0, 1][..]));
        assert_eq!(reply.stat(), Err(WireError::Truncated { at: 0 }));
        assert!(reply.decode().is_err());
    });
}

#[test]
fn paths_of_raw_replies_are_named_below_the_chroot() {
    let mut client = Client::owned("h1/app").connected();
    let operation = CreateOpen { path: "/new", data: DATA, mode: CreateMode::Ephemeral };
    let xid = client.session.submit_operation(&operation).unwrap();
    client.transmit();
    client.session.handle_bytes(client.now, &reply(xid, 5, &Reply::Path("/app/new".into())));
    raw(&mut client, |event| {
        let Event::Reply { result: Ok(reply), .. } = event else { panic!("{event:?}") };
        assert_eq!(reply.path(), Ok("/new".into()));
    });
}

#[test]
fn bad_paths_and_late_answers_are_told_as_for_any_request() {
    let mut client = Client::owned("h1").connected();
    let refused = |kind, at| SubmitError::Path(zk_session::path::PathError { kind, at });
    for (operation, error) in [
        (&GetData { path: "a", watch: true } as &dyn Operation, (PathErrorKind::NotAbsolute, 0)),
        (&SetData { path: "/a/", data: DATA, version: 0 }, (PathErrorKind::TrailingSlash, 2)),
        (
            &CreateOpen { path: "/a/", data: DATA, mode: CreateMode::Ephemeral },
            (PathErrorKind::TrailingSlash, 2),
        ),
        (&Request::delete("//a", 1), (PathErrorKind::EmptyName, 1)),
    ] {
        let before = client.session.poll_transmit().len();
        let refused = refused(error.0, error.1);
        assert_eq!(client.session.submit_operation(operation), Err(refused));
        assert_eq!(client.session.poll_transmit().len(), before);
    }
    let at = client.now.after(ms(100));
    let operation = GetData { path: PATH, watch: false };
    let xid = client.session.submit_operation_before(&operation, at).unwrap();
    client.session.handle_timeout(at);
    raw(&mut client, |event| match event {
        Event::Reply { xid: late, result, .. } => {
            assert_eq!((late, result), (xid, Err(OpError::Timeout)));
        }
        event => panic!("{event:?}"),
    });
}

#[test]
fn raw_events_tell_all_the_others_too() {
    let mut client = Client::owned("h1").connected();
    let xid = client.session.submit_operation(&GetData { path: PATH, watch: true }).unwrap();
    assert_eq!(xid, Xid(1));
    client.transmit();
    client.session.handle_bytes(client.now, &error(xid, 5, ErrorCode::NoNode));
    raw(&mut client, |event| match event {
        Event::Reply { result, .. } => {
            assert_eq!(result, Err(OpError::Server(ErrorCode::NoNode)));
        }
        event => panic!("{event:?}"),
    });
    client.session.handle_bytes(client.now, &notification(EventType::NodeCreated, PATH));
    raw(&mut client, |event| {
        let told = Event::Notification { kind: EventType::NodeCreated, path: PATH };
        assert_eq!(event, told);
    });
    client.session.handle_disconnected(client.now);
    raw(&mut client, |event| {
        assert!(matches!(event, Event::State { state: KeeperState::Disconnected, .. }));
    });
    assert!(client.session.poll_raw().is_none());
}
