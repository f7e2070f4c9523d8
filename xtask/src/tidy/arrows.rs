//! Arrows between crates point down only, and what is heavy or dangerous has one home.
//!
//! The two tables are the law; `docs/decision/` says why. A new crate needs a record there and a row here.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use crate::run;

/// A crate and the crates of this workspace that it may build on.
const ARROWS: [(&str, &[&str]); 8] = [
    ("convoke-domain", &[]),
    ("convoke-port", &["convoke-domain"]),
    ("convoke-store", &["convoke-domain"]),
    ("convoke-engine", &["convoke-domain", "convoke-port", "convoke-store"]),
    ("convoke-connect", &["convoke-domain", "convoke-port"]),
    ("convoke-api", &["convoke-domain"]),
    ("convoke-report", &["convoke-domain"]),
    ("xtask", &[]),
];
/// Crates that may build on all that ships; only the binary itself ships.
const ABOVE: [&str; 2] = ["convoke", "convoke-testkit"];
/// For tests and benches alone.
const TEST_ONLY: [&str; 3] = ["convoke-testkit", "convoke-bench", "convoke-bench-mock"];

/// An outside crate and the only crates that may name it.
const HOMES: [(&str, &[&str]); 7] = [
    ("tokio-postgres", &["convoke-store"]),
    ("rusqlite", &["convoke-store", "convoke-connect"]),
    ("reqwest", &["convoke-connect"]),
    ("rmcp", &["convoke-connect"]),
    ("landlock", &["convoke-connect"]),
    ("clap", &["convoke", "xtask"]),
    ("anyhow", &["convoke", "xtask"]),
];

/// One dependency as a manifest states it.
#[derive(Debug)]
struct Dependency<'a> {
    from: &'a str,
    to: &'a str,
    is_dev: bool,
}

/// Checks every manifest of the workspace.
pub fn check() -> Result<Vec<Finding>> {
    let text = run::quiet(run::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut findings: Vec<Finding> = ours.iter().filter_map(|name| unknown(name)).collect();
    for package in packages {
        let from = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let dependency = Dependency { from, to, is_dev: dependency["kind"] == "dev" };
            findings.extend(forbidden(&dependency, ours.contains(&to)).map(|why| Finding::new(from, 0, why)));
        }
    }
    Ok(findings)
}

fn unknown(name: &str) -> Option<Finding> {
    let known = ARROWS.iter().any(|(crate_name, _)| *crate_name == name) || ABOVE.contains(&name) || is_bench(name);
    (!known).then(|| Finding::new(name, 0, "a new crate needs a decision record and a row in xtask/src/tidy/arrows.rs"))
}

fn is_bench(name: &str) -> bool {
    name.starts_with("convoke-bench")
}

/// Why a dependency may not be.
fn forbidden(dependency: &Dependency<'_>, is_ours: bool) -> Option<String> {
    let Dependency { from, to, is_dev } = *dependency;
    if is_bench(from) || from == "convoke-testkit" && to != "convoke" {
        return None;
    }
    if !is_ours {
        let home = HOMES.iter().find(|(name, _)| *name == to).map(|(_, home)| *home)?;
        let allowed = is_dev || home.contains(&from);
        return (!allowed).then(|| format!("may not depend on {to}; its home is {}", home.join(", ")));
    }
    if TEST_ONLY.contains(&to) {
        return (!is_dev).then(|| format!("may depend on {to} for its tests only"));
    }
    let below = ARROWS.iter().find(|(name, _)| *name == from).map(|(_, below)| *below);
    let allowed = to != "convoke" && below.is_none_or(|below| below.contains(&to));
    (!allowed).then(|| format!("may not depend on {to}: arrows point down only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(from: &str, to: &str, is_dev: bool) -> bool {
        let is_ours = to.starts_with("convoke");
        forbidden(&Dependency { from, to, is_dev }, is_ours).is_none()
    }

    #[test]
    fn arrows_point_down() {
        assert!(is_allowed("convoke-engine", "convoke-store", false));
        assert!(!is_allowed("convoke-store", "convoke-engine", false));
        assert!(!is_allowed("convoke-connect", "convoke-store", false));
        assert!(is_allowed("convoke", "convoke-connect", false));
        assert!(!is_allowed("convoke-engine", "convoke", false));
    }

    #[test]
    fn the_testkit_is_for_tests_and_benches() {
        assert!(is_allowed("convoke-engine", "convoke-testkit", true));
        assert!(!is_allowed("convoke-engine", "convoke-testkit", false));
        assert!(is_allowed("convoke-bench", "convoke-testkit", false));
        assert!(!is_allowed("convoke", "convoke-testkit", false));
    }

    #[test]
    fn heavy_crates_have_one_home() {
        assert!(!is_allowed("convoke-engine", "rusqlite", false));
        assert!(is_allowed("convoke-engine", "rusqlite", true));
        assert!(is_allowed("convoke-store", "rusqlite", false));
        assert!(unknown("convoke-server").is_some() && unknown("convoke-bench-mock").is_none());
    }
}
