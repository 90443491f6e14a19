//! Watches removed: kept whole or gone whole, whatever happens on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{Client, Seen, Sent, error, ms, notification, reply, reply_header};
use zk_session::client::{ClientConfig, WatchKind};
use zk_session::storage::Fixed;
use zk_session::wire::{
    AddWatchMode, Children, Data, EventType, OpCode, Reply, Request, SetWatches, Stat, WatcherType,
    Xid, Zxid,
};
use zk_session::{ErrorCode, Machine, OpError, SubmitError};

/// Asks for a watch; the answer is to follow.
fn ask(client: &mut Client<'_>, kind: WatchKind, path: &str) -> Xid {
    client.submit(&match kind {
        WatchKind::Data => Request::get_data(path, true),
        WatchKind::Exist => Request::exists(path, true),
        WatchKind::Child => Request::get_children(path, true),
        WatchKind::Persistent => Request::add_watch(path, AddWatchMode::Persistent),
        WatchKind::Recursive => Request::add_watch(path, AddWatchMode::PersistentRecursive),
    })
}

/// The answer that arms it.
fn answer(kind: WatchKind, xid: Xid) -> Vec<u8> {
    let stat = Stat::default();
    match kind {
        WatchKind::Data => reply(xid, 5, &Reply::Data(Data { data: None, stat })),
        WatchKind::Exist => error(xid, 5, ErrorCode::NoNode),
        WatchKind::Child => reply(xid, 5, &Reply::Children(Children::from_slice(&[]))),
        WatchKind::Persistent | WatchKind::Recursive => reply(xid, 5, &Reply::AddWatch(0)),
    }
}

fn watch(client: &mut Client<'_>, kind: WatchKind, path: &str) {
    let xid = ask(client, kind, path);
    client.receive(&answer(kind, xid));
}

fn watch_all(client: &mut Client<'_>, path: &str) {
    for kind in WatchKind::ALL {
        watch(client, kind, path);
    }
    client.seen();
}

/// What is watched, as the next connection is told.
fn watched(client: &mut Client<'_>) -> Vec<(WatchKind, String)> {
    client.lose();
    client.take_sent();
    client.connect(7, 6000);
    let mut watched = Vec::new();
    for sent in client.take_sent() {
        let Sent::Request { op: OpCode::SetWatches | OpCode::SetWatches2, .. } = sent else {
            panic!("{sent:?}")
        };
        let (Request::SetWatches(w) | Request::SetWatches2(w)) = sent.request() else { panic!() };
        let SetWatches { data, exist, child, persistent, persistent_recursive, .. } = w;
        for (kind, list) in
            WatchKind::ALL.into_iter().zip([data, exist, child, persistent, persistent_recursive])
        {
            watched.extend(list.iter().map(|path| (kind, path.as_str().unwrap().to_owned())));
        }
        client.receive(&reply_header(Xid::SET_WATCHES.0, 9, 0));
    }
    client.seen();
    watched
}

const TYPES: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];

/// The kinds that a removal of this type leaves.
fn left(by: WatcherType) -> Vec<WatchKind> {
    WatchKind::ALL.into_iter().filter(|kind| !kind.is_removed_by(by)).collect()
}

#[test]
fn a_removal_takes_what_its_type_names_at_its_path_and_nothing_else() {
    for by in TYPES {
        for code in [None, Some(ErrorCode::NoWatcher)] {
            let mut client = Client::owned("h1/app").connected();
            watch_all(&mut client, "/a");
            watch_all(&mut client, "/ab");
            let xid = client.submit(&Request::remove_watches("/a", by));
            assert_eq!(client.take_sent().last().unwrap().request().path(), Some("/app/a".into()));
            assert_eq!(client.session.watches(), 10, "not before the answer");
            client.receive(&reply_header(xid.0, 6, code.map_or(0, ErrorCode::to_wire)));
            let told = code.map_or(Ok(vec![]), |code| Err(OpError::Server(code)));
            assert_eq!(client.seen(), [Seen::Reply(xid, Zxid(6), told)], "the reply is the notice");
            let left = left(by);
            assert_eq!(client.session.watches(), 5 + left.len());
            let here = |path: &str| path == "/app/a";
            let found: Vec<_> = watched(&mut client)
                .into_iter()
                .filter_map(|(kind, path)| here(&path).then_some(kind))
                .collect();
            assert_eq!(found, left, "{by:?}");
        }
    }
}

#[test]
fn a_removal_that_the_server_refuses_or_never_answers_leaves_every_watch_as_it_was() {
    for by in TYPES {
        for code in [Some(ErrorCode::MarshallingError), Some(ErrorCode::Unimplemented), None] {
            let mut client = Client::owned("h1").connected();
            watch_all(&mut client, "/a");
            let xid = client.submit(&Request::remove_watches("/a", by));
            let expected = match code {
                Some(code) => {
                    client.receive(&error(xid, 6, code));
                    Seen::Reply(xid, Zxid(6), Err(OpError::Server(code)))
                }
                None => {
                    client.lose();
                    Seen::failed(xid, OpError::ConnectionLoss)
                }
            };
            assert_eq!(client.seen()[0], expected);
            assert_eq!(client.session.watches(), 5);
            if code.is_none() {
                client.open();
                client.receive(&support::accepted(7, 6000));
            }
            let all: Vec<_> = watched(&mut client).into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(all, WatchKind::ALL);
        }
    }
}

#[test]
fn a_removal_of_an_unknown_type_removes_nothing() {
    let mut client = Client::owned("h1").connected();
    watch_all(&mut client, "/a");
    let xid = client.submit(&Request::RemoveWatches { path: "/a".into(), kind: 9 });
    client.receive(&reply_header(xid.0, 6, 0));
    assert_eq!(client.session.watches(), 5);
}

#[test]
fn an_event_between_the_removal_and_its_answer_is_told_and_counts() {
    let mut client = Client::owned("h1").connected();
    watch_all(&mut client, "/a");
    let xid = client.submit(&Request::remove_watches("/a", WatcherType::Data));
    client.receive(&notification(EventType::NodeDataChanged, "/a"));
    assert_eq!(client.session.watches(), 3, "data and exist are used up");
    // Even if the removal fails, what has fired is not armed again.
    client.receive(&error(xid, 6, ErrorCode::MarshallingError));
    assert_eq!(client.seen().len(), 2);
    assert_eq!(client.session.watches(), 3);
    let kinds: Vec<_> = watched(&mut client).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [WatchKind::Child, WatchKind::Persistent, WatchKind::Recursive]);
}

#[test]
fn a_watch_that_is_asked_for_before_or_behind_a_removal_is_where_the_wire_has_it() {
    for kind in WatchKind::ALL {
        let mut client = Client::owned("h1").connected();
        let first = ask(&mut client, kind, "/a");
        let removal = client.submit(&Request::remove_watches("/a", WatcherType::Any));
        client.receive(&answer(kind, first));
        assert_eq!(client.session.watches(), 1);
        let again = ask(&mut client, kind, "/a");
        client.receive(&reply_header(removal.0, 6, 0));
        assert_eq!(client.session.watches(), 0, "{kind:?}");
        client.receive(&answer(kind, again));
        assert_eq!(client.session.watches(), 1, "{kind:?}");
    }
}

#[test]
fn removals_of_one_path_overlap_without_losing_count() {
    let by = [WatcherType::Any, WatcherType::Children, WatcherType::Data, WatcherType::Any];
    // Each is answered with success, with a refusal, or not at all.
    for outcome in 0..81_usize {
        let mut client = Client::owned("h1").connected();
        watch_all(&mut client, "/a");
        let xids = by.map(|by| client.submit(&Request::remove_watches("/a", by)));
        let mut gone: Vec<WatcherType> = Vec::new();
        for (n, xid) in xids.into_iter().enumerate() {
            match outcome / 3_usize.pow(u32::try_from(n).unwrap()) % 3 {
                0 => {
                    client.receive(&reply_header(xid.0, 6, 0));
                    gone.push(by[n]);
                }
                1 => client.receive(&error(xid, 6, ErrorCode::SystemError)),
                _ => break,
            }
        }
        let left: Vec<WatchKind> = WatchKind::ALL
            .into_iter()
            .filter(|kind| !gone.iter().any(|by| kind.is_removed_by(*by)))
            .collect();
        assert_eq!(client.session.watches(), left.len(), "{outcome}");
        let kinds: Vec<_> = watched(&mut client).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, left, "{outcome}");
    }
}

#[test]
fn a_full_registry_takes_the_removal_of_what_it_holds() {
    let mut memory = Fixed::<200, 300, 40, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for path in ["/0123456789", "/abcdefghij"] {
        watch(&mut client, WatchKind::Persistent, path);
    }
    let full = client.refused(&Request::add_watch("/xyz", AddWatchMode::Persistent));
    assert_eq!(full, SubmitError::RegistryFull { needed: 9, free: 8 });
    let first = client.submit(&Request::remove_watches("/0123456789", WatcherType::Any));
    // Nothing is watched here: there is nothing to remember either.
    let nothing = client.submit(&Request::remove_watches("/not/watched/at/all", WatcherType::Any));
    let second = client.submit(&Request::remove_watches("/abcdefghij", WatcherType::Any));
    client.receive(&reply_header(first.0, 6, 0));
    client.receive(&error(nothing, 7, ErrorCode::NoWatcher));
    assert_eq!(client.session.watches(), 1);
    client.receive(&reply_header(second.0, 8, 0));
    assert_eq!(client.session.watches(), 0);
    watch(&mut client, WatchKind::Data, "/0123456789/0123456789/01234567");
    assert_eq!(client.session.watches(), 1, "all the room is free again");
}

#[test]
fn r7_sixty_thousand_paths_watched_for_ever_and_removed_need_no_more_memory_than_one() {
    let mut memory = Fixed::<200, 200, 64, 8>::new();
    let config = ClientConfig::new("h1", 1).timeout(ms(6000));
    let mut client = Client::with(config, memory.lend()).connected();
    for n in 0..60_000 {
        let path = format!("/some/where/{n}");
        let kind = WatchKind::ALL[n % 5];
        watch(&mut client, kind, &path);
        let by = TYPES.into_iter().filter(|by| kind.is_removed_by(*by)).nth(n % 2).unwrap();
        let xid = client.submit(&Request::remove_watches(&path, by));
        client.receive(&reply_header(xid.0, 6, 0));
        client.seen();
        client.take_sent();
    }
    assert_eq!(client.session.watches(), 0);
}

#[test]
fn a_refused_replay_forgets_what_was_armed_and_not_what_is_on_its_way() {
    let mut client = Client::owned("h1").connected();
    watch_all(&mut client, "/a");
    client.lose();
    client.connect(7, 6000);
    let early = ask(&mut client, WatchKind::Data, "/early");
    let removal = client.submit(&Request::remove_watches("/a", WatcherType::Any));
    client.receive(&error(Xid::SET_WATCHES, 9, ErrorCode::SystemError));
    assert_eq!(client.session.watches(), 0);
    let late = ask(&mut client, WatchKind::Child, "/late");
    client.receive(&answer(WatchKind::Data, early));
    client.receive(&error(removal, 9, ErrorCode::SystemError));
    client.receive(&answer(WatchKind::Child, late));
    let expected = [(WatchKind::Data, "/early".to_owned()), (WatchKind::Child, "/late".to_owned())];
    assert_eq!(watched(&mut client), expected);
}

#[test]
fn j3_r1_twenty_thousand_watches_of_all_five_kinds_come_back_through_a_small_buffer() {
    // Each armed watch looks at all the others.
    const WATCHES: usize = if cfg!(debug_assertions) { 4_000 } else { 20_000 };
    const TRANSMIT: usize = 4096;
    let mut limits = zk_session::storage::Limits::default();
    limits.transmit = TRANSMIT;
    limits.registry = WATCHES * 105;
    let config = ClientConfig::new("h1/app", 1).timeout(ms(6000));
    let storage = zk_session::storage::Storage::owned(limits);
    let mut client = Client::with(config, storage).connected();
    let mut wanted: [Vec<String>; 5] = Default::default();
    for n in 0..WATCHES {
        let path = format!("/{n:0>99}");
        watch(&mut client, WatchKind::ALL[n % 5], &path);
        wanted[n % 5].push(format!("/app{path}"));
    }
    assert_eq!(client.session.watches(), WATCHES);
    assert_eq!(
        client.refused(&Request::exists("/one-more", true)),
        SubmitError::RegistryFull { needed: 14, free: 0 }
    );
    for _ in 0..2 {
        client.lose();
        client.seen();
        client.take_sent();
        client.open();
        client.receive_unseen(&support::accepted(7, 6000));
        client.pull();
        let (mut found, mut frames): ([Vec<String>; 5], _) = (Default::default(), 0);
        let mut sent = Vec::new();
        while client.session.submit(&Request::sync("/")).is_err() {
            assert!(client.session.poll_transmit().len() <= TRANSMIT);
            sent.extend(client.take_sent_one());
        }
        sent.extend(client.take_sent());
        assert_eq!(sent.pop().unwrap().op(), Some(OpCode::Sync), "behind all of them");
        for sent in sent {
            let (Request::SetWatches(w) | Request::SetWatches2(w)) = sent.request() else {
                panic!("{sent:?}")
            };
            let SetWatches { data, exist, child, persistent, persistent_recursive, .. } = w;
            let lists = [data, exist, child, persistent, persistent_recursive];
            for (list, found) in lists.into_iter().zip(&mut found) {
                found.extend(list.iter().map(|path| path.as_str().unwrap().to_owned()));
            }
            frames += 1;
        }
        assert!(found == wanted, "all five lists, each path once");
        assert!(frames > WATCHES / 40, "{frames} frames");
        for _ in 0..frames {
            client.receive(&reply_header(Xid::SET_WATCHES.0, 9, 0));
        }
        assert_eq!(client.session.watches(), WATCHES);
    }
}
