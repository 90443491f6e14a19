//! What a session watches, and which of its watches an event is for.

use crate::error::ErrorCode;
use crate::wire::{AddWatchMode, EventType, WatcherType};

/// How a znode is watched.
///
/// The server tells a *connection* of a change, once for each type of event and path, however many
/// watches of the session it is for; [`Event::Notification`](super::Event::Notification) passes that
/// on as it is. An adapter that hands events to watchers asks [`is_told`](Self::is_told) of each of
/// its watches, or keeps them by path and asks [`EventType::fires`] of those at the event's path and,
/// for the recursive ones, at its [`ancestors`]; [`ends_with`](Self::ends_with) says which are used
/// up.
///
/// | event | data | exist | child | persistent | recursive |
/// | --- | --- | --- | --- | --- | --- |
/// | `NodeCreated` | once | once | - | yes | also of descendants |
/// | `NodeDataChanged` | once | once | - | yes | also of descendants |
/// | `NodeDeleted` | once | once | once | yes | also of descendants |
/// | `NodeChildrenChanged` | - | - | once | yes | - |
///
/// Events of other types are for no watch.
///
/// ```
/// use zk_session::client::WatchKind;
/// use zk_session::wire::EventType::{NodeChildrenChanged, NodeCreated};
///
/// // `/a` is watched for children once and recursively; then `/a/b` is created. The server tells of
/// // both the new znode and the change of its parent's children.
/// assert!(WatchKind::Recursive.is_told("/a", NodeCreated, "/a/b"));
/// assert!(!WatchKind::Child.is_told("/a", NodeCreated, "/a/b"));
/// assert!(WatchKind::Child.is_told("/a", NodeChildrenChanged, "/a"));
/// assert!(!WatchKind::Recursive.is_told("/a", NodeChildrenChanged, "/a"));
/// ```
///
/// # Source
/// `ZKWatchManager.materialize`, `PathParentIterator`, 3.8.0 and 3.9.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WatchKind {
    /// getData, or exists on a znode that is there: until it changes or goes.
    Data,
    /// exists on a znode that is not there: until it comes.
    Exist,
    /// getChildren: until a child comes or goes, or the znode does.
    Child,
    /// addWatch: until it is removed.
    Persistent,
    /// addWatch: until it is removed, and for all descendants.
    Recursive,
}

impl WatchKind {
    /// Every kind, in the order of the lists of setWatches2.
    pub const ALL: [Self; 5] =
        [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::Recursive];

    /// What addWatch arms.
    pub(super) const fn added(mode: AddWatchMode) -> Self {
        match mode {
            AddWatchMode::Persistent => Self::Persistent,
            AddWatchMode::PersistentRecursive => Self::Recursive,
        }
    }

    /// Whether a watch of this kind at the path `at` is told of an event at `path`.
    pub fn is_told(self, at: &str, event: EventType, path: &str) -> bool {
        let there = at == path || (self == Self::Recursive && ancestors(path).any(|up| up == at));
        there && event.fires(self)
    }

    /// Whether being told of such an event uses the watch up.
    pub const fn ends_with(self, event: EventType) -> bool {
        event.fires(self) && !matches!(self, Self::Persistent | Self::Recursive)
    }

    /// Whether a removal of this type takes watches of this kind away.
    pub const fn is_removed_by(self, kind: WatcherType) -> bool {
        match kind {
            WatcherType::Any => true,
            WatcherType::Children => matches!(self, Self::Child),
            WatcherType::Data => matches!(self, Self::Data | Self::Exist),
            WatcherType::Persistent => matches!(self, Self::Persistent),
            WatcherType::PersistentRecursive => matches!(self, Self::Recursive),
        }
    }
}

impl EventType {
    /// Whether an event of this type is for watches of this kind at its path, and for recursive ones
    /// above it.
    pub const fn fires(self, kind: WatchKind) -> bool {
        match self {
            Self::NodeCreated | Self::NodeDataChanged => !matches!(kind, WatchKind::Child),
            Self::NodeDeleted => true,
            Self::NodeChildrenChanged => matches!(kind, WatchKind::Child | WatchKind::Persistent),
            // Never on the wire, or not known.
            Self::None
            | Self::DataWatchRemoved
            | Self::ChildWatchRemoved
            | Self::PersistentWatchRemoved
            | Self::Unknown(_) => false,
        }
    }
}

/// The paths above one, from its parent to the root: `/a/b` has `/a` and `/`.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut end = path.len();
    core::iter::from_fn(move || {
        if end <= 1 {
            return None;
        }
        end = path.get(..end)?.rfind('/')?;
        path.get(..end.max(1))
    })
}

/// What the answer to a request does to the session's watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Success arms a watch of this kind.
    Success(WatchKind),
    /// exists: a data watch if the znode is there, an exist watch if it is not.
    Exists,
    /// removeWatches takes watches away.
    Removal(WatcherType),
}

impl Wish {
    /// The watch armed by an answer with this error code.
    pub(super) const fn armed(self, err: i32) -> Option<WatchKind> {
        const NO_NODE: i32 = ErrorCode::NoNode.to_wire();
        match (self, err) {
            (Self::Success(kind), 0) => Some(kind),
            (Self::Exists, 0) => Some(WatchKind::Data),
            (Self::Exists, NO_NODE) => Some(WatchKind::Exist),
            _ => None,
        }
    }

    /// Whether an answer with this error code means that the watches to be removed are not there:
    /// just removed, or not known to the server anyway.
    pub(super) const fn is_gone(err: i32) -> bool {
        err == 0 || err == ErrorCode::NoWatcher.to_wire()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn ancestors_end_with_the_root() {
        assert_eq!(ancestors("/a/bc/d").collect::<Vec<_>>(), ["/a/bc", "/a", "/"]);
        assert_eq!(ancestors("/a").collect::<Vec<_>>(), ["/"]);
        assert_eq!(ancestors("/").count(), 0);
        assert_eq!(ancestors("").count(), 0);
        assert_eq!(ancestors("é").count(), 0);
    }

    #[test]
    fn recursion_is_over_whole_names() {
        let created = EventType::NodeCreated;
        assert!(WatchKind::Recursive.is_told("/", created, "/a/b"));
        assert!(WatchKind::Recursive.is_told("/a", created, "/a"));
        assert!(!WatchKind::Recursive.is_told("/a", created, "/ab"));
        assert!(!WatchKind::Recursive.is_told("/a/b", created, "/a"));
        assert!(!WatchKind::Persistent.is_told("/a", created, "/a/b"));
    }

    #[test]
    fn r2_an_unknown_event_is_for_no_watch() {
        for kind in WatchKind::ALL {
            assert!(!EventType::Unknown(99).fires(kind));
            assert!(!kind.ends_with(EventType::Unknown(99)));
        }
    }

    #[test]
    fn every_kind_is_removed_by_its_type_and_by_any() {
        use WatcherType::*;
        for (kind, by) in
            WatchKind::ALL.into_iter().zip([Data, Data, Children, Persistent, PersistentRecursive])
        {
            for other in [Children, Data, Any, Persistent, PersistentRecursive] {
                assert_eq!(kind.is_removed_by(other), other == by || other == Any);
            }
        }
    }
}
