//! One front-end server of an ensemble, and the faults that it has.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use zk_session::server::ServerId;

use super::error::EnsembleError;
use super::net::Net;
use super::port::Port;

/// One front-end server: the engine's name for it, its port and its faults.
#[derive(Debug)]
pub(super) struct Front<N: Net> {
    pub(super) id: ServerId,
    pub(super) addr: SocketAddr,
    pub(super) port: Port<N::Listener>,
    /// There may be connections to accept.
    pub(super) pending: bool,
    /// Not before then.
    pub(super) pause: Option<Instant>,
    /// How long bytes take, each way.
    pub(super) delay: Duration,
    /// It does nothing, as if its process had been stopped.
    pub(super) frozen: bool,
}

impl<N: Net> Front<N> {
    pub(super) fn new(id: ServerId, addr: SocketAddr, port: Port<N::Listener>) -> Self {
        Self { id, addr, port, pending: false, pause: None, delay: Duration::ZERO, frozen: false }
    }
}

/// A server by its number.
pub(super) fn front<N: Net>(
    fronts: &mut [Front<N>],
    server: usize,
) -> Result<&mut Front<N>, EnsembleError> {
    let servers = fronts.len();
    fronts.get_mut(server).ok_or(EnsembleError::NoServer { server, servers })
}
