//! Time for embassy, from the processor's own SysTick.
//!
//! An interrupt each millisecond counts and wakes the tasks whose time has come; between two of them
//! the counter tells the microseconds. A clock without a periodic interrupt would let QEMU sleep
//! through what happens on the host: there a first connection takes up to a second.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use cortex_m_rt::exception;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use super::CLOCK_HZ;

const CYCLES_PER_MILLISECOND: u32 = CLOCK_HZ / 1000;
const CYCLES_PER_MICROSECOND: u32 = CLOCK_HZ / 1_000_000;

embassy_time_driver::time_driver_impl!(static CLOCK: SysTick = SysTick {
    milliseconds: Mutex::new(Cell::new(0)),
    sleepers: Mutex::new(RefCell::new(Queue::new())),
});

struct SysTick {
    /// Since the start.
    milliseconds: Mutex<Cell<u64>>,
    /// Tasks that are to be woken.
    sleepers: Mutex<RefCell<Queue>>,
}

/// Starts the clock at zero.
pub(super) fn start(timer: &mut SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(CYCLES_PER_MILLISECOND - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

impl SysTick {
    fn microseconds(&self, cs: CriticalSection<'_>) -> u64 {
        let mut milliseconds = self.milliseconds.borrow(cs).get();
        let mut left = SYST::get_current();
        if SCB::is_pendst_pending() {
            // A millisecond is over and not counted yet; `left` may be from before or after.
            milliseconds += 1;
            left = SYST::get_current();
        }
        let gone = (CYCLES_PER_MILLISECOND - 1).saturating_sub(left);
        milliseconds * 1000 + u64::from(gone / CYCLES_PER_MICROSECOND)
    }

    fn tick(&self) {
        critical_section::with(|cs| {
            let milliseconds = self.milliseconds.borrow(cs);
            milliseconds.set(milliseconds.get() + 1);
            // Wakes those whose time has come; when the next one's does, the next ticks will see.
            let now = self.microseconds(cs);
            self.sleepers.borrow(cs).borrow_mut().next_expiration(now);
        });
    }
}

impl Driver for SysTick {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.microseconds(cs))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            self.sleepers.borrow(cs).borrow_mut().schedule_wake(at, waker);
        });
    }
}

#[exception]
fn SysTick() {
    CLOCK.tick();
}
