//! The library: profiles, teams, scripts and the example incident, built into the program.
//!
//! Rule: every file of `library/` and of the example's data stands in a list here; a test compares the lists with the
//! folders, so that none is forgotten.

use crate::file::{Bundle, Source, read};
use crate::known::Known;

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

/// The files of profiles and teams, in the order of their paths.
pub fn files() -> &'static [LibraryFile] {
    FILES
}

/// The library's profiles and teams.
pub fn bundle() -> Bundle {
    let sources: Vec<Source<'_>> = FILES.iter().map(|file| Source { file: file.path, text: file.text }).collect();
    read(&sources, &Known::default()).expect("the library's files are right: a test reads them")
}

/// The scripts of the `script` model provider by the name of the team each one plays, with their YAML.
pub fn scripts() -> &'static [(&'static str, &'static str)] {
    SCRIPTS
}

/// The example incident as it stands in `examples/incident-response/data`: paths and bytes.
pub fn incident_files() -> &'static [(&'static str, &'static [u8])] {
    INCIDENT
}
