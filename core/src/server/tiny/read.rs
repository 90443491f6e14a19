//! Requests that change no znode.
//!
//! # Source
//! `FinalRequestProcessor.processRequest`, `DataTree.setWatches`, 3.9.5.

use super::Ensemble;
use super::memory::{ConnectionId, NodeSlot, State};
use super::store::{FULL, Store};
use super::tree::NodeId;
use super::watches::Both;
use crate::error::ErrorCode;
use crate::server::event::CloseReason;
use crate::wire::{
    Acl, AddWatchMode, EventType, LENGTH_BYTES, List, Reply, ReplyHeader, Request, SessionId,
    SetWatches, Ustring, WatcherType, Writer, Xid, Zxid,
};

/// A successful reply, still in the tree.
enum Answer<'r> {
    Empty,
    Stat(NodeId),
    Data(NodeId),
    Children(NodeId),
    Children2(NodeId),
    Acl(NodeId),
    Count(usize),
    AddWatch,
    Ephemerals(&'r [u8]),
}

/// What a request comes to: an answer, and a watch that is to be armed with it.
struct Look<'r> {
    answer: Result<Answer<'r>, ErrorCode>,
    watch: Option<(&'r [u8], Both)>,
}

impl<'r> From<Result<Answer<'r>, ErrorCode>> for Look<'r> {
    fn from(answer: Result<Answer<'r>, ErrorCode>) -> Self {
        Self { answer, watch: None }
    }
}

impl Ensemble<'_> {
    pub(super) fn read(&mut self, conn: ConnectionId, xid: Xid, request: &Request<'_>) {
        let zxid = self.zxid;
        match request {
            Request::SetWatches(watches) | Request::SetWatches2(watches) => {
                return self.set_watches(conn, xid, watches);
            }
            Request::Sync { path } => {
                return self.send(conn, |a| a.reply(xid, zxid, |w| Reply::Path(*path).encode(w)));
            }
            _ => {}
        }
        let Self { store, connections, .. } = self;
        let Some(slot) = connections.get_mut(conn.index()) else { return };
        let Some(attached) = slot.session else { return };
        let session = attached.session.id();
        let Look { mut answer, watch } = store.look(conn, request);
        if let Ok(good) = &answer {
            // Known before anything is armed: what was armed without an answer would be nobody's.
            if store.answer_len(good, session) > slot.connection.answers.outbox.free() {
                answer = Err(FULL);
            }
        }
        if let (Ok(_) | Err(ErrorCode::NoNode), Some((path, modes))) = (&answer, watch) {
            if let Err(code) = store.arm(conn, path, modes) {
                answer = Err(code);
            }
        }
        let answers = &mut slot.connection.answers;
        let sent = match answer {
            Ok(good) => answers.reply(xid, zxid, |w| store.write(&good, session, w)),
            Err(code) => answers.error(xid, zxid, code),
        };
        self.sent(conn, sent);
    }

    fn set_watches(&mut self, conn: ConnectionId, xid: Xid, watches: &SetWatches<'_>) {
        let zxid = self.zxid;
        match self.rewatch(conn, watches) {
            Ok(()) => self.send(conn, |a| a.reply(xid, zxid, |_| {})),
            // A client that took no notice would wait for events that never come; on its next
            // connection there may be room.
            Err(FULL) => {
                self.send(conn, |a| a.error(xid, zxid, FULL));
                self.shut(conn, CloseReason::WatchesFull);
            }
            Err(code) => self.send(conn, |a| a.error(xid, zxid, code)),
        }
        if self.session(conn).is_none() {
            self.store.forget(conn); // it was lost on the way
        }
    }

    /// Goes through the lists in order; what comes before the first null has been done.
    fn rewatch(&mut self, conn: ConnectionId, watches: &SetWatches<'_>) -> Result<(), ErrorCode> {
        let since = watches.relative_zxid;
        self.catch_up(conn, watches.data, Both::DATA, |seen| match seen {
            None => Some(EventType::NodeDeleted),
            Some(node) => (node.mzxid > since).then_some(EventType::NodeDataChanged),
        })?;
        self.catch_up(conn, watches.exist, Both::DATA, |seen| {
            seen.map(|_| EventType::NodeCreated)
        })?;
        self.catch_up(conn, watches.child, Both::CHILD, |seen| match seen {
            None => Some(EventType::NodeDeleted),
            Some(node) => (node.pzxid > since).then_some(EventType::NodeChildrenChanged),
        })?;
        for path in not_null(watches.persistent)? {
            self.store.arm(conn, watched(path), Both::PERSISTENT)?;
        }
        for path in not_null(watches.persistent_recursive)? {
            self.store.arm(conn, watched(path), Both::RECURSIVE)?;
        }
        Ok(())
    }

    /// Tells of each path what `missed` says of its znode, or arms the watch.
    fn catch_up(
        &mut self,
        conn: ConnectionId,
        paths: List<'_, Ustring<'_>>,
        modes: Both,
        missed: impl Fn(Option<&NodeSlot>) -> Option<EventType>,
    ) -> Result<(), ErrorCode> {
        for path in not_null(paths)? {
            let path = named(path)?;
            let node = self.store.find(path).and_then(|id| self.store.node(id));
            match missed(node) {
                Some(kind) => self.send(conn, |a| a.notify(Zxid(-1), kind, path)),
                None => self.store.arm(conn, path, modes)?,
            }
        }
        Ok(())
    }
}

impl Store<'_> {
    fn look<'r>(&mut self, conn: ConnectionId, request: &Request<'r>) -> Look<'r> {
        let armed = |watch: bool, path: Ustring<'r>, modes| {
            path.as_bytes().filter(|_| watch).map(|path| (path, modes))
        };
        match *request {
            Request::Exists { path, .. } if path.as_bytes().is_some_and(|p| p.contains(&0)) => {
                Err(ErrorCode::BadArguments).into()
            }
            // Armed even if there is no such znode.
            Request::Exists { path, watch } => Look {
                answer: self.readable(path).map(Answer::Stat),
                watch: armed(watch, path, Both::DATA),
            },
            Request::GetData { path, watch } => {
                self.watchable(path, armed(watch, path, Both::DATA), Answer::Data)
            }
            Request::GetChildren { path, watch } => {
                self.watchable(path, armed(watch, path, Both::CHILD), Answer::Children)
            }
            Request::GetChildren2 { path, watch } => {
                self.watchable(path, armed(watch, path, Both::CHILD), Answer::Children2)
            }
            Request::GetAcl { path } => self.readable(path).map(Answer::Acl).into(),
            Request::GetAllChildrenNumber { path } => {
                let id = self.readable(path);
                // Under its alias, the empty path, the root counts among what lies below it.
                let alias = usize::from(path.as_bytes() == Some(b""));
                let count = id.map(|id| self.descendants(id).saturating_add(alias));
                count.map(Answer::Count).into()
            }
            Request::GetEphemerals { prefix } => {
                let prefix = prefix.as_bytes().unwrap_or_default();
                // What Java's `trim` leaves of it.
                let all = prefix.iter().filter(|byte| **byte > b' ').eq(b"/")
                    || prefix.iter().all(|byte| *byte <= b' ');
                Ok(Answer::Ephemerals(if all { b"" } else { prefix })).into()
            }
            Request::AddWatch { path, mode } => {
                let modes = match AddWatchMode::from_wire(mode) {
                    Some(AddWatchMode::Persistent) => Both::PERSISTENT,
                    Some(AddWatchMode::PersistentRecursive) => Both::RECURSIVE,
                    None => return Err(ErrorCode::MarshallingError).into(),
                };
                Look { answer: Ok(Answer::AddWatch), watch: Some((watched(path), modes)) }
            }
            Request::CheckWatches { path, kind } => {
                registered(kind, |modes| self.is_armed(conn, watched(path), modes))
            }
            Request::RemoveWatches { path, kind } => {
                registered(kind, |modes| self.disarm(conn, watched(path), modes))
            }
            _ => Err(ErrorCode::Unimplemented).into(),
        }
    }

    /// A znode that must exist for its watch to be armed.
    fn watchable<'r>(
        &self,
        path: Ustring<'r>,
        watch: Option<(&'r [u8], Both)>,
        answer: impl FnOnce(NodeId) -> Answer<'r>,
    ) -> Look<'r> {
        match self.readable(path) {
            Ok(id) => Look { answer: Ok(answer(id)), watch },
            Err(code) => Err(code).into(),
        }
    }

    /// A znode that may be read, as all may.
    fn readable(&self, path: Ustring<'_>) -> Result<NodeId, ErrorCode> {
        self.find(named(path)?).ok_or(ErrorCode::NoNode)
    }

    /// Bytes of a reply's frame.
    fn answer_len(&self, answer: &Answer<'_>, session: SessionId) -> usize {
        let mut w = Writer::new(&mut []);
        self.write(answer, session, &mut w);
        w.len().saturating_add(LENGTH_BYTES).saturating_add(ReplyHeader::BYTES)
    }

    fn write(&self, answer: &Answer<'_>, session: SessionId, w: &mut Writer<'_>) {
        match *answer {
            Answer::Empty => {}
            Answer::AddWatch => w.int(0),
            Answer::Count(count) => w.count(count),
            Answer::Ephemerals(prefix) => {
                let paths = || self.ephemerals(session).filter(|id| self.begins_with(*id, prefix));
                w.count(paths().count());
                paths().for_each(|id| self.write_path(id, w));
            }
            Answer::Stat(id)
            | Answer::Data(id)
            | Answer::Children(id)
            | Answer::Children2(id)
            | Answer::Acl(id) => {
                let Some(node) = self.node(id) else { return };
                match answer {
                    Answer::Data(_) => w.buffer(self.data(node)),
                    Answer::Acl(_) => acl(node).write(w),
                    Answer::Stat(_) => {}
                    _ => {
                        w.count(node.children.into());
                        self.names(id).for_each(|name| w.buffer(Some(name)));
                    }
                }
                if !matches!(answer, Answer::Children(_)) {
                    self.stat(node).write(w);
                }
            }
        }
    }
}

/// Who may do what with a znode.
fn acl(node: &NodeSlot) -> List<'static, Acl<'static>> {
    List::from_slice(match node.state {
        State::ReadOnly => Acl::READ,
        _ => Acl::OPEN,
    })
}

/// The answer to a question about watches of some type.
fn registered<'r>(kind: i32, is_armed: impl FnOnce(Both) -> bool) -> Look<'r> {
    match WatcherType::from_wire(kind).map(|kind| is_armed(Both::of(kind))) {
        Some(true) => Ok(Answer::Empty),
        Some(false) => Err(ErrorCode::NoWatcher),
        None => Err(ErrorCode::MarshallingError),
    }
    .into()
}

/// A path that is not null.
fn named(path: Ustring<'_>) -> Result<&[u8], ErrorCode> {
    path.as_bytes().ok_or(ErrorCode::MarshallingError)
}

/// A path as the tables of watches know it: Java's maps take null for a key, too, which here is
/// bytes that no string has.
fn watched(path: Ustring<'_>) -> &[u8] {
    path.as_bytes().unwrap_or(b"\xff")
}

fn not_null<'a>(paths: List<'a, Ustring<'a>>) -> Result<List<'a, Ustring<'a>>, ErrorCode> {
    if paths.is_null() { Err(ErrorCode::MarshallingError) } else { Ok(paths) }
}
