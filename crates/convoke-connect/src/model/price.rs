//! The price table: what a model costs and how much it holds, by name, each entry with its source and date.
//!
//! A name is exact, or ends in `*` and stands for all names with that beginning. An exact name wins, then the longest
//! beginning. A user's file is laid over the built-in one, entry by entry.

use std::collections::BTreeMap;

use convoke_domain::price::Price;
use serde::Deserialize;

const BUILT_IN: &str = include_str!("../../prices.yaml");

/// Tokens taken to fit the window of a model that the table does not know.
pub const DEFAULT_CONTEXT_WINDOW: u64 = 128_000;
/// Output tokens allowed to a model that the table does not know.
pub const DEFAULT_MAX_OUTPUT: u32 = 16_384;

/// What the table knows of one model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// USD per million input tokens.
    pub input: f64,
    /// USD per million output tokens.
    pub output: f64,
    /// USD per million input tokens read from a prompt cache.
    #[serde(default)]
    pub cache_read: Option<f64>,
    /// USD per million input tokens written to a prompt cache.
    #[serde(default)]
    pub cache_write: Option<f64>,
    /// Tokens that fit the window, input and output together.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// Tokens one reply can have.
    #[serde(default)]
    pub max_output: Option<u32>,
    /// Where the figures were read.
    #[serde(default)]
    pub source: Option<String>,
    /// The day the figures were read or published.
    #[serde(default)]
    pub date: Option<String>,
}

impl ModelFacts {
    /// The price alone.
    pub fn price(&self) -> Price {
        Price { input: self.input, output: self.output, cache_read: self.cache_read, cache_write: self.cache_write }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    #[expect(dead_code, reason = "for readers of the file")]
    updated: Option<String>,
    models: BTreeMap<String, ModelFacts>,
}

/// A price file that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct PriceError {
    file: String,
    reason: String,
}

/// Facts by model name.
#[derive(Debug, Clone)]
pub struct PriceTable {
    models: BTreeMap<String, ModelFacts>,
}

impl PriceTable {
    /// The table that Convoke ships.
    pub fn built_in() -> Self {
        let mut table = Self { models: BTreeMap::new() };
        table.merge("prices.yaml", BUILT_IN).expect("the built-in price table is valid; a test reads it");
        table
    }

    /// Lays the entries of the YAML text `yaml` over this table; `file` names it in errors.
    pub fn merge(&mut self, file: &str, yaml: &str) -> Result<(), PriceError> {
        let refuse = |reason: String| PriceError { file: file.to_owned(), reason };
        let read: File = serde_saphyr::from_str(yaml).map_err(|error| refuse(error.to_string()))?;
        for (name, facts) in &read.models {
            if let Some(reason) = flaw(name, facts) {
                return Err(refuse(format!("models.\"{name}\": {reason}")));
            }
        }
        self.models.extend(read.models);
        Ok(())
    }

    /// What is known of `provider/model`.
    pub fn find(&self, name: &str) -> Option<&ModelFacts> {
        self.models.get(name).or_else(|| self.longest_beginning(name))
    }

    fn longest_beginning(&self, name: &str) -> Option<&ModelFacts> {
        let begins = |pattern: &str| pattern.strip_suffix('*').is_some_and(|start| name.starts_with(start));
        self.models
            .iter()
            .filter(|(pattern, _)| begins(pattern))
            .max_by_key(|(pattern, _)| pattern.len())
            .map(|(_, facts)| facts)
    }

    /// All entries, for listing.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &ModelFacts)> {
        self.models.iter().map(|(name, facts)| (name.as_str(), facts))
    }
}

fn flaw(name: &str, facts: &ModelFacts) -> Option<&'static str> {
    let prices = [Some(facts.input), Some(facts.output), facts.cache_read, facts.cache_write];
    if !name.contains('/') {
        return Some("a model is named provider/model");
    }
    if prices.into_iter().flatten().any(|price| !price.is_finite() || price < 0.0) {
        return Some("a price is a number of dollars per million tokens, zero or more");
    }
    if facts.context_window == Some(0) || facts.max_output == Some(0) {
        return Some("context_window and max_output are at least 1");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_names_source_and_date_of_every_entry() {
        let table = PriceTable::built_in();
        assert!(table.entries().count() >= 10);
        for (name, facts) in table.entries() {
            assert!(facts.source.is_some() && facts.date.is_some(), "{name} has no source or date");
            assert!(facts.context_window.is_some() && facts.max_output.is_some(), "{name} has no limits");
        }
    }

    #[test]
    fn exact_beats_longest_beginning_beats_shorter() {
        let mut table = PriceTable { models: BTreeMap::new() };
        let yaml =
            "models:\n  a/m*: {input: 1, output: 1}\n  a/m-2*: {input: 2, output: 2}\n  a/m-2: {input: 3, output: 3}\n";
        table.merge("x.yaml", yaml).expect("valid");
        let input = |name| table.find(name).map(|facts| facts.input);
        assert_eq!(input("a/m-2"), Some(3.0));
        assert_eq!(input("a/m-2-mini"), Some(2.0));
        assert_eq!(input("a/m"), Some(1.0));
        assert_eq!(input("b/m"), None);
    }

    #[test]
    fn a_users_file_overrides_and_its_flaws_are_named() {
        let mut table = PriceTable::built_in();
        table.merge("mine.yaml", "models:\n  vllm/llama*: {input: 0.1, output: 0.2}\n").expect("valid");
        assert_eq!(table.find("vllm/llama-4").map(|facts| facts.output), Some(0.2));
        let error = table.merge("mine.yaml", "models:\n  vllm/x: {input: -1, output: 0}\n").expect_err("negative");
        assert!(error.to_string().starts_with("mine.yaml: models.\"vllm/x\": a price is"), "{error}");
        let error = table.merge("mine.yaml", "models:\n  vllm/x: {inpt: 1}\n").expect_err("a typo");
        assert!(error.to_string().contains("inpt"), "{error}");
    }
}
