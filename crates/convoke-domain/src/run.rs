//! A run: one execution of a team on one task, from its acceptance to its end.
//!
//! Rule: `completed`, `failed` and `cancelled` are final; an escalated run is a person's to close.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted; nothing has been claimed.
    Initializing,
    /// Members work.
    Running,
    /// Held by a person or by its budget.
    Paused,
    /// Waits for a person's answer.
    Waiting,
    /// The coordinator puts the results together.
    Aggregating,
    /// Ended with a result.
    Completed,
    /// Ended without one.
    Failed,
    /// Called off.
    Cancelled,
    /// Handed to a person, who closes it.
    Escalated,
}

impl State {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Initializing,
        Self::Running,
        Self::Paused,
        Self::Waiting,
        Self::Aggregating,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Escalated,
    ];

    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Aggregating => "aggregating",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Escalated => "escalated",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// True once no member will work on it again.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Escalated)
    }
}

/// What may be asked of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Its first task was claimed.
    Start,
    /// Hold it.
    Pause,
    /// A person must answer before it can go on.
    Wait,
    /// Go on.
    Resume,
    /// The coordinator begins to put results together.
    Aggregate,
    /// Further work was asked for after an aggregation.
    Reopen,
    /// It has its result.
    Complete,
    /// It cannot have one.
    Fail,
    /// Call it off.
    Cancel,
    /// Hand it to a person.
    Escalate,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Pause,
        Self::Wait,
        Self::Resume,
        Self::Aggregate,
        Self::Reopen,
        Self::Complete,
        Self::Fail,
        Self::Cancel,
        Self::Escalate,
    ];

    /// The name in refusals and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Wait => "wait",
            Self::Resume => "resume",
            Self::Aggregate => "aggregate",
            Self::Reopen => "reopen",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
            Self::Escalate => "escalate",
        }
    }
}

/// Where `command` takes a run that stands in `state`, or why it must not.
pub fn decide(state: State, command: Command) -> Result<State, Refusal> {
    use Command as C;
    use State as S;
    let next = match (state, command) {
        (S::Initializing, C::Start) => S::Running,
        (S::Initializing | S::Running | S::Aggregating | S::Waiting, C::Pause) => S::Paused,
        (S::Initializing | S::Running | S::Aggregating, C::Wait) => S::Waiting,
        (S::Paused | S::Waiting, C::Resume) => S::Running,
        (S::Running, C::Aggregate) => S::Aggregating,
        (S::Aggregating, C::Reopen) => S::Running,
        (S::Running | S::Aggregating, C::Complete) => S::Completed,
        // A person closes what was handed over, with a result or without.
        (S::Escalated, C::Complete) => S::Completed,
        (S::Initializing | S::Running | S::Paused | S::Waiting | S::Aggregating | S::Escalated, C::Fail) => S::Failed,
        (S::Initializing | S::Running | S::Paused | S::Waiting | S::Aggregating | S::Escalated, C::Cancel) => {
            S::Cancelled
        }
        (S::Initializing | S::Running | S::Paused | S::Waiting | S::Aggregating, C::Escalate) => S::Escalated,
        (S::Initializing, C::Resume | C::Aggregate | C::Reopen | C::Complete)
        | (S::Running, C::Start | C::Resume | C::Reopen)
        | (S::Paused, C::Start | C::Pause | C::Wait | C::Aggregate | C::Reopen | C::Complete)
        | (S::Waiting, C::Start | C::Wait | C::Aggregate | C::Reopen | C::Complete)
        | (S::Aggregating, C::Start | C::Resume | C::Aggregate)
        | (S::Escalated, C::Start | C::Pause | C::Wait | C::Resume | C::Aggregate | C::Reopen | C::Escalate)
        | (S::Completed | S::Failed | S::Cancelled, _) => return Err(refuse(state, command)),
    };
    Ok(next)
}

fn refuse(state: State, command: Command) -> Refusal {
    let message = format!("cannot {} a run that is {}", command.as_str(), state.as_str());
    let refusal = Refusal::new("illegal_transition", message);
    match (state, command) {
        (State::Completed | State::Failed | State::Cancelled, _) => refusal.hint("start a new run with `convoke run`"),
        (State::Running | State::Aggregating, Command::Resume) => refusal.hint("it is going on already"),
        _ => refusal,
    }
}

/// What a run is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The coordinator plans or briefs.
    Delegation,
    /// Members work.
    Execution,
    /// The coordinator puts results together.
    Synthesis,
    /// Members judge the synthesis.
    Validation,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 4] = [Self::Delegation, Self::Execution, Self::Synthesis, Self::Validation];

    /// The name in JSON and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delegation => "delegation",
            Self::Execution => "execution",
            Self::Synthesis => "synthesis",
            Self::Validation => "validation",
        }
    }
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
        crate::docs::check("state/run.md", &crate::docs::table("Run", "run.rs", &commands, rows));
    }

    #[test]
    fn final_is_final() {
        for state in [State::Completed, State::Failed, State::Cancelled] {
            for command in Command::ALL {
                assert!(decide(state, command).is_err(), "{state:?} {command:?}");
            }
        }
    }

    #[test]
    fn every_open_state_can_be_left_for_an_end() {
        for state in State::ALL.into_iter().filter(|state| !state.has_ended()) {
            assert_eq!(decide(state, Command::Cancel), Ok(State::Cancelled));
            assert_eq!(decide(state, Command::Fail), Ok(State::Failed));
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let refusal = decide(State::Completed, Command::Resume).expect_err("final");
        assert_eq!(refusal.message, "cannot resume a run that is completed");
        assert_eq!(refusal.hint.as_deref(), Some("start a new run with `convoke run`"));
    }
}
