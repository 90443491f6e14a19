//! Watches and credentials: what a session must say again on every new connection.

use super::credential::Credential;
use super::watch_kind::{WatchKind, Wish};
use crate::storage::{Buf, Index, Search};
use crate::wire::{EventType, WatcherType, Writer};

/// A record: one byte of tag, four of length, then the path or the encoded auth packet.
const RECORD_HEAD: usize = 5;

/// Bytes of records from which on an index is worth its memory.
const INDEX_FROM: usize = 256;

const TAG_FREE: u8 = 0;
const TAG_PENDING: u8 = 8;
const TAG_AUTH: u8 = 9;
/// Added to a tag: the path is the server's own, to which no chroot applies.
const ABSOLUTE: u8 = 0x10;
/// Added to a tag, or alone: a removal of watches at this path waits for its answer.
pub(super) const REMOVAL: u8 = 0x20;

/// Whose name for a znode a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The session's: below its chroot.
    Below,
    /// The server's.
    Absolute,
}

impl Place {
    const fn flag(self) -> u8 {
        match self {
            Self::Below => 0,
            Self::Absolute => ABSOLUTE,
        }
    }
}

impl WatchKind {
    pub(super) const fn tag(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Exist => 2,
            Self::Child => 3,
            Self::Persistent => 4,
            Self::Recursive => 5,
        }
    }
}

/// Records back to back in a lent or owned buffer. A removed record is marked free and squeezed out
/// when room is needed.
pub(super) struct Registry<'b> {
    buf: Buf<'b>,
    end: usize,
    /// Bytes of the records that are not free.
    live: usize,
    /// No pending record lies before this.
    pending: usize,
    /// Only free records lie before this.
    first: usize,
    /// The armed watches, if they are many and memory is not lent.
    index: Index,
    /// Settles a removal; there once one has been asked for.
    pub(super) removal: Option<fn(&mut Registry<'_>, WatcherType, bool)>,
}

/// The records from some place on.
#[derive(Clone)]
pub(super) struct Records<'r> {
    registry: &'r Registry<'r>,
    next: usize,
}

impl Iterator for Records<'_> {
    type Item = Record;

    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn next(&mut self) -> Option<Record> {
        let record = self.registry.record(self.next)?;
        self.next = record.end();
        Some(record)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) start: usize,
    tag: u8,
    pub(super) body_len: usize,
}

impl Record {
    const fn body(self) -> core::ops::Range<usize> {
        let start = self.start.saturating_add(RECORD_HEAD);
        start..start.saturating_add(self.body_len)
    }

    pub(super) const fn end(self) -> usize {
        self.body().end
    }

    /// What is watched, if this is an armed watch; one that is to be removed is armed still.
    pub(super) const fn kind(self) -> Option<WatchKind> {
        Some(match self.tag & !(ABSOLUTE | REMOVAL) {
            1 => WatchKind::Data,
            2 => WatchKind::Exist,
            3 => WatchKind::Child,
            4 => WatchKind::Persistent,
            5 => WatchKind::Recursive,
            _ => return None,
        })
    }

    /// Whether it waits for the answer to a request.
    pub(super) const fn is_waiting(self) -> bool {
        self.tag & REMOVAL != 0 || self.tag & !ABSOLUTE == TAG_PENDING
    }

    const fn is_of(self, place: Place) -> bool {
        self.tag & ABSOLUTE == place.flag()
    }

    pub(super) const fn is_below(self) -> bool {
        self.tag & ABSOLUTE == 0
    }
}

impl<'b> Registry<'b> {
    pub(super) fn new(buf: Buf<'b>) -> Self {
        let index = Index::default();
        Self { buf, end: 0, live: 0, pending: 0, first: 0, index, removal: None }
    }

    pub(super) fn clear(&mut self) {
        (self.end, self.live, self.pending, self.first) = (0, 0, 0, 0);
        self.index = Index::default();
    }

    /// Bytes that a body of this length takes.
    pub(super) const fn cost(body_len: usize) -> usize {
        body_len.saturating_add(RECORD_HEAD)
    }

    pub(super) fn free(&self) -> usize {
        self.buf.limit().saturating_sub(self.live)
    }

    /// Bytes that an auth packet takes; 0 if the same one is remembered already.
    pub(super) fn auth_cost(&self, auth: &Credential<'_>) -> usize {
        let mut measure = Writer::new(&mut []);
        auth.write(&mut measure);
        if self.has_auth(auth) { 0 } else { Self::cost(measure.len()) }
    }

    fn has_auth(&self, auth: &Credential<'_>) -> bool {
        self.records(0).any(|record| {
            record.tag == TAG_AUTH && Credential::read(self.body(record)).as_ref() == Ok(auth)
        })
    }

    /// Remembers an auth packet; room has been checked with [`auth_cost`](Self::auth_cost).
    pub(super) fn add_auth(&mut self, auth: &Credential<'_>) {
        if self.has_auth(auth) {
            return;
        }
        let mut measure = Writer::new(&mut []);
        auth.write(&mut measure);
        self.append(TAG_AUTH, measure.len(), |memory| {
            auth.write(&mut Writer::new(memory));
        });
    }

    /// Keeps room for a watch until its request is answered; room has been checked.
    pub(super) fn add_pending(&mut self, path: &[u8], place: Place) {
        self.append(TAG_PENDING | place.flag(), path.len(), |body| Writer::new(body).raw(path));
    }

    /// The oldest request that wished for something is answered with this error code, or will not be
    /// answered. Requests are answered in order, and so are their wishes.
    pub(super) fn answered(&mut self, wish: Wish, err: Option<i32>) {
        match wish {
            Wish::Removal(kind) => {
                if let Some(settle) = self.removal {
                    settle(self, kind, err.is_some_and(Wish::is_gone));
                }
            }
            _ => self.settle(err.and_then(|err| wish.armed(err))),
        }
    }

    /// Settles the oldest pending watch: armed as this kind, or not armed at all.
    fn settle(&mut self, armed: Option<WatchKind>) {
        let Some(record) = self.next_waiting() else { return };
        let place = if record.is_below() { Place::Below } else { Place::Absolute };
        let Some(kind) = armed else { return self.remove(record) };
        let tag = kind.tag() | place.flag();
        let mut search = self.index.search(self.body(record));
        let same = |other: Record| other.tag & !REMOVAL == tag;
        // Another record may say the same.
        if self.find_armed(self.body(record), &mut search, 0, same).is_some() {
            return self.remove(record);
        }
        self.set_tag(record, tag);
        self.note_armed(record, search);
    }

    /// Fills the index anew.
    #[cold]
    fn note_all(&mut self) {
        self.index.start();
        let mut from = self.first;
        while let Some(record) = self.record(from) {
            from = record.end();
            if record.kind().is_some() {
                let search = self.index.search(self.body(record));
                self.note_armed(record, search);
            }
        }
    }

    /// A record is an armed watch from now on; the search was for its path.
    fn note_armed(&mut self, record: Record, search: Option<Search>) {
        match search {
            Some(search) => self.index.add(&search, record.start),
            None if self.end > INDEX_FROM && self.buf.is_owned() => self.note_all(),
            None => {}
        }
    }

    /// A record is no armed watch any more.
    fn note_gone(&mut self, record: Record) {
        if record.kind().is_none() {
            return;
        }
        if let Some(mut search) = self.index.search(self.body(record)) {
            while let Some(place) = self.index.next(&mut search) {
                if place == record.start {
                    return self.index.take(&search);
                }
            }
        }
    }

    /// The next armed watch at this path that is as wanted: where the search leads or, without an
    /// index, not before `from`.
    fn find_armed(
        &self,
        path: &[u8],
        search: &mut Option<Search>,
        from: usize,
        wanted: impl Fn(Record) -> bool,
    ) -> Option<Record> {
        let is_it = |record: &Record| wanted(*record) && self.is_at(*record, path);
        match search {
            Some(search) => loop {
                let place = self.index.next(search)?;
                if let Some(record) = self.record(place).filter(is_it) {
                    return Some(record);
                }
            },
            None => self.records(from).find(is_it),
        }
    }

    /// The oldest record that waits for an answer, which has come.
    pub(super) fn next_waiting(&mut self) -> Option<Record> {
        let record = self.records(self.pending).find(|record| record.is_waiting())?;
        self.pending = record.end();
        Some(record)
    }

    /// Drops what an event uses up; says whether that was anything.
    pub(super) fn fired(&mut self, event: EventType, path: &[u8], place: Place) -> bool {
        let (mut any, mut from) = (false, self.first);
        let ends = |record: Record| {
            record.kind().is_some_and(|kind| kind.ends_with(event)) && record.is_of(place)
        };
        let mut search = self.index.search(path);
        while let Some(record) = self.find_armed(path, &mut search, from, ends) {
            from = record.end();
            if let Some(search) = &search {
                self.index.take(search);
            }
            self.forget(record);
            any = true;
            if self.live == 0 {
                break;
            }
        }
        any
    }

    /// Drops all watches and keeps the credentials, and what waits for an answer.
    pub(super) fn clear_watches(&mut self) {
        let mut from = 0;
        while let Some(record) = self.record(from) {
            from = record.end();
            if record.kind().is_some() {
                self.disarm(record);
            }
        }
    }

    /// How many watches are armed.
    pub(super) fn watches(&self) -> usize {
        self.records(0).filter(|r| r.kind().is_some()).count()
    }

    /// The armed watches: what is watched, and the path.
    pub(super) fn armed(&self) -> impl Iterator<Item = (u8, &[u8])> + Clone {
        self.records(0)
            .filter(|record| record.kind().is_some())
            .map(|record| (record.tag & !REMOVAL, self.body(record)))
    }

    /// Arms a watch again that [`armed`](Self::armed) gave; room has been checked. False if there is
    /// no such kind of watch.
    pub(super) fn restore(&mut self, tag: u8, path: &[u8]) -> bool {
        let known = Record { start: 0, tag, body_len: 0 }.kind().is_some() && tag & REMOVAL == 0;
        let sound = known && crate::path::check(path, crate::path::Last::Plain).is_ok();
        if sound {
            self.append_path(tag, path);
        }
        sound
    }

    /// Bytes there are, taken or not.
    pub(super) fn limit(&self) -> usize {
        self.buf.limit()
    }

    /// The encoded auth packet at or after `from`, and where to go on.
    pub(super) fn next_auth(&self, from: usize) -> Option<(&[u8], usize)> {
        let record = self.records(from).find(|record| record.tag == TAG_AUTH)?;
        Some((self.body(record), record.end()))
    }

    pub(super) fn records(&self, from: usize) -> Records<'_> {
        Records { registry: self, next: from.max(self.first) }
    }

    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn record(&self, start: usize) -> Option<Record> {
        if start >= self.end {
            return None;
        }
        let head = self.buf.bytes().get(start..start.saturating_add(RECORD_HEAD))?;
        let (tag, len) = head.split_first()?;
        let len = u32::from_be_bytes(len.try_into().ok()?);
        Some(Record { start, tag: *tag, body_len: usize::try_from(len).ok()? })
    }

    pub(super) fn body(&self, record: Record) -> &[u8] {
        self.buf.bytes().get(record.body()).unwrap_or_default()
    }

    /// Whether a record is this armed watch.
    pub(super) fn is_armed(&self, r: Record, kind: WatchKind, place: Place, path: &[u8]) -> bool {
        r.tag & !REMOVAL == kind.tag() | place.flag() && self.is_at(r, path)
    }

    /// Whether a record is about this path. Watched paths differ in length or at the end more often
    /// than not.
    fn is_at(&self, record: Record, path: &[u8]) -> bool {
        if record.body_len != path.len() {
            return false;
        }
        let body = self.body(record);
        body.last() == path.last() && body == path
    }

    /// The watch is gone; a removal that took it still waits for its answer.
    pub(super) fn disarm(&mut self, record: Record) {
        self.note_gone(record);
        self.forget(record);
    }

    /// As [`disarm`](Self::disarm), of what the index does not have any more.
    fn forget(&mut self, record: Record) {
        if record.is_waiting() {
            self.set_tag(record, REMOVAL);
        } else {
            self.free_up(record);
        }
    }

    pub(super) fn set_tag(&mut self, record: Record, tag: u8) {
        if let Some(byte) = self.buf.bytes_mut().get_mut(record.start) {
            *byte = tag;
        }
    }

    pub(super) fn remove(&mut self, record: Record) {
        self.note_gone(record);
        self.free_up(record);
    }

    fn free_up(&mut self, record: Record) {
        self.set_tag(record, TAG_FREE);
        self.live = self.live.saturating_sub(Self::cost(record.body_len));
        if self.live == 0 {
            self.clear();
        } else if record.end() == self.end {
            self.end = record.start;
            self.pending = self.pending.min(self.end);
        }
        while let Some(record) = self.record(self.first).filter(|r| r.tag == TAG_FREE) {
            self.first = record.end();
        }
        self.first = self.first.min(self.end);
    }

    pub(super) fn append_path(&mut self, tag: u8, path: &[u8]) {
        let start = self.append(tag, path.len(), |memory| Writer::new(memory).raw(path));
        match start.and_then(|start| self.record(start)) {
            Some(record) if record.kind().is_some() => {
                let search = self.index.search(path);
                self.note_armed(record, search);
            }
            _ => {}
        }
    }

    /// Where the record is, if there was room for it.
    fn append(&mut self, tag: u8, body_len: usize, write: impl FnOnce(&mut [u8])) -> Option<usize> {
        let cost = Self::cost(body_len);
        if self.end.saturating_add(cost) > self.buf.bytes().len()
            && (self.live < self.end / 2 || self.end.saturating_add(cost) > self.buf.limit())
        {
            self.squeeze();
        }
        let (start, end) = (self.end, self.end.saturating_add(cost));
        let len = u32::try_from(body_len).ok()?;
        if end > self.buf.bytes().len() && !self.buf.reach(end) {
            return None;
        }
        let memory = self.buf.bytes_mut().get_mut(start..end)?;
        let (head, body) = memory.split_first_chunk_mut::<RECORD_HEAD>()?;
        let [a, b, c, d] = len.to_be_bytes();
        *head = [tag, a, b, c, d];
        write(body);
        self.end = end;
        self.live = self.live.saturating_add(cost);
        Some(start)
    }

    /// Moves the records together over the free ones.
    fn squeeze(&mut self) {
        let (mut from, mut to) = (0, 0);
        let mut pending = None;
        while let Some(record) = self.record(from) {
            from = record.end();
            if record.tag == TAG_FREE {
                continue;
            }
            if record.is_waiting() && pending.is_none() {
                pending = Some(to);
            }
            self.buf.close_up(record.start..record.end(), to);
            to = to.saturating_add(Self::cost(record.body_len));
        }
        self.end = to;
        self.first = 0;
        self.pending = pending.unwrap_or(to);
        if self.index.is_started() {
            self.note_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{OpCode, Request, Zxid};

    fn armed<'b>(memory: &'b mut [u8], watches: &[(WatchKind, &str)]) -> Registry<'b> {
        let mut registry = Registry::new(Buf::Lent(memory));
        for (kind, path) in watches {
            registry.add_pending(path.as_bytes(), Place::Below);
            registry.settle(Some(*kind));
        }
        registry
    }

    fn fired(registry: &mut Registry<'_>, event: EventType, path: &str) {
        registry.fired(event, path.as_bytes(), Place::Below);
    }

    #[test]
    fn a_watch_is_kept_once_and_goes_with_its_event() {
        let mut memory = [0; 200];
        let mut registry = armed(
            &mut memory,
            &[
                (WatchKind::Data, "/a"),
                (WatchKind::Data, "/a"),
                (WatchKind::Child, "/a"),
                (WatchKind::Exist, "/b"),
                (WatchKind::Persistent, "/a"),
            ],
        );
        assert_eq!(registry.watches(), 4);
        fired(&mut registry, EventType::NodeChildrenChanged, "/a");
        assert_eq!(registry.watches(), 3);
        fired(&mut registry, EventType::NodeCreated, "/b");
        assert_eq!(registry.watches(), 2);
        fired(&mut registry, EventType::NodeDeleted, "/a");
        assert_eq!(registry.watches(), 1);
        registry.clear_watches();
        assert_eq!(registry.free(), 200);
    }

    #[test]
    fn removed_records_make_room_again() {
        let mut memory = [0; 40];
        let mut registry = Registry::new(Buf::Lent(&mut memory));
        for round in 0..1000 {
            let path = if round % 2 == 0 { "/even" } else { "/odd/one" };
            assert!(registry.free() >= Registry::cost(path.len()));
            registry.add_pending(path.as_bytes(), Place::Below);
            registry.settle(Some(WatchKind::Data));
            assert!(registry.watches() > 0);
            registry.add_pending(b"/keep", Place::Below);
            registry.settle(None);
            fired(&mut registry, EventType::NodeDataChanged, path);
        }
        assert_eq!(registry.free(), 40);
    }

    #[test]
    fn pending_watches_settle_in_order_even_across_a_squeeze() {
        let mut memory = [0; 64];
        let mut registry = armed(&mut memory, &[(WatchKind::Data, "/gone-soon-0123456789")]);
        registry.add_pending(b"/one", Place::Below);
        registry.add_pending(b"/two", Place::Below);
        fired(&mut registry, EventType::NodeDeleted, "/gone-soon-0123456789");
        registry.add_pending(b"/three-0123456789", Place::Below);
        registry.settle(Some(WatchKind::Child));
        registry.settle(None);
        registry.settle(Some(WatchKind::Exist));
        fired(&mut registry, EventType::NodeChildrenChanged, "/one");
        assert_eq!(registry.watches(), 1);
        fired(&mut registry, EventType::NodeCreated, "/three-0123456789");
        assert_eq!(registry.watches(), 0);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn what_is_looked_up_in_an_index_is_what_is_found_by_looking() {
        use std::vec::Vec;
        const ROOM: usize = 1 << 14;
        let mut memory = std::vec![0; ROOM];
        let mut both = [Registry::new(Buf::Lent(&mut memory)), Registry::new(Buf::owned(ROOM))];
        let mut seed = 3_u64;
        let mut draw = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        let (mut waiting, mut fired, mut most) = (0, 0, 0);
        for step in 0..50_000 {
            let path = std::format!("/watched/node-{}", draw(300));
            let place = if draw(8) == 0 { Place::Absolute } else { Place::Below };
            match draw(10) {
                0..4 if both.iter().all(|r| r.free() >= Registry::cost(path.len())) => {
                    waiting += 1;
                    both.iter_mut().for_each(|r| r.add_pending(path.as_bytes(), place));
                }
                4..8 if waiting > 0 => {
                    waiting -= 1;
                    let kinds = WatchKind::ALL.into_iter().map(Some).chain([None]);
                    let kind = kinds.cycle().nth(draw(6).try_into().unwrap()).unwrap();
                    both.iter_mut().for_each(|r| r.settle(kind));
                }
                8 if draw(400) == 0 => both.iter_mut().for_each(Registry::clear_watches),
                _ => {
                    let event = match draw(3) {
                        0 => EventType::NodeDataChanged,
                        1 => EventType::NodeChildrenChanged,
                        _ => EventType::NodeDeleted,
                    };
                    let [a, b] = &mut both;
                    let any = a.fired(event, path.as_bytes(), place);
                    assert_eq!(b.fired(event, path.as_bytes(), place), any, "step {step}");
                    fired += u32::from(any);
                }
            }
            let [scanned, found] = &both;
            assert_eq!(scanned.live, found.live, "step {step}");
            if step % 64 == 0 {
                let sorted = |r: &Registry<'_>| {
                    let mut all: Vec<_> = r.armed().map(|(k, p)| (k, p.to_vec())).collect();
                    all.sort_unstable();
                    all
                };
                assert_eq!(sorted(scanned), sorted(found), "step {step}");
                most = most.max(found.watches());
            }
        }
        assert!(!both[0].index.is_started() && both[1].index.is_started());
        assert!(fired > 1000 && most > 100, "{fired} fired, {most} at the most");
    }

    #[test]
    fn chunks_cover_every_watch_once() {
        let mut memory = [0; 4000];
        let mut registry = Registry::new(Buf::Lent(&mut memory));
        for n in 0..100 {
            let path = std::format!("/watch/{n}");
            registry.add_pending(path.as_bytes(), Place::Below);
            registry.settle(Some(if n % 3 == 0 { WatchKind::Child } else { WatchKind::Data }));
        }
        registry.add_auth(&Credential::new("digest", b"u:p"));
        let (mut from, mut seen, mut frames) = (0, 0, 0);
        while let Some(chunk) = registry.next_chunk(from, 300, "/app") {
            let mut memory = [0; 300];
            let mut writer = Writer::new(&mut memory);
            writer.set_chroot("/app");
            registry.write_chunk(&chunk, Zxid(5), &mut writer);
            let frame = writer.finish().expect("fits the room it was told");
            let body = frame.get(8..).unwrap();
            let Ok(Request::SetWatches(sent)) = Request::decode(OpCode::SetWatches, body) else {
                panic!("not a setWatches")
            };
            assert!(sent.data.iter().all(|p| p.as_str().unwrap().starts_with("/app/watch/")));
            assert_eq!(sent.data.len() + sent.child.len(), chunk.watches);
            seen += chunk.watches;
            frames += 1;
            from = chunk.to;
        }
        assert_eq!(seen, 100);
        assert!(frames > 5);
    }
}
