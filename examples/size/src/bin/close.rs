//! With close, and a new session after the end of the last one.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{now, read};
use size::{Also, run};
use zk_session::client::ClientSession;
use zk_session::storage::Fixed;

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        match read() {
            0 => session.close(now()),
            1 => session.reopen(now()),
            _ => {}
        }
    }
}

#[entry]
fn main() -> ! {
    static mut MEMORY: Fixed<1024, 512, 256, 8> = Fixed::new();
    run(MEMORY, This);
    loop {
        cortex_m::asm::nop();
    }
}
