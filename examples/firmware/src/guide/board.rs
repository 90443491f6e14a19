//! Step 1: a board with a network.

// ANCHOR: board
use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources};
use static_cell::StaticCell;

use crate::{mps2, network};

static SOCKETS: StaticCell<StackResources<1>> = StaticCell::new();

/// Starts the network and what `start` spawns, for ever. `start` may find that there is no room.
pub fn run(start: impl FnOnce(Spawner, Stack<'static>) -> Option<()>) -> ! {
    let Some(core) = cortex_m::Peripherals::take() else { give_up() };
    mps2::run(core, |spawner| {
        let stack = network::start(spawner, SOCKETS.init(StackResources::new()));
        if stack.and_then(|stack| start(spawner, stack)).is_none() {
            give_up();
        }
    })
}

fn give_up() -> ! {
    defmt::error!("cannot start");
    semihosting::process::exit(1)
}
// ANCHOR_END: board
