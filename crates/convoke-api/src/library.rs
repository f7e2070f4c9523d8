//! The library: profiles, patterns, teams, scripts and the example incident, built into the program.
//!
//! Rule: every file of `library/` and of the example's data stands in a list here; a test compares the lists with the
//! folders, so that none is forgotten.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use convoke_domain::flow::PatternFile;

use crate::file::{Bundle, Source, patterns_of, read};
use crate::known::{Known, Pattern};

/// A file that is built in: its path inside the library, and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LibraryFile {
    /// Such as `teams/incident-response.yaml`.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! files {
    ($($path:literal,)+) => {
        &[$(LibraryFile { path: $path, text: include_str!(concat!("../../../library/", $path)) },)+]
    };
}

macro_rules! data {
    ($($path:literal,)+) => {
        &[$(($path, include_bytes!(concat!("../../../examples/incident-response/data/", $path))),)+]
    };
}

const FILES: &[LibraryFile] = files![
    "patterns/parallel.yaml",
    "profiles/cost-specialist.yaml",
    "profiles/incident-coordinator.yaml",
    "profiles/logs-specialist.yaml",
    "profiles/performance-reviewer.yaml",
    "profiles/performance-specialist.yaml",
    "profiles/practices-reviewer.yaml",
    "profiles/review-coordinator.yaml",
    "profiles/security-reviewer.yaml",
    "profiles/security-specialist.yaml",
    "profiles/test-reviewer.yaml",
    "teams/code-review.yaml",
    "teams/incident-response.yaml",
];

const SCRIPTS: &[(&str, &str)] = &[
    ("code-review", include_str!("../../../library/scripts/code-review.yaml")),
    ("incident-response", include_str!("../../../library/scripts/incident-response.yaml")),
];

const INCIDENT: &[(&str, &[u8])] = data![
    "README.md",
    "audit/audit.jsonl",
    "billing/hourly.csv",
    "billing/rates.csv",
    "deploys/deploys.csv",
    "deploys/diffs/CHG-4402.diff",
    "deploys/diffs/CHG-4405.diff",
    "deploys/diffs/CHG-4409.diff",
    "deploys/diffs/CHG-4412.diff",
    "deploys/diffs/CHG-4417.diff",
    "deploys/diffs/CHG-4419.diff",
    "deploys/settings.csv",
    "k8s/rbac.yaml",
    "logs/gateway.log",
    "logs/orders-api.jsonl",
    "logs/payments-api.jsonl",
    "logs/worker.jsonl",
    "metrics/catalog.csv",
    "metrics/requests.csv",
    "metrics/resources.csv",
    "runbook.md",
];

/// The files of patterns, profiles and teams, in the order of their paths.
pub fn files() -> &'static [LibraryFile] {
    FILES
}

static PATTERNS: LazyLock<(Vec<PatternFile>, BTreeMap<String, Pattern>)> = LazyLock::new(|| {
    let sources: Vec<Source<'_>> =
        sources().into_iter().filter(|source| source.file.starts_with("patterns/")).collect();
    let bundle = read(&sources, &Known::default()).expect("the library's patterns are right: a test reads them");
    (bundle.patterns, patterns_of(&sources))
});

fn sources() -> Vec<Source<'static>> {
    FILES.iter().map(|file| Source { file: file.path, text: file.text }).collect()
}

/// The library's patterns, in the order of their names.
pub fn patterns() -> &'static [PatternFile] {
    &PATTERNS.0
}

/// The library's patterns as teams refer to them.
pub(crate) fn known_patterns() -> &'static BTreeMap<String, Pattern> {
    &PATTERNS.1
}

/// The library's patterns, profiles and teams.
pub fn bundle() -> Bundle {
    read(&sources(), &Known::default()).expect("the library's files are right: a test reads them")
}

/// The scripts of the `script` model provider by the name of the team each one plays, with their YAML.
pub fn scripts() -> &'static [(&'static str, &'static str)] {
    SCRIPTS
}

/// The example incident as it stands in `examples/incident-response/data`: paths and bytes.
pub fn incident_files() -> &'static [(&'static str, &'static [u8])] {
    INCIDENT
}
