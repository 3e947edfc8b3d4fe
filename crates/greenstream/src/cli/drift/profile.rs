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
