//! What comes out: the datasets of the contract, as rows of text.

/// A dataset: sorted rows, each cell as the contract's export writes it (before CSV quotes).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// The names of the columns.
    pub columns: &'static [&'static str],
    /// The rows, one text for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &'static [&'static str]) -> Table {
        Table { columns, rows: Vec::new() }
    }

    /// The rows with these columns only, in this order; a column that does not exist is empty.
    #[must_use]
    pub fn select(&self, columns: &[&str]) -> Vec<Vec<String>> {
        let places: Vec<Option<usize>> =
            columns.iter().map(|name| self.columns.iter().position(|column| column == name)).collect();
        let cell = |row: &Vec<String>, place: &Option<usize>| {
            place.and_then(|place| row.get(place)).cloned().unwrap_or_default()
        };
        self.rows.iter().map(|row| places.iter().map(|place| cell(row, place)).collect()).collect()
    }

    /// A header and the rows with these columns as CSV, quoted where needed, lines ended by LF.
    #[must_use]
    pub fn csv(&self, columns: &[&str]) -> String {
        let mut text = columns.join(",") + "\n";
        for row in self.select(columns) {
            let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        text
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// All datasets that are a function of the landing zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// `meter_id, ts, kw, flags, upload, row_number`
    pub readings: Table,
    /// `meter_id, ts, kw, flags, under_review, upload, row_number`; `under_review` is `true` or `false`.
    pub measured: Table,
    /// `upload, row_number, meter_id, ts, kw, reason, flags, raw, status`
    pub error_queue: Table,
    /// `upload, row_number, meter_id, ts, kw`
    pub superseded: Table,
    /// `upload, name, bytes, landed_at, status, rows, stored, quarantined, superseded`; the contract's
    /// without `sha256`.
    pub uploads: Table,
    /// `meter_id, kind, severity, first_ts, last_ts`
    pub episodes: Table,
    /// `meter_id, day, feeder, feed, interval_s, expected, present, absent, trusted, filled, missing,
    /// quarantined, late, extra`
    pub quality: Table,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            readings: Table::new(&["meter_id", "ts", "kw", "flags", "upload", "row_number"]),
            measured: Table::new(&["meter_id", "ts", "kw", "flags", "under_review", "upload", "row_number"]),
            error_queue: Table::new(&[
                "upload",
                "row_number",
                "meter_id",
                "ts",
                "kw",
                "reason",
                "flags",
                "raw",
                "status",
            ]),
            superseded: Table::new(&["upload", "row_number", "meter_id", "ts", "kw"]),
            uploads: Table::new(&[
                "upload",
                "name",
                "bytes",
                "landed_at",
                "status",
                "rows",
                "stored",
                "quarantined",
                "superseded",
            ]),
            episodes: Table::new(&["meter_id", "kind", "severity", "first_ts", "last_ts"]),
            quality: Table::new(&[
                "meter_id",
                "day",
                "feeder",
                "feed",
                "interval_s",
                "expected",
                "present",
                "absent",
                "trusted",
                "filled",
                "missing",
                "quarantined",
                "late",
                "extra",
            ]),
        }
    }
}
