//! Flows: what a pattern does, as data. A flow is a list of steps, each one primitive: task, split, sync, join, merge,
//! loop, branch, vote, review, handoff, ask, delegate, gate, phase.
//!
//! A flow is what stands in a pattern's YAML. [`machine::next`] drives it: pure, one event at a time, touching only what
//! the event touches. Every loop, split and wait in it has a bound, so every run of it ends. Templates and conditions are
//! in `template`, paths of what happened in `path`.

pub mod account;
pub mod expand;
mod known;
mod larger;
pub mod lists;
pub mod machine;
pub mod made;
pub mod memory;
pub mod parameter;
pub mod part;
pub mod path;
pub mod planned;
pub mod rehearsal;
pub mod template;

pub use larger::{
    AskStep, Conflict, DelegateStep, GateStep, HandoffStep, OnClosed, PhaseStep, ReviewStep, SettleStep, VoteStep,
};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::task::Priority;

/// The most rounds of a loop, visits of a gate, turns of a handoff; more is a failure.
pub const MAX_ROUNDS: u32 = 100;
/// The most items of a split.
pub const MAX_ITEMS: u32 = 10_000;
/// How deep steps may stand in each other.
pub const MAX_DEPTH: usize = 12;

/// What a pattern does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// What a team sets under `with`, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// The steps; each begins when the one before it has ended, unless it says `after`.
    #[schemars(length(min = 1, max = 2000))]
    pub steps: Vec<Step>,
    /// The run's result, as a template; the last step's result if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// A pattern as a file defines it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternFile {
    /// The name that teams give as `pattern`.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$"))]
    pub name: String,
    /// What it is for, in a sentence or two.
    #[serde(default)]
    pub description: String,
    /// What a team sets under `with`, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// The steps; each begins when the one before it has ended, unless it says `after`.
    #[schemars(length(min = 1, max = 2000))]
    pub steps: Vec<Step>,
    /// The run's result, as a template; the last step's result if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

impl PatternFile {
    /// What it does.
    pub fn flow(&self) -> Flow {
        Flow { parameters: self.parameters.clone(), steps: self.steps.clone(), result: self.result.clone() }
    }
}

/// Something a team may set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What kind of value it is.
    pub r#type: ParameterType,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its value where the team sets none. Text of an `agent`, `agents` or `list` is an expression, such as `coordinator`
    /// or `members`. Without a default a team must set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The texts it may be; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// What kind of value a parameter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterType {
    /// Text.
    #[default]
    Text,
    /// The name of a member or the coordinator.
    Agent,
    /// A list of names of members.
    Agents,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// A list of anything.
    List,
    /// A JSON Schema.
    Schema,
}

/// One step: its name, when it happens, and exactly one of the primitives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, unique in the pattern: lower-case letters, digits and `_`. Later steps refer to it as `results.NAME`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,39}$"))]
    pub id: String,
    /// One line for people, as a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Steps of the same list that must have ended before; the step before it if absent, nothing if empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// The condition under which it happens at all; else it is left out and its result is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What its failure means.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// Its result where it failed and the flow goes on all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Seconds after which it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_s: Option<u64>,
    /// The value of an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// An agent does something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskStep>,
    /// Steps at the same time: fixed branches, one for each item of a list, or as an agent plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitStep>,
    /// Waits for enough of some steps and calls off the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncStep>,
    /// Brings results together, by the names of their steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinStep>,
    /// Makes one result of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<MergeStep>,
    /// Steps again and again until a condition holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#loop: Option<LoopStep>,
    /// Steps by the first condition that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchStep>,
    /// Agents vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vote: Option<VoteStep>,
    /// Agents review what another made, who revises it until they accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewStep>,
    /// Agents pass control to each other until one of them is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandoffStep>,
    /// Somebody is asked, with a default answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<AskStep>,
    /// An agent has another do something and judges what comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<DelegateStep>,
    /// A bar that must be met before the flow goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateStep>,
    /// A named part of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseStep>,
    /// Disagreement is settled by a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<SettleStep>,
}

/// What a step's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// What it stands in fails too; at the top the run, by the team's `escalation_policy`.
    #[default]
    Fail,
    /// The flow goes on with `default` as the result, or none.
    Continue,
    /// The run is handed to a person.
    Escalate,
}

/// An agent does something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskStep {
    /// Who: a name, or a template such as `{{ item }}`.
    #[serde(default)]
    pub agent: String,
    /// Or what whoever does it must be capable of.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What to do, as a template.
    pub instructions: String,
    /// Steps whose results are shown below the instructions, as material.
    #[serde(default)]
    pub see: Vec<String>,
    /// JSON Schema that the answer must fit; its parts are `results.NAME.PART` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// Further attempts after a failure; the team's rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub retries: Option<u32>,
    /// Tools that its agent must be allowed, for the check before the run.
    #[serde(default)]
    pub tools: Vec<String>,
    /// An expression that gives the names of those to whom `agent` may come where it is a template: anybody else is a failure,
    /// and the check before the run looks at each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub among: Option<String>,
    /// A part of the answer and an expression that gives the names it may be, or null; for steps that Convoke makes.
    #[serde(default, rename = "_one_of", skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub one_of: Option<(String, String)>,
}

/// Steps at the same time. Exactly one of `branches`, `over` and `plan`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SplitStep {
    /// Fixed branches: each a step, all at once.
    #[serde(default)]
    pub branches: Vec<Step>,
    /// An expression that gives a list, such as `members` or `results.outline.chapters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
    /// The items are planned, by an agent or by an expression, and may depend on one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRule>,
    /// What an item is called in `do`.
    #[serde(default = "item", rename = "as")]
    pub r#as: String,
    /// The steps for each item. With `plan` it may be absent: each item is a task of its assignee then.
    #[serde(default)]
    pub r#do: Vec<Step>,
    /// The most items; more is a failure.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 10000))]
    pub limit: u32,
    /// How many may be under way at once: a number, or an expression; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<Count>,
    /// For how many of them the flow waits.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sync: Sync,
}

/// The items of a split are planned: by an agent, by an expression, or by the agent where the expression gives none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRule {
    /// Who plans: a name or a template.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// An expression that gives the items, each with `key`, `assignee` or `needs`, and what else a planner says of one: `title`,
    /// `instructions` (the run's task if absent), `depends_on`, `expected_output`. Where it gives none, `by` plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
    /// An expression that gives the names of those who may be given an item; the members if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub among: Option<String>,
    /// What to say to the planner, as a template.
    #[serde(default)]
    pub instructions: String,
    /// Steps whose results the planner is shown.
    #[serde(default)]
    pub see: Vec<String>,
}

fn item() -> String {
    "item".into()
}

const fn thousand() -> u32 {
    1_000
}

/// For how many the flow waits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// For whom it waits.
    pub wait: Wait,
    /// How many must complete, for `wait: count`: a number, or an expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
    /// How many completed ones suffice when all have ended or the time is up; as many as are waited for if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<Count>,
    /// Seconds after which those that are still open are called off.
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_s: Option<u64>,
}

/// For whom a sync waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// For all.
    #[default]
    All,
    /// For the first that completes.
    Any,
    /// For `count` that complete.
    Count,
}

/// Waits for enough of some steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncStep {
    /// Earlier steps of the same list.
    #[schemars(length(min = 1, max = 1000))]
    pub of: Vec<String>,
    /// For whom it waits.
    #[serde(default)]
    pub wait: Wait,
    /// How many must complete, for `wait: count`: a number, or an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
    /// How many completed ones suffice when all have ended or the time is up; as many as are waited for if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<Count>,
    /// Seconds after which those that are still open are called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub timeout_s: Option<u64>,
}

/// Brings results together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinStep {
    /// Steps whose results become one object, by their names.
    #[schemars(length(min = 1, max = 1000))]
    pub of: Vec<String>,
}

/// Makes one result of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeStep {
    /// A split whose results are merged, or an expression that gives a list.
    pub of: String,
    /// How.
    pub how: How,
    /// The field by which items of lists are the same thing, such as `id`; the whole item if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The part of each result that is merged, such as `findings`; the whole result if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The part of each result by which the best is found, for `best_of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
    /// Who writes it, for `synthesis`; the coordinator if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What to tell who writes it, as a template, for `synthesis`.
    #[serde(default)]
    pub instructions: String,
}

/// How results are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Everything that anybody says, each once.
    Union,
    /// What all say.
    Intersection,
    /// One after the other, with who said it.
    Combine,
    /// What most say.
    Majority,
    /// What weighs most.
    Weighted,
    /// The one with the highest score.
    BestOf,
    /// An agent writes one of them, naming who said what.
    Synthesis,
}

/// Steps again and again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoopStep {
    /// The steps of a round. They see the round before as `previous.NAME`, and its number as `round`.
    #[schemars(length(min = 1, max = 200))]
    pub r#do: Vec<Step>,
    /// The condition after which it stops, asked after each round.
    pub until: String,
    /// The most rounds: a number, or an expression such as `rounds`.
    pub max: Count,
    /// What it means that the condition never held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_limit: OnLimit,
}

/// A number, or an expression that gives one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(with = "Value")]
pub enum Count {
    /// A number.
    Number(u32),
    /// An expression.
    Expression(String),
}

impl Default for Count {
    fn default() -> Self {
        Self::Number(1)
    }
}

/// A part of a whole, from 0 to 1, or an expression that gives one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(with = "Value")]
pub enum Part {
    /// A number.
    Number(f64),
    /// An expression.
    Expression(String),
}

/// What it means that a limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// The flow goes on with what there is.
    #[default]
    Continue,
    /// The step fails.
    Fail,
    /// The run is handed to a person.
    Escalate,
}

/// Steps by condition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BranchStep {
    /// The cases, in order; the first whose condition holds.
    #[schemars(length(min = 1, max = 50))]
    pub cases: Vec<Case>,
    /// The steps where none holds.
    #[serde(default)]
    pub otherwise: Vec<Step>,
}

/// One case of a branch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The condition.
    pub when: String,
    /// Its steps.
    #[schemars(length(min = 1, max = 200))]
    pub r#do: Vec<Step>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What kind of step it is, and how many of the kinds it says it is.
impl Step {
    /// The primitives it names: exactly one in a right step.
    pub fn kinds(&self) -> Vec<&'static str> {
        let named = [
            (self.value.is_some(), "value"),
            (self.task.is_some(), "task"),
            (self.split.is_some(), "split"),
            (self.sync.is_some(), "sync"),
            (self.join.is_some(), "join"),
            (self.merge.is_some(), "merge"),
            (self.r#loop.is_some(), "loop"),
            (self.branch.is_some(), "branch"),
            (self.vote.is_some(), "vote"),
            (self.review.is_some(), "review"),
            (self.handoff.is_some(), "handoff"),
            (self.ask.is_some(), "ask"),
            (self.delegate.is_some(), "delegate"),
            (self.gate.is_some(), "gate"),
            (self.phase.is_some(), "phase"),
            (self.settle.is_some(), "settle"),
        ];
        named.into_iter().filter_map(|(is, name)| is.then_some(name)).collect()
    }
}

/// For how many is waited, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bar {
    /// For whom.
    pub wait: Wait,
    /// How many must complete, for [`Wait::Count`].
    pub count: u32,
    /// How many suffice when all have ended or the time is up.
    pub least: Option<u32>,
}

impl Bar {
    /// What comes of waiting for `total` of which so many have completed and failed. `None`: it goes on.
    pub fn outcome(&self, total: u32, done: u32, failed: u32, time_is_up: bool) -> Option<Result<(), String>> {
        let need = match self.wait {
            Wait::All => total,
            Wait::Any => 1,
            Wait::Count => self.count.max(1),
        };
        let least = self.least.unwrap_or(need).min(need);
        if self.wait != Wait::All && done >= need {
            return Some(Ok(()));
        }
        let has_ended = done + failed >= total;
        if has_ended || time_is_up {
            let why = if has_ended { "" } else { " in time" };
            let reason = format!("{done} of {total} completed{why}, and at least {least} must");
            return Some(if done >= least { Ok(()) } else { Err(reason) });
        }
        let possible = total.saturating_sub(failed);
        let how = if failed == 0 { format!("there are only {total}") } else { format!("{failed} of {total} failed") };
        (possible < least).then(|| Err(format!("{how}, and at least {least} must complete")))
    }
}

impl From<&SyncStep> for Sync {
    fn from(step: &SyncStep) -> Self {
        Self { wait: step.wait, count: step.count.clone(), least: step.least.clone(), timeout_s: step.timeout_s }
    }
}
