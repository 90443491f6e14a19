//! Ports that nobody else gets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::error::while_doing;

/// A loopback port that is kept from everyone else as long as this value lives, and is refused
/// while nobody listens.
///
/// The port is bound with `SO_REUSEADDR` but does not listen. Whoever knows it and sets
/// `SO_REUSEADDR` too (std's `TcpListener` and ZooKeeper both do) can listen on it, stop, and
/// listen again; the kernel hands it to nobody who asks for any free port, and a client that dials
/// it meanwhile cannot connect to itself.
#[derive(Debug)]
pub struct ReservedPort {
    addr: SocketAddr,
    _socket: Socket,
}

impl ReservedPort {
    /// Reserves a free port on 127.0.0.1.
    ///
    /// # Errors
    /// Whatever the system says when it has no socket or no port left.
    pub fn new() -> io::Result<Self> {
        let reserve = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            let addr = socket.local_addr()?.as_socket();
            let addr =
                addr.ok_or_else(|| io::Error::other("the socket has no internet address"))?;
            Ok(Self { addr, _socket: socket })
        };
        reserve().map_err(while_doing("cannot reserve a port on 127.0.0.1"))
    }

    /// The address that is reserved.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
