//! Opening transports.

use core::future::Future;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use embedded_io::Error as _;
use embedded_io_async::{Read, Write};
use embedded_nal_async::{AddrType, Dns, TcpConnect};
use zk_session::client::Host;

use crate::DialError;

/// Opens transports to hosts: [`Tcp`] over a network stack, or something of your own, such as TLS.
///
/// ```
/// use embedded_io_async::{Read, Write};
/// use zk_session::client::Host;
/// use zk_session_embedded::{Dial, DialError};
///
/// /// TCP, and something over it.
/// struct Over<T, F>(T, F);
///
/// impl<T: Dial, S: Read + Write, F> Dial for Over<T, F>
/// where
///     F: for<'d> AsyncFn(T::Connection<'d>) -> Result<S, DialError>,
/// {
///     type Connection<'d> = S where Self: 'd;
///
///     async fn dial<'d>(&'d self, host: Host<'_>) -> Result<S, DialError> {
///         self.1(self.0.dial(host).await?).await
///     }
/// }
/// ```
pub trait Dial {
    /// A transport. It closes when it is dropped.
    ///
    /// Its `read`, `write` and `flush` must be free of side effects when they are dropped before they
    /// are ready, as those of `embassy-net` are: the driver reads until it has something to send.
    type Connection<'d>: Read + Write
    where
        Self: 'd;

    /// Opens a transport. It is dropped when it takes too long; the last transport is gone before it
    /// begins.
    fn dial<'d>(
        &'d self,
        host: Host<'_>,
    ) -> impl Future<Output = Result<Self::Connection<'d>, DialError>>;
}

/// TCP through a network stack, such as `embassy-net`'s `TcpClient`.
///
/// A host of the connection string that is an address is dialled as it is; a name is
/// [resolved](Tcp::resolving) anew every time.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<C, R = NoResolver> {
    stack: C,
    resolver: R,
}

/// There is nothing that resolves names.
#[derive(Clone, Copy, Debug)]
pub struct NoResolver;

impl<C: TcpConnect> Tcp<C> {
    /// Dials through this stack. Hosts must be addresses.
    pub const fn new(stack: C) -> Self {
        Self { stack, resolver: NoResolver }
    }

    /// Resolves hosts that are names with this one, such as `embassy-net`'s `DnsSocket`.
    pub fn resolving<R: Dns>(self, resolver: R) -> Tcp<C, R> {
        Tcp { stack: self.stack, resolver }
    }
}

/// Resolves a name.
pub trait Resolve {
    /// The first address of a host.
    fn resolve(&self, name: &str) -> impl Future<Output = Result<IpAddr, DialError>>;
}

impl Resolve for NoResolver {
    async fn resolve(&self, _name: &str) -> Result<IpAddr, DialError> {
        Err(DialError::NoResolver)
    }
}

impl<R: Dns> Resolve for R {
    async fn resolve(&self, name: &str) -> Result<IpAddr, DialError> {
        self.get_host_by_name(name, ADDRESSES).await.map_err(|_| DialError::NotResolved)
    }
}

/// Which addresses are asked for.
const ADDRESSES: AddrType = if cfg!(feature = "ipv6") { AddrType::Either } else { AddrType::IPv4 };

impl<C: TcpConnect, R: Resolve> Dial for Tcp<C, R> {
    type Connection<'d>
        = C::Connection<'d>
    where
        Self: 'd;

    async fn dial<'d>(&'d self, host: Host<'_>) -> Result<Self::Connection<'d>, DialError> {
        let address = match literal(host.name) {
            Some(address) => address,
            None => self.resolver.resolve(host.name).await?,
        };
        let stream = self.stack.connect(SocketAddr::new(address, host.port)).await;
        stream.map_err(|error| DialError::Refused(error.kind()))
    }
}

/// The address that a name is already.
fn literal(name: &str) -> Option<IpAddr> {
    let address = name.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    #[cfg(feature = "ipv6")]
    let address = address.or_else(|| name.parse().ok().map(IpAddr::V6));
    address
}
