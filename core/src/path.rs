//! znode paths: ZooKeeper's rules for them.

use core::fmt;

/// Why a znode path is not valid, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PathError {
    /// What is wrong.
    pub kind: PathErrorKind,
    /// Byte offset in the path.
    pub at: usize,
}

/// What is wrong with a znode path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PathErrorKind {
    /// The path has no characters.
    Empty,
    /// The first character is not a slash.
    NotAbsolute,
    /// The path ends with a slash and is not `/` itself.
    TrailingSlash,
    /// Two slashes follow each other.
    EmptyName,
    /// A name is `.` or `..`.
    RelativeName,
    /// A character that znode names cannot hold: NUL, controls, private use, specials, or anything
    /// above U+FFFF.
    IllegalCharacter,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            PathErrorKind::Empty => "path is empty",
            PathErrorKind::NotAbsolute => "path does not start with a slash",
            PathErrorKind::TrailingSlash => "path ends with a slash",
            PathErrorKind::EmptyName => "path holds an empty name",
            PathErrorKind::RelativeName => "path holds a relative name",
            PathErrorKind::IllegalCharacter => "path holds an illegal character",
        };
        write!(f, "{what} at byte {}", self.at)
    }
}

impl core::error::Error for PathError {}

/// Checks an absolute path of an existing or plainly created znode.
///
/// # Errors
/// [`PathError`] with the first rule broken and where.
///
/// # Source
/// `PathUtils.validatePath`, 3.8.0.
pub fn validate(path: &str) -> Result<(), PathError> {
    check(path.as_bytes(), Last::Plain)
}

/// Checks the path of a sequential create, to which the server appends ten digits: it may end with
/// a slash or with `/.`.
///
/// # Errors
/// [`PathError`] with the first rule broken and where.
///
/// # Source
/// `PathUtils.validatePath(path, isSequential)`, 3.8.0: checks `path + "1"`.
pub fn validate_sequential(path: &str) -> Result<(), PathError> {
    check(path.as_bytes(), Last::Sequential)
}

/// What becomes of a path's last name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// It stays as it is.
    Plain,
    /// The server appends digits to it.
    Sequential,
}

/// Checks the bytes of a path that may have come from anywhere.
pub(crate) fn check(path: &[u8], last: Last) -> Result<(), PathError> {
    let fail = |kind, at| Err(PathError { kind, at });
    let rest = match path {
        [] => return fail(PathErrorKind::Empty, 0),
        [b'/'] => return Ok(()),
        [b'/', rest @ ..] => rest,
        _ => return fail(PathErrorKind::NotAbsolute, 0),
    };
    // One pass, with letters and digits first: every request pays for it.
    let (mut name, mut odd) = (0, false);
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'0'..=b'~' | b' '..=b'.' => {}
            b'/' => {
                check_name(rest, name, at)?;
                name = at.wrapping_add(1);
            }
            _ => odd = true,
        }
    }
    if odd {
        check_characters(path)?;
    }
    match last {
        Last::Plain if name == rest.len() => fail(PathErrorKind::TrailingSlash, name),
        Last::Plain => check_name(rest, name, rest.len()),
        Last::Sequential => Ok(()),
    }
}

/// Checks the name from `start` to `end`, counted behind the first slash.
#[inline]
fn check_name(rest: &[u8], start: usize, end: usize) -> Result<(), PathError> {
    let kind = match rest.get(start..end) {
        Some(b"") => PathErrorKind::EmptyName,
        Some([b'.'] | [b'.', b'.']) => PathErrorKind::RelativeName,
        _ => return Ok(()),
    };
    Err(PathError { kind, at: start.saturating_add(1) })
}

#[cold]
fn check_characters(path: &[u8]) -> Result<(), PathError> {
    let fail = |at| Err(PathError { kind: PathErrorKind::IllegalCharacter, at });
    match core::str::from_utf8(path) {
        Ok(text) => match text.char_indices().find(|(_, c)| is_illegal(*c)) {
            Some((at, _)) => fail(at),
            None => Ok(()),
        },
        Err(error) => fail(error.valid_up_to()),
    }
}

fn is_illegal(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_rules_of_the_java_client() {
        for good in [
            "/",
            "/a",
            "/a/b",
            "/...",
            "/.a",
            "/a.",
            "/..a",
            "/a b",
            "/\u{a0}",
            "/\u{d7ff}",
            "/\u{f900}",
            "/\u{ffef}",
        ] {
            assert_eq!(validate(good), Ok(()), "{good:?}");
        }
        use PathErrorKind::*;
        for (bad, kind, at) in [
            ("", Empty, 0),
            ("a", NotAbsolute, 0),
            ("/a/", TrailingSlash, 2),
            ("//a", EmptyName, 1),
            ("/a//b", EmptyName, 3),
            ("/.", RelativeName, 1),
            ("/a/..", RelativeName, 3),
            ("/a/./b", RelativeName, 3),
            ("/a\0", IllegalCharacter, 2),
            ("/a\u{1f}", IllegalCharacter, 2),
            ("/\u{7f}", IllegalCharacter, 1),
            ("/\u{9f}", IllegalCharacter, 1),
            ("/\u{e000}", IllegalCharacter, 1),
            ("/\u{f8ff}", IllegalCharacter, 1),
            ("/\u{fff0}", IllegalCharacter, 1),
            ("/\u{1f600}", IllegalCharacter, 1),
        ] {
            assert_eq!(validate(bad), Err(PathError { kind, at }), "{bad:?}");
        }
    }

    #[test]
    fn a_sequential_path_may_end_with_a_slash_or_a_dot() {
        for good in ["/a/", "/a/.", "/", "/a"] {
            assert_eq!(validate_sequential(good), Ok(()), "{good:?}");
        }
        assert!(validate_sequential("/a//").is_err());
        assert!(validate_sequential("/./a").is_err());
    }
}
