//! A device register, which nobody knows anything of: UART 0 of the emulated board.

use core::ptr;

use zk_session::Instant;

const REGISTER: *mut u32 = ptr::without_provenance_mut(0x4000_4000);

/// Some number.
pub fn read() -> u32 {
    // SAFETY: a register of the board, of this size, which any access is allowed to.
    unsafe { ptr::read_volatile(REGISTER) }
}

/// Shows a number to the world.
pub fn write(value: u32) {
    // SAFETY: as in `read`.
    unsafe { ptr::write_volatile(REGISTER, value) }
}

/// Shows bytes to the world.
#[inline(never)]
pub fn put(bytes: &[u8]) {
    for byte in bytes {
        write((*byte).into());
    }
}

/// Fills a buffer as far as there are bytes; how many there were.
#[inline(never)]
pub fn take(buffer: &mut [u8]) -> usize {
    let n = usize::try_from(read()).unwrap_or(0).min(buffer.len());
    for byte in buffer.iter_mut().take(n) {
        *byte = read().to_le_bytes()[0];
    }
    n
}

/// Some time.
#[inline(never)]
pub fn now() -> Instant {
    Instant::from_millis((u64::from(read()) << 32) | u64::from(read()))
}
