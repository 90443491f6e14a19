//! `trace!`, `debug!` and `warn!` to `defmt`, to `log`, to both, or to nothing.
//!
//! Arguments must be plain numbers or types that implement both `Debug` and `defmt::Format`.

#[cfg(all(feature = "log", feature = "defmt"))]
macro_rules! emit {
    ($level:ident, $($arg:tt)+) => {{ log::$level!($($arg)+); defmt::$level!($($arg)+); }};
}
#[cfg(all(feature = "log", not(feature = "defmt")))]
macro_rules! emit {
    ($level:ident, $($arg:tt)+) => { log::$level!($($arg)+) };
}
#[cfg(all(feature = "defmt", not(feature = "log")))]
macro_rules! emit {
    ($level:ident, $($arg:tt)+) => { defmt::$level!($($arg)+) };
}
#[cfg(not(any(feature = "log", feature = "defmt")))]
macro_rules! emit {
    ($level:ident, $format:literal $(, $arg:expr)* $(,)?) => {{ $(let _ = &$arg;)* }};
}
macro_rules! debug_event { ($($arg:tt)+) => { crate::trace::emit!(debug, $($arg)+) }; }
macro_rules! warn_event { ($($arg:tt)+) => { crate::trace::emit!(warn, $($arg)+) }; }

pub(crate) use {debug_event, emit, warn_event};
