//! A task: one unit of work, node of a run's graph, its state and the only legal ways to change it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How urgent a task is. Within a workspace the more urgent is claimed first; see `rank`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all else.
    Critical,
    /// Before the usual.
    High,
    /// The usual.
    #[default]
    #[serde(alias = "medium")]
    Normal,
    /// When there is nothing better to do.
    Low,
}
