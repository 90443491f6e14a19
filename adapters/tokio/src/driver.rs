//! What carries a session: dials, reads, writes, keeps time, and hands out what came.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};
use zk_session::Machine;
use zk_session::client::{HostIndex, Link, ProbeAnswer};

use crate::clock;
use crate::dial::{Dialling, Probing, dial, probe};
use crate::line::Line;
use crate::shared::{Inner, Over, Shared, Trouble};

/// How often one run goes round before others get their turn.
const TURNS: usize = 16;

/// The longest that a probe may take; the session waits no longer either.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// What carries a session until its end. Dropped before, by the end of its runtime, it fails
/// whatever waits.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    errand: Option<Box<Errand>>,
    /// Where the session has a task of its own: the time is told when this fires; it may fire too
    /// early, never too late.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What is under way beside the session's connection. There is never more than one: only a session
/// that is connected has a host asked.
enum Errand {
    Dial(HostIndex, Dialling),
    Probe(HostIndex, Probing),
}

/// Who runs a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A task that is there for this session alone.
    Own,
    /// One that is there for [many](crate::lot), and for those only that do not take its time.
    OfMany,
}

/// What follows a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// The session is over.
    Over,
    /// There is more to do: at once, and by a task of its own.
    Again,
    /// It has done much, and there may be more: others come first.
    Later,
    /// Something is to happen or the time to come. `quiet`: there is little to expect.
    Wait { due: Option<Instant>, quiet: bool },
}

impl Driver {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, errand: None, timer: None }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
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
                self.errand.take_if(|errand| matches!(**errand, Errand::Dial(..)));
                self.carry(inner, cx)
            }
            Link::Down => {
                if matches!(self.errand.take().as_deref(), Some(Errand::Dial(..))) {
                    // Given up: what earlier attempts met with was not what became of this one.
                    inner.trouble = None;
                }
                inner.transport = None;
                false
            }
            Link::Dial(host) => {
                inner.transport = None;
                let under_way =
                    |errand: &Errand| matches!(errand, Errand::Dial(to, _) if *to == host);
                if !self.errand.as_deref().is_some_and(under_way) {
                    self.errand = self.start_dialling(inner, host).map(Box::new);
                }
                let now = self.shared.clock.now();
                let dialled = match self.errand.as_deref_mut() {
                    Some(Errand::Dial(_, dialling)) => dialling.as_mut().poll(cx),
                    // The session knows the host, for it has asked for it.
                    _ => Poll::Ready(Err(io::ErrorKind::NotFound.into())),
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
                self.errand = None;
                true
            }
        }
    }

    fn start_dialling(&self, inner: &Inner, host: HostIndex) -> Option<Errand> {
        let named = inner.session.host(host)?;
        let layer = self.shared.setup().layer.clone();
        let deadline = self.shared.clock.instant(inner.session.poll_timeout()?);
        Some(Errand::Dial(host, dial(named.name, named.port, layer, deadline)))
    }

    /// Asks the host that the session wants to be asked whether it can write.
    fn mind_probe(&mut self, inner: &mut Inner, cx: &mut Context<'_>) -> bool {
        let wanted = inner.session.poll_probe();
        let asked = match self.errand.as_deref() {
            Some(Errand::Dial(..)) => return false,
            Some(Errand::Probe(host, _)) => Some(*host),
            None => None,
        };
        if asked != wanted {
            self.errand = wanted.and_then(|host| {
                let named = inner.session.host(host)?;
                let deadline = Instant::now() + PROBE_PATIENCE;
                let layer = self.shared.setup().layer.clone();
                let probing = probe(named.name.to_owned(), named.port, layer, deadline);
                Some(Box::new(Errand::Probe(host, probing)))
            });
        }
        let Some(Errand::Probe(host, probing)) = self.errand.as_deref_mut() else { return false };
        let Poll::Ready(answer) = probing.as_mut().poll(cx) else { return false };
        let _: ProbeAnswer = answer;
        let now = self.shared.clock.now();
        inner.session.handle_probed(now, *host, answer);
        self.errand = None;
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

    /// When the time is to be told next.
    fn due(&self, inner: &Inner) -> Option<Instant> {
        let line = inner.line.there().and_then(Line::deadline);
        let due = [inner.session.poll_timeout(), line].into_iter().flatten().min()?;
        let due = self.shared.clock.instant(due);
        Some(if inner.idle && inner.transport.is_some() {
            // Nothing but a ping or the silence of the server: neither minds.
            clock::together(due, inner.session.timeout())
        } else {
            due
        })
    }

    /// Waits for a point in time; ready if it has come.
    fn poll_timer(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // Deadlines mostly move on as bytes come and go: the timer is left to fire too early.
        if timer.is_elapsed() || timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    /// Does all there is to do for now. `time_has_come`: that of a [`Next::Wait`].
    pub(crate) fn run(&mut self, cx: &mut Context<'_>, time_has_come: bool, whose: Whose) -> Next {
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        if !inner.driver.will_wake(cx.waker()) {
            inner.driver = cx.waker().clone();
        }
        match whose {
            Whose::Own if inner.signalled && !inner.gathered => {
                // Others that are about to run may have requests too: all of them leave together.
                inner.gathered = true;
                return Next::Again;
            }
            Whose::OfMany if inner.is_busy() => return Next::Again,
            _ => {}
        }
        (inner.signalled, inner.gathered) = (false, false);
        if time_has_come {
            inner.idle = !std::mem::take(&mut inner.asked) && inner.slots.in_flight() == 0;
        } else {
            inner.idle &= !inner.asked;
        }
        let Inner { observer, watches, session, .. } = &mut *inner;
        observer.woken(|| (watches.len(), shared.clock.now().since(session.last_heard())));
        for _ in 0..TURNS {
            let more = self.turn(&mut inner, cx);
            inner = Self::wake(&shared, inner);
            if inner.session.poll_timeout().is_none() {
                inner.end(Over::Ended);
                drop(Self::wake(&shared, inner));
                return Next::Over;
            }
            if !more {
                let idle = inner.idle && inner.slots.in_flight() == 0;
                if idle {
                    inner.shrink();
                }
                let quiet = idle && self.errand.is_none() && inner.session.state().is_connected();
                return Next::Wait { due: self.due(&inner), quiet: quiet && !inner.is_busy() };
            }
        }
        Next::Later
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

/// Has the task run again once the runtime has looked at its clock and its sockets: a task that merely
/// wakes itself runs dozens of times between two looks, and under a flood that adds up.
#[cold]
pub(crate) fn later(cx: &mut Context<'_>) {
    let turn = std::pin::pin!(tokio::task::yield_now());
    let _: Poll<()> = turn.poll(cx);
}

/// Whatever waits fails if the session is not over.
impl Drop for Driver {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        if !inner.is_over() {
            inner.fail_all(Over::NoRuntime);
            inner.session.detach(self.shared.clock.now());
            inner.pull_events();
            inner.end(Over::NoRuntime);
            drop(Self::wake(&self.shared, inner));
        }
    }
}

/// The task of a session that has one of its own: until its end, or until there is little to do.
pub(crate) struct Alone(Option<Driver>);

impl Alone {
    pub(crate) const fn new(driver: Driver) -> Self {
        Self(Some(driver))
    }
}

impl Future for Alone {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.0 else { return Poll::Ready(()) };
        let time_has_come = driver.timer.as_mut().is_some_and(|timer| timer.is_elapsed());
        match driver.run(cx, time_has_come, Whose::Own) {
            Next::Over => return Poll::Ready(()),
            Next::Wait { quiet: true, .. } => {
                driver.timer = None;
                if let Some(driver) = self.0.take() {
                    let lot = driver.shared.lot().clone();
                    lot.take_in(driver, &Handle::current());
                }
                return Poll::Ready(());
            }
            Next::Wait { due, .. } if driver.poll_timer(due, cx).is_pending() => {}
            Next::Wait { .. } | Next::Again => cx.waker().wake_by_ref(),
            Next::Later => later(cx),
        }
        Poll::Pending
    }
}
