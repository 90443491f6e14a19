//! Runs a session through what happens to sessions, and tells on QEMU's standard output how much
//! stack each kind of call has taken at most: a name and a number of bytes a line.

#![no_std]
#![no_main]

mod script;

use cortex_m_rt::entry;
use semihosting::process;

#[entry]
fn main() -> ! {
    let ends_well = script::play();
    process::exit(i32::from(!ends_well));
}
