//! The adapter of plain threads.

use std::sync::Mutex;
use std::time::Duration;

use zk_session::client::KeeperState;
use zk_session::owned::Answer;
use zk_session::storage::Limits;
use zk_session::wire::{CreateMode, Request, SessionId};
use zk_session_std::{Client, Error, ErrorKind, Events, Pending, SessionEvent};

use crate::driver::{Driver, FRAME, Failure, Op, Outcome, of_op, of_submit};

pub(crate) struct Std {
    client: Mutex<Option<Client>>,
    events: Mutex<Events>,
}

impl Std {
    fn client(&self) -> Option<Client> {
        self.client.lock().unwrap().clone()
    }
}

impl Driver for Std {
    type Begun<'d> = Result<Pending, Failure>;

    fn start(hosts: &str, timeout: Duration) -> Self {
        let mut limits = Limits::default();
        (limits.recv, limits.transmit) = (FRAME, FRAME);
        let client = Client::builder(hosts).timeout(timeout).limits(limits).start().unwrap();
        Self { events: Mutex::new(client.events()), client: Mutex::new(Some(client)) }
    }

    fn request(&self, op: Op<'_>) -> Outcome {
        self.finish(self.begin(op))
    }

    fn begin<'d>(&'d self, op: Op<'d>) -> Self::Begun<'d> {
        let client = self.client().ok_or(Failure::Over)?;
        let request = match op {
            Op::Create(path) => Request::create(path, b"", CreateMode::Persistent),
            Op::Ephemeral(path) => Request::create(path, b"", CreateMode::Ephemeral),
            Op::Get(path) => Request::get_data(path, false),
            Op::Set(path, data) => Request::set_data(path, data, -1),
            Op::Delete(path) => Request::delete(path, -1),
            Op::Sync(path) => Request::sync(path),
        };
        client.submit(&request).map_err(of_error)
    }

    fn finish(&self, begun: Self::Begun<'_>) -> Outcome {
        match begun?.wait().map_err(of_op)? {
            Answer::Data(data, _) => Ok(data.unwrap_or_default()),
            _ => Ok(Vec::new()),
        }
    }

    fn cancel(&self, op: Op<'_>, polls: usize) -> bool {
        let Ok(pending) = self.begin(op) else { return false };
        for _ in 0..polls {
            std::thread::yield_now();
        }
        pending.is_ready()
    }

    fn next_state(&self, patience: Duration) -> Option<KeeperState> {
        loop {
            match self.events.lock().unwrap().recv_timeout(patience)? {
                SessionEvent::State(change) => return Some(change.state),
                _ => continue,
            }
        }
    }

    fn session_id(&self) -> SessionId {
        self.client().map_or(SessionId::NONE, |client| client.session_id())
    }

    fn close(&self) -> bool {
        self.client().is_some_and(|client| client.close().is_ok())
    }

    /// There is no runtime: the last handle goes.
    fn shut_down(&self) {
        *self.client.lock().unwrap() = None;
    }
}

fn of_error(error: Error) -> Failure {
    match error.kind {
        ErrorKind::Op(error) => of_op(error),
        ErrorKind::Submit(error) => of_submit(error),
        other => Failure::Other(format!("{other:?}")),
    }
}
