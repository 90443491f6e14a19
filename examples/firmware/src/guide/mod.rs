//! The parts of the device that `docs/firmware-guide.md` builds up, one step after the other. What is
//! between `ANCHOR` comments is shown there.

mod board;
mod follow;
mod register;
mod session;
mod sleep;

pub use board::run;
pub use follow::{PERIOD_MS, follow_config};
pub use register::register;
pub use session::{SESSION, drive, open};
pub use sleep::{go_to_sleep, wake_up};
