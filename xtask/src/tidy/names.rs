//! Names of code in Markdown files: `drive.rs` in a document must be a file, `drive.rs::begin` something defined in one.
//!
//! A file is named by the end of its path, so `convoke-engine/src/drive.rs` and `drive.rs` are both right. What has a `*` is no name.

use std::fs;

use anyhow::Result;

use super::{Finding, links, path};

/// Words that define a name.
const DEFINES: [&str; 8] = ["fn", "struct", "enum", "trait", "mod", "const", "type", "static"];

/// Checks all Markdown files.
pub fn check(files: &[String]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let text = fs::read_to_string(path(file))?;
        for (line, name) in names(&text) {
            if let Some(why) = wrong(files, &name, |source| fs::read_to_string(path(source)).unwrap_or_default()) {
                findings.push(Finding::new(file, line, format!("`{name}`: {why}")));
            }
        }
    }
    Ok(findings)
}

/// Why a name leads nowhere.
fn wrong(files: &[String], name: &str, read: impl Fn(&str) -> String) -> Option<String> {
    let mut parts = name.split("::");
    let place = parts.next().unwrap_or_default();
    let is_meant = |file: &&String| file.strip_suffix(place).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    let sources: Vec<String> = files.iter().filter(is_meant).map(|file| read(file)).collect();
    if sources.is_empty() {
        return Some("no such file".to_owned());
    }
    let missing = parts.find(|part| !sources.iter().any(|source| defines(source, part)))?;
    Some(format!("nothing there is called `{missing}`"))
}

/// Does a source define this name, or spell it as a variant of an enum?
fn defines(source: &str, name: &str) -> bool {
    let defined = |line: &str| {
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        words.windows(2).any(|pair| DEFINES.contains(&pair[0]) && pair[1] == name)
    };
    let variant =
        |line: &str| line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', ',', ' ']));
    source.lines().any(|line| defined(line) || variant(line))
}

/// Code spans that name Rust files, outside of fences, with their lines from 1.
fn names(text: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (index, line) in links::outside_fences(text) {
        let spans = line.split('`').skip(1).step_by(2);
        names.extend(spans.filter(|span| is_name(span)).map(|span| (index + 1, span.to_owned())));
    }
    names
}

fn is_name(span: &str) -> bool {
    let file = span.split("::").next().unwrap_or_default();
    file.ends_with(".rs") && span.chars().all(|c| c.is_alphanumeric() || "_-/.:".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_code_spans_of_rust_files() {
        let text = "see `a/b.rs` and `b.rs::go`\n```\n`no.rs`\n```\n`x_*.rs`, b.rs, `fn b.rs`\n";
        assert_eq!(names(text), [(1, "a/b.rs".to_owned()), (1, "b.rs::go".to_owned())]);
    }

    #[test]
    fn a_name_that_leads_nowhere_says_why() {
        let files = ["crates/a/src/b.rs".to_owned(), "x/b.rs".to_owned()];
        let read =
            |file: &str| if file.starts_with('x') { "pub struct There;" } else { "async fn go(x: u8) {\n    Here,\n" };
        for right in ["b.rs", "a/src/b.rs", "b.rs::go", "b.rs::There", "b.rs::There::go", "b.rs::Here"] {
            assert_eq!(wrong(&files, right, |file| read(file).to_owned()), None, "{right}");
        }
        let why = |name| wrong(&files, name, |file| read(file).to_owned()).expect("wrong");
        assert_eq!(why("c/b.rs"), "no such file");
        assert_eq!(why("src/b.rs::x"), "nothing there is called `x`");
    }
}
