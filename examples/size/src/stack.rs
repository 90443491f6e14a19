//! How much stack a call takes: what lies below the stack pointer is painted, and looked at
//! afterwards. Interrupts, which are off, would show.

use core::ptr;

/// How far the paint reaches.
const DEPTH: usize = 6 * 1024;
const PAINT: u32 = 0xa5a5_5a5a;

/// Bytes of stack that `call` takes, the frame of the one who calls it included, and what it returns.
#[inline(never)]
pub fn measured<R>(call: impl FnOnce() -> R) -> (usize, R) {
    let bottom = usize::try_from(cortex_m::register::msp::read()).unwrap_or(0) & !3;
    let top = bottom.saturating_sub(DEPTH);
    let words = (top..bottom).step_by(size_of::<u32>());
    for word in words.clone() {
        // SAFETY: within the stack and below its pointer, where nothing lives: no interrupt is on.
        unsafe { ptr::write_volatile(ptr::without_provenance_mut::<u32>(word), PAINT) }
    }
    let result = called(call);
    // SAFETY: as above; what is there are leftovers of the call, which any number is.
    let is_painted = |word: &usize| unsafe {
        ptr::read_volatile(ptr::without_provenance::<u32>(*word)) == PAINT
    };
    let untouched = words.take_while(is_painted).count();
    (DEPTH.saturating_sub(untouched.saturating_mul(size_of::<u32>())), result)
}

#[inline(never)]
fn called<R>(call: impl FnOnce() -> R) -> R {
    call()
}
