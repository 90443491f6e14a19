//! Runs tasks, and lets the processor sleep while there is nothing to run.
//!
//! embassy's own thread executor idles with `wfe`, which QEMU runs as a busy loop. Here it is `wfi`.

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::Peripherals;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

use super::clock;

/// Whether a task has become ready since the last look.
static READY: AtomicBool = AtomicBool::new(false);

/// embassy calls it, by this name, whenever a task becomes ready.
// SAFETY: no other symbol has this name, and the signature is the one that embassy declares.
#[unsafe(export_name = "__pender")]
fn pender(_executor: *mut ()) {
    READY.store(true, Ordering::Release);
}

/// Starts the clock, then runs what `start` spawns, for ever.
///
/// # Panics
/// It is called a second time.
pub fn run(mut core: Peripherals, start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    clock::start(&mut core.SYST);
    let executor: &'static raw::Executor = EXECUTOR.init(raw::Executor::new(ptr::null_mut()));
    start(executor.spawner());
    loop {
        // An interrupt that comes between the look and `wfi` is not lost: it stays pending, and
        // `wfi` returns for it although it is masked.
        critical_section::with(|_| {
            if !READY.load(Ordering::Acquire) {
                cortex_m::asm::wfi();
            }
        });
        if READY.load(Ordering::Acquire) {
            READY.store(false, Ordering::Release);
            // SAFETY: only this loop polls, it does not poll within a poll, and `executor` was made
            // here.
            unsafe { executor.poll() };
        }
    }
}
