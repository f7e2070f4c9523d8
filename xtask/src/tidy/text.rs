//! What every file must have and must not have: module docs, no unfinished code, no foreign paths, no vague names.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::{Finding, Source, path};
use crate::place;

/// Not in any code, tests included: what they stand for is unfinished or skipped.
const UNFINISHED: [&str; 5] = ["todo!", "unimplemented!", "dbg!", "#[ignore", "#![ignore"];
/// Not outside of tests: a panic without a reason. `expect` states one.
const UNREASONED: [&str; 2] = [".unwrap()", ".unwrap_err()"];
/// Names that say nothing about what is inside.
const VAGUE: [&str; 9] = ["core", "common", "types", "utils", "util", "manager", "helper", "helpers", "misc"];
/// Rooms that are pure, and what would make them impure.
const PURE: [&str; 2] = ["crates/convoke-domain/src/", "crates/convoke-report/src/"];
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "async",
    "await",
];
/// Top folders that every Unix system has; paths below them are nobody's secret.
const STANDARD: [&str; 12] = ["bin", "dev", "etc", "lib", "opt", "proc", "run", "srv", "sys", "tmp", "usr", "var"];

/// Checks all files.
pub fn check(files: &[String], sources: &[Source]) -> Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = sources.iter().flat_map(check_source).collect();
    findings.extend(files.iter().filter_map(|file| vague_name(file)));
    let private = private_words();
    for file in files {
        // What is no text holds no words.
        let Ok(text) = fs::read_to_string(path(file)) else { continue };
        findings.extend(private_word(file, &text, &private));
        findings.extend(foreign_registry(file, &text));
    }
    Ok(findings)
}

fn check_source(source: &Source) -> Vec<Finding> {
    let file = source.file.as_str();
    let mut findings = Vec::new();
    if !source.text.starts_with("//!") {
        findings.push(Finding::new(file, 1, "the file does not open with `//!`: say what it holds and where to start"));
    }
    let mut find = |phrase: &str, why: &str, tests_too: bool| {
        let lines = source.lines_with(phrase).into_iter().filter(|line| tests_too || !source.is_test(*line));
        findings.extend(lines.map(|line| Finding::new(file, line, format!("`{phrase}` {why}"))));
    };
    UNFINISHED.iter().for_each(|phrase| find(phrase, "is unfinished or skipped work", true));
    UNREASONED.iter().for_each(|phrase| find(phrase, "gives no reason; use `?` or `expect` with the invariant", false));
    if PURE.iter().any(|room| file.starts_with(room)) {
        IMPURE.iter().for_each(|phrase| find(phrase, "has no place in a pure crate", false));
    }
    findings
}

fn vague_name(file: &str) -> Option<Finding> {
    let parts = file.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let is_rust = file.ends_with(".rs");
    let vague = parts.filter(|_| is_rust).find(|part| VAGUE.contains(part))?;
    Some(Finding::new(file, 0, format!("`{vague}` says nothing about what is inside; name the noun")))
}

/// Words that belong to this machine and not to the repository: home, clone and build folders, the machine's name, and
/// whatever `CONVOKE_TIDY_WORDS` lists, separated by commas.
fn private_words() -> Vec<String> {
    let mut words: Vec<String> = vec!["/home/".to_owned(), "/Users/".to_owned()];
    let home = env::var("HOME").unwrap_or_default();
    let target = env::var("CARGO_TARGET_DIR").unwrap_or_default();
    let parent = |path: &str| Path::new(path).parent().map(|path| path.to_string_lossy().into_owned());
    let folders = [home].into_iter().chain(parent(&target)).filter(|path| path.len() > 1);
    words.extend(folders.map(|path| format!("{path}/")));
    words.extend(own_folders(&place::root()));
    let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
    words.extend(Some(host.trim().to_owned()).filter(|host| host.len() > 5 && host != "localhost"));
    let listed = env::var("CONVOKE_TIDY_WORDS").unwrap_or_default();
    words.extend(listed.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned));
    words
}

/// The clone's folder, and the one it is in, where each is two folders deep or more: a single name at the top, such as
/// `/data/`, also stands in texts that mean no machine at all, and what is below a system's own folders is nobody's secret.
fn own_folders(root: &Path) -> Vec<String> {
    let standard = root.iter().nth(1).and_then(|top| top.to_str()).is_none_or(|top| STANDARD.contains(&top));
    let deep = root.ancestors().take(2).filter(|path| !standard && path.iter().count() > 2);
    deep.map(|path| format!("{}/", path.display())).collect()
}

fn private_word(file: &str, text: &str, private: &[String]) -> Vec<Finding> {
    // This file must name the general ones.
    if file.ends_with("tidy/text.rs") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(word) = private.iter().find(|word| begins_a_path(line, word)) {
            findings.push(Finding::new(
                file,
                index + 1,
                format!("`{word}` belongs to one machine, not to the repository"),
            ));
        }
    }
    findings
}

/// True if the word is there and, where it is a path, is not the tail of a longer one such as `tests/home/`.
fn begins_a_path(line: &str, word: &str) -> bool {
    let is_inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}');
    line.match_indices(word).any(|(at, _)| !(word.starts_with('/') && line[..at].ends_with(is_inside)))
}

/// Locks must name the public registries or none, or they work on one machine only.
fn foreign_registry(file: &str, text: &str) -> Vec<Finding> {
    let (mark, public) = match file.rsplit('/').next() {
        Some("Cargo.lock") => ("source = ", "registry+https://github.com/rust-lang/crates.io-index"),
        Some("package-lock.json") => ("\"resolved\": ", "https://registry.npmjs.org/"),
        Some("requirements.txt" | "constraints.txt") => ("://", "none"),
        _ => return Vec::new(),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains(mark) && !line.contains(public));
    lines
        .map(|(index, line)| Finding::new(file, index + 1, format!("not the public registry: {}", line.trim())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<String> {
        check_source(&Source::new(file, text.to_owned())).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unfinished_code_is_found_in_code_only() {
        let text = "//! Doc.\n// todo!()\nfn a() { todo!() }\n#[cfg(test)]\nmod tests {\n    #[ignore]\n    fn b() { x.unwrap() }\n}\n";
        let found = messages("crates/x/src/a.rs", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/x/src/a.rs:3: `todo!`") && found[1].contains(":6: `#[ignore`"));
    }

    #[test]
    fn a_pure_room_reads_no_clock() {
        let text = "//! Doc.\nfn a() { Instant::now(); }\n";
        assert_eq!(messages("crates/convoke-domain/src/a.rs", text).len(), 1);
        assert_eq!(messages("crates/convoke-store/src/a.rs", text).len(), 0);
    }

    #[test]
    fn names_and_paths_of_one_machine_are_found() {
        assert!(vague_name("crates/x/src/utils.rs").is_some() && vague_name("crates/x/src/utilities/a.rs").is_none());
        assert_eq!(own_folders(Path::new("/stuff/convoke")), ["/stuff/convoke/"]);
        assert_eq!(own_folders(Path::new("/stuff/mine/convoke")), ["/stuff/mine/convoke/", "/stuff/mine/"]);
        assert!(own_folders(Path::new("/tmp/mine/convoke")).is_empty());
        let words = ["/stuff/".to_owned()];
        assert_eq!(private_word("a.md", "ok\nsee /stuff/a, but not my/stuff/a\n", &words).len(), 1);
        assert_eq!(private_word("a.md", "my/stuff/a\n", &words).len(), 0);
    }

    #[test]
    fn a_lock_names_the_public_registry() {
        let lock =
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"registry+https://x\"\n";
        assert_eq!(foreign_registry("Cargo.lock", lock).len(), 1);
        assert_eq!(foreign_registry("README.md", lock).len(), 0);
    }
}
