//! A session on a bare Cortex-M3, once for each of its abilities, to see what they take.
//!
//! What a program reads and writes goes through one device register, so that the compiler can know
//! nothing of it and leave nothing out. Without diagnostics a panic that can be reached fails the
//! link, by the name of a function that is nowhere.

#![no_std]

#[cfg(feature = "log")]
mod log;
pub mod port;
mod run;
pub mod stack;

pub use run::{Also, run};

/// Switches the diagnostics on that the program was built with.
pub fn start() {
    #[cfg(feature = "log")]
    log::start();
}

use core::panic::PanicInfo;

#[cfg(feature = "defmt")]
use defmt_semihosting as _; // linked for where the log goes

#[cfg(feature = "defmt")]
defmt::timestamp!("{=u8}", 0);

#[cfg(not(any(feature = "log", feature = "defmt", feature = "panics")))]
unsafe extern "C" {
    /// Is nowhere: where it is called from, a panic can be reached.
    fn a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    #[cfg(not(any(feature = "log", feature = "defmt", feature = "panics")))]
    // SAFETY: there is no such function, and so no program that calls it.
    unsafe {
        a_panic_is_reachable()
    }
    #[cfg(any(feature = "log", feature = "defmt", feature = "panics"))]
    loop {
        cortex_m::asm::nop();
    }
}
