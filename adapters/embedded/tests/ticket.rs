//! Tickets in flash, power that fails at any byte, and sessions that go on after a sleep.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod world;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use world::{Net, Task, TestSession, Time, World, memory, open};
use zk_session::client::{ClientConfig, KeeperState, TICKET_BYTES, TicketContents};
use zk_session::wire::CreateMode;
use zk_session::{Duration, Instant};
use zk_session_embedded::{Session, StoreError, TicketStore, Tiny};

const BLOCK: usize = 256;

/// Flash whose power fails when it has been used so often: within a byte, the bits of which are then
/// half written, or half erased.
#[derive(Clone)]
struct Flash<const WRITE: usize> {
    bytes: Vec<u8>,
    left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PowerFailed;

impl NorFlashError for PowerFailed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const WRITE: usize> Flash<WRITE> {
    fn new() -> Self {
        Self { bytes: vec![0xff; 4 * BLOCK], left: usize::MAX }
    }

    /// Says whether there is power for one byte more.
    fn use_power(&mut self) -> bool {
        let any = self.left > 0;
        self.left = self.left.saturating_sub(1);
        any
    }
}

impl<const WRITE: usize> ErrorType for Flash<WRITE> {
    type Error = PowerFailed;
}

impl<const WRITE: usize> ReadNorFlash for Flash<WRITE> {
    const READ_SIZE: usize = WRITE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerFailed> {
        assert!((offset as usize).is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE));
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize> NorFlash for Flash<WRITE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerFailed> {
        assert!((from as usize).is_multiple_of(BLOCK) && (to as usize).is_multiple_of(BLOCK));
        for at in from as usize..to as usize {
            if !self.use_power() {
                self.bytes[at] |= 0x5a;
                return Err(PowerFailed);
            }
            self.bytes[at] = 0xff;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerFailed> {
        assert!((offset as usize).is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE));
        for (at, byte) in (offset as usize..).zip(bytes) {
            assert_eq!(self.bytes[at], 0xff, "written without being erased");
            if !self.use_power() {
                self.bytes[at] &= byte | 0xa5;
                return Err(PowerFailed);
            }
            self.bytes[at] &= byte;
        }
        Ok(())
    }
}

/// A session that is connected and has set some data, so that its tickets differ from step to step.
fn connected(world: &std::rc::Rc<World>) -> (&'static TestSession, Vec<Task<'static>>) {
    let session = open(world);
    let net: &'static Net = Box::leak(Box::new(Net(world.clone())));
    let mut driver = session.driver(net, Time(world.clone())).unwrap();
    let mut tasks = vec![Task::new(async move { _ = driver.run().await })];
    world.run(5_000, session.create("/me", b"", CreateMode::Ephemeral), &mut tasks).unwrap();
    (session, tasks)
}

fn ticket_of(session: &TestSession) -> Vec<u8> {
    let mut ticket = [0; 200];
    let len = session.ticket(TicketContents::Session, &mut ticket).unwrap();
    ticket[..len].to_vec()
}

fn cut_everywhere<const WRITE: usize>() {
    let world = World::new(1);
    let (session, mut tasks) = connected(&world);
    let region = BLOCK as u32..4 * BLOCK as u32 - BLOCK as u32;
    let mut flash = Flash::<WRITE>::new();
    let mut saved = None;
    // From empty flash on, over both places and the turns of their numbers.
    for _ in 0..4 {
        world.run(5_000, session.sync("/"), &mut tasks).unwrap();
        let new = ticket_of(session);
        let mut cut = 0;
        loop {
            let mut torn = flash.clone();
            torn.left = cut;
            let mut store = TicketStore::new(torn, region.clone()).unwrap();
            let outcome = world.run(
                100,
                async { store.save(session, TicketContents::Session, &mut [0; 128]).await },
                &mut [],
            );
            let mut after = store.release();
            after.left = usize::MAX;
            let mut store = TicketStore::new(after, region.clone()).unwrap();
            let mut work = [0; 128];
            let loaded = world.run(100, store.load(&mut work), &mut []).unwrap();
            if outcome.is_ok() {
                assert_eq!(loaded, Some(&new[..]));
                flash = store.release();
                break;
            }
            assert_eq!(outcome, Err(StoreError::Flash(PowerFailed)));
            // The one before, or in the last moment the new one: never none, never half of one.
            assert!(loaded == saved.as_deref() || loaded == Some(&new[..]), "cut at byte {cut}");
            // And the next attempt is as good as ever.
            world
                .run(
                    100,
                    async { store.save(session, TicketContents::Session, &mut [0; 128]).await },
                    &mut [],
                )
                .unwrap();
            let loaded = world.run(100, store.load(&mut work), &mut []).unwrap();
            assert_eq!(loaded, Some(&new[..]));
            cut += 1;
        }
        assert!(cut >= BLOCK + TICKET_BYTES, "every byte was cut at");
        saved = Some(new);
    }
}

#[test]
fn power_that_fails_at_any_byte_leaves_a_whole_ticket() {
    cut_everywhere::<1>();
    cut_everywhere::<4>();
    cut_everywhere::<32>();
}

#[test]
fn a_region_that_is_not_two_blocks_of_the_flash_is_refused() {
    for region in [0..256, 1..513, 0..511, 512..1536, 0..0] {
        let refused = TicketStore::new(Flash::<4>::new(), region.clone()).err();
        assert_eq!(refused, Some(StoreError::Region), "{region:?}");
    }
}

#[test]
fn a_ticket_that_does_not_fit_is_an_error_and_the_one_before_stays() {
    let world = World::new(1);
    let (session, mut tasks) = connected(&world);
    let mut store = TicketStore::new(Flash::<4>::new(), 0..512).unwrap();
    world.run(
        5_000,
        async {
            let save = |contents| async move { (contents, vec![0; 256]) };
            let (contents, mut work) = save(TicketContents::SessionAndWatches).await;
            session.exists_watched("/a/rather/long/path/for/a/znode").await.unwrap();
            store.save(session, contents, &mut work).await.unwrap();
            let long = store.load(&mut work).await.unwrap().unwrap().to_vec();
            assert!(long.len() > TICKET_BYTES + 30);
            // Memory that does not reach cannot tell whether it is whole, and takes nothing away.
            for size in [0, 15, 16, 64, 96] {
                let refused = store.save(session, contents, &mut vec![0; size]).await;
                assert!(matches!(refused, Err(StoreError::MemoryTooSmall { .. })), "{refused:?}");
            }
            assert_eq!(store.load(&mut work).await.unwrap(), Some(&long[..]));
            store.clear().await.unwrap();
            assert_eq!(store.load(&mut work).await, Ok(None));
        },
        &mut tasks,
    );
    let never = Session::<NoopRawMutex>::new();
    let refused = world.run(
        100,
        async { store.save(&never, TicketContents::Session, &mut [0; 128]).await },
        &mut [],
    );
    assert!(matches!(refused, Err(StoreError::Ticket(_))), "{refused:?}");
}

/// A device sleeps for so long, and starts again with nothing but its ticket.
fn sleep(world: &std::rc::Rc<World>, millis: u64) -> (&'static TestSession, KeeperState) {
    let (session, mut tasks) = connected(world);
    let mut flash = Flash::<4>::new();
    let mut store = TicketStore::new(flash, 0..512).unwrap();
    world
        .run(
            100,
            async { store.save(session, TicketContents::Session, &mut [0; 128]).await },
            &mut tasks,
        )
        .unwrap();
    flash = store.release();
    let safe_until = session.safe_until().unwrap();
    assert!(safe_until > world.instant() && session.next_deadline() < Some(safe_until));
    session.detach();
    world.pass(1, &mut tasks);
    assert!(tasks[0].is_done());
    drop(tasks);
    world.pass(millis, &mut []);

    // All memory is new, and the clock begins anew, too.
    let mut store = TicketStore::new(flash, 0..512).unwrap();
    let mut work = [0; 128];
    let ticket = world.run(100, store.load(&mut work), &mut []).unwrap().unwrap();
    let woken: &'static TestSession = Box::leak(Box::new(Session::new()));
    let config = ClientConfig::new("s0", 8).timeout(Duration::from_secs(2));
    woken
        .resume(config, memory::<256, 192, 64, 2>() as &mut Tiny, ticket, Instant::ORIGIN)
        .unwrap();
    let net: &'static Net = Box::leak(Box::new(Net(world.clone())));
    let mut driver = woken.driver(net, Time(world.clone())).unwrap();
    let mut tasks = [Task::new(async move { _ = driver.run().await })];
    world.pass(500, &mut tasks);
    (woken, woken.state())
}

#[test]
fn a_device_that_wakes_in_time_keeps_its_ephemerals() {
    let world = World::new(1);
    let (woken, state) = sleep(&world, 1_800);
    assert_eq!(state, KeeperState::SyncConnected);
    assert_eq!(world.owner("/me"), Some(woken.session_id().0));
    assert_eq!(world.sessions(), 1);
}

#[test]
fn a_device_that_wakes_too_late_is_told_that_its_session_has_expired() {
    let world = World::new(1);
    let (_, state) = sleep(&world, 4_000);
    assert_eq!(state, KeeperState::Expired);
    assert!(!world.has("/me"));
}
