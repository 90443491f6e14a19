//! Quotas as far as a client cannot see them alike everywhere: what is not enforced, what expiry
//! takes along, texts that are none. What it can see is checked in adapters/std, there also on a
//! real ZooKeeper.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{Session, World};
use zk_session::ErrorCode;
use zk_session::server::{EngineConfig, ServerId};
use zk_session::wire::{Create, CreateMode, MultiOp, Reader, Request};

const LIMITS: &str = "/zookeeper/quota/q/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

fn world(enforced: bool) -> (World, ServerId, Session) {
    let mut config = EngineConfig::default();
    config.enforce_quota = enforced;
    let mut world = World::new(config);
    let server = world.engine.add_server();
    let session = world.session(server, 10_000);
    (world, server, session)
}

fn create(world: &mut World, session: &Session, path: &str, data: &str) -> Result<(), ErrorCode> {
    let request = Request::create(path, data.as_bytes(), CreateMode::Persistent);
    world.call(session, &request).map(drop)
}

/// `/q` with one child, and its quota.
fn limited(world: &mut World, session: &Session, limits: &str) {
    for path in ["/q", "/q/a", "/zookeeper/quota/q"] {
        create(world, session, path, "").unwrap();
    }
    create(world, session, LIMITS, limits).unwrap();
    create(world, session, STATS, "").unwrap();
}

fn data(world: &mut World, session: &Session, path: &str) -> String {
    let body = world.call(session, &Request::get_data(path, false)).unwrap();
    String::from_utf8(Reader::new(&body).buffer().unwrap().unwrap().to_vec()).unwrap()
}

#[test]
fn a_quota_that_is_not_enforced_counts_and_lets_all_pass() {
    let (mut world, _, session) = world(false);
    limited(&mut world, &session, "count=1,bytes=1;countHardLimit=1;byteHardLimit=1");
    create(&mut world, &session, "/q/b", "12345").unwrap();
    assert_eq!(data(&mut world, &session, STATS), "count=3,bytes=5");
}

#[test]
fn soft_limits_refuse_nothing() {
    let (mut world, _, session) = world(true);
    limited(&mut world, &session, "count=1,bytes=1");
    create(&mut world, &session, "/q/b", "12345").unwrap();
    assert_eq!(data(&mut world, &session, STATS), "count=3,bytes=5");
}

#[test]
fn a_hard_limit_of_nothing_refuses_all_that_adds_and_nothing_that_takes_away() {
    let (mut world, _, session) = world(true);
    limited(&mut world, &session, "countHardLimit=0;byteHardLimit=0");
    assert_eq!(create(&mut world, &session, "/q/b", ""), Err(ErrorCode::QuotaExceeded));
    let set = Request::set_data("/q/a", b"1", -1);
    assert_eq!(world.call(&session, &set), Err(ErrorCode::QuotaExceeded));
    world.call(&session, &Request::set_data("/q/a", b"", -1)).unwrap();
    world.call(&session, &Request::delete("/q/a", -1)).unwrap();
    assert_eq!(data(&mut world, &session, STATS), "count=1,bytes=0");
}

#[test]
fn what_expires_is_counted_down() {
    let (mut world, server, session) = world(true);
    limited(&mut world, &session, "countHardLimit=10");
    let owner = world.session(server, 4000);
    for i in 0..8 {
        let path = format!("/q/e{i}");
        world.call(&owner, &Request::create(&path, b"12", CreateMode::Ephemeral)).unwrap();
    }
    assert_eq!(data(&mut world, &session, STATS), "count=10,bytes=16");
    world.pass(4000);
    data(&mut world, &session, STATS); // keeps the other session alive
    world.pass(2000);
    assert_eq!(data(&mut world, &session, STATS), "count=2,bytes=0");
}

#[test]
fn a_multi_that_fails_takes_its_quotas_back() {
    let (mut world, _, session) = world(true);
    limited(&mut world, &session, "countHardLimit=2");
    let open = |path: &'static str, data: &'static str| {
        MultiOp::Create(Create::open(path, data.as_bytes(), CreateMode::Persistent))
    };
    let fails = MultiOp::check("/q", 99);
    // Limits taken away, and brought by a multi that fails.
    let gone = [MultiOp::delete(LIMITS, -1), MultiOp::delete(STATS, -1), fails];
    world.call(&session, &Request::multi(&gone)).unwrap();
    assert_eq!(data(&mut world, &session, STATS), "count=2,bytes=0");
    assert_eq!(create(&mut world, &session, "/q/b", ""), Err(ErrorCode::QuotaExceeded));
    create(&mut world, &session, "/r", "").unwrap();
    create(&mut world, &session, "/zookeeper/quota/r", "").unwrap();
    let came = [
        open("/zookeeper/quota/r/zookeeper_limits", "countHardLimit=0"),
        open("/zookeeper/quota/r/zookeeper_stats", ""),
        open("/r/a", ""),
        fails,
    ];
    world.call(&session, &Request::multi(&came)).unwrap();
    create(&mut world, &session, "/r/a", "").unwrap();
}

#[test]
fn texts_that_are_no_quota_limit_nothing_and_stay_as_they_are() {
    for text in
        ["", "count", "count=x", "count=1=2", "=,;", "\u{0}", "countHardLimit=99999999999999999999"]
    {
        let (mut world, _, session) = world(true);
        limited(&mut world, &session, text);
        create(&mut world, &session, "/q/b", "12345").unwrap();
        assert_eq!(data(&mut world, &session, STATS), "count=3,bytes=5", "{text:?}");

        world.call(&session, &Request::set_data(LIMITS, b"countHardLimit=1", -1)).unwrap();
        world.call(&session, &Request::set_data(STATS, text.as_bytes(), -1)).unwrap();
        let more = create(&mut world, &session, "/q/c", "");
        let after = data(&mut world, &session, STATS);
        if text.is_empty() {
            assert_eq!((more, after.as_str()), (Ok(()), "count=0,bytes=-1"));
        } else {
            assert_eq!((more, after.as_str()), (Ok(()), text));
        }
    }
    // Sums do not wrap.
    let (mut world, _, session) = world(true);
    limited(&mut world, &session, "");
    let most = format!("count={0},bytes={0}", i64::MAX);
    world.call(&session, &Request::set_data(STATS, most.as_bytes(), -1)).unwrap();
    create(&mut world, &session, "/q/b", "12345").unwrap();
    assert_eq!(data(&mut world, &session, STATS), most);
}

#[test]
fn a_wipe_takes_quotas_with_it() {
    let (mut world, server, session) = world(true);
    limited(&mut world, &session, "countHardLimit=2,byteHardLimit=1");
    let over = Err(ErrorCode::QuotaExceeded);
    assert_eq!(create(&mut world, &session, "/q/b", ""), over);
    world.engine.wipe(world.at());
    let session = world.session(server, 10_000);
    for path in ["/q", "/q/a", "/q/b"] {
        create(&mut world, &session, path, "without limit").unwrap();
    }
    // One that is set anew counts anew.
    create(&mut world, &session, "/zookeeper/quota/q", "").unwrap();
    create(&mut world, &session, LIMITS, "countHardLimit=4").unwrap();
    create(&mut world, &session, STATS, "").unwrap();
    create(&mut world, &session, "/q/c", "").unwrap();
    assert_eq!(data(&mut world, &session, STATS), "count=4,bytes=39");
    assert_eq!(create(&mut world, &session, "/q/d", ""), over);
}
