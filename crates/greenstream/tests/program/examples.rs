//! The examples that people copy, under each `--help` and in the README, run as they stand.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{HEADER, Home};

const ACME: &str = "name = \"acme\"\ndelimiter = \";\"\ndecimal = \",\"\nunit = \"kWh\"\ninterval = \"15min\"\n\
    time_zone = \"Europe/Berlin\"\ntime_format = \"%d.%m.%Y %H:%M\"\n\
    [columns]\nmeter = \"Zähler\"\ntimestamp = \"Zeit\"\nvalue = \"kWh\"\n";

/// What the examples take as given: uploads of one's own, a profile, and `greenstream` on the path.
struct Sandbox {
    home: Home,
    folder: PathBuf,
}

impl Sandbox {
    fn new() -> Sandbox {
        let home = Home::new();
        let folder = home.path().parent().unwrap().join("files");
        let quarter = |meter: &str, i: usize, kw: &str| {
            format!("{meter},2026-03-02T{:02}:{:02}:00Z,{kw},kW\n", i / 4, i % 4 * 15)
        };
        let rows = |meter: &str| (0..20).map(|i| quarter(meter, i, "0.5")).collect::<String>();
        let site = (0..20).map(|i| quarter("MTR-000200", i, ["0.5", "12.5"][usize::from(i >= 16)]));
        let uploads = folder.join("my-uploads");
        fs::create_dir_all(&uploads).unwrap();
        fs::write(uploads.join("north.csv"), format!("{HEADER}{}", rows("MTR-000123"))).unwrap();
        let west = rows("MTR-000124") + &quarter("MTR-000124", 20, "-1");
        fs::write(uploads.join("south.csv"), format!("{HEADER}{west}")).unwrap();
        fs::write(uploads.join("yard.csv"), format!("{HEADER}{}", site.collect::<String>())).unwrap();
        let hour = (0..4).map(|i| format!("A1;02.03.2026 00:{:02};0,25\n", i * 15)).collect::<String>();
        fs::write(folder.join("acme.csv"), format!("Zähler;Zeit;kWh\n{hour}")).unwrap();
        fs::write(folder.join("acme-new.csv"), format!("Meter;Time;Energy kWh\n{hour}")).unwrap();
        let data = folder.join("greenstream-data/feeds");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("acme.toml"), ACME).unwrap();
        fs::write(data.join("../greenstream.toml"), "[serve]\nlisten = \"127.0.0.1:0\"\n").unwrap();
        Sandbox { home, folder }
    }

    /// The same, everything landed: the uploads, and two dead letters.
    fn landed() -> Sandbox {
        let sandbox = Sandbox::new();
        sandbox.check("greenstream ingest my-uploads/");
        sandbox.check("greenstream ingest acme.csv   # exits 65");
        sandbox.check("greenstream ingest acme-new.csv --feed acme   # exits 65");
        sandbox
    }

    fn command(&self, line: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_greenstream"));
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::env::split_paths(&paths);
        let path = std::env::join_paths(std::iter::once(binary.parent().unwrap().to_owned()).chain(paths));
        let mut command = Command::new("bash");
        command.args(["-c", line]).current_dir(&self.folder).env("PATH", path.unwrap());
        command.env_remove("GREENSTREAM_HOME").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a line, and fails unless it exits as it states. A service is stopped once it serves.
    #[track_caller]
    fn check(&self, line: &str) {
        let stated =
            line.split_once("# exits ").map_or("0", |(_, rest)| rest.split([':', ' ']).next().unwrap());
        if serves(line) {
            self.check_service(line);
            return;
        }
        let done = self.command(line).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), stated.parse().ok(), "{line}\n{out}\n{err}");
    }

    #[track_caller]
    fn check_service(&self, line: &str) {
        // `exec`, so that the signal goes to the program and not to the shell
        let mut child = self.command(&format!("exec {line}")).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let drain = std::thread::spawn(move || BufReader::new(out).read_to_end(&mut Vec::new()));
        let mut said = String::new();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("pages: http://") {
            assert!(err.read_line(&mut said).unwrap() > 0, "{line} ended:\n{said}");
        }
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        err.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{line}\n{said}");
        drain.join().unwrap().unwrap();
    }
}

/// Whether a line stays until it is stopped.
fn serves(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.contains(&"run") || words.contains(&"demo") && !words.contains(&"--exit")
}

/// The commands of a help text.
fn commands(help: &str) -> Vec<String> {
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let name = |line: &str| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned);
    listed.lines().filter_map(name).filter(|name| !name.is_empty() && name != "help").collect()
}

#[test]
fn every_command_says_what_it_does_and_its_examples_run() {
    let home = Home::new();
    let all = commands(&home.ok(&["--help"]).out);
    assert!(all.len() >= 20, "{all:?}");
    for name in all {
        let help = home.ok(&[&name, "--help"]).out;
        assert!(
            help.lines().next().is_some_and(|about| about.len() > 15),
            "{name} says not what it does: {help}"
        );
        let (_, examples) =
            help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{name} has no examples"));
        let lines: Vec<&str> = examples.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert!(lines.iter().all(|line| line.starts_with("greenstream ")), "{lines:?}");
        let sandbox = Sandbox::landed();
        for line in lines {
            assert!(line.contains(&format!(" {name}")), "{line} is no example of {name}");
            sandbox.check(line);
        }
    }
}

#[test]
fn the_commands_of_the_readme_run_in_their_order() {
    let readme = include_str!("../../../../README.md");
    let blocks: Vec<&str> =
        readme.split("\n```sh tested\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let sandbox = Sandbox::new();
        for line in block.lines().filter(|line| !line.trim().is_empty()) {
            sandbox.check(line);
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let sandbox = Sandbox::landed();
    for command in
        ["status", "errors --json", "check-config", "explain MTR-000123 2026-03-02", "completions bash"]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = sandbox.command(&format!("exec greenstream {command}")).stdout(writer).output().unwrap();
        assert!(done.stderr.is_empty(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        assert!(matches!(done.status.code(), Some(0 | 141)), "{command}: {}", done.status);
    }
}

#[test]
fn completions_are_made_for_every_shell_and_bash_takes_its_own() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = sandbox.home.ok(&["completions", shell]).out;
        for word in ["dead-letters", "check-config", "time-zone"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    sandbox.home.run(&["completions", "tcl"]).exits(2).says("E-ARGUMENTS");
    let load = "greenstream completions bash > c.bash && bash -n c.bash && source c.bash && \
                complete -p greenstream && COMP_WORDS=(greenstream che) COMP_CWORD=1 && \
                _greenstream greenstream che greenstream && [ \"${COMPREPLY[*]}\" = check-config ]";
    sandbox.check(load);
}

#[test]
fn a_manual_page_is_written_for_each_command_with_its_examples() {
    let sandbox = Sandbox::new();
    sandbox.check("greenstream man pages");
    let names = commands(&sandbox.home.ok(&["--help"]).out);
    for name in names {
        let page = fs::read_to_string(sandbox.folder.join(format!("pages/greenstream-{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains("Examples:"), "{name}: {page}");
    }
    assert!(sandbox.folder.join("pages/greenstream.1").exists());
}
