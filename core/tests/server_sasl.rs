//! SASL on the server's side: who a client is by it, what it may do then, and what it may not
//! without.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use server_common::{Got, Session, World, framed, reply};
use zk_session::server::{
    CloseReason, DigestMd5, EngineConfig, Restore, SaslExchange, SaslMechanism, SaslStep,
};
use zk_session::wire::{
    Acl, Create, CreateMode, List, OpCode, Perms, Reply, Request, RequestHeader, Ustring, Xid,
};
use zk_session::{ErrorCode, Instant};

/// A mechanism of two steps: the client says `hello`, then its name, which is believed.
struct Trusting;

struct Trust {
    greeted: bool,
}

impl SaslMechanism for Trusting {
    fn start(&mut self) -> Box<dyn SaslExchange> {
        Box::new(Trust { greeted: false })
    }
}

impl SaslExchange for Trust {
    fn step(&mut self, token: &[u8]) -> SaslStep {
        match (self.greeted, token) {
            (false, b"hello") => {
                self.greeted = true;
                SaslStep::Challenge(b"who?".to_vec())
            }
            (true, name) if !name.is_empty() => SaslStep::Success {
                token: None,
                authorization_id: String::from_utf8_lossy(name).into_owned(),
            },
            _ => SaslStep::Failure,
        }
    }
}

fn world(change: impl FnOnce(&mut EngineConfig)) -> (World, Session) {
    let mut config = EngineConfig::default();
    change(&mut config);
    let mut world = World::new(config);
    let server = world.engine.add_server();
    world.engine.set_sasl(Box::new(Trusting));
    let session = world.session(server, 10_000);
    (world, session)
}

fn say(world: &mut World, session: &Session, token: &[u8]) -> Option<Vec<u8>> {
    let body = world.call(session, &Request::Sasl { token: Some(token) }).unwrap();
    match reply(OpCode::Sasl, &body) {
        Reply::Sasl(token) => token.map(<[u8]>::to_vec),
        other => panic!("{other:?}"),
    }
}

fn prove(world: &mut World, session: &Session, name: &str) {
    assert_eq!(say(world, session, b"hello").as_deref(), Some(&b"who?"[..]));
    assert_eq!(say(world, session, name.as_bytes()), None);
}

fn guarded<'a>(path: &'a str, acl: &'a [Acl<'a>]) -> Request<'a> {
    let acl = List::from_slice(acl);
    Request::Create(Create { path: path.into(), data: Some(b""), acl, flags: 0 })
}

fn of<'a>(scheme: &'a str, id: &'a str) -> Acl<'a> {
    Acl { perms: Perms::ALL, scheme: scheme.into(), id: id.into() }
}

fn again(world: &mut World) -> Session {
    let server = world.engine.sessions().next().unwrap().owner;
    world.session(server, 10_000)
}

#[test]
fn an_identity_proved_by_sasl_is_like_any_other() {
    let (mut world, bob) = world(|_| {});
    assert_eq!(world.call(&bob, &guarded("/none", &[of("auth", "")])), Err(ErrorCode::InvalidAcl));
    prove(&mut world, &bob, "bob");
    world.call(&bob, &guarded("/own", &[of("auth", "")])).unwrap();
    world.call(&bob, &guarded("/bob", &[of("sasl", "bob")])).unwrap();
    let body = world.call(&bob, &Request::GetAcl { path: "/own".into() }).unwrap();
    let Reply::Acl(acl, _) = reply(OpCode::GetAcl, &body) else { panic!() };
    assert!(acl.iter().eq([of("sasl", "bob")]));
    let body = world.call(&bob, &Request::WhoAmI).unwrap();
    let Reply::WhoAmI(infos) = reply(OpCode::WhoAmI, &body) else { panic!() };
    let sasl = Ustring::from("sasl");
    assert!(infos.iter().any(|info| info.scheme == sasl && info.user == Ustring::from("bob")));

    let eve = again(&mut world);
    let read = Request::get_data("/bob", false);
    assert_eq!(world.call(&eve, &read), Err(ErrorCode::NoAuth));
    prove(&mut world, &eve, "eve");
    assert_eq!(world.call(&eve, &read), Err(ErrorCode::NoAuth));
    prove(&mut world, &eve, "bob"); // identities add up
    world.call(&eve, &read).unwrap();
}

#[test]
fn the_super_user_may_do_all() {
    let (mut world, bob) = world(|config| config.super_user = Some("root".into()));
    world.call(&bob, &guarded("/d", &[of("digest", "a:b")])).unwrap();
    let read = Request::get_data("/d", false);
    assert_eq!(world.call(&bob, &read), Err(ErrorCode::NoAuth));
    prove(&mut world, &bob, "root");
    world.call(&bob, &read).unwrap();
}

#[test]
fn a_failure_is_told_with_an_empty_token_and_costs_the_connection_only() {
    let (mut world, bob) = world(|_| {});
    world.request(&bob, 3, &Request::Sasl { token: Some(b"who are you?") });
    let failed = ErrorCode::AuthFailed.to_wire();
    let null = (-1_i32).to_be_bytes().to_vec();
    assert_eq!(world.got(&bob), Some(Got::Reply { xid: 3, zxid: 0, err: failed, body: null }));
    assert_eq!(world.reason(&bob), Some(CloseReason::AuthFailed));
    assert_eq!(world.engine.sessions().count(), 1);
}

#[test]
fn names_in_acls_are_kerberos_names() {
    let (mut world, bob) = world(|_| {});
    for (i, (id, valid)) in [
        ("bob", true),
        ("bob/host", true),
        ("bob@REALM", true),
        ("bob/host@REALM", true),
        ("bob@A@B", false),
        ("bob/a/b@R", false),
        ("bob@a/b", false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/n{i}");
        let made = world.call(&bob, &guarded(&path, &[of("sasl", id)]));
        assert_eq!(made.is_ok(), valid, "{id}");
    }
    // A server without a mechanism knows no such scheme.
    let (mut plain, server) = World::standalone();
    let session = plain.session(server, 10_000);
    let made = plain.call(&session, &guarded("/n", &[of("sasl", "bob")]));
    assert_eq!(made, Err(ErrorCode::InvalidAcl));
    assert_eq!(say(&mut plain, &session, b"hello"), None);
}

#[test]
fn where_sasl_is_required_nothing_goes_before_it() {
    let ping = framed(|w| RequestHeader { xid: Xid(-2), op: OpCode::Ping.to_wire() }.write(w));
    let close =
        framed(|w| RequestHeader { xid: Xid(4), op: OpCode::CloseSession.to_wire() }.write(w));
    let unknown = framed(|w| RequestHeader { xid: Xid(4), op: 99 }.write(w));
    let junk = framed(|w| RequestHeader { xid: Xid(4), op: OpCode::Create.to_wire() }.write(w));
    for bytes in [ping, close, unknown, junk] {
        let (mut world, session) = world(|config| config.require_sasl = true);
        world.send(session.conn, &bytes);
        let required = ErrorCode::SessionClosedRequireSaslAuth.to_wire();
        match world.got(&session) {
            Some(Got::Reply { zxid: 0, err, body, .. }) if err == required => {
                assert!(body.is_empty());
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(world.reason(&session), Some(CloseReason::AuthFailed));
        assert_eq!(world.engine.sessions().count(), 1);
    }
    let (mut world, session) = world(|config| config.require_sasl = true);
    // Other credentials are taken, and are not enough; after SASL all goes on.
    world.request(&session, -4, &Request::add_auth("digest", b"a:b"));
    assert!(matches!(world.got(&session), Some(Got::Reply { xid: -4, err: 0, .. })));
    prove(&mut world, &session, "bob");
    world.call(&session, &Request::create("/a", b"", CreateMode::Ephemeral)).unwrap();
}

#[test]
fn digest_md5_asks_before_it_believes() {
    let (mut world, session) = world(|_| {});
    world.engine.set_sasl(Box::new(DigestMd5::new(5).user("bob", "secret")));
    let challenge = String::from_utf8(say(&mut world, &session, b"").unwrap()).unwrap();
    assert!(challenge.ends_with("\",charset=utf-8,algorithm=md5-sess"), "{challenge}");
    world.request(&session, 5, &Request::Sasl { token: Some(b"username=\"bob\"") });
    let failed = ErrorCode::AuthFailed.to_wire();
    assert!(matches!(world.got(&session), Some(Got::Reply { err, .. }) if err == failed));
}

#[test]
fn acls_outlive_a_restart_and_what_a_connection_has_proved_does_not() {
    let (mut world, bob) = world(|_| {});
    prove(&mut world, &bob, "bob");
    let login = Request::add_auth("digest", b"ann:pw");
    let add = |world: &mut World, session: &Session| {
        world.request(session, -4, &login);
        assert!(matches!(world.got(session), Some(Got::Reply { xid: -4, err: 0, .. })));
    };
    world.call(&bob, &guarded("/sasl", &[of("sasl", "bob")])).unwrap();
    add(&mut world, &bob);
    world.call(&bob, &guarded("/both", &[of("auth", "")])).unwrap();

    let mut restore = Restore::new(EngineConfig::default(), Instant::ORIGIN);
    world.engine.records().for_each(|record| restore.add(&record).unwrap());
    world.engine = restore.finish().unwrap();
    let server = world.engine.add_server();
    let bob = world.resume(server, &bob);
    let (sasl, both) = (Request::get_data("/sasl", false), Request::get_data("/both", false));
    for read in [&sasl, &both] {
        assert_eq!(world.call(&bob, read), Err(ErrorCode::NoAuth));
    }
    add(&mut world, &bob);
    world.call(&bob, &both).unwrap();
    assert_eq!(world.call(&bob, &sasl), Err(ErrorCode::NoAuth));
    // The mechanism is no part of the state either.
    world.engine.set_sasl(Box::new(Trusting));
    prove(&mut world, &bob, "bob");
    world.call(&bob, &sasl).unwrap();
}
