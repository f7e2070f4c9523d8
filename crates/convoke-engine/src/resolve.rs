//! A person says what became of a tool call whose outcome is unknown; the attempt goes on with that.

use convoke_domain::event::Kind;
use convoke_domain::id::{TaskId, WorkspaceId};
use convoke_domain::refusal::Refusal;
use convoke_domain::task::{Priority, WaitReason, rank};
use convoke_domain::{run, task};
use convoke_store as rows;
use convoke_store::step::StepRef;
use convoke_store::{Error, Result as Stored, Tx, UseCase, effect, step};
use serde_json::json;

use crate::engine::emit;
use crate::run::{set_going, state_of};
use crate::{Engine, Result};

/// What became of a tool call.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It acted; this is what it gave back.
    Done(String),
    /// It did not act, for this reason.
    Failed(String),
    /// It did not act: make the call again.
    Retry,
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Retry => "retry",
        }
    }

    fn note(&self) -> &str {
        match self {
            Self::Done(text) | Self::Failed(text) => text,
            Self::Retry => "",
        }
    }
}

impl Engine {
    /// Settles an effect whose outcome is unknown.
    pub async fn resolve_effect(&self, key: &str, outcome: Outcome, user: &str) -> Result<()> {
        let resolve = Resolve { ws: self.ws(), key: key.to_owned(), outcome, who: format!("user:{user}") };
        self.answer_for(user, "say what became of tool calls", resolve).await?;
        self.wake().notify_one();
        Ok(())
    }
}

struct Resolve {
    ws: WorkspaceId,
    key: String,
    outcome: Outcome,
    who: String,
}

impl UseCase for Resolve {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let found = effect::hold(tx, &self.key).await?;
        if found.state != "unknown" {
            let message = format!("the outcome of {} is known: {}", self.key, found.state);
            return Err(Refusal::new("outcome_known", message).into());
        }
        if self.outcome == Outcome::Retry {
            self.refuse_retry(tx, &found).await?;
        }
        let at = StepRef { task: found.task, attempt: found.attempt, n: found.n };
        let (output, error) = match &self.outcome {
            Outcome::Done(text) => (Some(text.as_str()), None),
            Outcome::Failed(text) => (Some(text.as_str()), Some(text.as_str())),
            Outcome::Retry => (None, None),
        };
        step::resolve(tx, at, self.outcome.name(), (output, error)).await?;
        effect::resolve(tx, &self.key, self.outcome.name(), &self.who, self.outcome.note()).await?;
        let payload = json!({"outcome": self.outcome.name(), "tool": found.tool});
        emit(tx, Kind::EffectResolved, ("effect", self.key.clone()), (Some(found.run), &self.who), payload);
        self.go_on(tx, &found).await
    }
}

/// Where a task stands.
pub(crate) fn task_state(text: &str, id: TaskId) -> Stored<task::State> {
    task::State::parse(text).ok_or_else(|| Error::broken(format!("task {id} has no state `{text}`")))
}

/// What a person may say became of a call of this run and task. Nobody makes a call again for work that has ended.
pub(crate) fn choices(run: run::State, task: task::State) -> &'static [&'static str] {
    if run.has_ended() || task.has_ended() { &["done", "failed"] } else { &["done", "failed", "retry"] }
}

impl Resolve {
    /// Refuses a call to be made again by nobody.
    async fn refuse_retry(&self, tx: &mut Tx<'_>, found: &effect::Record) -> Stored<()> {
        let run = state_of(&rows::run::hold(tx, found.run).await?)?;
        let task = task_state(&rows::task::hold(tx, found.task).await?.state, found.task)?;
        if choices(run, task).contains(&self.outcome.name()) {
            return Ok(());
        }
        let over = if run.has_ended() {
            format!("run {} is {}", found.run, run.as_str())
        } else {
            format!("task {} is {}", found.task, task.as_str())
        };
        let message = format!("{over}: nobody is left in it to make the call to {} again", found.tool);
        let key = &found.key;
        let hint = format!(
            "look what the tool acts on, then `convoke resolve {key} done` if it acted, or `failed` if it did not; what is still to be \
             done is for a new run"
        );
        Err(Refusal::new("run_over", message).hint(hint).into())
    }

    /// Wakes the task when nothing of it is unknown any more, and the run when no task waits.
    async fn go_on(&self, tx: &mut Tx<'_>, found: &effect::Record) -> Stored<()> {
        let unknown = effect::of_run(tx, found.run).await?;
        if unknown.iter().any(|other| other.state == "unknown") {
            return Ok(());
        }
        let rank = rank(Priority::High, tx.now());
        rows::task::wake(tx, found.run, WaitReason::UnknownEffect.as_str(), rank).await?;
        let held = rows::run::hold(tx, found.run).await?;
        if state_of(&held)? == run::State::Waiting {
            rows::run::extend(tx, found.run).await?;
            set_going(tx, &held).await?;
            emit(tx, Kind::RunResumed, ("run", found.run.to_string()), (Some(found.run), &self.who), json!({}));
        }
        Ok(())
    }
}
