//! The library: profiles, patterns, teams and scripts, built into the program. What teams are shown with is in `example`.
//!
//! Rule: every file of `library/` stands in a list here; a test compares the lists with the folders, so that none is
//! forgotten.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use convoke_domain::flow::PatternFile;

use crate::file::{Bundle, Source, documents_of, patterns_of, read};
use crate::known::{Known, Pattern};
use crate::node::Node;
use crate::schema::Kind;

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
    "patterns/consensus.yaml",
    "patterns/debate.yaml",
    "patterns/ensemble.yaml",
    "patterns/handoff.yaml",
    "patterns/hierarchical.yaml",
    "patterns/majority_vote.yaml",
    "patterns/parallel.yaml",
    "patterns/parallel_implementation.yaml",
    "patterns/peer_review.yaml",
    "patterns/peer_to_peer.yaml",
    "patterns/planned_team.yaml",
    "patterns/review_feedback_loop.yaml",
    "patterns/sequential.yaml",
    "patterns/weighted_vote.yaml",
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

/// The library's documents, which files may extend.
pub(crate) fn documents() -> &'static [(Kind, Node)] {
    static DOCUMENTS: LazyLock<Vec<(Kind, Node)>> = LazyLock::new(|| documents_of(&sources()));
    &DOCUMENTS
}

/// The library's patterns, profiles and teams.
pub fn bundle() -> Bundle {
    read(&sources(), &Known::default()).expect("the library's files are right: a test reads them")
}

/// The scripts of the `script` model provider by the name of the team each one plays, with their YAML.
pub fn scripts() -> &'static [(&'static str, &'static str)] {
    SCRIPTS
}
