//! Opening transports, to the session's server and to those that are asked whether they can write.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use zk_session::client::ProbeAnswer;

use crate::transport::{Layer, Stream, Transport};

/// A transport on its way.
pub(crate) type Dialling = Pin<Box<dyn Future<Output = io::Result<Transport>> + Send>>;

/// A host that is being asked.
pub(crate) type Probing = Pin<Box<dyn Future<Output = ProbeAnswer> + Send>>;

/// Opens a transport to one of the host's addresses; names are resolved afresh every time. Whoever
/// dials gives up at the deadline.
pub(crate) fn dial(
    name: &str,
    port: u16,
    layer: Option<Arc<dyn Layer>>,
    deadline: Instant,
) -> Dialling {
    if let (Ok(address), None) = (name.parse::<IpAddr>(), &layer) {
        return Box::pin(async move { open((address, port).into()).await.map(Transport::Tcp) });
    }
    let name = name.to_owned();
    Box::pin(async move {
        let tcp = connect(&name, port, deadline).await?;
        Ok(match layer {
            None => Transport::Tcp(tcp),
            Some(layer) => Transport::Layered(layer.wrap(tcp, &name).await?),
        })
    })
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn connect(name: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut addresses: Vec<SocketAddr> = match name.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => lookup_host((name, port)).await?.collect(),
    };
    let Some(last) = addresses.pop() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    };
    let count = addresses.len() + 1;
    for (at, address) in addresses.into_iter().enumerate() {
        // A silent address leaves the others their share of the time.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(count - at).unwrap_or(u32::MAX);
        if let Ok(Ok(tcp)) = timeout_at(Instant::now() + share, open(address)).await {
            return Ok(tcp);
        }
    }
    open(last).await
}

/// Asks a host whether it can write; the session waits no longer than the deadline either.
pub(crate) fn probe(
    name: String,
    port: u16,
    layer: Option<Arc<dyn Layer>>,
    deadline: Instant,
) -> Probing {
    Box::pin(async move {
        let mut answer = Vec::new();
        let asked = timeout_at(deadline, async {
            let mut stream: Box<dyn Stream> = match dial(&name, port, layer, deadline).await? {
                Transport::Tcp(tcp) => Box::new(tcp),
                Transport::Layered(stream) => stream,
            };
            stream.write_all(&ProbeAnswer::QUESTION).await?;
            stream.flush().await?;
            let longest = u64::try_from(ProbeAnswer::LONGEST).unwrap_or(u64::MAX);
            stream.take(longest).read_to_end(&mut answer).await.map(drop)
        });
        if let Ok(Err(error)) = asked.await {
            log::debug!("probing failed: {error}");
        }
        ProbeAnswer::parse(&answer)
    })
}
