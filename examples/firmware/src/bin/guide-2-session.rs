//! Step 2 of `docs/firmware-guide.md`: a session.

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
        Some(())
    })
}
// ANCHOR_END: main
