//! `init` on a terminal: what it asks, and what the answers come to.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::process::Stdio;

use crate::common::Home;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs `init` on a pseudo-terminal with these lines typed ahead: its exit code, and what was shown.
fn init(home: &Home, args: &[&str], typed: &str) -> (i32, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = || Stdio::from(OpenOptions::new().read(true).write(true).open(&name).unwrap());
    let mut command = home.command(&[&["init"], args].concat());
    let mut child = command.stdin(terminal()).stdout(terminal()).stderr(terminal()).spawn().unwrap();
    drop(command);
    let mut master = File::from(master);
    master.write_all(typed.as_bytes()).unwrap();
    // Ctrl-D, so that a question nobody expects ends the test and does not hold it up
    master.write_all(b"\x04").unwrap();
    let code = child.wait().unwrap().code().unwrap();
    // all of it fits the terminal's buffer; at the end Linux answers with an error
    let (mut shown, mut block) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = master.read(&mut block) {
        shown.extend_from_slice(&block[..count]);
    }
    (code, String::from_utf8(shown).unwrap())
}

fn written(home: &Home) -> String {
    fs::read_to_string(home.path().join("greenstream.toml")).unwrap()
}

#[test]
fn enter_takes_each_default_and_three_questions_are_all() {
    let home = Home::new();
    let (code, shown) = init(&home, &[], "\n\n\n");
    assert_eq!(code, 0, "{shown}");
    assert_eq!(shown.matches("]: ").count(), 3, "{shown}");
    for words in ["[UTC]: ", "[default]: ", "[none]: ", "next: `greenstream --home"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
    let other = Home::new();
    other.ok(&["init"]);
    assert_eq!(written(&home), written(&other), "as where nothing is asked");
}

#[test]
fn answers_are_checked_and_stand_in_the_file() {
    let home = Home::new();
    let typed = "Mars\nEurope/London\nnobody\nlondon\nexample.org\nhttps://example.org/a?b=\"c\"\n";
    let (code, shown) = init(&home, &[], typed);
    assert_eq!(code, 0, "{shown}");
    for words in ["no time zone is called \"Mars\"", "no feed is called \"nobody\"", "begins with https://"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
    let text = written(&home);
    for line in ["reporting_zone = \"Europe/London\"", "default_feed = \"london\""] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    let keys = home.ok(&["check-config", "--json"]).json()["keys"].clone();
    let from = |key: &str| {
        let found = keys.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
        (found["value"].clone(), found["from"].as_str().unwrap().starts_with("line "))
    };
    assert_eq!(from("reporting_zone"), ("Europe/London".into(), true));
    assert_eq!(from("default_feed"), ("london".into(), true));
    assert_eq!(from("alerts.webhook"), ("set, not shown".into(), true));
    assert_eq!(from("limits.power_kw_max"), (10.0.into(), false));
}

#[test]
fn nothing_is_asked_with_yes_or_away_from_a_terminal_or_over_a_file() {
    let home = Home::new();
    let (code, shown) = init(&home, &["--yes"], "");
    assert_eq!((code, shown.contains("questions")), (0, false), "{shown}");
    let (code, shown) = init(&home, &[], "");
    assert_eq!((code, shown.contains("questions")), (2, false), "{shown}");
    let other = Home::new();
    let told = other.ok(&["init"]);
    assert!(told.err.is_empty() && told.out.contains("next: "), "{told:?}");
}

#[test]
fn check_config_shows_each_key_with_its_value_unit_and_origin() {
    let home = Home::new();
    home.configure("greenstream.toml", "# mine\n[limits]\npower_kw_max = 12.5\n");
    home.configure(
        "feeds/mine.toml",
        "name='mine'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n",
    );
    let told = home.ok(&["check-config"]);
    let line = |key: &str| {
        let line = told.out.lines().find(|line| line.trim_start().starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("limits.power_kw_max"), "limits.power_kw_max 12.5 kW line 3");
    assert_eq!(line("limits.power_kw_min"), "limits.power_kw_min 0.0 kW default");
    assert_eq!(line("archive.lag_seconds"), "archive.lag_seconds 60 s default");
    assert_eq!(line("feeds of yours"), "feeds of yours mine");
    told.says("the configuration is good");
}
