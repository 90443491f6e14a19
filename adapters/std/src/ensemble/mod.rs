//! A ZooKeeper ensemble inside the process, with faults at a call.
//!
//! One thread owns the engine (`zk_session::server::Engine`: sessions, znodes and watches of the
//! whole ensemble) and all sockets, and moves bytes and time between them. Handles send it commands
//! and wait for the answer, so that what a call says has happened when it returns.

mod builder;
mod port;
mod reactor;
mod sockets;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Waker;
use zk_session::wire::SessionId;

pub use builder::EnsembleBuilder;
use reactor::{Command, Reactor};

/// A ZooKeeper ensemble on loopback: any number of servers in front of one state.
///
/// It starts in about a millisecond, speaks ZooKeeper's protocol to any client, keeps everything in
/// memory, and ends when it is dropped. Server 0 plays the leader. All methods may be called from
/// any thread; each returns when the ensemble has done what it says.
///
/// ```
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use zk_session_std::EmbeddedEnsemble;
///
/// # fn main() -> std::io::Result<()> {
/// let ensemble = EmbeddedEnsemble::builder().servers(3).tick(Duration::from_millis(500)).start()?;
/// println!("clients connect to {}", ensemble.connect_string());
///
/// ensemble.stop(0)?; // as if its process had been killed; its sessions live on
/// assert!(TcpStream::connect(ensemble.addr(0)).is_err());
/// assert!(TcpStream::connect(ensemble.addr(1)).is_ok());
/// ensemble.start(0)?; // on the same port
/// assert!(TcpStream::connect(ensemble.addr(0)).is_ok());
///
/// for session in ensemble.sessions()? {
///     ensemble.expire(session.session_id)?; // its ephemerals go, its client is cut off
/// }
/// ensemble.shutdown();
/// # Ok(())
/// # }
/// ```
pub struct EmbeddedEnsemble {
    addrs: Vec<SocketAddr>,
    /// Taken only by `drop`; the thread ends when it is gone.
    commands: Option<Sender<Command>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// One session as the ensemble sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its id.
    pub session_id: SessionId,
    /// Its negotiated timeout.
    pub timeout: Duration,
    /// The server that holds its connection; `None` while it has none.
    pub server: Option<usize>,
    /// How many ephemeral znodes it owns.
    pub ephemerals: usize,
}

impl EmbeddedEnsemble {
    /// Describes an ensemble; [`EnsembleBuilder::start`] starts it.
    pub fn builder() -> EnsembleBuilder {
        EnsembleBuilder::new()
    }

    /// The addresses of all servers as clients want them, `host:port,host:port`.
    pub fn connect_string(&self) -> String {
        let addrs: Vec<_> = self.addrs.iter().map(ToString::to_string).collect();
        addrs.join(",")
    }

    /// Where server `i` listens, or would if it is stopped. The first server is 0.
    ///
    /// # Panics
    /// If there is no server `i`.
    pub fn addr(&self, i: usize) -> SocketAddr {
        self.addrs[i]
    }

    /// Where each server listens.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// How many servers there are, stopped ones included.
    pub fn len(&self) -> usize {
        self.addrs.len()
    }

    /// Whether there is no server: never.
    pub fn is_empty(&self) -> bool {
        self.addrs.is_empty()
    }

    /// Stops server `i`: its connections are dropped, new ones refused. Sessions live on until they
    /// time out, so clients can resume them on another server. A stopped server stays so.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no server `i`.
    pub fn stop(&self, i: usize) -> io::Result<()> {
        self.call(move |reactor| reactor.stop(i))?
    }

    /// Starts server `i` again after [`stop`](Self::stop), on the same port. A started server stays
    /// so.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no server `i`; otherwise what the
    /// system says.
    pub fn start(&self, i: usize) -> io::Result<()> {
        self.call(move |reactor| reactor.start(i))?
    }

    /// Drops the connections of server `i`. It goes on to serve: clients may come back at once.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no server `i`.
    pub fn cut(&self, i: usize) -> io::Result<()> {
        self.call(move |reactor| reactor.cut(i))?
    }

    /// Expires a session, as if its timeout were over: its ephemerals go, watches on them fire, and
    /// its connection is closed without a word. Whether there was such a session.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the ensemble's thread has died.
    pub fn expire(&self, session_id: SessionId) -> io::Result<bool> {
        self.call(move |reactor| reactor.expire(session_id))
    }

    /// All sessions that are alive.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the ensemble's thread has died.
    pub fn sessions(&self) -> io::Result<Vec<SessionInfo>> {
        self.call(|reactor| reactor.sessions())
    }

    /// The server that holds the session's connection; `None` if it has none, or there is no such
    /// session.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the ensemble's thread has died.
    pub fn server_of(&self, session_id: SessionId) -> io::Result<Option<usize>> {
        let sessions = self.sessions()?;
        Ok(sessions
            .iter()
            .find(|session| session.session_id == session_id)
            .and_then(|known| known.server))
    }

    /// Ends the ensemble: all connections are dropped and all ports are free when it returns. The
    /// same as dropping it.
    pub fn shutdown(self) {}

    /// Has the thread do something, and waits for its answer.
    fn call<R: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Reactor) -> R + Send + 'static,
    ) -> io::Result<R> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the ensemble's thread has died");
        let (answer, answered) = mpsc::sync_channel(1);
        let command: Command = Box::new(move |reactor| {
            let _ = answer.send(what(reactor)); // whoever asked waits for it
        });
        let commands = self.commands.as_ref().ok_or_else(gone)?;
        commands.send(command).map_err(|_| gone())?;
        self.waker.wake()?;
        answered.recv().map_err(|_| gone())
    }
}

impl Drop for EmbeddedEnsemble {
    fn drop(&mut self) {
        self.commands = None;
        let woken = self.waker.wake().is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join(); // a panic has said so already
        }
    }
}

impl fmt::Debug for EmbeddedEnsemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedEnsemble").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}
