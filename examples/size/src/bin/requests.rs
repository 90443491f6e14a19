//! With requests of any kind, and replies to all of them.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{now, put, read, take, write};
use size::{Also, run};
use zk_session::client::ClientSession;
use zk_session::storage::Fixed;
use zk_session::wire::{OpCode, Reply, Request};

struct This;

impl Also for This {
    fn act(&mut self, session: &mut ClientSession<'static>) {
        let mut body = [0; 128];
        let n = take(&mut body);
        let op = OpCode::from_wire(i32::from_le_bytes(read().to_le_bytes()));
        let body = body.get(..n).unwrap_or_default();
        if let Some(Ok(request)) = op.map(|op| Request::decode(op, body)) {
            write(session.submit_before(&request, now()).is_ok().into());
        }
        if let Some(zk_session::client::Event::Reply { result: Ok(reply), .. }) =
            session.poll_event()
        {
            match reply {
                Reply::Acl(acl, _) => write(u32::try_from(acl.len()).unwrap_or(0)),
                Reply::Multi(results) => write(results.failure().is_some().into()),
                Reply::Ephemerals(paths) => {
                    for path in paths {
                        put(path.as_bytes().unwrap_or_default());
                    }
                }
                _ => {}
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
