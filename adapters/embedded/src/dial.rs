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

/// Four numbers, as `Ipv4Addr` reads them: that one is five times as large, as it also reads IPv6.
fn dotted(name: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let (mut at, mut digits) = (0_usize, 0_u8);
    for byte in name.bytes() {
        let octet = octets.get_mut(at)?;
        match byte {
            b'.' if digits > 0 => (at, digits) = (at.saturating_add(1), 0),
            // No octal, no leading zeros.
            b'0'..=b'9' if digits == 0 || *octet > 0 => {
                let digit = byte.wrapping_sub(b'0');
                *octet = octet.checked_mul(10)?.checked_add(digit)?;
                digits = digits.saturating_add(1);
            }
            _ => return None,
        }
    }
    (at == 3 && digits > 0).then_some(Ipv4Addr::from(octets))
}

/// The address that a name is already.
fn literal(name: &str) -> Option<IpAddr> {
    let address = dotted(name).map(IpAddr::V4);
    #[cfg(feature = "ipv6")]
    let address = address.or_else(|| name.parse().ok().map(IpAddr::V6));
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_standard_library_reads_them() {
        for name in [
            "10.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.",
            ".1.2.3",
            "1..2.3",
            "01.2.3.4",
            "00.0.0.0",
            "1.2.3.4 ",
            "zk1",
            "",
            "1.2.3.a",
            "1.2.3.1000",
            "é.1.1.1",
        ] {
            assert_eq!(dotted(name), name.parse().ok(), "{name:?}");
        }
    }
}
