//! With multi: several writes, all or nothing.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::write;
use size::{Also, run};
use zk_session::client::{ClientSession, Event, RawReply};
use zk_session::storage::Fixed;
use zk_session::wire::{CreateMode, Multi, MultiOp};

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        let items = [
            MultiOp::check("/a", 1),
            MultiOp::create("/b", b"", CreateMode::Persistent),
            MultiOp::set_data("/c", b"", 2),
            MultiOp::delete("/d", 3),
        ];
        write(session.submit_operation(&Multi::from_slice(&items)).is_ok().into());
    }

    fn see(&mut self, event: &Event<'_, RawReply<'_>>) {
        if let Event::Reply { result: Ok(reply), .. } = event {
            write(reply.multi().ok().and_then(|results| results.failure()).is_some().into());
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
