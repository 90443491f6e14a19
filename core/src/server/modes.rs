//! What a watch is told of, and how long it stays.

/// Which table a watch stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// getData and exists.
    Data,
    /// getChildren.
    Child,
}

/// How long watches stay: a set of modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modes(u8);

impl Modes {
    /// No watch.
    pub(super) const NONE: Self = Self(0);
    /// Until it fires.
    pub(super) const STANDARD: Self = Self(1);
    /// Until it is removed.
    pub(super) const PERSISTENT: Self = Self(2);
    /// Until it is removed, and for all descendants.
    pub(super) const RECURSIVE: Self = Self(4);
    pub(super) const ANY: Self = Self(7);

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
