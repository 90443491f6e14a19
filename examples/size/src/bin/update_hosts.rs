//! With changes of the list of hosts.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{now, write};
use size::{Also, run};
use zk_session::client::ClientSession;
use zk_session::storage::Fixed;

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        write(session.update_hosts("10.0.0.4,10.0.0.5", now()).is_ok().into());
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
