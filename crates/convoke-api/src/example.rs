//! The examples: for each team of the library a task, and files on which it can be done, built into the program.
//!
//! Rule: every file of an example's data stands in a list here; a test compares the lists with the folders.

/// What a team of the library is shown with.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The team.
    pub team: &'static str,
    /// What it is asked.
    pub task: &'static str,
    /// The files that it may read: paths and bytes.
    pub files: &'static [(&'static str, &'static [u8])],
}

macro_rules! example {
    ($team:literal, $task:literal, [$($path:literal,)+]) => {
        Example {
            team: $team,
            task: $task,
            files: &[$(($path, include_bytes!(concat!("../../../examples/", $team, "/data/", $path))),)+],
        }
    };
}

const ALL: &[Example] = &[
    example!(
        "code-review",
        "Review this repository for security, performance, practices and tests.",
        ["README.md", "src/price.py", "src/settings.py", "src/store.py", "src/track.py", "tests/test_price.py",]
    ),
    example!(
        "data-analysis",
        "In which region did net revenue fall most from the second quarter to the third?",
        ["notes.md", "sales.csv",]
    ),
    example!(
        "data-pipeline",
        "Finance says that the revenue of the last days cannot be right. Find out why, since when, and how to repair it.",
        ["README.md", "contracts.csv", "orders.csv", "rates.csv", "report.csv", "runs.csv",]
    ),
    example!(
        "fraud-investigation",
        "Cards were copied somewhere before they were used for fraud. At which merchant?",
        ["README.md", "merchants.csv", "payments.csv", "reports.csv",]
    ),
    example!(
        "incident-response",
        "Investigate INC-2093: customers cannot check out. Find the root cause and propose a fix.",
        [
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
        ]
    ),
    example!(
        "research-report",
        "Which hosted database should we take for the booking system?",
        ["README.md", "benchmarks.csv", "outages.jsonl", "prices.csv", "survey.csv",]
    ),
    example!(
        "security-audit",
        "May ledger-api 3.2 be released tomorrow?",
        [
            "README.md",
            "access.csv",
            "advisories.jsonl",
            "config/ledger-api.yaml",
            "config/statement-renderer.yaml",
            "dependencies.csv",
            "inventory.csv",
            "policy.md",
        ]
    ),
    example!(
        "software-delivery",
        "Build logstat as the specification in input/spec.md says.",
        ["sample.log", "spec.md",]
    ),
    example!(
        "technical-support",
        "Solve ticket T-8812 and answer the customer.",
        [
            "customers.csv",
            "invoices.csv",
            "plans.csv",
            "refund-rules.md",
            "sdk-releases.csv",
            "status.csv",
            "ticket.md",
            "upgrades.jsonl",
            "usage.csv",
        ]
    ),
];

/// All examples, in the order of their teams.
pub fn all() -> &'static [Example] {
    ALL
}

/// The example of a team.
pub fn of(team: &str) -> Option<&'static Example> {
    ALL.iter().find(|example| example.team == team)
}
