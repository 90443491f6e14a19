//! The scenarios. A session belongs to its client until the ensemble says otherwise, whatever
//! happens between; what is answered is right, and everything is answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use zk_session::ErrorCode;
use zk_session::client::KeeperState;
use zk_session::wire::CreateMode;
use zk_session_std::Client;

use crate::driver::{Driver, FRAME, Failure, Op};
use crate::ensembles::{Ensemble, Wires};
use crate::fakes::Fake;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_millis(700);

/// A scenario's ensemble, its own place on it, and somebody who looks on.
struct Stage<E> {
    ensemble: E,
    wires: Wires,
    witness: Client,
    root: String,
}

impl<E: Ensemble> Stage<E> {
    fn set() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let ensemble = E::start();
        let wires = Wires::to(&ensemble);
        let hosts: Vec<_> = ensemble.addrs().iter().map(ToString::to_string).collect();
        let witness = Client::connect(hosts.join(",")).unwrap();
        let root = format!("/conformance-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        witness.create(&root, b"", CreateMode::Persistent).unwrap();
        Self { ensemble, wires, witness, root }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// A client that is connected and has an ephemeral znode.
    fn connected<D: Driver>(&self) -> D {
        let driver = D::start(&self.wires.hosts(), TIMEOUT);
        wait_for(&driver, KeeperState::SyncConnected);
        driver.request(Op::Ephemeral(&self.path("alive"))).unwrap();
        driver
    }

    fn is_alive(&self) -> bool {
        // A follower may lag behind what others have been told.
        self.witness.sync(&self.root).unwrap();
        self.witness.exists(&self.path("alive")).unwrap().is_some()
    }

    fn wait_gone(&self) {
        let start = Instant::now();
        while self.is_alive() {
            assert!(start.elapsed() < PATIENCE, "the session does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Waits for a state; the others on the way there.
fn wait_for(driver: &impl Driver, wanted: KeeperState) -> Vec<KeeperState> {
    let mut others = Vec::new();
    loop {
        match driver.next_state(PATIENCE) {
            Some(state) if state == wanted => return others,
            Some(state) => others.push(state),
            None => panic!("not {wanted:?} within {PATIENCE:?}, but {others:?}"),
        }
    }
}

/// The data of a znode, asked for again where the connection is lost.
fn read(driver: &impl Driver, path: &str) -> Vec<u8> {
    let start = Instant::now();
    loop {
        match driver.request(Op::Get(path)) {
            Ok(data) => return data,
            Err(Failure::Lost) if start.elapsed() < PATIENCE => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

pub(crate) fn connect<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    assert!(driver.session_id().is_some());
    let path = stage.path("a");
    driver.request(Op::Create(&path)).unwrap();
    driver.request(Op::Set(&path, b"one")).unwrap();
    assert_eq!(driver.request(Op::Get(&path)).unwrap(), b"one");
    let again = driver.request(Op::Create(&path));
    assert_eq!(again, Err(Failure::Server(ErrorCode::NodeExists)));
    driver.request(Op::Delete(&path)).unwrap();
    assert_eq!(driver.request(Op::Get(&path)), Err(Failure::Server(ErrorCode::NoNode)));
    let bad = driver.request(Op::Get("relative"));
    assert!(matches!(bad, Err(Failure::Other(_))), "{bad:?}");
    assert!(stage.is_alive());
}

pub(crate) fn fail_over<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    let (session, path) = (driver.session_id(), stage.path("a"));
    driver.request(Op::Create(&path)).unwrap();
    for server in 0..stage.wires.len() {
        stage.wires.only(server);
        assert_eq!(read(&driver, &path), b"");
        assert_eq!(driver.session_id(), session);
    }
    assert!(stage.is_alive());
}

pub(crate) fn cut_shorter_than_the_timeout<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    let session = driver.session_id();
    stage.wires.cut();
    wait_for(&driver, KeeperState::Disconnected);
    std::thread::sleep(TIMEOUT / 4);
    stage.wires.mend();
    assert!(wait_for(&driver, KeeperState::SyncConnected).is_empty());
    assert_eq!(driver.session_id(), session);
    assert!(stage.is_alive());
    driver.request(Op::Delete(&stage.path("alive"))).unwrap();
}

pub(crate) fn cut_longer_than_the_timeout<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    stage.wires.cut();
    wait_for(&driver, KeeperState::Disconnected);
    stage.wait_gone();
    stage.wires.mend();
    wait_for(&driver, KeeperState::Expired);
    assert_eq!(driver.request(Op::Get("/")), Err(Failure::Over));
}

/// Where nobody can order it, the network is silent for as long as it takes.
pub(crate) fn expire<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    if !stage.ensemble.expire(driver.session_id()) {
        (0..stage.wires.len()).for_each(|wire| stage.wires.silence(wire));
        stage.wait_gone();
        stage.wires.mend();
    }
    wait_for(&driver, KeeperState::Expired);
    assert!(!stage.is_alive());
    assert_eq!(driver.request(Op::Get("/")), Err(Failure::Over));
}

pub(crate) fn oversize_reply<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    let (small, large) = (stage.path("small"), stage.path("large"));
    stage.witness.create(&small, b"fits", CreateMode::Persistent).unwrap();
    stage.witness.create(&large, &[7; 100 * FRAME], CreateMode::Persistent).unwrap();
    driver.request(Op::Sync(&stage.root)).unwrap();
    for _ in 0..3 {
        let begun: Vec<_> =
            [&large, &small, &large, &small].map(|path| driver.begin(Op::Get(path))).into();
        let answers: Vec<_> = begun.into_iter().map(|begun| driver.finish(begun)).collect();
        let (fits, too_large) = (Ok(b"fits".to_vec()), Err(Failure::ReplyTooLarge));
        assert_eq!(answers, [too_large.clone(), fits.clone(), too_large, fits]);
    }
    // It has cost its request and nothing else.
    assert_eq!(driver.next_state(Duration::from_millis(50)), None);
    assert!(stage.is_alive());
}

pub(crate) fn oversize_request<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    let path = stage.path("a");
    driver.request(Op::Create(&path)).unwrap();
    for _ in 0..3 {
        let refused = driver.request(Op::Set(&path, &[7; 2 * FRAME]));
        assert_eq!(refused, Err(Failure::RequestTooLarge));
        driver.request(Op::Set(&path, b"fits")).unwrap();
    }
    assert_eq!(driver.request(Op::Get(&path)).unwrap(), b"fits");
    assert_eq!(driver.next_state(Duration::from_millis(50)), None);
}

pub(crate) fn slow_application<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    let path = stage.path("a");
    driver.request(Op::Create(&path)).unwrap();
    driver.request(Op::Set(&path, &[7; 1000])).unwrap();
    let begun: Vec<_> = (0..32).map(|_| driver.begin(Op::Get(&path))).collect();
    std::thread::sleep(TIMEOUT * 3 / 2);
    // Nobody took an answer for longer than the timeout, and the session lives.
    assert!(stage.is_alive());
    let mut taken = 0;
    for begun in begun {
        match driver.finish(begun) {
            Ok(data) => {
                assert_eq!(data, [7; 1000]);
                taken += 1;
            }
            Err(Failure::NotTaken) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(taken > 0);
    assert_eq!(driver.request(Op::Get(&path)).unwrap(), [7; 1000]);
    assert_eq!(driver.next_state(Duration::from_millis(50)), None);
}

pub(crate) fn cancel_at_every_await<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    let paths: Vec<_> = (0..4).map(|i| stage.path(&format!("n{i}"))).collect();
    for path in &paths {
        driver.request(Op::Create(path)).unwrap();
        driver.request(Op::Set(path, path.as_bytes())).unwrap();
    }
    let mut answered = 0;
    for polls in (0..40).chain([100, 1000, 10_000]) {
        for (i, path) in paths.iter().enumerate() {
            let other = &paths[(i + 1) % paths.len()];
            let begun = driver.begin(Op::Get(other));
            answered += usize::from(driver.cancel(Op::Get(path), polls));
            assert_eq!(driver.finish(begun).unwrap(), other.as_bytes());
            assert_eq!(driver.request(Op::Get(path)).unwrap(), path.as_bytes());
        }
    }
    assert!(answered < 43 * paths.len(), "nothing was cancelled");
    assert_eq!(driver.next_state(Duration::from_millis(50)), None);
    assert!(stage.is_alive());
}

pub(crate) fn drop_in_mid_flight<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let path = stage.path("a");
    let driver: D = stage.connected();
    driver.request(Op::Create(&path)).unwrap();
    for _ in 0..32 {
        drop(driver.begin(Op::Set(&path, &[7; 100])));
    }
    let start = Instant::now();
    drop(driver);
    assert!(start.elapsed() < PATIENCE, "dropping it hangs");
    stage.wait_gone();
}

pub(crate) fn runtime_shut_down<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let path = stage.path("a");
    let driver: D = stage.connected();
    driver.request(Op::Create(&path)).unwrap();
    for _ in 0..32 {
        drop(driver.begin(Op::Set(&path, &[7; 100])));
    }
    let start = Instant::now();
    driver.shut_down();
    assert!(start.elapsed() < PATIENCE, "shutting down hangs");
    // Nobody says good-bye for it: its ephemeral znodes live as long as its timeout.
    stage.wait_gone();
    drop(driver);
}

pub(crate) fn close<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let driver: D = stage.connected();
    let path = stage.path("a");
    driver.request(Op::Create(&path)).unwrap();
    let begun = driver.begin(Op::Set(&path, b"before the end"));
    assert!(driver.close(), "the ensemble does not confirm it");
    assert!(!stage.is_alive());
    let set = driver.finish(begun);
    assert!(matches!(set, Ok(_) | Err(Failure::NotTaken)), "{set:?}"); // it has happened either way
    assert_eq!(stage.witness.get_data(&path).unwrap().0, b"before the end");
    wait_for(&driver, KeeperState::Closed);
    assert_eq!(driver.request(Op::Get("/")), Err(Failure::Over));
}

pub(crate) fn garbage_from_a_server<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 4, 1, 2, 3, 4],
        // A session of no time, then a frame that never ends.
        &[0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 16],
    ];
    let fakes: Vec<_> = answers.into_iter().map(Fake::start).collect();
    let mut hosts: Vec<_> = fakes.iter().map(|fake| fake.addr().to_string()).collect();
    hosts.push(stage.wires.hosts());
    for _ in 0..3 {
        let driver = D::start(&hosts.join(","), TIMEOUT);
        wait_for(&driver, KeeperState::SyncConnected);
        driver.request(Op::Sync(&stage.root)).unwrap();
        assert_eq!(driver.request(Op::Get(&stage.root)).unwrap(), b"");
    }
    let tried: usize = fakes.iter().map(Fake::accepted).sum();
    assert!(tried <= 3 * 20, "{tried} attempts to reach bad servers");
}

pub(crate) fn server_closes_at_once<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    let fake = Fake::start(b"");
    let driver = D::start(&fake.addr().to_string(), TIMEOUT);
    std::thread::sleep(TIMEOUT);
    let tried = fake.accepted();
    assert!((2..=40).contains(&tried), "{tried} attempts in {TIMEOUT:?}");
    assert_ne!(driver.next_state(Duration::ZERO), Some(KeeperState::SyncConnected));
    drop(driver);
    let after = fake.accepted();
    std::thread::sleep(TIMEOUT / 4);
    assert!(fake.accepted() <= after + 1, "it goes on after its client is gone");
    // Beside others it is stepped over.
    let hosts = format!("{},{}", fake.addr(), stage.wires.hosts());
    let driver = D::start(&hosts, TIMEOUT);
    wait_for(&driver, KeeperState::SyncConnected);
    driver.request(Op::Sync(&stage.root)).unwrap();
    assert_eq!(driver.request(Op::Get(&stage.root)).unwrap(), b"");
}

pub(crate) fn silent_server<D: Driver, E: Ensemble>() {
    let stage = Stage::<E>::set();
    stage.wires.only(0);
    let driver: D = stage.connected();
    let session = driver.session_id();
    stage.wires.mend();
    let start = Instant::now();
    stage.wires.silence(0);
    wait_for(&driver, KeeperState::Disconnected);
    let noticed = start.elapsed();
    assert!(noticed <= TIMEOUT * 2 / 3 + SLACK, "{noticed:?}");
    assert!(noticed >= TIMEOUT / 4, "{noticed:?}");
    wait_for(&driver, KeeperState::SyncConnected);
    assert_eq!(driver.session_id(), session);
    assert!(stage.is_alive());
}
