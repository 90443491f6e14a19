//! znode paths: ZooKeeper's rules for them.

use core::fmt;

use crate::wire::CreateMode;

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

impl Last {
    /// What the flags of a create ask for.
    pub(crate) fn of(flags: i32) -> Self {
        let sequential = CreateMode::from_flags(flags).is_some_and(CreateMode::is_sequential);
        if sequential { Self::Sequential } else { Self::Plain }
    }
}

/// Checks the bytes of a path that may have come from anywhere.
#[inline]
pub(crate) fn check(path: &[u8], last: Last) -> Result<(), PathError> {
    // On a small machine every byte is looked at once, rule by rule: that is slower, and shorter.
    if cfg!(target_pointer_width = "64") && is_usual(path) {
        Ok(())
    } else {
        check_rules(path, last)
    }
}

/// What a path is called by whoever sees `chroot` as the root: `/` for the chroot itself, `None` for
/// what lies elsewhere. The empty chroot is the root.
pub fn below<'p>(path: &'p str, chroot: &str) -> Option<&'p str> {
    crate::wire::below(path.as_bytes(), chroot).and_then(|own| core::str::from_utf8(own).ok())
}

/// The reverse of [`below`]: what a path below `chroot` is called by whoever sees the whole tree.
/// Paths are not checked; one that does not begin with a slash stays as it is.
#[cfg(feature = "alloc")]
#[inline]
pub fn join<'p>(chroot: &str, path: &'p str) -> alloc::borrow::Cow<'p, str> {
    if chroot.is_empty() || !path.starts_with('/') {
        return path.into();
    }
    whole(chroot, path).into()
}

#[cfg(feature = "alloc")]
fn whole(chroot: &str, path: &str) -> alloc::string::String {
    let mut whole = alloc::string::String::from(chroot);
    if path != "/" {
        whole.push_str(path);
    }
    whole
}

/// The machine's word.
type Word = usize;

/// Bytes of a word.
const WORD: usize = size_of::<Word>();

/// Whether a path obeys all rules at a glance, whatever becomes of its last name: absolute,
/// printable ASCII, no slash before a slash, a dot or the end. Says `false` of some good paths, and
/// `true` of no bad one. Every request pays for its path, hence a word at a time.
#[inline(never)]
pub(crate) fn is_usual(path: &[u8]) -> bool {
    let ([b'/', ..], Some(tail)) = (path, path.last_chunk::<WORD>()) else {
        return is_usual_and_short(path);
    };
    // Words overlap by a byte, so that each byte is seen together with the one behind it.
    let mut rest = path;
    while let (Some(word), true) = (rest.first_chunk::<WORD>(), rest.len() > WORD) {
        if !is_usual_word(*word) {
            return false;
        }
        rest = rest.get(WORD - 1..).unwrap_or_default();
    }
    is_usual_word(*tail) && !tail.ends_with(b"/")
}

/// As [`is_usual`], if the path is too short for a word: filled up with letters, it is one.
#[cold]
fn is_usual_and_short(path: &[u8]) -> bool {
    let mut word = [b'a'; WORD];
    for (to, from) in word.iter_mut().zip(path) {
        *to = *from;
    }
    path.starts_with(b"/") && path.len() <= WORD && is_usual_word(word) && !path.ends_with(b"/")
}

/// Whether all bytes are printable ASCII and no slash stands before a slash or a dot.
///
/// All bytes at once: the top bit of each byte of a sum or difference says something about that
/// byte, provided that nothing was carried into it; where there is a carry, the byte below is not
/// usual, and has set a top bit of its own.
#[inline(always)]
fn is_usual_word(word: [u8; WORD]) -> bool {
    const fn each(byte: u8) -> Word {
        Word::from_ne_bytes([byte; WORD])
    }
    let word = Word::from_le_bytes(word);
    // A control character sets the top bit here, and so does what is above 0x9f ...
    let low = word.wrapping_sub(each(b' '));
    // ... and here what is above 0x7e, but for 0xff.
    let high = word.wrapping_add(each(1));
    // A byte is 0 here if it is a slash ...
    let slash = word ^ each(b'/');
    // ... and here if the byte behind it is a slash or a dot, which differ in the lowest bit.
    let behind = (slash >> 8) & each(!1);
    let pair = (slash | behind).wrapping_sub(each(1));
    // Behind the last byte there is neither: what is said of it goes out of the word.
    (low | high | (pair << 8)) & each(0x80) == 0
}

/// Checks the bytes of a path rule by rule.
#[cold]
fn check_rules(path: &[u8], last: Last) -> Result<(), PathError> {
    let fail = |kind, at| Err(PathError { kind, at });
    let rest = match path {
        [] => return fail(PathErrorKind::Empty, 0),
        [b'/'] => return Ok(()),
        [b'/', rest @ ..] => rest,
        _ => return fail(PathErrorKind::NotAbsolute, 0),
    };
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
fn check_name(rest: &[u8], start: usize, end: usize) -> Result<(), PathError> {
    let kind = match rest.get(start..end) {
        Some(b"") => PathErrorKind::EmptyName,
        Some([b'.'] | [b'.', b'.']) => PathErrorKind::RelativeName,
        _ => return Ok(()),
    };
    Err(PathError { kind, at: start.saturating_add(1) })
}

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
    use std::vec::Vec;

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

    /// Calls `look` with every string of up to `longest` bytes that matter to the rules.
    fn each_string(longest: usize, path: &mut Vec<u8>, look: &mut impl FnMut(&[u8])) {
        look(path);
        if path.len() < longest {
            for byte in *b"/.a\x1f\x7f\xff" {
                path.push(byte);
                each_string(longest, path, look);
                path.pop();
            }
        }
    }

    #[test]
    fn no_bad_path_is_taken_for_a_usual_one() {
        // Wherever a path breaks the rules, and whatever stands beside it.
        for place in 0..20 {
            for behind in [0, 1, 6, 7, 8, 9] {
                each_string(4, &mut Vec::new(), &mut |middle| {
                    let mut path = b"/bcdefghijklmnopqrstuv"[..place].to_vec();
                    path.extend_from_slice(middle);
                    path.extend_from_slice(&b"123456789"[..behind]);
                    let good = check_rules(&path, Last::Plain).is_ok();
                    assert!(good || !is_usual(&path), "{path:02x?}");
                });
            }
        }
        for byte in 0..=u8::MAX {
            let path = [b'/', b'a', byte, b'b'];
            let good = check_rules(&path, Last::Plain).is_ok();
            assert_eq!(is_usual(&path), good && byte.is_ascii(), "{byte:02x}");
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn what_is_joined_is_found_below_again() {
        for chroot in ["", "/a", "/a/b"] {
            for path in ["/", "/x", "/x/y"] {
                assert_eq!(below(&join(chroot, path), chroot), Some(path));
            }
        }
        assert_eq!(join("/a", "/"), "/a");
        assert_eq!(join("/a", "no path"), "no path");
        assert_eq!(below("/apple", "/app"), None);
    }

    #[test]
    fn usual_paths_need_no_second_look() {
        for path in ["/a", "/a/b", "/bench/node", "/zookeeper/config", "/a.b/c..d/ ~e.", "/1234567"]
        {
            assert!(is_usual(path.as_bytes()), "{path}");
        }
    }
}
