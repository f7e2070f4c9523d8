//! Mail: messages are given to an agent between two turns, never in the middle of one. What was given is a step of the
//! attempt, so that an attempt which goes on after a crash has read the same.

use convoke_domain::id::WorkspaceId;
use convoke_store::step::{self, StepRef};
use convoke_store::{Result, Tx, UseCase, task};

use crate::claim::Assignment;

/// The kind of step that holds what was given to the agent.
pub(crate) const STEP: &str = "message";

/// Gives an agent the messages that have come.
pub(crate) struct Deliver {
    pub ws: WorkspaceId,
    pub at: Assignment,
    /// The model call before which they come.
    pub turn: i64,
    /// The step.
    pub n: i64,
}

/// What was given.
pub(crate) enum Delivered {
    /// The task is not ours any more.
    Gone,
    /// Nothing, after all.
    Nothing,
    /// This text.
    Letters(String),
}

impl UseCase for Deliver {
    type Out = Delivered;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Delivered> {
        let held = task::hold(tx, self.at.task).await?;
        if held.state != "running" || held.fence != self.at.fence {
            return Ok(Delivered::Gone);
        }
        let letters = letters(tx, &self.at).await?;
        task::clear_mail(tx, self.at.task).await?;
        let Some(text) = letters else { return Ok(Delivered::Nothing) };
        self.keep(tx, &text).await?;
        Ok(Delivered::Letters(text))
    }
}

impl Deliver {
    async fn keep(&self, tx: &mut Tx<'_>, text: &str) -> Result<()> {
        let at = StepRef { task: self.at.task, attempt: self.at.attempt, n: self.n };
        let row = step::NewRow {
            at,
            run: self.at.run,
            turn: self.turn,
            kind: STEP,
            name: "mail",
            call_id: &call_id(self.n),
            input_hash: "",
            input: None,
            fence: self.at.fence,
            bound_cost: 0,
            bound_tokens: 0,
            scopes: "",
            tariff: "",
        };
        step::start(tx, &row).await?;
        step::finish(tx, at, 0, "done", (Some(text), None)).await?;
        Ok(())
    }
}

/// What such a step is called among the calls of its turn.
pub(crate) fn call_id(n: i64) -> String {
    format!("mail:{n}")
}

/// The messages for the task's agent as it shall read them; they count as delivered.
async fn letters(_tx: &mut Tx<'_>, _at: &Assignment) -> Result<Option<String>> {
    Ok(None)
}
