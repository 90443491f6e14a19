//! tokio's sockets as the reactor wants them: a read that would block has left a waker behind.

use std::io::{self, Read, Write};
use std::net::{self, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use zk_session_std::parts::Net;

/// What has been woken, and the task that asks for it.
#[derive(Debug, Default)]
pub(super) struct Wakes(Mutex<Woken>);

#[derive(Debug, Default)]
struct Woken {
    /// A socket is here at most twice: each of its directions wakes once for each wait.
    sources: Vec<Source>,
    task: Option<Waker>,
}

/// Whose waker it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A server's listener.
    Listener(usize),
    /// The connection in a slot.
    Socket(usize),
}

/// A waker of one socket: tells the task not only that it is to run, but also what for.
struct Bell {
    source: Source,
    wakes: Arc<Wakes>,
}

impl Wakes {
    /// Takes what has been woken into `sources`. If there is nothing, the task is
    /// woken with the next.
    pub(super) fn poll_take(&self, cx: &Context<'_>, sources: &mut Vec<Source>) -> Poll<()> {
        let mut woken = self.lock();
        if woken.sources.is_empty() {
            woken.task = Some(cx.waker().clone());
            return Poll::Pending;
        }
        sources.append(&mut woken.sources);
        Poll::Ready(())
    }

    /// As [`poll_take`](Self::poll_take), for a task that does not wait.
    pub(super) fn take(&self, sources: &mut Vec<Source>) {
        sources.append(&mut self.lock().sources);
    }

    fn ring(&self, source: Source) {
        let mut woken = self.lock();
        woken.sources.push(source);
        let task = woken.task.take();
        drop(woken);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wakes.ring(self.source);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.ring(self.source);
    }
}

/// Sockets of the runtime that we are in.
#[derive(Debug)]
pub(super) struct Sockets(pub(super) Arc<Wakes>);

/// A socket, and who is woken when it need not block any more.
#[derive(Debug)]
pub(super) struct Waking<S> {
    socket: S,
    waker: Waker,
}

impl Sockets {
    fn waking<S>(&self, socket: S, source: Source) -> Waking<S> {
        let bell = Bell { source, wakes: Arc::clone(&self.0) };
        Waking { socket, waker: Arc::new(bell).into() }
    }
}

impl Net for Sockets {
    type Listener = Waking<TcpListener>;
    type Stream = Waking<TcpStream>;

    /// Only a read that would block leaves a waker; where the poll is edge-triggered tokio knows
    /// without asking the system.
    const SHORT_READ_ENDS: bool = false;

    fn listen(&mut self, listener: net::TcpListener, server: usize) -> io::Result<Self::Listener> {
        Ok(self.waking(TcpListener::from_std(listener)?, Source::Listener(server)))
    }

    fn accept(
        &mut self,
        listener: &mut Self::Listener,
        slot: usize,
    ) -> io::Result<(Self::Stream, SocketAddr)> {
        let mut cx = Context::from_waker(&listener.waker);
        let (stream, peer) = match listener.socket.poll_accept(&mut cx) {
            Poll::Ready(accepted) => accepted?,
            Poll::Pending => accept_unheard(&listener.socket)?,
        };
        let _ = stream.set_nodelay(true); // slower without, no less right
        let source = Source::Socket(slot);
        self.0.ring(source); // nothing wakes us before the first read
        Ok((self.waking(stream, source), peer))
    }

    fn shut_down(&mut self, stream: &mut Self::Stream) -> io::Result<()> {
        let mut cx = Context::from_waker(&stream.waker);
        ready(Pin::new(&mut stream.socket).poll_shutdown(&mut cx))
    }

    fn forget_listener(&mut self, _: &mut Self::Listener) {}

    fn forget(&mut self, _: &mut Self::Stream) {}
}

impl Read for Waking<TcpStream> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let mut cx = Context::from_waker(&self.waker);
        ready(Pin::new(&mut self.socket).poll_read(&mut cx, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Waking<TcpStream> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(&self.waker);
        ready(Pin::new(&mut self.socket).poll_write(&mut cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a socket holds nothing back
    }
}

fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Accepts what the runtime has not heard of yet: whoever cuts all connections means those, too.
fn accept_unheard(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    let peer = peer.as_socket().ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((TcpStream::from_std(socket.into())?, peer))
}
