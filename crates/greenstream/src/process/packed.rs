//! Readings of one meter in half the room: most of what the service remembers is looked at once an
//! upload, so it is kept small and unpacked when its meter comes.

use greenstream_core::{Flags, Power, Reading, Standing, Ts};

/// Rows grow by this many readings: doubling would leave half of each empty.
const STEP: usize = 8;

/// One reading beside the first of its meter: 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Whole seconds since the first.
    seconds: u32,
    /// Milliwatts; `i32::MIN` where there is none.
    kw: i32,
    row_number: u32,
    /// Since the upload of the first.
    uploads: i16,
    /// Ten bits of flags, and the standing above them.
    bits: u16,
}

/// Readings by instant, to the last bit: packed where they all fit, as they are otherwise.
#[derive(Clone, Debug)]
pub(super) enum Packed {
    /// Beside the instant and the upload of the first.
    Cells(Ts, u32, Vec<Cell>),
    /// With fractions of a second, above 2 MW, or of uploads far apart.
    Whole(Vec<Reading>),
}

impl Default for Packed {
    fn default() -> Packed {
        Packed::Cells(Ts::MIN, 0, Vec::new())
    }
}

impl Packed {
    /// Readings that there is room for.
    pub(super) fn room(&self) -> usize {
        match self {
            Packed::Cells(_, _, cells) => cells.capacity(),
            // a budget counts readings of 16 bytes
            Packed::Whole(rows) => rows.capacity() * 2,
        }
    }

    /// Takes the place of what was here.
    pub(super) fn pack(&mut self, rows: &[Reading]) {
        let mut cells = match std::mem::take(self) {
            Packed::Cells(_, _, cells) => cells,
            Packed::Whole(_) => Vec::new(),
        };
        cells.clear();
        let room = rows.len().next_multiple_of(STEP);
        if cells.capacity() < room || cells.capacity() > room + room / 8 + STEP {
            cells = Vec::with_capacity(room);
        }
        let first = rows.first().map_or((Ts::MIN, 0), |first| (first.ts, first.upload));
        for reading in rows {
            let Some(cell) = Cell::of(reading, first) else {
                *self = Packed::Whole(rows.to_vec());
                return;
            };
            cells.push(cell);
        }
        *self = Packed::Cells(first.0, first.1, cells);
    }

    /// Appends everything to `rows`.
    pub(super) fn unpack(&self, rows: &mut Vec<Reading>) {
        match self {
            Packed::Cells(ts, upload, cells) => {
                rows.extend(cells.iter().map(|cell| cell.reading((*ts, *upload))));
            }
            Packed::Whole(whole) => rows.extend_from_slice(whole),
        }
    }

    /// Adds a reading after all others.
    pub(super) fn push(&mut self, reading: Reading) {
        if let Packed::Cells(ts, upload, cells) = self {
            if cells.is_empty() {
                (*ts, *upload) = (reading.ts, reading.upload);
            }
            if let Some(cell) = Cell::of(&reading, (*ts, *upload)) {
                if cells.len() == cells.capacity() {
                    cells.reserve_exact(STEP);
                }
                cells.push(cell);
                return;
            }
            let mut whole = Vec::new();
            self.unpack(&mut whole);
            *self = Packed::Whole(whole);
        }
        if let Packed::Whole(rows) = self {
            rows.push(reading);
        }
    }
}

impl Cell {
    /// None where the reading does not fit.
    fn of(reading: &Reading, first: (Ts, u32)) -> Option<Cell> {
        let micros = reading.ts.since(first.0);
        let kw = match reading.kw {
            None => i32::MIN,
            Some(kw) => i32::try_from(kw.milliwatts()).ok().filter(|kw| *kw != i32::MIN)?,
        };
        let bits = reading.flags.bits() | (reading.standing as u16) << FLAG_BITS;
        Some(Cell {
            seconds: (micros % SECOND == 0).then(|| u32::try_from(micros / SECOND).ok())??,
            kw,
            row_number: reading.row_number,
            uploads: i16::try_from(i64::from(reading.upload) - i64::from(first.1)).ok()?,
            bits,
        })
    }

    fn reading(self, first: (Ts, u32)) -> Reading {
        Reading {
            ts: first.0.plus(i64::from(self.seconds) * SECOND),
            kw: (self.kw != i32::MIN).then(|| Power::from_milliwatts(i64::from(self.kw))),
            upload: first.1.wrapping_add_signed(i32::from(self.uploads)),
            row_number: self.row_number,
            flags: Flags::from_bits(self.bits),
            standing: STANDINGS[usize::from(self.bits >> FLAG_BITS) & 7],
        }
    }
}

const SECOND: i64 = 1_000_000;
/// Flags take the bits below, standings those above.
const FLAG_BITS: u32 = 10;
const _: () = assert!(greenstream_core::Flag::ALL.len() == 10);
/// By number; eight, so that three bits name one.
const STANDINGS: [Standing; 8] = [
    Standing::Unjudged,
    Standing::Accepted,
    Standing::Negative,
    Standing::AboveLimit,
    Standing::Outlier,
    Standing::Outlier,
    Standing::Outlier,
    Standing::Outlier,
];

#[cfg(test)]
mod tests {
    use super::*;
    use greenstream_core::Flag;
    use proptest::prelude::*;

    const FIRST: Reading = Reading {
        ts: Ts::from_micros(1_772_000_000_000_000),
        kw: Some(Power::from_milliwatts(1_500_000)),
        upload: 40_000,
        row_number: 7,
        flags: Flags::NONE.with(Flag::UtcNormalized),
        standing: Standing::Accepted,
    };

    fn is_packed(rows: &[Reading]) -> bool {
        let mut packed = Packed::default();
        packed.pack(rows);
        let mut found = Vec::new();
        packed.unpack(&mut found);
        assert_eq!(found, rows);
        let mut pushed = Packed::default();
        rows.iter().for_each(|reading| pushed.push(*reading));
        found.clear();
        pushed.unpack(&mut found);
        assert_eq!(found, rows);
        let small = matches!(packed, Packed::Cells(..));
        assert_eq!(small, matches!(pushed, Packed::Cells(..)));
        small
    }

    #[test]
    fn a_cell_takes_sixteen_bytes() {
        assert_eq!(size_of::<Cell>(), 16);
    }

    #[test]
    fn what_fits_is_packed_and_what_does_not_is_kept_whole() {
        let after = |change: &dyn Fn(&mut Reading)| {
            let mut next = Reading { ts: FIRST.ts.plus(900 * SECOND), ..FIRST };
            change(&mut next);
            is_packed(&[FIRST, next])
        };
        assert!(is_packed(&[]));
        assert!(after(&|_| {}));
        assert!(after(&|next| next.kw = None));
        assert!(after(&|next| next.standing = Standing::Outlier));
        assert!(!after(&|next| next.ts = next.ts.plus(1)));
        let at = |seconds: i64| after(&move |next| next.ts = FIRST.ts.plus(seconds * SECOND));
        assert!(at(i64::from(u32::MAX)));
        assert!(!at(i64::from(u32::MAX) + 1));
        let kw = |mw: i64| after(&move |next| next.kw = Some(Power::from_milliwatts(mw)));
        assert!(kw(i64::from(i32::MAX)) && kw(i64::from(i32::MIN) + 1));
        assert!(!kw(i64::from(i32::MAX) + 1) && !kw(i64::from(i32::MIN)));
        let upload = |upload: u32| after(&move |next| next.upload = upload);
        assert!(upload(40_000 + 32_767) && upload(40_000 - 32_768));
        assert!(!upload(40_000 + 32_768) && !upload(40_000 - 32_769));
    }

    proptest! {
        #[test]
        fn any_readings_come_back_to_the_last_bit(
            rows in prop::collection::vec(
                (any::<u32>(), prop::option::of(-3_000_000_000_i64..3_000_000_000), 1_u32..70_000, any::<u32>(),
                    any::<u16>(), 0_usize..5),
                0..40,
            ),
            fraction in prop::bool::weighted(0.1),
        ) {
            let mut rows: Vec<Reading> = rows.into_iter().map(|(at, mw, upload, row_number, flags, standing)| {
                let micros = i64::from(at) * SECOND + i64::from(fraction);
                Reading {
                    ts: Ts::from_micros(micros),
                    kw: mw.map(Power::from_milliwatts),
                    upload,
                    row_number,
                    flags: Flags::from_bits(flags),
                    standing: STANDINGS[standing],
                }
            }).collect();
            rows.sort_by_key(|reading| reading.ts);
            is_packed(&rows);
        }
    }
}
