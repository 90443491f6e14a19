//! What the examples share with the tests that run them.

pub mod lifecycle;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
