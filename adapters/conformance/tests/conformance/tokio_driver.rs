//! The adapter of tokio.

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use zk_session::client::KeeperState;
use zk_session::wire::SessionId;
use zk_session_tokio::{Client, Error, ErrorKind, Limits, Transitions};

use crate::asked::{self, Asked};
use crate::driver::{Driver, FRAME, Failure, Op, Outcome, of_op, of_submit};

pub(crate) struct Tokio {
    client: Client,
    transitions: Mutex<Transitions>,
    /// Where the session lives.
    theirs: Mutex<Option<Runtime>>,
    /// Where the application waits.
    ours: Runtime,
}

impl Tokio {
    fn asked<'d>(&'d self, op: Op<'d>) -> Asked<'d> {
        let client = &self.client;
        match op {
            Op::Create(path) => done(client.create(path, b"")),
            Op::Ephemeral(path) => done(client.create(path, b"").ephemeral()),
            Op::Get(path) => {
                let get = client.get(path).into_future();
                Box::pin(async { get.await.map(|node| node.data.into()).map_err(of_error) })
            }
            Op::Set(path, data) => done(client.set(path, data)),
            Op::Delete(path) => done(client.delete(path)),
            Op::Sync(path) => done(client.sync(path)),
        }
    }
}

/// What it is does not matter, only that it is done.
fn done<'d, T>(call: impl IntoFuture<Output = Result<T, Error>, IntoFuture: 'd>) -> Asked<'d> {
    let call = call.into_future();
    Box::pin(async { call.await.map(|_| Vec::new()).map_err(of_error) })
}

impl Driver for Tokio {
    type Begun<'d> = Asked<'d>;

    fn start(hosts: &str, timeout: Duration) -> Self {
        let mut limits = Limits::default();
        (limits.recv, limits.transmit) = (FRAME, FRAME);
        let theirs = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ours = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let client = {
            let _within = theirs.enter();
            Client::builder(hosts).timeout(timeout).limits(limits).start().unwrap()
        };
        let transitions = Mutex::new(client.transitions());
        Self { client, transitions, theirs: Mutex::new(Some(theirs)), ours }
    }

    fn request(&self, op: Op<'_>) -> Outcome {
        self.ours.block_on(self.asked(op))
    }

    fn begin<'d>(&'d self, op: Op<'d>) -> Self::Begun<'d> {
        asked::begin(&self.ours, self.asked(op))
    }

    fn finish(&self, begun: Self::Begun<'_>) -> Outcome {
        self.ours.block_on(begun)
    }

    fn cancel(&self, op: Op<'_>, polls: usize) -> bool {
        asked::cancel(&self.ours, self.asked(op), polls)
    }

    fn next_state(&self, patience: Duration) -> Option<KeeperState> {
        let mut transitions = self.transitions.lock().unwrap();
        let next = self.ours.block_on(async {
            let next = pin!(transitions.next());
            tokio::time::timeout(patience, next).await
        });
        next.ok()?.map(|transition| transition.state)
    }

    fn session_id(&self) -> SessionId {
        self.client.session_id()
    }

    fn close(&self) -> bool {
        self.ours.block_on(self.client.close()).is_ok()
    }

    fn shut_down(&self) {
        drop(self.theirs.lock().unwrap().take());
    }
}

fn of_error(error: Error) -> Failure {
    match error.kind {
        ErrorKind::Op(error) => of_op(error),
        ErrorKind::Submit(error) => of_submit(error),
        ErrorKind::NoRuntime => Failure::Over,
        other => Failure::Other(format!("{other:?}")),
    }
}
