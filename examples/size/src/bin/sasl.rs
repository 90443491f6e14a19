//! With SASL.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{put, read, take, write};
use size::{Also, run};
use zk_session::client::{ClientConfig, ClientSession, Event, RawReply, SaslChallenge};
use zk_session::storage::Fixed;

struct This;

impl Also for This {
    fn configure<'b>(&self, config: ClientConfig<'b>) -> ClientConfig<'b> {
        config.sasl()
    }

    fn act(&mut self, session: &mut ClientSession<'static>) {
        let mut token = [0; 64];
        let n = take(&mut token);
        let answered = match read() {
            0 => session.submit_sasl(token.get(..n).unwrap_or_default()),
            1 => session.sasl_done(),
            _ => session.sasl_failed(),
        };
        write(answered.is_ok().into());
    }

    fn see(&mut self, event: &Event<'_, RawReply<'_>>) {
        if let Event::SaslChallenge(SaslChallenge::Token(token)) = event {
            put(token);
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
