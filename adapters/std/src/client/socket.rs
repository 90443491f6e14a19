//! What the standard library's sockets cannot do: to read and write without waiting for it, and to
//! give a connection attempt up.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a dial goes on at the most after it is not wanted any more.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Whether the error only says that there is nothing to read, or no room to write to, for now.
pub(super) fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Connects until the deadline, as long as that is wanted.
pub(super) fn connect(
    address: SocketAddr,
    deadline: Instant,
    wanted: impl Fn() -> bool,
) -> io::Result<TcpStream> {
    let left = || deadline.saturating_duration_since(Instant::now());
    if left().is_zero() || !wanted() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let stream = system::connect(address, left, wanted)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(super) use system::{read_now, write_now};

#[cfg(unix)]
mod system {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{RecvFlags, SendFlags, recv, send};
    use socket2::{Domain, Protocol, SockRef, Socket, Type};

    use super::{Duration, LOOK_UP, SocketAddr, TcpStream, io};

    /// Apple's systems have an option of the socket for it, which the standard library sets.
    #[cfg(target_vendor = "apple")]
    const NO_SIGNAL: SendFlags = SendFlags::empty();
    #[cfg(not(target_vendor = "apple"))]
    const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

    /// Reads what is there.
    pub(crate) fn read_now(stream: &TcpStream, to: &mut [u8]) -> io::Result<usize> {
        Ok(recv(stream, to, RecvFlags::DONTWAIT)?.1)
    }

    /// Writes what there is room for.
    pub(crate) fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(stream, bytes, SendFlags::DONTWAIT | NO_SIGNAL)?)
    }

    pub(super) fn connect(
        address: SocketAddr,
        left: impl Fn() -> Duration,
        wanted: impl Fn() -> bool,
    ) -> io::Result<TcpStream> {
        let domain = Domain::for_address(address);
        let stream: TcpStream = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?.into();
        stream.set_nonblocking(true)?;
        let begun = SockRef::from(&stream).connect(&address.into());
        let is_under_way = |error: &io::Error| {
            let code = error.raw_os_error();
            code == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) || super::is_wait(error)
        };
        match begun {
            Ok(()) => {}
            Err(error) if is_under_way(&error) => loop {
                let ready = wait_for(&stream, left())?;
                if ready.intersects(PollFlags::ERR | PollFlags::HUP) {
                    return Err(stream.take_error()?.unwrap_or(io::ErrorKind::NotConnected.into()));
                }
                if !ready.is_empty() {
                    break;
                }
                if left().is_zero() || !wanted() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            },
            Err(error) => return Err(error),
        }
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Waits a while for the attempt to succeed or fail; returns what the stream is ready for.
    fn wait_for(stream: &TcpStream, left: Duration) -> io::Result<PollFlags> {
        let wait = Timespec::try_from(left.min(LOOK_UP)).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(stream, PollFlags::OUT)];
        match poll(&mut polled, Some(&wait)) {
            Ok(_) => Ok(polled.first().map_or(PollFlags::empty(), PollFd::revents)),
            Err(rustix::io::Errno::INTR) => Ok(PollFlags::empty()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Elsewhere, all waits are those of the standard library.
#[cfg(not(unix))]
mod system {
    use super::{Duration, SocketAddr, TcpStream, io};

    pub(crate) fn read_now(_: &TcpStream, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(crate) fn write_now(_: &TcpStream, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(super) fn connect(
        address: SocketAddr,
        left: impl Fn() -> Duration,
        _: impl Fn() -> bool,
    ) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&address, left().max(Duration::from_millis(1)))
    }
}
