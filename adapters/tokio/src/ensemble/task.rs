//! The loop of a task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, Sleep, sleep};
use zk_session_std::EnsembleError;
use zk_session_std::parts::{Command, Failure, Reactor, Readiness, SETTLE_ROUNDS};

use super::net::{Sockets, Source, Wakes};

/// Commands that are taken at once.
const COMMANDS: usize = 64;
/// Deadlines that differ by less are the same to tokio.
const GRAIN: Duration = Duration::from_millis(1);

/// What the task owns.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) wakes: Arc<Wakes>,
    pub(super) commands: Receiver<Command<Sockets>>,
    pub(super) failure: Failure,
}

/// What a turn has to do.
#[derive(Default)]
struct News {
    sources: Vec<Source>,
    commands: Vec<Command<Sockets>>,
    /// The deadline has passed, and of what the system had for us before it we have been told:
    /// tokio looks at its sockets before its timers.
    time: bool,
    /// All handles are gone.
    over: bool,
}

impl Task {
    /// Runs until all handles are gone, or it cannot go on: then all connections end, with nothing
    /// sent on them that was not kept.
    pub(super) async fn run(mut self, reactor: Reactor<Sockets>) {
        match self.turns(Box::new(reactor)).await {
            Ok(reactor) => {
                // To close what is kept takes as long as the disk does.
                let _ = spawn_blocking(move || drop(reactor)).await;
            }
            Err(EnsembleError::Gone) => {} // the runtime shuts down, or a panic has said so already
            Err(error) => {
                log::error!("embedded ensemble stops serving: {error}");
                let _ = self.failure.set(Arc::new(error)); // unless it is that already
            }
        }
    }

    async fn turns(
        &mut self,
        mut reactor: Box<Reactor<Sockets>>,
    ) -> Result<Box<Reactor<Sockets>>, EnsembleError> {
        let mut timer = Box::pin(sleep(Duration::ZERO));
        let mut news = News::default();
        loop {
            let deadline = Instant::now() + reactor.wait();
            if timer.is_elapsed() || deadline + GRAIN <= timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            self.wait(reactor.is_busy(), timer.as_mut(), &mut news).await;
            for source in news.sources.drain(..) {
                match source {
                    Source::Listener(server) => reactor.note_listener(server),
                    Source::Socket(slot) => reactor.note_socket(
                        slot,
                        Readiness { readable: true, writable: true, ..Readiness::default() },
                    ),
                }
            }
            reactor.serve();
            if news.time {
                reactor.tell_time();
            }
            reactor = self.settle(reactor).await?;
            if !news.commands.is_empty() {
                let commands = news.commands.drain(..);
                let answers: Vec<_> = commands.map(|command| command(&mut reactor)).collect();
                reactor = self.settle(reactor).await?;
                for answer in answers {
                    answer();
                }
            }
            if news.over {
                return Ok(reactor);
            }
            reactor.close_overdue();
        }
    }

    /// Waits for something to do, unless there is; never without letting others have their turn.
    async fn wait(&mut self, busy: bool, mut timer: Pin<&mut Sleep>, news: &mut News) {
        let mut waited = false;
        poll_fn(|cx| {
            let some = self.commands.poll_recv_many(cx, &mut news.commands, COMMANDS).is_ready();
            news.over = some && news.commands.is_empty();
            news.time = timer.as_mut().poll(cx).is_ready(); // before what it promises to be after
            let woken = self.wakes.poll_take(cx, &mut news.sources).is_ready();
            if some || news.time || woken || busy {
                return Poll::Ready(());
            }
            waited = true;
            Poll::Pending
        })
        .await;
        // A command is to see the effect of what was sent before it was given: the runtime looks at
        // its sockets before it comes back to us.
        if !waited || !news.commands.is_empty() {
            yield_now().await;
            self.wakes.take(&mut news.sources);
        }
    }

    /// Keeps what has changed where that may take its time, and writes.
    async fn settle(
        &self,
        mut reactor: Box<Reactor<Sockets>>,
    ) -> Result<Box<Reactor<Sockets>>, EnsembleError> {
        // Whoever waits for an answer learns of the failure, so it is set before they are told.
        let failed = |error: &EnsembleError| drop(self.failure.set(Arc::new(error.clone())));
        for _ in 0..SETTLE_ROUNDS {
            let settled = if reactor.has_to_keep() {
                let settling = spawn_blocking(move || {
                    let settled = reactor.settle();
                    (reactor, settled)
                });
                let (back, settled) = settling.await.map_err(|_| EnsembleError::Gone)?;
                reactor = back;
                settled
            } else {
                reactor.settle()
            };
            if settled.inspect_err(failed)? {
                break;
            }
        }
        Ok(reactor)
    }
}
