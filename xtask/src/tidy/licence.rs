//! Dependencies: their licences, one version of what there must be one of, and known advisories.
//!
//! The list of allowed licences is the one in `deny.toml`, so that `cargo deny` says the same. Licences are read from
//! the manifests that cargo has anyway. Advisories need a database from the network and a program that reads it; where
//! either is missing this says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Finding, path};
use crate::run;

const DENY: &str = "deny.toml";
const LOCK: &str = "Cargo.lock";
/// One HTTP client, one TLS stack, one runtime.
const SINGLE: [&str; 5] = ["hyper", "reqwest", "rustls", "tokio", "ring"];
/// Second TLS stacks, runtimes and clients.
const UNWANTED: [&str; 8] = ["async-std", "aws-lc-rs", "isahc", "native-tls", "openssl", "openssl-sys", "smol", "ureq"];

/// Checks licences and versions.
pub fn check() -> Result<Vec<Finding>> {
    let mut findings = versions(&fs::read_to_string(path(LOCK)).context("cannot read Cargo.lock")?);
    let deny = fs::read_to_string(path(DENY)).context("cannot read deny.toml")?;
    let allowed = allowed(&deny)?;
    for package in packages()? {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let (name, licence) = (text("name"), text("license"));
        if !permits(&licence, &allowed) && !is_exception(&deny, &name, &licence) {
            let licence = if licence.is_empty() { "no licence".to_owned() } else { format!("`{licence}`") };
            findings.push(Finding::new(
                LOCK,
                0,
                format!("{name} {} has {licence}, which {DENY} does not allow", text("version")),
            ));
        }
    }
    Ok(findings)
}

/// All packages that are built for this machine.
fn packages() -> Result<Vec<Value>> {
    let version = run::quiet(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let words = ["metadata", "--locked", "--format-version", "1", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&run::quiet(run::cargo().args(words))?)?;
    let in_use: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata has no resolution")?
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    Ok(packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| in_use.contains(id)))
        .cloned()
        .collect())
}

fn versions(lock: &str) -> Vec<Finding> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut name = "";
    for line in lock.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            name = value.trim_matches('"');
        } else if let Some(version) = line.strip_prefix("version = ") {
            found.entry(name).or_default().push(version.trim_matches('"'));
        }
    }
    let twice = found.iter().filter(|(name, versions)| SINGLE.contains(name) && versions.len() > 1);
    let twice = twice.map(|(name, versions)| format!("{name} is there more than once: {}", versions.join(", ")));
    let unwanted = found.keys().filter(|name| UNWANTED.contains(name));
    let unwanted = unwanted.map(|name| format!("{name} is a second stack beside rustls with ring, tokio and reqwest"));
    twice.chain(unwanted).map(|message| Finding::new(LOCK, 0, message)).collect()
}

/// The list `allow` in the section `[licenses]`.
fn allowed(deny: &str) -> Result<BTreeSet<String>> {
    let section = deny.split_once("[licenses]").map(|(_, rest)| rest).context("deny.toml has no section [licenses]")?;
    let list = section.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).map(|(list, _)| list);
    let list = list.context("deny.toml has no list `allow` of licences")?;
    let names: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("the list `allow` of licences in deny.toml is empty");
    }
    Ok(names)
}

/// True if `exceptions` names this very crate with this very licence.
fn is_exception(deny: &str, name: &str, licence: &str) -> bool {
    deny.lines().any(|line| line.trim() == format!("{{ allow = [\"{licence}\"], crate = \"{name}\" }},"))
}

/// True if a licence expression can be met with allowed licences alone. `/` is the old way to write `OR`.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let permitted = any(&mut words, allowed);
    permitted && words.is_empty()
}

fn any(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut permitted = all(words, allowed);
    while words.last() == Some(&"OR") {
        words.pop();
        permitted |= all(words, allowed);
    }
    permitted
}

fn all(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    let mut permitted = one(words, allowed);
    while words.last() == Some(&"AND") {
        words.pop();
        permitted &= one(words, allowed);
    }
    permitted
}

fn one(words: &mut Vec<&str>, allowed: &BTreeSet<String>) -> bool {
    match words.pop() {
        Some("(") => {
            let permitted = any(words, allowed);
            words.pop() == Some(")") && permitted
        }
        Some(name) if words.last() == Some(&"WITH") => {
            words.pop();
            let exception = words.pop().unwrap_or_default();
            allowed.contains(&format!("{name} WITH {exception}"))
        }
        Some(name) => allowed.contains(name),
        None => false,
    }
}

/// Checks advisories if a program for it is installed and its database can be had; else says why not.
pub fn advisories() -> Result<Option<String>> {
    let has = |name: &str| run::quiet(run::cargo().args([name, "--version"])).is_ok();
    let words: &[&str] = if has("deny") {
        &["deny", "check", "advisories"]
    } else if has("audit") {
        &["audit"]
    } else {
        let next = "`cargo install --locked cargo-deny`, then run this again";
        return Ok(Some(format!("advisories: neither cargo-deny nor cargo-audit is installed; {next}")));
    };
    match run::quiet(run::cargo().args(words)) {
        Ok(_) => Ok(None),
        Err(error) if is_about_the_database(&error.to_string()) => {
            Ok(Some(format!("advisories: the database cannot be had: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn is_about_the_database(text: &str) -> bool {
    ["failed to fetch", "couldn't fetch", "failed to load advisory database", "failed to clone"]
        .iter()
        .any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_allowed_licences() {
        let allowed = allowed("[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"Apache-2.0 WITH LLVM-exception\"]\n")
            .expect("a list");
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR X) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR X",
        ] {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "MIT WITH x", "(MIT", "", "MIT MIT"] {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn two_versions_and_second_stacks_are_found() {
        let lock = "name = \"tokio\"\nversion = \"1.0.0\"\nname = \"tokio\"\nversion = \"0.2.0\"\nname = \"ureq\"\nversion = \"2.0.0\"\n";
        let found: Vec<_> = versions(lock).into_iter().map(|finding| finding.message).collect();
        assert!(found[0].contains("1.0.0, 0.2.0") && found[1].starts_with("ureq"), "{found:?}");
    }

    #[test]
    fn an_exception_is_for_one_crate_and_one_licence() {
        let deny = "exceptions = [\n    { allow = [\"MPL-2.0\"], crate = \"a\" },\n]\n";
        assert!(is_exception(deny, "a", "MPL-2.0"));
        assert!(!is_exception(deny, "b", "MPL-2.0") && !is_exception(deny, "a", "GPL-3.0"));
    }

    #[test]
    fn an_empty_list_is_an_error() {
        assert!(allowed("[licenses]\nallow = []\n").is_err());
        assert!(allowed("[bans]\n").is_err());
    }
}
