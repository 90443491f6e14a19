//! Lines to `defmt`, to `log`, to both, or to nothing.

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

pub(crate) use emit;
