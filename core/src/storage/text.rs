//! Text that is either lent or owned.

use core::fmt;
use core::ops::Deref;

/// A string of the caller or, with `alloc`, one of its own.
#[derive(Clone)]
pub struct Text<'b>(Inner<'b>);

#[derive(Clone)]
enum Inner<'b> {
    Lent(&'b str),
    #[cfg(feature = "alloc")]
    Owned(alloc::boxed::Box<str>),
}

impl<'b> From<&'b str> for Text<'b> {
    fn from(text: &'b str) -> Self {
        Self(Inner::Lent(text))
    }
}

#[cfg(feature = "alloc")]
impl From<alloc::string::String> for Text<'_> {
    fn from(text: alloc::string::String) -> Self {
        Self(Inner::Owned(text.into_boxed_str()))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Inner::Lent(text) => text,
            #[cfg(feature = "alloc")]
            Inner::Owned(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
