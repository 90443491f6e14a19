//! With credentials (addAuth), said again on every connection.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::write;
use size::{Also, run};
use zk_session::client::{AddAuth, ClientSession};
use zk_session::storage::Fixed;

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        let operation = AddAuth { scheme: "digest", auth: b"user:secret" };
        write(session.submit_operation(&operation).is_ok().into());
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
