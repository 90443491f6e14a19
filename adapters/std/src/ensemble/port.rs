//! A TCP port that stays ours while nobody listens on it.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the system keeps for us until they are accepted: a whole ensemble's clients
/// may come back at once. The system caps it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A port, listening or held.
///
/// A held port is bound but does not listen: connects are refused, yet the system gives the port to
/// nobody else, neither to a listener that takes any port nor to an outgoing connection. The latter
/// matters on loopback, where a client that redials a freed port can end up connected to itself.
#[derive(Debug)]
pub(super) enum Port<L> {
    /// Connections can be accepted.
    Listening(L),
    /// Connections are refused; `None` if the system would not let us bind again.
    Held(Option<Socket>),
}

impl<L> Port<L> {
    /// Binds a port without listening on it yet; port 0 takes a free one. Also says which.
    pub(super) fn bind(addr: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let socket = bound(addr)?;
        let addr = socket.local_addr()?.as_socket();
        let addr = addr.ok_or_else(|| io::Error::other("the socket has no internet address"))?;
        Ok((Self::Held(Some(socket)), addr))
    }

    /// Starts to listen, through what `open` makes of the socket; `false` if it does already.
    pub(super) fn listen(
        &mut self,
        addr: SocketAddr,
        open: impl FnOnce(TcpListener) -> io::Result<L>,
    ) -> io::Result<bool> {
        let Self::Held(held) = self else { return Ok(false) };
        let socket = match held.take() {
            Some(socket) => socket,
            None => bound(addr)?,
        };
        socket.listen(BACKLOG)?;
        match open(socket.into()) {
            Ok(listener) => *self = Self::Listening(listener),
            Err(error) => {
                self.hold(addr);
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Stops listening; connections nobody has accepted are reset.
    pub(super) fn hold(&mut self, addr: SocketAddr) {
        if matches!(self, Self::Held(Some(_))) {
            return;
        }
        *self = Self::Held(None); // a port cannot be bound twice while it listens
        match bound(addr) {
            Ok(socket) => *self = Self::Held(Some(socket)),
            Err(error) => log::warn!("cannot hold {addr} while its server is stopped: {error}"),
        }
    }

    /// The listener, if it listens.
    pub(super) fn listener(&mut self) -> Option<&mut L> {
        match self {
            Self::Listening(listener) => Some(listener),
            Self::Held(_) => None,
        }
    }
}

fn bound(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Unix this lets a port be bound again while old connections linger in TIME_WAIT; on
    // Windows that is so anyway, and the option would let two listeners share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn a_held_port_refuses_connections_and_can_listen_again() {
        let (mut port, addr) = Port::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        assert!(TcpStream::connect(addr).is_err());
        for _ in 0..3 {
            assert!(port.listen(addr, Ok).unwrap());
            assert!(!port.listen(addr, Ok).unwrap(), "it listens already");
            let client = TcpStream::connect(addr).unwrap();
            port.hold(addr);
            port.hold(addr);
            assert!(TcpStream::connect(addr).is_err());
            drop(client);
        }
        drop(port);
        TcpListener::bind(addr).unwrap();
    }
}
