//! Java's properties format, which ZooKeeper's configuration files are in.
//!
//! A parser of our own: those on crates.io bring a regular expression engine and character set
//! tables for what are a few rules.

/// One entry of a file, where it stands, and its key and value without escapes and the space
/// around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    /// The line that it starts in; the first is 1.
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// All entries of a file in their order.
///
/// Total: every text has entries. A file that is not UTF-8 is taken for Latin-1, as Java does.
///
/// # Source
/// `java.util.Properties.load`; `QuorumPeerConfig.parseProperties`, 3.8.0, which trims both sides.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Property> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = (1..).zip(text.split('\n'));
    let mut properties = Vec::new();
    while let Some((line, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut entry = first.to_owned();
        while ends_in_escape(&entry) {
            entry.pop();
            match lines.next() {
                Some((_, more)) => entry.push_str(more.trim_start_matches(is_blank)),
                None => break,
            }
        }
        let (key, value) = split(&entry);
        let [key, value] = [key, value].map(|part| unescape(part).trim().to_owned());
        properties.push(Property { line, key, value });
    }
    properties
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Whether the line goes on in the next one: an odd number of backslashes ends it.
fn ends_in_escape(line: &str) -> bool {
    line.len().saturating_sub(line.trim_end_matches('\\').len()) % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that is not escaped; one `=` or `:` may stand among
/// the blanks.
fn split(entry: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = entry.find(|c: char| {
        let ends = !escaped && (matches!(c, '=' | ':') || is_blank(c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = entry.split_at(end.unwrap_or(entry.len()));
    let rest = rest.trim_start_matches(is_blank);
    (key, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank))
}

fn unescape(part: &str) -> String {
    let mut chars = part.chars();
    let mut plain = String::with_capacity(part.len());
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits = chars.as_str().get(..4).unwrap_or_default();
                match u32::from_str_radix(digits, 16).ok().and_then(char::from_u32) {
                    Some(c) => {
                        plain.push(c);
                        chars = chars.as_str().get(4..).unwrap_or_default().chars();
                    }
                    None => plain.push('u'),
                }
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[u8]) -> Vec<(usize, String, String)> {
        parse(text).into_iter().map(|p| (p.line, p.key, p.value)).collect()
    }

    fn of(entries: &[(usize, &str, &str)]) -> Vec<(usize, String, String)> {
        entries.iter().map(|(line, k, v)| (*line, (*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn entries_are_found_as_java_finds_them() {
        let text = b"# a comment\n! another\n\ntickTime=2000\n  dataDir : /var/lib/zk  \r\nclientPort\t2181\nempty\na=b=c\n";
        assert_eq!(
            pairs(text),
            of(&[
                (4, "tickTime", "2000"),
                (5, "dataDir", "/var/lib/zk"),
                (6, "clientPort", "2181"),
                (7, "empty", ""),
                (8, "a", "b=c"),
            ])
        );
    }

    #[test]
    fn lines_go_on_and_escapes_are_taken_out() {
        let text = b"list = a,\\\n   b\nkey\\=\\:x = y\\\\\nlast\\u0041=\\t\\u00e9\\\n";
        assert_eq!(
            pairs(text),
            of(&[(1, "list", "a,b"), (3, "key=:x", "y\\"), (4, "lastA", "\u{e9}")])
        );
    }

    #[test]
    fn bytes_that_are_no_utf8_are_latin_1() {
        assert_eq!(pairs(b"dataDir=/\xe9t\xe9"), of(&[(1, "dataDir", "/\u{e9}t\u{e9}")]));
    }

    #[test]
    fn any_bytes_have_entries() {
        for text in
            [&b"\\"[..], b"\\u", b"\\u12", b"=", b":=", b"\\\n\\\n", b"\xff\xfe\\", b"a\\u00"]
        {
            parse(text);
        }
        for seed in 0..2000_u32 {
            let mut state = seed;
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b"\\u=: \n\r\t#a0\xe9"[(state >> 16) as usize % 12]
                })
                .collect();
            parse(&bytes);
        }
    }
}
