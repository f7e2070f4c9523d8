//! The library: profiles, teams and scripts, built into the program. What they are shown with is in `example`.
//!
//! Rule: every file of `library/` stands in a list here; a test compares the lists with the folders, so that none is
//! forgotten.

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

const FILES: &[LibraryFile] = files![
    "profiles/architect.yaml",
    "profiles/billing-specialist.yaml",
    "profiles/business.yaml",
    "profiles/compliance-specialist.yaml",
    "profiles/cost-specialist.yaml",
    "profiles/data-analyst.yaml",
    "profiles/data-engineer.yaml",
    "profiles/developer.yaml",
    "profiles/device-analyst.yaml",
    "profiles/devops.yaml",
    "profiles/incident-coordinator.yaml",
    "profiles/logs-specialist.yaml",
    "profiles/market-analyst.yaml",
    "profiles/merchant-analyst.yaml",
    "profiles/orchestrator.yaml",
    "profiles/performance-reviewer.yaml",
    "profiles/performance-specialist.yaml",
    "profiles/practices-reviewer.yaml",
    "profiles/qa.yaml",
    "profiles/researcher.yaml",
    "profiles/review-coordinator.yaml",
    "profiles/security-reviewer.yaml",
    "profiles/security-specialist.yaml",
    "profiles/security.yaml",
    "profiles/support.yaml",
    "profiles/technical-writer.yaml",
    "profiles/test-reviewer.yaml",
    "profiles/transaction-analyst.yaml",
    "teams/code-review.yaml",
    "teams/data-analysis.yaml",
    "teams/data-pipeline.yaml",
    "teams/fraud-investigation.yaml",
    "teams/incident-response.yaml",
    "teams/research-report.yaml",
    "teams/security-audit.yaml",
    "teams/software-delivery.yaml",
    "teams/technical-support.yaml",
];

const SCRIPTS: &[(&str, &str)] = &[
    ("code-review", include_str!("../../../library/scripts/code-review.yaml")),
    ("data-analysis", include_str!("../../../library/scripts/data-analysis.yaml")),
    ("data-pipeline", include_str!("../../../library/scripts/data-pipeline.yaml")),
    ("fraud-investigation", include_str!("../../../library/scripts/fraud-investigation.yaml")),
    ("incident-response", include_str!("../../../library/scripts/incident-response.yaml")),
    ("research-report", include_str!("../../../library/scripts/research-report.yaml")),
    ("security-audit", include_str!("../../../library/scripts/security-audit.yaml")),
    ("software-delivery", include_str!("../../../library/scripts/software-delivery.yaml")),
    ("technical-support", include_str!("../../../library/scripts/technical-support.yaml")),
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
