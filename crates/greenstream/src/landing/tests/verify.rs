//! Verification: every change by others is found and named, and nothing else is.

use super::*;
use std::sync::Mutex;

/// Uploads `1` to `5` in segments of 2, 1 and 2.
fn zone() -> (tempfile::TempDir, (u64, String)) {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "1"), bytes("b", "2")]).unwrap();
    landing.land(vec![bytes("c", "3")]).unwrap();
    landing.land(vec![bytes("d", "4"), bytes("e", "5")]).unwrap();
    let head = landing.head();
    (dir, head)
}

fn object(folder: &Path, text: &str) -> PathBuf {
    Objects::new(Files::of(folder.into())).path_of(&Hash::of(text.as_bytes()))
}

fn rewrite(path: &Path, text: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
}

#[track_caller]
fn check(damage: impl FnOnce(&Path), expected: &[&str]) {
    let (dir, head) = zone();
    damage(dir.path());
    let found = findings(dir.path(), Some((head.0, &head.1)));
    let found: Vec<_> = found.iter().map(|text| shorten(text)).collect();
    assert_eq!(found, expected);
}

/// Names of objects by their content, for reading.
fn shorten(text: &str) -> String {
    let mut text = text.to_owned();
    for content in ["1", "2", "3", "4", "5", "strange"] {
        let hash = Hash::of(content.as_bytes()).to_string();
        text = text.replace(&format!("{}/{hash}", &hash[..2]), &format!("<{content}>"));
    }
    text
}

#[test]
fn nothing_is_found_in_a_zone_that_is_as_it_was_landed() {
    check(|_| {}, &[]);
    let dir = folder();
    assert_eq!(findings(dir.path(), None), [""; 0]);
    assert_eq!(findings(dir.path(), Some((0, &Hash::ZERO.to_string()))), [""; 0]);
}

#[test]
fn every_change_of_an_object_is_found() {
    check(
        |z| rewrite(&object(z, "1"), b"9"),
        &["objects/<1> does not hold the bytes that had landed (upload 1)"],
    );
    check(|z| rewrite(&object(z, "2"), b""), &["objects/<2> has 0 bytes, but 1 had landed (upload 2)"]);
    check(|z| rewrite(&object(z, "3"), b"3\n"), &["objects/<3> has 2 bytes, but 1 had landed (upload 3)"]);
    check(|z| fs::remove_file(object(z, "4")).unwrap(), &["objects/<4> is missing (upload 4)"]);
    let swap = |z: &Path| {
        fs::rename(object(z, "1"), z.join("swap")).unwrap();
        fs::rename(object(z, "5"), object(z, "1")).unwrap();
        fs::rename(z.join("swap"), object(z, "5")).unwrap();
    };
    let mut swapped = [
        "objects/<1> does not hold the bytes that had landed (upload 1)",
        "objects/<5> does not hold the bytes that had landed (upload 5)",
    ];
    swapped.sort_by_key(|text| Hash::of(&text.as_bytes()[9..10]));
    check(swap, &swapped);
    check(
        |z| {
            fs::remove_file(object(z, "1")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", object(z, "1")).unwrap();
        },
        &["objects/<1> is a symbolic link (upload 1)"],
    );
}

#[test]
fn every_file_that_was_added_is_found() {
    check(
        |z| rewrite(&object(z, "strange"), b"strange"),
        &["objects/<strange> is named by no journal entry"],
    );
    check(
        |z| rewrite(&z.join("objects/aa/readme"), b"x"),
        &["objects/aa/readme is named by no journal entry"],
    );
    check(
        |z| rewrite(&z.join("objects/readme"), b"x"),
        &["objects/readme does not belong among the objects"],
    );
    for name in ["readme", "5.jsonl", "000000000000.jsonl", "000000000006.json", "0000000000006.jsonl"] {
        let expected = format!("journal/{name} does not belong into the journal");
        check(|z| rewrite(&z.join("journal").join(name), b"x"), &[&expected]);
    }
    check(
        |z| {
            let moved = z.join("objects/zz");
            fs::create_dir(&moved).unwrap();
            fs::copy(object(z, "1"), moved.join(Hash::of(b"1").to_string())).unwrap();
        },
        &[&format!("objects/zz/{} is named by no journal entry", Hash::of(b"1"))],
    );
}

fn edit(zone: &Path, segment: &str, change: impl FnOnce(String) -> String) {
    let path = zone.join("journal").join(segment);
    let text = change(fs::read_to_string(&path).unwrap());
    rewrite(&path, text.as_bytes());
}

#[test]
fn every_change_of_the_journal_is_found_once() {
    let broken = "the chain is broken: the line before is not the one it was";
    check(
        |z| edit(z, "000000000001.jsonl", |t| t.replacen("\"a\"", "\"z\"", 1)),
        &[&format!("journal/000000000001.jsonl is damaged in line 2: {broken}")],
    );
    check(
        |z| edit(z, "000000000001.jsonl", |t| t.replacen("\"b\"", "\"z\"", 1)),
        &[&format!("journal/000000000003.jsonl is damaged in line 1: {broken}")],
    );
    check(
        |z| edit(z, "000000000004.jsonl", |t| t.replacen("\"e\"", "\"z\"", 1)),
        &["journal/000000000004.jsonl is damaged in line 2: entry 5 has changed"],
    );
    check(
        |z| edit(z, "000000000004.jsonl", |t| t.trim_end().to_owned()),
        &[
            "journal/000000000004.jsonl is damaged in line 2: the line is torn: it has no end",
            "objects/<5> is named by no journal entry",
        ],
    );
}

#[test]
fn segments_that_are_gone_are_found_also_the_newest() {
    let gone = |segment: &str| {
        let segment = segment.to_owned();
        move |z: &Path| fs::remove_file(z.join("journal").join(segment)).unwrap()
    };
    check(
        gone("000000000003.jsonl"),
        &[
            "journal/000000000004.jsonl is out of place: entries 3 to 3 are missing before this segment",
            "objects/<3> is named by no journal entry",
        ],
    );
    let mut newest = [
        "journal/000000000004.jsonl is missing: entries 4 to 5 were there",
        "objects/<4> is named by no journal entry",
        "objects/<5> is named by no journal entry",
    ];
    newest[1..].sort_by_key(|text| Hash::of(&text.as_bytes()[9..10]));
    check(gone("000000000004.jsonl"), &newest);
    check(
        |z| edit(z, "000000000003.jsonl", |_| String::new()),
        &[
            "journal/000000000003.jsonl is empty",
            "journal/000000000004.jsonl is out of place: entries 3 to 3 are missing before this segment",
            "objects/<3> is named by no journal entry",
        ],
    );
}

#[test]
fn every_flipped_bit_of_the_journal_is_found() {
    let (dir, head) = zone();
    for segment in names_in(&dir.path().join("journal")) {
        let path = dir.path().join("journal").join(segment);
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bad = whole.clone();
            bad[place] ^= 1 << (place % 7);
            rewrite(&path, &bad);
            let found = findings(dir.path(), Some((head.0, &head.1)));
            assert!(!found.is_empty(), "byte {place} of {}", path.display());
        }
        rewrite(&path, &whole);
    }
    assert_eq!(findings(dir.path(), Some((head.0, &head.1))), [""; 0]);
}

#[test]
fn what_is_about_to_land_and_what_landed_meanwhile_is_no_finding() {
    let (dir, _) = zone();
    rewrite(&object(dir.path(), "strange"), b"strange");
    let draft = dir.path().join("tmp").join(Hash::of(b"strange").to_string());
    fs::hard_link(object(dir.path(), "strange"), &draft).unwrap();
    assert_eq!(findings(dir.path(), None), [""; 0]);
    fs::remove_file(draft).unwrap();
    assert_eq!(findings(dir.path(), None).len(), 1);
}

#[test]
fn progress_is_told_for_every_object() {
    let (dir, _) = zone();
    let told = Mutex::new(Vec::new());
    super::super::verify(dir.path(), None, &|progress| told.lock().unwrap().push(progress)).unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort_by_key(|progress| progress.done);
    let expected: Vec<_> = (1..=5).map(|done| Progress { done, total: 5 }).collect();
    assert_eq!(told, expected);
}
