//! What the examples share with the tests that run them.

pub mod lifecycle;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// So do those for who comes from another client, and they run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/migration.md")]
pub struct Migration;
