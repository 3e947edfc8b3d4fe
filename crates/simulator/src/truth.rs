//! The ground truth: a CSV file beside the folder of uploads.
//!
//! `meter_id,ts,kind,file,line,true_kw`; `line` counts from 1 with the header, so a row's number is
//! `line - 1`. Absent rows have the file they are missing from and no line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::kind::Kind;
use crate::line::{kilowatts, whole};
use crate::part::{Ids, Mark};
use crate::plan::Error;
use crate::slots::Slots;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

pub(crate) struct Truth {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    counts: [u64; Kind::COUNT],
}

impl Truth {
    /// Begins the file.
    pub(crate) fn create(path: &Path) -> Result<Truth, Error> {
        let file = File::create(path).map_err(Error::io(path))?;
        let buffer = b"meter_id,ts,kind,file,line,true_kw\n".to_vec();
        Ok(Truth { path: path.to_path_buf(), file, buffer, counts: [0; Kind::COUNT] })
    }

    /// Adds what is remarkable in a part of `name` that begins after `lines` lines.
    pub(crate) fn add(
        &mut self,
        slots: &Slots,
        ids: &Ids,
        name: &str,
        lines: u64,
        marks: &[Mark],
    ) -> Result<(), Error> {
        let mut slot = slots.slot(0);
        for mark in marks {
            if slot.number != mark.slot {
                slot = slots.slot(mark.slot);
            }
            self.buffer.extend_from_slice(ids.get(mark.meter));
            self.buffer.extend_from_slice(&slot.field);
            self.entry(mark.kind, name);
            if mark.row > 0 {
                whole(&mut self.buffer, lines + u64::from(mark.row));
            }
            self.buffer.push(b',');
            kilowatts(&mut self.buffer, mark.truth);
            self.buffer.push(b'\n');
            if self.buffer.len() > BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Adds a repeated upload; it begins with interval `slot`.
    pub(crate) fn add_repeated(&mut self, slots: &Slots, slot: u32, name: &str) -> Result<(), Error> {
        self.buffer.extend_from_slice(&slots.slot(slot).field);
        self.entry(Kind::RepeatedUpload, name);
        self.buffer.extend_from_slice(b",\n");
        if self.buffer.len() > BUFFER { self.flush() } else { Ok(()) }
    }

    /// Ends the file: how often each kind stands in it.
    pub(crate) fn finish(mut self) -> Result<BTreeMap<&'static str, u64>, Error> {
        self.flush()?;
        Ok(Kind::all().map(|k| (k.name(), self.counts[k as usize])).filter(|(_, n)| *n > 0).collect())
    }

    /// `kind,file,`
    fn entry(&mut self, kind: Kind, name: &str) {
        self.counts[kind as usize] += 1;
        for text in [kind.name(), ",", name, ","] {
            self.buffer.extend_from_slice(text.as_bytes());
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.write_all(&self.buffer).map_err(Error::io(&self.path))?;
        self.buffer.clear();
        Ok(())
    }
}
