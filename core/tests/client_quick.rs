//! The quick way and the general one: whatever is asked and answered, both say and send the same.
#![cfg(feature = "alloc")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::VecDeque;

use support::{Client, Rng, Seen, data, error, ms, notification, pong, reply, stat};
use zk_session::client::{
    ClientConfig, Delete, Event, Exists, GetChildren, GetData, Held, KeeperState, Operation,
    SetData,
};
use zk_session::storage::{Limits, Storage};
use zk_session::wire::{EventType, List, OpCode, Reply, Request, Ustring, Xid};
use zk_session::{ErrorCode, Machine};

const PATHS: [&str; 12] = [
    "/a",
    "/devices/1",
    "/devices/a-name.with_all:that+is usual",
    "/",
    "",
    "a",
    "/a/",
    "/a//b",
    "/a/../b",
    "/naïve/Größe",
    "/nul\0",
    "/zookeeper/config",
];
const NAMES: &[Ustring<'static>] = &[Ustring::from_bytes(b"a"), Ustring::from_bytes(b"b")];
const CODES: [ErrorCode; 4] =
    [ErrorCode::NoNode, ErrorCode::NoAuth, ErrorCode::SystemError, ErrorCode::SessionMoved];

/// Two sessions that hear the same. One is asked with requests and pulls events; the other is asked
/// with operations and looks at answers where they lie, which never goes the quick way.
struct Both {
    quick: Client<'static>,
    general: Client<'static>,
    rng: Rng,
    waiting: VecDeque<(Xid, OpCode)>,
    zxid: i64,
    accepted: usize,
    answered: usize,
}

impl Both {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        // Small enough that all of it runs full.
        let mut limits = Limits::default();
        limits.recv = 256 + rng.below(1024);
        limits.transmit = 128 + rng.below(512);
        limits.registry = 64 + rng.below(512);
        limits.requests = 1 + rng.below(8);
        let connect_string = *rng.pick(&["h1", "h1/app", "h1/a/longer/chroot"]);
        let client = || {
            let config = ClientConfig::new(connect_string, 7).timeout(ms(6000));
            Client::with(config, Storage::owned(limits)).connected()
        };
        let (quick, general) = (client(), client());
        Self { quick, general, rng, waiting: VecDeque::new(), zxid: 1, accepted: 0, answered: 0 }
    }

    fn ask(&mut self) {
        let path = match self.rng.below(20) {
            0 => format!("/{}", "x".repeat(self.rng.below(700))),
            _ => (*self.rng.pick(&PATHS)).to_owned(),
        };
        let longest = if self.rng.one_in(8) { 700 } else { 40 };
        let len = self.rng.below(longest);
        let (path, watch, bytes) = (path.as_str(), self.rng.one_in(2), self.rng.bytes(len));
        let version = i32::try_from(self.rng.below(9)).unwrap() - 1;
        let (request, operation): (Request<'_>, Box<dyn Operation + '_>) = match self.rng.below(6) {
            0 | 1 => (Request::get_data(path, watch), Box::new(GetData { path, watch })),
            2 => (Request::exists(path, watch), Box::new(Exists { path, watch })),
            3 => (Request::get_children(path, watch), Box::new(GetChildren { path, watch })),
            4 => (
                Request::set_data(path, &bytes, version),
                Box::new(SetData { path, data: &bytes, version }),
            ),
            _ => (Request::delete(path, version), Box::new(Delete { path, version })),
        };
        let deadline = self.quick.now.after(ms(1 + self.rng.next() % 20_000));
        let (one, other) = if self.rng.one_in(4) {
            (
                self.quick.session.submit_before(&request, deadline),
                self.general.session.submit_operation_before(&*operation, deadline),
            )
        } else {
            (
                self.quick.session.submit(&request),
                self.general.session.submit_operation(&*operation),
            )
        };
        assert_eq!(one, other, "{request:?}");
        if let Ok(xid) = one {
            self.accepted += 1;
            self.waiting.push_back((xid, request.op()));
        }
    }

    fn answer(&mut self) {
        self.zxid += 1;
        let mut bytes = Vec::new();
        for _ in 0..=self.rng.below(3) {
            bytes.extend(match self.rng.below(12) {
                0 => pong(self.zxid),
                1 => {
                    let path = *self.rng.pick(&["/a", "/app/a", "/a/longer/chroot/devices/1"]);
                    notification(EventType::NodeDataChanged, path)
                }
                2 if self.rng.one_in(6) => reply(Xid(77_777), self.zxid, &Reply::Empty),
                _ => self.next_answer(),
            });
        }
        if self.rng.one_in(40) {
            let at = self.rng.below(bytes.len().max(1));
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 0x40);
        }
        // What does not arrive now arrives with the next.
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let piece = 1 + self.rng.below(rest.len());
            let now = self.quick.now;
            let taken = self.quick.session.handle_bytes(now, &rest[..piece]);
            assert_eq!(self.general.session.handle_bytes(now, &rest[..piece]), taken);
            if taken == 0 || self.rng.one_in(2) {
                self.pull();
            }
            if taken == 0 && self.quick.session.state() != KeeperState::SyncConnected {
                return;
            }
            rest = &rest[taken..];
        }
    }

    fn next_answer(&mut self) -> Vec<u8> {
        let Some((xid, op)) = self.waiting.pop_front() else { return pong(self.zxid) };
        self.answered += 1;
        if self.rng.one_in(5) {
            return error(xid, self.zxid, *self.rng.pick(&CODES));
        }
        let body = match op {
            OpCode::GetData => data(),
            OpCode::GetChildren => Reply::Children(List::from_slice(NAMES)),
            OpCode::Exists | OpCode::SetData => stat(),
            _ => Reply::Empty,
        };
        reply(xid, self.zxid, &body)
    }

    /// Pulls all events of both.
    fn pull(&mut self) {
        loop {
            let one = self.quick.session.poll_event().map(|event| Seen::of(&event));
            let zxid = match one {
                Some(Seen::Reply(_, zxid, _)) => zxid,
                _ => self.general.session.last_zxid(),
            };
            let other = match self.general.session.poll_held() {
                None => None,
                Some(Held::Event(event)) => Some(Seen::of(&event)),
                Some(Held::Reply(held)) => {
                    let result = self.general.session.reply(&held);
                    Some(Seen::of(&Event::Reply { xid: held.xid(), zxid, result }))
                }
            };
            assert_eq!(one, other);
            if one.is_none() {
                return;
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(16) {
            0..=6 => self.ask(),
            7..=10 => self.answer(),
            11 => {
                let xid = self.waiting.front().map_or(Xid(1), |(xid, _)| *xid);
                assert_eq!(self.quick.session.cancel(xid), self.general.session.cancel(xid));
            }
            12 => {
                let now = self.quick.now.after(ms(self.rng.next() % 1500));
                for client in [&mut self.quick, &mut self.general] {
                    client.now = now;
                    client.session.handle_timeout(now);
                }
            }
            _ => {
                let pending = self.quick.session.poll_transmit().len();
                let (now, n) = (self.quick.now, self.rng.below(pending + 1));
                for client in [&mut self.quick, &mut self.general] {
                    client.session.handle_transmitted(now, n);
                }
            }
        }
        if self.rng.one_in(2) {
            self.pull();
        }
        let (one, other) = (&self.quick.session, &self.general.session);
        assert_eq!(one.poll_transmit(), other.poll_transmit());
        assert_eq!(one.poll_timeout(), other.poll_timeout());
        assert_eq!(one.poll_link(), other.poll_link());
        assert_eq!(one.watches(), other.watches());
        assert_eq!(one.last_zxid(), other.last_zxid());
        assert_eq!(one.safe_until(), other.safe_until());
        assert_eq!(one.can_submit(), other.can_submit());
        assert_eq!(one.odd_events(), other.odd_events());
    }
}

#[test]
fn whatever_is_asked_and_answered_the_quick_way_and_the_general_one_agree() {
    let (mut accepted, mut answered) = (0, 0);
    for seed in 0..2000 {
        let mut both = Both::new(seed);
        for _ in 0..120 {
            both.step();
            if both.quick.session.state() != KeeperState::SyncConnected {
                break;
            }
        }
        both.pull();
        accepted += both.accepted;
        answered += both.answered;
    }
    assert!(accepted > 10_000 && answered > 10_000, "{accepted} accepted, {answered} answered");
}
