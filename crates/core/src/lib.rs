//! The pure core of GreenStream: decodes the bytes of meter uploads into rows and judges a
//! meter's readings by the five rules of `docs/spec/rules.md`.
//!
//! No files, no clock, no environment, no threads, and no failure on data: bad data is a value with its
//! evidence. Everything is exact (whole milliwatts, whole microseconds), so the same input gives
//! the same output to the last bit on every machine.

pub mod decode;
pub mod detect;
mod flag;
mod limits;
mod power;
pub mod quality;
mod reading;
mod reason;
pub mod rules;
mod ts;
mod zone;

pub use flag::{Flag, Flags};
pub use limits::{Limits, Range};
pub use power::Power;
pub use reading::{Reading, Standing};
pub use reason::Reason;
pub use ts::{DAY, HOUR, SECOND, Ts, civil_from_days, days_from_civil};
pub use zone::{UnknownZone, Zone};
