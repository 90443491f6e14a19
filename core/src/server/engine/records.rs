//! The state as records, and what has changed of it.

use super::Engine;
use crate::server::record::{Change, HeaderRecord, Record, RecordKey, SessionRecord};
use crate::server::tree::Changed;
use crate::wire::SessionId;

/// What has changed since it was last stored, beside the znodes.
#[derive(Default)]
pub(super) struct Changes {
    sessions: Changed<SessionId>,
    /// As it is stored.
    header: Option<HeaderRecord>,
}

impl Changes {
    pub(super) fn session_created(&mut self, session: SessionId) {
        self.sessions.created(session);
    }

    pub(super) fn session_modified(&mut self, session: SessionId) {
        self.sessions.modified(session);
    }

    pub(super) fn session_removed(&mut self, session: SessionId) {
        self.sessions.removed(session);
    }
}

impl Engine {
    /// The whole state, in an order in which [`restore`](Self::restore) takes it: what an ensemble
    /// needs to go on after a restart.
    ///
    /// They hold the key of all session passwords and all data: keep them as secret as both.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> + '_ {
        let sessions =
            self.tracker.sessions().filter(|(id, ..)| !self.is_local(*id)).map(
                |(session_id, timeout, _)| Record::Session(SessionRecord { session_id, timeout }),
            );
        let header = core::iter::once(Record::Header(self.header()));
        header.chain(sessions).chain(self.tree.records().map(Record::Znode))
    }

    /// From now on the engine remembers what changes, for [`poll_changes`](Self::poll_changes).
    /// It costs time with every change, and memory up to the names of all that is stored and all
    /// that there is; without it there is no cost.
    pub fn track_changes(&mut self) {
        let header = self.header();
        self.changes.get_or_insert_default().header = Some(header);
        self.tree.track_changes();
    }

    /// What has to be done to the records that were last stored so that they become
    /// [those of now](Self::records): all of it or none, in any order, for only together is it a
    /// state that there has been. Nothing before [`track_changes`](Self::track_changes).
    ///
    /// Each record is told once, however often it changed. Store them, say
    /// [`handle_stored`](Self::handle_stored), and only then send what
    /// [`poll_transmit`](Self::poll_transmit) has had since: then nothing is acknowledged that a
    /// restart would lose.
    pub fn poll_changes(&self) -> impl Iterator<Item = Change<'_>> + '_ {
        let changes = self.changes.as_ref();
        let header = self.header();
        let stale = changes.is_some_and(|changes| changes.header != Some(header));
        let header = stale.then_some(Change::Put(Record::Header(header)));
        let sessions = changes.into_iter().flat_map(|changes| changes.sessions.names());
        let sessions = sessions.map(|id| match self.tracker.timeout(*id) {
            Some(timeout) => {
                Change::Put(Record::Session(SessionRecord { session_id: *id, timeout }))
            }
            None => Change::Remove(RecordKey::Session(*id)),
        });
        let znodes = self.tree.changes().map(|path| {
            match self.tree.find(path).and_then(|id| self.tree.record(id)) {
                Some(znode) => Change::Put(Record::Znode(znode)),
                None => {
                    Change::Remove(RecordKey::Znode(alloc::string::String::from_utf8_lossy(path)))
                }
            }
        });
        header.into_iter().chain(sessions).chain(znodes)
    }

    /// All of [`poll_changes`](Self::poll_changes) has been stored. Between the two calls the
    /// engine was told nothing else.
    pub fn handle_stored(&mut self) {
        let header = self.header();
        if let Some(changes) = &mut self.changes {
            changes.sessions.clear();
            changes.header = Some(header);
        }
        self.tree.changes_stored();
    }

    fn header(&self) -> HeaderRecord {
        HeaderRecord {
            zxid: self.zxid,
            seed: self.config.seed,
            next_session: self.tracker.next_id(),
        }
    }
}
