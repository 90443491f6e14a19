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

/// Opens a transport to one of the host's addresses; names are resolved afresh every time.
pub(crate) fn dial(
    name: String,
    port: u16,
    layer: Option<Arc<dyn Layer>>,
    deadline: Instant,
) -> Dialling {
    Box::pin(async move {
        let tcp = timeout_at(deadline, connect(&name, port, deadline)).await??;
        match layer {
            None => Ok(Transport::Tcp(tcp)),
            Some(layer) => {
                let stream = timeout_at(deadline, layer.wrap(tcp, &name)).await??;
                Ok(Transport::Layered(stream))
            }
        }
    })
}

async fn connect(name: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = match name.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => lookup_host((name, port)).await?.collect(),
    };
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let count = addresses.len();
    for (at, address) in addresses.into_iter().enumerate() {
        // A silent address leaves the others their share of the time.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(count - at).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Ok(Err(error)) => failure = error,
            Err(late) => failure = late.into(),
        }
    }
    Err(failure)
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
            let mut stream: Box<dyn Stream> = match dial(name, port, layer, deadline).await? {
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
