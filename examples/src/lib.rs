//! What the examples share with the tests that run them.

pub mod lifecycle;
