//! What the archive asks of others: the store's rows at one journal position, and meters' names.

use greenstream_core::{Flags, Power, Reason, Ts};

use super::error::Cause;
use crate::change::{Meter, Status};

/// A row of the dataset `readings`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReadingRow<'a> {
    /// Whose reading.
    pub meter: &'a str,
    /// Start of the interval.
    pub ts: Ts,
    /// The value; none when it is missing.
    pub kw: Option<Power>,
    /// Everything noticed.
    pub flags: Flags,
    /// The upload of the row, from 1.
    pub upload: u32,
    /// The row within its upload, from 1.
    pub row_number: u32,
}

/// A row of the dataset `error-queue`, without its raw text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ErrorRow<'a> {
    /// The upload, from 1.
    pub upload: u32,
    /// The row, from 1.
    pub row_number: u32,
    /// The meter as far as it could be read; may be empty, may be no valid id.
    pub meter: &'a str,
    /// The instant as far as it could be read.
    pub ts: Option<Ts>,
    /// The value, if there is one.
    pub kw: Option<Power>,
    /// Why it waits.
    pub reason: Reason,
    /// Everything noticed.
    pub flags: Flags,
    /// What an operator decided.
    pub status: Status,
}

/// The database at one journal position; nothing that lands meanwhile shows.
pub trait Source {
    /// The journal position that all rows reflect.
    fn position(&self) -> u64;

    /// Every accepted reading of a UTC day (days since 1970-01-01), in any order, each once; only of
    /// meters in `from_meter..to_meter` by bytes where these are given.
    ///
    /// # Errors
    /// When the store cannot be read; the archive then keeps what it has and tries again later.
    fn readings(
        &self,
        day: i64,
        from_meter: Option<&str>,
        to_meter: Option<&str>,
        sink: &mut dyn FnMut(ReadingRow<'_>),
    ) -> Result<(), Cause>;

    /// Every row of the error queue whose instant lies in that UTC day, or that has no instant for
    /// `None`; in any order, each once.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn errors(&self, day: Option<i64>, sink: &mut dyn FnMut(ErrorRow<'_>)) -> Result<(), Cause>;
}

/// Knows the names of meters that were seen before the archive was opened.
pub trait MeterNames {
    /// The meter's id as the uploads write it; none if the number was never given.
    fn name(&self, meter: Meter) -> Option<&str>;
}
