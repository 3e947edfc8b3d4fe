//! An upload in pieces, as they arrive: what is held of it is a line at most.

use std::sync::Arc;

use memchr::{memchr, memrchr};

use super::chunk::Chunk;
use super::layout::{Layout, Opened, Opening};
use super::lines::LINE_BYTES_MAX;
use super::plan::{Decoder, Kind, Plan};
use super::records::Form;
use super::{CONTENT_BYTES_MAX, Decoded, Refusal};

/// How much of a large piece is looked at in one step while the header is still sought.
const STEP_BYTES: usize = 64 << 10;

/// Decodes an upload as it arrives. The result does not depend on how it is cut.
pub struct Stream<'d>(Inner<'d>);

enum Inner<'d> {
    Lines(Box<Lines<'d>>),
    Form(Box<dyn Form>, Option<Refusal>),
}

/// An upload of lines of columns.
struct Lines<'d> {
    plan: &'d Arc<Plan>,
    opening: Opening,
    body: Option<(Layout, Chunk)>,
    /// The start of an unfinished line; of the first lines, before the header is read.
    carry: Vec<u8>,
    /// Bytes so far of a line that is too long to be held, and whether it holds no rows.
    overlong: Option<(u64, bool)>,
    refusal: Option<Refusal>,
}

impl Decoder {
    /// Begins an upload that arrives in pieces.
    #[must_use]
    pub fn stream(&self) -> Stream<'_> {
        Stream(match &self.kind {
            Kind::Form(form) => Inner::Form(form.begin(), None),
            Kind::Lines(plan) => Inner::Lines(Box::new(Lines {
                plan,
                opening: Opening::default(),
                body: None,
                carry: Vec::new(),
                overlong: None,
                refusal: None,
            })),
        })
    }
}

impl Stream<'_> {
    /// Takes the next piece, of any length.
    ///
    /// # Errors
    /// As soon as it is certain that nothing of the upload can be loaded; then at each further call.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match &mut self.0 {
            Inner::Lines(lines) => lines.push(bytes),
            Inner::Form(_, Some(refusal)) => Err(refusal.clone()),
            Inner::Form(form, refusal) => form.push(bytes).inspect_err(|why| *refusal = Some(why.clone())),
        }
    }

    /// Ends the upload.
    ///
    /// # Errors
    /// [`Refusal`] where nothing of it can be loaded.
    pub fn finish(self) -> Result<Decoded, Refusal> {
        match self.0 {
            Inner::Lines(lines) => lines.finish(),
            Inner::Form(_, Some(refusal)) => Err(refusal),
            Inner::Form(form, None) => form.finish(),
        }
    }
}

impl Lines<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let mut rest = bytes;
        while self.body.is_none() && !rest.is_empty() {
            let (step, after) = rest.split_at(rest.len().min(STEP_BYTES));
            self.carry.extend_from_slice(step);
            rest = after;
            if step.contains(&b'\n') || self.carry.len() > LINE_BYTES_MAX {
                self.open(false)?;
            }
        }
        self.lines(rest);
        match &self.body {
            Some((_, chunk))
                if chunk.too_large
                    || chunk.bytes + self.overlong.map_or(0, |(bytes, _)| bytes) > CONTENT_BYTES_MAX =>
            {
                let refusal = Refusal::TooLarge { limit: CONTENT_BYTES_MAX };
                self.refusal = Some(refusal.clone());
                Err(refusal)
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Decoded, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        if self.body.is_none() {
            self.open(true)?;
        }
        let Some((layout, mut chunk)) = self.body else { return Err(Refusal::Empty) };
        match self.overlong {
            Some((bytes, true)) => chunk.pass_over(bytes),
            Some((bytes, false)) => chunk.overlong(&layout, bytes),
            None => chunk.extend(&layout, &self.carry),
        }
        layout.join(vec![chunk])
    }

    /// Seeks the header in what has been held so far.
    fn open(&mut self, at_end: bool) -> Result<(), Refusal> {
        match self.opening.read(self.plan, &self.carry, at_end) {
            Ok(Opened::Layout(layout, done)) => {
                self.body = Some((*layout, Chunk::new()));
                let held = std::mem::take(&mut self.carry);
                self.lines(held.get(done..).unwrap_or(&[]));
                Ok(())
            }
            Ok(Opened::NeedsMore(done)) => {
                self.carry.drain(..done);
                Ok(())
            }
            Err(refusal) => {
                self.refusal = Some(refusal.clone());
                Err(refusal)
            }
        }
    }

    /// Decodes the lines that end in `bytes`, and holds the start of the one that does not.
    fn lines(&mut self, bytes: &[u8]) {
        let Some((layout, chunk)) = &mut self.body else { return };
        let mut rest = bytes;
        if self.overlong.is_some() || !self.carry.is_empty() {
            let Some(end) = memchr(b'\n', rest) else {
                self.hold(rest);
                return;
            };
            let (line, after) = rest.split_at(end + 1);
            match self.overlong.take() {
                Some((before, true)) => chunk.pass_over(before + line.len() as u64),
                Some((before, false)) => chunk.overlong(layout, before + line.len() as u64),
                None => {
                    self.carry.extend_from_slice(line);
                    chunk.extend(layout, &self.carry);
                    self.carry.clear();
                }
            }
            rest = after;
        }
        let (whole, part) = rest.split_at(memrchr(b'\n', rest).map_or(0, |at| at + 1));
        chunk.extend(layout, whole);
        self.hold(part);
    }

    /// Holds part of a line without its end, or counts it where the line is too long.
    fn hold(&mut self, part: &[u8]) {
        match &mut self.overlong {
            Some((bytes, _)) => *bytes += part.len() as u64,
            None if self.carry.len() + part.len() > LINE_BYTES_MAX => {
                let bytes = (self.carry.len() + part.len()) as u64;
                self.carry.extend_from_slice(part.get(..LINE_BYTES_MAX).unwrap_or(part));
                let skips =
                    self.body.as_ref().is_some_and(|(layout, _)| layout.row_lines().skips(&self.carry));
                self.overlong = Some((bytes, skips));
                self.carry = Vec::new();
            }
            None => self.carry.extend_from_slice(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ts;
    use crate::decode::{Feed, Given};

    const LINE: &[u8] = b"M,2026-03-02T00:00:00Z,1,kW\n";

    /// Tells what a stream that may take `room` more bytes says to each of these pieces.
    fn push(room: usize, pieces: &[&[u8]]) -> Vec<Result<(), Refusal>> {
        let given = Given { time_zone: None, name: "a.csv", landed_at: Ts::MAX };
        let decoder = Feed::default_feed().compile(&given).unwrap();
        let mut stream = decoder.stream();
        stream.push(b"meter_id,timestamp,energy_value,energy_unit\n").unwrap();
        let Inner::Lines(lines) = &mut stream.0 else { panic!() };
        let Some((_, chunk)) = &mut lines.body else { panic!() };
        chunk.bytes = CONTENT_BYTES_MAX - room as u64;
        pieces.iter().map(|piece| stream.push(piece)).collect()
    }

    #[test]
    fn a_stream_is_refused_with_the_first_byte_that_spans_cannot_count_and_from_then_on() {
        let refused = || Err(Refusal::TooLarge { limit: CONTENT_BYTES_MAX });
        assert_eq!(push(LINE.len(), &[LINE, b"\n", b""]), [Ok(()), refused(), refused()]);
        // a line that is too long to be held
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(push(long.len(), &[&long, b"x", b"\n"]), [Ok(()), refused(), refused()]);
    }
}
