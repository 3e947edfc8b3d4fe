//! Fleets of smart meters that do not exist: realistic uploads with known defects.
//!
//! A [`Plan`] says how many meters report for how long; [`Plan::write`] writes the upload files
//! and, beside their folder, the ground truth: every injected defect with its meter, instant, kind,
//! file, line and the power that the home really drew.
//!
//! Everything is a pure function of (seed, meter, interval), so any part can be made alone, and
//! neither the number of threads nor the layout of the files changes a value.
//!
//! ```no_run
//! use greenstream_simulator::Plan;
//!
//! let plan = Plan { meters: 200, days: 7, ..Plan::default() };
//! let summary = plan.write("uploads".as_ref(), &mut |_done, _total| {})?;
//! println!("{} rows; the truth is in {}", summary.rows, summary.truth.display());
//! # Ok::<(), greenstream_simulator::Error>(())
//! ```

mod date;
mod fleet;
mod home;
mod kind;
mod line;
mod part;
mod plan;
mod random;
mod shape;
mod slots;
mod summary;
mod truth;
mod write;

pub use date::Date;
pub use kind::{Kind, Rates};
pub use plan::{Error, Layout, Plan};
pub use summary::Summary;
