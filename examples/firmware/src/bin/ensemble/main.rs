//! A device that is the ensemble: a handful of others open their sessions on it, with any client of
//! ZooKeeper. It keeps their znodes, tells them of changes, and knows who is gone.
//!
//! | argument | meaning |
//! | --- | --- |
//! | `unix=SECONDS` | seconds since 1970: for the times in `Stat`, and the epoch of zxids; 0 |
//! | `seed=NUMBER` | keys the session passwords; 0 |
//! | `tick=MS` | the tick: sessions expire at multiples of it; 2,000 |
//!
//! A real device takes the first from its clock, or a counter in flash that grows with each start,
//! and the second from its source of randomness. Clients connect to port 2181. It never ends; its
//! exit status is 2 if the hardware is of no use.

#![no_std]
#![no_main]

mod server;

use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_net::StackResources;
use firmware::args::Args;
use firmware::{mps2, network};
use semihosting::process;
use server::{CLIENTS, Server};
use static_cell::StaticCell;
use zk_session::Duration;
use zk_session::server::tiny::Config;

#[entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else { process::exit(2) };
    mps2::run(core, |spawner| {
        if start(spawner).is_none() {
            process::exit(2);
        }
    })
}

fn start(spawner: Spawner) -> Option<()> {
    static RESOURCES: StaticCell<StackResources<CLIENTS>> = StaticCell::new();

    let stack = network::start(spawner, RESOURCES.try_init(StackResources::new())?)?;
    let server = Server::start(config(Args::take()))?;
    spawner.spawn(server::keep_time(server).ok()?);
    for _ in 0..CLIENTS {
        spawner.spawn(server::serve(server, stack).ok()?);
    }
    #[cfg(feature = "defmt")]
    defmt::info!("serving {} clients at a time", CLIENTS);
    Some(())
}

fn config(args: Args) -> Config {
    let number = |name| args.number(name).unwrap_or_default();
    let mut config = Config::default();
    config.epoch = number("unix");
    config.tracker.unix_time_at_origin = i64::from(number("unix")) * 1000;
    config.tracker.seed = number("seed").into();
    if let Some(tick) = args.number("tick") {
        config.tracker.tick = Duration::from_millis(tick.into());
    }
    config
}
