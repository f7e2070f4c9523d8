//! Tools: what an agent can do besides talking. Behind the engine's *act* door, which checks authority first.

use std::path::PathBuf;
use std::time::Duration;

use convoke_domain::program::Program;
use convoke_domain::team::McpServer;
use convoke_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::BoxFuture;

/// A tool as a model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of its arguments: an object.
    pub input_schema: Value,
}

/// Whether a call may be made again when its outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// It changes nothing: repeat at will.
    Harmless,
    /// The same call twice is the same as once.
    Idempotent,
    /// Never blindly: a person must say what became of it.
    Once,
}

/// A tool that can be had.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolInfo {
    /// What the model sees. `spec.name` of an MCP tool is `mcp_SERVER_TOOL`.
    pub spec: ToolSpec,
    /// The name in profiles: `read_file`, or `mcp:SERVER/TOOL`.
    pub id: String,
    /// Whether it may be repeated.
    pub repeat: Repeat,
}

/// What a set of tools is wanted for.
#[derive(Debug, Clone, Default)]
pub struct ToolScope {
    /// What the profile allows: built-in names, `mcp:SERVER/TOOL`, `mcp:SERVER/*`.
    pub allowed: Vec<String>,
    /// The team's MCP servers by name.
    pub mcp_servers: std::collections::BTreeMap<String, McpServer>,
    /// The attempt's own folder; file tools write only here.
    pub workdir: PathBuf,
    /// The run's input folder, read only, if there is one.
    pub input: Option<PathBuf>,
    /// The folder that all members of the run share, if they do; written only under a lock.
    pub shared: Option<PathBuf>,
    /// Shell commands are granted.
    pub shell: bool,
    /// Hosts that HTTP tools may reach.
    pub http_hosts: Vec<String>,
    /// Private and loopback addresses may be reached on those hosts.
    pub private_network: bool,
    /// The program that the agent is, if it is one: what a call to [`convoke_domain::program::TOOL`] runs.
    pub program: Option<Program>,
}

/// The lock under which a call writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The fencing token. Whoever writes refuses a token lower than the last one that wrote the same.
    pub token: i64,
    /// When the lock ends unless it is renewed; nothing is written after that.
    pub until: Timestamp,
}

/// One tool call.
#[derive(Debug, Clone)]
pub struct ToolRequest {
    /// [`ToolInfo::id`].
    pub id: String,
    /// The arguments.
    pub input: Value,
    /// Stable key of the effect: `run:task:attempt:step`. Passed on to tools that honour idempotency keys.
    pub key: String,
    /// Time after which the call is given up.
    pub timeout: Duration,
    /// The lock under which it writes, where it needs one.
    pub fence: Option<Fence>,
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// What the model reads. Already cut to the tool's limit; a cut says so in the text.
    pub content: String,
    /// The tool itself says that it failed.
    pub is_error: bool,
}

/// A tool call that gave nothing back.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ToolError {
    /// Arguments or target are not allowed; nothing was done.
    #[error("{0}")]
    Refused(String),
    /// It failed and has done nothing, or nothing that matters.
    #[error("{0}")]
    Failed(String),
    /// The lock under which it was to write is over or another's; nothing was done.
    #[error("{0}")]
    Stale(String),
    /// It did not end in time; it may have acted.
    #[error("{0}")]
    TimedOut(String),
    /// It was cancelled here; it may have acted.
    #[error("the call was cancelled")]
    Cancelled,
    /// It was sent and no answer came; it may have acted.
    #[error("{0}")]
    Unknown(String),
}

/// Tools of every kind, for one attempt.
pub trait Tools: Send + Sync + 'static {
    /// The tools that `scope` allows and that can be had now, and notices about those that cannot
    /// (an MCP server that does not answer is a notice, never an error).
    fn offer<'a>(&'a self, scope: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)>;

    /// Runs one call within `scope`. Returns soon after `cancel`.
    fn call<'a>(
        &'a self,
        scope: &'a ToolScope,
        request: &'a ToolRequest,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>>;
}
