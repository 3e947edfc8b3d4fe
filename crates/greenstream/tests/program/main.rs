//! The program as its users meet it, one binary for all that need nothing but homes of their own: a binary
//! each would be linked each. What measures time, memory or the whole machine has a binary of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod configuration;
mod demo;
mod detect_command;
mod drift;
mod examples;
mod first_hour;
mod inert;
mod pages;
mod places;
mod quality;
mod questions;
mod splits;
mod upgrade;
mod verify;
