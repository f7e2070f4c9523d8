//! A run as it stands or stood: everything a person or a program is told about it. Reports are made from this alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::analytics::RunAnalytics;
use crate::budget::Budget;
use crate::flow::account::FlowAccount;
use crate::flow::part::Part;
use crate::id::{ApprovalId, HandoffId, MessageId, RunId, SessionId, TaskId, ThreadId};
use crate::money::Money;
use crate::time::Timestamp;
use crate::transcript::Usage;

/// One line of a list of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// Its session.
    pub session: SessionId,
    /// Its team.
    pub team: String,
    /// The team's version.
    pub team_version: i64,
    /// What to do.
    pub task: String,
    /// The folder its members may read.
    pub input: Option<String>,
    /// Where it stands.
    pub state: String,
    /// What it is busy with.
    pub phase: String,
    /// Why it stands where it does, while it is held or waits.
    pub reason: Option<String>,
    /// A script played the models: usage and cost are simulated.
    pub simulated: bool,
    /// Who asked for it: `user:NAME`.
    pub created_by: String,
    /// Model calls that were billed, tries that failed included.
    pub model_calls: i64,
    /// Tool calls.
    pub tool_calls: i64,
    /// Tokens in and out.
    pub tokens: i64,
    /// What it cost, in dollars.
    pub cost_usd: Money,
    /// Model calls whose price is not known; their cost is not in `cost_usd`.
    pub unpriced_calls: i64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first task was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it failed of.
    pub error: Option<String>,
}

/// A run in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// What a list says of it.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Its result in Markdown.
    pub output: Option<String>,
    /// The coordinator.
    pub coordinator: String,
    /// Tasks in order of creation, which is the order of the plan.
    pub tasks: Vec<TaskRecord>,
    /// Bills by agent and model.
    pub usage: Vec<UsageRecord>,
    /// The budgets it fell under.
    pub budgets: Vec<Budget>,
    /// Tool calls whose outcome a person must tell, or told.
    pub effects: Vec<EffectRecord>,
    /// Tool calls that needed a person's approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalRecord>,
    /// What was asked and decided, in the order of asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<DecisionRecord>,
    /// Who talked with whom, without what they said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub talks: Vec<TalkRecord>,
    /// Offers to hand a task over, in the order they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handoffs: Vec<HandoffRecord>,
    /// What people think of it and of the work in it, the last word of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ratings: Vec<RatingRecord>,
    /// How it went, in figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analytics: Option<RunAnalytics>,
    /// What its flow did, step by step; nothing for a run that a coordinator and workers carry out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowAccount>,
}

/// An offer to hand a task over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandoffRecord {
    /// Its id.
    pub id: HandoffId,
    /// The task.
    pub task: TaskId,
    /// Who had the task.
    pub from: String,
    /// Who was to have it.
    pub to: String,
    /// `requested`, `accepted`, `declined` and what else became of it.
    pub state: String,
    /// Why it was offered.
    pub reason: String,
    /// Why it was declined.
    pub answer: Option<String>,
    /// When it was made.
    pub requested_at: Timestamp,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// By whom.
    pub settled_by: Option<String>,
}

/// What a person thinks of a run, of an agent's part in it, or of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatingRecord {
    /// The run.
    pub run: RunId,
    /// The task, where one is rated.
    pub task: Option<TaskId>,
    /// Whose work it is, where it is not the run as a whole.
    pub agent: Option<String>,
    /// Who says so.
    pub by: String,
    /// From 1 to 5.
    pub stars: i64,
    /// Why.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// A task of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task.
    pub id: TaskId,
    /// Its name within stage and round; in a flow the path of its step.
    pub key: String,
    /// One line.
    pub title: String,
    /// What it is for: `plan`, `work`, `synthesis`, `validation`; `step` in a flow.
    pub stage: String,
    /// What it is for in a flow, where it is no member's work: `plan`, `synthesis`, `judge`, `review` or `vote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The round.
    pub round: i64,
    /// Who does it.
    pub agent: String,
    /// Where it stands.
    pub state: String,
    /// How urgent it is.
    pub priority: String,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// Its result.
    pub output: Option<String>,
    /// What it failed of.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was first claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What its model calls cost.
    pub cost_usd: Money,
    /// Tokens in and out.
    pub tokens: i64,
    /// Its attempts in order.
    pub attempts: Vec<AttemptRecord>,
}

/// An attempt of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which, from 1.
    pub n: i64,
    /// Who made it.
    pub agent: String,
    /// How it stands.
    pub state: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it failed of.
    pub error: Option<String>,
    /// Its steps in order.
    pub steps: Vec<StepRecord>,
}

/// A step of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its place in the attempt, from 1.
    pub n: i64,
    /// The model call it is or follows from.
    pub turn: i64,
    /// `model` or `tool`.
    pub kind: String,
    /// The model, or the tool's id.
    pub name: String,
    /// A tool's arguments.
    pub input: Option<Value>,
    /// How it stands: `started`, `done`, `failed`, `denied`, `lost`, `unknown`.
    pub status: String,
    /// A model's text and calls, or a tool's result.
    pub output: Option<String>,
    /// What it failed of.
    pub error: Option<String>,
    /// How often it was started.
    pub tries: i64,
    /// When it was started last.
    pub started_at: Timestamp,
    /// When its outcome was journaled.
    pub finished_at: Option<Timestamp>,
}

/// What an agent used of a model in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// The agent.
    pub agent: String,
    /// The model as `provider/model`.
    pub model: String,
    /// `priced`, `local`, `unpriced` or `simulated`.
    pub tariff: String,
    /// Bills.
    pub calls: i64,
    /// Bills that were estimated at their bound because the outcome of the call is not known.
    pub lost_calls: i64,
    /// Tokens.
    pub usage: Usage,
    /// What it cost, in dollars.
    pub cost_usd: Money,
}

/// A tool call that must not be repeated blindly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EffectRecord {
    /// Its stable key.
    pub key: String,
    /// The task.
    pub task: TaskId,
    /// The tool's id.
    pub tool: String,
    /// How it stands: `dispatched`, `done`, `failed`, `unknown`.
    pub state: String,
    /// When it was dispatched first.
    pub dispatched_at: Timestamp,
    /// Who said what became of it.
    pub resolved_by: Option<String>,
    /// What they said.
    pub note: Option<String>,
}

/// A tool call that waits, or waited, for approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// Its id.
    pub id: ApprovalId,
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Who wants to make the call.
    pub agent: String,
    /// The tool's id.
    pub tool: String,
    /// Its exact arguments, as JSON text.
    pub args: String,
    /// SHA-256 of tool and arguments, to which the approval is bound.
    pub digest: String,
    /// Why the agent wants it.
    pub reason: Option<String>,
    /// How sure it says it is, in percent.
    pub confidence: Option<i64>,
    /// Where it stands.
    pub state: String,
    /// How many must approve.
    pub needed: u32,
    /// Who may, by name or as `role:ROLE`; anybody who is not a viewer if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Those of them who are no users, so that nobody can answer in their name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// The answers so far.
    pub votes: Vec<VoteRecord>,
    /// Who gave the answer that decided.
    pub decided_by: Option<String>,
    /// What they said, or why it was closed.
    pub note: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When silence means no.
    pub expires_at: Option<Timestamp>,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// When the call was made.
    pub used_at: Option<Timestamp>,
}

/// One person's answer to an approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoteRecord {
    /// Who answered.
    pub by: String,
    /// In whose place.
    pub place: String,
    /// `approve` or `reject`.
    pub choice: String,
    /// What they said.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// What waits for a person, as the inbox shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InboxEntry {
    /// What it is.
    pub kind: InboxKind,
    /// What it is answered by: the id that the command takes.
    pub id: String,
    /// Its run.
    pub run: Option<RunId>,
    /// Who asks: `agent:NAME`, `user:NAME`, or `system`.
    pub from: String,
    /// One line.
    pub title: String,
    /// All there is to know before answering.
    pub detail: String,
    /// Since when it waits.
    pub since: Timestamp,
    /// When silence becomes an answer.
    pub due: Option<Timestamp>,
    /// The approval, for an entry of that kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRecord>,
    /// JSON Schema that the answer to a task must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// What the answer to a question, a task or a tool call of unknown outcome may be; anything where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What an entry of the inbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxKind {
    /// A tool call waits for leave.
    Approval,
    /// Somebody asks something.
    Question,
    /// A task is a person's to do.
    Task,
    /// Nobody knows what became of a tool call.
    Effect,
    /// A run was handed to people.
    Escalated,
    /// A run is held, for want of budget or by a person.
    Paused,
}

impl InboxKind {
    /// The name in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Question => "question",
            Self::Task => "task",
            Self::Effect => "effect",
            Self::Escalated => "escalated",
            Self::Paused => "paused",
        }
    }
}

/// A question or request, and what became of it: a line of the decision log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The message that asks.
    pub id: MessageId,
    /// Its thread.
    pub thread: ThreadId,
    /// The run it was asked in.
    pub run: Option<RunId>,
    /// `question` or `request`.
    pub kind: String,
    /// Who asked.
    pub asked_by: String,
    /// The question.
    pub question: String,
    /// Who was asked.
    pub asked: Vec<String>,
    /// What could be chosen; anything where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// What is taken when nobody answers in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<String>,
    /// `open`, `answered`, `defaulted`, `expired`, `withdrawn` or `overridden`.
    pub standing: String,
    /// When it ends at the latest.
    pub due: Option<Timestamp>,
    /// What was chosen or said.
    pub choice: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// Who answered; `system` where the default was taken.
    pub approver: Option<String>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What was decided before and replaced, the first decision first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<ReplacedRecord>,
}

/// A decision that stood until somebody replaced it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedRecord {
    /// `answered`, `defaulted` or `overridden`.
    pub standing: String,
    /// What was chosen or said.
    pub choice: Option<String>,
    /// Why.
    pub rationale: Option<String>,
    /// Who decided; `system` where the default was taken.
    pub approver: Option<String>,
    /// From when it stood.
    pub at: Option<Timestamp>,
}

/// What was said in one thread of a run, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TalkRecord {
    /// The thread's channel, such as `direct:agent:a:agent:b`.
    pub channel: String,
    /// Messages of the run in it.
    pub messages: i64,
    /// How many of each kind.
    pub kinds: Vec<(String, i64)>,
}

/// A thread, as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadRecord {
    /// Its id.
    pub id: ThreadId,
    /// Its name.
    pub channel: String,
    /// `direct`, `team`, `task`, `run` or `free`.
    pub kind: String,
    /// What it is about.
    pub title: String,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// The task it belongs to.
    pub task: Option<TaskId>,
    /// Only participants and the audit may read.
    pub private: bool,
    /// `open`, `closed` or `archived`.
    pub status: String,
    /// How many messages it has had.
    pub messages: i64,
    /// Who takes part, where one thread is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Who opened it.
    pub created_by: String,
    /// When the last message came.
    pub last_at: Timestamp,
    /// What was in it, once it is archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// A message, as people and exports see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Its id.
    pub id: MessageId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its place in the thread.
    pub n: i64,
    /// The run it was said in.
    pub run: Option<RunId>,
    /// Who said it.
    pub from: String,
    /// The recipients; everybody in the thread where there are none.
    pub to: Vec<String>,
    /// What it is.
    pub kind: String,
    /// How urgent it is.
    pub priority: String,
    /// One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it says.
    pub body: String,
    /// What it replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// When it was stored.
    pub at: Timestamp,
    /// How far it has come with each recipient.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<ReceiptRecord>,
}

/// How far a message has come with one recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// The recipient.
    pub who: String,
    /// `queued`, `delivered`, `read` or `answered`.
    pub state: String,
    /// When it was given to them.
    pub delivered_at: Option<Timestamp>,
    /// When they had read it.
    pub read_at: Option<Timestamp>,
    /// When they replied.
    pub answered_at: Option<Timestamp>,
}

/// A thread with its messages: an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadExport {
    /// The thread.
    pub thread: ThreadRecord,
    /// Its messages in order.
    pub messages: Vec<MessageRecord>,
}
