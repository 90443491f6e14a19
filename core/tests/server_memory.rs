//! What a connection takes from the heap, and gives back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use allocation_counter::measure;
use server_common::{Session, World};
use zk_session::server::ConnectionId;
use zk_session::wire::{CreateMode, OpCode, Request, RequestHeader, Writer, Xid};

const LARGE: usize = 64 << 10;

fn frame(request: &Request<'_>, op: OpCode, xid: Xid) -> Vec<u8> {
    let mut memory = vec![0; LARGE + 1024];
    let mut writer = Writer::new(&mut memory[4..]);
    RequestHeader { xid, op: op.to_wire() }.write(&mut writer);
    request.encode(&mut writer);
    let len = writer.len();
    memory[..4].copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    memory.truncate(4 + len);
    memory
}

fn request(request: &Request<'_>) -> Vec<u8> {
    frame(request, request.op(), Xid(1))
}

/// Sends a request and takes the reply, without a byte from the heap of its own; the reply's length.
fn exchange(world: &mut World, conn: ConnectionId, bytes: &[u8]) -> usize {
    let now = world.at();
    assert_eq!(world.engine.handle_bytes(now, conn, bytes), bytes.len());
    while world.engine.poll_ready().is_some() {}
    let mut taken = 0;
    while !world.engine.poll_transmit(conn).is_empty() {
        let n = world.engine.poll_transmit(conn).len().min(1448);
        world.engine.handle_transmitted(now, conn, n);
        taken += n;
    }
    taken
}

/// A session whose small exchanges have taken all the memory that they need.
fn settled() -> (World, Session, [Vec<u8>; 4]) {
    let (mut world, server) = World::standalone();
    let session = world.session(server, 30_000);
    world.call(&session, &Request::create("/a", b"", CreateMode::Persistent)).unwrap();
    let ping = frame(&Request::Ping, OpCode::Ping, Xid::PING);
    let set = request(&Request::set_data("/a", &[1; LARGE], -1));
    let get = request(&Request::get_data("/a", false));
    let unset = request(&Request::set_data("/a", b"", -1));
    for _ in 0..3 {
        world.pass(2000);
        exchange(&mut world, session.conn, &unset);
        exchange(&mut world, session.conn, &ping);
    }
    (world, session, [ping, set, get, unset])
}

#[test]
fn buffers_that_a_large_request_and_reply_have_grown_are_given_back_when_idle() {
    let (mut world, Session { conn, .. }, [ping, set, get, unset]) = settled();
    let mut kept = 0;
    let change = measure(|| {
        let large = measure(|| {
            exchange(&mut world, conn, &set);
            assert!(exchange(&mut world, conn, &get) > LARGE);
            exchange(&mut world, conn, &unset);
            world.pass(500);
            exchange(&mut world, conn, &ping);
        });
        kept = large.bytes_current;
        world.pass(10_000);
        exchange(&mut world, conn, &ping);
    });
    assert!(
        kept >= 2 * i64::try_from(LARGE).unwrap(),
        "half a second later both are there: {kept}"
    );
    assert!(change.bytes_current < 1024, "{change:?}");
    assert!(exchange(&mut world, conn, &set) > 0 && exchange(&mut world, conn, &get) > LARGE);
}

#[test]
fn buffers_that_are_needed_again_and_again_stay() {
    let (mut world, Session { conn, .. }, [ping, set, get, _]) = settled();
    exchange(&mut world, conn, &set);
    exchange(&mut world, conn, &get);
    let change = measure(|| {
        for _ in 0..50 {
            world.pass(300);
            exchange(&mut world, conn, &get);
            world.pass(300);
            exchange(&mut world, conn, &ping);
        }
    });
    assert!(change.bytes_total < u64::try_from(LARGE).unwrap(), "{change:?}");
}

#[test]
fn half_a_request_is_kept_however_long_the_rest_takes() {
    let (mut world, Session { conn, .. }, [_, set, get, _]) = settled();
    let (first, rest) = set.split_at(LARGE / 2);
    exchange(&mut world, conn, first);
    world.pass(9_000);
    let (second, rest) = rest.split_at(100);
    exchange(&mut world, conn, second);
    world.pass(9_000);
    assert!(exchange(&mut world, conn, rest) > 0);
    assert!(exchange(&mut world, conn, &get) > LARGE);
}
