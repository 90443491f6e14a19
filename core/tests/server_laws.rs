//! The laws of style.md for what works without a heap: the connection and the tracker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(feature = "server")]

use proptest::prelude::*;
use zk_session::server::{
    CloseReason, ServerConnection, ServerEvent, ServerId, ServerLink, SessionSlot, SessionTracker,
    TrackerConfig,
};
use zk_session::time::{Duration, Instant};
use zk_session::wire::{EventType, Passwd, Reply, SessionId, Writer, Xid, Zxid};
use zk_session::{ErrorCode, Machine};

/// Law 5 on the server's side: what was answered is what was asked, in its order.
fn answers(sent: &[u8], seen: &[String]) -> bool {
    let (mut rest, mut frames) = (sent, Vec::new());
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let (body, behind) = more.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        frames.push(body);
        rest = behind;
    }
    let Some((handshake, replies)) = frames.split_first() else { return seen.is_empty() };
    let asked = seen.iter().filter_map(|event| {
        let xid = event.split("xid: Xid(").nth(1)?.split(')').next()?;
        Some(if event.starts_with("Ping") { Xid::PING } else { Xid(xid.parse().unwrap()) })
    });
    let replied = replies.iter().map(|body| Xid(i32::from_be_bytes(*body.first_chunk().unwrap())));
    handshake.len() >= 36 && asked.eq(replied)
}

/// Plays an owner that answers everything it can; says what it saw and what it sent.
fn play(bytes: &[u8], steps: &[usize], size: usize) -> (Vec<String>, Vec<u8>, Option<CloseReason>) {
    let (mut recv, mut transmit) = (vec![0; size], vec![0; size]);
    let mut connection = ServerConnection::lent(&mut recv, &mut transmit);
    let (mut seen, mut sent, mut rest) = (Vec::new(), Vec::new(), bytes);
    let mut steps = steps.iter().copied().cycle();
    loop {
        let (mut again, mut moved) = (true, false);
        while again {
            enum Todo {
                Accept,
                Text,
                Reply(Xid, Zxid, Result<Reply<'static>, ErrorCode>),
                Shut(Xid),
            }
            let todo = connection.poll_event().map(|event| {
                seen.push(format!("{event:?}"));
                match event {
                    ServerEvent::Connect(_) => Todo::Accept,
                    ServerEvent::FourLetterWord(_) => Todo::Text,
                    ServerEvent::Ping { .. } => Todo::Reply(Xid::PING, Zxid(1), Ok(Reply::Empty)),
                    ServerEvent::Request { xid, .. } => Todo::Reply(xid, Zxid(2), Ok(Reply::Empty)),
                    ServerEvent::Undecodable { xid, .. } => {
                        Todo::Reply(xid, Zxid(2), Err(ErrorCode::MarshallingError))
                    }
                    ServerEvent::UnknownOp { xid, .. } | ServerEvent::Close { xid } => {
                        Todo::Shut(xid)
                    }
                    other => panic!("{other:?}"),
                }
            });
            again = todo.is_some();
            let done = match todo {
                None => Ok(()),
                Some(Todo::Accept) => {
                    connection.accept(SessionId(9), &Passwd([1; 16]), Duration::from_secs(5))
                }
                Some(Todo::Text) => connection.text(b"imok"),
                Some(Todo::Reply(xid, zxid, result)) => {
                    connection.reply(xid, zxid, result.as_ref().map_err(|code| *code))
                }
                Some(Todo::Shut(xid)) => {
                    let done = connection.reply(xid, Zxid(-1), Err(ErrorCode::Unimplemented));
                    connection.shut(CloseReason::UnknownOp);
                    done
                }
            };
            done.unwrap();
            let pending = connection.poll_transmit().to_vec();
            assert_eq!(pending, connection.poll_io().transmit, "views agree");
            assert!(pending.len() <= size, "lent memory is all there is");
            assert_eq!(connection.poll_timeout(), None, "a connection awaits no time");
            let n = connection.poll_transmit().len();
            sent.extend_from_slice(connection.poll_transmit());
            connection.handle_transmitted(Instant::ORIGIN, n);
            moved |= n > 0;
        }
        assert_eq!(connection.poll_event(), None);
        let link = connection.poll_link();
        assert_eq!(link, connection.poll_link());
        if link != ServerLink::Up {
            assert_eq!(link, ServerLink::Down, "nothing is pending");
            return (seen, sent, connection.poll_reason());
        }
        assert!(!connection.poll_io().recv.is_empty(), "events drained, so there is room");
        if rest.is_empty() && !moved {
            return (seen, sent, connection.poll_reason());
        }
        let n = steps.next().unwrap_or(1).clamp(1, rest.len().max(1)).min(rest.len());
        let taken = connection.handle_bytes(Instant::ORIGIN, &rest[..n]);
        rest = &rest[taken..];
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn handshake() -> Vec<u8> {
    let mut memory = [0; 64];
    let mut w = Writer::new(&mut memory);
    w.int(0);
    w.long(0);
    w.int(5000);
    w.long(0);
    w.buffer(Some(&[0; 16]));
    frame(w.finish().unwrap())
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let op = proptest::sample::select((-12..25).chain(98..110).collect::<Vec<i32>>());
    let request = (op, proptest::collection::vec(any::<u8>(), 0..30))
        .prop_map(|(op, body)| frame(&[&[0, 0, 0, 3], &op.to_be_bytes()[..], &body[..]].concat()));
    let raw = proptest::collection::vec(any::<u8>(), 0..10);
    let part = prop_oneof![9 => request, 1 => raw];
    (any::<u8>(), proptest::collection::vec(part, 0..12)).prop_map(|(fresh, parts)| {
        let first = if fresh < 16 { Vec::new() } else { handshake() };
        [first, parts.concat()].concat()
    })
}

proptest! {
    #[test]
    fn however_bytes_are_split_they_mean_the_same(
        bytes in requests(),
        steps in proptest::collection::vec(1_usize..20, 1..6),
    ) {
        let whole = play(&bytes, &[usize::MAX], 4096);
        // Of four letters nothing is framed.
        if !whole.0.iter().any(|event| event.starts_with("FourLetterWord")) {
            prop_assert!(answers(&whole.1, &whole.0), "{:?}", whole);
        }
        prop_assert_eq!(play(&bytes, &[1], 4096), whole.clone());
        prop_assert_eq!(play(&bytes, &steps, 4096), whole.clone());
        // A smaller buffer does the same as long as each frame fits it.
        prop_assert_eq!(play(&bytes, &steps, 128), whole);
    }

    #[test]
    fn lent_and_owned_trackers_agree(
        script in proptest::collection::vec((0_u8..5, any::<u8>(), 0_u64..3000), 1..80),
    ) {
        let mut memory = [SessionSlot::EMPTY; 6];
        let mut lent = SessionTracker::lent(TrackerConfig::default(), &mut memory);
        let mut owned = SessionTracker::owned(TrackerConfig::default(), 6);
        let (mut known, mut at) = (Vec::new(), 0);
        for (what, which, millis) in script {
            at += millis;
            let now = Instant::from_millis(at);
            let timeout = Duration::from_millis(4000 + u64::from(which) * 10);
            let pick = known.get(usize::from(which) % known.len().max(1)).copied();
            match (what, pick) {
                (0 | 1, _) => {
                    let (one, two) =
                        (lent.create(now, ServerId(which), 5000), owned.create(now, ServerId(which), 5000));
                    prop_assert_eq!(one.map(|g| (g.session.id(), g.passwd, g.timeout)), two.map(|g| (g.session.id(), g.passwd, g.timeout)));
                    known.extend(one.ok().zip(two.ok()));
                }
                (2, Some((one, two))) => {
                    let touched = lent.touch(now, one.session, timeout);
                    prop_assert_eq!(touched, owned.touch(now, two.session, timeout));
                }
                (3, Some((one, _))) => {
                    let id = one.session.id();
                    let server = ServerId(which % 3);
                    let passwd = if which % 7 == 0 { [0; 16] } else { one.passwd.0 };
                    let again = lent.attach(now, server, id, Some(&passwd), 6000).map(|g| g.timeout);
                    prop_assert_eq!(again, owned.attach(now, server, id, Some(&passwd), 6000).map(|g| g.timeout));
                    prop_assert_eq!(lent.ownership(one.session, server), match owned.find(id) {
                        Some(session) => owned.ownership(session, server),
                        None => zk_session::server::Ownership::Unknown,
                    });
                }
                (_, Some((one, _))) => {
                    prop_assert_eq!(lent.close(one.session.id()), owned.close(one.session.id()));
                }
                _ => {}
            }
            prop_assert_eq!(lent.poll_timeout(), owned.poll_timeout());
            loop {
                let expired = lent.poll_expired(now);
                prop_assert_eq!(expired, owned.poll_expired(now));
                let Some(id) = expired else { break };
                prop_assert!(lent.find(id).is_none() && lent.close(id) && owned.close(id));
            }
            prop_assert!(lent.poll_timeout().is_none_or(|next| next > now));
            let (mut one, mut two): (Vec<_>, Vec<_>) = (lent.sessions().collect(), owned.sessions().collect());
            one.sort();
            two.sort();
            prop_assert_eq!(one, two);
        }
    }
}

#[test]
fn a_frame_that_does_not_fit_changes_nothing() {
    let (mut recv, mut transmit) = ([0; 128], [0; 64]);
    let mut connection = ServerConnection::lent(&mut recv, &mut transmit);
    connection.handle_bytes(Instant::ORIGIN, &handshake());
    assert!(matches!(connection.poll_event(), Some(ServerEvent::Connect(_))));
    connection.accept(SessionId(9), &Passwd([1; 16]), Duration::from_secs(5)).unwrap();
    let pending = connection.poll_transmit().to_vec();
    let full = connection.notify(Zxid(-1), EventType::NodeCreated, "/a/rather/long/path");
    let full = full.unwrap_err();
    assert!(full.needed > full.free);
    assert_eq!(connection.poll_transmit(), pending);
    connection.handle_transmitted(Instant::ORIGIN, pending.len());
    connection.notify(Zxid(-1), EventType::NodeCreated, "/a").unwrap();
}
