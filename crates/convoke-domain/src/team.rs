//! A team: members, a coordination pattern, rules, and the MCP servers its members may use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::Rule;
use crate::compaction::CompactionRule;
use crate::flow::{Conflict, Flow};
use crate::memory::MemoryRule;
use crate::money::Money;
use crate::profile::Role;
use crate::task::Priority;

/// How the members work together: a pattern's name. `supervisor` is another word for `coordinator_worker`, `pipeline` for
/// `sequential`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that needs no flow: a coordinator plans, members work in parallel, the coordinator puts the results
    /// together.
    pub const COORDINATOR_WORKER: &'static str = "coordinator_worker";

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self(Self::COORDINATOR_WORKER.into())
    }
}

impl From<String> for Pattern {
    fn from(name: String) -> Self {
        match name.as_str() {
            "supervisor" => Self::default(),
            "pipeline" => Self("sequential".into()),
            _ => Self(name),
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

/// Where the sub-tasks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Planning {
    /// The coordinator makes them: one model call with structured output.
    #[default]
    Plan,
    /// The team's `tasks`; no model call.
    Fixed,
    /// Every member gets the run's task; no model call.
    SameTask,
    /// Every member gets the run's task and the coordinator's brief: one free-text model call.
    Brief,
}

/// When a person is asked to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscalationPolicy {
    /// When the members reject the result in the last validation round.
    #[default]
    OnDisagreement,
    /// When a member's task failed for good.
    OnFailure,
    /// Never: the run ends with what it has, and says so.
    Never,
}

/// What to do when the budget does not admit the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// Pause the run and say what would be needed; it goes on when the cap is raised.
    #[default]
    Pause,
    /// Go on with the next of the model's fallbacks; stop if there is none that fits.
    Downgrade,
    /// End the run as failed.
    Stop,
}

/// Which agents of a team may write to each other. People may always be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Talk {
    /// Everyone to everyone.
    #[default]
    Everyone,
    /// Members to the coordinator, and the coordinator to members.
    Coordinator,
    /// Nobody.
    Nobody,
}

/// One member of a team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The profile it is made from.
    pub profile: String,
    /// Its part in this team; the profile's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The model in this team; the profile's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The order in which members are named to the coordinator and in reports; lower comes first.
    #[serde(default)]
    pub priority: i32,
    /// May be left out of a plan.
    #[serde(default)]
    pub optional: bool,
    /// Agents of the same profile that come when its tasks queue up, and go when there are none; none if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleRule>,
}

/// When further agents of a member's profile come, and when they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleRule {
    /// Such agents that may live at the same time.
    #[schemars(range(min = 1, max = 20))]
    pub max: u32,
    /// Ready tasks that may wait, beyond those that the member has room for, before another agent comes.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub backlog: u32,
    /// Seconds without work after which one goes.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0, max = 86400))]
    pub idle_s: u64,
}

/// A sub-task that the team fixes in advance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedTask {
    /// A short name, unique in the team.
    pub key: String,
    /// One line.
    pub title: String,
    /// What to do; `{{ task }}` stands for the run's task.
    #[serde(default)]
    pub instructions: String,
    /// The member who does it, by profile name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Or what the member who does it must be capable of.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Keys of tasks that must be completed before.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Keys of tasks that should come before, whatever their end.
    #[serde(default)]
    pub after: Vec<String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// JSON Schema that the answer must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
}

/// How freely the members may spawn agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpawnPreset {
    /// 6 agents, 200,000 tokens, 3 groups.
    #[default]
    Safe,
    /// 10 agents, 300,000 tokens, 5 groups.
    Aggressive,
    /// 20 agents, 500,000 tokens, as many groups as agents; the first spawn warns.
    Extreme,
}

/// Limits on the agents that members spawn in one run. What is absent is the preset's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpawnRules {
    /// How freely the members may spawn agents.
    pub preset: SpawnPreset,
    /// Spawned agents that may live at the same time.
    #[schemars(range(min = 0, max = 20))]
    pub max_agents: Option<u32>,
    /// Tokens that all spawned agents together may use.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// Groups at the same time: agents of one parent are a group.
    #[schemars(range(min = 1, max = 20))]
    pub max_groups: Option<u32>,
}

/// How the team works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Members work at the same time.
    pub parallel_execution: bool,
    /// The coordinator waits for all members.
    pub wait_for_all: bool,
    /// Seconds that one member's attempt may take.
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_per_agent_s: u64,
    /// Seconds that the whole run may take.
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_s: u64,
    /// When a person is asked.
    pub escalation_policy: EscalationPolicy,
    /// Which agents may write to each other.
    pub talk: Talk,
    /// Where the sub-tasks come from.
    pub planning: Planning,
    /// Rounds of member work the coordinator may ask for, the first included.
    #[schemars(range(min = 1, max = 10))]
    pub max_rounds: u32,
    /// Rounds in which members judge the synthesis; 0 for none.
    #[schemars(range(min = 0, max = 5))]
    pub validation_rounds: u32,
    /// The most sub-tasks in one plan.
    #[schemars(range(min = 1, max = 1000))]
    pub max_tasks: u32,
    /// Further attempts after a failure that can pass.
    #[schemars(range(min = 0, max = 20))]
    pub retries: u32,
    /// The member that takes over when another failed for good.
    pub fallback_agent: Option<String>,
    /// Members may give each other tasks, where their profiles allow it too.
    pub allow_peer_assignment: bool,
    /// The agent that escalations of the coordinator go to, before a person; the workspace's supervisor if absent.
    pub default_supervisor: Option<String>,
    /// Limits on spawned agents.
    pub spawn: SpawnRules,
    /// How disagreement is settled, for steps that settle it and do not say how.
    #[serde(skip_serializing_if = "is_first")]
    pub conflict: Conflict,
}

fn is_first(conflict: &Conflict) -> bool {
    *conflict == Conflict::default()
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            parallel_execution: true,
            wait_for_all: true,
            timeout_per_agent_s: 300,
            timeout_s: 3_600,
            escalation_policy: EscalationPolicy::OnDisagreement,
            talk: Talk::Everyone,
            planning: Planning::Plan,
            max_rounds: 1,
            validation_rounds: 0,
            max_tasks: 20,
            retries: 3,
            fallback_agent: None,
            allow_peer_assignment: false,
            default_supervisor: None,
            spawn: SpawnRules::default(),
            conflict: Conflict::default(),
        }
    }
}

/// The team's spending limits for one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetRule {
    /// The most dollars a run may cost.
    #[schemars(with = "Option<f64>", range(max = 1_000_000_000.0), extend("exclusiveMinimum" = 0))]
    pub max_cost_usd: Option<Money>,
    /// The most tokens a run may use.
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// The most dollars one task of the run may cost.
    #[schemars(with = "Option<f64>", range(max = 1_000_000_000.0), extend("exclusiveMinimum" = 0))]
    pub max_cost_per_task_usd: Option<Money>,
    /// The most dollars all runs of the team may cost on one day in UTC.
    #[schemars(with = "Option<f64>", range(max = 1_000_000_000.0), extend("exclusiveMinimum" = 0))]
    pub max_cost_per_day_usd: Option<Money>,
    /// What happens when the next call does not fit.
    pub on_exhausted: OnExhausted,
}

/// How to reach an MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// The program of a stdio server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments; `{workdir}` and `{input}` stand for the attempt's folder and the run's input folder.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment variables to set; `${NAME}` is taken from Convoke's own environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The address of a streamable HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers to send; `${NAME}` is taken from Convoke's own environment.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Seconds to wait for a connection or a call.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_s: u64,
}

const fn thirty() -> u64 {
    30
}

/// Members, pattern, rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// The name it goes by: lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"))]
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// A word for the kind of work, such as `incident_response`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// How the members work together.
    #[serde(default)]
    pub pattern: Pattern,
    /// Values for the pattern's parameters, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, Value>,
    /// The team's own steps, in place of a named pattern. A team that names a pattern is given its steps when it is read, so
    /// that it keeps them whatever becomes of the pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
    /// Who leads, by profile name.
    pub coordinator: String,
    /// Who works.
    #[schemars(length(min = 1, max = 100))]
    pub members: Vec<Member>,
    /// How they work.
    #[serde(default)]
    pub rules: Rules,
    /// What they may spend.
    #[serde(default)]
    pub budget: BudgetRule,
    /// Who approves tool calls that wait for it (`ask` in profiles).
    #[serde(default)]
    pub approvals: Rule,
    /// Sub-tasks fixed in advance, for `planning: fixed`.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub tasks: Vec<FixedTask>,
    /// Models by role (`coordinator`, `specialist`, `worker`, `reviewer`) for members that name none.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// MCP servers by the name that `mcp:NAME/TOOL` refers to.
    #[serde(default)]
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// What the team remembers across runs, and what it is reminded of.
    #[serde(default, skip_serializing_if = "MemoryRule::is_default")]
    pub memory: MemoryRule,
    /// How conversations that fill their model's window are compacted, for profiles that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compaction: Option<CompactionRule>,
    /// Kept but never chosen when false.
    #[serde(default = "yes")]
    pub active: bool,
}

const fn yes() -> bool {
    true
}
