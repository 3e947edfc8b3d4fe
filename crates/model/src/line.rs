//! Bytes to lines, and a line to its fields.

/// Blanks and tabs: what fields are trimmed of.
pub(crate) const BLANK: [char; 2] = [' ', '\t'];

/// The lines of an upload without their line ends and without a byte-order mark; empty ones are left out.
pub(crate) fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let content = match line.strip_suffix(b"\n") {
            Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
            None => line,
        };
        if !content.is_empty() {
            lines.push(content);
        }
    }
    lines
}

/// The fields of a line, trimmed and unquoted; none where the line is spoilt (CR, NUL, encoding, quotes).
pub(crate) fn fields(line: &[u8]) -> Option<Vec<String>> {
    let line = std::str::from_utf8(line).ok()?;
    if line.contains(['\r', '\0']) {
        return None;
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.trim_start_matches(BLANK).strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest),
        };
        fields.push(field.trim_matches(BLANK).to_owned());
        match after {
            Some(next) => rest = next,
            None => return Some(fields),
        }
    }
}

/// A field without quotes, and what follows its comma.
fn plain_field(text: &str) -> (String, Option<&str>) {
    match text.split_once(',') {
        Some((field, after)) => (field.to_owned(), Some(after)),
        None => (text.to_owned(), None),
    }
}

/// A field after its opening quote, and what follows its comma; none where it does not close properly.
fn quoted_field(text: &str) -> Option<(String, Option<&str>)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => {
                let after = after.trim_start_matches(BLANK);
                return match after.strip_prefix(',') {
                    Some(next) => Some((field, Some(next))),
                    None if after.is_empty() => Some((field, None)),
                    None => None,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&[&str]>) {
        let expected = expected.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect());
        assert_eq!(fields(line.as_bytes()), expected, "{line:?}");
    }

    #[test]
    fn a_line_is_cut_at_commas_outside_quotes() {
        check("a,b", Some(&["a", "b"]));
        check(" a\t, b ,", Some(&["a", "b", ""]));
        check("\"a,b\",c", Some(&["a,b", "c"]));
        check(" \t\"a\"\"b\" ,c", Some(&["a\"b", "c"]));
        check("\"\",\" x \"", Some(&["", "x"]));
        check("a\"b,c\"", Some(&["a\"b", "c\""]));
    }

    #[test]
    fn a_spoilt_line_has_no_fields() {
        check("\"a,b", None);
        check("\"a\"b,c", None);
        check("\"a\" \"b\",c", None);
        check("a\rb", None);
        check("a\0b", None);
        assert_eq!(fields(b"a\xff,b"), None);
    }

    #[test]
    fn one_cr_before_lf_belongs_to_the_line_end_and_empty_lines_are_none() {
        let expected: Vec<&[u8]> = vec![b"a", b"b\r", b" ", b"c\r"];
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\r\n\nb\r\r\n \nc\r"), expected);
    }
}
