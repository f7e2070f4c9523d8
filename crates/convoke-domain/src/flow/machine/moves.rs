//! What the machine decides, and what there is to say of it.

use serde::Serialize;
use serde_json::Value;

use crate::pattern::NewTask;

/// What should happen next.
#[derive(Debug, Clone, PartialEq)]
pub enum Move {
    /// Make these tasks.
    Create(Vec<NewTask>),
    /// Call off what is open at this path and below it.
    CallOff(String),
    /// A named part of the run begins.
    EnterPhase(String),
    /// A named part of the run has ended.
    LeavePhase {
        /// Its name.
        name: String,
        /// What the next ones are told of it.
        summary: String,
    },
    /// Something to write down.
    Note(Note),
    /// End the run with this result.
    Complete(String),
    /// End the run without one: a code and a reason.
    Fail(&'static str, String),
    /// Hand the run to a person.
    Escalate {
        /// Why.
        reason: String,
        /// What there is.
        output: Option<String>,
    },
}

/// What happened in the coordination, for events.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Note {
    /// What it is.
    pub what: What,
    /// The path of the step.
    pub path: String,
    /// What there is to say.
    pub facts: Value,
}

/// What a note tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A split began.
    SplitCreated,
    /// Something waits for several.
    SyncCreated,
    /// Enough of them came, or no longer can.
    SyncReady,
    /// Results were brought together.
    JoinCreated,
    /// One result was made of several.
    MergeCompleted,
    /// A round of a loop began.
    RoundStarted,
    /// A case of a branch was chosen.
    BranchTaken,
    /// Ballots were asked for.
    VoteOpened,
    /// Ballots were counted.
    VoteCounted,
    /// Reviewers came to a verdict, or to the end of their rounds.
    ReviewEnded,
    /// A value says how far those who were asked agree.
    AgreementMeasured,
    /// A value says how good somebody's work was.
    WorkScored,
    /// A gate was tried.
    GateChecked,
    /// A step was left out, or the flow went on without it.
    StepSkipped,
}
