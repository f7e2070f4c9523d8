//! Links in Markdown files: each that points into the repository must lead to a file and, where it has one, a heading.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Finding, path};

/// Checks all Markdown files.
pub fn check(files: &[String]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let text = fs::read_to_string(path(file))?;
        for (line, target) in links(&text) {
            if let Some(why) = broken(file, &text, &target) {
                findings.push(Finding::new(file, line, format!("link to `{target}`: {why}")));
            }
        }
    }
    Ok(findings)
}

fn broken(file: &str, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (place, heading) = target.split_once('#').map_or((target, None), |(place, heading)| (place, Some(heading)));
    let to = match place {
        "" => path(file),
        place => resolve(Path::new(file), place),
    };
    if !place.is_empty() && !to.exists() {
        return Some("no such file".to_owned());
    }
    let heading = heading?;
    let there = if place.is_empty() { text.to_owned() } else { fs::read_to_string(&to).unwrap_or_default() };
    let is_markdown = to.extension().is_some_and(|extension| extension == "md");
    (is_markdown && !headings(&there).iter().any(|slug| slug == heading)).then(|| "no such heading".to_owned())
}

/// A link is taken from the folder of its file; one that begins with a slash, from the root of the clone.
fn resolve(file: &Path, target: &str) -> PathBuf {
    match target.strip_prefix('/') {
        Some(rest) => path(rest),
        None => path(&file.to_string_lossy()).parent().expect("a file lies in a folder").join(target),
    }
}

/// Targets of `[text](target)` outside of code, with their lines from 1.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (index, line) in outside_fences(text) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            let Some(end) = line[at..].find(')') else { continue };
            let target = line[at + 2..at + end].split_whitespace().next().unwrap_or_default();
            links.push((index + 1, target.trim_matches(['<', '>']).to_owned()));
        }
    }
    links
}

/// The names that headings get in links.
fn headings(text: &str) -> Vec<String> {
    let lines = outside_fences(text).into_iter().map(|(_, line)| line);
    let titles = lines.filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.map(slug).collect()
}

fn slug(title: &str) -> String {
    let kept = title.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Lines that are not inside a fence, with their index.
pub fn outside_fences(text: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            lines.push((index, line));
        }
    }
    lines
}

/// Drops what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "see [a](b.md#c) and `[no](x)`\n```\n[no](y)\n```\n![p](<q.svg> \"t\")\n";
        assert_eq!(links(text), [(1, "b.md#c".to_owned()), (5, "q.svg".to_owned())]);
    }

    #[test]
    fn headings_become_names() {
        assert_eq!(headings("# One way, for `data`!\ntext\n## The 2nd\n"), ["one-way-for-data", "the-2nd"]);
    }

    #[test]
    fn a_broken_link_says_why() {
        let text = "# Here\n";
        assert_eq!(broken("xtask/a.md", text, "#here"), None);
        assert_eq!(broken("xtask/a.md", text, "#there").as_deref(), Some("no such heading"));
        assert_eq!(broken("xtask/a.md", text, "Cargo.toml"), None);
        assert_eq!(broken("xtask/a.md", text, "/Cargo.toml"), None);
        assert_eq!(broken("xtask/a.md", text, "../nothing.md").as_deref(), Some("no such file"));
        assert_eq!(broken("xtask/a.md", text, "https://example.org/x"), None);
    }
}
