//! A znode's data: any bytes, mostly text.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A znode's data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data<'a>(pub(crate) &'a [u8]);

impl Data<'_> {
    /// `data` and `encoding`: the text itself (`utf-8`), or its bytes in `base64`.
    pub(crate) fn add_to(self, fields: &mut Map<String, Value>) {
        let (data, encoding) = match std::str::from_utf8(self.0) {
            Ok(text) => (json!(text), "utf-8"),
            Err(_) => (json!(STANDARD.encode(self.0)), "base64"),
        };
        fields.insert("data".to_owned(), data);
        fields.insert("encoding".to_owned(), json!(encoding));
    }

    /// As people read it: text, without the characters that would steer their terminal; other bytes
    /// escaped.
    pub(crate) fn text(&self) -> String {
        match std::str::from_utf8(self.0) {
            Ok(text) => printable(text).into_owned(),
            Err(_) => self.0.escape_ascii().to_string(),
        }
    }

    /// Whether it is text.
    pub(crate) const fn is_text(&self) -> bool {
        std::str::from_utf8(self.0).is_ok()
    }
}

/// Text whose control characters, but for line ends and tabs, are escaped: what is stored in a znode
/// must not steer the terminal of whoever looks at it.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if harmless(c) { safe.push(c) } else { safe.extend(c.escape_default()) }
    }
    Cow::Owned(safe)
}
