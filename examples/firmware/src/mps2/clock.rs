//! Time for embassy: a counter that runs freely tells it, and the processor's SysTick wakes whoever
//! waits for it.
//!
//! Counting SysTick's interrupts would lose time whenever they are held up for longer than their
//! period, as QEMU does when its host is busy; and a session that thinks it is younger than it is
//! finds itself expired. The counter goes on. SysTick interrupts each millisecond all the same: a
//! clock without a periodic interrupt lets QEMU sleep through what happens on the host, and a first
//! connection takes up to a second.

use core::cell::{Cell, RefCell};
use core::ptr;
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use super::CLOCK_HZ;

/// The first half of the board's dual timer: what it counts down from, where it is, how it counts.
const TIMER_LOAD: *mut u32 = 0x4000_2000 as *mut u32;
const TIMER_VALUE: *const u32 = 0x4000_2004 as *const u32;
const TIMER_CONTROL: *mut u32 = 0x4000_2008 as *mut u32;
/// 32 bits wide, begins anew after zero, no interrupt.
const TIMER_ON: u32 = 1 << 7 | 1 << 1;

const CYCLES_PER_MILLISECOND: u32 = CLOCK_HZ / 1000;
const CYCLES_PER_MICROSECOND: u64 = (CLOCK_HZ / 1_000_000) as u64;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    counted: Mutex::new(Cell::new(Counted { cycles: 0, value: u32::MAX })),
    sleepers: Mutex::new(RefCell::new(Queue::new())),
});

struct Clock {
    counted: Mutex<Cell<Counted>>,
    /// Tasks that are to be woken.
    sleepers: Mutex<RefCell<Queue>>,
}

/// How far the time has been counted.
#[derive(Clone, Copy)]
struct Counted {
    /// Since the start.
    cycles: u64,
    /// The timer's value then.
    value: u32,
}

/// Starts the clock at zero.
pub(super) fn start(timer: &mut SYST) {
    // SAFETY: the board has these registers there, aligned, always mapped; nobody else uses them.
    unsafe {
        ptr::write_volatile(TIMER_LOAD, u32::MAX);
        ptr::write_volatile(TIMER_CONTROL, TIMER_ON);
    }
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(CYCLES_PER_MILLISECOND - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

impl Clock {
    /// Counts what has passed since the last look, which must not be 171 seconds ago: then the timer
    /// has come round.
    fn microseconds(&self, cs: CriticalSection<'_>) -> u64 {
        let counted = self.counted.borrow(cs);
        let last = counted.get();
        // SAFETY: as in `start`; reading has no effect.
        let value = unsafe { ptr::read_volatile(TIMER_VALUE) };
        let cycles = last.cycles + u64::from(last.value.wrapping_sub(value));
        counted.set(Counted { cycles, value });
        cycles / CYCLES_PER_MICROSECOND
    }

    /// Wakes those whose time has come; when the next one's does, the next ticks will see.
    fn tick(&self) {
        critical_section::with(|cs| {
            let now = self.microseconds(cs);
            self.sleepers.borrow(cs).borrow_mut().next_expiration(now);
        });
    }
}

impl Driver for Clock {
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
