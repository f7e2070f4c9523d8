//! Sizes: no function, file or list of parameters grows beyond what one can hold in the head.
//!
//! Exceptions stand in `xtask/ratchet.txt`, one a line with its present size. That list only shrinks: an entry that is
//! larger than needed, or needed no more, fails as well.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use super::{Finding, Source, path};

/// Lines of a function.
const FUNCTION_MAX: usize = 70;
/// Lines of a file without its tests.
const FILE_MAX: usize = 600;
/// Parameters of a function without `self`.
const PARAMETERS_MAX: usize = 5;
const LIST: &str = "xtask/ratchet.txt";

/// What is too large: `kind file name`, its size, and where it is.
type Sizes = BTreeMap<String, (usize, Finding)>;

/// Compares all sizes with the limits and the list.
pub fn check(sources: &[Source]) -> Result<Vec<Finding>> {
    let list = fs::read_to_string(path(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    Ok(compare(&measure(sources), &list))
}

fn measure(sources: &[Source]) -> Sizes {
    let mut sizes = Sizes::new();
    for source in sources {
        let file = source.file.as_str();
        let lines = source.plain_lines();
        if lines > FILE_MAX {
            let finding = Finding::new(file, 0, format!("{lines} lines, {FILE_MAX} at most: split it by noun"));
            sizes.insert(format!("file {file} -"), (lines, finding));
        }
        for function in source.functions() {
            let (name, at) = (&function.name, function.line);
            let mut keep = |kind: &str, size: usize, max: usize, advice: &str| {
                if size > max {
                    let finding =
                        Finding::new(file, at, format!("`{name}` has {size} {kind}, {max} at most: {advice}"));
                    sizes.insert(format!("{kind} {file} {name}"), (size, finding));
                }
            };
            keep("lines", function.lines, FUNCTION_MAX, "give its steps names");
            keep("parameters", function.parameters, PARAMETERS_MAX, "they want to be a struct");
        }
    }
    sizes
}

fn compare(sizes: &Sizes, list: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut listed = BTreeMap::new();
    for (index, line) in list.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let entry = line.rsplit_once(' ').and_then(|(key, size)| Some((key, size.parse::<usize>().ok()?)));
        match entry {
            Some((key, size)) => {
                listed.insert(key, size);
                findings.extend(needless(sizes, key, size).map(|why| Finding::new(LIST, index + 1, why)));
            }
            None => findings.push(Finding::new(LIST, index + 1, "expected `KIND FILE NAME SIZE`")),
        }
    }
    let over = sizes.iter().filter(|(key, (size, _))| listed.get(key.as_str()).is_none_or(|allowed| size > allowed));
    findings.extend(over.map(|(_, (_, finding))| finding.clone()));
    findings
}

fn needless(sizes: &Sizes, key: &str, allowed: usize) -> Option<String> {
    match sizes.get(key) {
        None => Some(format!("`{key}` is within the limits now: remove this line")),
        Some((size, _)) if *size < allowed => Some(format!("`{key}` shrank: lower it to {size}")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(lines: usize) -> Sizes {
        let body = "    a();\n".repeat(lines - 2);
        measure(&[Source::new("a.rs", format!("fn long() {{\n{body}}}\n"))])
    }

    #[test]
    fn too_long_is_found_unless_listed() {
        assert_eq!(compare(&long(70), ""), []);
        assert!(compare(&long(71), "")[0].message.contains("`long` has 71 lines, 70 at most"));
        assert_eq!(compare(&long(71), "lines a.rs long 71"), []);
        assert!(compare(&long(72), "lines a.rs long 71")[0].message.contains("72"));
    }

    #[test]
    fn the_list_only_shrinks() {
        assert!(compare(&long(71), "lines a.rs long 80")[0].message.contains("lower it to 71"));
        assert!(compare(&long(9), "# why\nlines a.rs long 80")[0].to_string().starts_with("xtask/ratchet.txt:2: "));
    }

    #[test]
    fn parameters_are_counted() {
        let source = Source::new("a.rs", "fn a(b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) {}\n".to_owned());
        assert!(compare(&measure(&[source]), "")[0].message.contains("6 parameters"));
    }
}
