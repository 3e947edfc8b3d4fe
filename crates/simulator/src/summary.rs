//! What a simulation wrote, counted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// The books of a simulation: `rows = readings - absent + duplicate + corrected`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    /// The folder with the uploads.
    pub folder: PathBuf,
    /// The ground truth: `meter_id,ts,kind,file,line,true_kw`, one line per injected defect.
    pub truth: PathBuf,
    /// The seed.
    pub seed: u64,
    /// Meters × intervals.
    pub readings: u64,
    /// Lines with a row, in all files but the repeated ones.
    pub rows: u64,
    /// Files in the folder, with the repeated ones.
    pub files: u64,
    /// Bytes in all files, with the repeated ones.
    pub bytes: u64,
    /// How often each kind stands in the ground truth, by name; kinds that do not occur are left out.
    pub defects: BTreeMap<&'static str, u64>,
}
