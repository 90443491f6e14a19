//! The memory of the tree and of the watches: slots, and one array for all their bytes.
//!
//! The bytes of a slot lie in one piece, and the pieces lie side by side without gaps: who gives
//! bytes back closes the gap at once. So what is free is always in one piece, too, and memory that
//! was used for long is as good as new.

use core::ops::Range;

use super::memory::{NodeSlot, State, WatchSlot};
use super::tree::NodeId;
use crate::error::ErrorCode;

/// There is no room: the client is told that the server failed, which every client knows, and
/// nothing has changed.
pub(super) const FULL: ErrorCode = ErrorCode::SystemError;

/// Where the bytes of a slot lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    at: u16,
    len: u16,
}

impl Piece {
    pub(super) const EMPTY: Self = Self { at: 0, len: 0 };

    fn new(at: usize, len: usize) -> Option<Self> {
        Some(Self { at: u16::try_from(at).ok()?, len: u16::try_from(len).ok()? })
    }

    pub(super) fn range(self) -> Range<usize> {
        let at = usize::from(self.at);
        at..at.saturating_add(self.len())
    }

    pub(super) fn len(self) -> usize {
        usize::from(self.len)
    }

    /// The bytes before it have become fewer or more.
    fn shift(&mut self, from: usize, to: usize) {
        let at = usize::from(self.at);
        if at >= from {
            // Not beyond the end of the array.
            self.at = u16::try_from(at.saturating_sub(from).saturating_add(to)).unwrap_or(self.at);
        }
    }
}

/// Slots and bytes.
pub(super) struct Store<'b> {
    pub(super) nodes: &'b mut [NodeSlot],
    pub(super) watches: &'b mut [WatchSlot],
    bytes: &'b mut [u8],
    used: usize,
    /// The slot of the next new znode, if there is one.
    pub(super) vacant: NodeId,
}

impl<'b> Store<'b> {
    /// Whatever the memory holds is forgotten.
    pub(super) fn new(
        nodes: &'b mut [NodeSlot],
        watches: &'b mut [WatchSlot],
        bytes: &'b mut [u8],
    ) -> Self {
        nodes.fill(NodeSlot::EMPTY);
        watches.fill(WatchSlot::EMPTY);
        let most = bytes.len().min(usize::from(u16::MAX));
        let bytes = bytes.get_mut(..most).unwrap_or_default();
        Self { nodes, watches, bytes, used: 0, vacant: NodeId::ROOT }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The bytes of some parts, one behind the other, as a new piece.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> Result<Piece, ErrorCode> {
        let len = parts.iter().fold(0, |len: usize, part| len.saturating_add(part.len()));
        let piece = Piece::new(self.used, len).ok_or(FULL)?;
        let mut to = self.bytes.get_mut(piece.range()).ok_or(FULL)?;
        for part in parts {
            let Some((here, behind)) = to.split_at_mut_checked(part.len()) else {
                return Err(FULL);
            };
            here.copy_from_slice(part);
            to = behind;
        }
        self.used = piece.range().end;
        Ok(piece)
    }

    /// Keeps the first bytes of a piece and puts others behind them. The slot that the piece belongs
    /// to is to be given the new piece.
    pub(super) fn replace(
        &mut self,
        piece: Piece,
        keep: usize,
        tail: &[u8],
    ) -> Result<Piece, ErrorCode> {
        let Range { start, end } = piece.range();
        let from = start.saturating_add(keep).min(end);
        let to = from.saturating_add(tail.len());
        let used = self.used.saturating_sub(end).saturating_add(to);
        let new = Piece::new(start, to.saturating_sub(start)).ok_or(FULL)?;
        if used > self.bytes.len() {
            return Err(FULL);
        }
        self.bytes.copy_within(end..self.used, to);
        self.used = used;
        if let Some(place) = self.bytes.get_mut(from..to) {
            place.copy_from_slice(tail);
        }
        self.shift(end, to);
        Ok(new)
    }

    /// Gives the bytes of a piece back.
    pub(super) fn give_back(&mut self, piece: Piece) {
        let Range { start, end } = piece.range();
        self.bytes.copy_within(end..self.used, start);
        self.used = self.used.saturating_sub(piece.len());
        self.shift(end, start);
    }

    fn shift(&mut self, from: usize, to: usize) {
        for node in self.nodes.iter_mut().filter(|node| node.state != State::Free) {
            node.bytes.shift(from, to);
        }
        for watch in self.watches.iter_mut().filter(|watch| watch.is_used()) {
            watch.path.shift(from, to);
        }
    }
}
