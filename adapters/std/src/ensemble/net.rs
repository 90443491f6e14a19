//! What the reactor's loop gives it: sockets that never block.

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};

/// The sockets of one kind of loop.
///
/// None of them ever blocks. When one of them has said that it would, the loop tells the reactor
/// once it need not any more: [`note_listener`](super::reactor::Reactor::note_listener),
/// [`note_socket`](super::reactor::Reactor::note_socket).
pub trait Net: Debug + Send + 'static {
    /// A server's listening socket.
    type Listener: Debug + Send + 'static;
    /// A client's connection.
    type Stream: Read + Write + Debug + Send + 'static;

    /// Whether a read that does not fill the buffer is as good as one that would block; otherwise
    /// only the latter brings news of what comes next.
    const SHORT_READ_ENDS: bool;

    /// Has the loop tell of connections to a server.
    ///
    /// # Errors
    /// What the system says.
    fn listen(&mut self, listener: TcpListener, server: usize) -> io::Result<Self::Listener>;

    /// Takes a connection, and has the loop tell of it as the given slot.
    ///
    /// # Errors
    /// What the system says.
    fn accept(
        &mut self,
        listener: &mut Self::Listener,
        slot: usize,
    ) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Ends our half of a connection.
    ///
    /// # Errors
    /// The peer has ended all of it.
    fn shut_down(&mut self, stream: &mut Self::Stream) -> io::Result<()>;

    /// The listener is about to be dropped.
    fn forget_listener(&mut self, listener: &mut Self::Listener);

    /// The connection is about to be dropped.
    fn forget(&mut self, stream: &mut Self::Stream);
}

/// What is known of a socket that need not block any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer will send no more.
    pub ending: bool,
    /// Neither side can send any more.
    pub failed: bool,
}
