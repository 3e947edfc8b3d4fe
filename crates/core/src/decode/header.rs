//! The header line: where each column is, or why it does not fit the feed.

use super::Refusal;
use super::feed::Column;
use super::lines::{BLANKS, Fields};
use super::time::DateMemo;

/// The most of a header that an error shows, in characters.
const SHOWN_MAX: usize = 200;

/// The names of the columns, in order, and the line they stand on.
pub(crate) struct Header<'l> {
    line_number: u64,
    line: &'l [u8],
    delimiter: u8,
    /// Empty for each column of a line of rows.
    names: Vec<String>,
    /// What the line is, for messages.
    what: &'static str,
}

impl<'l> Header<'l> {
    /// Reads a header line (without its line end).
    ///
    /// # Errors
    /// [`Refusal::NotText`] or [`Refusal::Header`] where it is spoiled.
    pub(crate) fn read(line: &'l [u8], line_number: u64, delimiter: u8) -> Result<Header<'l>, Refusal> {
        let not_text = |problem: &str, hint: &str| {
            Err(Refusal::NotText { problem: problem.to_owned(), hint: hint.to_owned() })
        };
        if line.contains(&0) {
            return not_text("the upload is binary: its first line holds a NUL", "send CSV text in UTF-8");
        }
        if std::str::from_utf8(line).is_err() {
            return not_text(
                "the header is not UTF-8",
                "save it as UTF-8; it may be Latin-1 or Windows-1252 now",
            );
        }
        let mut header = Header { line_number, line, delimiter, names: Vec::new(), what: "header" };
        if line.contains(&b'\r') {
            let hint = "lines that end in CR alone are not read: save with LF or CRLF line ends";
            return Err(header.refuse(&format!("the header {} holds a CR", header.shown()), hint));
        }
        let mut fields = Fields::default();
        if !fields.split(line, delimiter) {
            let problem = format!("a quote is out of place in the header {}", header.shown());
            return Err(header.refuse(&problem, "a header name is quoted whole or not at all"));
        }
        let name = |index| String::from_utf8_lossy(fields.get(index)).into_owned();
        header.names = (0..fields.len()).map(name).collect();
        Ok(header)
    }

    /// Stands for the header where there is none: the first line of rows says how many columns
    /// there are, also when it is spoiled.
    pub(crate) fn of_rows(line: &'l [u8], line_number: u64, delimiter: u8) -> Header<'l> {
        let mut fields = Fields::default();
        let count = if fields.split(line, delimiter) {
            fields.len()
        } else {
            1 + memchr::memchr_iter(delimiter, line).count()
        };
        Header { line_number, line, delimiter, names: vec![String::new(); count], what: "first line" }
    }

    /// The names, in order.
    pub(crate) fn into_names(self) -> Vec<String> {
        self.names
    }

    /// How many columns there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The index of each of `columns`.
    ///
    /// # Errors
    /// [`Refusal::Header`] where one is missing or repeated.
    pub(crate) fn find_all(&self, columns: &[&Column]) -> Result<Vec<usize>, Refusal> {
        let found: Vec<Vec<usize>> = columns.iter().map(|column| self.find(column)).collect();
        let missing: Vec<_> = columns.iter().zip(&found).filter(|(_, at)| at.is_empty()).collect();
        if !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|(column, _)| described(column)).collect();
            let expected: Vec<_> = columns.iter().map(|column| described(column)).collect();
            let problem = format!(
                "the {} {} has no {}; expected {}",
                self.what,
                self.shown(),
                names.join(", no "),
                expected.join(", ")
            );
            return Err(self.refuse(&problem, &self.hint(columns)));
        }
        if let Some((column, _)) = columns.iter().zip(&found).find(|(_, at)| at.len() > 1) {
            let problem = format!("the {} {} has {} twice", self.what, self.shown(), described(column));
            return Err(self.refuse(&problem, "leave one of them, or name the right one in a feed profile"));
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn find(&self, column: &Column) -> Vec<usize> {
        match column {
            Column::At(position) => {
                Some(position - 1).filter(|index| *index < self.len()).into_iter().collect()
            }
            Column::Named(aliases) => {
                let aliases: Vec<_> =
                    aliases.iter().map(|alias| alias.trim_matches(BLANKS).to_lowercase()).collect();
                let named = |name: &String| aliases.contains(&name.to_lowercase());
                self.names.iter().enumerate().filter(|(_, name)| named(name)).map(|(at, _)| at).collect()
            }
        }
    }

    /// The likeliest way out where columns are missing.
    fn hint(&self, columns: &[&Column]) -> String {
        for (delimiter, name) in [(b',', "`,`"), (b';', "`;`"), (b'\t', "tabs"), (b'|', "`|`")] {
            if delimiter != self.delimiter
                && let Ok(other) = Header::read(self.line, self.line_number, delimiter)
                && columns.iter().all(|column| other.find(column).len() == 1)
            {
                return format!("the header looks delimited by {name}: set `delimiter` in a feed profile");
            }
        }
        if self.names.iter().any(|name| DateMemo::default().parse(name.as_bytes()).is_some()) {
            return "the first line looks like a row: send the header, or set `header = false` in a feed profile"
                .to_owned();
        }
        let plain = |name: &str| name.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
        for column in columns.iter().filter(|column| self.find(column).is_empty()) {
            let Column::Named(aliases) = column else { continue };
            let near = |name: &&String| aliases.iter().any(|alias| plain(alias) == plain(name));
            if let Some(name) = self.names.iter().find(near) {
                return format!(
                    "`{}` looks like {}: rename it, or name it in a feed profile",
                    cut(name),
                    described(column)
                );
            }
        }
        "`greenstream feeds detect FILE` proposes a feed profile; or choose the feed that fits with --feed"
            .to_owned()
    }

    fn shown(&self) -> String {
        shown(self.line)
    }

    fn refuse(&self, problem: &str, hint: &str) -> Refusal {
        Refusal::Header { line: self.line_number, problem: problem.to_owned(), hint: hint.to_owned() }
    }
}

/// The start of a line, in back quotes, fit for a message.
pub(crate) fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.get(..line.len().min(SHOWN_MAX * 4)).unwrap_or(line));
    format!("`{}`", cut(&text))
}

fn cut(text: &str) -> String {
    let more = if text.chars().nth(SHOWN_MAX).is_some() { "…" } else { "" };
    let visible = |c| if super::invisible::is_invisible(c) { '\u{fffd}' } else { c };
    text.chars().take(SHOWN_MAX).map(visible).chain(more.chars()).collect()
}

fn described(column: &Column) -> String {
    match column {
        Column::At(position) => format!("column {position}"),
        // a profile that was accepted from an upload has the names that the upload had
        Column::Named(aliases) => {
            let names: Vec<_> = aliases.iter().map(|alias| cut(alias)).collect();
            format!("`{}`", names.join("` or `"))
        }
    }
}
