//! Server paths as a session below a chroot names them.

use core::fmt;

use super::codec::{Reader, Ustring, WireError, Writer};
use super::list::{List, ListIter};

/// What a session names a server's path: `/` for the chroot itself, `None` for what lies elsewhere.
pub(crate) fn below<'a>(path: &'a [u8], chroot: &str) -> Option<&'a [u8]> {
    if chroot.is_empty() {
        return Some(path);
    }
    match path.strip_prefix(chroot.as_bytes())? {
        b"" => Some(b"/"),
        rest @ [b'/', ..] => Some(rest),
        _ => None,
    }
}

/// As [`below`] for a path that the server made of one of the session's own; one that lies elsewhere
/// all the same stays as it is.
pub(crate) fn stripped<'a>(path: Ustring<'a>, chroot: &str) -> Ustring<'a> {
    let own = path.as_bytes().and_then(|path| below(path, chroot));
    own.map_or(path, Ustring::from_bytes)
}

/// The paths of getEphemerals, as the session names them. What lies outside its chroot is left out:
/// the server compares plain text, so that a chroot `/app` finds `/apple` as well.
#[derive(Clone, Copy)]
pub struct Paths<'a> {
    list: List<'a, Ustring<'a>>,
    chroot: &'a str,
}

impl<'a> Paths<'a> {
    /// The paths of a list, as they are.
    pub const fn from_list(list: List<'a, Ustring<'a>>) -> Self {
        Self { list, chroot: "" }
    }

    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, WireError> {
        List::read(r).map(Self::from_list)
    }

    /// The same paths as seen from below a chroot.
    pub(crate) const fn below(self, chroot: &'a str) -> Self {
        Self { chroot, ..self }
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        if self.list.is_null() {
            return w.int(-1);
        }
        w.count(self.iter().count());
        for path in self.iter() {
            w.ustring(path);
        }
    }

    /// Whether the vector is null, which is not empty.
    pub const fn is_null(&self) -> bool {
        self.list.is_null()
    }

    /// The paths, in no particular order.
    pub const fn iter(&self) -> PathsIter<'a> {
        PathsIter { list: self.list.iter(), chroot: self.chroot }
    }
}

impl<'a> IntoIterator for Paths<'a> {
    type Item = Ustring<'a>;
    type IntoIter = PathsIter<'a>;

    fn into_iter(self) -> PathsIter<'a> {
        self.iter()
    }
}

impl PartialEq for Paths<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is_null() == other.is_null() && self.iter().eq(other.iter())
    }
}

impl Eq for Paths<'_> {}

impl fmt::Debug for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() {
            return f.write_str("null");
        }
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over [`Paths`].
#[derive(Clone, Debug)]
pub struct PathsIter<'a> {
    list: ListIter<'a, Ustring<'a>>,
    chroot: &'a str,
}

impl<'a> Iterator for PathsIter<'a> {
    type Item = Ustring<'a>;

    fn next(&mut self) -> Option<Ustring<'a>> {
        let chroot = self.chroot;
        self.list.find_map(|path| match (path.as_bytes(), chroot) {
            // Nothing to hide; a null is the server's own.
            (_, "") => Some(path),
            (bytes, _) => below(bytes?, chroot).map(Ustring::from_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn only_whole_names_are_cut_off() {
        assert_eq!(below(b"/app/a", "/app"), Some(&b"/a"[..]));
        assert_eq!(below(b"/app", "/app"), Some(&b"/"[..]));
        assert_eq!(below(b"/apple", "/app"), None);
        assert_eq!(below(b"/other", "/app"), None);
        assert_eq!(below(b"/a", ""), Some(&b"/a"[..]));
    }

    #[test]
    fn j8_paths_outside_the_chroot_are_left_out() {
        let all = ["/app/a", "/apple", "/app", "/", "/app/é/b"].map(Ustring::from);
        let paths = Paths::from_list(List::from_slice(&all)).below("/app");
        let own: Vec<_> = paths.iter().filter_map(Ustring::as_str).collect();
        assert_eq!(own, ["/a", "/", "/é/b"]);
        let plain = Paths::from_list(List::from_slice(&all));
        assert_eq!(plain.iter().count(), 5);
        assert_ne!(plain, paths);
    }
}
