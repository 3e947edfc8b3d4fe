//! Landing zone and archive somewhere else than in the home, through the real program. Buckets have their own
//! test against real servers: tests/python/objects.py.

use crate::common::{HEADER, Home};

fn rows(hour: u32) -> String {
    format!("{HEADER}M,2026-03-02T{hour:02}:00:00Z,1,kW\nN,2026-03-02T{hour:02}:00:00Z,-1,kW\n")
}

#[test]
fn folders_by_their_url_are_used_by_every_command() {
    let (home, elsewhere) = (Home::new(), tempfile::tempdir().unwrap());
    let [landing, archive] = ["l", "a"].map(|name| elsewhere.path().join(name));
    let (l, a) = (landing.display(), archive.display());
    home.configure(
        "greenstream.toml",
        &format!("[landing]\nurl = \"file://{l}\"\n[archive]\nurl = \"file://{a}\"\n"),
    );
    home.ok(&["check-config"]).says(&l.to_string()).says(&a.to_string());
    for hour in 0..3 {
        let file = home.file(&format!("{hour}.csv"), rows(hour));
        home.ok(&["ingest", &file]);
    }
    assert!(landing.join("journal/000000000001.jsonl").is_file());
    assert!(archive.join("readings/_delta_log").is_dir());
    for folder in ["landing", "archive"] {
        let folder = home.path().join(folder);
        assert!(crate::common::files_below(&folder).is_empty(), "{} holds nothing", folder.display());
    }
    home.ok(&["status"]).says(&l.to_string()).says(&a.to_string());
    home.is_whole();
    home.ok(&["rebuild"]);
    home.is_whole();
    assert_eq!(home.books(), [6, 3, 3, 0]);
    let serving = home.serve();
    let (_, status) = serving.get("/api/status");
    assert!(status.contains(&l.to_string()), "{status}");
    assert_eq!(serving.terminate().0, 0);
    std::fs::remove_dir_all(landing.join("objects")).unwrap();
    home.run(&["verify"]).exits(1).says("is missing");
}

#[test]
fn a_place_that_cannot_be_is_refused_before_a_home_is_begun() {
    for (text, words) in [
        ("[landing]\nurl = \"ftp://x/y\"\n", &["landing.url", "s3://"][..]),
        ("[archive]\nurl = \"s3://user:canary@meters/x\"\n", &["archive.url"]),
        ("[landing]\nobject_lock_days = 0\n", &["landing.object_lock_days"]),
        ("[objects]\nrequest_seconds = 0\n", &["objects.request_seconds"]),
        #[cfg(not(feature = "s3"))]
        ("[landing]\nurl = \"s3://meters/x\"\n", &["line 2, column 7", "--features s3"]),
        #[cfg(not(feature = "gcs"))]
        ("[archive]\nurl = \"gs://meters/x\"\n", &["line 2, column 7", "--features gcs"]),
        #[cfg(not(feature = "azure"))]
        ("[archive]\nurl = \"az://meters/x\"\n", &["line 2, column 7", "--features azure"]),
    ] {
        let home = Home::new();
        home.configure("greenstream.toml", text);
        let file = home.file("a.csv", rows(0));
        for args in [vec!["check-config"], vec!["ingest", &file], vec!["run", "--listen", "127.0.0.1:0"]] {
            let done = home.run(&args).exits(78);
            let done = words.iter().fold(done, |done, word| done.says(word));
            assert!(!format!("{}{}", done.out, done.err).contains("canary"));
        }
        assert!(!home.path().join("landing").exists(), "a home must not be begun under {text:?}");
    }
}
