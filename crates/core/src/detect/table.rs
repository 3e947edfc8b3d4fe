//! The shape of a file: delimiter, preamble, header, rows, and lines that are none of these.

use super::cell::{Look, plain};
use crate::decode::lines::Fields;

/// How many lines vote for a delimiter.
const VOTERS: usize = 300;

/// More columns are no readings: a day of minutes, and some for whose they are.
const COLUMNS_MAX: usize = 1_500;

/// A file as rows of fields.
#[derive(Default, Debug)]
pub(super) struct Table {
    pub(super) delimiter: u8,
    /// The lines before the header, or before the first row.
    pub(super) preamble: Vec<String>,
    /// Whether the profile can find columns by the header's names.
    pub(super) has_header: bool,
    /// Trimmed; empty where nothing names a column.
    pub(super) names: Vec<String>,
    /// The fields of a line of units below the header.
    pub(super) units: Vec<String>,
    /// Lines without guards; all with as many fields as `names`.
    pub(super) rows: Vec<Vec<String>>,
    /// The first rows of pieces that do not follow the row before.
    pub(super) breaks: Vec<usize>,
    /// How lines begin that are no rows.
    pub(super) skip: Vec<String>,
    /// Lines that are neither rows nor begin in a way of their own.
    pub(super) odd_lines: Vec<String>,
    pub(super) guarded: bool,
    /// Why names are not used though there are some.
    pub(super) names_unused: Option<&'static str>,
}

struct Line<'t> {
    text: &'t str,
    fields: Vec<String>,
    piece: usize,
    /// From 0, in the head.
    number: usize,
}

impl Table {
    /// Reads the shape of a text in pieces; none where there is no table with at least two columns.
    pub(super) fn read(pieces: &[String]) -> Option<Table> {
        let texts: Vec<(usize, usize, &str)> = pieces
            .iter()
            .enumerate()
            .flat_map(|(piece, text)| {
                text.lines().enumerate().map(move |(number, line)| (piece, number, line))
            })
            .collect();
        let (delimiter, width) = dialect(texts.iter().map(|(.., text)| *text))?;
        let lines: Vec<Line<'_>> = texts
            .iter()
            .filter(|(.., text)| !text.trim().is_empty())
            .map(|(piece, number, text)| Line {
                text,
                fields: split(text, delimiter).unwrap_or_default(),
                piece: *piece,
                number: *number,
            })
            .collect();
        let looks = usual_looks(&lines, width);
        let is_row = |line: &Line<'_>| line.fields.len() == width && fits(&line.fields, &looks);
        let first = lines.iter().position(is_row)?;
        let mut table = Table { delimiter, ..Table::default() };
        table.take_header(&lines, first, width);
        let number = lines.get(first)?.number;
        let header_at = number - table.preamble_end(number, &lines, first);
        let all = pieces.first().map(|head| head.lines()).into_iter().flatten();
        table.preamble = all.take(header_at).map(str::to_owned).collect();
        if table.preamble.iter().all(|line| line.trim().is_empty()) {
            table.preamble.clear();
        }
        let (body, odd): (Vec<&Line<'_>>, Vec<&Line<'_>>) = lines
            .iter()
            .skip(first)
            .partition(|line| line.fields.len() == width && fits_loosely(&line.fields, &looks));
        let header = table.header_before(&lines, first);
        table.take_skips(&odd, &body, header);
        table.take_rows(&body);
        Some(table)
    }

    /// How many lines before the first row belong to the header.
    fn preamble_end(&self, number: usize, lines: &[Line<'_>], first: usize) -> usize {
        let back = usize::from(self.has_header) + usize::from(self.has_header && !self.units.is_empty());
        let line = lines.get(first - back.min(first)).map_or(number, |line| line.number);
        number - line.min(number)
    }

    fn take_header(&mut self, lines: &[Line<'_>], first: usize, width: usize) {
        self.names = vec![String::new(); width];
        let mut before = lines.iter().take(first).rev();
        let Some(mut line) = before.next() else { return };
        let has_units = line.fields.len() >= 2 && line.fields.iter().all(|field| is_unit_mark(field));
        // a line of units is passed over by how it begins, and the header must not begin so
        let above = before.next().filter(|above| {
            has_units && above.fields.len() == line.fields.len() && !above.text.starts_with(line.text)
        });
        if let Some(above) = above {
            self.units = line.fields.clone();
            line = above;
        }
        let texts = line.fields.iter().filter(|field| Look::of(field) == Look::Text).count();
        let near = line.fields.len() == width || line.fields.len().abs_diff(width) == 1 && width > 2;
        if !near || texts == 0 {
            self.units = Vec::new();
            return;
        }
        let is_torn = line.text.contains('\r');
        self.has_header = line.fields.len() == width && !is_torn;
        if is_torn {
            self.names_unused = Some("the header holds a carriage return that is no line end");
        } else if !self.has_header {
            self.names_unused = Some("the header has not as many fields as the rows");
        }
        let names = line.fields.iter().cloned();
        self.names = names.chain(std::iter::repeat(String::new())).take(width).collect();
        if self.has_header && !self.units.is_empty() {
            let start = lines.get(first - 1).map_or("", |line| line.text);
            self.skip.push(start.to_owned());
        }
    }

    /// The header's text; empty where there is none.
    fn header_before<'l>(&self, lines: &[Line<'l>], first: usize) -> &'l str {
        let back = 1 + usize::from(!self.units.is_empty());
        let line = first.checked_sub(back).and_then(|at| lines.get(at));
        line.filter(|_| self.has_header).map_or("", |line| line.text)
    }

    /// How lines begin that hold no rows, where neither a row nor the header begins so: a header may come
    /// again further down.
    fn take_skips(&mut self, odd: &[&Line<'_>], rows: &[&Line<'_>], header: &str) {
        for line in odd {
            let end = line.text.find(char::from(self.delimiter)).unwrap_or(line.text.len());
            let start: String = line.text.get(..end).unwrap_or("").chars().take(24).collect();
            let start = match start.trim_end().split_once(|c: char| c.is_ascii_digit()) {
                Some((words, _)) => words.to_owned(),
                None => start,
            };
            let is_word = start.chars().any(|c| c.is_alphabetic() || "#*/".contains(c));
            if is_word
                && !self.skip.contains(&start)
                && self.skip.len() < 6
                && !rows.iter().any(|row| row.text.starts_with(&start))
                && !header.starts_with(&start)
            {
                self.skip.push(start);
            } else if !self.skip.iter().any(|start| line.text.starts_with(start.as_str())) {
                self.odd_lines.push(line.text.chars().take(120).collect());
            }
        }
    }

    fn take_rows(&mut self, rows: &[&Line<'_>]) {
        let mut piece = 0;
        for row in rows {
            if row.piece != piece {
                piece = row.piece;
                self.breaks.push(self.rows.len());
            }
            self.guarded |= row.fields.iter().any(|field| plain(field).len() != field.len());
            self.rows.push(row.fields.iter().map(|field| plain(field).to_owned()).collect());
        }
    }

    /// How a profile finds a column: by its name where that is one, else by its position.
    pub(super) fn reference(&self, index: usize) -> String {
        let name = self.names.get(index).map_or("", String::as_str);
        let same = self.names.iter().filter(|other| other.to_lowercase() == name.to_lowercase()).count();
        if self.has_header && !name.is_empty() && same == 1 {
            toml::Value::from(name).to_string()
        } else {
            (index + 1).to_string()
        }
    }

    /// A column as messages name it.
    pub(super) fn named(&self, index: usize) -> String {
        match self.names.get(index).map(String::as_str) {
            None | Some("") => format!("column {}", index + 1),
            Some(name) => format!("column {} `{}`", index + 1, name.chars().take(60).collect::<String>()),
        }
    }
}

fn split(line: &str, delimiter: u8) -> Option<Vec<String>> {
    let mut fields = Fields::default();
    if !fields.split(line.trim_end_matches('\r').as_bytes(), delimiter) || fields.len() > COLUMNS_MAX {
        return None;
    }
    Some((0..fields.len()).map(|at| String::from_utf8_lossy(fields.get(at)).into_owned()).collect())
}

/// The delimiter, and how many fields most lines have by it.
fn dialect<'t>(lines: impl Iterator<Item = &'t str>) -> Option<(u8, usize)> {
    let voters: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).take(VOTERS).collect();
    let mut best = None;
    let mut best_score = 0.0;
    for delimiter in [b';', b'\t', b',', b'|'] {
        let split: Vec<Vec<String>> = voters.iter().filter_map(|line| split(line, delimiter)).collect();
        let mut widths: Vec<usize> = split.iter().map(Vec::len).filter(|width| *width > 1).collect();
        widths.sort_unstable();
        let runs = widths.chunk_by(|one, other| one == other);
        let Some((count, width)) = runs.map(|run| (run.len(), run.first().copied().unwrap_or(0))).max()
        else {
            continue;
        };
        let rows = split.iter().filter(|fields| fields.len() == width);
        let (mut cells, mut good) = (0.0, 0.0);
        for field in rows.flatten() {
            cells += 1.0;
            good += match Look::of(field) {
                Look::Empty | Look::Number | Look::When => 1.0,
                Look::Text if field.contains([';', '\t', '|']) => 0.0,
                Look::Text => 0.6,
            };
        }
        let share = count as f64 / voters.len() as f64;
        let score: f64 = share * good / f64::max(cells, 1.0);
        if score > best_score + 1e-9 {
            (best, best_score) = (Some((delimiter, width)), score);
        }
    }
    best.filter(|(_, width)| *width <= COLUMNS_MAX)
}

/// How the fields of each column usually look: in the later half of the lines, where the preamble is over.
fn usual_looks(lines: &[Line<'_>], width: usize) -> Vec<Look> {
    let wide: Vec<&Line<'_>> = lines.iter().filter(|line| line.fields.len() == width).collect();
    let late = wide.get(wide.len() / 2..).unwrap_or(&[]);
    let late = late.get(..late.len().min(VOTERS)).unwrap_or(late);
    let usual = |at: usize| {
        let count = |look| {
            late.iter().filter(|line| line.fields.get(at).is_some_and(|text| Look::of(text) == look)).count()
        };
        let looks = [Look::When, Look::Number, Look::Text].map(|look| (count(look), look));
        let most = looks.iter().max_by_key(|(count, _)| *count).filter(|(count, _)| *count > 0);
        most.map_or(Look::Empty, |(_, look)| *look)
    };
    (0..width).map(usual).collect()
}

/// Whether a line is certainly a row: it has times where rows have them, and numbers for the most part.
fn fits(fields: &[String], looks: &[Look]) -> bool {
    let pairs = || fields.iter().zip(looks);
    let numbers = pairs().filter(|(_, look)| **look == Look::Number);
    let read =
        numbers.clone().filter(|(text, _)| matches!(Look::of(text), Look::Number | Look::Empty)).count();
    let said =
        pairs().any(|(text, look)| Look::of(text) == *look && matches!(look, Look::When | Look::Number));
    fits_loosely(fields, looks) && said && read * 10 >= numbers.count() * 7
}

/// Whether a line may be a row: it has times where rows have them.
fn fits_loosely(fields: &[String], looks: &[Look]) -> bool {
    let mut whens = fields.iter().zip(looks).filter(|(_, look)| **look == Look::When).peekable();
    if whens.peek().is_none() {
        return fields.iter().zip(looks).any(|(text, look)| *look == Look::Number && Look::of(text) == *look);
    }
    whens.any(|(text, _)| Look::of(text) == Look::When)
}

/// `kWh`, `[dd.mm.yyyy]`, `(kW)`: below a header such a line says the units.
fn is_unit_mark(field: &str) -> bool {
    let inner = field.trim().trim_matches(['[', ']', '(', ')']);
    inner.is_empty()
        || super::words::unit_of(inner).is_some()
        || ["dd", "hh", "yy", "mm", "jj", "tt", "aa"]
            .iter()
            .any(|part| inner.to_lowercase().starts_with(part))
            && inner.len() <= 20
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Table {
        Table::read(&[text.to_owned()]).unwrap()
    }

    #[test]
    fn a_preamble_of_as_many_fields_and_a_line_of_units_are_no_rows() {
        let table = read(
            "Kunde;Muster GmbH;\nZähler;1EMH001;\n\nDatum;Zeit;Wert\n[dd.mm.yyyy];[hh:mm];[kWh]\n\
             01.02.2026;00:00;0,125\n01.02.2026;00:15;0,250\n01.02.2026;00:30;1,5\nSumme;;1,875\n",
        );
        assert_eq!((table.delimiter, table.preamble.len(), table.has_header), (b';', 3, true));
        assert_eq!(table.names, ["Datum", "Zeit", "Wert"]);
        assert_eq!(table.units, ["[dd.mm.yyyy]", "[hh:mm]", "[kWh]"]);
        assert_eq!(table.skip, ["[dd.mm.yyyy];[hh:mm];[kWh]", "Summe"]);
        assert_eq!(table.rows.len(), 3);
    }

    #[test]
    fn a_header_that_comes_again_is_not_skipped_where_it_is_needed() {
        let table = read(
            "Datum;Zeit;Wert\n01.02.2026;00:00;0,125\n01.02.2026;00:15;0,250\nDatum;Zeit;Wert\n\
             01.02.2026;00:30;1,5\n01.02.2026;00:45;1,5\n",
        );
        assert!(table.has_header && table.skip.is_empty(), "{:?}", table.skip);
        assert_eq!((table.rows.len(), table.odd_lines.len()), (4, 1));
    }

    #[test]
    fn a_line_of_units_that_the_header_begins_with_is_not_passed_over() {
        let rows = "01.02.2026;00:00;0,125;W\n01.02.2026;00:15;0,250;W\n01.02.2026;00:30;1,5;W\n";
        let table = read(&format!(";;[kWh];Status\n;;[kWh];\n{rows}"));
        let header = table.names.join(";");
        assert!(table.has_header && !table.skip.iter().any(|start| header.starts_with(start)), "{table:?}");
        assert_eq!(table.rows.len(), 3);
        let units = read(&format!("Datum;Zeit;Wert;Status\n;;[kWh];\n{rows}"));
        assert_eq!((units.skip.as_slice(), units.names[2].as_str()), (&[";;[kWh];".to_owned()][..], "Wert"));
    }

    #[test]
    fn a_header_with_a_carriage_return_of_its_own_names_no_columns() {
        let table = read("t;kW\r\r\n2026-03-02T00:00Z;0.5\r\n2026-03-02T00:15Z;0.25\r\n");
        assert!(!table.has_header && table.names_unused.is_some(), "{table:?}");
        assert_eq!((table.preamble.len(), table.rows.len(), table.reference(1).as_str()), (1, 2, "2"));
    }

    #[test]
    fn names_end_where_decoding_lets_them_end() {
        for (end, shown) in [("\u{c}", r#""kW\f""#), ("\u{a0}", "\"kW\u{a0}\""), (" \t", r#""kW""#)] {
            let table = read(&format!("t;kW{end}\n2026-03-02T00:00Z;0.5\r\n2026-03-02T00:15Z;0.25\r\n"));
            assert_eq!((table.has_header, table.reference(1).as_str()), (true, shown), "{table:?}");
        }
    }

    #[test]
    fn without_a_header_columns_are_positions() {
        let table = read("M1,2026-03-02 00:00,0.5\nM1,2026-03-02 00:15,0.25\n");
        assert_eq!((table.has_header, table.rows.len(), table.reference(2).as_str()), (false, 2, "3"));
    }

    #[test]
    fn a_decimal_comma_does_not_make_a_column() {
        let table = read("t;a;b\n01.01.2026 00:00;0,123;1,234\n01.01.2026 00:15;0,123;1,234\n");
        assert_eq!((table.delimiter, table.names.len()), (b';', 3));
    }

    #[test]
    fn dates_and_times_before_a_decimal_comma_are_no_single_field() {
        let table = read("Zähler;Datum;Zeit;kWh\nD1;02.03.2026;00:00;0,141\nD2;02.03.2026;00:00;0,160\n");
        assert_eq!((table.delimiter, table.names.len(), table.has_header), (b';', 4, true));
    }

    #[test]
    fn rows_that_end_with_a_delimiter_keep_their_names() {
        let table = read("Datum;Wert\n01.02.2026 00:00;0,1;\n01.02.2026 00:15;0,2;\n");
        assert!(!table.has_header && table.names_unused.is_some());
        assert_eq!(table.names, ["Datum", "Wert", ""]);
        assert_eq!(table.preamble, ["Datum;Wert"]);
    }
}
