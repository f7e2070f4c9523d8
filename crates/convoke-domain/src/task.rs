//! A task: one unit of work, node of a run's graph, its state and the only legal ways to change it.
//!
//! Rule: a task that has ended changes no more, but for being archived. `docs/state/task.md` is printed from here.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::time::Timestamp;

/// How urgent a task is. Within a workspace the more urgent is claimed first; see [`rank`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all else.
    Critical,
    /// Before the usual.
    High,
    /// The usual.
    #[default]
    #[serde(alias = "medium")]
    Normal,
    /// When there is nothing better to do.
    Low,
}

impl Priority {
    /// All, most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// The name in YAML, JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Reads the name; the usual priority for anything else.
    pub fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text).unwrap_or_default()
    }
}

/// Waiting this long lifts a task by one priority, so that the less urgent is not starved.
pub const AGEING: Duration = Duration::from_secs(300);

/// The order of claiming, smallest first: strict by priority, with ageing, then by age.
///
/// A priority is worth [`AGEING`]: of two tasks the one whose `ready_at + AGEING × priority` is earlier goes first. The
/// value never changes while a task waits, so one index serves however many wait.
pub fn rank(priority: Priority, ready_at: Timestamp) -> i64 {
    ready_at.after(AGEING * priority as u32).as_micros()
}

/// What a task waits for while no worker holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// A person must say what became of a tool call.
    UnknownEffect,
    /// The budget must grow.
    Budget,
    /// A message must come.
    Message,
    /// A question or request must be answered.
    Answer,
    /// A task that was given away must end.
    Child,
    /// An offer to hand the task over must be accepted or declined.
    Handoff,
    /// A lock must become free.
    Lock,
    /// A person must approve a tool call.
    Approval,
    /// A person does the task, or must answer.
    Person,
}

impl WaitReason {
    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEffect => "unknown_effect",
            Self::Budget => "budget",
            Self::Message => "message",
            Self::Answer => "answer",
            Self::Child => "child",
            Self::Handoff => "handoff",
            Self::Lock => "lock",
            Self::Approval => "approval",
            Self::Person => "person",
        }
    }

    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::UnknownEffect,
        Self::Budget,
        Self::Message,
        Self::Answer,
        Self::Child,
        Self::Handoff,
        Self::Lock,
        Self::Approval,
        Self::Person,
    ];

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Only a person can end the wait.
    pub const fn is_for_a_person(self) -> bool {
        match self {
            Self::UnknownEffect | Self::Budget | Self::Approval | Self::Person => true,
            Self::Message | Self::Answer | Self::Child | Self::Handoff | Self::Lock => false,
        }
    }
}

/// Where a task stands. Each state keeps only what is true in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Some dependency has not ended.
    Pending,
    /// Free to be claimed.
    Ready,
    /// A worker holds it under a lease.
    Running,
    /// It waits for a person, a message or a timer; no worker is held.
    Waiting,
    /// A policy holds it back.
    Blocked,
    /// It ended with a result.
    Completed,
    /// It ended without one.
    Failed,
    /// It was called off.
    Cancelled,
    /// It ended some time ago and is kept for the record.
    Archived,
}

impl State {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Ready,
        Self::Running,
        Self::Waiting,
        Self::Blocked,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Archived,
    ];

    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Archived => "archived",
        }
    }

    /// Reads the name; also the names other systems use (`queued`, `active`, `canceled`).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "queued" => Some(Self::Ready),
            "active" => Some(Self::Running),
            "canceled" => Some(Self::Cancelled),
            _ => Self::ALL.into_iter().find(|state| state.as_str() == text),
        }
    }

    /// True once nothing more will come of it.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Archived)
    }
}

/// What may be asked of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Its last dependency has ended.
    Release,
    /// A worker takes it.
    Claim,
    /// Its lease ran out, or its worker stops: the attempt goes on elsewhere.
    Yield,
    /// It must wait for a person, a message or a timer.
    Wait,
    /// What it waited for has come: the attempt goes on.
    Wake,
    /// A policy holds it back.
    Block,
    /// The policy lets it go.
    Unblock,
    /// Its attempt gave a result.
    Complete,
    /// Its attempt failed and another one is worth it.
    Retry,
    /// It failed for good, or a hard dependency did.
    Fail,
    /// It is called off.
    Cancel,
    /// It is put away.
    Archive,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 12] = [
        Self::Release,
        Self::Claim,
        Self::Yield,
        Self::Wait,
        Self::Wake,
        Self::Block,
        Self::Unblock,
        Self::Complete,
        Self::Retry,
        Self::Fail,
        Self::Cancel,
        Self::Archive,
    ];

    /// The name in refusals and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Claim => "claim",
            Self::Yield => "yield",
            Self::Wait => "wait",
            Self::Wake => "wake",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::Complete => "complete",
            Self::Retry => "retry",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Archive => "archive",
        }
    }
}

/// Where `command` takes a task that stands in `state`, or why it must not.
pub fn decide(state: State, command: Command) -> Result<State, Refusal> {
    use Command as C;
    use State as S;
    let next = match (state, command) {
        (S::Pending, C::Release) => S::Ready,
        (S::Pending | S::Ready, C::Block) => S::Blocked,
        (S::Ready, C::Claim) => S::Running,
        (S::Running, C::Yield | C::Retry) => S::Ready,
        (S::Running, C::Wait) => S::Waiting,
        (S::Running, C::Complete) => S::Completed,
        (S::Waiting, C::Wake) => S::Ready,
        (S::Blocked, C::Unblock) => S::Ready,
        (S::Pending | S::Running | S::Waiting | S::Blocked | S::Ready, C::Fail) => S::Failed,
        (S::Pending | S::Running | S::Waiting | S::Blocked | S::Ready, C::Cancel) => S::Cancelled,
        (S::Completed | S::Failed | S::Cancelled, C::Archive) => S::Archived,
        (S::Pending, C::Claim | C::Yield | C::Wait | C::Wake | C::Unblock | C::Complete | C::Retry | C::Archive)
        | (S::Ready, C::Release | C::Yield | C::Wait | C::Wake | C::Unblock | C::Complete | C::Retry | C::Archive)
        | (S::Running, C::Release | C::Claim | C::Wake | C::Block | C::Unblock | C::Archive)
        | (
            S::Waiting,
            C::Release | C::Claim | C::Yield | C::Wait | C::Block | C::Unblock | C::Complete | C::Retry | C::Archive,
        )
        | (
            S::Blocked,
            C::Release | C::Claim | C::Yield | C::Wait | C::Wake | C::Block | C::Complete | C::Retry | C::Archive,
        )
        | (
            S::Completed | S::Failed | S::Cancelled,
            C::Release
            | C::Claim
            | C::Yield
            | C::Wait
            | C::Wake
            | C::Block
            | C::Unblock
            | C::Complete
            | C::Retry
            | C::Fail
            | C::Cancel,
        )
        | (S::Archived, _) => return Err(refuse(state, command)),
    };
    Ok(next)
}

fn refuse(state: State, command: Command) -> Refusal {
    let message = format!("cannot {} a task that is {}", command.as_str(), state.as_str());
    Refusal::new("illegal_transition", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_the_docs_print() {
        let rows = State::ALL.into_iter().map(|state| {
            let cells = Command::ALL.into_iter().map(|command| decide(state, command).map_or("", State::as_str));
            (state.as_str(), cells.collect())
        });
        let commands: Vec<_> = Command::ALL.into_iter().map(Command::as_str).collect();
        crate::docs::check("state/task.md", &crate::docs::table("Task", "task.rs", &commands, rows));
    }

    #[test]
    fn what_has_ended_changes_no_more() {
        for state in State::ALL.into_iter().filter(|state| state.has_ended()) {
            for command in Command::ALL.into_iter().filter(|command| *command != Command::Archive) {
                let refusal = decide(state, command).expect_err("ended tasks are final");
                assert_eq!(refusal.code, "illegal_transition");
            }
        }
    }

    #[test]
    fn urgency_goes_first_until_age_outweighs_it() {
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        assert!(rank(Priority::Critical, at(100)) < rank(Priority::High, at(0)));
        assert!(rank(Priority::Low, at(0)) < rank(Priority::Critical, at(901)));
        assert!(rank(Priority::Normal, at(1)) < rank(Priority::Normal, at(2)));
    }

    #[test]
    fn names_of_other_systems_are_understood() {
        assert_eq!(State::parse("queued"), Some(State::Ready));
        assert_eq!(State::parse("canceled"), Some(State::Cancelled));
        assert_eq!(State::parse("nonsense"), None);
    }
}
