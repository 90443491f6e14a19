//! Step 1 of `docs/firmware-guide.md`: the network comes up.

#![no_std]
#![no_main]

use embassy_net::Stack;
use firmware::guide;

// ANCHOR: main
#[cortex_m_rt::entry]
fn main() -> ! {
    guide::run(|spawner, stack| {
        spawner.spawn(say_when_up(stack).ok()?);
        Some(())
    })
}

#[embassy_executor::task]
async fn say_when_up(stack: Stack<'static>) {
    stack.wait_config_up().await;
    defmt::info!("the network is up");
}
// ANCHOR_END: main
