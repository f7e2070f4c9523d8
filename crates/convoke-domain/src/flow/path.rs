//! Paths: where in a run's flow something happened. `rounds/2/rebuttal/security` is the task of `security` in the split
//! `rebuttal` in round 2 of the loop `rounds`. A step that a gate sent back is visited again as `draft~2`.
//!
//! Rule: all that lies below a path sorts between [`below`]'s two ends, so one range reads or calls off a whole part.

/// The path of something within `parent`; at the top the parent is empty.
pub fn join(parent: &str, segment: &str) -> String {
    if parent.is_empty() { segment.to_owned() } else { format!("{parent}/{segment}") }
}

/// The path above, and the last segment. `None` at the top.
pub fn split(path: &str) -> Option<(&str, &str)> {
    if path.is_empty() { None } else { Some(path.rsplit_once('/').unwrap_or(("", path))) }
}

/// The path of a step's `visit`-th visit, from 1.
pub fn visited(block: &str, id: &str, visit: u32) -> String {
    if visit <= 1 { join(block, id) } else { join(block, &format!("{id}~{visit}")) }
}

/// A step's name in a segment, without its visit.
pub fn id_of(segment: &str) -> &str {
    segment.split_once('~').map_or(segment, |(id, _)| id)
}

/// True for a step that no file has: it is a part of what a larger primitive is made of, such as `_settled` in `review`.
pub fn is_hidden(id: &str) -> bool {
    id.starts_with('_')
}

/// The path as people know it: up to the first step that no file has.
pub fn shown(path: &str) -> &str {
    let hidden = path.match_indices('/').find(|(at, _)| is_hidden(&path[at + 1..]));
    hidden.map_or(path, |(at, _)| &path[..at])
}

/// The first and the last end (exclusive) of all paths below this one.
pub fn below(path: &str) -> (String, String) {
    // `0` follows `/` in ASCII. Nothing sorts behind `\u{7f}` in a path.
    if path.is_empty() { (String::new(), "\u{7f}".into()) } else { (format!("{path}/"), format!("{path}0")) }
}

/// True if `path` lies below `above`.
pub fn is_below(path: &str, above: &str) -> bool {
    !path.is_empty() && (above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/')))
}

/// The path itself and all above it, from the top: the empty path first.
pub fn line(path: &str) -> Vec<&str> {
    let mut all = vec![""];
    all.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    if !path.is_empty() {
        all.push(path);
    }
    all
}

/// Text made fit to be a segment: lower-case letters, digits, `-` and `_`; at most 60 of them.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim().chars().flat_map(char::to_lowercase).take(200) {
        if c.is_ascii_alphanumeric() || c == '_' || c == '-' {
            out.push(c);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
        if out.len() == 60 {
            break;
        }
    }
    out.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_range() {
        let (from, to) = below("a/2");
        for inside in ["a/2/x", "a/2/x/y", "a/2/0"] {
            assert!(is_below(inside, "a/2") && from.as_str() <= inside && inside < to.as_str(), "{inside}");
        }
        for outside in ["a/2", "a/20", "a/2~2", "a/3", "a", "a/2-x"] {
            assert!(!is_below(outside, "a/2"), "{outside}");
            assert!(!(from.as_str()..to.as_str()).contains(&outside), "{outside}");
        }
        assert!(is_below("a", "") && !is_below("", ""));
    }

    #[test]
    fn a_line_begins_at_the_top() {
        assert_eq!(line("a/b~2/c"), ["", "a", "a/b~2", "a/b~2/c"]);
        assert_eq!(line(""), [""]);
        assert_eq!((shown("a/b/_c/d"), shown("a_b/c"), shown("_a")), ("a/b", "a_b/c", "_a"));
        assert_eq!(split("a/b"), Some(("a", "b")));
        assert_eq!(split("a"), Some(("", "a")));
        assert_eq!((id_of("b~2"), visited("a", "b", 2).as_str()), ("b", "a/b~2"));
    }

    #[test]
    fn slugs_are_segments() {
        assert_eq!(slug(" Ärger: the DB (2)! "), "rger-the-db-2");
        assert_eq!(slug("///"), "");
    }
}
