//! A disk without space, for each volume of a home alone.
//!
//! Where this user may mount, the volume is a small tmpfs that is filled; else the shim lets what needs space
//! fail there. The test says which.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::common::{Home, Serving, eventually};
use super::faults::{self, Fault};
use super::hook::Hook;
use super::{done, ends_whole, in_inbox, is_ready, outage, resumes, send, send_as, told_once};

/// A part of a home on a volume that can be filled.
struct Volume {
    folder: PathBuf,
    mounts: Vec<PathBuf>,
    /// The shim's switch, where this user may not mount.
    switch: PathBuf,
}

fn mount(folder: &Path, size: &str) -> bool {
    fs::create_dir_all(folder).unwrap();
    let option = format!("size={size}");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", &option, "greenstream-test"]).arg(folder).output();
    mounted.is_ok_and(|mounted| mounted.status.success())
}

impl Volume {
    /// Puts a part on a small volume of its own; for the home itself, its other parts on others.
    fn under(home: &Home, part: &str, size: &str) -> Volume {
        let folder = home.path().join(part);
        let mut mounts = Vec::new();
        if mount(&folder, size) {
            mounts.push(folder.clone());
            for other in ["landing", "archive", "inbox"].into_iter().filter(|_| part.is_empty()) {
                let other = home.path().join(other);
                assert!(mount(&other, "16m"));
                mounts.push(other);
            }
        }
        let with = if mounts.is_empty() { "a shim" } else { "a tmpfs" };
        println!("{:?} is filled by {with}", if part.is_empty() { "the home" } else { part });
        Volume { folder, mounts, switch: home.path().with_extension("full") }
    }

    fn serve(&self, home: &Home) -> Serving {
        home.serve_as(|command| {
            if self.mounts.is_empty() {
                faults::put_before_while(command, &self.folder, Fault::Full, &self.switch);
            }
        })
    }

    fn fill(&self) {
        if self.mounts.is_empty() {
            fs::write(&self.switch, "").unwrap();
            return;
        }
        let mut filler = File::create(self.folder.join(".filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn free(&self) {
        let held = if self.mounts.is_empty() { self.switch.clone() } else { self.folder.join(".filler") };
        fs::remove_file(held).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        for folder in self.mounts.iter().rev() {
            let _ = Command::new("umount").arg("-l").arg(folder).status();
        }
    }
}

fn begin(part: &str) -> (Home, Hook, Volume, Serving) {
    let (home, hook) = (Home::new(), Hook::willing());
    let volume = Volume::under(&home, part, "4m");
    home.configure("greenstream.toml", &hook.configuration());
    let service = volume.serve(&home);
    send(&home, 0);
    eventually("the first upload is done", || (done(&service) == 1).then_some(()));
    (home, hook, volume, service)
}

#[test]
fn a_full_landing_volume_refuses_files_says_so_and_goes_on_alone() {
    let (home, hook, volume, service) = begin("landing");
    volume.fill();
    (1..7).for_each(|number| send(&home, number));
    let outage = eventually("the outage is told", || outage(&service, "landing"));
    eventually("one alert", || (!hook.taken("outage").is_empty()).then_some(()));
    let problem = outage["problem"].as_str().unwrap();
    assert!(problem.contains("landing") && problem.contains("No space left"), "{problem}");
    assert!(problem.contains("are needed"), "{problem}");
    assert!(!is_ready(&service) && service.get("/readyz").1.contains("uploads cannot land"));
    assert_eq!((in_inbox(&home), done(&service)), (6, 1), "the files stay");
    volume.free();
    let mended = Instant::now();
    resumes("landing volume full", mended, || {
        done(&service) == 7 && in_inbox(&home) == 0 && is_ready(&service)
    });
    told_once(&hook, "landing");
    ends_whole(&home, service, 7);
}

#[test]
fn a_full_database_volume_lets_uploads_land_and_wait_and_goes_on_alone() {
    let (home, hook, volume, service) = begin("");
    if volume.mounts.is_empty() {
        // the shim's folder holds the landing zone too: then it is all of them that are full
        return all_full(&home, &hook, &volume, service);
    }
    volume.fill();
    (1..7).for_each(|number| send(&home, number));
    let outage = eventually("the outage is told", || outage(&service, "database"));
    let problem = outage["problem"].as_str().unwrap();
    assert!(problem.contains("full") && problem.contains("bytes free"), "{problem}");
    eventually("the files have landed", || (in_inbox(&home) == 0).then_some(()));
    eventually("one alert, past the outbox", || (!hook.taken("outage").is_empty()).then_some(()));
    assert!(!is_ready(&service));
    assert_eq!(done(&service), 1, "pages answer, with what there is");
    volume.free();
    resumes("database volume full", Instant::now(), || done(&service) == 7 && is_ready(&service));
    told_once(&hook, "database");
    ends_whole(&home, service, 7);
}

fn all_full(home: &Home, hook: &Hook, volume: &Volume, service: Serving) {
    volume.fill();
    (1..7).for_each(|number| send(home, number));
    eventually("the outage is told", || (!hook.taken("outage").is_empty()).then_some(()));
    assert!(!is_ready(&service));
    volume.free();
    resumes("all volumes full", Instant::now(), || done(&service) == 7 && is_ready(&service));
    ends_whole(home, service, 7);
}

#[test]
fn a_full_archive_volume_holds_up_nothing_but_the_archive() {
    let (home, hook, volume, service) = begin("archive");
    volume.fill();
    (1..7).for_each(|number| send(&home, number));
    eventually("all are in the database", || (done(&service) == 7).then_some(()));
    let outage = eventually("the outage is told", || outage(&service, "archive"));
    let problem = outage["problem"].as_str().unwrap();
    assert!(problem.contains("archive") && problem.contains("are needed"), "{problem}");
    assert!(is_ready(&service), "uploads are taken and processed");
    eventually("one alert", || (!hook.taken("outage").is_empty()).then_some(()));
    volume.free();
    resumes("archive volume full", Instant::now(), || super::outage(&service, "archive").is_none());
    told_once(&hook, "archive");
    ends_whole(&home, service, 7);
}

#[test]
fn a_full_inbox_volume_is_emptied_by_landing() {
    let (home, _hook, volume, service) = begin("inbox");
    (1..7).for_each(|number| send(&home, number));
    volume.fill();
    eventually("the files have landed", || (done(&service) == 7).then_some(()));
    assert!(is_ready(&service));
    volume.free();
    ends_whole(&home, service, 7);
}

/// Until now a group that did not fit was tried again as it was, and held up every file after it.
#[test]
fn a_file_too_large_for_the_volume_does_not_hold_up_the_others() {
    let (home, hook) = (Home::new(), Hook::willing());
    home.configure("greenstream.toml", &hook.configuration());
    let mut volume = Volume::under(&home, "landing", "6m");
    if volume.mounts.is_empty() {
        volume.folder = home.path().join("landing/tmp/large");
        volume.fill();
    }
    let rows = "M,2026-03-02T00:00:00Z,1,kW\n".repeat(300_000);
    fs::create_dir_all(home.path().join("inbox")).unwrap();
    let large = super::HEADER.to_owned() + &rows;
    send_as(&home, "00-large.csv", &large);
    (0..5).for_each(|number| send(&home, number));
    let service = volume.serve(&home);
    eventually("the small ones are done", || (done(&service) == 5).then_some(()));
    send(&home, 5);
    eventually("and one that came later", || (done(&service) == 6).then_some(()));
    assert_eq!(in_inbox(&home), 1);
    let problem = outage(&service, "landing").unwrap()["problem"].as_str().unwrap().to_owned();
    let needed = problem.replace(',', "");
    assert!(needed.contains(&format!("and {} are needed", large.len())), "{problem}");
    fs::remove_file(home.path().join("inbox/00-large.csv")).unwrap();
    resumes("a file too large", Instant::now(), || is_ready(&service));
    ends_whole(&home, service, 6);
}

/// Until now an error of the log's sync ended the service, and others of the home's folder did too.
#[test]
fn a_home_that_gives_only_errors_for_a_while_is_served_again_without_a_restart() {
    let (home, hook) = (Home::new(), Hook::willing());
    home.configure("greenstream.toml", &hook.configuration());
    let switch = home.path().with_extension("broken");
    let service = home.serve_as(|command| {
        faults::put_before_while(command, &home.path(), Fault::Eio, &switch);
    });
    send(&home, 0);
    eventually("the first upload is done", || (done(&service) == 1).then_some(()));
    fs::write(&switch, "").unwrap();
    (1..5).for_each(|number| send(&home, number));
    eventually("an alert", || (!hook.taken("outage").is_empty()).then_some(()));
    assert!(!is_ready(&service));
    fs::remove_file(&switch).unwrap();
    resumes("errors everywhere", Instant::now(), || is_ready(&service) && done(&service) == 5);
    ends_whole(&home, service, 5);
}

/// Until now a rebuild moved the new archive into the place of the old one, which a volume does not allow, and a
/// service with a new configuration could not start.
#[test]
fn a_home_with_its_archive_on_a_volume_of_its_own_is_rebuilt() {
    let (home, _hook, _volume, service) = begin("archive");
    ends_whole(&home, service, 1);
    home.ok(&["rebuild"]);
    home.is_whole();
    let left: Vec<_> =
        fs::read_dir(home.path().join("archive")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let text = fs::read_to_string(home.path().join("greenstream.toml")).unwrap();
    home.configure("greenstream.toml", &format!("{text}[limits]\npower_kw_max = 9.0\n"));
    let service = home.serve();
    send(&home, 1);
    eventually("the next upload is done", || (done(&service) == 2).then_some(()));
    ends_whole(&home, service, 2);
}
