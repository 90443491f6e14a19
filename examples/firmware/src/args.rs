//! What the host tells the program: `name=value` words of QEMU's `-semihosting-config arg=…`.

use core::mem::MaybeUninit;

use semihosting::sys::arm_compat::sys_get_cmdline_uninit;
use static_cell::StaticCell;

/// The longest command line, in bytes; the host refuses to hand out a longer one.
const LONGEST: usize = 512;

/// The words of the command line.
#[derive(Clone, Copy, Debug)]
pub struct Args(&'static str);

impl Args {
    /// Asks the host, once; the second time, or if there is no command line, there are no words.
    pub fn take() -> Self {
        static LINE: StaticCell<[MaybeUninit<u8>; LONGEST]> = StaticCell::new();
        let line = LINE.try_init([const { MaybeUninit::uninit() }; LONGEST]);
        let line = line.and_then(|buffer| sys_get_cmdline_uninit(buffer).ok());
        let text = line.and_then(|bytes| core::str::from_utf8(bytes).ok());
        Self(text.unwrap_or_default())
    }

    /// The value of the first word `name=value`.
    pub fn text(self, name: &str) -> Option<&'static str> {
        let mut words = self.0.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The value of the first word `name=value` that is a number.
    pub fn number(self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }
}
