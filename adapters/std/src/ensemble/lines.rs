//! Bytes on their way to a server and back, when a fault makes the way long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes that one direction holds at most; whoever sends more waits, as for a full pipe.
const CAPACITY: usize = 1 << 20;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Line {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// When the end of the stream arrives.
    end: Option<Instant>,
}

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) to_server: Line,
    pub(super) to_client: Line,
}

impl Line {
    /// Bytes set out; when they arrive.
    pub(super) fn send(&mut self, bytes: &[u8], delay: Duration) -> Instant {
        let due = self.due(delay);
        self.chunks.push_back((due, bytes.to_vec()));
        self.bytes += bytes.len();
        due
    }

    /// The end of the stream sets out; when it arrives.
    pub(super) fn send_end(&mut self, delay: Duration) -> Instant {
        let due = self.due(delay);
        self.end = Some(due);
        due
    }

    /// How many more bytes can set out.
    pub(super) fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.bytes)
    }

    /// What has arrived first and has not been [taken](Self::take).
    pub(super) fn arrived(&self, now: Instant) -> Option<&[u8]> {
        self.chunks.front().filter(|(due, _)| *due <= now).map(|(_, bytes)| &**bytes)
    }

    /// The first `n` bytes of what has arrived are gone.
    pub(super) fn take(&mut self, n: usize) {
        let Some((_, bytes)) = self.chunks.front_mut() else { return };
        let n = n.min(bytes.len());
        bytes.drain(..n);
        self.bytes = self.bytes.saturating_sub(n);
        if bytes.is_empty() {
            self.chunks.pop_front();
        }
    }

    /// Whether the end of the stream has arrived, and everything before it was taken.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.chunks.is_empty() && self.end.is_some_and(|end| end <= now)
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.end.is_none()
    }

    /// Nothing overtakes what set out before.
    fn due(&self, delay: Duration) -> Instant {
        let due = Instant::now() + delay;
        self.chunks.back().map_or(due, |(last, _)| due.max(*last))
    }
}

impl Lines {
    pub(super) fn is_empty(&self) -> bool {
        self.to_server.is_empty() && self.to_client.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_and_not_before_their_time() {
        let (mut line, now) = (Line::default(), Instant::now());
        let first = line.send(b"one", Duration::from_millis(50));
        let second = line.send(b"two", Duration::ZERO);
        let end = line.send_end(Duration::ZERO);
        assert!(first >= now + Duration::from_millis(50) && second == first && end == first);
        assert_eq!(line.arrived(now), None);
        assert_eq!(line.arrived(first), Some(&b"one"[..]));
        line.take(2);
        assert_eq!(line.arrived(first), Some(&b"e"[..]));
        line.take(1);
        assert!(!line.has_ended(first));
        line.take(9);
        assert!(line.has_ended(first) && line.room() == CAPACITY);
    }
}
