//! What has changed in a file that its profile does not fit, and the version of the profile that would.

use greenstream_core::decode::{Decoded, Feed};
use greenstream_core::detect::{Asked, Detected, Proposal, detect};

use super::columns::{Change, Fate, Headers, compare, sites};
use super::profile::{KeyChange, revise};
use super::ranges::Ranges;
use crate::cli::dry_run::decode_by;

/// A file as it landed.
pub struct Upload {
    pub upload: u32,
    pub name: String,
    pub time_zone: Option<String>,
    pub bytes: Vec<u8>,
}

/// The files of one feed that are compared, and its profile.
pub struct Case {
    pub feed_name: String,
    pub feed: Feed,
    /// The profile's text.
    pub text: String,
    pub held: Upload,
    /// The newest upload of the feed that is loaded.
    pub loaded: Option<Upload>,
}

/// What a comparison came to.
#[derive(Default)]
pub struct Drift {
    pub columns: Vec<Change>,
    pub keys: Vec<KeyChange>,
    /// What stands in the way of a new version.
    pub open: Vec<String>,
    /// What a person should look at.
    pub unsure: Vec<String>,
    pub before: Option<Ranges>,
    pub now: Option<Ranges>,
    pub version: Option<Version>,
}

/// A new version of a profile.
pub struct Version {
    pub text: String,
    pub feed: Feed,
    /// What it makes of the held file.
    pub decoded: Result<Decoded, String>,
    /// Whether the file that is loaded reads by it as it did: then it takes the old one's place.
    pub reads_both: bool,
}

/// Keys that say where the lines and fields are.
const SHAPE: [&str; 3] = ["delimiter", "preamble", "skip"];

/// Keys that say how times and numbers are written.
const WRITING: [&str; 5] = ["time_format", "decimal", "thousands", "guarded", "skip"];

/// Compares the files of a case and proposes a version that reads the held one.
pub fn analyse(case: &Case) -> Drift {
    let mut drift = Drift::default();
    let profile: toml::Table = toml::from_str(&case.text).unwrap_or_default();
    let found = case.detected(&case.held, &mut drift);
    let detected_text = found.as_ref().and_then(|found| found.profile.as_ref());
    let detected: toml::Table =
        detected_text.and_then(|profile| toml::from_str(&profile.toml).ok()).unwrap_or_default();
    let before = case.loaded.as_ref().and_then(|loaded| case.feed.header_names(&loaded.bytes));
    let by_profile = case.feed.header_names(&case.held.bytes);
    let text = case.feed.text_of(&case.held.bytes, true);
    let by_detected = detected_text.and_then(|found| found.feed.header_names(&text));
    if by_detected.is_some() && by_detected != by_profile {
        drift.keys.extend(SHAPE.iter().filter_map(|key| key_change(key, &profile, &detected)));
    }
    drift.keys.extend(case.quantities(found.as_ref()));
    let now = by_detected.or(by_profile).unwrap_or_default();
    let detected_sites = sites(&detected);
    let headers = Headers { before: before.as_deref(), now: &now, detected: &detected_sites };
    drift.columns = compare(&sites(&profile), &headers);
    for change in drift.columns.iter().filter(|change| change.fate == Fate::Gone) {
        if let (Some(path), Some(name)) = (&change.path, &change.before) {
            drift.open.push(format!("`{name}` ({path}) is not there, and no new column is its counterpart"));
        }
    }
    if drift.open.is_empty() {
        let writing: Vec<KeyChange> =
            WRITING.iter().filter_map(|key| key_change(key, &profile, &detected)).collect();
        case.propose(&mut drift, writing);
        case.weigh(&mut drift, found.as_ref());
    }
    drift
}

/// The same with a version that a person wrote, which is taken at its word where it reads the file.
pub fn by_hand(case: &Case, text: String, feed: Feed) -> Drift {
    let mut drift = Drift { version: Some(case.version(text, feed)), ..Drift::default() };
    case.weigh(&mut drift, None);
    let refused = drift.version.as_ref().and_then(|version| version.decoded.as_ref().err()).cloned();
    let doubts = std::mem::take(&mut drift.open).into_iter().filter(|doubt| refused.as_ref() != Some(doubt));
    drift.unsure.extend(doubts);
    drift.open.extend(refused);
    drift
}

impl Case {
    fn zone<'u>(&'u self, upload: &'u Upload) -> Option<&'u str> {
        upload.time_zone.as_deref().or(self.feed.time_zone.as_deref())
    }

    fn detected(&self, upload: &Upload, drift: &mut Drift) -> Option<Proposal> {
        let text = self.feed.text_of(&upload.bytes, true);
        let asked =
            Asked { name: &upload.name, time_zone: self.zone(upload), feed: Some(self.feed_name.as_str()) };
        match detect(&text, &asked) {
            Detected::Table(found) => Some(*found),
            Detected::Foreign(foreign) => {
                drift.open.push(format!("the file looks like {}; {}", foreign.what, foreign.way_out));
                None
            }
        }
    }

    fn decode(&self, feed: &Feed, upload: &Upload) -> Result<Decoded, String> {
        decode_by(feed, &upload.bytes, &upload.name, upload.time_zone.as_deref())
    }

    /// Unit and interval where `detect` sees others in the two files, and has no doubt: what the profile
    /// says of a file may be what no one can see in it.
    fn quantities(&self, found: Option<&Proposal>) -> Vec<KeyChange> {
        let (Some(found), Some(loaded)) = (found, &self.loaded) else { return Vec::new() };
        let doubted = |key: &str| found.doubts.iter().any(|doubt| doubt.key == key);
        let Some(old) = self.detected(loaded, &mut Drift::default()) else { return Vec::new() };
        let (Some(old), Some(new)) = (&old.profile, &found.profile) else { return Vec::new() };
        let (Ok(before), Ok(now)) =
            (toml::from_str::<toml::Table>(&old.toml), toml::from_str::<toml::Table>(&new.toml))
        else {
            return Vec::new();
        };
        let profile: toml::Table = toml::from_str(&self.text).unwrap_or_default();
        let differs = |key: &&&str| before.get(**key).zip(now.get(**key)).is_some_and(|(a, b)| a != b);
        let keys = ["unit", "interval"];
        // a key that the profile leaves out says nothing that could have changed
        let keys = keys.iter().filter(differs).filter(|key| profile.contains_key(**key) && !doubted(key));
        keys.filter_map(|key| key_change(key, &profile, &now)).collect()
    }

    /// Tries the names alone, and with other ways to write times and numbers; takes what reads more.
    fn propose(&self, drift: &mut Drift, writing: Vec<KeyChange>) {
        let renamed = |change: &Change| {
            let is_renamed = matches!(change.fate, Fate::RenamedByRole | Fate::RenamedByPlace);
            Some((change.path.clone()?, change.now.clone()?)).filter(|_| is_renamed)
        };
        let names: Vec<(String, String)> = drift.columns.iter().filter_map(renamed).collect();
        let attempt = |keys: &[KeyChange]| -> Result<Version, String> {
            let text = revise(&self.text, &names, keys)?;
            let feed = toml::from_str(&text).map_err(|error| error.to_string())?;
            Ok(self.version(text, feed))
        };
        let mut best = attempt(&drift.keys);
        if !writing.is_empty() {
            let added = writing.into_iter().filter(|new| drift.keys.iter().all(|key| key.key != new.key));
            let keys: Vec<KeyChange> = drift.keys.iter().cloned().chain(added).collect();
            let other = attempt(&keys);
            if failed(&other) < failed(&best) {
                (best, drift.keys) = (other, keys);
            }
        }
        match best {
            Ok(version) => drift.version = Some(version),
            Err(problem) => drift.open.push(format!("the profile cannot be changed: {problem}")),
        }
    }

    fn version(&self, text: String, feed: Feed) -> Version {
        let decoded = self.decode(&feed, &self.held);
        let same = |loaded: &Upload| {
            let old = self.decode(&self.feed, loaded);
            old.is_ok() && old == self.decode(&feed, loaded)
        };
        let reads_both = self.loaded.as_ref().is_none_or(same);
        Version { text, feed, decoded, reads_both }
    }

    /// Says what speaks against the version.
    fn weigh(&self, drift: &mut Drift, found: Option<&Proposal>) {
        let doubts = found.iter().flat_map(|found| &found.doubts);
        for doubt in doubts.filter(|doubt| drift.keys.iter().any(|change| change.key == doubt.key)) {
            drift.open.push(format!("{}: {}; {}", doubt.key, doubt.question, doubt.settle));
        }
        let of_values = |change: &Change| {
            let path = change.path.as_deref().unwrap_or("");
            let is_value = ["columns.value", "columns.slots"].iter().any(|start| path.starts_with(start));
            is_value && matches!(change.fate, Fate::RenamedByRole | Fate::RenamedByPlace)
        };
        if drift.columns.iter().any(of_values)
            && found.is_some_and(|found| found.doubts.iter().any(|doubt| doubt.key == "unit"))
        {
            let text = "nothing in the file names the unit of the values: the profile's is kept";
            drift.unsure.push(text.to_owned());
        }
        match drift.version.as_ref().map(|version| &version.decoded) {
            None => return,
            Some(Err(note)) => drift.open.push(note.clone()),
            Some(Ok(decoded)) => drift.now = Some(Ranges::of(decoded)),
        }
        match self.loaded.as_ref().map(|loaded| self.decode(&self.feed, loaded)) {
            None => {}
            Some(Ok(decoded)) => drift.before = Some(Ranges::of(&decoded)),
            Some(Err(note)) => {
                drift.unsure.push(format!("the upload compared with does not read now: {note}"))
            }
        }
        let by_place = |change: &&Change| change.fate == Fate::RenamedByPlace;
        let guessed: Vec<&Change> = drift.columns.iter().filter(by_place).collect();
        let guesses = guessed.iter().map(|change| {
            let name = |side: &Option<String>| side.clone().unwrap_or_default();
            format!(
                "`{}` was taken for `{}` because it stands where that stood",
                name(&change.now),
                name(&change.before)
            )
        });
        let meter_guessed = guessed
            .iter()
            .any(|change| change.path.as_deref().is_some_and(|path| path.starts_with("columns.meter")));
        drift.unsure.extend(guesses);
        let (Some(before), Some(now)) = (&drift.before, &drift.now) else {
            drift.unsure.push("no upload of the feed is loaded to compare values with".to_owned());
            return;
        };
        for (blocks, text) in before.against(now) {
            if blocks { drift.open.push(text) } else { drift.unsure.push(text) }
        }
        if before.meters.is_disjoint(&now.meters) {
            let list = if meter_guessed { &mut drift.open } else { &mut drift.unsure };
            list.push("no meter of the file is one of the upload compared with".to_owned());
        }
    }
}

/// Rows that fail, of a million; a file that is refused is worse than any.
fn failed(version: &Result<Version, String>) -> usize {
    match version {
        Ok(Version { decoded: Ok(decoded), .. }) if decoded.row_count() > 0 => {
            decoded.rejects.len() * 1_000_000 / decoded.row_count()
        }
        _ => usize::MAX,
    }
}

/// What a profile says otherwise than another. Of `skip`, which may hold more than a file shows, nothing is
/// taken away.
fn key_change(key: &'static str, profile: &toml::Table, other: &toml::Table) -> Option<KeyChange> {
    let (before, mut now) = (profile.get(key).cloned(), other.get(key).cloned());
    if key == "skip" {
        let starts = |list: &Option<toml::Value>| {
            list.as_ref().and_then(toml::Value::as_array).cloned().unwrap_or_default()
        };
        let mut all = starts(&before);
        all.extend(starts(&now).into_iter().filter(|start| !starts(&before).contains(start)));
        now = (!all.is_empty()).then_some(toml::Value::Array(all));
    }
    let default = match key {
        "delimiter" => Some(toml::Value::from(",")),
        "decimal" => Some(toml::Value::from(".")),
        "preamble" => Some(toml::Value::from(0)),
        "guarded" => Some(toml::Value::from(false)),
        _ => None,
    };
    let meant = |value: &Option<toml::Value>| value.clone().or_else(|| default.clone());
    (meant(&before) != meant(&now)).then_some(KeyChange { key, before, now })
}
