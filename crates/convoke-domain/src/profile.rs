//! A profile: the reusable definition an agent is made from. Versions are kept; a run pins the one it started with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compaction::CompactionRule;
use crate::money::Money;
use crate::program::Program;
use crate::run::Phase;

/// How an agent is driven: who or what does its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// A model, through its provider.
    #[default]
    Llm,
    /// A person, through an inbox.
    Human,
    /// A program on this machine.
    Command,
}

impl AgentKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Llm, Self::Human, Self::Command];

    /// The name in YAML, JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llm => "llm",
            Self::Human => "human",
            Self::Command => "command",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What part an agent plays in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Plans, assigns, puts results together.
    Coordinator,
    /// Knows one field well.
    #[default]
    Specialist,
    /// Does what it is given.
    Worker,
    /// Judges the work of others.
    Reviewer,
}

impl Role {
    /// The name in YAML and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Specialist => "specialist",
            Self::Worker => "worker",
            Self::Reviewer => "reviewer",
        }
    }
}

/// How an agent writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommunicationStyle {
    /// Short.
    #[default]
    Concise,
    /// At length.
    Detailed,
    /// For experts.
    Technical,
}

/// Who may use a profile or a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The user who made it.
    Private,
    /// Everybody in the workspace.
    #[default]
    Workspace,
    /// A public template.
    Public,
}

/// Settings that go with each model call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// The most tokens one reply may have.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_output_tokens: u32,
    /// Sampling temperature, 0 to 2; the provider's default if absent.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1; the provider's default if absent.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// How much a reasoning model should think: `minimal`, `low`, `medium`, `high`.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Seconds after which one call is given up.
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_s: u64,
    /// Models to turn to, in order, when this one cannot be had.
    pub fallback: Vec<String>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            max_output_tokens: 4_096,
            temperature: None,
            top_p: None,
            reasoning_effort: None,
            timeout_s: 120,
            fallback: Vec::new(),
        }
    }
}

/// How much a reasoning model should think before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEffort {
    /// As little as it can.
    Minimal,
    /// A little.
    Low,
    /// The vendors' usual.
    Medium,
    /// As much as it likes.
    High,
}

/// Spending limits of one agent within one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most dollars the agent may spend in a run.
    #[schemars(with = "Option<f64>", range(max = 1_000_000_000.0), extend("exclusiveMinimum" = 0))]
    pub max_cost_usd: Option<Money>,
    /// The most tokens, input and output together, the agent may use in a run.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
}

/// Which documents an agent may search.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KnowledgeFilters {
    /// Only documents with one of these tags.
    pub tags: Vec<String>,
}

/// What an agent may do: denied unless granted here, but for escalating. See `authority` for how rights meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Authority {
    /// May run shell commands in the sandbox.
    pub shell: bool,
    /// Hosts that `http_get` may reach, such as `api.example.com` or `*.example.com`; none if empty.
    pub http_hosts: Vec<String>,
    /// May reach private and loopback addresses as well, on the hosts named above.
    pub private_network: bool,
    /// Tools that it must not use even where `tools` covers them: names, groups, `mcp:SERVER/*`.
    pub forbidden_actions: Vec<String>,
    /// Phases in which it may use tools; all if absent, none if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<Vec<Phase>>,
    /// May spawn agents, within its own rights.
    pub can_spawn: bool,
    /// Agents it has spawned that may live at the same time.
    #[schemars(range(min = 1, max = 20))]
    pub max_parallel_agents: u32,
    /// May give a task of its own to another agent and wait for the result.
    pub can_delegate: bool,
    /// May replace a decision that stands in the decision log.
    pub can_override_decisions: bool,
    /// May give tasks to agents of its own rank, where the team's rules allow it too.
    pub can_assign_to_peers: bool,
    /// May escalate to the supervisor; a person is asked instead if not.
    pub can_escalate_to_supervisor: bool,
}

impl Default for Authority {
    fn default() -> Self {
        Self {
            shell: false,
            http_hosts: Vec::new(),
            private_network: false,
            forbidden_actions: Vec::new(),
            phases: None,
            can_spawn: false,
            max_parallel_agents: 4,
            can_delegate: false,
            can_override_decisions: false,
            can_assign_to_peers: false,
            can_escalate_to_supervisor: true,
        }
    }
}

/// The reusable definition an agent is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The name it goes by: lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"))]
    pub name: String,
    /// One sentence for people and for the coordinator, who picks by it.
    #[serde(default)]
    pub description: String,
    /// How it is driven. (`kind` says what a document defines.)
    #[serde(default)]
    pub agent_kind: AgentKind,
    /// With `agent_kind: command`: the program that does its tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Program>,
    /// With `agent_kind: human`: who does its tasks, users by name or `role:ROLE`; anybody who is not a viewer if empty.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub users: Vec<String>,
    /// A symbol or picture address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// A manner, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<String>,
    /// The part it plays.
    #[serde(default)]
    pub role: Role,
    /// Its field, in one or two words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specialization: Option<String>,
    /// What it can do, in words that a task may ask for.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The model as `provider/model`; the team's or the command line's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Settings of each model call.
    #[serde(default)]
    pub model_settings: ModelSettings,
    /// The instructions the agent works by.
    #[schemars(length(min = 1))]
    pub prompt: String,
    /// Tools it may use: built-in names, or `mcp:SERVER/TOOL` where TOOL may be `*`.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Those of its tools that wait for a person's approval, in the same words as `tools`.
    #[serde(default)]
    pub ask: Vec<String>,
    /// Rights beyond tools.
    #[serde(default)]
    pub authority: Authority,
    /// Which documents it may search.
    #[serde(default)]
    pub knowledge_filters: KnowledgeFilters,
    /// How it writes.
    #[serde(default)]
    pub communication_style: CommunicationStyle,
    /// Model calls in one attempt before the agent is stopped.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_turns: u32,
    /// Escalates on "uncertain", a low score, or a second answer that does not fit the schema.
    #[serde(default = "yes")]
    pub auto_escalate: bool,
    /// Tasks at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100000))]
    pub capacity: u32,
    /// Spending limits in one run.
    #[serde(default)]
    pub limits: Limits,
    /// How a conversation that fills its model's window is compacted; as the team says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<CompactionRule>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Who may use it.
    #[serde(default)]
    pub visibility: Visibility,
    /// Kept but never chosen when false.
    #[serde(default = "yes")]
    pub active: bool,
}

const fn ten() -> u32 {
    10
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}
