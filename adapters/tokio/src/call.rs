//! A request that is being made up: what is asked, and how.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use zk_session::client::WatchKind;
use zk_session::wire::{OpCode, Request};

use crate::client::Client;
use crate::error::ErrorKind;
use crate::pending::{About, Outcome, Pending, finish};
use crate::watch::{Queue, Watch};

/// How many events of a watch wait for its reader, unless the call says otherwise.
const BUFFER: usize = 1024;

/// What is asked. The library's own operations are the only ones; see [`op`](crate::op).
pub trait Operation: sealed::Operation {}

pub(crate) mod sealed {
    use super::{ErrorKind, OpCode, Outcome, Request, WatchKind};

    pub trait Operation: Sized {
        type Output;

        /// What is asked, for errors.
        fn op(&self) -> OpCode;

        /// The znode it is about, as the caller named it; empty for none or several.
        fn path(&self) -> &str;

        /// Lends the request, with paths as the session names them.
        fn request<R>(&self, view: &str, watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R;

        /// Takes the answer apart.
        fn finish(outcome: &mut Outcome<'_>) -> Result<Self::Output, ErrorKind>;

        /// Whether the path is the server's own, whatever the client calls `/`.
        fn is_absolute(&self) -> bool {
            false
        }

        /// The watches it arms: on success, and where there is no znode.
        fn wish(&self) -> Option<(WatchKind, Option<WatchKind>)> {
            None
        }
    }

    pub trait Watchable {
        /// What a success arms.
        const KIND: WatchKind;
        /// What the server's word that there is no such znode arms.
        const KIND_ON_NO_NODE: Option<WatchKind> = None;
    }
}

/// A request that is being made up. It is made by `.await` or [`send`](Self::send), in that order
/// among all requests of the session; before that nothing happens.
#[must_use = "a request does nothing until it is awaited or sent"]
pub struct Call<'a, O> {
    pub(crate) client: &'a Client,
    pub(crate) time: Option<Duration>,
    pub(crate) buffer: usize,
    pub(crate) op: O,
}

impl<O> fmt::Debug for Call<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("time", &self.time).finish_non_exhaustive()
    }
}

impl<'a, O: Operation> Call<'a, O> {
    pub(crate) const fn new(client: &'a Client, op: O) -> Self {
        Self { client, time: None, buffer: BUFFER, op }
    }

    /// Gives the request up if it is not answered within this time from when it is made, waiting for
    /// a server included: [`ErrorKind::NotSent`] if it has not left until then; if it has,
    /// [`OpError::Timeout`](zk_session::OpError::Timeout), and the connection is given up with it,
    /// for what comes after a lost answer could not be told apart: the session goes on elsewhere.
    pub const fn deadline(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// How many events of the watch may wait for its reader before further ones are counted
    /// instead. Default 1,024; at least 1. Only for calls that set a watch.
    pub const fn buffer(mut self, events: usize) -> Self {
        self.buffer = if events == 0 { 1 } else { events };
        self
    }

    /// Makes the request and returns the future of its answer. It leaves by itself: many can be
    /// made before the first is awaited, and leave together.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ensemble = zk_session_std::EmbeddedEnsemble::builder().servers(1).start()?;
    /// # let client = zk_session_tokio::Client::connect(ensemble.connect_string()).await?;
    /// let first = client.create("/queue", b"").send();
    /// let second = client.create("/queue/item-", b"work").sequential().send();
    /// first.await?;
    /// assert_eq!(second.await?, "/queue/item-0000000000");
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(self) -> Pending<O::Output> {
        self.make(true)
    }

    /// Makes the request; `leaving`: it leaves though nobody polls it.
    fn make(self, leaving: bool) -> Pending<O::Output> {
        let Self { client, time, buffer, op } = self;
        let shared = client.shared();
        let view = client.view();
        let wish = op.wish().map(|kinds| {
            let below = if op.is_absolute() { "" } else { view };
            let path = zk_session::path::join(below, op.path()).into();
            Arc::new(Queue::new(path, kinds, buffer))
        });
        let deadline = time.map(|time| shared.after(time));
        let placed = op.request(view, wish.is_some(), |request| {
            let mut inner = shared.lock();
            let placed = inner.place(shared, request, deadline, wish);
            if leaving {
                inner.signal();
            }
            placed
        });
        let view = client.view_shared();
        let about = About { op: op.op(), path: op.path(), view, timed: time.is_some() };
        Pending::new(shared.clone(), placed, about, !leaving, finish::<O>)
    }
}

impl<O: Operation> IntoFuture for Call<'_, O> {
    type Output = Result<O::Output, crate::Error>;
    type IntoFuture = Pending<O::Output>;

    fn into_future(self) -> Pending<O::Output> {
        self.make(false)
    }
}

/// A read that can arm a watch.
pub trait Watchable: Operation + sealed::Watchable {}

/// A read that arms a watch as well; its result comes with the [`Watch`].
#[derive(Debug)]
pub struct Watched<O>(O);

impl<'a, O: Watchable> Call<'a, O> {
    /// Arms a watch as well, for the next change of what is read: [`get`](Client::get) for that of
    /// the data and the znode's deletion, [`exists`](Client::exists) for its creation too,
    /// [`children`](Client::children) for the next child that comes or goes and the znode's deletion,
    /// [`config`](Client::config) for the next configuration. The result comes with the [`Watch`].
    ///
    /// If the call fails no watch is armed; that there is no such znode is no failure of `exists`.
    pub fn watch(self) -> Call<'a, Watched<O>> {
        let Self { client, time, buffer, op } = self;
        Call { client, time, buffer, op: Watched(op) }
    }
}

impl<O: Watchable> Operation for Watched<O> {}

impl<O: Watchable> sealed::Operation for Watched<O> {
    type Output = (O::Output, Watch);

    fn op(&self) -> OpCode {
        self.0.op()
    }

    fn path(&self) -> &str {
        self.0.path()
    }

    fn request<R>(&self, view: &str, watch: bool, lend: impl FnOnce(&Request<'_>) -> R) -> R {
        self.0.request(view, watch, lend)
    }

    fn finish(outcome: &mut Outcome<'_>) -> Result<(O::Output, Watch), ErrorKind> {
        let value = O::finish(outcome)?;
        Ok((value, outcome.watch().ok_or(ErrorKind::UnexpectedAnswer)?))
    }

    fn wish(&self) -> Option<(WatchKind, Option<WatchKind>)> {
        Some((O::KIND, O::KIND_ON_NO_NODE))
    }
}
