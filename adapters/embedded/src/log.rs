//! Watch events that some subscriber has not been told of yet.

use core::str;

use zk_session::wire::EventType;

/// Records back to back, oldest first: `kind:u8 len:u16 path`. When there is no room the oldest make
/// some, and whoever has not seen them is told how many it has missed.
pub(crate) struct Log<'b> {
    bytes: &'b mut [u8],
    end: usize,
    /// The number of the oldest record.
    first: u32,
    /// The number of the next record to come.
    next: u32,
}

/// What a record tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry<'a> {
    Watch { kind: EventType, path: &'a str },
    WatchesLost,
}

const HEAD: usize = 3;
const WATCHES_LOST: u8 = 0xff;
/// Stands for all types that this library does not know.
const UNKNOWN: u8 = 0xfe;

impl<'b> Log<'b> {
    pub(crate) fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, end: 0, first: 0, next: 0 }
    }

    /// The number of the next record to come.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    pub(crate) fn push(&mut self, entry: Entry<'_>) {
        let (tag, path) = match entry {
            Entry::Watch { kind: EventType::Unknown(_), path } => (UNKNOWN, path),
            Entry::Watch { kind, path } => (u8::try_from(kind.to_wire()).unwrap_or(UNKNOWN), path),
            Entry::WatchesLost => (WATCHES_LOST, ""),
        };
        let size = HEAD.saturating_add(path.len());
        while self.bytes.len().saturating_sub(self.end) < size && self.end > 0 {
            self.drop_first();
        }
        self.next = self.next.wrapping_add(1);
        let end = self.end.saturating_add(size);
        let len = u16::try_from(path.len()).unwrap_or(0);
        let Some([kind, high, low, body @ ..]) = self.bytes.get_mut(self.end..end) else {
            // It never fits: all have missed it.
            self.first = self.next;
            return;
        };
        [*high, *low] = len.to_be_bytes();
        *kind = tag;
        body.copy_from_slice(path.as_bytes());
        self.end = end;
    }

    /// How many records before this number are gone although they have not been told.
    pub(crate) fn missed(&self, number: u32) -> u32 {
        // Numbers wrap: what is not ahead by less than half of them is behind.
        let gone = self.first.wrapping_sub(number);
        if gone > u32::MAX / 2 { 0 } else { gone }
    }

    /// The record with this number.
    pub(crate) fn entry(&self, number: u32) -> Option<Entry<'_>> {
        let (mut at, mut current) = (0, self.first);
        loop {
            let (tag, path) = self.record(at)?;
            if current == number {
                let kind = match tag {
                    WATCHES_LOST => return Some(Entry::WatchesLost),
                    UNKNOWN => EventType::Unknown(0),
                    known => EventType::from_wire(known.into()),
                };
                return Some(Entry::Watch { kind, path: str::from_utf8(path).unwrap_or_default() });
            }
            at = at.saturating_add(HEAD).saturating_add(path.len());
            current = current.wrapping_add(1);
        }
    }

    /// Forgets the records before this number: all have been told of them.
    pub(crate) fn forget_before(&mut self, number: u32) {
        while self.end > 0 && self.first != number {
            self.drop_first();
        }
    }

    fn record(&self, at: usize) -> Option<(u8, &[u8])> {
        match self.bytes.get(at..self.end)? {
            [tag, high, low, rest @ ..] => {
                Some((*tag, rest.get(..u16::from_be_bytes([*high, *low]).into())?))
            }
            _ => None,
        }
    }

    fn drop_first(&mut self) {
        let len = self.record(0).map_or(self.end, |(_, path)| HEAD.saturating_add(path.len()));
        if let Some(live) = self.bytes.get_mut(..self.end).filter(|live| len <= live.len()) {
            live.copy_within(len.., 0);
        }
        self.end = self.end.saturating_sub(len);
        self.first = self.first.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(path: &str) -> Entry<'_> {
        Entry::Watch { kind: EventType::NodeDataChanged, path }
    }

    #[test]
    fn records_come_back_by_their_number() {
        let mut memory = [0; 32];
        let mut log = Log::new(&mut memory);
        log.push(watch("/a"));
        log.push(Entry::WatchesLost);
        log.push(Entry::Watch { kind: EventType::Unknown(77), path: "/b" });
        assert_eq!(log.entry(0), Some(watch("/a")));
        assert_eq!(log.entry(1), Some(Entry::WatchesLost));
        assert_eq!(log.entry(2), Some(Entry::Watch { kind: EventType::Unknown(0), path: "/b" }));
        assert_eq!(log.entry(3), None);
        log.forget_before(2);
        assert_eq!((log.missed(0), log.missed(2)), (2, 0));
        assert_eq!(log.entry(1), None);
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let mut memory = [0; 20];
        let mut log = Log::new(&mut memory);
        for path in ["/one", "/two", "/three"] {
            log.push(watch(path));
        }
        assert_eq!(log.missed(0), 1);
        assert_eq!(log.entry(1), Some(watch("/two")));
        assert_eq!(log.entry(2), Some(watch("/three")));
        log.push(watch("/a/path/that/never/fits"));
        assert_eq!((log.missed(0), log.next()), (4, 4));
        log.push(watch("/fits"));
        assert_eq!(log.entry(4), Some(watch("/fits")));
    }

    #[test]
    fn numbers_wrap_without_losing_count() {
        let mut memory = [0; 16];
        let mut log = Log::new(&mut memory);
        (log.first, log.next) = (u32::MAX, u32::MAX);
        log.push(watch("/a"));
        log.push(watch("/b"));
        assert_eq!(log.entry(u32::MAX), Some(watch("/a")));
        assert_eq!(log.entry(0), Some(watch("/b")));
        log.push(watch("/long/path"));
        assert_eq!((log.missed(u32::MAX), log.missed(0)), (2, 1));
    }
}
