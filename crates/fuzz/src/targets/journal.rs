//! The journal: any bytes in its place are read, or refused naming the line; verification finds whatever
//! makes a journal unreadable, and all before it can still be read.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use greenstream::landing::{Error, Hash, Zone, verify};

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(super::memory_folder());
}

/// The first byte chooses: the rest as it is, or with numbers and hashes of its lines put right, so that
/// what stands in them is reached; in one segment or two.
pub(crate) fn check(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let text = if choice & 1 == 0 { rest.to_vec() } else { chained(rest) };
    FOLDER.with_borrow(|folder| {
        let journal = folder.path().join("journal");
        fs::create_dir_all(&journal).unwrap();
        for file in fs::read_dir(&journal).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let first = if choice & 2 == 0 { lines.len() } else { usize::from(choice >> 2) % (lines.len() + 1) };
        fs::write(journal.join("000000000001.jsonl"), lines[..first].concat()).unwrap();
        if first < lines.len() {
            fs::write(journal.join(format!("{:012}.jsonl", first + 1)), lines[first..].concat()).unwrap();
        }
        laws(folder.path(), &lines, first);
    });
}

fn laws(folder: &Path, lines: &[&[u8]], first: usize) {
    let findings = verify(folder, None, &|_| {}).unwrap();
    // the objects are not here, and that is no fault of the journal
    let of_journal: Vec<_> =
        findings.iter().filter(|finding| !finding.problem.starts_with("is missing (")).collect();
    match Zone::look(folder) {
        Ok(zone) => {
            assert!(of_journal.is_empty(), "a journal that is read has findings: {of_journal:?}");
            let entries: Vec<_> = zone.entries_after(0).map(Result::unwrap).collect();
            assert_eq!(entries.len(), lines.len());
            for ((number, entry), line) in (1..).zip(&entries).zip(lines) {
                let line = &line[..line.len() - 1];
                assert_eq!((entry.entry, entry.hash), (number, Hash::of(line)));
                assert!(line.starts_with(format!("{{\"entry\":{number},\"prev\":\"").as_bytes()), "{number}");
            }
            let uploads = entries.iter().filter(|entry| entry.body.kind() == "upload").count();
            assert_eq!(zone.uploads().len(), uploads);
            assert_eq!(findings.len() - of_journal.len(), distinct(&zone), "missing objects");
        }
        Err(Error::Journal { path, line, problem }) => {
            assert!(!problem.contains(char::is_control), "{problem:?}");
            assert!(!of_journal.is_empty(), "verify does not see: line {line}: {problem}");
            let before = usize::try_from(line).unwrap() - 1;
            let is_first = path.ends_with("000000000001.jsonl");
            keeps_what_is_before(folder, &path, lines, if is_first { before } else { first + before });
        }
        Err(Error::Newer { problem, .. }) => {
            assert!(!problem.contains(char::is_control), "{problem:?}");
            assert!(!of_journal.is_empty(), "verify does not see what a later release wrote: {problem}");
        }
        Err(other) => panic!("the disk is blamed: {other}"),
    }
}

/// All before the damage is read once the damage is cut away.
fn keeps_what_is_before(folder: &Path, damaged: &Path, lines: &[&[u8]], good: usize) {
    let journal = folder.join("journal");
    for file in fs::read_dir(&journal).unwrap() {
        let path = file.unwrap().path();
        if path.as_path() >= damaged {
            fs::remove_file(path).unwrap();
        }
    }
    let first = if damaged.ends_with("000000000001.jsonl") { 0 } else { segment_first(damaged) - 1 };
    if good > first {
        fs::write(damaged, lines[first..good].concat()).unwrap();
    }
    match Zone::look(folder) {
        Ok(zone) => assert_eq!(zone.head().0, good as u64, "entries before the damage"),
        // the chain of a segment is checked before what its entries say: damage of the other kind is earlier
        Err(Error::Journal { path, line, .. }) => {
            let earlier = segment_first(&path) - 1 + usize::try_from(line).unwrap() - 1;
            assert!(earlier < good, "damage remains at entry {}", earlier + 1);
            keeps_what_is_before(folder, &path, lines, earlier);
        }
        Err(other) => panic!("the disk is blamed: {other}"),
    }
}

fn segment_first(path: &Path) -> usize {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn distinct(zone: &Zone) -> usize {
    let mut hashes: Vec<_> = zone.uploads().iter().map(|upload| upload.sha256).collect();
    hashes.sort();
    hashes.dedup();
    hashes.len()
}

/// Each line with its number and the hash of the line before, where it has a place for them.
fn chained(text: &[u8]) -> Vec<u8> {
    let (mut out, mut prev) = (Vec::new(), Hash::ZERO);
    for (number, line) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
        let line = with_place(line, number, &prev).unwrap_or_else(|| line.to_vec());
        prev = Hash::of(line.strip_suffix(b"\n").unwrap_or(&line));
        out.extend_from_slice(&line);
    }
    out
}

fn with_place(line: &[u8], number: u64, prev: &Hash) -> Option<Vec<u8>> {
    let mark = b"\",\"at\":";
    let at = line.windows(mark.len()).position(|window| window == mark)?;
    Some([format!("{{\"entry\":{number},\"prev\":\"{prev}").as_bytes(), &line[at..]].concat())
}
