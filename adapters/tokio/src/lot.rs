//! One task for all sessions of a runtime that have little to do.
//!
//! Such a session opens its connection, pings, hears of its watches and closes; between that it is a
//! number in a list. A task with a timer for each would take more memory than that, and more time.
//! As soon as requests are made a session has a [task of its own](crate::driver::Alone), until there
//! have been none for a while.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::Clock;
use crate::driver::{Alone, Driver, Next, Whose, later};

/// What the sessions of a runtime and the task that attends to them share.
#[derive(Default)]
pub(crate) struct Lot(Mutex<Bell>);

#[derive(Default)]
struct Bell {
    /// There is a task, or about to be.
    attended: bool,
    attendant: Option<Waker>,
    /// It has been called and has not looked since.
    called: bool,
    arrivals: Vec<Driver>,
    rung: Vec<u32>,
}

impl Bell {
    fn call(&mut self) {
        if !std::mem::replace(&mut self.called, true) {
            if let Some(attendant) = &self.attendant {
                attendant.wake_by_ref();
            }
        }
    }
}

impl Lot {
    /// That of a runtime.
    pub(crate) fn of(runtime: Id) -> Arc<Self> {
        static LOTS: Mutex<Vec<(Id, Weak<Lot>)>> = Mutex::new(Vec::new());
        let mut lots = LOTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lot) = lots.iter().find(|(id, _)| *id == runtime).and_then(|l| l.1.upgrade()) {
            return lot;
        }
        lots.retain(|(_, lot)| lot.strong_count() > 0);
        let lot = Arc::default();
        lots.push((runtime, Arc::downgrade(&lot)));
        lot
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to do for the session on this seat.
    pub(crate) fn ring(&self, seat: u32) {
        let mut bell = self.bell();
        if bell.attended {
            bell.rung.push(seat);
            bell.call();
        }
    }

    /// Takes a session in.
    pub(crate) fn take_in(self: &Arc<Self>, driver: Driver, runtime: &Handle) {
        let mut bell = self.bell();
        // A runtime without a timer has this panic, before anything has changed.
        let attendant = (!bell.attended).then(|| Attendant::new(self.clone()));
        bell.attended = true;
        bell.arrivals.push(driver);
        bell.call();
        drop(bell);
        if let Some(attendant) = attendant {
            runtime.spawn(attendant);
        }
    }
}

/// How many sessions are seen to before other tasks get their turn.
const AT_A_TIME: usize = 32;

/// How long the task stays when everybody has left, in milliseconds: who opens and closes sessions one
/// after the other has it started once.
const LINGERS: u64 = 250;

/// No time that will come.
const NEVER: u64 = u64::MAX;

struct Seat {
    driver: Option<Driver>,
    /// When it is to be told the time, in milliseconds.
    due: u64,
}

/// The task: there as long as somebody is seated, and a moment longer.
struct Attendant {
    lot: Arc<Lot>,
    seats: Vec<Seat>,
    free: Vec<u32>,
    /// Whom to see to, and whether because its time has come.
    queue: VecDeque<(u32, bool)>,
    clock: Clock,
    /// Nobody's time comes before.
    next: u64,
    /// When to go, if nobody comes.
    leave_at: u64,
    /// It may fire too early, never too late.
    timer: Pin<Box<Sleep>>,
    gone: bool,
}

fn index(seat: u32) -> usize {
    usize::try_from(seat).unwrap_or(usize::MAX)
}

impl Attendant {
    fn new(lot: Arc<Lot>) -> Self {
        Self {
            lot,
            seats: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            clock: Clock::new(),
            next: NEVER,
            leave_at: NEVER,
            timer: Box::pin(sleep_until(Instant::now())),
            gone: false,
        }
    }

    /// Looks who has come and who has rung.
    fn look(&mut self, cx: &Context<'_>) {
        let mut bell = self.lot.bell();
        bell.called = false;
        if !bell.attendant.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            bell.attendant = Some(cx.waker().clone());
        }
        self.queue.extend(bell.rung.drain(..).map(|seat| (seat, false)));
        let arrivals = std::mem::take(&mut bell.arrivals);
        drop(bell);
        if !arrivals.is_empty() {
            self.leave_at = NEVER;
        }
        for driver in arrivals {
            let seat = self.free.pop().unwrap_or_else(|| {
                self.seats.push(Seat { driver: None, due: NEVER });
                u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
            });
            driver.shared().sit_down(seat);
            if let Some(empty) = self.seats.get_mut(index(seat)) {
                empty.driver = Some(driver);
            }
            self.queue.push_back((seat, false));
        }
    }

    /// Queues those whose time has come.
    fn tell_time(&mut self, now: u64) {
        if now < self.next {
            return;
        }
        self.next = NEVER;
        for (at, seat) in (0..).zip(&mut self.seats) {
            if seat.due <= now {
                seat.due = NEVER;
                self.queue.push_back((at, true));
            }
            self.next = self.next.min(seat.due);
        }
    }

    /// Does what there is to do for a session.
    fn see_to(&mut self, at: u32, time_has_come: bool) {
        let Some(seat) = self.seats.get_mut(index(at)) else { return };
        let Some(driver) = &mut seat.driver else { return };
        let waker = driver.shared().attended();
        let mut cx = Context::from_waker(&waker);
        // What panics, such as somebody's layer, takes down its own session and no other.
        let run = || driver.run(&mut cx, time_has_come, Whose::OfMany);
        let Ok(next) = catch_unwind(AssertUnwindSafe(run)) else {
            let driver = self.leave(at);
            // Nor does it now.
            drop(catch_unwind(AssertUnwindSafe(|| drop(driver))));
            return;
        };
        match next {
            Next::Wait { due, .. } => {
                seat.due = due.map_or(NEVER, |due| self.clock.millis_up(due));
                self.next = self.next.min(seat.due);
            }
            Next::Again | Next::Later => {
                if let Some(driver) = self.leave(at) {
                    tokio::spawn(Alone::new(driver));
                }
            }
            Next::Over => drop(self.leave(at)),
        }
    }

    fn leave(&mut self, at: u32) -> Option<Driver> {
        let seat = self.seats.get_mut(index(at))?;
        seat.due = NEVER;
        let driver = seat.driver.take()?;
        self.free.push(at);
        Some(driver)
    }

    /// Goes if nobody has come for a while; says whether it does.
    fn go(&mut self, now: u64) -> bool {
        if self.free.len() < self.seats.len() {
            return false;
        }
        if now < self.leave_at {
            self.leave_at = self.leave_at.min(now.saturating_add(LINGERS));
            return false;
        }
        let mut bell = self.lot.bell();
        self.gone = bell.arrivals.is_empty();
        if self.gone {
            *bell = Bell::default();
        }
        self.gone
    }

    /// Waits for the time that somebody is to be told next; ready if it has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.next.min(self.leave_at);
        if due == NEVER {
            return Poll::Pending;
        }
        let due = self.clock.instant(zk_session::Instant::from_millis(due));
        if self.timer.is_elapsed() || self.timer.deadline() > due {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(cx)
    }
}

impl Future for Attendant {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let now = this.clock.now().as_millis();
        this.look(cx);
        this.tell_time(now);
        for _ in 0..AT_A_TIME {
            let Some((seat, time_has_come)) = this.queue.pop_front() else { break };
            this.see_to(seat, time_has_come);
        }
        if this.queue.is_empty() {
            if this.go(now) {
                return Poll::Ready(());
            }
            if this.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
        later(cx);
        Poll::Pending
    }
}

/// With its runtime: so all sessions end that it attends to.
impl Drop for Attendant {
    fn drop(&mut self) {
        if !self.gone {
            let bell = std::mem::take(&mut *self.lot.bell());
            // Not under the lock: they ring.
            drop(bell);
        }
    }
}
