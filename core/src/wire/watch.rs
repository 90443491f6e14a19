//! Watches: what is watched, and what is told.

use super::codec::{Reader, Ustring, WireError, Writer};

/// What happened to a watched znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EventType {
    /// No change of a znode: a session event.
    None,
    /// The znode was created.
    NodeCreated,
    /// The znode was deleted.
    NodeDeleted,
    /// The znode's data was set.
    NodeDataChanged,
    /// A child came or went.
    NodeChildrenChanged,
    /// A data watch was removed (never on the wire).
    DataWatchRemoved,
    /// A child watch was removed (never on the wire).
    ChildWatchRemoved,
    /// A persistent watch was removed (never on the wire).
    PersistentWatchRemoved,
    /// A type this library does not know, kept as it came.
    Unknown(i32),
}

impl EventType {
    /// Names a type from the wire.
    pub const fn from_wire(code: i32) -> Self {
        match code {
            -1 => Self::None,
            1 => Self::NodeCreated,
            2 => Self::NodeDeleted,
            3 => Self::NodeDataChanged,
            4 => Self::NodeChildrenChanged,
            5 => Self::DataWatchRemoved,
            6 => Self::ChildWatchRemoved,
            7 => Self::PersistentWatchRemoved,
            other => Self::Unknown(other),
        }
    }

    /// The type as the wire carries it.
    pub const fn to_wire(self) -> i32 {
        match self {
            Self::None => -1,
            Self::NodeCreated => 1,
            Self::NodeDeleted => 2,
            Self::NodeDataChanged => 3,
            Self::NodeChildrenChanged => 4,
            Self::DataWatchRemoved => 5,
            Self::ChildWatchRemoved => 6,
            Self::PersistentWatchRemoved => 7,
            Self::Unknown(other) => other,
        }
    }
}

/// The body of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WatcherEvent<'a> {
    /// What happened.
    pub kind: EventType,
    /// The session's state; servers send 3, SyncConnected.
    pub state: i32,
    /// The znode, as the server names it (with the chroot).
    pub path: Ustring<'a>,
}

impl<'a> WatcherEvent<'a> {
    /// The state every server sends: SyncConnected.
    pub const SYNC_CONNECTED: i32 = 3;

    /// Reads the record.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not such a record.
    pub fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { kind: EventType::from_wire(r.int()?), state: r.int()?, path: r.ustring()? })
    }

    /// Writes the record.
    pub fn write(&self, w: &mut Writer<'_>) {
        w.int(self.kind.to_wire());
        w.int(self.state);
        w.ustring(self.path);
    }
}

/// How an added watch stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AddWatchMode {
    /// Stays after it fires.
    Persistent,
    /// Stays after it fires and covers all descendants.
    PersistentRecursive,
}

impl AddWatchMode {
    /// The mode as the wire carries it.
    pub const fn to_wire(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::PersistentRecursive => 1,
        }
    }

    /// Names a mode from the wire; `None` if there is no such mode.
    pub const fn from_wire(code: i32) -> Option<Self> {
        match code {
            0 => Some(Self::Persistent),
            1 => Some(Self::PersistentRecursive),
            _ => None,
        }
    }
}

/// Which watches a removal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WatcherType {
    /// Child watches.
    Children,
    /// Data watches.
    Data,
    /// All of them.
    Any,
    /// Persistent watches (3.9).
    Persistent,
    /// Persistent recursive watches (3.9).
    PersistentRecursive,
}

impl WatcherType {
    /// The type as the wire carries it.
    pub const fn to_wire(self) -> i32 {
        match self {
            Self::Children => 1,
            Self::Data => 2,
            Self::Any => 3,
            Self::Persistent => 4,
            Self::PersistentRecursive => 5,
        }
    }

    /// Names a type from the wire; `None` if there is no such type.
    pub const fn from_wire(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Children,
            2 => Self::Data,
            3 => Self::Any,
            4 => Self::Persistent,
            5 => Self::PersistentRecursive,
            _ => return None,
        })
    }
}
