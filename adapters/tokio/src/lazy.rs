//! What takes no memory while it is not in use.

use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;
use std::task::Waker;

use crate::line::Line;
use crate::slots::Slots;
use crate::states::Listeners;
use crate::watches::Watches;

/// A value that is on the heap from the first time that it is about to be changed until it is given
/// back: of the sessions of a process most do nothing most of the time, and need none.
#[derive(Debug, Default)]
pub(crate) struct Lazy<T>(Option<Box<T>>);

/// What one looks at where there is nothing.
pub(crate) trait Vacant: Default + 'static {
    /// A value that nothing has happened to.
    fn vacant() -> &'static Self;

    /// Whether it can be given back.
    fn is_vacant(&self) -> bool;
}

impl<T: Vacant> Lazy<T> {
    /// The value, if it takes memory.
    #[inline]
    pub(crate) fn there(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// As [`there`](Self::there), to change it.
    #[inline]
    pub(crate) fn there_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// The value, taken out.
    pub(crate) fn take_out(&mut self) -> Option<Box<T>> {
        self.0.take()
    }

    /// Gives the memory back if nothing is in it.
    pub(crate) fn shrink(&mut self) {
        self.0.take_if(|value| value.is_vacant());
    }
}

impl<T: Vacant> Deref for Lazy<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::vacant(),
        }
    }
}

impl<T: Vacant> DerefMut for Lazy<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl Vacant for Slots {
    fn vacant() -> &'static Self {
        static VACANT: LazyLock<Slots> = LazyLock::new(Slots::default);
        &VACANT
    }

    fn is_vacant(&self) -> bool {
        self.is_unused()
    }
}

impl Vacant for Line {
    fn vacant() -> &'static Self {
        static VACANT: LazyLock<Line> = LazyLock::new(Line::default);
        &VACANT
    }

    fn is_vacant(&self) -> bool {
        self.is_unused()
    }
}

impl Vacant for Watches {
    fn vacant() -> &'static Self {
        static VACANT: LazyLock<Watches> = LazyLock::new(Watches::default);
        &VACANT
    }

    fn is_vacant(&self) -> bool {
        self.is_unused()
    }
}

impl Vacant for Listeners {
    fn vacant() -> &'static Self {
        static VACANT: LazyLock<Listeners> = LazyLock::new(Listeners::default);
        &VACANT
    }

    fn is_vacant(&self) -> bool {
        self.is_unused()
    }
}

/// Whom to wake.
pub(crate) type Wakes = Vec<Waker>;

impl Vacant for Wakes {
    fn vacant() -> &'static Self {
        static VACANT: Wakes = Wakes::new();
        &VACANT
    }

    fn is_vacant(&self) -> bool {
        self.is_empty()
    }
}
