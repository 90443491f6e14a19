//! A ZooKeeper ensemble on the application's runtime: the twin of `zk_session_std`'s, which it
//! shares all with but the loop.

mod builder;
mod net;
mod task;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zk_session::server::Access;
use zk_session::wire::SessionId;
use zk_session_std::parts::{Answer, Command, Failure, Reactor};

pub use builder::EnsembleBuilder;
use net::Sockets;
#[cfg(feature = "durable")]
pub use zk_session_std::Fsync;
pub use zk_session_std::{EnsembleError, SessionInfo, SnapshotError, StoreError};

/// A ZooKeeper ensemble on loopback, as [`zk_session_std::EmbeddedEnsemble`], in a task of the
/// application's runtime.
///
/// All methods may be called from any task; each is done when its future is. A call whose future is
/// dropped may still be obeyed. Unless told otherwise they fail with
/// [`Failed`](EnsembleError::Failed) or [`Gone`](EnsembleError::Gone) when the ensemble serves no
/// more.
///
/// Dropping it ends its task: connections and ports are closed as soon as the runtime comes to it;
/// [`shutdown`](Self::shutdown) waits for that. So does the end of the runtime. The ensemble lives
/// by the real clock, also where tokio's is paused.
///
/// ```
/// use std::time::Duration;
/// use tokio::net::TcpStream;
/// use zk_session_tokio::EmbeddedEnsemble;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = EmbeddedEnsemble::builder().servers(3).tick(Duration::from_millis(500));
/// let ensemble = builder.start().await?;
/// println!("clients connect to {}", ensemble.connect_string());
///
/// ensemble.stop(0).await?; // as if its process had been killed; its sessions live on
/// assert!(TcpStream::connect(ensemble.addr(0)).await.is_err());
/// assert!(TcpStream::connect(ensemble.addr(1)).await.is_ok());
/// ensemble.start(0).await?; // on the same port
/// assert!(TcpStream::connect(ensemble.addr(0)).await.is_ok());
/// ensemble.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct EmbeddedEnsemble {
    addrs: Vec<SocketAddr>,
    /// The task ends when it is gone.
    commands: mpsc::Sender<Command<Sockets>>,
    task: JoinHandle<()>,
    failure: Failure,
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

    /// Stops server `i`: its connections are dropped, new ones refused; sessions live on until they
    /// time out. A stopped server stays so.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub async fn stop(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.stop(i)).await?
    }

    /// Starts server `i` again after [`stop`](Self::stop), on the same port. A started server stays
    /// so.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer), or what the system says.
    pub async fn start(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.start(i)).await?
    }

    /// Drops the connections of server `i`. It goes on to serve: clients may come back at once.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub async fn cut(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.cut(i)).await?
    }

    /// From now on bytes take `latency` from clients to server `i`, and as much back. Zero ends it;
    /// what is on its way still takes its time.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub async fn delay(&self, i: usize, latency: Duration) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.delay(i, latency)).await?
    }

    /// Server `i` has lost its quorum: its connections end, and it serves reads only from then on,
    /// to clients that accept that. See [`zk_session_std::EmbeddedEnsemble::read_only`].
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub async fn read_only(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.set_access(i, Access::ReadOnly)).await?
    }

    /// Server `i` is part of the quorum again: its connections end, and it serves everybody.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub async fn read_write(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.set_access(i, Access::ReadWrite)).await?
    }

    /// Server `i` does nothing any more, as a process after SIGSTOP: the system goes on to accept
    /// connections and bytes for it, but nothing is answered.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub async fn freeze(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.freeze(i)).await?
    }

    /// Server `i` goes on after [`freeze`](Self::freeze), with all that has come meanwhile.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer).
    pub async fn thaw(&self, i: usize) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.thaw(i)).await?
    }

    /// Expires a session, as if its timeout were over: its ephemerals go, and its connection is
    /// closed without a word. Whether there was such a session.
    ///
    /// # Errors
    /// As all methods.
    pub async fn expire(&self, session_id: SessionId) -> Result<bool, EnsembleError> {
        self.call(move |reactor| reactor.expire(session_id)).await
    }

    /// Drops the connections of a session, whichever servers they are to; whether there were any.
    ///
    /// # Errors
    /// [`NoSession`](EnsembleError::NoSession).
    pub async fn drop_connection(&self, session_id: SessionId) -> Result<bool, EnsembleError> {
        self.call(move |reactor| reactor.drop_connection(session_id)).await?
    }

    /// Moves a session to another server, as if its client had resumed it there, on a connection
    /// that nobody knows of. See [`zk_session_std::EmbeddedEnsemble::move_session`] for what its
    /// client sees.
    ///
    /// # Errors
    /// [`NoServer`](EnsembleError::NoServer); [`NoSession`](EnsembleError::NoSession), also of a
    /// [local session](EnsembleBuilder::local_sessions) of another server.
    pub async fn move_session(
        &self,
        session_id: SessionId,
        to: usize,
    ) -> Result<(), EnsembleError> {
        self.call(move |reactor| reactor.move_session(session_id, to)).await?
    }

    /// Forgets all sessions and znodes, as if the data of all servers had been deleted while they
    /// were down. See [`zk_session_std::EmbeddedEnsemble::wipe`] for what clients see.
    ///
    /// # Errors
    /// As all methods.
    pub async fn wipe(&self) -> Result<(), EnsembleError> {
        self.call(|reactor| reactor.wipe()).await
    }

    /// All sessions that are alive.
    ///
    /// # Errors
    /// As all methods.
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, EnsembleError> {
        self.call(|reactor| reactor.sessions()).await
    }

    /// The server that holds the session's connection; `None` if it has none, or there is no such
    /// session.
    ///
    /// # Errors
    /// As all methods.
    pub async fn server_of(&self, session_id: SessionId) -> Result<Option<usize>, EnsembleError> {
        self.call(move |reactor| reactor.server_of(session_id)).await
    }

    /// Writes the whole state at one moment, for [`EnsembleBuilder::start_from`] of either twin:
    /// znodes, sessions and the key of their passwords, which makes it as secret as those.
    ///
    /// # Errors
    /// What the writer says.
    pub async fn snapshot(&self, mut writer: impl AsyncWrite + Unpin) -> Result<(), EnsembleError> {
        let bytes = self.call(|reactor| reactor.snapshot()).await?;
        writer.write_all(&bytes).await?;
        Ok(writer.flush().await?)
    }

    /// Why the ensemble has stopped serving; `None` while it serves. It stops when it cannot keep
    /// what it would have to acknowledge: when the disk is full, for example.
    pub fn failure(&self) -> Option<Arc<EnsembleError>> {
        self.failure.get().cloned()
    }

    /// Ends the ensemble: all connections are dropped and all ports are free when it is done.
    pub async fn shutdown(self) {
        let Self { commands, task, .. } = self;
        drop(commands);
        let _ = task.await; // a panic has said so already
    }

    /// Has the task do something, and waits for its answer.
    async fn call<R: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Reactor<Sockets>) -> R + Send + 'static,
    ) -> Result<R, EnsembleError> {
        let (answer, answered) = oneshot::channel();
        let command: Command<Sockets> = Box::new(move |reactor| {
            let done = what(reactor);
            let answer: Answer = Box::new(move || {
                let _ = answer.send(done); // whoever asked may not wait any more
            });
            answer
        });
        self.commands.send(command).await.map_err(|_| self.gone())?;
        answered.await.map_err(|_| self.gone())
    }

    fn gone(&self) -> EnsembleError {
        self.failure().map_or(EnsembleError::Gone, EnsembleError::Failed)
    }
}

impl fmt::Debug for EmbeddedEnsemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedEnsemble").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}
