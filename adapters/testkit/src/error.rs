//! Errors that say what was being done, and locks that outlive a panicking test.

use std::fmt::Display;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Puts "what was being done" in front of an error and keeps its kind.
pub(crate) fn while_doing(what: impl Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Locks whether or not another thread panicked meanwhile: after a failed assertion there is still
/// a bench to clear.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
