//! The documents: their examples run, and the page of errors lists every code there is.
//!
//! A block that begins with three backticks and `sh ci` is run, `sh ci=3` must end with 3. The blocks of one file run one after the other
//! in one shell and one folder, as a reader would type them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Place;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the clone")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The blocks to run, each with the exit code it must end with.
fn blocks(text: &str) -> Vec<(i32, String)> {
    let mut blocks = Vec::new();
    let mut inside: Option<(i32, String)> = None;
    for line in text.lines() {
        match (&mut inside, line.strip_prefix("```sh ci")) {
            (None, Some(rest)) => {
                let code = rest.strip_prefix('=').map_or(Ok(0), str::parse).expect("a number after `ci=`");
                inside = Some((code, String::new()));
            }
            (Some(_), _) if line.starts_with("```") => blocks.extend(inside.take()),
            (Some((_, block)), _) => writeln!(block, "{line}").expect("a string"),
            (None, None) => {}
        }
    }
    blocks
}

/// Runs the blocks of a file. Fails with everything that was written if one ends otherwise than it says.
fn run(file: &str) {
    let blocks = blocks(&read(file));
    assert!(!blocks.is_empty(), "{file} has no blocks to run");
    let place = Place::new();
    std::os::unix::fs::symlink(root().join("examples"), place.path("examples")).expect("linked");
    let mut script = String::from(
        "expect() { got=$?; [ $got = $1 ] || { echo \"block $2 ended with $got, not $1\" >&2; exit 99; }; }\n",
    );
    for (place, (code, block)) in blocks.iter().enumerate() {
        let number = place + 1;
        match code {
            0 => writeln!(script, "set -e\n{block}set +e"),
            code => writeln!(script, "set +e\n{block}expect {code} {number}"),
        }
        .expect("a string");
    }
    let program = Path::new(env!("CARGO_BIN_EXE_convoke")).parent().expect("a folder");
    let mut shell = Command::new("sh");
    shell.env_clear().env("HOME", place.path("")).env("PATH", format!("{}:/usr/bin:/bin", program.display()));
    let done = shell.current_dir(place.path("")).args(["-xc", &script]).output().expect("sh runs");
    let [out, err] = [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(done.status.success(), "{file}: {}\n{out}\n{err}", done.status);
}

#[test]
fn the_readme_runs() {
    run("README.md");
}

#[test]
fn the_examples_run() {
    run("examples/code-review/run.md");
    run("examples/incident-response/run.md");
    run("examples/lint-and-review/run.md");
    run("examples/working-together/README.md");
    run("examples/patterns/README.md");
    run("examples/decisions/README.md");
}

#[test]
fn getting_started_runs() {
    run("docs/guide/getting-started.md");
}

#[test]
fn the_library_of_teams_runs() {
    run("docs/guide/teams-library.md");
}

#[test]
fn operating_runs() {
    run("docs/guide/operate.md");
}

#[test]
fn writing_a_team_runs() {
    run("docs/guide/team.md");
}

#[test]
fn bringing_a_program_runs() {
    run("docs/guide/program.md");
}

/// What stands before a code in the sources, once breaks after a bracket are gone.
const BEFORE: [&str; 7] = [
    "Failure::new(\"",
    "Failure::usage(\"",
    "Refusal::new(\"",
    "Halt::failed(\"",
    "Move::Fail(\"",
    "stop(\"",
    "code: \"",
];
/// Files in which more is a code: what stands before it there.
const THERE: [(&str, &str); 4] = [
    ("convoke-port/src/model.rs", "=> \""),
    ("convoke-store/src/error.rs", "=> \""),
    ("convoke-api/src/", "finding(\""),
    ("convoke-api/src/flow", "self.say(node, \""),
];

/// Every code in sources of the program.
fn codes(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (name, text) in sources {
        let there = THERE.iter().filter(|(file, _)| name.contains(file)).map(|(_, before)| before);
        for before in BEFORE.iter().chain(there) {
            codes.extend(text.split(before).skip(1).map(until_quote));
        }
    }
    codes.retain(|code| !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    codes
}

fn until_quote(text: &str) -> String {
    text.split('"').next().unwrap_or_default().to_owned()
}

/// The sources of all crates that ship, each with its path, without their tests and without breaks.
fn sources(crates: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = entries(crates).into_iter().map(|one| one.join("src")).collect();
    folders.retain(|folder| folder.is_dir() && !folder.to_string_lossy().contains("testkit"));
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                found.push((path.display().to_string(), text.lines().map(str::trim).collect()));
            }
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// The codes in the first column of the page's tables.
fn listed(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap_or_default());
    cells.flat_map(|cell| cell.split("`, `")).map(|code| code.trim_matches(['`', ' ']).to_owned()).collect()
}

#[test]
fn every_code_is_on_the_page_and_no_other() {
    let sources = sources(&root().join("crates"));
    let listed = listed(&read("docs/reference/errors.md"));
    let there = codes(&sources);
    assert!(there.len() > 80, "too few codes were found: {there:?}");
    let missing: Vec<_> = there.difference(&listed).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    let in_code = |code: &&String| {
        let [alone, before] = [format!("\"{code}\""), format!("\"{code}: ")];
        sources.iter().any(|(_, text)| text.contains(&alone) || text.contains(&before))
    };
    let gone: Vec<_> = listed.iter().filter(|code| !in_code(code)).collect();
    assert!(gone.is_empty(), "not in the code: {gone:?}");
}
