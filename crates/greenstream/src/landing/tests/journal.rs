//! The journal: its text is pinned, its chain holds, damage is named.

use super::super::entry::{Unread, parse_line, write_line};
use super::*;
use greenstream_core::Reason;
use proptest::prelude::*;

fn upload(name: &str) -> Body {
    Body::Upload(UploadBody {
        upload: 1,
        sha256: Hash::of(b"abc"),
        bytes: 3,
        name: name.to_owned(),
        feed: "default".to_owned(),
        time_zone: None,
        meter: None,
    })
}

fn decision(upload: u32, action: Action, kw: Option<&str>) -> Body {
    Body::Decision(DecisionBody {
        upload,
        row_number: 7,
        action,
        kw: kw.map(str::to_owned),
        reason: Reason::Outlier,
        who: "ann".to_owned(),
        why: "read on site".to_owned(),
    })
}

fn configuration(version: u32) -> Body {
    Body::Configuration(ConfigurationBody { version, content: serde_json::json!({"limits": {"kw": 1.5}}) })
}

#[track_caller]
fn check(body: Body, fields: &str) {
    let (mut line, prev) = (Vec::new(), Hash::of(b"before"));
    let hash = write_line(&mut line, 12, &prev, at(0), &body).unwrap();
    let text =
        format!("{{\"entry\":12,\"prev\":\"{prev}\",\"at\":\"2026-03-02T00:00:00Z\",\"kind\":{fields}");
    assert_eq!(String::from_utf8(line).unwrap(), format!("{text}\n"));
    assert_eq!(hash, Hash::of(text.as_bytes()));
    let back = parse_line(text.as_bytes()).unwrap();
    assert_eq!((back.entry, back.prev, back.at, back.body), (12, prev, at(0), body));
}

#[test]
fn the_text_of_every_kind_is_pinned() {
    let hash = Hash::of(b"abc");
    check(
        upload("a\n\"b\"\u{7f}.csv"),
        &format!(
            r#""upload","upload":1,"sha256":"{hash}","bytes":3,"name":"a\n\"b\"{}.csv","feed":"default"}}"#,
            '\u{7f}'
        ),
    );
    let named = RetryBody {
        upload: 3,
        feed: "named".to_owned(),
        time_zone: Some("Europe/Berlin".to_owned()),
        meter: Some("m1".to_owned()),
    };
    check(
        Body::Retry(named),
        r#""retry","upload":3,"feed":"named","time_zone":"Europe/Berlin","meter":"m1"}"#,
    );
    let decided = |action: &str, kw: &str| {
        format!(
            r#""decision","upload":3,"row_number":7,"action":"{action}",{kw}"reason":"outlier","who":"ann","why":"read on site"}}"#
        )
    };
    check(decision(3, Action::Release, None), &decided("release", ""));
    check(decision(3, Action::Edit, Some("1.25")), &decided("edit", r#""kw":"1.25","#));
    check(decision(3, Action::Discard, None), &decided("discard", ""));
    check(decision(3, Action::Undo, None), &decided("undo", ""));
    check(configuration(2), r#""configuration","version":2,"content":{"limits":{"kw":1.5}}}"#);
}

#[test]
fn a_line_that_was_not_written_so_is_damage() {
    let (mut good, prev) = (Vec::new(), Hash::ZERO);
    write_line(&mut good, 1, &prev, at(0), &upload("a.csv")).unwrap();
    let good = String::from_utf8(good).unwrap().trim_end().to_owned();
    assert!(parse_line(good.as_bytes()).is_ok());
    for (from, to, problem) in [
        ("\"kind\":\"upload\"", "\"kind\":\"vote\"", "no kind of entry is called `vote`"),
        ("\"bytes\":3", "\"bytes\":3,\"colour\":1", "unknown field `colour`"),
        ("\"bytes\":3,", "", "missing field `bytes`"),
        ("\"bytes\":3", "\"bytes\":-3", "invalid value"),
        ("\"entry\":1,", "\"entry\":x,", "`x` is no entry number"),
        ("00Z\"", "00+00:00\"", "`2026-03-02T00:00:00+00:00` is no instant"),
        ("T00:00:00Z", "T00:00:00.0Z", "is no instant"),
        ("\"prev\":\"0", "\"prev\":\"g", "is no hash"),
        ("\"entry\":1,\"prev\"", "\"prev\"", "no `{\"entry\":…` where it belongs"),
        ("{\"entry\"", "{ \"entry\"", "where it belongs"),
        ("\"feed\":\"default\"}", "\"feed\":\"default\"", "not a whole `upload` entry"),
        ("\"feed\":\"default\"}", "\"feed\":\"default\"}}", "not a whole `upload` entry"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let found = String::from(parse_line(bad.as_bytes()).err().unwrap());
        assert!(found.contains(problem), "{bad}: {found}");
    }
    assert_eq!(parse_line(b"\xff").err().unwrap(), Unread::from("not UTF-8"));
}

#[test]
fn damage_that_would_steer_a_terminal_is_shown_inert() {
    let mut line = Vec::new();
    write_line(&mut line, 1, &Hash::ZERO, at(0), &configuration(1)).unwrap();
    let line = String::from_utf8(line).unwrap().trim_end().replace("\"version\"", "\"\u{7f}\"");
    let found = String::from(parse_line(line.as_bytes()).err().unwrap());
    assert!(found.contains("unknown field") && !found.contains(char::is_control), "{found:?}");
}

#[test]
fn a_configuration_out_of_order_is_found_by_verification() {
    for (version, found) in [(1, None), (2, Some("configuration 2 follows configuration 0"))] {
        let dir = folder();
        let journal = dir.path().join("journal");
        fs::create_dir_all(&journal).unwrap();
        let mut line = Vec::new();
        write_line(&mut line, 1, &Hash::ZERO, at(0), &configuration(version)).unwrap();
        fs::write(journal.join("000000000001.jsonl"), line).unwrap();
        let findings = findings(dir.path(), None);
        assert_eq!(findings.len(), usize::from(found.is_some()), "{findings:?}");
        assert!(found.is_none_or(|found| findings[0].contains(found)), "{findings:?}");
        assert_eq!(Zone::look(dir.path()).is_err(), found.is_some());
    }
}

proptest! {
    #[test]
    fn any_name_comes_back_from_one_line(name in any::<String>(), who in any::<String>()) {
        let decided = DecisionBody {
            upload: 1, row_number: 1, action: Action::Edit, kw: Some(name.clone()), reason: Reason::Outlier,
            who, why: name.clone(),
        };
        for body in [upload(&name), Body::Decision(decided)] {
            let mut line = Vec::new();
            write_line(&mut line, 1, &Hash::ZERO, at(0), &body).unwrap();
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(parse_line(&line[..line.len() - 1]).unwrap().body, body);
        }
    }

    #[test]
    fn any_bytes_are_a_line_or_damage_and_never_a_panic(bytes in any::<Vec<u8>>()) {
        let _ = parse_line(&bytes);
    }
}

#[test]
fn entries_come_back_in_order_from_any_point_on() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "1"), bytes("b", "2"), bytes("c", "3")]).unwrap();
    let decided = vec![(at(1), decision(2, Action::Discard, None)), (at(2), configuration(1))];
    let appended = landing.append(decided).unwrap();
    landing.land(vec![bytes("d", "4")]).unwrap();
    let all: Vec<Entry> = landing.entries_after(0).map(Result::unwrap).collect();
    assert_eq!(all.iter().map(|entry| entry.entry).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(all[3..5], appended);
    assert_eq!((all[5].entry, all[5].hash.to_string()), landing.head());
    for after in 0..=8 {
        let rest: Vec<Entry> = landing.entries_after(after).map(Result::unwrap).collect();
        assert_eq!(rest, all[usize::try_from(after).unwrap().min(6)..]);
    }
    assert_eq!(landing.configuration().map(|configuration| configuration.version), Some(1));
    let early = landing.entries_after(0);
    landing.land(vec![bytes("e", "5")]).unwrap();
    assert_eq!(early.count(), 6);
}

#[test]
fn an_entry_that_no_reader_would_accept_is_not_written() {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "1")]).unwrap();
    let no_object = Body::Configuration(ConfigurationBody { version: 1, content: serde_json::json!([]) });
    for (bodies, problem) in [
        (vec![upload("x")], "uploads land with their bytes"),
        (vec![decision(2, Action::Undo, None)], "it is about upload 2, and the last one is 1"),
        (vec![decision(0, Action::Undo, None)], "it is about upload 0, and the last one is 1"),
        (vec![configuration(2)], "configuration 2 follows configuration 0"),
        (vec![configuration(1), configuration(1)], "configuration 1 follows configuration 1"),
        (vec![no_object], "its content is no JSON object"),
    ] {
        let bodies = bodies.into_iter().map(|body| (at(1), body)).collect();
        let error = landing.append(bodies).unwrap_err();
        assert_eq!(error.to_string(), format!("the journal takes no such entry: {problem}"));
        assert!(!error.is_transient());
    }
    assert!(landing.append(Vec::new()).unwrap().is_empty());
    assert_eq!(landing.head().0, 1);
    landing.append(vec![(at(1), configuration(1)), (at(2), configuration(2))]).unwrap();
    assert_eq!(findings(dir.path(), None), [""; 0]);
}

/// Three segments of 2, 1 and 2 entries, changed by `damage`; opening must name the file, line and problem.
#[track_caller]
fn opening_names(damage: impl FnOnce(&Path), file: &str, line: u64, problem: &str) {
    let dir = folder();
    let mut landing = Landing::open(dir.path()).unwrap();
    landing.land(vec![bytes("a", "1"), bytes("b", "2")]).unwrap();
    landing.land(vec![bytes("c", "3")]).unwrap();
    landing.land(vec![bytes("d", "4"), bytes("e", "5")]).unwrap();
    drop(landing);
    damage(&dir.path().join("journal"));
    let error = Landing::open(dir.path()).err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&format!("journal/{file}, line {line}: ")) && text.contains(problem), "{text}");
    assert!(!error.is_transient());
    assert!(error.hint().contains("greenstream verify"));
}

fn edit(journal: &Path, file: &str, change: impl FnOnce(String) -> String) {
    let path = journal.join(file);
    let text = change(fs::read_to_string(&path).unwrap());
    fs::remove_file(&path).unwrap();
    fs::write(path, text).unwrap();
}

const FIRST: &str = "000000000001.jsonl";
const SECOND: &str = "000000000003.jsonl";
const THIRD: &str = "000000000004.jsonl";

#[test]
fn a_damaged_journal_is_refused_with_file_and_line() {
    let torn = "the line is torn";
    opening_names(|j| edit(j, THIRD, |t| t[..t.len() - 9].to_owned()), THIRD, 2, torn);
    opening_names(|j| edit(j, THIRD, |t| t.trim_end().to_owned()), THIRD, 2, torn);
    let broken = "the chain is broken";
    opening_names(|j| edit(j, FIRST, |t| t.replacen("\"a\"", "\"z\"", 1)), FIRST, 2, broken);
    opening_names(|j| edit(j, FIRST, |t| t.replacen("\"b\"", "\"z\"", 1)), SECOND, 1, broken);
    opening_names(|j| edit(j, SECOND, |_| String::new()), SECOND, 1, "the segment is empty");
    opening_names(|j| fs::remove_file(j.join(FIRST)).unwrap(), SECOND, 1, "entries 1 to 2 are missing");
    opening_names(|j| fs::remove_file(j.join(SECOND)).unwrap(), THIRD, 1, "entries 3 to 3 are missing");
    opening_names(
        |j| edit(j, THIRD, |t| t.replacen("\"upload\":4", "\"upload\":5", 1)),
        THIRD,
        2,
        "the chain is broken",
    );
    opening_names(
        |j| edit(j, THIRD, |t| t.replacen("\"upload\":5", "\"upload\":6", 1)),
        THIRD,
        2,
        "upload 6 follows upload 4",
    );
    opening_names(
        |j| edit(j, THIRD, |t| t.lines().nth(1).unwrap().to_owned() + "\n"),
        THIRD,
        1,
        "entry 5 stands where entry 4 belongs",
    );
    opening_names(
        |j| fs::copy(j.join(SECOND), j.join("000000000002.jsonl")).map(drop).unwrap(),
        "000000000002.jsonl",
        1,
        "begins with entry 2, but the one before ends with 2",
    );
}

#[test]
fn objects_without_a_journal_are_not_buried_under_a_new_one() {
    let dir = folder();
    Landing::open(dir.path()).unwrap().land(vec![bytes("a", "1")]).unwrap();
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let error = Landing::open(dir.path()).err().unwrap();
    assert!(error.to_string().ends_with("there are objects, but the journal is gone"), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn the_longest_entry_can_be_read_again_and_a_longer_one_is_not_written() {
    let of =
        |bytes: usize| ConfigurationBody { version: 1, content: serde_json::json!({"x": "x".repeat(bytes)}) };
    let append = |folder: &Path, bytes: usize| {
        let mut landing = Landing::open(folder).unwrap();
        landing.append(vec![(at(0), Body::Configuration(of(bytes)))])
    };
    let (dir, limit) = (folder(), 64 << 20);
    append(dir.path(), 0).unwrap();
    let rest = usize::try_from(fs::metadata(dir.path().join("journal").join(FIRST)).unwrap().len()).unwrap();
    let dir = folder();
    let error = append(dir.path(), limit - rest + 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the journal takes no such entry: its line has 67108865 bytes, more than the limit of 67108864"
    );
    append(dir.path(), limit - rest).unwrap();
    assert_eq!(Landing::open(dir.path()).unwrap().head().0, 1);
}
