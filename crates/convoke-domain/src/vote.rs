//! Votes: how ballots are counted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How ballots are counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VoteRule {
    /// The options; any answer counts if empty.
    pub options: Vec<String>,
    /// Weights by voter.
    pub fixed: BTreeMap<String, f64>,
}

/// One ballot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ballot {
    /// Who voted.
    pub voter: String,
    /// For what, as said.
    pub choice: String,
}
