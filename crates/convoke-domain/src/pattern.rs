//! Patterns: reducers from what a run has seen so far to what should happen next.
//!
//! Pure, so each can be tried over millions of event orders, goes on by itself after a crash, and replays without a
//! model. The engine calls [`next`] whenever a task has ended, and carries out the moves in the same transaction.

pub mod coordinator_worker;
pub mod plan;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::flow::machine::Note;
use crate::graph::Edge;
use crate::run::Phase;
use crate::task::Priority;
use crate::team::Team;

/// What a task is for within its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The coordinator makes sub-tasks, or writes a brief.
    Plan,
    /// A member does a sub-task.
    Work,
    /// The coordinator puts the results together.
    Synthesis,
    /// A member judges the synthesis.
    Validation,
    /// A step of a flow; its key is its path.
    Step,
}

impl Stage {
    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Work => "work",
            Self::Synthesis => "synthesis",
            Self::Validation => "validation",
            Self::Step => "step",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Plan, Self::Work, Self::Synthesis, Self::Validation, Self::Step]
            .into_iter()
            .find(|stage| stage.as_str() == text)
    }
}

/// What a task is for that no pattern made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SideStage {
    /// An agent gave it to another and waits for it.
    Delegated,
    /// An agent answers a question.
    Reply,
    /// An agent that was made for it does it.
    Spawned,
    /// An agent considers whether to take a task over.
    Offer,
}

impl SideStage {
    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delegated => "delegated",
            Self::Reply => "reply",
            Self::Spawned => "spawned",
            Self::Offer => "offer",
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this result.
    Completed(String),
    /// Without one, for this reason.
    Failed(String),
    /// It was called off.
    Cancelled,
}

/// A task as a pattern sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// Its name within the run: stage, round and key make it unique.
    pub key: String,
    /// What it is for.
    pub stage: Stage,
    /// The round of member work, from 1.
    pub round: u32,
    /// Who does it, by profile name.
    pub agent: String,
    /// How it ended; `None` while it has not.
    pub ending: Option<Ending>,
}

/// A run as a pattern sees it: every task so far, in order of creation.
#[derive(Debug, Clone)]
pub struct RunView<'a> {
    /// The team the run started with.
    pub team: &'a Team,
    /// What each member can do: profile name and capabilities.
    pub members: &'a [(String, Vec<String>)],
    /// The run's task.
    pub task: &'a str,
    /// All tasks.
    pub tasks: &'a [TaskView],
}

/// A task to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its name within stage and round.
    pub key: String,
    /// One line.
    pub title: String,
    /// What to do, for the agent.
    pub instructions: String,
    /// What it is for.
    pub stage: Stage,
    /// The round of member work.
    pub round: u32,
    /// Who does it, by profile name.
    pub agent: String,
    /// How urgent it is.
    pub priority: Priority,
    /// JSON Schema that the answer must fit.
    pub output_schema: Option<Value>,
    /// Tasks that come before: (stage, round, key), hard or soft. Their results are given to the agent.
    pub after: Vec<(TaskRef, Edge)>,
    /// Seconds for one attempt; the team's rule if absent.
    pub timeout_s: Option<u64>,
    /// Further attempts after a failure; the team's rule if absent.
    pub retries: Option<u32>,
}

/// Names a task within its run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskRef {
    /// What it is for, by name so that references sort.
    pub stage: &'static str,
    /// The round.
    pub round: u32,
    /// The key.
    pub key: String,
}

/// What a pattern decides should happen next.
#[derive(Debug, Clone, PartialEq)]
pub enum Move {
    /// The run enters a phase.
    Enter(Phase),
    /// Make these tasks.
    Create(Vec<NewTask>),
    /// Call off these tasks that are not needed any more.
    Cancel(Vec<TaskRef>),
    /// Something to write down; what it is about is at a path such as `work/1`, by stage and round.
    Note(Note),
    /// End the run with this result.
    Complete(String),
    /// End the run without one: a code and a reason.
    Fail(&'static str, String),
    /// Hand the run to a person, with the reason and what there is.
    Escalate {
        /// Why.
        reason: String,
        /// The last synthesis, if there is one.
        output: Option<String>,
    },
}

/// What should happen next in a run.
pub fn next(view: &RunView<'_>) -> Vec<Move> {
    coordinator_worker::next(view)
}
