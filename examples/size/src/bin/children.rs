//! With getChildren.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{put, write};
use size::{Also, run};
use zk_session::client::{ClientSession, Event, GetChildren, RawReply};
use zk_session::storage::Fixed;

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        let operation = GetChildren { path: "/c", watch: true };
        write(session.submit_operation(&operation).is_ok().into());
    }

    fn see(&mut self, event: &Event<'_, RawReply<'_>>) {
        if let Event::Reply { result: Ok(reply), .. } = event {
            for name in reply.children().into_iter().flatten() {
                put(name.as_bytes().unwrap_or_default());
            }
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
