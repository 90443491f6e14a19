//! Many sessions on one runtime: those that have little to do share a task.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use support::{ensemble, soon, until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::sleep;
use zk_session_tokio::{Client, ErrorKind, KeeperState, Layer, Layered, OpError, WatchEvent};

/// A ping every third of it.
const TIMEOUT: Duration = Duration::from_millis(1200);

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn when_tasks_are(count: usize) {
    soon(async {
        while tasks() != count {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn idle_sessions_share_a_task_and_one_that_is_asked_has_its_own_for_a_while() {
    let ensemble = ensemble(1);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let builder = Client::builder(ensemble.connect_string()).timeout(TIMEOUT);
        clients.push(builder.connect().await.unwrap());
    }
    assert_eq!(tasks(), 1);
    for client in &clients[..3] {
        soon(client.exists("/")).await.unwrap();
    }
    assert_eq!(tasks(), 4);
    when_tasks_are(1).await;
    // All of them ping, wherever they are and have been.
    let pinged = |client: &Client| client.pings().answered >= 2;
    soon(async {
        while !clients.iter().all(pinged) {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(clients.iter().all(|client| client.state() == KeeperState::SyncConnected));
    soon(clients[0].exists("/")).await.unwrap();
    for client in &clients {
        soon(client.close()).await.unwrap();
    }
    when_tasks_are(0).await;
    let again = Client::builder(ensemble.connect_string()).connect().await.unwrap();
    soon(again.close()).await.unwrap();
}

#[tokio::test]
async fn an_idle_session_hears_of_its_watch_and_reconnects_beside_others() {
    let ensemble = ensemble(1);
    let connect = || Client::builder(ensemble.connect_string()).timeout(TIMEOUT).connect();
    let (idle, other) = (connect().await.unwrap(), connect().await.unwrap());
    let (_, mut watch) = soon(idle.exists("/there").watch()).await.unwrap();
    when_tasks_are(1).await;
    soon(other.create("/there", b"")).await.unwrap();
    assert!(matches!(soon(watch.next()).await, Some(WatchEvent::Changed { .. })));
    when_tasks_are(1).await;
    let mut transitions = [idle.transitions(), other.transitions()];
    ensemble.stop(0).unwrap();
    for told in &mut transitions {
        until(told, KeeperState::Disconnected).await;
    }
    ensemble.start(0).unwrap();
    for told in &mut transitions {
        until(told, KeeperState::SyncConnected).await;
    }
    assert!(soon(idle.exists("/there")).await.unwrap().is_some());
}

#[derive(Clone, Default)]
struct Fragile {
    breaks: Arc<AtomicBool>,
    /// What is written goes nowhere, which shows when it is flushed.
    clogs: Arc<AtomicBool>,
}

struct Glass {
    tcp: TcpStream,
    is: Fragile,
}

impl Layer for Fragile {
    fn wrap(&self, tcp: TcpStream, _: &str) -> Layered {
        let is = self.clone();
        Box::pin(async move {
            let stream: Box<dyn zk_session_tokio::Stream> = Box::new(Glass { tcp, is });
            Ok(stream)
        })
    }
}

impl AsyncRead for Glass {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(!self.is.breaks.load(Ordering::Relaxed), "on purpose, by a test");
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Glass {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is.clogs.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is.clogs.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_layer_that_panics_takes_down_its_own_session_and_no_other() {
    let ensemble = ensemble(1);
    let builder = || Client::builder(ensemble.connect_string()).timeout(TIMEOUT);
    let layer = Fragile::default();
    let fragile = builder().layer(Arc::new(layer.clone())).connect().await.unwrap();
    let other = builder().connect().await.unwrap();
    when_tasks_are(1).await;
    layer.breaks.store(true, Ordering::Relaxed);
    soon(async {
        let mut states = fragile.states();
        while states.changed().await.is_ok() {}
    })
    .await;
    let failed = soon(fragile.exists("/")).await.unwrap_err();
    assert!(matches!(failed.kind, ErrorKind::NoRuntime), "{failed}");
    let pings = other.pings().answered;
    soon(async {
        while other.pings().answered < pings + 2 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    soon(other.close()).await.unwrap();
}

#[tokio::test]
async fn a_layer_that_cannot_flush_is_noticed_with_the_request() {
    let ensemble = ensemble(1);
    let layer = Fragile::default();
    let builder = Client::builder(ensemble.connect_string()).timeout(Duration::from_secs(10));
    let client = builder.layer(Arc::new(layer.clone())).connect().await.unwrap();
    soon(client.exists("/")).await.unwrap();
    layer.clogs.store(true, Ordering::Relaxed);
    let lost = tokio::time::timeout(Duration::from_secs(2), client.exists("/").into_future()).await;
    let lost = lost.expect("not only when the next ping is due").unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Op(OpError::ConnectionLoss));
}

#[test]
fn a_runtime_without_a_timer_panics_and_keeps_nobody_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let _inside = runtime.enter();
    for _ in 0..2 {
        assert!(std::panic::catch_unwind(|| Client::builder("127.0.0.1:1").start()).is_err());
    }
}
