//! Strings as a Java server keeps them.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::wire::Ustring;

/// What ZooKeeper would send back for a string: characters beyond U+FFFF become two surrogates of
/// three bytes each, bytes that are not UTF-8 become U+FFFD. Null stays `None`.
pub(super) fn canonical(text: Ustring<'_>) -> Option<Cow<'_, [u8]>> {
    text.as_bytes().map(canonical_bytes)
}

pub(super) fn canonical_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.is_ascii() {
        return Cow::Borrowed(bytes);
    }
    let text = match core::str::from_utf8(bytes) {
        Ok(_) if bytes.iter().all(|byte| *byte < 0xf0) => return Cow::Borrowed(bytes),
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    };
    let mut out = alloc::vec::Vec::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        if u32::from(c) <= 0xffff {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        for unit in c.encode_utf16(&mut units) {
            let [high, low] = unit.to_be_bytes();
            let middle = ((high & 0x0f) << 2) | (low >> 6);
            out.extend([0xe0 | (high >> 4), 0x80 | middle, 0x80 | (low & 0x3f)]);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_java_writes_them() {
        assert_eq!(*canonical_bytes("a\u{20ac}".as_bytes()), *"a\u{20ac}".as_bytes());
        assert_eq!(*canonical_bytes("\u{1f600}x".as_bytes()), *b"\xed\xa0\xbd\xed\xb8\x80x");
        assert_eq!(*canonical_bytes(b"a\xff"), *"a\u{fffd}".as_bytes());
        assert_eq!(canonical(Ustring::NULL), None);
    }
}
