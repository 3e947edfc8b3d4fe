//! The columns that a profile names, and what became of each in a file with another header.

use greenstream_core::decode::BLANKS;
use toml::{Table, Value};

/// A column of a profile that is found by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// Where it stands in the profile, such as `columns.values.0.column`.
    pub path: String,
    /// The names that it may have.
    pub names: Vec<String>,
}

/// What became of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It stands where it stood.
    Kept,
    /// It stands elsewhere.
    Moved,
    /// Another name, for a column that `detect` takes for the same.
    RenamedByRole,
    /// Another name at the same place, and no more to say for it.
    RenamedByPlace,
    /// It is not there any more.
    Gone,
    /// It was not there before.
    New,
}

impl Fate {
    pub const fn name(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Moved => "moved",
            Fate::RenamedByRole => "renamed (by role)",
            Fate::RenamedByPlace => "renamed (by place)",
            Fate::Gone => "gone",
            Fate::New => "new",
        }
    }
}

/// A column before and now, by places from 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub fate: Fate,
    /// Where the profile names it; none where it does not.
    pub path: Option<String>,
    pub before: Option<String>,
    pub now: Option<String>,
}

/// Two headers and what a profile has to do with them.
pub struct Headers<'a> {
    /// Of the last file that fitted; none where there is none.
    pub before: Option<&'a [String]>,
    pub now: &'a [String],
    /// What `detect` makes of the new file.
    pub detected: &'a [Site],
}

/// The columns that a profile finds by their names.
pub fn sites(profile: &Table) -> Vec<Site> {
    let mut found = Vec::new();
    if let Some(columns) = profile.get("columns") {
        visit("columns", columns, &mut found);
    }
    found
}

fn visit(path: &str, value: &Value, found: &mut Vec<Site>) {
    let key = path.rsplit('.').next().unwrap_or(path);
    match value {
        Value::String(name) => found.push(Site { path: path.to_owned(), names: vec![name.clone()] }),
        Value::Array(all) if matches!(key, "meter_parts" | "plus" | "values" | "only") => {
            for (place, value) in all.iter().enumerate() {
                visit(&format!("{path}.{place}"), value, found);
            }
        }
        Value::Array(names) => {
            let names = names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
            found.push(Site { path: path.to_owned(), names });
        }
        Value::Table(keys) => {
            for (key, value) in keys {
                if !matches!(key.as_str(), "meter_suffix" | "summer" | "is" | "count") {
                    visit(&format!("{path}.{key}"), value, found);
                }
            }
        }
        _ => {}
    }
}

/// Where a header has a name, as profiles find it.
fn place(header: &[String], name: &str) -> Option<usize> {
    let plain = |name: &str| name.trim_matches(BLANKS).to_lowercase();
    let name = plain(name);
    header.iter().position(|other| plain(other) == name)
}

/// What became of every column: first those that the profile names, then the others.
pub fn compare(sites: &[Site], headers: &Headers<'_>) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    // a name that finds its column cannot be another's new name
    let mut taken: Vec<usize> =
        sites.iter().flat_map(|site| &site.names).filter_map(|name| place(headers.now, name)).collect();
    for site in sites {
        changes.push(headers.fate_of(site, &mut taken, &changes));
    }
    let old = headers.before.unwrap_or(&[]);
    let named = |name: &str, side: fn(&Change) -> &Option<String>| {
        let same = |other: &String| place(std::slice::from_ref(other), name).is_some();
        changes.iter().any(|change| side(change).as_ref().is_some_and(same))
    };
    let mut others = Vec::new();
    for (at, name) in old.iter().enumerate().filter(|(_, name)| !named(name, |change| &change.before)) {
        let now = place(headers.now, name);
        let fate = match now {
            None => Fate::Gone,
            Some(now) if now == at => Fate::Kept,
            Some(_) => Fate::Moved,
        };
        let now = now.map(|_| name.clone());
        others.push(Change { fate, path: None, before: Some(name.clone()), now });
    }
    let is_new = |name: &&String| !named(name, |change| &change.now) && place(old, name).is_none();
    for name in headers.now.iter().filter(is_new) {
        others.push(Change { fate: Fate::New, path: None, before: None, now: Some(name.clone()) });
    }
    changes.extend(others);
    changes
}

impl Headers<'_> {
    fn fate_of(&self, site: &Site, taken: &mut Vec<usize>, so_far: &[Change]) -> Change {
        let old = self.before.and_then(|before| site.names.iter().find_map(|name| place(before, name)));
        let before = match (self.before, old) {
            (Some(header), Some(at)) => header.get(at).cloned(),
            _ => site.names.last().cloned(),
        };
        let (fate, now) = if let Some(at) = site.names.iter().find_map(|name| place(self.now, name)) {
            (if old.is_some_and(|old| old != at) { Fate::Moved } else { Fate::Kept }, Some(at))
        } else if let Some(twin) = so_far.iter().find(|change| change.before == before) {
            // two keys of the profile may name one column
            (twin.fate, twin.now.as_deref().and_then(|name| place(self.now, name)))
        } else if let Some(at) = self.by_role(&site.path).filter(|at| self.is_free(*at, taken)) {
            (Fate::RenamedByRole, Some(at))
        } else if let Some(at) = old.filter(|at| self.same_width() && self.is_free(*at, taken)) {
            (Fate::RenamedByPlace, Some(at))
        } else {
            (Fate::Gone, None)
        };
        taken.extend(now);
        let now = now.and_then(|at| self.now.get(at).cloned());
        Change { fate, path: Some(site.path.clone()), before, now }
    }

    /// The column that `detect` puts at the same key.
    fn by_role(&self, path: &str) -> Option<usize> {
        let twin = match path {
            "columns.date" => "columns.timestamp",
            "columns.timestamp" => "columns.date",
            path => path,
        };
        let at = |path: &str| self.detected.iter().find(|site| site.path == path);
        let site = at(path).or_else(|| at(twin))?;
        site.names.first().and_then(|name| place(self.now, name))
    }

    /// Whether a column may be one that has another name now: nothing else is it, and it is new.
    fn is_free(&self, at: usize, taken: &[usize]) -> bool {
        let known = |name: &String| self.before.is_some_and(|before| place(before, name).is_some());
        !taken.contains(&at) && self.now.get(at).is_some_and(|name| !name.is_empty() && !known(name))
    }

    fn same_width(&self) -> bool {
        self.before.is_some_and(|before| before.len() == self.now.len())
    }
}
