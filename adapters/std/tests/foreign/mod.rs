//! Ensembles that a foreign client program is tried against, ours and a real one, and the faults
//! that it may ask for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use zk_session::server::Release;
use zk_session::wire::SessionId;
use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::{Output, Program, RealEnsemble, Relay, four_letter};

const TICK: Duration = Duration::from_millis(500);
const REAP: Duration = Duration::from_millis(300);
/// How long a real server may be slow before it is left out: no test stops one, a busy machine might.
const SYNC: Duration = Duration::from_secs(30);
/// What a program may take; it should take a fifth.
const PATIENCE: Duration = Duration::from_secs(120);

/// A source file beside this one.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(name)
}

/// Runs a program against embedded ensembles of both releases and a real one, at once: all that it
/// expects must hold at each, and be this many facts.
pub(crate) fn against_both(program: &Program, root: &str, count: usize) {
    let (as_3_8, as_3_9, real) = thread::scope(|scope| {
        let real = scope.spawn(|| Bench::real().facts(program, root));
        let as_3_9 = scope.spawn(|| Bench::embedded(Release::V3_9).facts(program, root));
        let as_3_8 = Bench::embedded(Release::V3_8).facts(program, root);
        (as_3_8, as_3_9.join().expect("as 3.9"), real.join().expect("a real ZooKeeper"))
    });
    assert_eq!(as_3_8, real, "facts at the embedded ensemble and at ZooKeeper");
    assert_eq!(as_3_9, real, "facts at the embedded ensemble, as 3.9, and at ZooKeeper");
    assert_eq!(real.len(), count, "all facts are checked: {real:#?}");
}

/// ZooKeeper 3.8.0, shared by all tests: each has relays of its own to stop.
fn shared_ensemble() -> &'static RealEnsemble {
    static SHARED: OnceLock<RealEnsemble> = OnceLock::new();
    SHARED.get_or_init(|| {
        let builder = RealEnsemble::builder().nodes(3).tick_ms(TICK.as_millis() as u64);
        let builder = builder
            .property("extendedTypesEnabled", true)
            .property("syncLimit", SYNC.as_millis() / TICK.as_millis())
            .system_property("znode.container.checkIntervalMs", REAP.as_millis());
        builder.start().unwrap()
    })
}

/// Three servers, and a relay to the first of them that can fall silent.
struct Bench {
    ensemble: Ensemble,
    quiet: Relay,
}

enum Ensemble {
    Embedded(EmbeddedEnsemble),
    /// Its servers are stopped by their relays: to clients that is the same, and takes no election.
    Real(&'static RealEnsemble, Vec<Relay>),
}

impl Bench {
    /// Our servers, as that release of ZooKeeper.
    fn embedded(release: Release) -> Self {
        let builder = EmbeddedEnsemble::builder().servers(3).tick(TICK);
        let builder = builder.release(release);
        let builder = builder.extended_types().engine(|engine| {
            engine.container_check_interval =
                zk_session::Duration::from_millis(REAP.as_millis() as u64);
        });
        let ensemble = builder.start().unwrap();
        let quiet = Relay::start(ensemble.addr(0)).unwrap();
        Self { ensemble: Ensemble::Embedded(ensemble), quiet }
    }

    /// ZooKeeper 3.8.0.
    fn real() -> Self {
        let ensemble = shared_ensemble();
        let relays = ensemble.addrs().iter().map(|&addr| Relay::start(addr).unwrap()).collect();
        let quiet = Relay::start(ensemble.addr(0)).unwrap();
        Self { ensemble: Ensemble::Real(ensemble, relays), quiet }
    }

    /// Runs a program under a znode of its own until it has ended well, and returns the facts that
    /// it found to hold.
    fn facts(&self, program: &Program, root: &str) -> Vec<String> {
        let addrs: Vec<String> = match &self.ensemble {
            Ensemble::Embedded(ensemble) => {
                ensemble.addrs().iter().map(SocketAddr::to_string).collect()
            }
            Ensemble::Real(_, relays) => {
                relays.iter().map(|relay| relay.addr().to_string()).collect()
            }
        };
        let (all, quiet) = (addrs.join(","), self.quiet.addr().to_string());
        let answer = |line: &str| {
            let request = line.strip_prefix("? ")?;
            Some(self.answer(&request.split(' ').collect::<Vec<_>>()))
        };
        let output = program.talk(&[&all, &quiet, root], PATIENCE, answer);
        let output = output.and_then(Output::success).unwrap_or_else(|error| panic!("{error}"));
        let facts = output.stdout.lines().filter_map(|line| line.strip_prefix("ok "));
        facts.map(str::to_owned).collect()
    }

    /// Does what a program asks for, and says so.
    fn answer(&self, request: &[&str]) -> String {
        match request {
            ["where", session] => return self.server_of(session).to_string(),
            ["stop", session] => self.stop(self.server_of(session)),
            ["start"] => self.start(),
            ["expire", session, passwd] => self.expire(session, passwd),
            ["silence"] => self.quiet.blackhole().unwrap(),
            ["heal"] => self.quiet.mend().unwrap(),
            other => panic!("no such fault: {other:?}"),
        }
        "done".to_owned()
    }

    /// The server that holds a session's connection.
    fn server_of(&self, session: &str) -> usize {
        let session_id = session_id(session);
        let find = || match &self.ensemble {
            Ensemble::Embedded(ensemble) => ensemble.server_of(session_id).unwrap(),
            Ensemble::Real(ensemble, _) => ensemble.addrs().iter().position(|&addr| {
                let wanted = format!("sid=0x{:x},", session_id.0);
                four_letter(addr, "cons").unwrap().contains(&wanted)
            }),
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(server) = find() {
                return server;
            }
            assert!(Instant::now() < deadline, "no server holds session {session}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(&self, server: usize) {
        match &self.ensemble {
            Ensemble::Embedded(ensemble) => ensemble.stop(server).unwrap(),
            Ensemble::Real(_, relays) => relays[server].cut(),
        }
    }

    /// Starts all servers that are stopped.
    fn start(&self) {
        match &self.ensemble {
            Ensemble::Embedded(ensemble) => {
                (0..ensemble.len()).for_each(|server| ensemble.start(server).unwrap());
            }
            Ensemble::Real(_, relays) => relays.iter().for_each(|relay| relay.mend().unwrap()),
        }
    }

    /// Expires a session by the fault API; in ZooKeeper, where there is none, by the usual trick: a
    /// second connection of the session that closes it.
    fn expire(&self, session: &str, passwd: &str) {
        let session_id = session_id(session);
        match &self.ensemble {
            Ensemble::Embedded(ensemble) => assert!(ensemble.expire(session_id).unwrap()),
            Ensemble::Real(ensemble, _) => {
                // Its own server would close the first connection at the second one's handshake.
                let other = (self.server_of(session) + 1) % ensemble.addrs().len();
                close_session(ensemble.addr(other), session_id, passwd);
            }
        }
    }
}

fn session_id(hex: &str) -> SessionId {
    let digits = hex.strip_prefix("0x").unwrap_or(hex);
    SessionId(u64::from_str_radix(digits, 16).unwrap() as i64)
}

fn close_session(addr: SocketAddr, session_id: SessionId, passwd: &str) {
    let passwd: Vec<u8> = (0..passwd.len() / 2)
        .map(|i| u8::from_str_radix(&passwd[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let mut connect = vec![0; 4 + 8];
    connect.extend(10_000_i32.to_be_bytes());
    connect.extend(session_id.0.to_be_bytes());
    connect.extend((passwd.len() as i32).to_be_bytes());
    connect.extend(passwd);
    connect.push(0);
    let mut bytes = (connect.len() as i32).to_be_bytes().to_vec();
    bytes.extend(connect);
    for int in [8_i32, 1, -11] {
        bytes.extend(int.to_be_bytes());
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if answer.len() > 12 {
            assert_ne!(answer[8..12], [0; 4], "it was not resumed: {answer:?}");
            return;
        }
        // A server that has lost its leader hangs up.
        assert!(Instant::now() < deadline, "no answer: {read:?}");
        thread::sleep(Duration::from_millis(50));
    }
}
