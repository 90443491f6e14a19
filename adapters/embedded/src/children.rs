//! Names that have left the receive buffer.

use core::fmt;

use zk_session::wire::Ustring;

use crate::Error;

/// The names of a znode's children, in the memory that was handed over.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Children<'m> {
    /// `len:u16 name` each.
    bytes: &'m [u8],
}

impl<'m> Children<'m> {
    pub(crate) const fn new(bytes: &'m [u8]) -> Self {
        Self { bytes }
    }

    /// Copies names, and returns the bytes that they take; if there is no room, how many they would
    /// take.
    pub(crate) fn copy<'a>(
        names: impl Iterator<Item = Ustring<'a>>,
        memory: &mut [u8],
    ) -> Result<usize, Error> {
        let mut end = 0_usize;
        for name in names {
            let name = name.as_bytes().unwrap_or_default();
            let start = end;
            end = end.saturating_add(2).saturating_add(name.len());
            let (Some([high, low, to @ ..]), Ok(len)) =
                (memory.get_mut(start..end), u16::try_from(name.len()))
            else {
                continue;
            };
            [*high, *low] = len.to_be_bytes();
            to.copy_from_slice(name);
        }
        if end > memory.len() { Err(Error::BufferTooSmall { needed: end }) } else { Ok(end) }
    }

    /// The names, in the server's order. One that is not UTF-8 is empty.
    pub fn iter(&self) -> impl Iterator<Item = &'m str> + use<'m> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let [high, low, after @ ..] = rest else { return None };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let (name, after) = after.split_at_checked(len)?;
            rest = after;
            Some(core::str::from_utf8(name).unwrap_or_default())
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
