//! A ZooKeeper ensemble inside the process, with faults at a call.
//!
//! One thread owns the engine (`zk_session::server::Engine`: sessions, znodes and watches of the
//! whole ensemble) and all sockets, and moves bytes and time between them. Handles send it commands
//! and wait for the answer, so that what a call says has happened when it returns.
//!
//! All but the thread's loop and the handle serves other loops as well, see [`parts`].

mod builder;
mod error;
mod faults;
mod front;
mod lines;
mod net;
mod port;
mod reactor;
mod snapshot;
mod sockets;
mod state;
#[cfg(feature = "durable")]
mod store;
mod thread;
mod transfer;

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Poll, Waker};
use zk_session::server::Access;
use zk_session::wire::SessionId;

pub use builder::EnsembleBuilder;
pub use error::{EnsembleError, SnapshotError, StoreError};
use reactor::{Answer, Command, Failure, Reactor};
#[cfg(feature = "durable")]
pub use store::Fsync;
use thread::{Polled, Thread, WAKER};

/// What this ensemble is made of, for the crates of this workspace that run it in another loop.
/// Anything in it may change with any version.
#[doc(hidden)]
pub mod parts {
    pub use super::net::{Net, Readiness};
    pub use super::reactor::{Answer, Command, Failure, Reactor, SETTLE_ROUNDS};
}

/// A ZooKeeper ensemble on loopback: any number of servers in front of one state.
///
/// It starts in about a millisecond, speaks ZooKeeper's protocol to any client, keeps everything in
/// memory unless it is [durable](EnsembleBuilder::durable), and ends when it is dropped. Server 0
/// plays the leader. All methods may be called from any thread; each returns when the ensemble has
/// done what it says.
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
    commands: Option<Sender<Command<Polled>>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    failure: Failure,
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

    /// Starts the thread of what `assemble` makes.
    fn run(
        assemble: impl FnOnce(Polled) -> Result<(Reactor<Polled>, Vec<SocketAddr>), EnsembleError>,
    ) -> Result<Self, EnsembleError> {
        let poll = Poll::new()?;
        let (reactor, addrs) = assemble(Polled(poll.registry().try_clone()?))?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (commands, receiver) = mpsc::channel();
        let failure = Failure::default();
        let ours = Thread { reactor, poll, commands: receiver, failure: Failure::clone(&failure) };
        let thread = std::thread::Builder::new().name("zk-ensemble".into());
        let thread = thread.spawn(move || ours.run())?;
        Ok(Self { addrs, commands: Some(commands), waker, thread: Some(thread), failure })
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
    /// [`NoServer`](EnsembleError::NoServer).
    pub fn stop(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.stop(i))?
    }

    /// Starts server `i` again after [`stop`](Self::stop), on the same port. A started server stays
    /// so.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer), or what the system says.
    pub fn start(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.start(i))?
    }

    /// Drops the connections of server `i`. It goes on to serve: clients may come back at once.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub fn cut(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.cut(i))?
    }

    /// From now on bytes take `latency` from clients to server `i`, and as much back: a request
    /// takes twice that. Zero ends it; what is on its way still takes its time. Connections are
    /// made at once, for that the system does.
    ///
    /// A client sees slow answers; where two thirds of its timeout pass without one it gives the
    /// server up and resumes its session on another.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub fn delay(&self, i: usize, latency: Duration) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.delay(i, latency))?
    }

    /// Server `i` has lost its quorum: its connections end, and it serves reads only from then on,
    /// to clients that accept that and have no session that the ensemble knows; it gives sessions of
    /// its own only with [`local_sessions`](EnsembleBuilder::local_sessions). While all servers are
    /// read-only no session expires.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub fn read_only(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.set_access(i, Access::ReadOnly))?
    }

    /// Server `i` is part of the quorum again: its connections end, and it serves everybody. If all
    /// were read-only, all sessions have their full timeout from then on.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub fn read_write(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.set_access(i, Access::ReadWrite))?
    }

    /// Server `i` does nothing any more, as a process after SIGSTOP: the system goes on to accept
    /// connections and bytes for it, but nothing is answered. Its clients hear nothing, give it up
    /// and resume their sessions on other servers; whoever does not, expires. [`stop`](Self::stop)
    /// ends it, too.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub fn freeze(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.freeze(i))?
    }

    /// Server `i` goes on after [`freeze`](Self::freeze), with all that has come meanwhile: a client
    /// that waited gets its answers, unless its session is over, moved, or its connection was found
    /// idle: then the connection ends.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub fn thaw(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.thaw(i))?
    }

    /// Expires a session, as if its timeout were over: its ephemerals go, watches on them fire, and
    /// its connection is closed without a word. Whether there was such a session.
    ///
    /// # Errors
    /// [`Failed`](EnsembleError::Failed), [`Gone`](EnsembleError::Gone).
    pub fn expire(&self, session_id: SessionId) -> Result<bool, EnsembleError> {
        self.call(move |reactor| reactor.expire(session_id))
    }

    /// Drops the connections of a session, whichever servers they are to; whether there were any.
    /// Its client sees a lost connection and resumes the session.
    ///
    /// # Errors
    /// [`NoSession`](EnsembleError::NoSession).
    pub fn drop_connection(&self, session_id: SessionId) -> Result<bool, EnsembleError> {
        self.call(move |reactor| reactor.drop_connection(session_id))?
    }

    /// Moves a session to another server, as if its client had resumed it there, on a connection
    /// that nobody knows of.
    ///
    /// What its client sees depends on the server that it is connected to. On server 0, the leader:
    /// the next request, pings included, closes the connection. On another: reads and pings go on,
    /// but a write is not answered, has no effect and closes the connection. On server `to` itself:
    /// the connection is closed at once. Then the client resumes its session wherever it likes.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer); [`NoSession`](EnsembleError::NoSession), also of a
    /// [local session](EnsembleBuilder::local_sessions) of another server.
    pub fn move_session(&self, session_id: SessionId, to: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.move_session(session_id, to))?
    }

    /// Forgets all sessions and znodes, as if the data of all servers had been deleted while they
    /// were down: connections are closed, zxids begin at 0 again.
    ///
    /// A client that has seen a newer zxid is refused by every server, without a word, until there
    /// have been as many transactions again; then, as any other client at once, it hears that its
    /// session has expired.
    ///
    /// # Errors
    /// [`Failed`](EnsembleError::Failed), [`Gone`](EnsembleError::Gone).
    pub fn wipe(&self) -> Result<(), EnsembleError> {
        self.call(|reactor| reactor.wipe())
    }

    /// All sessions that are alive.
    ///
    /// # Errors
    /// [`Failed`](EnsembleError::Failed), [`Gone`](EnsembleError::Gone).
    pub fn sessions(&self) -> Result<Vec<SessionInfo>, EnsembleError> {
        self.call(|reactor| reactor.sessions())
    }

    /// The server that holds the session's connection; `None` if it has none, or there is no such
    /// session.
    ///
    /// # Errors
    /// [`Failed`](EnsembleError::Failed), [`Gone`](EnsembleError::Gone).
    pub fn server_of(&self, session_id: SessionId) -> Result<Option<usize>, EnsembleError> {
        self.call(move |reactor| reactor.server_of(session_id))
    }

    /// Writes the whole state, for [`EnsembleBuilder::start_from`]: znodes, sessions and the key of
    /// their passwords, which makes it as secret as those. It is what there is at one moment; the
    /// ensemble serves on while it is written, and holds it in memory until then.
    ///
    /// ```
    /// # use zk_session_std::{Client, EmbeddedEnsemble};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ensemble = EmbeddedEnsemble::builder().start()?;
    /// let mut snapshot = Vec::new();
    /// ensemble.snapshot(&mut snapshot)?;
    /// drop(ensemble);
    /// let again = EmbeddedEnsemble::builder().start_from(&snapshot[..])?;
    /// # drop(again);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the writer says; [`Failed`](EnsembleError::Failed), [`Gone`](EnsembleError::Gone).
    pub fn snapshot(&self, writer: impl Write) -> Result<(), EnsembleError> {
        let bytes = self.call(|reactor| reactor.snapshot())?;
        Ok(snapshot::send(&bytes, writer)?)
    }

    /// Why the ensemble has stopped serving; `None` while it serves. It stops when it cannot keep
    /// what it would have to acknowledge: when the disk is full, for example.
    pub fn failure(&self) -> Option<Arc<EnsembleError>> {
        self.failure.get().cloned()
    }

    /// Ends the ensemble: all connections are dropped and all ports are free when it returns. The
    /// same as dropping it.
    pub fn shutdown(self) {}

    /// Has the thread do something, and waits for its answer.
    fn call<R: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Reactor<Polled>) -> R + Send + 'static,
    ) -> Result<R, EnsembleError> {
        let gone = || match self.failure() {
            Some(failure) => EnsembleError::Failed(failure),
            None => EnsembleError::Gone,
        };
        let (answer, answered) = mpsc::sync_channel(1);
        let command: Command<Polled> = Box::new(move |reactor| {
            let done = what(reactor);
            let answer: Answer = Box::new(move || {
                let _ = answer.send(done); // whoever asked waits for it
            });
            answer
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
