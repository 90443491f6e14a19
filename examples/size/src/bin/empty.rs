//! What the others are compared with: no session, and what any firmware with a network has of the
//! compiler's own, which is to copy, to fill and to compare bytes.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use size::port::{put, read, take, write};

#[entry]
fn main() -> ! {
    let (mut from, mut to) = ([0; 64], [0; 64]);
    loop {
        let n = take(&mut from);
        if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        write(u32::from(to.get(..n) == from.get(1..n)));
        if let Some(some) = to.get_mut(n..) {
            some.fill(read().to_le_bytes()[0]);
        }
        put(&from);
        put(&to);
    }
}
