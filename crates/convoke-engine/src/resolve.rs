//! A person says what became of a tool call whose outcome is unknown; the attempt goes on with that.

use convoke_domain::event::Kind;
use convoke_domain::id::WorkspaceId;
use convoke_domain::refusal::Refusal;
use convoke_domain::task::{Priority, WaitReason, rank};
use convoke_store::step::StepRef;
use convoke_store::{Result as Stored, Tx, UseCase, effect, run, step, task};
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

impl Resolve {
    /// Wakes the task when nothing of it is unknown any more, and the run when no task waits.
    async fn go_on(&self, tx: &mut Tx<'_>, found: &effect::Record) -> Stored<()> {
        let unknown = effect::of_run(tx, found.run).await?;
        if unknown.iter().any(|other| other.state == "unknown") {
            return Ok(());
        }
        let rank = rank(Priority::High, tx.now());
        task::wake(tx, found.run, WaitReason::UnknownEffect.as_str(), rank).await?;
        let held = run::hold(tx, found.run).await?;
        if state_of(&held)? == convoke_domain::run::State::Waiting {
            run::extend(tx, found.run).await?;
            set_going(tx, &held).await?;
            emit(tx, Kind::RunResumed, ("run", found.run.to_string()), (Some(found.run), &self.who), json!({}));
        }
        Ok(())
    }
}
