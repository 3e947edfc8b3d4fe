//! What must hold of every parser whatever the bytes are: guarantee G1, not only that nothing panics.
//!
//! A target is a plain function that panics where its law is broken. `tests/bounded.rs` drives it on each
//! change, over the kept inputs of `corpus/` and mutations of them; libFuzzer drives it for hours, with
//! coverage (`scripts/fuzz`). What libFuzzer finds is fixed, gets a test named after what broke, and its input
//! stays in the corpus.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a broken law is told by panicking"
)]

mod mutate;
mod targets;

pub use mutate::{Mutator, words};
pub use targets::{TARGETS, Target, target};

/// Checks the law of one parser for these bytes.
pub type Check = fn(&[u8]);
