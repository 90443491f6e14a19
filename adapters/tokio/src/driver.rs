//! The session's own task: dials, reads, writes, keeps time, and hands out what came.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use zk_session::Machine;
use zk_session::client::{HostIndex, Link, ProbeAnswer};

use crate::clock;
use crate::dial::{Dialling, Probing, dial, probe};
use crate::shared::{Inner, Over, Shared, Trouble};

/// How often one poll goes round before other tasks get their turn.
const TURNS: usize = 16;

/// The longest that a probe may take; the session waits no longer either.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// A future that ends with the session. Dropped before, by the end of its runtime, it fails whatever
/// waits.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    /// The time is told when this fires; it may fire too early, never too late.
    timer: Pin<Box<Sleep>>,
    dialling: Option<(HostIndex, Dialling)>,
    probing: Option<(HostIndex, Probing)>,
    /// Nothing was asked since the time was last told, or ever: memory is given back.
    idle: bool,
    /// New requests have been given the time for others to join them.
    gathered: bool,
    over: bool,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let timer = Box::pin(sleep_until(Instant::now()));
        let (dialling, probing) = (None, None);
        Self { shared, timer, dialling, probing, idle: true, gathered: false, over: false }
    }

    /// Carries bytes between the session and its transport; says whether any moved.
    fn carry(&mut self, inner: &mut Inner, cx: &mut Context<'_>) -> bool {
        let clock = self.shared.clock;
        let Inner { session, transport: Some(transport), trouble, .. } = inner else {
            // It was up and is gone.
            inner.session.handle_disconnected(clock.now());
            return true;
        };
        let mut moved = false;
        while !session.poll_transmit().is_empty() {
            match transport.poll_write(cx, session.poll_transmit()) {
                Poll::Ready(written) => {
                    let failed = !matches!(written, Ok(1..));
                    note(trouble, &written);
                    session.handle_write(clock.now(), written);
                    moved = true;
                    if failed {
                        return true;
                    }
                }
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(flushed @ Err(_)) = transport.poll_flush(cx) {
            note(trouble, &flushed);
            session.handle_disconnected(clock.now());
            return true;
        }
        if let Poll::Ready(read) = transport.poll_read(cx, session.poll_io().recv) {
            note(trouble, &read);
            session.handle_read(clock.now(), read);
            moved = true;
        }
        moved
    }

    /// Does what the session wants of its transport; says whether anything changed.
    fn mind_link(&mut self, inner: &mut Inner, cx: &mut Context<'_>) -> bool {
        match inner.session.poll_link() {
            Link::Up => {
                self.dialling = None;
                self.carry(inner, cx)
            }
            Link::Down => {
                if self.dialling.take().is_some() {
                    // Given up: what earlier attempts met with was not what became of this one.
                    inner.trouble = None;
                }
                inner.transport = None;
                false
            }
            Link::Dial(host) => {
                inner.transport = None;
                if self.dialling.as_ref().is_none_or(|(dialled, _)| *dialled != host) {
                    self.dialling = self.start_dialling(inner, host);
                }
                let now = self.shared.clock.now();
                let dialled = match &mut self.dialling {
                    // The session knows the host, for it has asked for it.
                    None => Poll::Ready(Err(io::ErrorKind::NotFound.into())),
                    Some((_, dialling)) => dialling.as_mut().poll(cx),
                };
                match dialled {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(transport)) => {
                        inner.transport = Some(transport);
                        inner.trouble = None;
                        inner.session.handle_connected(now);
                    }
                    Poll::Ready(failed @ Err(_)) => {
                        note(&mut inner.trouble, &failed);
                        inner.session.handle_disconnected(now);
                    }
                }
                self.dialling = None;
                true
            }
        }
    }

    fn start_dialling(&self, inner: &Inner, host: HostIndex) -> Option<(HostIndex, Dialling)> {
        let named = inner.session.host(host)?;
        let (name, port, layer) =
            (named.name.to_owned(), named.port, self.shared.setup().layer.clone());
        let deadline = self.shared.clock.instant(inner.session.poll_timeout()?);
        Some((host, dial(name, port, layer, deadline)))
    }

    /// Asks the host that the session wants to be asked whether it can write.
    fn mind_probe(&mut self, inner: &mut Inner, cx: &mut Context<'_>) -> bool {
        let wanted = inner.session.poll_probe();
        if self.probing.as_ref().map(|(host, _)| *host) != wanted {
            self.probing = wanted.and_then(|host| {
                let named = inner.session.host(host)?;
                let deadline = Instant::now() + PROBE_PATIENCE;
                let layer = self.shared.setup().layer.clone();
                Some((host, probe(named.name.to_owned(), named.port, layer, deadline)))
            });
        }
        let Some((host, probing)) = &mut self.probing else { return false };
        let Poll::Ready(answer) = probing.as_mut().poll(cx) else { return false };
        let _: ProbeAnswer = answer;
        let now = self.shared.clock.now();
        inner.session.handle_probed(now, *host, answer);
        self.probing = None;
        true
    }

    /// Goes round once; says whether there may be more to do at once.
    fn turn(&mut self, inner: &mut Inner, cx: &mut Context<'_>) -> bool {
        let now = self.shared.clock.now();
        inner.session.handle_timeout(now);
        inner.pings.after_timeout(inner.session.unanswered_pings(), &self.shared.clock);
        let mut more = self.mind_link(inner, cx);
        more |= self.mind_probe(inner, cx);
        more |= inner.pull_events();
        if let Some(took) =
            inner.pings.after_events(inner.session.unanswered_pings(), &self.shared.clock)
        {
            inner.observer.ponged(took);
        }
        inner.advance_line(&self.shared.setup().limits, now);
        more
    }

    /// Waits for the time that is to be told next; ready if it has come.
    fn poll_timer(&mut self, inner: &Inner, cx: &mut Context<'_>) -> Poll<()> {
        let due = [inner.session.poll_timeout(), inner.line.deadline()].into_iter().flatten().min();
        let Some(due) = due else { return Poll::Pending };
        let mut due = self.shared.clock.instant(due);
        if self.idle && inner.transport.is_some() {
            // Nothing but a ping or the silence of the server: neither minds.
            due = clock::together(due, inner.session.timeout());
        }
        // Deadlines mostly move on as bytes come and go: the timer is left to fire too early.
        if self.timer.is_elapsed() || self.timer.deadline() > due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }

    /// Lets go of the lock to wake whom the events concern.
    fn wake<'a>(shared: &'a Shared, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        if inner.wakes.is_empty() {
            return inner;
        }
        let mut wakes = std::mem::take(&mut inner.wakes);
        drop(inner);
        for waker in wakes.drain(..) {
            waker.wake();
        }
        inner = shared.lock();
        if inner.wakes.is_empty() {
            inner.wakes = wakes;
        }
        inner
    }
}

/// Keeps what a transport says when it fails.
#[inline]
fn note<T>(trouble: &mut Trouble, done: &io::Result<T>) {
    #[cold]
    fn keep(trouble: &mut Trouble, error: &io::Error) {
        log::debug!("connection failed: {error}");
        *trouble = Some(Box::new(error.to_string().into()));
    }
    if let Err(error) = done {
        keep(trouble, error);
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let shared = this.shared.clone();
        let mut inner = shared.lock();
        if !inner.driver.will_wake(cx.waker()) {
            inner.driver = cx.waker().clone();
        }
        if inner.signalled && !this.gathered {
            // Others that are about to run may have requests too: all of them leave together.
            this.gathered = true;
            drop(inner);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.idle &= !std::mem::take(&mut inner.asked);
        (inner.signalled, this.gathered) = (false, false);
        let Inner { observer, watches, session, .. } = &mut *inner;
        observer.woken(|| (watches.len(), shared.clock.now().since(session.last_heard())));
        for _ in 0..TURNS {
            let more = this.turn(&mut inner, cx);
            inner = Self::wake(&shared, inner);
            if inner.session.poll_timeout().is_none() {
                this.over = true;
                inner.end(Over::Ended);
                drop(Self::wake(&shared, inner));
                return Poll::Ready(());
            }
            if !more {
                let in_use = inner.slots.in_flight() > 0;
                if this.idle && !in_use {
                    inner.shrink();
                }
                ready!(this.poll_timer(&inner, cx));
                this.idle = !in_use;
            }
        }
        drop(inner);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.over {
            let mut inner = self.shared.lock();
            inner.fail_all(Over::NoRuntime);
            inner.session.detach(self.shared.clock.now());
            inner.pull_events();
            inner.end(Over::NoRuntime);
            drop(Self::wake(&self.shared, inner));
        }
    }
}
