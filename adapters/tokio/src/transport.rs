//! What carries the bytes: TCP, or what a [`Layer`] makes of it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream that a [`Layer`] is about to make.
pub type Layered = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// What lies between TCP and ZooKeeper, such as TLS: made anew for every connection, within the
/// time that the session gives to an attempt. It and its streams are polled while the session is
/// locked: what they do must not ask anything of the client that they carry.
pub trait Layer: Send + Sync {
    /// Makes a stream of an open connection to `host`: the name or address that the connection
    /// string has, without brackets and port.
    fn wrap(&self, tcp: TcpStream, host: &str) -> Layered;
}

/// An open transport.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Layered(Box<dyn Stream>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(tcp) => tcp.fmt(f),
            Self::Layered(_) => f.write_str("Layered"),
        }
    }
}

impl Transport {
    /// Reads into the buffer: how many bytes came, 0 at the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, &mut buffer),
            Self::Layered(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Writes from the buffer: how many bytes left.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Layered(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Pushes out what a layer holds back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Layered(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}
