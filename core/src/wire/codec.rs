//! jute primitives: a reader over slices and a writer over byteorder.

use core::fmt;

use byteorder::{BigEndian, ByteOrder};

use super::LENGTH_BYTES;

/// Why bytes are not the record that was expected, and where: `at` counts bytes from the start of
/// the frame or body that was being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end within a field.
    Truncated {
        /// Where the field begins.
        at: usize,
    },
    /// The length of a string, buffer or vector is below -1 or beyond the frame.
    BadLength {
        /// Where the length stands.
        at: usize,
        /// The length as it was read.
        len: i32,
    },
    /// A multi header, or an opcode within a multi, is not one there can be.
    BadMulti {
        /// Where the header begins.
        at: usize,
    },
    /// The opcode has no body of its own that could be decoded.
    BadOpCode {
        /// The opcode as it was read.
        op: i32,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "truncated at byte {at}"),
            Self::BadLength { at, len } => write!(f, "bad length {len} at byte {at}"),
            Self::BadMulti { at } => write!(f, "bad multi item at byte {at}"),
            Self::BadOpCode { op } => write!(f, "opcode {op} has no such record"),
        }
    }
}

impl core::error::Error for WireError {}

/// A jute string: bytes that are usually UTF-8, or null.
///
/// Java peers encode characters beyond U+FFFF as two surrogates of three bytes each, so a received
/// string is not guaranteed to be UTF-8; znode paths cannot hold such characters.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ustring<'a>(Option<&'a [u8]>);

impl<'a> Ustring<'a> {
    /// The null string, on the wire a length of -1.
    pub const NULL: Self = Self(None);

    /// A string of these bytes.
    #[inline]
    pub const fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(Some(bytes))
    }

    /// Its bytes; `None` for null.
    #[inline]
    pub const fn as_bytes(self) -> Option<&'a [u8]> {
        self.0
    }

    /// Its text; `None` for null and for bytes that are not UTF-8.
    #[inline]
    pub fn as_str(self) -> Option<&'a str> {
        self.0.and_then(|bytes| core::str::from_utf8(bytes).ok())
    }

    /// Whether it is null, which is not the empty string.
    #[inline]
    pub const fn is_null(self) -> bool {
        self.0.is_none()
    }
}

impl<'a> From<&'a str> for Ustring<'a> {
    fn from(text: &'a str) -> Self {
        Self(Some(text.as_bytes()))
    }
}

impl PartialEq<str> for Ustring<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == Some(other.as_bytes())
    }
}

impl fmt::Debug for Ustring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.as_str()) {
            (None, _) => f.write_str("null"),
            (_, Some(text)) => fmt::Debug::fmt(text, f),
            (Some(bytes), None) => write!(f, "{bytes:02x?}"),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Ustring<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match (self.0, self.as_str()) {
            (None, _) => defmt::write!(f, "null"),
            (_, Some(text)) => defmt::write!(f, "{=str}", text),
            (Some(bytes), None) => defmt::write!(f, "{=[u8]:02x}", bytes),
        }
    }
}

/// Reads jute primitives from a frame's bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }

    /// Bytes read so far.
    #[inline]
    pub const fn position(&self) -> usize {
        self.total.saturating_sub(self.rest.len())
    }

    /// What has not been read.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], WireError> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            return Err(WireError::Truncated { at: self.position() });
        };
        self.rest = rest;
        Ok(head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn byte(&mut self) -> Result<u8, WireError> {
        self.array().map(|[byte]| *byte)
    }

    /// A boolean: any byte but 0 is true.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, WireError> {
        self.byte().map(|byte| byte != 0)
    }

    /// A 32-bit integer.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn int(&mut self) -> Result<i32, WireError> {
        self.array().map(|bytes| i32::from_be_bytes(*bytes))
    }

    /// A 64-bit integer.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn long(&mut self) -> Result<i64, WireError> {
        self.array().map(|bytes| i64::from_be_bytes(*bytes))
    }

    /// A buffer; `None` is null, which is not empty.
    ///
    /// # Errors
    /// [`WireError::Truncated`] or [`WireError::BadLength`].
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        let at = self.position();
        let len = self.int()?;
        if len == -1 {
            return Ok(None);
        }
        let bad = WireError::BadLength { at, len };
        let n = usize::try_from(len).map_err(|_| bad)?;
        let (head, rest) = self.rest.split_at_checked(n).ok_or(bad)?;
        self.rest = rest;
        Ok(Some(head))
    }

    /// A string.
    ///
    /// # Errors
    /// [`WireError::Truncated`] or [`WireError::BadLength`].
    #[inline]
    pub fn ustring(&mut self) -> Result<Ustring<'a>, WireError> {
        self.buffer().map(Ustring)
    }
}

/// An encoding did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodeError {
    /// Bytes the whole encoding needs.
    pub needed: usize,
    /// Bytes that were available.
    pub available: usize,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes needed, {} available", self.needed, self.available)
    }
}

impl core::error::Error for EncodeError {}

/// Writes jute primitives into the caller's memory.
///
/// Past the end nothing is written but everything is counted, so that one pass tells how much
/// memory an encoding needs; [`finish`](Writer::finish) says whether it fitted.
#[derive(Debug)]
pub struct Writer<'a> {
    memory: &'a mut [u8],
    len: usize,
    chroot: &'a str,
}

impl<'a> Writer<'a> {
    /// Writes from the start of `memory`.
    #[inline]
    pub const fn new(memory: &'a mut [u8]) -> Self {
        Self { memory, len: 0, chroot: "" }
    }

    /// Sets the chroot that [`path`](Writer::path) puts before every path; empty for none.
    #[inline]
    pub const fn set_chroot(&mut self, chroot: &'a str) {
        self.chroot = chroot;
    }

    /// Bytes written or, past the end, counted so far.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The encoding.
    ///
    /// # Errors
    /// [`EncodeError`] if it did not fit.
    #[inline]
    pub fn finish(self) -> Result<&'a [u8], EncodeError> {
        let Self { memory, len, .. } = self;
        let memory: &'a [u8] = memory;
        let available = memory.len();
        memory.get(..len).ok_or(EncodeError { needed: len, available })
    }

    /// The next `N` bytes of memory, if they are there.
    #[inline]
    fn next<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        let start = self.len;
        self.len = start.saturating_add(N);
        self.memory.get_mut(start..)?.first_chunk_mut()
    }

    /// Bytes as they are, without a length.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.len = start.saturating_add(bytes.len());
        let Some(rest) = self.memory.get_mut(start..) else { return };
        if let Some(to) = rest.get_mut(..bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    /// A checksum of everything written so far, as 32 bits. Of what did not fit, there is none.
    pub(crate) fn seal(&mut self, sum: impl FnOnce(&[u8]) -> u32) {
        let sum = sum(self.memory.get(..self.len).unwrap_or_default());
        self.raw(&sum.to_be_bytes());
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self, value: u8) {
        if let Some(to) = self.next() {
            *to = [value];
        }
    }

    /// A boolean: 0 or 1.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    /// A 32-bit integer.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn int(&mut self, value: i32) {
        if let Some(to) = self.next::<4>() {
            BigEndian::write_i32(to, value);
        }
    }

    /// A 64-bit integer.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn long(&mut self, value: i64) {
        if let Some(to) = self.next::<8>() {
            BigEndian::write_i64(to, value);
        }
    }

    /// A length or count; more than the wire can say makes the encoding too long to fit anywhere.
    #[inline]
    pub(crate) fn count(&mut self, n: usize) {
        match i32::try_from(n) {
            Ok(n) => self.int(n),
            Err(_) => self.len = usize::MAX,
        }
    }

    /// A buffer; `None` is null.
    #[inline(never)]
    pub fn buffer(&mut self, value: Option<&[u8]>) {
        let Some(bytes) = value else { return self.int(-1) };
        let Ok(len) = i32::try_from(bytes.len()) else { return self.count(bytes.len()) };
        // In one piece, for every request carries a path.
        let start = self.len;
        self.len = start.saturating_add(LENGTH_BYTES).saturating_add(bytes.len());
        let Some(rest) = self.memory.get_mut(start..) else { return };
        let Some((length, rest)) = rest.split_first_chunk_mut::<LENGTH_BYTES>() else { return };
        if let Some(to) = rest.get_mut(..bytes.len()) {
            BigEndian::write_i32(length, len);
            to.copy_from_slice(bytes);
        }
    }

    /// A string.
    #[inline]
    pub fn ustring(&mut self, value: Ustring<'_>) {
        self.buffer(value.0);
    }

    /// A znode path, with the chroot before it; `/` below a chroot is the chroot itself.
    #[inline]
    pub fn path(&mut self, value: Ustring<'_>) {
        match value.0 {
            Some(path) if !self.chroot.is_empty() => self.path_below(self.chroot, path),
            plain => self.buffer(plain),
        }
    }

    #[inline(never)]
    fn path_below(&mut self, chroot: &str, path: &[u8]) {
        let path = if path == b"/" { b"" } else { path };
        self.count(chroot.len().saturating_add(path.len()));
        self.raw(chroot.as_bytes());
        self.raw(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_beyond_the_frame_are_errors_that_say_where() {
        for len in [-2_i32, i32::MIN, 5, i32::MAX] {
            let mut bytes = [0; 12];
            bytes[4..8].copy_from_slice(&len.to_be_bytes());
            let mut reader = Reader::new(&bytes);
            reader.int().unwrap();
            assert_eq!(reader.buffer(), Err(WireError::BadLength { at: 4, len }));
        }
        assert_eq!(Reader::new(&[0, 0]).int(), Err(WireError::Truncated { at: 0 }));
    }

    #[test]
    fn null_is_not_empty() {
        let mut memory = [0; 8];
        let mut writer = Writer::new(&mut memory);
        writer.buffer(None);
        writer.ustring(Ustring::from(""));
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes, [255, 255, 255, 255, 0, 0, 0, 0]);
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(&[][..])));
    }

    #[test]
    fn what_does_not_fit_is_counted_to_its_end() {
        let mut memory = [0; 6];
        let mut writer = Writer::new(&mut memory);
        writer.long(1);
        writer.ustring(Ustring::from("abc"));
        assert_eq!(writer.finish(), Err(EncodeError { needed: 15, available: 6 }));
    }

    #[test]
    fn the_chroot_goes_before_every_path() {
        let mut memory = [0; 64];
        let mut writer = Writer::new(&mut memory);
        writer.set_chroot("/app");
        writer.path(Ustring::from("/"));
        writer.path(Ustring::from("/a"));
        writer.path(Ustring::NULL);
        let mut reader = Reader::new(writer.finish().unwrap());
        assert_eq!(reader.ustring(), Ok(Ustring::from("/app")));
        assert_eq!(reader.ustring(), Ok(Ustring::from("/app/a")));
        assert_eq!(reader.ustring(), Ok(Ustring::NULL));
    }
}
