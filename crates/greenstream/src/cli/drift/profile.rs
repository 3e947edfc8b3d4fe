//! A profile's text with a few things changed: comments and order stay.

use toml_edit::{Array, DocumentMut, Item, Value};

/// A key of the profile (not one of its columns) with another value; none is the default.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyChange {
    pub key: &'static str,
    pub before: Option<toml::Value>,
    pub now: Option<toml::Value>,
}

/// Adds names to columns (by their path and the name) and changes keys.
///
/// # Errors
/// What of the text cannot be changed.
pub fn revise(text: &str, names: &[(String, String)], keys: &[KeyChange]) -> Result<String, String> {
    let mut profile: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    for (path, name) in names {
        let column = item_at(profile.as_item_mut(), path).and_then(Item::as_value_mut);
        add_name(column.ok_or_else(|| format!("the profile has no `{path}`"))?, name);
    }
    for change in keys {
        match &change.now {
            None => drop(profile.remove(change.key)),
            Some(value) => set(&mut profile, change.key, value)?,
        }
    }
    Ok(profile.to_string())
}

fn item_at<'i>(profile: &'i mut Item, path: &str) -> Option<&'i mut Item> {
    path.split('.').try_fold(profile, |item, step| match step.parse::<usize>() {
        Ok(place) => item.get_mut(place),
        Err(_) => item.get_mut(step),
    })
}

/// A column of one name becomes one of several.
fn add_name(column: &mut Value, name: &str) {
    if let Some(names) = column.as_array_mut() {
        names.push(name);
        return;
    }
    let decor = column.decor().clone();
    let mut names = Array::new();
    names.extend(column.as_str().map(str::to_owned));
    names.push(name);
    *column = Value::Array(names);
    *column.decor_mut() = decor;
}

fn set(profile: &mut DocumentMut, key: &str, value: &toml::Value) -> Result<(), String> {
    let mut new: Value =
        value.to_string().parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    match profile.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => drop(profile.insert(key, Item::Value(new))),
    }
    Ok(())
}

/// The lines of two texts: those of one only begin with `- ` or `+ `.
pub fn diff(before: &str, now: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
    // longest common subsequence of the lines from (i, j) on: profiles are short
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j >= new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("- {}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::columns::sites;
    use super::*;

    const PROFILE: &str = "# ours\nname = \"x\"  # a name\nunit = \"kWh\"\nskip = [\"#\"]\n\n[columns] # all\n\
        meter_parts = [\"Site\", [\"Register\", \"OBIS\"]]\ntimestamp = [\"Von\", \"From\"]\n\
        only = [{ column = \"Type\", is = [\"Power\"] }]\nseason = { column = \"DST\", summer = [\"1\"] }\n\n\
        [[columns.values]]\ncolumn = \"A\" # first\nplus = [\"B\", 7]\nmeter_suffix = \"-x\"\n";

    #[test]
    fn every_column_that_has_a_name_can_have_another() {
        let found = sites(&toml::from_str(PROFILE).unwrap());
        let paths: Vec<&str> = found.iter().map(|site| site.path.as_str()).collect();
        let ends = ["meter_parts.0", "meter_parts.1", "only.0.column", "season.column", "timestamp"];
        let ends = ends.into_iter().chain(["values.0.column", "values.0.plus.0"]);
        assert_eq!(paths, ends.map(|end| format!("columns.{end}")).collect::<Vec<_>>());
        for site in &found {
            let text = revise(PROFILE, &[(site.path.clone(), "New \"one\"".to_owned())], &[]).unwrap();
            let again = sites(&toml::from_str(&text).unwrap());
            let now = again.iter().find(|other| other.path == site.path).unwrap();
            assert_eq!(now.names, [site.names.clone(), vec!["New \"one\"".to_owned()]].concat());
            assert_eq!(again.iter().filter(|other| !found.contains(other)).count(), 1, "{text}");
            for comment in ["# ours", "# a name", "# all", "# first"] {
                assert!(text.contains(comment), "{comment} is lost in {text}");
            }
        }
        assert!(revise(PROFILE, &[("columns.value".to_owned(), "x".to_owned())], &[]).is_err());
    }

    #[test]
    fn keys_are_set_added_and_taken_away_before_the_columns() {
        let change = |key, now: Option<&str>| KeyChange { key, before: None, now: now.map(Into::into) };
        let keys = [change("unit", Some("Wh")), change("decimal", Some(",")), change("skip", None)];
        let text = revise(PROFILE, &[], &keys).unwrap();
        assert!(
            text.starts_with("# ours\nname = \"x\"  # a name\nunit = \"Wh\"\ndecimal = \",\"\n\n[columns]"),
            "{text}"
        );
    }

    #[test]
    fn a_diff_has_every_line_of_both_texts_once() {
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\nd\n"), ["  a", "- b", "+ x", "  c", "+ d"]);
        assert_eq!(diff("", "a\n"), ["+ a"]);
        assert_eq!(diff("a\n", ""), ["- a"]);
    }
}
