//! What a flow has done, told in the order of the flow: phases, splits with their members, rounds, votes, reviews, gates.
//!
//! Rule: pure, and bounded by [`MOST_STEPS`] and [`MOST_ITEMS`]. Structure and results come from the frames, which say how things
//! stand; what a frame does not keep, such as why a gate was closed or where merged results differ, comes from the notes that were
//! recorded as events. Start at [`account`].

mod fact;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Wait;
use super::memory::Frame;
use crate::id::TaskId;
use crate::merge::{Disagreement, Position};
use crate::record::TaskRecord;
use crate::spec::RunSpec;
use crate::time::Timestamp;
use crate::vote::{Ballot, Majority, Outcome, Standing, TieRule};

pub use walk::account;

/// The most steps of one run that are told.
pub const MOST_STEPS: usize = 5_000;
/// The most items of one split that are told one by one; those beyond are counted.
pub const MOST_ITEMS: usize = 200;
/// The most disagreements of one merge that are told.
pub const MOST_DISAGREEMENTS: usize = 50;

/// What a flow has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FlowAccount {
    /// Named parts of the run, in the order in which they began.
    pub phases: Vec<PhaseAccount>,
    /// Its steps in the order of the flow, what stands in a step behind it.
    pub steps: Vec<StepAccount>,
    /// Steps beyond those that are told.
    #[serde(default)]
    pub more_steps: usize,
}

/// A named part of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseAccount {
    /// Its name.
    pub name: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What the phases behind it were told of it.
    pub summary: Option<String>,
}

/// A step, or a part of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepAccount {
    /// Where in the flow it is.
    pub path: String,
    /// Its name: that of the step, of the item, or the number of the round.
    pub name: String,
    /// How many steps it stands in.
    pub depth: u32,
    /// The primitive, or `round` or `item` for the parts of loops and splits.
    pub kind: String,
    /// One line for people.
    pub title: Option<String>,
    /// How it stands.
    pub state: Stand,
    /// Why it failed or was left out.
    pub reason: Option<String>,
    /// Its task, where it is one.
    pub task: Option<TaskId>,
    /// Which visit it is, where a gate sent the flow back.
    pub visit: u32,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Fact>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// It has not begun.
    Pending,
    /// It is under way.
    Open,
    /// It ended with a result.
    Completed,
    /// It ended without.
    Failed,
    /// Its condition did not hold.
    Skipped,
    /// It was called off.
    Cancelled,
}

impl Stand {
    /// The word in reports and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What there is to say of a step of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Of a split.
    Split(SplitFact),
    /// Of a loop.
    Loop(LoopFact),
    /// Of a branch: which case was taken, from 1; 0 for `otherwise`.
    Branch(u32),
    /// Of a vote.
    Vote(Box<VoteFact>),
    /// Of a gate.
    Gate(GateFact),
    /// Of a merge.
    Merge(MergeFact),
    /// Of a step that settles disagreement.
    Settle(SettleFact),
    /// Of a review.
    Review(ReviewFact),
    /// Of a handoff: who had control, in order.
    Handoff(Vec<Turn>),
    /// Of a delegation: what was said of each result.
    Delegate(Vec<Judged>),
    /// Of a value that measures how far the members agree, from 0 to 1.
    Agreement(f64),
}

/// How the items of a split stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitFact {
    /// Items in all.
    pub items: u32,
    /// Items that were begun.
    pub begun: u32,
    /// Items that completed.
    pub completed: u32,
    /// Items that failed.
    pub failed: u32,
    /// For whom is waited.
    pub wait: Wait,
    /// How many must complete, for `count`.
    pub count: u32,
    /// Its items are being planned.
    #[serde(default)]
    pub planning: bool,
    /// Items that are not told one by one.
    #[serde(default)]
    pub more_items: u32,
}

/// How far a loop has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoopFact {
    /// The round under way, or the last.
    pub round: u32,
    /// The most.
    pub max: u32,
}

/// A vote, with every ballot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoteFact {
    /// What was voted on.
    pub question: Option<String>,
    /// The options; empty in an open vote.
    pub options: Vec<String>,
    /// Who may vote, with what weight.
    pub electorate: Vec<(String, f64)>,
    /// How many votes it takes.
    pub majority: Majority,
    /// The part that had to vote.
    pub quorum: f64,
    /// What a tie means.
    pub tie: TieRule,
    /// What came of it so far.
    pub outcome: Outcome,
    /// The choice as it was said.
    pub choice: Option<String>,
    /// Choices, the one that leads first.
    pub standing: Vec<Standing>,
    /// Every ballot.
    pub ballots: Vec<Ballot>,
    /// Ballots for something else than what was chosen.
    pub dissent: Vec<Ballot>,
    /// Who abstained.
    pub abstained: Vec<String>,
    /// Who had not voted when it ended, or has not yet.
    pub outstanding: Vec<String>,
    /// The part that voted.
    pub turnout: f64,
    /// Enough did.
    pub quorum_met: bool,
    /// The rest could not change what came of it.
    pub decided_early: bool,
    /// A tie was broken by the order of the options.
    pub tie_broken: bool,
    /// The ballot that broke a tie.
    pub casting: Option<Ballot>,
    /// Which vote on the same thing it is: a tie may be voted on again.
    pub round: u32,
    /// The votes before it that ended in a tie, as they were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierVote>,
}

/// A vote that ended in a tie and was held again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EarlierVote {
    /// Which it was.
    pub round: u32,
    /// Choices, the one that led first.
    pub standing: Vec<Standing>,
    /// Every ballot.
    pub ballots: Vec<Ballot>,
}

/// A try of a gate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GateFact {
    /// It was open.
    pub open: bool,
    /// Why it was not.
    pub reason: Option<String>,
    /// The step with which the flow began again.
    pub back_to: Option<String>,
}

/// What was merged and where it differed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MergeFact {
    /// How.
    pub how: String,
    /// Of whose results there is something in it.
    pub from: Vec<String>,
    /// Who had none.
    pub missing: Vec<String>,
    /// Where they differed, with everyone's position.
    pub disagreements: Vec<Disagreement>,
    /// Disagreements beyond those that are told.
    pub more_disagreements: usize,
}

/// What was disagreed and how it was settled.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SettleFact {
    /// The answer that counts; `null` while there is none.
    pub answer: Value,
    /// By what: `agreement`, `vote`, `evidence`, `judge`; nothing while it is open.
    pub settled_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Who said what.
    pub positions: Vec<Position>,
    /// The share that said the same.
    pub agreement: Option<f64>,
}

/// The rounds of a review.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReviewFact {
    /// Whose work it is.
    pub author: Option<String>,
    /// Each round.
    pub rounds: Vec<ReviewRound>,
}

/// One round of a review.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReviewRound {
    /// Which, from 1.
    pub round: u32,
    /// What the reviewers together say.
    pub verdict: Option<String>,
    /// What each says.
    pub verdicts: Vec<Judged>,
    /// The work was revised after it.
    pub revised: bool,
}

/// What somebody said of a result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Who.
    pub by: String,
    /// `accept`, `revise`, `reject`, or `send_back`; nothing where there is none yet, or none that can be read.
    pub verdict: Option<String>,
    /// Why.
    pub comments: String,
}

/// One who had control.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Who.
    pub agent: String,
    /// `done` or `hand_over`; nothing while it goes on.
    pub status: Option<String>,
    /// To whom it was handed.
    pub to: Option<String>,
    /// Why.
    pub reason: String,
}

/// Something that was written down of a run's coordination.
#[derive(Debug, Clone, PartialEq)]
pub struct Noted {
    /// The kind of the event.
    pub kind: String,
    /// What it says.
    pub payload: Value,
    /// When.
    pub at: Timestamp,
}

/// What an account is made from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// What the run pinned.
    pub spec: &'a RunSpec,
    /// Its frames by path.
    pub frames: &'a BTreeMap<String, Frame>,
    /// Its tasks.
    pub tasks: &'a [TaskRecord],
    /// What was written down, in order.
    pub notes: &'a [Noted],
    /// The run has ended, so that nothing is under way.
    pub has_ended: bool,
}
