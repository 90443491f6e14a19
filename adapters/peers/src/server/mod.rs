//! The servers that all clients are measured on, each in a process of its own.

mod canned;
pub(crate) mod frames;

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zk_session::wire::CreateMode;
use zk_session_std::{Client, EmbeddedEnsemble};
use zk_session_testkit::RealEnsemble;

use crate::work::{BIG_NODE, BIG_VALUE, NODE, VALUE};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Replies that were encoded before.
    Canned,
    /// `zk_session_std::EmbeddedEnsemble`.
    Embedded,
    /// Apache ZooKeeper.
    Real,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Canned, Self::Embedded, Self::Real];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Canned => "canned",
            Self::Embedded => "embedded",
            Self::Real => "zookeeper",
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    _process: Process,
}

enum Process {
    Ours { _child: Killed },
    Real { _ensemble: Box<RealEnsemble> },
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts the server and makes the znodes that are read and written.
    pub(crate) fn start(kind: Kind) -> io::Result<Self> {
        let server = match kind {
            Kind::Canned | Kind::Embedded => Self::child(kind)?,
            Kind::Real => {
                let ensemble =
                    RealEnsemble::builder().nodes(1).property("forceSync", "no").start()?;
                let addr = ensemble.addr(0);
                Self { addr, _process: Process::Real { _ensemble: Box::new(ensemble) } }
            }
        };
        if kind != Kind::Canned {
            furnish(server.addr)?;
        }
        Ok(server)
    }

    fn child(kind: Kind) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", kind.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let child = Killed(child);
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let addr = line.trim().parse().map_err(|_| io::Error::other("the server did not start"))?;
        Ok(Self { addr, _process: Process::Ours { _child: child } })
    }
}

fn furnish(addr: SocketAddr) -> io::Result<()> {
    let client = Client::builder(addr.to_string())
        .timeout(Duration::from_secs(10))
        .connect()
        .map_err(io::Error::other)?;
    for (path, data) in [("/bench", &[][..]), (NODE, &VALUE), (BIG_NODE, &[1; BIG_VALUE])] {
        client.create(path, data, CreateMode::Persistent).map_err(io::Error::other)?;
    }
    client.close().map_err(io::Error::other)
}

/// The server's own process: prints its address and serves until its parent is gone.
pub(crate) fn serve(kind: &str) -> io::Result<()> {
    // The parent never writes: its end is all that can be read.
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    if kind == Kind::Canned.name() {
        return canned::serve();
    }
    let ensemble = EmbeddedEnsemble::builder().servers(1).start().map_err(io::Error::other)?;
    println!("{}", ensemble.connect_string());
    loop {
        std::thread::park();
    }
}
