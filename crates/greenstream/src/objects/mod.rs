//! Object stores by URL (`s3://`, `gs://`, `az://`, `file://`), for threads that wait: one [`Bucket`] is a
//! place in a store, with limits on time and tries.
//!
//! Requests run on a small runtime of their own, shared by the process, so that any thread may wait for one.
//! Which clouds a build speaks to is a matter of its features: `s3`, `gcs`, `azure`.

mod address;
mod bucket;
mod connect;
mod error;
#[cfg(test)]
pub(crate) mod flaky;
#[cfg(feature = "s3")]
mod lock;
mod place;
mod put;
mod reader;
#[cfg(test)]
mod tests;
mod wait;

pub use address::{Address, Scheme};
pub use bucket::{Bucket, Found};
pub use error::{Error, told};
pub use place::Place;
pub use put::{PART_BYTES, Put};
pub use reader::Reader;

/// What is asked of a store beside its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The server, where it is not the cloud's own.
    pub endpoint: Option<String>,
    /// The region, where it is not that of the environment.
    pub region: Option<String>,
    /// How often a request is tried again.
    pub retries_max: u32,
    /// Longest time for one try; after as much in all none begins.
    pub request_seconds: u64,
    /// Days for which what is put may not be changed or removed; needs a store with Object Lock.
    pub object_lock_days: Option<u32>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { endpoint: None, region: None, retries_max: 5, request_seconds: 30, object_lock_days: None }
    }
}
