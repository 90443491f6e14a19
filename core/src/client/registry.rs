//! Watches and credentials: what a session must say again on every new connection.

use crate::storage::Buf;
use crate::wire::{EventType, OpCode, Request, Ustring, Writer, Xid, Zxid};

/// A record: one byte of tag, four of length, then the path or the encoded auth packet.
const RECORD_HEAD: usize = 5;

/// Paths in one setWatches frame stop here; a single longer path still goes.
///
/// # Source
/// `ClientCnxn.SET_WATCHES_MAX_LENGTH`, 3.8.0.
const CHUNK_BYTES: usize = 128 * 1024;

/// What is watched at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchKind {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

impl WatchKind {
    const ALL: [Self; 5] =
        [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::Recursive];

    const fn tag(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Exist => 2,
            Self::Child => 3,
            Self::Persistent => 4,
            Self::Recursive => 5,
        }
    }

    /// Whether an event of this type uses a watch of this kind up.
    const fn ends_with(self, event: EventType) -> bool {
        match self {
            Self::Data | Self::Exist => matches!(
                event,
                EventType::NodeCreated | EventType::NodeDeleted | EventType::NodeDataChanged
            ),
            Self::Child => {
                matches!(event, EventType::NodeDeleted | EventType::NodeChildrenChanged)
            }
            Self::Persistent | Self::Recursive => false,
        }
    }
}

/// What the answer to a request may arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A watch of this kind if the request succeeds.
    Success(WatchKind),
    /// exists: a data watch if the znode is there, an exist watch if it is not.
    Exists,
}

impl Wish {
    /// The watch armed by an answer with this error code.
    pub(super) const fn armed(self, err: i32) -> Option<WatchKind> {
        const NO_NODE: i32 = crate::error::ErrorCode::NoNode.to_wire();
        match (self, err) {
            (Self::Success(kind), 0) => Some(kind),
            (Self::Exists, 0) => Some(WatchKind::Data),
            (Self::Exists, NO_NODE) => Some(WatchKind::Exist),
            _ => None,
        }
    }
}

const TAG_FREE: u8 = 0;
const TAG_PENDING: u8 = 8;
const TAG_AUTH: u8 = 9;

/// Records back to back in a lent or owned buffer. A removed record is marked free and squeezed out
/// when room is needed.
pub(super) struct Registry<'b> {
    buf: Buf<'b>,
    end: usize,
    /// Bytes of the records that are not free.
    live: usize,
    /// No pending record lies before this.
    pending: usize,
}

/// The records from some place on.
#[derive(Clone)]
struct Records<'r> {
    registry: &'r Registry<'r>,
    next: usize,
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let record = self.registry.record(self.next)?;
        self.next = record.end();
        Some(record)
    }
}

#[derive(Clone, Copy)]
struct Record {
    start: usize,
    tag: u8,
    body_len: usize,
}

impl Record {
    const fn body(self) -> core::ops::Range<usize> {
        let start = self.start.saturating_add(RECORD_HEAD);
        start..start.saturating_add(self.body_len)
    }

    const fn end(self) -> usize {
        self.body().end
    }
}

impl<'b> Registry<'b> {
    pub(super) const fn new(buf: Buf<'b>) -> Self {
        Self { buf, end: 0, live: 0, pending: 0 }
    }

    pub(super) fn clear(&mut self) {
        (self.end, self.live, self.pending) = (0, 0, 0);
    }

    /// Bytes that a body of this length takes.
    pub(super) const fn cost(body_len: usize) -> usize {
        body_len.saturating_add(RECORD_HEAD)
    }

    pub(super) fn free(&self) -> usize {
        self.buf.limit().saturating_sub(self.live)
    }

    /// Bytes that an auth packet takes; 0 if the same one is remembered already.
    pub(super) fn auth_cost(&self, auth: &Request<'_>) -> usize {
        let mut measure = Writer::new(&mut []);
        auth.encode(&mut measure);
        if self.has_auth(auth) { 0 } else { Self::cost(measure.len()) }
    }

    fn has_auth(&self, auth: &Request<'_>) -> bool {
        self.records(0).any(|record| {
            record.tag == TAG_AUTH
                && Request::decode(OpCode::Auth, self.body(record)).as_ref() == Ok(auth)
        })
    }

    /// Remembers an auth packet; room has been checked with [`auth_cost`](Self::auth_cost).
    pub(super) fn add_auth(&mut self, auth: &Request<'_>) {
        if self.has_auth(auth) {
            return;
        }
        let mut measure = Writer::new(&mut []);
        auth.encode(&mut measure);
        self.append(TAG_AUTH, measure.len(), |memory| {
            auth.encode(&mut Writer::new(memory));
        });
    }

    /// Keeps room for a watch until its request is answered; room has been checked.
    pub(super) fn add_pending(&mut self, path: &[u8]) {
        self.append(TAG_PENDING, path.len(), |memory| Writer::new(memory).raw(path));
    }

    /// Settles the oldest pending watch: armed as this kind, or not armed at all. Requests are
    /// answered in order, and so are their watches.
    pub(super) fn settle(&mut self, armed: Option<WatchKind>) {
        let Some(record) = self.records(self.pending).find(|record| record.tag == TAG_PENDING)
        else {
            return;
        };
        self.pending = record.end();
        match armed {
            Some(kind) if !self.holds(kind.tag(), record) => self.set_tag(record, kind.tag()),
            _ => self.remove(record),
        }
    }

    /// Drops what an event uses up.
    pub(super) fn fired(&mut self, event: EventType, path: &str) {
        self.remove_where(path, |kind| kind.ends_with(event));
    }

    /// Drops the watches of these kinds at a path.
    pub(super) fn remove_where(&mut self, path: &str, gone: impl Fn(WatchKind) -> bool) {
        for kind in WatchKind::ALL {
            if !gone(kind) {
                continue;
            }
            let found =
                self.records(0).find(|&r| r.tag == kind.tag() && self.body(r) == path.as_bytes());
            if let Some(record) = found {
                self.remove(record);
            }
        }
    }

    /// Drops all watches and keeps the credentials.
    pub(super) fn clear_watches(&mut self) {
        let mut from = 0;
        while let Some(record) = self.record(from) {
            from = record.end();
            if !matches!(record.tag, TAG_FREE | TAG_AUTH) {
                self.remove(record);
            }
        }
    }

    /// How many watches are armed.
    pub(super) fn watches(&self) -> usize {
        self.records(0).filter(|r| is_watch(r.tag)).count()
    }

    /// The armed watches: what is watched, and the path.
    pub(super) fn armed(&self) -> impl Iterator<Item = (u8, &[u8])> + Clone {
        self.records(0).filter(|r| is_watch(r.tag)).map(|r| (r.tag, self.body(r)))
    }

    /// Arms a watch again that [`armed`](Self::armed) gave; room has been checked. False if there is
    /// no such kind of watch.
    pub(super) fn restore(&mut self, tag: u8, path: &[u8]) -> bool {
        if is_watch(tag) && crate::path::check(path, crate::path::Last::Plain).is_ok() {
            self.append(tag, path.len(), |memory| Writer::new(memory).raw(path));
            return true;
        }
        false
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

    /// The next setWatches frame of at most `room` bytes from `from` on; `None` when no watch is
    /// left there. A chunk of no watches means that the room is too small for the first one.
    pub(super) fn next_chunk(&self, from: usize, room: usize, chroot: &str) -> Option<Chunk> {
        let mut chunk = Chunk { from, to: from, watches: 0, persistent: false };
        let mut bytes = Chunk::OVERHEAD;
        let mut left = false;
        for record in self.records(from) {
            if is_watch(record.tag) {
                left = true;
                let path = record.body_len.saturating_add(chroot.len()).saturating_add(4);
                let sum = bytes.saturating_add(path);
                if sum > room || (chunk.watches > 0 && sum > CHUNK_BYTES) {
                    break;
                }
                bytes = sum;
                chunk.watches = chunk.watches.saturating_add(1);
                chunk.persistent |= record.tag >= WatchKind::Persistent.tag();
            }
            chunk.to = record.end();
        }
        left.then_some(chunk)
    }

    /// Writes a chunk as a whole request: setWatches, or setWatches2 if a watch demands it, so that
    /// old servers are asked only what they know.
    pub(super) fn write_chunk(&self, chunk: &Chunk, zxid: Zxid, w: &mut Writer<'_>) {
        let op = if chunk.persistent { OpCode::SetWatches2 } else { OpCode::SetWatches };
        w.int(Xid::SET_WATCHES.0);
        w.int(op.to_wire());
        w.long(zxid.0);
        let lists = if chunk.persistent { 5 } else { 3 };
        for kind in WatchKind::ALL.iter().take(lists) {
            let of_kind = || {
                self.records(chunk.from)
                    .take_while(|r| r.start < chunk.to)
                    .filter(|r| r.tag == kind.tag())
            };
            w.count(of_kind().count());
            for record in of_kind() {
                w.path(Ustring::from_bytes(self.body(record)));
            }
        }
    }

    fn records(&self, from: usize) -> Records<'_> {
        Records { registry: self, next: from }
    }

    fn record(&self, start: usize) -> Option<Record> {
        if start >= self.end {
            return None;
        }
        let head = self.buf.bytes().get(start..start.saturating_add(RECORD_HEAD))?;
        let (tag, len) = head.split_first()?;
        let len = u32::from_be_bytes(len.try_into().ok()?);
        Some(Record { start, tag: *tag, body_len: usize::try_from(len).ok()? })
    }

    fn body(&self, record: Record) -> &[u8] {
        self.buf.bytes().get(record.body()).unwrap_or_default()
    }

    /// Whether another record says the same.
    fn holds(&self, tag: u8, than: Record) -> bool {
        self.records(0).any(|r| r.tag == tag && self.body(r) == self.body(than))
    }

    fn set_tag(&mut self, record: Record, tag: u8) {
        if let Some(byte) = self.buf.bytes_mut().get_mut(record.start) {
            *byte = tag;
        }
    }

    fn remove(&mut self, record: Record) {
        self.set_tag(record, TAG_FREE);
        self.live = self.live.saturating_sub(Self::cost(record.body_len));
        if self.live == 0 {
            self.clear();
        } else if record.end() == self.end {
            self.end = record.start;
            self.pending = self.pending.min(self.end);
        }
    }

    fn append(&mut self, tag: u8, body_len: usize, write: impl FnOnce(&mut [u8])) {
        let cost = Self::cost(body_len);
        if self.end.saturating_add(cost) > self.buf.bytes().len()
            && (self.live < self.end / 2 || self.end.saturating_add(cost) > self.buf.limit())
        {
            self.squeeze();
        }
        let (start, end) = (self.end, self.end.saturating_add(cost));
        let Ok(len) = u32::try_from(body_len) else { return };
        if !self.buf.reach(end) {
            return;
        }
        let Some(memory) = self.buf.bytes_mut().get_mut(start..end) else { return };
        let Some((head, body)) = memory.split_at_mut_checked(RECORD_HEAD) else { return };
        let mut writer = Writer::new(head);
        writer.byte(tag);
        writer.raw(&len.to_be_bytes());
        write(body);
        self.end = end;
        self.live = self.live.saturating_add(cost);
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
            if record.tag == TAG_PENDING && pending.is_none() {
                pending = Some(to);
            }
            self.buf.bytes_mut().copy_within(record.start..record.end(), to);
            to = to.saturating_add(Self::cost(record.body_len));
        }
        self.end = to;
        self.pending = pending.unwrap_or(to);
    }
}

fn is_watch(tag: u8) -> bool {
    (WatchKind::Data.tag()..=WatchKind::Recursive.tag()).contains(&tag)
}

/// Watches that go into one setWatches frame: the records from `from` to `to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    from: usize,
    pub(super) to: usize,
    pub(super) watches: usize,
    persistent: bool,
}

impl Chunk {
    /// Length, header, zxid and five counts.
    pub(super) const OVERHEAD: usize = 4 + 8 + 8 + 5 * 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed<'b>(memory: &'b mut [u8], watches: &[(WatchKind, &str)]) -> Registry<'b> {
        let mut registry = Registry::new(Buf::Lent(memory));
        for (kind, path) in watches {
            registry.add_pending(path.as_bytes());
            registry.settle(Some(*kind));
        }
        registry
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
        registry.fired(EventType::NodeChildrenChanged, "/a");
        assert_eq!(registry.watches(), 3);
        registry.fired(EventType::NodeCreated, "/b");
        assert_eq!(registry.watches(), 2);
        registry.fired(EventType::NodeDeleted, "/a");
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
            registry.add_pending(path.as_bytes());
            registry.settle(Some(WatchKind::Data));
            assert!(registry.watches() > 0);
            registry.add_pending(b"/keep");
            registry.settle(None);
            registry.fired(EventType::NodeDataChanged, path);
        }
        assert_eq!(registry.free(), 40);
    }

    #[test]
    fn pending_watches_settle_in_order_even_across_a_squeeze() {
        let mut memory = [0; 64];
        let mut registry = armed(&mut memory, &[(WatchKind::Data, "/gone-soon-0123456789")]);
        registry.add_pending(b"/one");
        registry.add_pending(b"/two");
        registry.fired(EventType::NodeDeleted, "/gone-soon-0123456789");
        registry.add_pending(b"/three-0123456789");
        registry.settle(Some(WatchKind::Child));
        registry.settle(None);
        registry.settle(Some(WatchKind::Exist));
        registry.fired(EventType::NodeChildrenChanged, "/one");
        assert_eq!(registry.watches(), 1);
        registry.fired(EventType::NodeCreated, "/three-0123456789");
        assert_eq!(registry.watches(), 0);
    }

    #[test]
    fn chunks_cover_every_watch_once() {
        let mut memory = [0; 4000];
        let mut registry = Registry::new(Buf::Lent(&mut memory));
        for n in 0..100 {
            let path = std::format!("/watch/{n}");
            registry.add_pending(path.as_bytes());
            registry.settle(Some(if n % 3 == 0 { WatchKind::Child } else { WatchKind::Data }));
        }
        registry.add_auth(&Request::add_auth("digest", b"u:p"));
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
