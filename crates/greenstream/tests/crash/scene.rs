//! The stories whose steps are failed, each with the home before it and the state that it must come to.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;

use greenstream::store::{Store, UploadStatus};

use crate::common::{Done, Home, eventually, finish, finished, signal};
use crate::world::{check, copy, first_files, new_home, second_files, state, write_files};

/// What a user does, whose steps are failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Story {
    /// The first uploads, into an empty home.
    First,
    /// Late ones, duplicates and redeliveries after them.
    Second,
    /// A decision about a row.
    Decision,
    /// Everything built again.
    Rebuild,
    /// The service takes a file from its inbox.
    Service,
}

const STORIES: [Story; 5] = [Story::First, Story::Second, Story::Decision, Story::Rebuild, Story::Service];

/// A home before a story, and what the story makes of it when nothing happens.
pub struct Scene {
    pub story: Story,
    pub home: Home,
    pub expected: Vec<String>,
    /// How often each point was passed.
    pub passed: BTreeMap<String, u32>,
}

pub fn plan(home: &Home) -> PathBuf {
    home.path().with_file_name("plan")
}

/// The command with fail points by this plan.
pub fn armed(home: &Home, args: &[&str], text: &str) -> Command {
    fs::write(plan(home), text).unwrap();
    let mut command = home.command(args);
    command.env("GREENSTREAM_FAILPOINTS", plan(home));
    command
}

/// How often each point has been passed in processes with this plan.
pub fn passed(home: &Home) -> BTreeMap<String, u32> {
    let mut passed = BTreeMap::new();
    for point in fs::read_to_string(home.path().with_file_name("plan.hits")).unwrap_or_default().lines() {
        *passed.entry(point.to_owned()).or_default() += 1;
    }
    passed
}

impl Story {
    pub fn args(self, home: &Home) -> Vec<String> {
        let beside = |name: &str| home.path().with_file_name(name).to_str().unwrap().to_owned();
        match self {
            Story::First => vec!["ingest".to_owned(), beside("first")],
            Story::Second => vec!["ingest".to_owned(), beside("second")],
            Story::Decision => ["errors", "release", "1:13"].map(str::to_owned).to_vec(),
            Story::Rebuild => vec!["rebuild".to_owned()],
            Story::Service => ["run", "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec(),
        }
    }

    /// Goes on after a failure as a user would: the same again, or (a decision, a rebuild) any command,
    /// and the decision again if it was not taken.
    pub fn go_on(self, home: &Home) {
        match self {
            Story::First | Story::Second => {
                let args = self.args(home);
                let done = home.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
                assert!([0, 65].contains(&done.code), "{done:?}");
            }
            Story::Decision | Story::Rebuild => {
                home.ok(&["ingest", &write_files(home, "none", &[])]);
                if self == Story::Decision
                    && !home.ok(&["errors", "--status", "released"]).out.contains("1:13")
                {
                    home.ok(&["errors", "release", "1:13"]);
                }
            }
            Story::Service => {
                let child = home.command(&["run", "--listen", "127.0.0.1:0"]).spawn().unwrap();
                end_service(home, child, &mut home.command(&["run"]));
            }
        }
    }
}

/// Waits until the service has taken everything, ends it, and gives its output.
pub fn end_service(home: &Home, mut child: Child, command: &mut Command) -> Done {
    eventually("what was in the inbox is processed, or the service ended", || {
        (is_through(home) || child.try_wait().unwrap().is_some()).then_some(())
    });
    if child.try_wait().unwrap().is_none() {
        signal(&child, "TERM");
    }
    finished(&mut child, command)
}

pub fn is_through(home: &Home) -> bool {
    let is_done = || -> Option<bool> {
        let reader = Store::reader(home.database()).ok()?;
        let status = reader.upload(12).ok()??.status;
        Some(matches!(status, UploadStatus::Done | UploadStatus::Dead))
    };
    is_done() == Some(true)
}

pub fn scenes() -> &'static [Scene] {
    static SCENES: OnceLock<Vec<Scene>> = OnceLock::new();
    SCENES.get_or_init(|| {
        let mut home = new_home();
        write_files(&home, "first", &first_files());
        write_files(&home, "second", &second_files());
        let mut scenes = Vec::new();
        for story in STORIES {
            let after = copy(&home);
            if story == Story::Service {
                fill_inbox(&home);
                fill_inbox(&after);
            }
            let args = story.args(&after);
            let mut command = armed(&after, &args.iter().map(String::as_str).collect::<Vec<_>>(), "");
            let done = match story {
                Story::Service => end_service(&after, command.spawn().unwrap(), &mut command),
                _ => finish(&mut command),
            };
            assert!([0, 65].contains(&done.code), "{story:?}: {done:?}");
            let (expected, passed) = (state(&after), passed(&after));
            check(&after, &expected, "undisturbed");
            let before = std::mem::replace(&mut home, after);
            fs::remove_file(plan(&home)).unwrap();
            fs::remove_file(home.path().with_file_name("plan.hits")).unwrap();
            scenes.push(Scene { story, home: before, expected, passed });
        }
        scenes
    })
}

fn fill_inbox(home: &Home) {
    let row = "meter_id,timestamp,energy_value,energy_unit\nA,2026-03-10T00:00:00Z,12,kW\n";
    fs::write(home.path().join("inbox/new.csv"), row).unwrap();
}
