//! What few sessions ever have.

use core::ops::{Deref, DerefMut};

#[cfg(feature = "alloc")]
type Inner<T> = alloc::boxed::Box<T>;
#[cfg(not(feature = "alloc"))]
type Inner<T> = T;

/// A value that lies on the heap if there is one, so that an `Option` of it takes only a pointer of
/// the many sessions without.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare<T>(Inner<T>);

impl<T> Rare<T> {
    #[cfg(feature = "alloc")]
    pub(crate) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    #[cfg(not(feature = "alloc"))]
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
