//! What the log needs, and the end of a program that has failed: QEMU's exit status.

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};
#[cfg(feature = "defmt")]
use defmt_semihosting as _; // linked for where the log goes
use semihosting::process;

/// QEMU's exit status after a panic.
const PANIC: i32 = 101;
/// QEMU's exit status after a fault of the processor.
const FAULT: i32 = 102;

// The host does not say when it was: microseconds since the start.
#[cfg(feature = "defmt")]
defmt::timestamp!("{=u64:us}", embassy_time::Instant::now().as_micros());

/// The location stays out of the log: its text costs more flash than a session does.
#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    #[cfg(feature = "defmt")]
    defmt::error!("panic");
    process::exit(PANIC)
}

// SAFETY: it does not return, so nothing goes on with a broken state.
#[exception]
unsafe fn HardFault(_frame: &ExceptionFrame) -> ! {
    process::exit(FAULT)
}
