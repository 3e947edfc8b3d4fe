//! What a person sees, kept as text: `testdata/hostile/CASE.txt` says how a bad file ends, word by word.
//! `UPDATE=1 cargo test -p greenstream --test program bad_input` writes the files anew; read the difference.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{Done, Home, Row};

/// Lines of one output that a snapshot holds; the rest repeats itself.
const LINES_MAX: usize = 12;

/// Cases that were checked: two of one name would share a file.
static CHECKED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn path(case: &str) -> PathBuf {
    let plain: String = case.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<_> = plain.split('-').filter(|word| !word.is_empty()).collect();
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/hostile")
        .join(format!("{}.txt", words.join("-")))
}

/// What `ingest` said of a bad file and a good one, and what the next commands show of the bad one.
pub fn of_ingest(home: &Home, bad: &Row, is_compressed: bool, done: &Done) -> String {
    let mut text = format!("exit {}\n", done.code);
    let listing = if bad["status"] == "dead" { "dead-letters" } else { "errors" };
    let listed = home.ok(&[listing]);
    for (name, output) in [
        ("ingest, stdout", &done.out),
        ("ingest, stderr", &done.err),
        (listing, &listed.out),
        (listing, &listed.err),
    ] {
        if !output.is_empty() {
            let _ = write!(text, "== {name}\n{}", shortened(output));
        }
    }
    same_everywhere(&text, home, bad, is_compressed)
}

fn shortened(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    let mut text: String =
        lines.iter().take(LINES_MAX).map(|line| format!("{}\n", line.trim_end())).collect();
    if lines.len() > LINES_MAX {
        let _ = writeln!(text, "… {} more lines", lines.len() - LINES_MAX);
    }
    text
}

/// Without what differs from machine to machine, from build to build and from run to run: folders, landing
/// times, durations, and how small a library compresses.
fn same_everywhere(text: &str, home: &Home, bad: &Row, is_compressed: bool) -> String {
    let home = home.path();
    let folder = home.parent().unwrap().to_str().unwrap();
    let landed_at = &bad["landed_at"];
    let text = text.replace(home.to_str().unwrap(), "HOME").replace(folder, "FOLDER");
    let text = text.replace(landed_at, &format!("{:width$}", "LANDED_AT", width = landed_at.len()));
    let bytes = &bad["bytes"];
    let timed = |line: &str| match line.split_once(" superseded, in ") {
        Some((books, _)) => format!("{books} superseded, in TIME\n"),
        None if is_compressed && line.contains("LANDED_AT") => {
            format!("{}\n", line.trim_end().replace(&format!("  {bytes}  "), "  BYTES  "))
        }
        None => format!("{}\n", line.trim_end()),
    };
    text.lines().map(timed).collect()
}

/// Fails where the snapshot of a case says something else; writes it where `UPDATE` is set.
#[track_caller]
pub fn check(case: &str, found: &str) {
    let path = path(case);
    {
        let mut checked = CHECKED.lock().unwrap();
        assert!(!checked.contains(&path), "two cases are called {case}");
        checked.push(path.clone());
    }
    #[allow(clippy::disallowed_methods, reason = "asks whether to refresh snapshots")]
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{case} is not as in {}: UPDATE=1 writes it anew", path.display());
}
