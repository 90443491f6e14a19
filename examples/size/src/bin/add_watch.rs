//! With watches that stay (addWatch, setWatches2).

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::write;
use size::{Also, run};
use zk_session::client::{AddWatch, ClientSession};
use zk_session::storage::Fixed;
use zk_session::wire::AddWatchMode;

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        let operation = AddWatch { path: "/tree", mode: AddWatchMode::PersistentRecursive };
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
