//! Step 4 of `docs/firmware-guide.md`: a device that does as it is told.

#![no_std]
#![no_main]

use firmware::args::Args;
use firmware::guide;

// ANCHOR: main
#[cortex_m_rt::entry]
fn main() -> ! {
    guide::run(|spawner, stack| {
        let hosts = Args::take().text("connect").unwrap_or("10.0.2.2:2181");
        guide::open(hosts, embassy_time::Instant::now().as_ticks()).ok()?;
        spawner.spawn(guide::drive(stack).ok()?);
        spawner.spawn(guide::register().ok()?);
        spawner.spawn(guide::follow_config().ok()?);
        spawner.spawn(blink().ok()?);
        Some(())
    })
}

#[embassy_executor::task]
async fn blink() {
    loop {
        defmt::info!("blinking every {} ms", guide::PERIOD_MS.wait().await);
    }
}
// ANCHOR_END: main
