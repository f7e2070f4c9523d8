//! The desk: tools by which agents work together. What they do is done in our own store, inside the transaction that
//! journals the call, so each is done exactly once and needs no record of its own.
//!
//! Rule: a tool refuses before it writes; what it has written when it fails would stay. Each noun has a file with its
//! `TOOLS`; start at [`call`].

mod bus;
mod context;
mod decision;
mod handoff;
mod lock;
mod memory;
mod spawn;

use std::future::Future;
use std::pin::Pin;

use convoke_domain::authority;
use convoke_domain::id::{RunId, TaskId, derive};
use convoke_domain::profile::Profile;
use convoke_domain::refusal::Refusal;
use convoke_domain::spec::RunSpec;
use convoke_domain::task::WaitReason;
use convoke_domain::time::Timestamp;
use convoke_port::tool::{Repeat, ToolInfo, ToolSpec};
use convoke_store::step::StepRef;
use convoke_store::{Error, Result, Tx};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::claim::Assignment;

/// A tool of the desk.
pub(crate) struct Tool {
    /// Its name, for models and for profiles.
    pub id: &'static str,
    /// What it does and when to use it, for models.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub schema: fn() -> Value,
    /// Does it.
    pub call: Call,
}

/// How a tool is carried out.
pub(crate) type Call = for<'t> fn(&'t mut Tx<'_>, &'t Caller<'t>, &'t Value) -> Doing<'t>;

/// A tool at work: it awaits nothing but the transaction.
pub(crate) type Doing<'t> = Pin<Box<dyn Future<Output = Result<Answer>> + Send + 't>>;

/// Who calls.
pub(crate) struct Caller<'a> {
    /// The task at hand.
    pub at: &'a Assignment,
    /// What its run pinned.
    pub spec: &'a RunSpec,
    /// Who the agent is and what it may do.
    pub profile: &'a Profile,
    /// The step that the call is.
    pub step: StepRef,
}

impl Caller<'_> {
    /// The agent as events and rows name it.
    pub(crate) fn who(&self) -> String {
        format!("agent:{}", self.at.agent)
    }

    /// An id that this call always gets for `seed`, however often its transaction is run.
    pub(crate) fn id(&self, now: Timestamp, seed: &str) -> Uuid {
        let step = self.step;
        let place = format!("{}/{}/{seed}", step.attempt, step.n);
        derive(now, &[step.task.0.as_bytes(), place.as_bytes()])
    }
}

/// What a call came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is done; the model reads this.
    Done(String),
    /// A message was sent, as the model reads; what these tasks are asking their models is cut, so that they read it first.
    Sent(String, Vec<TaskId>),
    /// It cannot be done, for this reason.
    Failed(String),
    /// The agent may not do that: the rule that says so, and why.
    Denied(&'static str, String),
    /// The result comes later.
    Wait(Wait),
    /// The attempt has ended in this very transaction, for this reason: the task is not the agent's any more.
    Leave(String),
}

/// What brings a result later.
#[derive(Debug)]
pub(crate) struct Wait {
    /// The kind of thing.
    pub reason: WaitReason,
    /// Which one.
    pub key: String,
    /// When it comes at the latest; `None` only for what persons do.
    pub due: Option<Timestamp>,
}

/// The tools of all nouns.
const NOUNS: &[&[Tool]] = &[
    bus::TOOLS,
    context::TOOLS,
    decision::TOOLS,
    handoff::TOOLS, // each on a line of its own
    lock::TOOLS,
    memory::TOOLS,
    spawn::TOOLS,
];

fn tools() -> impl Iterator<Item = &'static Tool> {
    NOUNS.iter().copied().flatten()
}

/// The names of all tools of the desk, for checking profiles.
pub fn tool_names() -> impl Iterator<Item = &'static str> {
    tools().map(|tool| tool.id)
}

/// The tool of this name.
pub(crate) fn find(id: &str) -> Option<&'static Tool> {
    tools().find(|tool| tool.id == id)
}

/// The tools that the profile allows.
pub(crate) fn offer(profile: &Profile) -> Vec<ToolInfo> {
    let allowed = tools().filter(|tool| authority::may_use(profile, tool.id).is_ok());
    allowed
        .map(|tool| ToolInfo {
            spec: ToolSpec {
                name: tool.id.to_owned(),
                description: tool.description.to_owned(),
                input_schema: (tool.schema)(),
            },
            id: tool.id.to_owned(),
            repeat: Repeat::Harmless,
        })
        .collect()
}

/// Carries out a call. A refusal becomes an answer that the model reads.
pub(crate) async fn call(tx: &mut Tx<'_>, caller: &Caller<'_>, tool: &Tool, args: &Value) -> Result<Answer> {
    match (tool.call)(tx, caller, args).await {
        Err(Error::Refused(refusal)) => {
            let hint = refusal.hint.map(|hint| format!(". {hint}")).unwrap_or_default();
            Ok(Answer::Failed(format!("{}{hint}", refusal.message)))
        }
        Err(error @ Error::Missing { .. }) => Ok(Answer::Failed(error.to_string())),
        done => done,
    }
}

/// JSON Schema of a tool's arguments: these properties and no others.
pub(crate) fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

/// Reads the arguments of a call; what does not fit is told to the model.
pub(crate) fn read<T: serde::de::DeserializeOwned>(tool: &str, args: &Value) -> Result<T> {
    T::deserialize(args).map_err(|error| {
        let refusal =
            Refusal::new("bad_arguments", format!("the arguments of `{tool}` do not fit its schema: {error}"));
        Error::Refused(refusal)
    })
}

/// An attempt that has ended.
pub(crate) struct Left<'a> {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Who made the attempt.
    pub agent: &'a str,
    /// The task has ended as well; otherwise another attempt follows.
    pub is_over: bool,
    /// Who has the task now, if it was handed over.
    pub handed_to: Option<&'a str>,
}

/// Lets go of all that an attempt held and waited for. Called only where the task has ties.
pub(crate) async fn left(tx: &mut Tx<'_>, left: &Left<'_>) -> Result<()> {
    crate::approval::withdraw(tx, left).await?;
    handoff::left(tx, left).await?;
    crate::spawn::left(tx, left).await?;
    crate::wait::withdraw(tx, left).await?;
    crate::lock::left(tx, left).await?;
    crate::answer::left(tx, left).await
}
