//! With read-only servers, and the search for one that can write.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{now, put, take};
use size::{Also, run};
use zk_session::client::{ClientConfig, ClientSession, ProbeAnswer};
use zk_session::storage::Fixed;

struct This;

impl Also for This {
    fn configure<'b>(&self, config: ClientConfig<'b>) -> ClientConfig<'b> {
        config.allow_read_only()
    }

    fn act(&mut self, session: &mut ClientSession<'static>) {
        let Some(host) = session.poll_probe() else { return };
        put(session.host(host).map_or("", |host| host.name).as_bytes());
        put(&ProbeAnswer::QUESTION);
        let mut answer = [0; ProbeAnswer::LONGEST];
        let n = take(&mut answer);
        let answer = ProbeAnswer::parse(answer.get(..n).unwrap_or_default());
        session.handle_probed(now(), host, answer);
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
