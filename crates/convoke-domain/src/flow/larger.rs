//! The shapes of steps in which several agents have a part: votes, reviews, handoffs, questions, delegation; and of gates and
//! phases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Count, OnLimit, Part, Step, is_default};
use crate::vote::VoteRule;

/// Agents vote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoteStep {
    /// An expression that gives the voters' names; the members if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<String>,
    /// What they vote on, as a template.
    pub question: String,
    /// An expression that gives the options, where the rule names none; any answer counts if neither does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// Steps whose results the voters are shown.
    #[serde(default)]
    pub see: Vec<String>,
    /// How the ballots are counted.
    #[serde(default)]
    pub rule: VoteRule,
    /// An expression that gives an object with fields of `rule` that are known only in the run, such as
    /// `{'quorum': quorum, 'weights': 'fixed', 'fixed': weights}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Tools that the voters must be allowed, for the check before the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Seconds after which the ballots that came are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604800))]
    pub ballots_within_s: Option<u64>,
}

/// Agents review what another made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewStep {
    /// The step whose result is reviewed.
    pub of: String,
    /// Who made it and revises it: a name or a template.
    pub author: String,
    /// An expression that gives the reviewers' names. The author is left out.
    pub reviewers: String,
    /// What to look at, as a template.
    #[serde(default)]
    pub instructions: String,
    /// Tools that the reviewers must be allowed, for the check before the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// JSON Schema that a revision must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The most rounds.
    #[serde(default = "three")]
    pub rounds: Count,
    /// Who must accept: `all`, `majority` or `any`, or a template that gives one of them.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub accept: String,
    /// What a rejection means.
    #[serde(default = "stop", skip_serializing_if = "is_stop")]
    pub on_reject: OnLimit,
    /// What it means that the last round did not accept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_limit: OnLimit,
}

const fn three() -> Count {
    Count::Number(3)
}

const fn stop() -> OnLimit {
    OnLimit::Fail
}

fn is_stop(value: &OnLimit) -> bool {
    *value == OnLimit::Fail
}

fn all() -> String {
    "all".into()
}

fn is_all(accept: &String) -> bool {
    accept == "all"
}

/// Agents pass control on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoffStep {
    /// Who begins: a name or a template.
    pub start: String,
    /// An expression that gives the names of those who may be handed to; the members if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub among: Option<String>,
    /// What to do, as a template.
    pub instructions: String,
    /// Steps whose results they are shown.
    #[serde(default)]
    pub see: Vec<String>,
    /// Tools that whoever may have control must be allowed, for the check before the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// The most agents in a row.
    #[serde(default = "ten")]
    pub max: Count,
    /// What it means that nobody was done by then.
    #[serde(default = "stop", skip_serializing_if = "is_stop")]
    pub on_limit: OnLimit,
}

const fn ten() -> Count {
    Count::Number(10)
}

/// Somebody is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskStep {
    /// Who: a name or a template. A person is a member whose profile has `agent_kind: human`.
    pub whom: String,
    /// What, as a template.
    pub question: String,
    /// The answers to choose from; any if empty.
    #[serde(default)]
    pub options: Vec<String>,
    /// Steps whose results are shown.
    #[serde(default)]
    pub see: Vec<String>,
}

/// An agent has another do something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DelegateStep {
    /// Who delegates and gets the result back: a name or a template.
    pub by: String,
    /// Who does it: a name or a template.
    pub to: String,
    /// What to do, as a template.
    pub instructions: String,
    /// Steps whose results are shown.
    #[serde(default)]
    pub see: Vec<String>,
    /// Tools that whoever does it must be allowed, for the check before the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// How often the delegator may send it back.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 99))]
    pub retries: u32,
}

const fn one() -> u32 {
    1
}

/// A bar before the flow goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateStep {
    /// Steps whose results must be there: none, and a text that says nothing, are no results; 0, `false` and an empty list are.
    #[serde(default)]
    pub require: Vec<String>,
    /// A condition that must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// What a closed gate means.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_fail: OnClosed,
    /// The earlier step of the same list with which it begins again, for `back`; the step before the gate if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<String>,
    /// How often it may go back.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub max: u32,
    /// What a gate that stays closed after that means.
    #[serde(default = "stop", skip_serializing_if = "is_stop")]
    pub on_limit: OnLimit,
    /// An expression that gives what there is, for the person who gets the run from a closed gate; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// What a closed gate means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnClosed {
    /// The gate fails.
    #[default]
    Fail,
    /// The flow goes back to `back_to` and comes again, at most `max` times.
    Back,
    /// The run is handed to a person.
    Escalate,
}

/// A named part of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseStep {
    /// Its steps.
    #[schemars(length(min = 1, max = 2000))]
    pub r#do: Vec<Step>,
    /// What the next phases are told of it, as a template; its result if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// Disagreement is settled.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleStep {
    /// A split whose results may disagree.
    pub of: String,
    /// The part of each result that is compared, such as `answer`; the whole result if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The part of all who were asked that must have said the same for it to count, as a number or an expression. If
    /// absent, all who answered must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<Part>,
    /// By which policy what they did not agree on is settled; the team's rule `conflict` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Conflict>,
    /// Who judges; the coordinator if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
}

/// How a team settles disagreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// The answer that most gave; a tie goes to a judge.
    #[default]
    Vote,
    /// The answer with the most evidence and confidence behind it.
    Evidence,
    /// A judge decides with all answers and reasons before it.
    Judge,
    /// A person decides.
    Escalate,
}
