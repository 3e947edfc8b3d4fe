//! Simulations are written, read again as bytes, and held to what the crate promises.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod files;
mod rates;
mod read;
mod truth;
