//! What is to be said of a file's shape, before anything of its columns.

use super::analysis::Analysis;
use super::cell::Look;
use super::finding::TrapKind;
use super::sample::Encoding;
use super::words::Words;

impl Analysis<'_> {
    /// Says why the shape was taken so, and what of it is unsure.
    pub(super) fn shape(&mut self) {
        let (table, found) = (self.table, &mut self.found);
        let delimiter = char::from(table.delimiter);
        if delimiter != ',' {
            let shown = if delimiter == '\t' { "a tab".to_owned() } else { format!("`{delimiter}`") };
            found.because(
                "delimiter",
                shown,
                format!("it cuts the rows into {} fields each", table.names.len()),
            );
        }
        if let Some(first) = table.preamble.first() {
            let shown: String = first.chars().take(40).collect();
            let lines = table.preamble.len();
            found.because(
                "preamble",
                lines.to_string(),
                format!("{lines} lines before the header, from `{shown}` on"),
            );
        }
        if let Some(why) = table.names_unused {
            found.because("header", "false", format!("{why}: columns are found by position"));
        } else if !table.has_header {
            found.because("header", "false", "the first line is a row already");
            found.doubt(
                "header",
                "nothing names the columns: what each is for was guessed from its values",
                &[],
                "compare the first readings with the file, or ask the sender for a header",
            );
        }
        if !table.skip.is_empty() {
            found.because("skip", table.skip.join(" | "), "lines that begin so are no rows");
        }
        if let Some(line) = table.odd_lines.first() {
            let count = table.odd_lines.len();
            found.doubt(
                "skip",
                format!(
                    "{count} lines are no rows like the others, such as `{line}`: they go to the error queue"
                ),
                &[],
                "if they are totals or comments, say in `skip` how they begin",
            );
        }
        if table.guarded {
            found.because("guarded", "true", "fields are written =\"…\" to keep spreadsheets off");
        }
        match self.sample.encoding {
            Encoding::Utf8 => {}
            Encoding::Damaged => found.doubt(
                "encoding",
                "some bytes are not UTF-8: their rows go to the error queue",
                &[],
                "ask the sender for the file in UTF-8",
            ),
            Encoding::Latin => found.lack(
                "encoding",
                "the bytes are not UTF-8, perhaps Latin-1 or Windows-1252: letters with accents are not read as they are",
                "save the file as UTF-8",
            ),
        }
        self.numerals();
    }

    fn numerals(&mut self) {
        let found = &mut self.found;
        if self.signs.decimal == ',' {
            found.because("decimal", "`,`", "numbers such as 0,25");
        }
        if let Some(sign) = self.signs.thousands {
            found.because("thousands", format!("`{sign}`"), "groups of three digits");
        }
        if self.signs.unsure {
            let (this, other) = if self.signs.decimal == ',' { (",", ".") } else { (".", ",") };
            found.doubt(
                "decimal",
                format!(
                    "`{this}` was taken for the decimal sign, but every number has three digits after it"
                ),
                &[&format!("`{this}` stands between thousands, `decimal = \"{other}\"`")],
                "look at the size of the first readings",
            );
        }
    }

    /// A field that holds two times.
    pub(super) fn range(&self) -> Option<&str> {
        let is_range = |text: &&str| {
            // blanks that do not break are blanks
            let text = text.replace('\u{a0}', " ");
            [" to ", " - ", " bis ", "/", " – "].iter().any(|between| {
                let parts: Vec<&str> = text.split(between).collect();
                parts.len() == 2 && parts.iter().all(|part| Look::of(part.trim()) == Look::When)
            })
        };
        self.table.rows.first()?.iter().map(String::as_str).find(is_range)
    }

    /// Notes words for gas, water or heat: a table of them looks the same.
    pub(super) fn other_meters(&mut self) {
        let table = self.table;
        let texts = table.names.iter().chain(&table.preamble).map(String::as_str).chain([self.asked.name]);
        let is_other = |text: &&str| {
            let words = Words::of(text);
            let named = |token: &String| {
                matches!(token.as_str(), "gas" | "gaz" | "water" | "wasser" | "eau" | "heat" | "m3")
            };
            words.tokens().iter().any(named) && words.unit().is_none()
        };
        let mut others = texts.filter(is_other);
        if let Some(text) = others.next() {
            let shown: String = text.chars().take(60).collect();
            self.trap(
                TrapKind::Foreign,
                format!("`{shown}` speaks of gas, water or heat: see that no values of them are read"),
            );
        }
    }
}
