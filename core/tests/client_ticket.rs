//! A session as a few bytes, resumed after a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "support/play.rs"]
mod play;
mod support;

use play::Play;
use support::{Client, Seen, accepted, ms, refused, reply};
use zk_session::client::{
    Cause, ClientConfig, ClientSession, ExpiryReason, ExportError, KeeperState, TICKET_BYTES,
    TicketContents, TicketError,
};
use zk_session::storage::{Fixed, Limits, Storage};
use zk_session::wire::{AddWatchMode, CreateMode, List, OpCode, Reply, Request, Stat, Xid, Zxid};
use zk_session::{ConfigError, Instant};

fn export(session: &ClientSession<'_>, contents: TicketContents) -> Vec<u8> {
    session.ticket(contents, &mut [0; 4096]).unwrap().to_vec()
}

fn resume(ticket: &[u8]) -> Result<ClientSession<'static>, ConfigError> {
    let storage = Storage::owned(Limits::default());
    let config = ClientConfig::new("h", 1).timeout(ms(6000));
    ClientSession::resume(config, storage, ticket, Instant::from_millis(5))
}

/// A client whose session holds watches of every kind.
fn watching() -> Client<'static> {
    let mut client = Client::owned("h").connected();
    let stat = Reply::Stat(Stat::default());
    let xid = client.submit(&Request::exists("/data", true));
    client.receive(&reply(xid, 40, &stat));
    let xid = client.submit(&Request::get_children("/child", true));
    client.receive(&reply(xid, 41, &Reply::Children(List::NULL)));
    let xid = client.submit(&Request::add_watch("/deep", AddWatchMode::PersistentRecursive));
    client.receive(&reply(xid, 42, &Reply::AddWatch(0)));
    client
}

#[test]
fn g8_a_ticket_resumes_the_session_with_its_id_passwd_zxid_and_numbers() {
    let mut client = watching();
    let before = client.submit(&Request::exists("/x", false));
    let ticket = export(&client.session, TicketContents::Session);
    assert_eq!(ticket.len(), TICKET_BYTES);
    let handshake = client.open_after_loss();

    let mut next = Client::adopt(resume(&ticket).unwrap());
    let resumed = next.open();
    assert_eq!(resumed, handshake, "as if the session had never been away");
    assert_eq!((resumed.session_id, resumed.last_zxid), (7, 42));
    next.receive(&accepted(7, 6000));
    assert_eq!(next.seen(), [Seen::State(KeeperState::SyncConnected, Cause::Resumed)]);
    assert_eq!(next.submit(&Request::exists("/x", false)), Xid(before.0 + 1));
    assert_eq!(next.session.watches(), 0);
}

#[test]
fn a_ticket_with_watches_registers_them_again() {
    let client = watching();
    let ticket = export(&client.session, TicketContents::SessionAndWatches);
    let mut next = Client::adopt(resume(&ticket).unwrap());
    assert_eq!(next.session.watches(), 3);
    next.open();
    next.receive(&accepted(7, 6000));
    let sent = next.take_sent();
    let Some(Request::SetWatches2(watches)) =
        sent.iter().find(|s| s.op() == Some(OpCode::SetWatches2)).map(|s| s.request())
    else {
        panic!("{sent:?}")
    };
    assert_eq!(watches.relative_zxid, Zxid(42));
    let all = [watches.data, watches.exist, watches.child, watches.persistent];
    assert_eq!(all.map(|list| list.len()), [1, 0, 1, 0]);
    assert_eq!(watches.persistent_recursive.iter().next().unwrap().as_str(), Some("/deep"));
}

#[test]
fn damage_anywhere_is_found() {
    let ticket = export(&watching().session, TicketContents::SessionAndWatches);
    assert!(resume(&ticket).is_ok());
    for at in 0..ticket.len() {
        for bit in 0..8 {
            let mut torn = ticket.clone();
            torn[at] ^= 1 << bit;
            assert!(matches!(resume(&torn), Err(ConfigError::Ticket(_))), "byte {at} bit {bit}");
        }
        assert!(matches!(resume(&ticket[..at]), Err(ConfigError::Ticket(_))), "cut at {at}");
    }
    let mut longer = ticket.clone();
    longer.push(0);
    assert!(resume(&longer).is_err());
    let wrong = |bytes: &[u8]| match resume(bytes) {
        Err(ConfigError::Ticket(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(&[]), TicketError::Length { len: 0 });
    assert_eq!(wrong(&[0xff; 64]), TicketError::Magic);
    let mut newer = ticket.clone();
    newer[3] = 9;
    assert_eq!(wrong(&newer), TicketError::Version(9));
    let mut worn = ticket;
    worn[20] ^= 1;
    assert_eq!(wrong(&worn), TicketError::Checksum);
}

#[test]
fn a_registry_too_small_for_the_watches_is_named() {
    let ticket = export(&watching().session, TicketContents::SessionAndWatches);
    let mut memory = Fixed::<256, 256, 12, 2>::new();
    let config = ClientConfig::new("h", 1);
    let error = ClientSession::resume(config, memory.lend(), &ticket, Instant::from_millis(0));
    let Err(ConfigError::Ticket(TicketError::RegistryFull { needed: 11, limit: 12 })) = error
    else {
        panic!("{error:?}")
    };
}

#[test]
fn there_is_no_ticket_without_a_session() {
    let mut client = Client::owned("h");
    let ticket = |client: &Client<'_>| {
        client.session.ticket(TicketContents::Session, &mut [0; 64]).map(<[u8]>::len)
    };
    assert_eq!(ticket(&client), Err(ExportError::NoSession));
    client.connect(7, 6000);
    assert_eq!(ticket(&client), Ok(TICKET_BYTES));
    let small = client.session.ticket(TicketContents::Session, &mut [0; 51]).unwrap_err();
    let ExportError::Memory(needs) = small else { panic!("{small:?}") };
    assert_eq!((needs.needed, needs.available), (TICKET_BYTES, 51));
    client.lose();
    assert_eq!(ticket(&client), Ok(TICKET_BYTES));
    client.open();
    client.receive(&refused());
    assert_eq!(ticket(&client), Err(ExportError::NoSession));
}

#[test]
fn a_ticket_that_is_too_old_leads_to_expired() {
    let client = Client::owned("h").connected();
    let ticket = export(&client.session, TicketContents::Session);
    let mut next = Client::adopt(resume(&ticket).unwrap());
    next.open();
    next.receive(&refused());
    let told = Cause::Expired(ExpiryReason::ToldByServer);
    assert_eq!(next.seen(), [Seen::State(KeeperState::Expired, told)]);
}

#[test]
fn a_detached_session_lives_on_and_is_resumed_with_its_ephemerals() {
    let mut world = Play::new(2, 3);
    let config = || ClientConfig::new("s0,s1", 1).timeout(ms(6000));
    let peer = world.connect(config());
    world.call(peer, &Request::create("/here", b"", CreateMode::Ephemeral));
    let session = world.session(peer);
    let id = session.session_id();
    let ticket = export(session, TicketContents::Session);
    world.world.detach(peer);
    world.wait(2000);
    let detached = Seen::State(KeeperState::Closed, Cause::Detached);
    assert_eq!(world.seen(peer).last(), Some(&detached));
    assert!(world.engine().sessions().any(|info| info.session_id == id), "nobody closed it");

    let storage = Storage::owned(Limits::default());
    let resumed = ClientSession::resume(config(), storage, &ticket, world.now()).unwrap();
    let peer = world.world.join_session(resumed);
    world.until(peer, KeeperState::SyncConnected);
    assert_eq!(world.session(peer).session_id(), id);
    let answer = world.call(peer, &Request::exists("/here", false));
    let Reply::Stat(stat) = answer.reply(OpCode::Exists) else { panic!("{answer:?}") };
    assert_eq!(stat.ephemeral_owner, id.0);
}
