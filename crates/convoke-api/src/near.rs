//! "Did you mean …": the nearest of the names that would have been right.
//!
//! Distance is optimal string alignment (insert, delete, replace, swap neighbours); near means at most a third of the
//! length, one change in short words, none in the shortest.

/// Names longer than this are not compared: nobody mistypes so much, and the cost is quadratic.
const MAX_COMPARED: usize = 100;
/// The most names that are listed when none is near.
const MAX_LISTED: usize = 12;

/// The one of `names` that `text` was most likely meant to be.
pub(crate) fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = simple(text);
    if wanted.len() > MAX_COMPARED {
        return None;
    }
    let bound = match wanted.len() {
        0..=2 => 0,
        3..=5 => 1,
        length => length / 3,
    };
    names
        .into_iter()
        .filter(|name| name.len() <= 4 * MAX_COMPARED)
        .map(|name| (distance(&wanted, &simple(name)), name))
        .filter(|(distance, _)| *distance <= bound)
        // The first letter is seldom the wrong one.
        .min_by_key(|(distance, name)| (*distance, simple(name).first() != wanted.first(), *name))
        .map(|(_, name)| name)
}

/// What to say of `text`, which is none of `names`: the nearest, else all of them.
pub fn suggest<'a>(text: &str, names: impl IntoIterator<Item = &'a str> + Clone, none: &str) -> String {
    if let Some(name) = nearest(text, names.clone()) {
        return format!("did you mean `{name}`?");
    }
    let mut all: Vec<&str> = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    let more = all.len().saturating_sub(MAX_LISTED);
    all.truncate(MAX_LISTED);
    match (all.is_empty(), more) {
        (true, _) => none.to_owned(),
        (false, 0) if all.len() == 1 => format!("use `{}`", all[0]),
        (false, 0) => format!("use one of {}", quoted(&all)),
        (false, more) => format!("use one of {} … and {more} more", quoted(&all)),
    }
}

/// Names in back quotes with commas.
pub(crate) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Lower case, and one kind of dash, so that `Max-Turns` is near `max_turns`.
fn simple(text: &str) -> Vec<char> {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == '-' || c == ' ' { '_' } else { c }).collect()
}

/// The least number of insertions, deletions, replacements and swaps of neighbours that make `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["prompt", "personality", "max_turns", "tools"];
        assert_eq!(nearest("promt", names), Some("prompt"));
        assert_eq!(nearest("prmopt", names), Some("prompt"));
        assert_eq!(nearest("Max-Turns", names), Some("max_turns"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn lists_all_when_none_is_near() {
        assert_eq!(suggest("xyz", ["aaaa", "bbbb"], "none"), "use one of `aaaa`, `bbbb`");
        assert_eq!(suggest("xyz", [], "none there"), "none there");
    }
}
