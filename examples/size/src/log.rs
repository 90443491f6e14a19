//! A log of text that goes to the register.

use core::fmt::{self, Write};

use crate::port::put;

struct Register;

impl Write for Register {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        put(text.as_bytes());
        Ok(())
    }
}

impl log::Log for Register {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // Nothing that could fail.
        let _ = Register.write_fmt(*record.args());
    }

    fn flush(&self) {}
}

pub(crate) fn start() {
    // Once, at the start.
    let _ = log::set_logger(&Register);
    log::set_max_level(log::LevelFilter::Trace);
}
