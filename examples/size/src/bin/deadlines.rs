//! With deadlines of requests, and cancelling them.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{now, read, write};
use size::{Also, run};
use zk_session::client::{ClientSession, Delete};
use zk_session::storage::Fixed;
use zk_session::wire::Xid;

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        let operation = Delete { path: "/c/1", version: -1 };
        write(session.submit_operation_before(&operation, now()).is_ok().into());
        write(session.cancel(Xid(i32::from_le_bytes(read().to_le_bytes()))).into());
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
