//! The clients, all behind one trait so that all run the same loops.

mod floor;
mod floor_tokio;
mod ours_std;
mod ours_tokio;
mod tokio_zookeeper;
mod zookeeper_async;
mod zookeeper_client;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use crate::drive::{self, Job};
use crate::meter::Figures;

/// Why a row has no figure.
pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// How a client is shared by several tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// By tasks of its runtime.
    Tasks,
    /// By threads.
    Threads,
    /// Not at all: one loop does the work of all tasks.
    Alone,
}

/// A connected client. Its methods return when everything they asked for has been answered.
pub(crate) trait Peer: Sized + Send + Sync + 'static {
    const SHARING: Sharing;

    /// Opens a session and waits until it can be used.
    fn open(addr: SocketAddr, timeout: Duration) -> impl Future<Output = Result<Self>> + Send;

    /// Closes the session and waits until it is closed.
    fn close(self) -> impl Future<Output = Result> + Send;

    /// Reads a znode so many times, all at once.
    fn get(&self, path: &'static str, times: usize) -> impl Future<Output = Result> + Send;

    /// Writes a znode so many times, all at once.
    fn set(
        &self,
        path: &'static str,
        value: &'static [u8],
        times: usize,
    ) -> impl Future<Output = Result> + Send;

    /// Arms a watch at each of these paths and waits for an event of each.
    fn rearm(&mut self, paths: &[String]) -> impl Future<Output = Result>;

    /// Adds a persistent watch.
    fn watch(&mut self, path: &str) -> impl Future<Output = Result>;

    /// Reads a znode whose reading sets events off, and waits for so many of them.
    fn flood(&mut self, path: &str, events: usize) -> impl Future<Output = Result>;

    /// Lets idle sessions be for a while.
    fn rest(_sessions: &mut [Self], time: Duration) -> impl Future<Output = Result> {
        async move {
            tokio::time::sleep(time).await;
            Ok(())
        }
    }
}

/// A client that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Floor,
    FloorTokio,
    Std,
    Tokio,
    ZookeeperClient,
    TokioZookeeper,
    ZookeeperAsync,
    C,
}

impl Name {
    pub(crate) const ALL: [Self; 8] = [
        Self::Floor,
        Self::Std,
        Self::FloorTokio,
        Self::Tokio,
        Self::ZookeeperClient,
        Self::TokioZookeeper,
        Self::ZookeeperAsync,
        Self::C,
    ];

    /// The word that chooses it on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FloorTokio => "floor-tokio",
            Self::Std => "std",
            Self::Tokio => "tokio",
            Self::ZookeeperClient => "zookeeper-client",
            Self::TokioZookeeper => "tokio-zookeeper",
            Self::ZookeeperAsync => "zookeeper-async",
            Self::C => "c",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor: a socket loop",
            Self::FloorTokio => "the same loop on tokio",
            Self::Std => "**zk-session-std**",
            Self::Tokio => "**zk-session-tokio**",
            Self::ZookeeperClient => "zookeeper-client 0.11",
            Self::TokioZookeeper => "tokio-zookeeper 0.4",
            Self::ZookeeperAsync => "zookeeper-async 5",
            Self::C => "libzookeeper-mt (C)",
        }
    }

    /// Runs a row in this process.
    pub(crate) fn run(self, job: &Job) -> Result<Figures> {
        let blocking = |work| futures::executor::block_on(work);
        match self {
            Self::Floor => blocking(Box::pin(drive::run::<floor::Floor>(job)) as BoxedRun<'_>),
            Self::Std => blocking(Box::pin(drive::run::<ours_std::Std>(job))),
            Self::FloorTokio => on_tokio(job, drive::run::<floor_tokio::FloorTokio>(job)),
            Self::Tokio => on_tokio(job, drive::run::<ours_tokio::OursTokio>(job)),
            Self::ZookeeperClient => on_tokio(job, drive::run::<zookeeper_client::Kezhuw>(job)),
            Self::TokioZookeeper => on_tokio(job, drive::run::<tokio_zookeeper::Tokio>(job)),
            Self::ZookeeperAsync => on_tokio(job, drive::run::<zookeeper_async::Krojew>(job)),
            Self::C => Err("it is a program of its own".to_owned()),
        }
    }
}

type BoxedRun<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Figures>> + 'a>>;

fn on_tokio(job: &Job, work: impl Future<Output = Result<Figures>>) -> Result<Figures> {
    let mut builder = match job.threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if job.threads > 0 {
        builder.worker_threads(job.threads);
    }
    builder.enable_all().build().map_err(|error| error.to_string())?.block_on(work)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
