//! What the budget is for, and nothing else.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::{Also, run};
use zk_session::storage::Fixed;

struct This;

impl Also for This {}

#[entry]
fn main() -> ! {
    static mut MEMORY: Fixed<1024, 512, 256, 8> = Fixed::new();
    run(MEMORY, This);
    loop {
        cortex_m::asm::nop();
    }
}
