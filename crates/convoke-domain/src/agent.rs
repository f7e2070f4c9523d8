//! An agent: what it is busy with (status), and apart from it whether it can be reached (health).
//!
//! Rule: status follows from what is done with it, health from what is heard of it, and neither changes the other. An
//! agent that is driven in this process is heard of whenever its worker renews the lease of a task of its; one that has
//! beaten by itself is expected to go on beating. `docs/state/agent.md` and `docs/state/health.md` are printed from here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// An agent that is not heard of for so long is stale, unless the settings say otherwise.
pub const STALE_AFTER: Duration = Duration::from_secs(90);
/// It is offline after this many times as long.
pub const OFFLINE_TIMES: u32 = 10;

macro_rules! words {
    ($($type:ident { $($variant:ident = $text:literal),+ $(,)? })+) => {$(
        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in JSON and the store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads the name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    )+};
}

/// What an agent is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Registered, and not ready for work yet.
    Pending,
    /// It has nothing to do.
    Idle,
    /// It holds a task.
    Working,
    /// A policy or a person holds it back.
    Blocked,
    /// A temporary agent whose task ended with a result.
    Completed,
    /// A temporary agent whose task ended without one.
    Failed,
    /// It will do nothing more.
    Retired,
}

/// What is done with an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// It is ready for work, again or for the first time.
    Activate,
    /// It takes a task.
    Take,
    /// It has let go of its last task.
    Rest,
    /// It is held back.
    Block,
    /// It is let go.
    Unblock,
    /// The task that it was made for ended with a result.
    Complete,
    /// That task ended without one.
    Fail,
    /// It is put away.
    Retire,
}

/// Whether an agent can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing was heard of it yet.
    Unknown,
    /// It was heard of lately, and is well.
    Healthy,
    /// It was heard of lately, and says that it is not well.
    Degraded,
    /// It was not heard of for too long.
    Stale,
    /// It left, or was not heard of for very long.
    Offline,
}

/// What is heard of an agent, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// A heartbeat.
    Beat,
    /// A heartbeat that tells of trouble.
    Trouble,
    /// No heartbeat for too long.
    Silence,
    /// No heartbeat for very long.
    LongSilence,
    /// It said that it leaves.
    Leave,
}

/// Its rank in the workspace, which people alone give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Escalations of coordinators go to it, and it may give tasks to all.
    Supervisor,
    /// The usual.
    #[default]
    Worker,
    /// It is asked for what it knows.
    Specialist,
}

words! {
    Status {
        Pending = "pending", Idle = "idle", Working = "working", Blocked = "blocked", Completed = "completed",
        Failed = "failed", Retired = "retired",
    }
    Command {
        Activate = "activate", Take = "take", Rest = "rest", Block = "block", Unblock = "unblock", Complete = "complete",
        Fail = "fail", Retire = "retire",
    }
    Health { Unknown = "unknown", Healthy = "healthy", Degraded = "degraded", Stale = "stale", Offline = "offline" }
    Sign {
        Beat = "beat", Trouble = "trouble", Silence = "silence", LongSilence = "long silence", Leave = "leave",
    }
    Standing { Supervisor = "supervisor", Worker = "worker", Specialist = "specialist" }
}

/// Where `command` takes an agent that stands in `status`, or why it must not.
pub fn decide(status: Status, command: Command) -> Result<Status, Refusal> {
    use Command as C;
    use Status as S;
    let next = match (status, command) {
        (S::Pending | S::Completed | S::Failed | S::Retired, C::Activate) => S::Idle,
        (S::Idle | S::Working | S::Completed | S::Failed, C::Take) => S::Working,
        (S::Working, C::Rest) => S::Idle,
        (S::Pending | S::Idle | S::Working, C::Block) => S::Blocked,
        (S::Blocked, C::Unblock) => S::Idle,
        (S::Idle | S::Working, C::Complete) => S::Completed,
        (S::Idle | S::Working | S::Blocked, C::Fail) => S::Failed,
        (S::Pending | S::Idle | S::Working | S::Blocked | S::Completed | S::Failed, C::Retire) => S::Retired,
        (S::Pending, C::Take | C::Rest | C::Unblock | C::Complete | C::Fail)
        | (S::Idle, C::Activate | C::Rest | C::Unblock)
        | (S::Working, C::Activate | C::Unblock)
        | (S::Blocked, C::Activate | C::Take | C::Rest | C::Block | C::Complete)
        | (S::Completed | S::Failed, C::Rest | C::Block | C::Unblock | C::Complete | C::Fail)
        | (S::Retired, C::Take | C::Rest | C::Block | C::Unblock | C::Complete | C::Fail | C::Retire) => {
            let message = format!("cannot {} an agent that is {}", command.as_str(), status.as_str());
            return Err(Refusal::new("illegal_transition", message));
        }
    };
    Ok(next)
}

/// What a sign makes of an agent's health. Silence says nothing of one that was never heard of, nor of one that left.
pub const fn observe(health: Health, sign: Sign) -> Health {
    match (health, sign) {
        (Health::Unknown | Health::Healthy | Health::Degraded | Health::Stale | Health::Offline, Sign::Beat) => {
            Health::Healthy
        }
        (Health::Unknown | Health::Healthy | Health::Degraded | Health::Stale | Health::Offline, Sign::Trouble) => {
            Health::Degraded
        }
        (Health::Unknown | Health::Healthy | Health::Degraded | Health::Stale | Health::Offline, Sign::Leave) => {
            Health::Offline
        }
        (Health::Unknown, Sign::Silence | Sign::LongSilence) => Health::Unknown,
        (Health::Healthy | Health::Degraded | Health::Stale, Sign::Silence) => Health::Stale,
        (Health::Healthy | Health::Degraded | Health::Stale, Sign::LongSilence) => Health::Offline,
        (Health::Offline, Sign::Silence | Sign::LongSilence) => Health::Offline,
    }
}

/// What is to be said of silence that has lasted `silent`.
pub fn silence(silent: Duration, stale_after: Duration) -> Option<Sign> {
    if silent > stale_after.saturating_mul(OFFLINE_TIMES) {
        return Some(Sign::LongSilence);
    }
    (silent > stale_after).then_some(Sign::Silence)
}

/// Whether an agent in this state may be chosen for work: by a person, a plan, a delegation.
pub const fn may_be_chosen(active: bool, status: Status, health: Health) -> bool {
    let up = match status {
        Status::Idle | Status::Working | Status::Completed | Status::Failed => true,
        Status::Pending | Status::Blocked | Status::Retired => false,
    };
    let there = match health {
        Health::Unknown | Health::Healthy | Health::Degraded => true,
        Health::Stale | Health::Offline => false,
    };
    active && up && there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_what_the_docs_print() {
        let commands: Vec<_> = Command::ALL.iter().map(|command| command.as_str()).collect();
        let rows = Status::ALL.iter().map(|status| {
            let cells = Command::ALL.iter().map(|command| decide(*status, *command).map_or("", Status::as_str));
            (status.as_str(), cells.collect())
        });
        crate::docs::check("state/agent.md", &crate::docs::table("Agent", "agent.rs", &commands, rows));
        let signs: Vec<_> = Sign::ALL.iter().map(|sign| sign.as_str()).collect();
        let rows = Health::ALL
            .iter()
            .map(|health| (health.as_str(), Sign::ALL.iter().map(|sign| observe(*health, *sign).as_str()).collect()));
        crate::docs::check("state/health.md", &crate::docs::table("Health", "agent.rs", &signs, rows));
    }

    #[test]
    fn names_read_back() {
        assert!(Status::ALL.iter().all(|one| Status::parse(one.as_str()) == Some(*one)));
        assert!(Health::ALL.iter().all(|one| Health::parse(one.as_str()) == Some(*one)));
        assert!(Standing::ALL.iter().all(|one| Standing::parse(one.as_str()) == Some(*one)));
        assert_eq!(Standing::parse("boss"), None);
    }

    #[test]
    fn silence_is_measured_strictly() {
        let (after, long) = (STALE_AFTER, STALE_AFTER * OFFLINE_TIMES);
        assert_eq!(silence(after, after), None);
        assert_eq!(silence(after + Duration::from_micros(1), after), Some(Sign::Silence));
        assert_eq!(silence(long, after), Some(Sign::Silence));
        assert_eq!(silence(long + Duration::from_micros(1), after), Some(Sign::LongSilence));
    }

    #[test]
    fn only_agents_that_can_work_are_chosen() {
        assert!(may_be_chosen(true, Status::Idle, Health::Unknown));
        assert!(!may_be_chosen(false, Status::Idle, Health::Healthy));
        assert!(!may_be_chosen(true, Status::Retired, Health::Healthy));
        assert!(!may_be_chosen(true, Status::Working, Health::Stale));
    }
}
