//! jute vectors: borrowed from a frame, or given by the caller.

use core::fmt;

use super::codec::{Reader, Ustring, WireError, Writer};

/// An element of a [`List`].
pub trait Record<'a>: Copy {
    /// Reads one element.
    ///
    /// # Errors
    /// [`WireError`] if the bytes are not one.
    fn read(r: &mut Reader<'a>) -> Result<Self, WireError>;
    /// Writes one element.
    fn write(&self, w: &mut Writer<'_>);
}

impl<'a> Record<'a> for Ustring<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        r.ustring()
    }
    fn write(&self, w: &mut Writer<'_>) {
        w.ustring(*self);
    }
}

/// A jute vector: null, elements within a decoded frame, or the caller's slice.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Null,
    /// `count` elements that have been decoded once, so that they decode again.
    Wire {
        count: usize,
        bytes: &'a [u8],
    },
    Slice(&'a [T]),
}

impl<'a, T: Record<'a>> List<'a, T> {
    /// The null vector, on the wire a count of -1.
    pub const NULL: Self = Self(Source::Null);

    /// The elements of a slice.
    pub const fn from_slice(items: &'a [T]) -> Self {
        Self(Source::Slice(items))
    }

    /// Reads a vector; each element is checked.
    ///
    /// # Errors
    /// [`WireError`] if an element is not sound. A count below -1 reads as an empty vector, as in
    /// ZooKeeper.
    #[inline(never)]
    pub fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        let count = r.int()?;
        if count == -1 {
            return Ok(Self::NULL);
        }
        let count = usize::try_from(count).unwrap_or(0);
        let bytes = r.rest();
        let start = r.position();
        for _ in 0..count {
            T::read(r)?;
        }
        let used = r.position().saturating_sub(start);
        Ok(Self(Source::Wire { count, bytes: bytes.get(..used).unwrap_or_default() }))
    }

    /// Writes the vector, each element by `write`.
    pub(crate) fn write_with(&self, w: &mut Writer<'_>, write: impl Fn(&T, &mut Writer<'_>)) {
        if self.is_null() {
            return w.int(-1);
        }
        w.count(self.len());
        for item in self.iter() {
            write(&item, w);
        }
    }

    /// Writes the vector.
    #[inline(never)]
    pub fn write(&self, w: &mut Writer<'_>) {
        self.write_with(w, T::write);
    }

    /// How many elements there are; 0 for null.
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Null => 0,
            Source::Wire { count, .. } => count,
            Source::Slice(items) => items.len(),
        }
    }

    /// Whether there is no element.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the vector is null, which is not empty.
    pub const fn is_null(&self) -> bool {
        matches!(self.0, Source::Null)
    }

    /// The elements in order.
    pub const fn iter(&self) -> ListIter<'a, T> {
        match self.0 {
            Source::Null => ListIter { left: 0, reader: Reader::new(&[]), slice: &[] },
            Source::Wire { count, bytes } => {
                ListIter { left: count, reader: Reader::new(bytes), slice: &[] }
            }
            Source::Slice(slice) => ListIter { left: slice.len(), reader: Reader::new(&[]), slice },
        }
    }
}

impl<'a, T: Record<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Record<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_null() == other.is_null() && self.iter().eq(other.iter())
    }
}

impl<'a, T: Record<'a> + Eq> Eq for List<'a, T> {}

impl<'a, T: Record<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return f.write_str("null");
        }
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over a [`List`].
#[derive(Clone, Debug)]
pub struct ListIter<'a, T> {
    left: usize,
    reader: Reader<'a>,
    slice: &'a [T],
}

impl<'a, T: Record<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        if let Some((first, rest)) = self.slice.split_first() {
            self.slice = rest;
            return Some(*first);
        }
        // Checked when the list was read, so this cannot fail; if it did, the list would end.
        T::read(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
