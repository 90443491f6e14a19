//! Removing watches: what the registry remembers until removeWatches is answered.
//!
//! A watch that is to be removed stays armed until the server has answered: if the connection is
//! lost before, it is registered again on the next one, whole, as if it had never been asked for. The
//! path must be known when the answer comes. To remember it takes no room where there is something to
//! remove: the armed record itself waits for the answer.

use super::registry::{Place, REMOVAL, Record, Registry};
use super::watch_kind::WatchKind;
use crate::wire::WatcherType;

impl Registry<'_> {
    /// Bytes that a removal takes; `None` if there is, and will be, nothing to remove.
    pub(super) fn removal_cost(&self, path: &[u8], kind: WatcherType) -> Option<usize> {
        if self.to_remove(path, kind).is_some() {
            return Some(0);
        }
        let coming = self
            .records(0)
            .any(|record| record.is_waiting() && record.is_below() && self.body(record) == path);
        coming.then(|| Self::cost(path.len()))
    }

    /// Remembers a removal until it is answered; room has been checked with
    /// [`removal_cost`](Self::removal_cost).
    pub(super) fn begin_removal(&mut self, path: &[u8], kind: WatcherType) {
        self.removal = Some(|registry, kind, gone| registry.settle_removal(kind, gone));
        let mut tag = REMOVAL;
        if let Some((record, armed)) = self.to_remove(path, kind) {
            // It moves to the end: what waits is settled in order.
            self.remove(record);
            tag |= armed.tag();
        }
        self.append_path(tag, path);
    }

    /// Settles the oldest waiting record, which is a removal: its watches are gone, or stay as they
    /// were.
    fn settle_removal(&mut self, kind: WatcherType, gone: bool) {
        let Some(waiting) = self.next_waiting() else { return };
        if gone {
            for armed in WatchKind::ALL.into_iter().filter(|armed| armed.is_removed_by(kind)) {
                let path = self.body(waiting);
                let found = self.records(0).find(|r| {
                    r.start != waiting.start && self.is_armed(*r, armed, Place::Below, path)
                });
                if let Some(record) = found {
                    self.disarm(record);
                }
            }
        }
        match waiting.kind() {
            Some(armed) if !(gone && armed.is_removed_by(kind)) => {
                self.set_tag(waiting, armed.tag());
            }
            _ => self.remove(waiting),
        }
    }

    /// The first watch that a removal is about and no other removal has taken.
    fn to_remove(&self, path: &[u8], kind: WatcherType) -> Option<(Record, WatchKind)> {
        self.records(0).find_map(|record| {
            let armed = record.kind().filter(|armed| armed.is_removed_by(kind))?;
            let free = !record.is_waiting() && record.is_below();
            (free && self.body(record) == path).then_some((record, armed))
        })
    }
}
