//! With tickets: a session that outlives its program, watches included.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{now, put, take, write};
use size::{Also, run};
use zk_session::client::{ClientConfig, ClientSession, TicketContents};
use zk_session::storage::Fixed;

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        let mut ticket = [0; 400];
        put(session.ticket(TicketContents::SessionAndWatches, &mut ticket).unwrap_or_default());
        session.detach(now());
        let n = take(&mut ticket);
        let ticket = ticket.get(..n).unwrap_or_default();
        let mut memory = Fixed::<1024, 512, 256, 8>::new();
        let resumed =
            ClientSession::resume(ClientConfig::new("h", 1), memory.lend(), ticket, now());
        write(resumed.is_ok().into());
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
