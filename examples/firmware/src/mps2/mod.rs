//! QEMU's `mps2-an385`: a Cortex-M3 at 25 MHz, 4 MiB of code memory, 4 MiB of RAM, Ethernet.

mod clock;
mod executor;
mod interrupts;
mod lan9118;

pub use executor::run;
pub use lan9118::Lan9118;

/// The frequency of the processor's clock, in hertz.
pub(crate) const CLOCK_HZ: u32 = 25_000_000;
