//! The program on a PostgreSQL server that the tests start themselves: the same rows as in a file, through
//! outages of the server, cut connections and the loss of the database to another process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod ahead;
#[path = "../common/mod.rs"]
mod common;
mod outages;
mod owners;
mod same;
mod server;
mod tls;
#[path = "../common/world.rs"]
mod world;
