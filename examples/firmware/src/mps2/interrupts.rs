//! The board's interrupts, where the processor looks for them. Only Ethernet's is used; the others
//! go to the default handler by `device.x`, which `build.rs` writes.

use cortex_m::interrupt::InterruptNumber;

use super::lan9118;

/// The Ethernet controller's interrupt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ethernet;

// SAFETY: it is the number of one of the board's 32 interrupts, and always the same.
unsafe impl InterruptNumber for Ethernet {
    fn number(self) -> u16 {
        13
    }
}

/// An entry of the table.
type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
}

/// The board's part of the processor's vector table.
// SAFETY: cortex-m-rt's linker script puts this section behind the processor's own vectors, and the
// name is the one that cortex-m-rt's feature `device` wants.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
#[used]
static __INTERRUPTS: [Handler; 32] = {
    let mut table: [Handler; 32] = [DefaultHandler; 32];
    table[13] = ethernet;
    table
};

extern "C" fn ethernet() {
    lan9118::handle_interrupt();
}
