//! The slow, obviously right model of GreenStream, written straight from `docs/spec/rules.md`.
//!
//! [`evaluate`] takes the journal, whole, and gives the datasets of the contract. It shares no code with
//! the pipeline and remembers nothing between uploads: each rule looks at all readings of a meter, in the
//! words of the specification. Where both differ, one of them is wrong. [`fleet`] makes small random
//! worlds to feed to both.
//!
//! Where the specification is silent, the model says:
//! - **Header**: the first line that is not empty. An empty line has no character before its line end; a
//!   line of blanks is a row with one field. No header at all is a dead letter.
//! - **Quoted fields** are trimmed too, after unquoting. A CR at the end of a file without LF spoils its line.
//! - **Shown meter** of a row that failed: the field as read, at most 256 bytes of it.
//! - **Wall time beside an invalid meter**: shown where it means one instant; not where the autumn change
//!   repeats it, as no occurrence can be counted. A wall time that the spring change skips is no step from
//!   row to row.
//! - **UTC**: the zones `UTC` and `Etc/UTC` set no `utc_normalized`; a zone that does not exist is as none.
//! - **Decisions** reach only rows in the error queue; others are ignored, as is the release of a row that
//!   failed to decode. Meter and time are known where the reason is `timestamp_in_future`, `value_invalid`
//!   or `unit_unknown`. Undo reaches every decision in force, also a sleeping one.
//! - **A decided entry** stays in the queue as it stood when it was first decided (reason, value and flags),
//!   only its status follows the decisions. A released or edited row is stored *and* listed so; while
//!   it is superseded it is in neither place. After an undo the row is judged afresh.
//! - **A discarded row** takes part in nothing: it is never superseded, and gives no `duplicate` to others.
//! - **An edited row** keeps the flags that decode gave it (none, if it failed to decode) and adds `edited`.
//!   In `superseded` it shows its own value, not the operator's.
//! - **`measured`** holds neither missing nor filled values, as they are not measured.
//! - **The same bytes** under another feed: refused, no effect; of a dead letter: decoded anew as the same
//!   upload, with its first name and landing time. A retry of a dead letter gives what the first try gave.
//! - **`MW`** sets `unit_converted`; energy sets `energy_to_power` only.

mod completeness;
mod dataset;
mod decode;
mod entry;
pub mod fleet;
mod judge;
mod line;
mod number;
mod reading;
mod time;
mod whole;

pub use dataset::{State, Table};
pub use decode::{Decoded, decoded};
pub use entry::{Action, Configuration, Decision, Entry, Feed, Limits, Registered, Upload};
pub use number::{kw_text, read_milliwatts};
pub use time::{instant_text, read_instant};
pub use whole::evaluate;
