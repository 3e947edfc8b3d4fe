//! COPY in the server's binary format: the fastest way in, without a value ever becoming text.

use std::io::Write;

use greenstream_core::{Power, Reading, Ts};
use postgres::CopyInWriter;

use super::session::Session;
use super::wire::{escaped, to_server};
use crate::change::{Meter, SupersededRow};
use crate::store::error::Fault;
use crate::store::queue::Entry;

/// Bytes sent at once: the client makes one message of each.
const PART: usize = 256 << 10;
/// Signature, flags and the length of what follows them: none.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Stands where the next row's number of fields would.
const END: i16 = -1;

/// Columns of [`entry`], in its order.
pub(super) const ERROR_COLUMNS: &str =
    "upload, row_number, meter, meter_text, ts, hour, kw, reason, flags, status, raw";
/// Columns of [`loser`], in its order.
pub(super) const SUPERSEDED_COLUMNS: &str = "upload, row_number, meter, ts, kw, flags";

/// Rows on their way.
pub(super) struct Copy<'c, 'w> {
    out: &'c mut CopyInWriter<'w>,
    buffer: Vec<u8>,
}

/// Where [`reading`] goes, in a partition.
pub(super) fn readings_into(partition: &str) -> String {
    format!("{partition} (ts, kw, hour, meter, upload, row_number, flags)")
}

/// Copies all of `rows` into a table, each by `put`.
pub(super) fn all<T>(
    session: &Session,
    into: &str,
    rows: &[T],
    put: fn(&mut Copy<'_, '_>, &T),
) -> Result<(), Fault> {
    let sql = format!("COPY {into} FROM STDIN BINARY");
    session.copy(&sql, |out| write(out, rows, put)).map(drop)
}

fn write<T>(out: &mut CopyInWriter<'_>, rows: &[T], put: fn(&mut Copy<'_, '_>, &T)) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(PART + 4_096);
    buffer.extend_from_slice(HEADER);
    let mut copy = Copy { out, buffer };
    for row in rows {
        put(&mut copy, row);
        if copy.buffer.len() >= PART {
            copy.send()?;
        }
    }
    copy.buffer.extend_from_slice(&END.to_be_bytes());
    copy.send()
}

/// A reading.
pub(super) fn reading(copy: &mut Copy<'_, '_>, (meter, reading): &(Meter, Reading)) {
    copy.row(7);
    copy.ts(reading.ts);
    copy.power(reading.kw);
    copy.hour(reading.ts);
    copy.int4(meter.0);
    copy.int4(reading.upload);
    copy.int4(reading.row_number);
    copy.int2(reading.flags.bits());
}

/// An entry of the error queue.
pub(super) fn entry(copy: &mut Copy<'_, '_>, entry: &Entry<'_>) {
    copy.row(11);
    copy.int4(entry.row.0);
    copy.int4(entry.row.1);
    match entry.meter {
        Some(meter) => copy.int4(meter.0),
        None => copy.null(),
    }
    match entry.meter_text {
        Some(text) => copy.text(text),
        None => copy.null(),
    }
    match entry.ts {
        Some(ts) => {
            copy.ts(ts);
            copy.hour(ts);
        }
        None => {
            copy.null();
            copy.null();
        }
    }
    copy.power(entry.kw);
    copy.int2(entry.reason.code().into());
    copy.int2(entry.flags.bits());
    copy.int2((entry.status as u8).into());
    copy.text(entry.raw);
}

/// A row that lost.
pub(super) fn loser(copy: &mut Copy<'_, '_>, row: &SupersededRow) {
    copy.row(6);
    copy.int4(row.upload);
    copy.int4(row.row_number);
    copy.int4(row.meter.0);
    copy.ts(row.ts);
    copy.power(row.kw);
    copy.int2(row.flags.bits());
}

impl Copy<'_, '_> {
    fn send(&mut self) -> std::io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn row(&mut self, fields: i16) {
        self.buffer.extend_from_slice(&fields.to_be_bytes());
    }

    fn field<const N: usize>(&mut self, bytes: [u8; N]) {
        let length = [0, 0, 0, N.to_le_bytes()[0]];
        self.buffer.extend_from_slice(&length);
        self.buffer.extend_from_slice(&bytes);
    }

    fn null(&mut self) {
        self.buffer.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// A number below 2^31, as every one is that numbers meters, uploads or rows.
    fn int4(&mut self, number: u32) {
        self.field(number.to_be_bytes());
    }

    fn int2(&mut self, number: u16) {
        self.field(number.to_be_bytes());
    }

    fn hour(&mut self, ts: Ts) {
        self.field(i32::try_from(ts.hour()).unwrap_or(i32::MAX).to_be_bytes());
    }

    fn ts(&mut self, ts: Ts) {
        self.field(to_server(ts.micros()).to_be_bytes());
    }

    fn power(&mut self, power: Option<Power>) {
        match power {
            Some(power) => self.field(power.milliwatts().to_be_bytes()),
            None => self.null(),
        }
    }

    fn text(&mut self, text: &str) {
        let text = escaped(text);
        let length = i32::try_from(text.len()).unwrap_or(i32::MAX);
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(text.as_bytes());
    }
}
