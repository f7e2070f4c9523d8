//! How well a run went, and a team over time: speed, width, overhead, agreement, success, cost, decisions, people's ratings.
//!
//! Rule: every figure follows from what was recorded, by a formula that stands in `docs/concept/analytics.md` with what it
//! does not say; where there is nothing to divide by, there is no figure. Start at [`of_run`]; [`series`] is over time.

mod flow;
pub mod series;
mod span;
#[cfg(test)]
mod tests;
mod times;
mod told;
mod voice;

use serde::{Deserialize, Serialize};

pub use self::flow::{Flow, Overhead, Pace, flow, pace};
pub use self::span::Span;
pub use self::times::{AttemptTimes, Mark, RunTimes, TaskTimes, Trace, Turn};
pub use self::told::Polls;
pub use self::voice::{
    Agreement, DECISION_TARGET, Delays, Poll, Said, VOICE_BYTES, Voices, agreement, counted_vote, decision_times,
};
use crate::flow::path::is_below;
use crate::money::Money;
use crate::pattern::Stage;
use crate::record::{RunRecord, TaskRecord};
use crate::task::State;

/// The stage of a flow's tasks.
const STEP: &str = Stage::Step.as_str();
/// The fewest and the most stars of a rating.
pub const STARS: std::ops::RangeInclusive<i64> = 1..=5;

/// What the documents that Convoke was made from set as targets, for those who compare.
pub mod target {
    /// Time saved against one after another, at least.
    pub const TIME_SAVED: f64 = 0.30;
    /// Parallel utilization, above.
    pub const UTILIZATION: f64 = 0.70;
    /// Coordination overhead, below.
    pub const OVERHEAD: f64 = 0.10;
    /// Agreement, above.
    pub const AGREEMENT: f64 = 0.85;
    /// A message reaches whom it is for, in milliseconds.
    pub const MESSAGE_MS: i64 = 100;
    /// What became ready is claimed, in milliseconds.
    pub const READY_MS: i64 = 50;
    /// A spawned agent has begun, in milliseconds.
    pub const SPAWN_MS: i64 = 500;
    /// A decision is there, in milliseconds.
    pub const DECISION_MS: i64 = 120_000;
}

/// How a run went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunAnalytics {
    /// How it used its time; nothing while no task was claimed.
    pub flow: Option<Flow>,
    /// Whether those who judged, voted or reviewed agreed.
    pub agreement: Agreement,
    /// What came of its tasks.
    pub success: Success,
    /// What it cost.
    pub cost: Cost,
    /// From a question or request to its answer, where a person gave it.
    pub answers_by_people: Delays,
    /// The same where an agent gave it, or the default was taken.
    pub answers_by_agents: Delays,
    /// From asking leave for a tool call to the decision.
    pub approvals: Delays,
    /// From the moment a task could be claimed to its claim.
    pub pickup: Delays,
    /// From the moment an agent was spawned to the claim of its task.
    pub spawn: Delays,
    /// From the moment a message was stored until it was given to an agent, which is before its next model call.
    pub messages: Delays,
    /// What was done again.
    pub retries: Retries,
}

/// What came of a run's tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Success {
    /// Tasks that ended with a result.
    pub completed: i64,
    /// Tasks that ended without one.
    pub failed: i64,
    /// Tasks that were called off; they count neither way.
    pub cancelled: i64,
    /// Tasks that have not ended.
    pub open: i64,
    /// `completed / (completed + failed)`.
    pub rate: Option<f64>,
}

/// What a run cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// In dollars.
    pub cost_usd: Money,
    /// Model calls whose price is not known; they are not in it.
    pub unpriced_calls: i64,
    /// Tokens in and out.
    pub tokens: i64,
    /// Outcomes: tasks of members that ended with a result.
    pub outcomes: i64,
    /// All that the run cost, by outcome.
    pub cost_per_outcome_usd: Option<Money>,
    /// All tokens, by outcome.
    pub tokens_per_outcome: Option<i64>,
    /// The share of the cost that went into attempts which failed and what led and judged: all but completed work of members.
    pub beside_work: Option<f64>,
}

/// What was done again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Retries {
    /// Attempts after the first of a task.
    pub attempts: i64,
    /// Tries after the first of a step.
    pub calls: i64,
    /// How often a task was put back because its worker stopped or was gone.
    pub interruptions: i64,
}

/// Computes how a run went from its record and what the record lacks.
pub fn of_run(run: &RunRecord, trace: &Trace) -> RunAnalytics {
    let times = RunTimes::of(run);
    RunAnalytics {
        flow: times.as_ref().map(|times| flow(times, trace)),
        agreement: voice::agreement(run.tasks.iter().map(Said::of), &trace.votes),
        success: success(&run.tasks),
        cost: cost(run, trace),
        answers_by_people: voice::answers(&run.decisions, true),
        answers_by_agents: voice::answers(&run.decisions, false),
        approvals: voice::approvals(&run.approvals),
        pickup: voice::pickup(&run.tasks, &trace.edges),
        spawn: voice::spawn(&run.tasks),
        messages: voice::letters(&trace.letters),
        retries: retries(run, trace),
    }
}

/// True for what members were asked for; what plans, joins, judges, votes or answers is coordination.
fn is_contribution(task: &TaskRecord, trace: &Trace) -> bool {
    let is_ballot = || task.stage == STEP && trace.votes.iter().any(|(path, _)| is_below(&task.key, path));
    let beside = ["plan", "synthesis", "validation", "reply", "offer"].contains(&task.stage.as_str());
    !(beside || trace.beside.contains(&task.id) || Said::of(task).is_verdict() || is_ballot())
}

fn has_result(task: &TaskRecord) -> bool {
    matches!(State::parse(&task.state), Some(State::Completed | State::Archived)) && task.output.is_some()
}

fn success(tasks: &[TaskRecord]) -> Success {
    let mut sum = Success::default();
    for task in tasks {
        match State::parse(&task.state) {
            Some(State::Completed | State::Archived) => sum.completed += 1,
            Some(State::Failed) => sum.failed += 1,
            Some(State::Cancelled) => sum.cancelled += 1,
            _ => sum.open += 1,
        }
    }
    sum.rate = ratio(sum.completed, sum.completed + sum.failed);
    sum
}

fn cost(run: &RunRecord, trace: &Trace) -> Cost {
    let work: Vec<&TaskRecord> =
        run.tasks.iter().filter(|task| is_contribution(task, trace) && has_result(task)).collect();
    let outcomes = number(work.len());
    let (cost, tokens) = (run.summary.cost_usd, run.summary.tokens);
    let in_work: Money = work.iter().map(|task| task.cost_usd).sum();
    Cost {
        cost_usd: cost,
        unpriced_calls: run.summary.unpriced_calls,
        tokens,
        outcomes,
        cost_per_outcome_usd: (outcomes > 0).then(|| Money::from_nanos(cost.as_nanos() / outcomes)),
        tokens_per_outcome: (outcomes > 0).then(|| tokens / outcomes),
        beside_work: ratio(cost.beyond(in_work).as_nanos(), cost.as_nanos()),
    }
}

fn retries(run: &RunRecord, trace: &Trace) -> Retries {
    let steps = run.tasks.iter().flat_map(|task| &task.attempts).flat_map(|attempt| &attempt.steps);
    // A call that was approved is started a second time, which is not trying again.
    let asked = number(run.approvals.iter().filter(|approval| approval.used_at.is_some()).count());
    Retries {
        attempts: run.tasks.iter().map(|task| number(task.attempts.len().saturating_sub(1))).sum(),
        calls: (steps.map(|step| (step.tries - 1).max(0)).sum::<i64>() - asked).max(0),
        interruptions: trace.interruptions,
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Microseconds as the nearest milliseconds.
const fn millis(micros: i64) -> i64 {
    (micros + 500).div_euclid(1_000)
}

/// A quotient to four decimals; nothing where there is nothing to divide by.
fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}
